//! setns(2): the caller joins namespaces that exist: one by its descriptor, or several of a
//! process by its pidfd.
//!
//! Not here: whether the descriptor is one at all (EBADF); the embedder holds the descriptors.

use super::{Change, change::NewFs};
use crate::{
    CloneFlags, Kind,
    access::{By, ptrace_read},
    cred::Cred,
    events::Way,
    namespace::Draft,
    nsproxy::{AnyNamespace, NsProxy},
    rule::{Refusal, Refuse, Rule},
    sync::Arc,
    task::Task,
};
use alloc::sync::Arc as StdArc;

/// What the embedder knows about whether a task's memory may be looked into. The model knows of
/// exec and credential changes itself; pass `Dumpable(true)` if there is nothing to add.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dumpable(pub bool);

/// What the descriptor given to setns(2) stands for.
#[derive(Clone, Copy, Debug)]
pub enum JoinTarget<'a> {
    /// A namespace.
    Namespace(&'a AnyNamespace),
    /// A task that has not been reaped. It may have exited.
    Pidfd(&'a StdArc<Task>, Dumpable),
    /// A task that has been reaped.
    Reaped,
    /// Something else.
    Other,
}

/// Checks and builds setns(fd, `nstype`) by `task`. Nothing changes until the result is committed.
///
/// `nstype` is the argument as given; the kernel takes it as an `int`.
///
/// ```
/// use nsproxy::{CloneFlags, Config, Cred, Dumpable, JoinTarget, System};
/// use nsproxy::{prepare_setns, prepare_unshare};
///
/// let system = System::new(Config::default());
/// let root = || system.adopt(None, Cred::root(&system.init_user()));
/// let (a, b) = (root(), root());
/// prepare_unshare(&a, CloneFlags::NEWUTS)?.commit();
///
/// // By the namespace's descriptor ...
/// let uts = a.nsproxy().unwrap().get(nsproxy::Kind::Uts).unwrap();
/// prepare_setns(&b, JoinTarget::Namespace(&uts), 0)?.commit();
/// assert_eq!(b.ids(), a.ids());
///
/// // ... or by the process's.
/// let target = JoinTarget::Pidfd(&a, Dumpable(true));
/// prepare_setns(&b, target, CloneFlags::NEWUTS.bits())?.commit();
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
pub fn prepare_setns(
    task: &StdArc<Task>,
    target: JoinTarget<'_>,
    nstype: u64,
) -> Result<Change, Refusal> {
    task.reported("setns", prepare(task, target, nstype))
}

/// [`prepare_setns`] and commit in one, for users without a part of their own.
pub fn setns(task: &StdArc<Task>, target: JoinTarget<'_>, nstype: u64) -> Result<(), Refusal> {
    prepare_setns(task, target, nstype).map(Change::commit)
}

fn prepare(task: &StdArc<Task>, target: JoinTarget<'_>, nstype: u64) -> Result<Change, Refusal> {
    let flags = check_arguments(task, target, nstype)?;
    let turn = task.own_turn();
    let old = task.alive()?;
    let by = task.cred();
    let proxy = NsProxy::clone(&old);
    // A process's mount namespace and other namespaces of it: copy_fs_struct() in prepare_nsset().
    let directories_copied = flags.contains(CloneFlags::NEWNS) && flags != CloneFlags::NEWNS;
    let mut draft = Draft {
        task,
        own: &by,
        by: &by,
        whole: false,
        directories_copied,
        cred: None,
        proxy,
        places: None,
    };
    for namespace in named(task, &by, target, flags)?.iter().flatten() {
        namespace.install(&mut draft)?;
    }
    let Draft { cred, proxy, places, .. } = draft;
    let fs = places.map(NewFs::Moved);
    let nsproxy = Some(Arc::new(proxy));
    Ok(Change { way: Way::Setns, flags, nsproxy, cred, fs, turn })
}

/// The stage before any permission: what the descriptor is, and whether `nstype` fits it.
pub(super) fn check_arguments(
    task: &Task,
    target: JoinTarget<'_>,
    nstype: u64,
) -> Result<CloneFlags, Refusal> {
    let flags = CloneFlags::from_bits_retain(u64::from(nstype as u32));
    match target {
        JoinTarget::Namespace(namespace) => {
            let own = namespace.kind().flag();
            if !flags.is_empty() && flags != own {
                return Err(Rule::JoinOtherKind
                    .refuse()
                    .with("nstype", flags)
                    .with("type", namespace.kind()));
            }
            Ok(own)
        }
        JoinTarget::Pidfd(..) | JoinTarget::Reaped => {
            if flags.is_empty() || !CloneFlags::NAMESPACES.contains(flags) {
                return Err(Rule::JoinFlagsOfProcess.refuse().with("nstype", flags));
            }
            for kind in Kind::ALL {
                if flags.contains(kind.flag()) {
                    task.kernel.built(*kind)?;
                }
            }
            Ok(flags)
        }
        // Whatever was asked for, it is not there.
        JoinTarget::Other => Ok(flags),
    }
}

/// The namespaces that the descriptor and the flags name, in the order in which they are joined.
/// Those of a process are looked at once, so they belong together.
pub(super) fn named(
    caller: &Task,
    by: &Cred,
    target: JoinTarget<'_>,
    flags: CloneFlags,
) -> Result<[Option<AnyNamespace>; Kind::ALL.len()], Refusal> {
    let mut found = [const { None }; Kind::ALL.len()];
    let (of, dumpable) = match target {
        JoinTarget::Namespace(namespace) => {
            found[0] = Some(namespace.clone());
            return Ok(found);
        }
        JoinTarget::Pidfd(of, dumpable) => (of, dumpable),
        JoinTarget::Reaped => return Err(Rule::JoinProcessGone.refuse()),
        JoinTarget::Other => return Err(Rule::JoinNotANamespace.refuse()),
    };
    let theirs = of.cred();
    if let Err(why) = ptrace_read(caller, by, of, &theirs, dumpable.0, By::RealIds) {
        return Err(Rule::JoinProcessHidden.refuse().with("because", why));
    }
    let Some(proxy) = of.nsproxy() else { return Err(Rule::JoinProcessExited.refuse()) };
    let asked = Kind::JOIN_ORDER.iter().filter(|kind| flags.contains(kind.flag()));
    for (place, kind) in found.iter_mut().zip(asked) {
        *place = of.namespace_among(kind.link(), &theirs, Some(&proxy));
    }
    Ok(found)
}
