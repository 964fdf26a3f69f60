//! move_mount(2) with `MOVE_MOUNT_SET_GROUP` (since 5.15): nothing moves, but a private mount comes
//! into the peer group of another mount of the same file system. Whoever rebuilds mounts (CRIU) puts
//! groups together that way, whatever the order in which they once came to be.

use super::{
    Files, Mounter, Place,
    change::Step,
    tree::{MountId, Tree},
};
use crate::rule::{Refusal, Refuse, Rule};

impl Mounter {
    /// Checks that the mount at `to` can be in the group of the one at `from`.
    pub(super) fn stage_group(
        &self,
        tree: &Tree,
        files: &dyn Files,
        from: &Place,
        to: &Place,
    ) -> Result<Step, Refusal> {
        self.may_change_propagation(tree, from)?;
        self.may_change_propagation(tree, to)?;
        tree.is_mount_root(from, "source")?;
        tree.is_mount_root(to, "target")?;
        let (one, other) = (tree.get(from.mount()), tree.get(to.mount()));
        if one.sb.id() != other.sb.id() {
            return Err(Rule::GroupOtherFileSystem.refuse());
        }
        if !files.is_below(other.root, one.root) {
            return Err(Rule::GroupShowsMore.refuse());
        }
        if tree.has_locked_children(files, from.mount(), other.root) {
            return Err(Rule::GroupRevealsLocked.refuse());
        }
        if other.peers.shared || other.peers.master.is_some() {
            return Err(Rule::GroupLeavesOther.refuse());
        }
        if !one.peers.shared && one.peers.master.is_none() {
            return Err(Rule::GroupOfNone.refuse());
        }
        Ok(Step::Group { from: from.mount(), to: to.mount() })
    }
}

impl Tree {
    /// Makes a private mount a peer of another if that is shared, and a slave of its master if it
    /// has one.
    pub(super) fn enter_group(&mut self, from: MountId, to: MountId) {
        let (group, shared, master) = {
            let peers = &self.get(from).peers;
            (peers.group, peers.shared, peers.master)
        };
        if let Some(master) = master {
            self.enslave(to, master, Some(from));
        }
        if shared {
            if let Some(mount) = self.edit(to) {
                mount.peers.group = group;
            }
            self.join_ring(to, from);
            self.set_shared(to);
        }
    }
}
