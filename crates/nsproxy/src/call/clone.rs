//! clone(2), clone3(2), fork(2), vfork(2): a task is born, perhaps in new namespaces.
//!
//! Not here: stacks, memory and descriptors; the embedder makes the task itself between prepare
//! and commit, and drops the [`Newborn`] if that fails.

use super::{CloneArgs, new_credentials, new_namespaces};
use crate::{
    CloneFlags, KernelVersion,
    cred::Cred,
    events::{Event, Way},
    group::{Shares, ThreadGroup},
    namespace::{
        mnt::Places,
        pid::{self, Status},
    },
    nsproxy::{NsProxy, exit_task_namespaces, watched_ids},
    rule::{Refusal, Refuse, Rule},
    sync::Arc,
    task::Task,
};
use alloc::sync::Arc as StdArc;
use core::fmt;

/// Checks a clone by `parent` and builds the child, which nobody can see before it is committed.
///
/// ```
/// use nsproxy::{CloneArgs, CloneFlags, Config, Cred, System, prepare_clone};
///
/// let system = System::new(Config::default());
/// let parent = system.adopt(None, Cred::root(&system.init_user()));
/// let args = CloneArgs::legacy(CloneFlags::NEWUTS.bits() | 17);
///
/// // The process could not be made after all: dropping undoes the namespace.
/// drop(prepare_clone(&parent, &args)?);
/// assert_eq!(system.namespaces_alive(), 0);
///
/// let child = prepare_clone(&parent, &args)?.commit();
/// assert_ne!(child.ids(), parent.ids());
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
pub fn prepare_clone(parent: &StdArc<Task>, args: &CloneArgs) -> Result<Newborn, Refusal> {
    prepare_clone_with(parent, args, Facts::default())
}

/// What only the embedder knows at a clone.
#[derive(Clone, Copy, Default, Debug)]
pub struct Facts<'a> {
    /// The numbers read from where [`CloneArgs::set_tid`] points: for the child's own pid
    /// namespace, then outwards.
    pub set_tid: &'a [i32],
    /// The caller's user has as many processes as RLIMIT_NPROC allows, and is not exempt.
    pub crowded: bool,
}

/// [`prepare_clone`] with what the embedder knows.
pub fn prepare_clone_with(
    parent: &StdArc<Task>,
    args: &CloneArgs,
    facts: Facts<'_>,
) -> Result<Newborn, Refusal> {
    parent.reported("clone", prepare(parent, args, facts))
}

fn prepare(parent: &StdArc<Task>, args: &CloneArgs, facts: Facts<'_>) -> Result<Newborn, Refusal> {
    args.check_clone3()?;
    let flags = args.flags;
    let birth = flags.contains(CloneFlags::THREAD).then(|| Birth::announce(parent));
    let old = parent.alive()?;
    check_flags(parent, &old, args)?;
    let by = parent.cred();
    let cred = new_credentials(flags, parent, &by)?;
    if facts.crowded {
        return Err(Rule::CloneProcessLimit.refuse());
    }
    let owner = cred.as_ref().map_or(&by.user, |cred| &cred.user);
    let keeps_undo = || match flags.contains(CloneFlags::NEWIPC | CloneFlags::SYSVSEM) {
        true => Err(Rule::CloneIpcKeepsUndo.refuse()),
        false => Ok(()),
    };
    let shares = parent.with_shares(|shares| shares.as_ref().map(|held| inherit(held, flags)));
    let Some(shares) = shares else { return Err(parent.gone()) };
    // A new mount namespace excludes FS, so these are the child's own.
    let places = match flags.contains(CloneFlags::NEWNS) {
        true => shares.fs.set_places(Places::copy).map(|(new, _)| new),
        false => None,
    };
    let new = new_namespaces(flags, parent, &old, &by, owner, places.as_deref(), keeps_undo)?;
    // A child with memory of its own sees its clocks through it: it can be in the time namespace
    // that waits for it.
    let moved = match flags.contains(CloneFlags::VM) && waits_for_exec(parent) {
        true => None,
        false => new.as_ref().unwrap_or(&old).in_pending_time(),
    };
    let nsproxy = moved.or(new).map_or_else(|| Arc::clone(&old), Arc::new);
    // The kernel enters the namespaces here, and a birth that fails from now on has been in them.
    nsproxy.entered(Some(&old));
    let ns = &nsproxy.pid_for_children;
    let member = pid::conceive(parent, ns, flags, args.exit_signal, facts.set_tid)?;
    let group = flags.contains(CloneFlags::THREAD).then(|| StdArc::clone(parent.group()));
    let cred = cred.map_or(by, Arc::new);
    let undo = flags
        .contains(CloneFlags::SYSVSEM)
        .then(|| parent.with_ipc(|ipc| ipc.undo_list(&parent.kernel)));
    let cgroups = parent.cgroups();
    let child = Task::unborn(&parent.kernel, group, cred, Some(nsproxy), shares, cgroups, member);
    if let Some(undo) = undo {
        child.with_ipc(|ipc| ipc.share_undo(undo));
    }
    Ok(Newborn { parent: StdArc::clone(parent), child, flags, born: false, _birth: birth })
}

/// Says whether execve(2) is what moves a task that shares memory to its pending time namespace.
/// On older kernels its birth does.
fn waits_for_exec(task: &Task) -> bool {
    task.kernel.config.version.since(KernelVersion::new(6, 2))
}

/// A thread being made. Its process is not switched as a whole meanwhile, or the thread would be
/// born where the others no longer are.
struct Birth(StdArc<ThreadGroup>);

impl Birth {
    fn announce(parent: &Task) -> Birth {
        let group = StdArc::clone(parent.group());
        while !group.begin_birth() {
            // Whoever switches it holds this lock until that is over.
            drop(parent.turn());
        }
        Birth(group)
    }
}

impl Drop for Birth {
    fn drop(&mut self) {
        self.0.end_birth();
    }
}

/// The combinations that are refused to everybody, before any permission.
fn check_flags(parent: &Task, old: &NsProxy, args: &CloneArgs) -> Result<(), Refusal> {
    let flags = args.flags;
    let has = |all: CloneFlags| flags.contains(all);
    // clone(2) stores both through its one pointer.
    let same_place = !args.clone3 || args.pidfd == args.parent_tid;
    if has(CloneFlags::PIDFD | CloneFlags::PARENT_SETTID) && same_place {
        return Err(Rule::ClonePidfdOverwritten.refuse());
    }
    if has(CloneFlags::NEWNS | CloneFlags::FS) {
        return Err(Rule::CloneMountsShareRoot.refuse());
    }
    if has(CloneFlags::NEWUSER | CloneFlags::FS) {
        return Err(Rule::CloneUserSharesRoot.refuse());
    }
    if has(CloneFlags::THREAD) && !has(CloneFlags::SIGHAND) {
        return Err(Rule::CloneThreadKeepsHandlers.refuse());
    }
    if has(CloneFlags::SIGHAND) && !has(CloneFlags::VM) {
        return Err(Rule::CloneHandlersKeepMemory.refuse());
    }
    if has(CloneFlags::PARENT) && parent.is_init() {
        return Err(Rule::CloneSiblingOfInit.refuse());
    }
    let elsewhere = flags & (CloneFlags::NEWUSER | CloneFlags::NEWPID);
    if has(CloneFlags::THREAD) && !elsewhere.is_empty() {
        return Err(Rule::CloneThreadElsewhere.refuse().with("flags", elsewhere));
    }
    let own = parent.pid_ns();
    if has(CloneFlags::THREAD) && own.is_some_and(|own| *own != *old.pid_for_children) {
        return Err(Rule::CloneThreadPidElsewhere.refuse());
    }
    let shares_memory = flags.intersects(CloneFlags::THREAD | CloneFlags::VM);
    if shares_memory && !waits_for_exec(parent) && old.in_pending_time().is_some() {
        return Err(Rule::CloneTimeElsewhere.refuse().with("flags", flags));
    }
    if has(CloneFlags::PIDFD | CloneFlags::DETACHED) {
        return Err(Rule::ClonePidfdDetached.refuse());
    }
    Ok(())
}

/// What the child shares with its parent, and what it gets a copy of.
///
/// Shares are counted by references, so only what is really shared is cloned.
fn inherit(held: &Shares, flags: CloneFlags) -> Shares {
    let shares = |flag: CloneFlags| flags.contains(flag);
    Shares {
        fs: match shares(CloneFlags::FS) {
            true => StdArc::clone(&held.fs),
            false => held.fs.copy(),
        },
        handlers: match shares(CloneFlags::SIGHAND) {
            true => StdArc::clone(&held.handlers),
            false => held.handlers.copy(),
        },
        memory: match shares(CloneFlags::VM) {
            true => StdArc::clone(&held.memory),
            false => held.memory.copy(),
        },
    }
}

/// A child that is complete but unborn.
///
/// [`commit`](Newborn::commit) lets it live. Dropping it is the clean-up of a clone that failed
/// after its namespaces were made: the child's namespaces are switched to none, and what was
/// made for it dies with it. What is left of it, as in the kernel, is that a time namespace that
/// waited for the child is frozen.
#[must_use = "a newborn that is dropped was never born"]
pub struct Newborn {
    parent: StdArc<Task>,
    child: StdArc<Task>,
    flags: CloneFlags,
    born: bool,
    _birth: Option<Birth>,
}

impl Newborn {
    /// The task it will be. It has its numbers; it makes no call, and nobody can wait for it.
    pub fn task(&self) -> &StdArc<Task> {
        &self.child
    }

    /// The namespaces it will be born in.
    pub fn namespaces(&self) -> Option<Arc<NsProxy>> {
        self.child.nsproxy()
    }

    /// The credentials it will be born with.
    pub fn cred(&self) -> Arc<Cred> {
        self.child.cred()
    }

    pub(crate) fn parent(&self) -> &StdArc<Task> {
        &self.parent
    }

    pub(crate) fn child(&self) -> &StdArc<Task> {
        &self.child
    }

    /// As given to clone.
    pub fn flags(&self) -> CloneFlags {
        self.flags
    }

    /// Says whether it will be in other namespaces than its parent, the user namespace included.
    pub fn is_elsewhere(&self) -> bool {
        self.flags.intersects(CloneFlags::NAMESPACES)
    }

    /// Lets it live.
    pub fn commit(self) -> StdArc<Task> {
        self.bear(None)
    }

    /// Lets it live, called by `number`, where numbers are [`Numbers::Given`](crate::Numbers).
    ///
    /// Its namespace's init may have ended meanwhile, and did not see it then: whoever cannot undo
    /// the birth ends the child if [`PidNs::is_dead`](crate::PidNs::is_dead).
    pub fn commit_as(self, number: u32) -> StdArc<Task> {
        self.bear(Some(number))
    }

    fn bear(mut self, number: Option<u32>) -> StdArc<Task> {
        self.born = true;
        let child = StdArc::clone(&self.child);
        child.group().join(&child);
        child.be_born(number);
        if let Some(ids) = watched_ids(&child) {
            let (parent, flags) = (self.parent.id(), self.flags);
            child.kernel.tell(&Event::Born { parent, child: child.id(), flags, ids });
        }
        child
    }
}

impl Drop for Newborn {
    fn drop(&mut self) {
        if !self.born {
            drop(self.child.leave_family(Status::default()));
            exit_task_namespaces(&self.child, Way::CloneFailed);
        }
    }
}

impl fmt::Debug for Newborn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Newborn")
            .field("parent", &self.parent)
            .field("child", &self.child)
            .field("flags", &self.flags)
            .finish()
    }
}
