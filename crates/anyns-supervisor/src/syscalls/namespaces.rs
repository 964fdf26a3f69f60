//! unshare(2), setns(2): the caller changes its own namespaces.
//! Not decided here: whether it may; that is `nsproxy`'s.

use anyns_trap::Failed;
use nsproxy::{Change, CloneFlags, Dumpable, JoinTarget, Kind, Task};
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};
use crate::descriptors::Thing;
use crate::trouble::Trouble;
use crate::vfs;

/// What unshare(2) can only agree to, when it is not shared. The kernel also knows what is shared with
/// tasks that we do not know.
const SHARED: CloneFlags = CloneFlags::THREAD.union(CloneFlags::SIGHAND).union(CloneFlags::VM);

/// What unshare(2) may be asked to separate that is not a namespace.
const PLAIN: CloneFlags =
    CloneFlags::FS.union(CloneFlags::FILES).union(CloneFlags::SYSVSEM).union(SHARED);

/// Serves `unshare(flags)`. Unknown bits pass through: refusing them is a rule.
pub(crate) fn unshare(cx: &mut Cx<'_>) -> Served {
    let flags = CloneFlags::from_bits_retain(cx.arg(0));
    if !flags.intersects(CloneFlags::NAMESPACES) && cx.guest().is_none() {
        return Ok(Verdict::Continue);
    }
    if flags.intersects(PLAIN | CloneFlags::NEWNS | CloneFlags::NEWIPC) {
        cx.may_wait()?;
    }
    let mut met = cx.meet()?.with_siblings();
    cx.settle()?;
    // Who is in a mount namespace of its own has directories of its own.
    let apart = flags.contains(CloneFlags::NEWNS) && met.task.shares_directories();
    let can_be_virtual = parts_directories(cx, &met.task, flags);
    if flags.contains(CloneFlags::NEWCGROUP) {
        cx.sup.note_cgroups(cx.tid(), &met.task);
    }
    let change = match nsproxy::prepare_unshare(&met.task, flags) {
        Ok(change) => change, // invisible so far
        // Whether something is shared comes before whether one may.
        Err(refusal) if flags.intersects(SHARED) => {
            return separate(cx, flags & SHARED, |done| match done {
                0 => -i64::from(refusal.errno.raw()),
                errno => errno,
            });
        }
        Err(refusal) => return Err(refusal.into()),
    };
    met.keep()?;
    if flags.contains(CloneFlags::NEWNS)
        && let Some(tree) = cx.sup.any_tree_of(&met.task)
    {
        // What it has open stays where it was.
        cx.sup.note_descriptors(met.tgid, &tree);
    }
    let mut plain = match apart {
        true => flags & PLAIN | CloneFlags::FS,
        false => flags & PLAIN,
    };
    let implied = leaves_kernel_undos(cx, &change);
    match in_initial_ipc(&change) {
        // What it did to semaphores of ours the model takes back.
        false => plain.remove(CloneFlags::SYSVSEM),
        true if implied => plain.insert(CloneFlags::SYSVSEM),
        true => {}
    }
    if plain.is_empty() {
        change.commit();
        return Ok(Verdict::Return(0));
    }
    if implied && plain == CloneFlags::SYSVSEM && !flags.contains(CloneFlags::SYSVSEM) {
        return commit_taking_back(cx, change);
    }
    // What is not a namespace is the kernel's to separate, and it may refuse (EMFILE, ENOMEM): the
    // caller does that first, while it is held.
    let task = met.task.clone();
    separate(cx, plain, |done| match done {
        0 => {
            change.commit();
            0
        }
        // No kernel refuses this: a filter does, as Docker's.
        errno if can_be_virtual && plain == CloneFlags::FS && is_filters(errno) => {
            change.commit();
            task.set_virtual_directories();
            0
        }
        errno => errno,
    })
}

/// Whether the caller, who shares its directories, could part from the others by what the model knows: it
/// does if the kernel cannot be asked to.
fn parts_directories(cx: &Cx<'_>, task: &Task, flags: CloneFlags) -> bool {
    flags.intersects(CloneFlags::NEWNS | CloneFlags::FS)
        && task.shares_directories()
        && super::directory::know_own(cx, task).unwrap_or(false)
}

/// Whether an errno is what filters say.
fn is_filters(errno: i64) -> bool {
    [libc::EPERM, libc::ENOSYS].map(|errno| -i64::from(errno)).contains(&errno)
}

/// Lets the caller unshare what is not a namespace; `settle` makes the answer of the kernel's.
fn separate(cx: &mut Cx<'_>, what: CloneFlags, settle: impl FnOnce(i64) -> i64) -> Served {
    make(cx, (libc::SYS_unshare, what.bits()), None, settle)
}

/// Makes the caller perform another call, of one argument, before its own is answered; and after
/// that, if it succeeds, one whose result does not matter.
fn make(
    cx: &mut Cx<'_>,
    (nr, argument): (i64, u64),
    also: Option<(i64, u64)>,
    settle: impl FnOnce(i64) -> i64,
) -> Served {
    let done = cx.take().stop().and_then(|held| held.inject(nr, [argument, 0, 0, 0, 0, 0]));
    let done = done.and_then(|(done, held)| match also.filter(|_| done == 0) {
        Some((nr, argument)) => {
            held.inject(nr, [argument, 0, 0, 0, 0, 0]).map(|(_, held)| (done, held))
        }
        None => Ok((done, held)),
    });
    match done {
        Ok((done, held)) => Ok(Verdict::Answered(held.ret(settle(done)))),
        Err(Failed::Untraceable(call)) => {
            // Another guest traces the caller, so nothing can be done in its place.
            cx.put_back(call);
            Err(Trouble::Errno(Errno::PERM))
        }
        Err(failed) => Ok(Verdict::Answered(failed.settle())),
    }
}

/// Serves `setns(fd, nstype)`.
pub(crate) fn setns(cx: &mut Cx<'_>) -> Served {
    if vfs::is_of_a_file_system(cx.tid(), cx.int(0))? {
        cx.may_wait()?;
    }
    let thing = cx.sup.descriptors.look(cx.tid(), cx.int(0))?;
    let joins = |kind: Kind| match &thing {
        Thing::Namespace(namespace) => namespace.kind() == kind,
        _ => CloneFlags::from_bits_retain(cx.arg(1)).contains(kind.flag()),
    };
    let mounts = joins(Kind::Mnt);
    if mounts || joins(Kind::Ipc) {
        // The caller has to do something itself.
        cx.may_wait()?;
    }
    // `nstype` is an `int`.
    let wanted = u64::from(cx.int(1) as u32);
    let mut met = cx.meet()?.with_siblings();
    cx.settle()?;
    let change = match thing {
        Thing::Namespace(namespace) => {
            nsproxy::prepare_setns(&met.task, JoinTarget::Namespace(&namespace), wanted)?
        }
        Thing::Process(pid) => {
            cx.may_wait()?;
            let target = match cx.sup.meet(pid, cx.sup.find_subject(pid)) {
                Ok(target) => Some(target),
                Err(Trouble::Gone) => None,
                Err(other) => return Err(other),
            };
            let target = match &target {
                Some(met) => JoinTarget::Pidfd(&met.task, Dumpable(met.task.dumpable())),
                None => JoinTarget::Reaped,
            };
            nsproxy::prepare_setns(&met.task, target, wanted)?
        }
        Thing::Other => nsproxy::prepare_setns(&met.task, JoinTarget::Other, wanted)?,
    };
    met.keep()?;
    let undos = leaves_kernel_undos(cx, &change);
    if mounts && let Some(tree) = cx.sup.any_tree_of(&met.task) {
        cx.sup.note_descriptors(met.tgid, &tree);
    }
    // Whose directories the kernel does not know moves there by the change alone.
    let moves = mounts && !met.task.has_virtual_directories();
    if !moves && undos {
        return commit_taking_back(cx, change);
    }
    if !moves {
        change.commit();
        return Ok(Verdict::Return(0));
    }
    // Who joins a mount namespace stands at its root, which is the host's.
    let root = cx.held().scratch(b"/\0")?;
    let also = undos.then_some(TAKE_BACK);
    make(cx, (libc::SYS_chdir, root), also, |done| {
        if done == 0 {
            change.commit();
        }
        done
    })
}

/// Has the kernel take back at once what the caller did to semaphores.
const TAKE_BACK: (i64, u64) = (libc::SYS_unshare, CloneFlags::SYSVSEM.bits());

/// Whether the caller is in the initial ipc namespace, where semaphores are the kernel's.
fn in_initial_ipc(change: &Change) -> bool {
    change.task().nsproxy().is_some_and(|proxy| proxy.ipc.is_initial())
}

/// Whether the kernel may have to take back what the caller did to semaphores, because it leaves the
/// namespace that they are in.
fn leaves_kernel_undos(cx: &Cx<'_>, change: &Change) -> bool {
    change.flags().contains(CloneFlags::NEWIPC)
        && cx.sup.ipc.kernel_undoes()
        && in_initial_ipc(change)
}

/// Commits a change before which the kernel takes back what the caller did to semaphores. Where it
/// cannot be asked to, it does so when the caller exits.
fn commit_taking_back(cx: &mut Cx<'_>, change: Change) -> Served {
    let (nr, what) = TAKE_BACK;
    let held = cx.take().stop();
    match held.and_then(|held| held.inject(nr, [what, 0, 0, 0, 0, 0])) {
        Ok((_, held)) => {
            change.commit();
            Ok(Verdict::Answered(held.ret(0)))
        }
        Err(Failed::Untraceable(call)) => {
            cx.put_back(call);
            change.commit();
            Ok(Verdict::Return(0))
        }
        Err(failed) => Ok(Verdict::Answered(failed.settle())),
    }
}
