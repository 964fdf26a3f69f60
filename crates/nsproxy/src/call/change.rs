//! A prepared change of a running task's namespaces.

use crate::{
    CloneFlags, cred,
    cred::Cred,
    events::Way,
    group::Fs,
    namespace::{mnt::Places, user::UserNs},
    nsproxy::{NsProxy, report_switch, switch_task_namespaces, watched_ids},
    sync::Arc,
    task::{OwnedTurn, Task},
};
use alloc::sync::Arc as StdArc;
use core::fmt;

/// Everything that one unshare(2) or setns(2) will change: complete, checked, seen by nobody.
///
/// [`commit`](Change::commit) makes it so and cannot fail; dropping it undoes what was built.
/// It holds the task's change lock, so no other change of the task gets in between; a second
/// `prepare_*` or an exit of the same task waits for it. Do not make either on the thread that
/// holds the change.
#[must_use = "a change that is dropped is undone"]
pub struct Change {
    pub(super) way: Way,
    pub(super) flags: CloneFlags,
    pub(super) nsproxy: Option<Arc<NsProxy>>,
    pub(super) cred: Option<Cred>,
    pub(super) fs: Option<NewFs>,
    /// Last, so that what was built is dropped before the lock is given back.
    pub(super) turn: OwnedTurn,
}

/// A root and a working directory to come.
pub(super) enum NewFs {
    /// Of the task's own, in the place of those it shared.
    Own(StdArc<Fs>),
    /// Elsewhere, for the task and all who share them with it.
    Moved(StdArc<Places>),
}

impl Change {
    /// Whose.
    pub fn task(&self) -> &StdArc<Task> {
        self.turn.task()
    }

    /// Which way in.
    pub fn way(&self) -> Way {
        self.way
    }

    /// The types asked for, with what they imply.
    pub fn flags(&self) -> CloneFlags {
        self.flags
    }

    /// The namespaces to come; `None` if the task keeps the object it has.
    pub fn nsproxy(&self) -> Option<&Arc<NsProxy>> {
        self.nsproxy.as_ref()
    }

    /// The credentials to come; `None` if the task keeps those it has.
    pub fn cred(&self) -> Option<&Cred> {
        self.cred.as_ref()
    }

    /// The user namespace to come; `None` if the task stays in its own.
    pub fn user_ns(&self) -> Option<&Arc<UserNs>> {
        self.cred.as_ref().map(|cred| &cred.user)
    }

    /// Says whether the task will have a root and working directory of its own, which it shared.
    pub fn unshares_fs(&self) -> bool {
        matches!(self.fs, Some(NewFs::Own(_)))
    }

    /// Makes it so.
    ///
    /// For unshare(2) the kernel's order is namespaces, directories, credentials; for setns(2)
    /// it is credentials, namespaces. Others may see one before the other, as on Linux.
    pub fn commit(self) {
        let Change { way, flags, nsproxy, cred, fs, turn } = self;
        apply(turn.task(), way, flags, nsproxy, cred, fs);
    }
}

/// Gives a task what was prepared for it. The caller holds its change lock.
pub(super) fn apply(
    task: &Task,
    way: Way,
    flags: CloneFlags,
    nsproxy: Option<Arc<NsProxy>>,
    cred: Option<Cred>,
    fs: Option<NewFs>,
) {
    let before = watched_ids(task);
    let (cred_first, cred_last) = match way {
        Way::Setns | Way::Switch => (cred, None),
        _ => (None, cred),
    };
    let changes = nsproxy.is_some() || cred_first.is_some() || cred_last.is_some();
    if let Some(cred) = cred_first {
        cred::commit(task, cred);
    }
    if flags.intersects(CloneFlags::NEWIPC | CloneFlags::SYSVSEM) {
        task.leave_undo();
    }
    if way == Way::Unshare && flags.contains(CloneFlags::NEWIPC) {
        task.leave_segments();
    }
    let old = nsproxy.and_then(|new| switch_task_namespaces(task, Some(new)));
    match fs {
        Some(NewFs::Own(fs)) => drop(task.replace_fs(fs)),
        Some(NewFs::Moved(places)) => task.move_fs(places),
        None => {}
    }
    if let Some(cred) = cred_last {
        cred::commit(task, cred);
    }
    if changes {
        report_switch(task, way, before);
    }
    drop(old);
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("way", &self.way)
            .field("task", self.task())
            .field("nsproxy", &self.nsproxy)
            .field("cred", &self.cred)
            .finish()
    }
}
