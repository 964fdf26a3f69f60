//! rmdir(2), unlink(2), rename(2): what happens to the mounts on a file or directory that goes.

use super::{Dentry, MntNs, detach::End, lock::MountTurn, tree::Tree};
use crate::{
    rule::{Refusal, Refuse, Rule},
    sync::Arc,
    task::Task,
};
use alloc::{sync::Arc as StdArc, vec::Vec};

/// A permitted removal. The embedder removes the file or directory, then commits; if it could not,
/// it drops this.
#[must_use = "the mounts on what was removed are detached by the commit"]
pub struct Removal {
    dentry: Dentry,
    turn: MountTurn,
}

/// Checks that `task` may remove a file or directory: nothing is mounted on it in the task's own
/// namespace. Mounts on it in other namespaces do not stand in the way; they go with it.
pub fn prepare_remove(task: &StdArc<Task>, dentry: Dentry) -> Result<Removal, Refusal> {
    let turn = MountTurn::take(&task.kernel);
    let ns = Arc::clone(&task.alive()?.mnt);
    let busy = match turn.with(|tree| tree.is_mountpoint_in(&ns, dentry)) {
        true => Err(Rule::RemoveMountpoint.refuse()),
        false => Ok(Removal { dentry, turn }),
    };
    task.reported("rmdir", busy)
}

impl Removal {
    /// Detaches what was mounted on it in other namespaces.
    pub fn commit(self) {
        self.turn.with(|tree| {
            for id in tree.mounted_on(self.dentry) {
                // An earlier one may have taken it along.
                if tree.mounts.contains_key(&id) {
                    tree.unmount(id, End::Whole, false);
                }
            }
        });
    }
}

impl core::fmt::Debug for Removal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Removal({:?})", self.dentry)
    }
}

impl Tree {
    /// Every mount on a directory, seen through whatever mount.
    fn mounted_on(&self, dentry: Dentry) -> Vec<super::MountId> {
        self.at.iter().filter(|((_, point), _)| *point == dentry).map(|(_, id)| *id).collect()
    }

    fn is_mountpoint_in(&self, ns: &MntNs, dentry: Dentry) -> bool {
        self.mounted_on(dentry).into_iter().any(|id| self.get(id).ns == Some(ns.key()))
    }
}
