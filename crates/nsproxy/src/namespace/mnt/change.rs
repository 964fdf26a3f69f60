//! A prepared change of what is mounted.

use super::{
    MountFlags, Place, Propagation, Super,
    attach::Staged,
    detach::End,
    idmap::Idmap,
    lock::MountTurn,
    tree::{MountId, Tree},
};
use crate::{namespace::user::UserNs, sync::Arc};
use alloc::{sync::Arc as StdArc, vec::Vec};
use core::fmt;

/// What a change will do.
pub(super) enum Step {
    /// Nothing; or it was done.
    Nothing,
    /// Put a tree on a place. `built`: it was built for this, and goes if it is not put there.
    Attach { staged: Staged, top: MountId, built: bool },
    /// Change the flags of mounts, and perhaps whether their file system is read-only, how they
    /// propagate, and their id maps.
    Modify {
        flags: Vec<(MountId, MountFlags)>,
        readonly: Option<(StdArc<Super>, bool)>,
        propagation: Option<(Vec<MountId>, Propagation)>,
        idmap: Option<StdArc<Idmap>>,
    },
    /// Put a mount into the peer group of another.
    Group { from: MountId, to: MountId },
    /// Unmount a tree here, and wherever that is heard of.
    Unmount { top: MountId, end: End },
    /// Exchange the root mount.
    Pivot(Pivot),
}

/// An exchange of the root mount, and those whose directories follow it.
pub(super) struct Pivot {
    pub(super) new: MountId,
    pub(super) root: MountId,
    pub(super) put_old: (MountId, super::Dentry),
    pub(super) from: Place,
    pub(super) to: Place,
}

/// A permitted mount operation: checked, built where nobody sees it.
///
/// [`commit`](MountChange::commit) makes it so and cannot fail; dropping it undoes what was built.
/// Until then no other mount operation of the system can be prepared: do not try to on the thread
/// that holds it.
#[must_use = "a change that is dropped is undone"]
pub struct MountChange {
    pub(super) step: Step,
    /// The owner of the namespace of whoever does it.
    pub(super) by: Arc<UserNs>,
    pub(super) turn: MountTurn,
}

impl MountChange {
    /// Makes it so.
    pub fn commit(mut self) {
        let by = Arc::clone(&self.by);
        match core::mem::replace(&mut self.step, Step::Nothing) {
            Step::Nothing => {}
            Step::Attach { staged, .. } => {
                self.turn.with(|tree| tree.commit_attach(staged, &by));
            }
            Step::Modify { flags, readonly, propagation, idmap } => {
                if let Some((sb, readonly)) = readonly {
                    sb.set_readonly(readonly);
                }
                self.turn.with(|tree| tree.modify(flags, propagation, idmap));
            }
            Step::Group { from, to } => self.turn.with(|tree| tree.enter_group(from, to)),
            Step::Unmount { top, end } => self.turn.with(|tree| tree.unmount(top, end, true)),
            Step::Pivot(pivot) => {
                self.turn.with(|tree| tree.pivot(&pivot));
                let kernel = pivot.from.kernel();
                for places in kernel.everybody.all() {
                    places.replace(&pivot.from, &pivot.to);
                }
            }
        }
    }
}

impl MountChange {
    /// The mounts that this will make read-only, with their file systems, and with every mount of one that
    /// becomes so itself. Through them nothing may be open for writing, which only the embedder knows: the
    /// kernel says EBUSY (mount(2), mount_setattr(2)).
    pub fn made_readonly(&self) -> Vec<(MountId, StdArc<Super>)> {
        let Step::Modify { flags, readonly, .. } = &self.step else { return Vec::new() };
        let sb = readonly.as_ref().filter(|(sb, to)| *to && !sb.is_readonly()).map(|(sb, _)| sb);
        self.turn.with(|tree| {
            let flagged = flags.iter().filter(|(_, new)| new.contains(MountFlags::READONLY));
            let flagged = flagged.map(|(id, _)| (*id, tree.get(*id)));
            let flagged = flagged.filter(|(_, mount)| !mount.flags.contains(MountFlags::READONLY));
            let of_sb = sb.into_iter().flat_map(|sb| {
                let all = tree.mounts.iter().map(|(id, mount)| (*id, &**mount));
                all.filter(move |(_, mount)| StdArc::ptr_eq(sb, &mount.sb))
            });
            flagged.chain(of_sb).map(|(id, mount)| (id, StdArc::clone(&mount.sb))).collect()
        })
    }
}

impl Drop for MountChange {
    fn drop(&mut self) {
        if let Step::Attach { staged, top, built } =
            core::mem::replace(&mut self.step, Step::Nothing)
        {
            self.turn.with(|tree| {
                tree.unstage(staged);
                if built {
                    tree.destroy(top);
                }
            });
        }
    }
}

impl Tree {
    fn modify(
        &mut self,
        flags: Vec<(MountId, MountFlags)>,
        propagation: Option<(Vec<MountId>, Propagation)>,
        idmap: Option<StdArc<Idmap>>,
    ) {
        for (id, new) in flags {
            if let Some(mount) = self.edit(id) {
                mount.flags = mount.flags.replaced(new);
                if let Some(idmap) = &idmap {
                    mount.idmap = Some(StdArc::clone(idmap));
                }
            }
        }
        if let Some((ids, to)) = propagation {
            ids.into_iter().for_each(|id| self.set_propagation(id, to));
        }
    }
}

impl fmt::Debug for MountChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match &self.step {
            Step::Nothing => "nothing",
            Step::Attach { .. } => "attach",
            Step::Modify { .. } => "modify",
            Step::Group { .. } => "group",
            Step::Unmount { .. } => "unmount",
            Step::Pivot(_) => "pivot",
        };
        write!(f, "MountChange({step})")
    }
}
