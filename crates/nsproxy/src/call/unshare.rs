//! unshare(2): the caller moves itself to new namespaces.
//!
//! Not here: unsharing descriptors. The flag is accepted; there is nothing in the model to unshare.

use super::{Change, change::NewFs, new_credentials, new_namespaces};
use crate::{
    CloneFlags,
    events::Way,
    namespace::mnt::Places,
    rule::{Refusal, Refuse, Rule},
    sync::Arc,
    task::Task,
};
use alloc::sync::Arc as StdArc;

/// What unshare(2) accepts.
const ACCEPTED: CloneFlags = CloneFlags::NAMESPACES
    .union(CloneFlags::FS)
    .union(CloneFlags::FILES)
    .union(CloneFlags::SYSVSEM)
    .union(CloneFlags::THREAD)
    .union(CloneFlags::SIGHAND)
    .union(CloneFlags::VM);

/// Checks and builds unshare(`flags`) by `task`. Nothing changes until the result is committed.
///
/// ```
/// use nsproxy::{CloneFlags, Config, Cred, Kgid, Kuid, System, prepare_unshare};
///
/// let system = System::new(Config::default());
/// let task = system.adopt(None, Cred::user(&system.init_user(), Kuid(1000), Kgid(1000)));
///
/// let refused = prepare_unshare(&task, CloneFlags::NEWUTS).unwrap_err();
/// assert_eq!(refused.rule.name(), "namespace-needs-admin");
///
/// let change = prepare_unshare(&task, CloneFlags::NEWUSER | CloneFlags::NEWUTS)?;
/// assert!(task.user_ns().is_initial()); // not yet
/// change.commit();
/// assert_eq!(task.user_ns().level(), 1);
/// assert_eq!(task.user_ns().uid_in(Kuid(1000)), 65534); // nothing is mapped yet
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
pub fn prepare_unshare(task: &StdArc<Task>, flags: CloneFlags) -> Result<Change, Refusal> {
    task.reported("unshare", prepare(task, flags))
}

/// [`prepare_unshare`] and commit in one, for users without a part of their own.
pub fn unshare(task: &StdArc<Task>, flags: CloneFlags) -> Result<(), Refusal> {
    prepare_unshare(task, flags).map(Change::commit)
}

fn prepare(task: &StdArc<Task>, flags: CloneFlags) -> Result<Change, Refusal> {
    let turn = task.own_turn();
    let old = task.alive()?;
    let flags = with_implied(flags);
    check_flags(task, flags)?;
    let fs = task.with_shares(|shares| {
        let fs = &shares.as_ref()?.fs;
        let shared = flags.contains(CloneFlags::FS) && StdArc::strong_count(fs) > 1;
        // Before 6.19 the kernel moves directories that are not shared at once, and leaves them so
        // when something later refuses.
        let moves = flags.contains(CloneFlags::NEWNS) && fs.places().is_some();
        (shared || moves).then(|| fs.copy())
    });
    let by = task.cred();
    let cred = new_credentials(flags, task, &by)?;
    let owner = cred.as_ref().map_or(&by.user, |cred| &cred.user);
    let moving = fs.as_ref().filter(|_| flags.contains(CloneFlags::NEWNS));
    let places = moving.and_then(|fs| fs.set_places(Places::copy)).map(|(new, _)| new);
    let nsproxy =
        new_namespaces(flags, task, &old, &by, owner, places.as_deref(), || Ok(()))?.map(Arc::new);
    let fs = fs.map(NewFs::Own);
    Ok(Change { way: Way::Unshare, flags, nsproxy, cred, fs, turn })
}

/// NEWUSER brings THREAD and FS, VM brings SIGHAND, SIGHAND brings THREAD, NEWNS brings FS.
fn with_implied(mut flags: CloneFlags) -> CloneFlags {
    if flags.contains(CloneFlags::NEWUSER) {
        flags |= CloneFlags::THREAD | CloneFlags::FS;
    }
    if flags.contains(CloneFlags::VM) {
        flags |= CloneFlags::SIGHAND;
    }
    if flags.contains(CloneFlags::SIGHAND) {
        flags |= CloneFlags::THREAD;
    }
    if flags.contains(CloneFlags::NEWNS) {
        flags |= CloneFlags::FS;
    }
    flags
}

fn check_flags(task: &Task, flags: CloneFlags) -> Result<(), Refusal> {
    let unknown = flags.difference(ACCEPTED);
    if !unknown.is_empty() {
        return Err(Rule::UnshareFlagUnknown.refuse().with("flags", unknown));
    }
    let threads = task.thread_count();
    if flags.contains(CloneFlags::THREAD) && threads > 1 {
        return Err(Rule::UnshareHasThreads.refuse().with("threads", threads));
    }
    let (handlers, memory) = task.with_shares(|shares| {
        shares.as_ref().map_or((1, 1), |shares| {
            (StdArc::strong_count(&shares.handlers), StdArc::strong_count(&shares.memory))
        })
    });
    if flags.contains(CloneFlags::SIGHAND) && handlers > 1 {
        return Err(Rule::UnshareSharesHandlers.refuse().with("sharers", handlers));
    }
    if flags.contains(CloneFlags::VM) && memory > 1 {
        return Err(Rule::UnshareSharesMemory.refuse().with("sharers", memory));
    }
    Ok(())
}
