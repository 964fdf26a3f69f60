//! move_mount(2) with `MOVE_MOUNT_BENEATH` (since 6.5): a mount goes under the one that is on top, so
//! that what is on top can be unmounted without a moment in which nothing is there.

use super::{
    Dentry, Files, MountFlags, Mounter, Place,
    tree::{MountId, Tree},
};
use crate::rule::{Refusal, Refuse, Rule};

/// Which side of what is mounted at the target a mount goes to, if it goes at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Onto {
    /// On top of all that is there.
    Top,
    /// Under the last of the mounts there, of which the target is the root of one.
    Beneath,
    /// Nowhere: the mount at the target comes into its peer group (`MOVE_MOUNT_SET_GROUP`).
    Group,
}

impl Mounter {
    /// Where a mount goes that goes beneath `target`: the place that this is mounted on. What has
    /// been there goes on top of it, as with every mount that propagates to a place in use.
    pub(super) fn beneath(
        &self,
        tree: &Tree,
        files: &dyn Files,
        source: &Place,
        target: &Place,
    ) -> Result<(MountId, Dentry), Refusal> {
        tree.is_mount_root(target, "target")?;
        let (top, moving) = (tree.top(target.mount()), source.mount());
        let mount = tree.get(top);
        let is_own_root = self.task.root().is_some_and(|root| root.mount() == top);
        let Some((onto, point)) = mount.parent.filter(|_| !is_own_root) else {
            return Err(Rule::BeneathRoot.refuse());
        };
        tree.can_hold(files, onto, point)?;
        if mount.flags.contains(MountFlags::LOCKED) {
            return Err(Rule::BeneathLocked.refuse());
        }
        if tree.is_mounted_below(moving, top) {
            return Err(Rule::BeneathWhatHoldsIt.refuse());
        }
        if tree.cover(moving).is_some() {
            return Err(Rule::BeneathCovered.refuse());
        }
        let attached = tree.get(moving).ns == Some(self.key());
        if tree.would_cover(onto, top, point) || attached && tree.would_cover(onto, moving, point) {
            return Err(Rule::BeneathPropagates.refuse());
        }
        Ok((onto, point))
    }
}

impl Tree {
    /// Says whether what is mounted on `point` of `onto` propagates to the very root of `mount`.
    fn would_cover(&self, onto: MountId, mount: MountId, point: Dentry) -> bool {
        let above = self.get(onto);
        if !above.peers.shared || self.get(mount).root != point {
            return false;
        }
        let mut at = Some(mount);
        while let Some(hears) = at {
            if self.are_peers(hears, onto) {
                return true;
            }
            at = self.get(hears).peers.master;
        }
        false
    }
}
