//! mount(2) with `MS_MOVE`, and move_mount(2): a mount, with all below it, goes to another place.

use super::{
    Files, MountChange, MountFlags, Mounter, Onto, Place, change::Step, lock::MountTurn, tree::Tree,
};
use crate::rule::{Refusal, Refuse, Rule};

impl Mounter {
    /// Prepares the move of the mount at `source` to `target`.
    pub fn shift(
        &self,
        files: &dyn Files,
        source: &Place,
        target: &Place,
    ) -> Result<MountChange, Refusal> {
        self.move_mount(files, source, target, Onto::Top)
    }

    /// Prepares move_mount(2): the mount at `source`, or the tree of a
    /// [`DetachedTree`](super::DetachedTree), goes to `target`.
    pub fn move_mount(
        &self,
        files: &dyn Files,
        source: &Place,
        target: &Place,
        onto: Onto,
    ) -> Result<MountChange, Refusal> {
        let turn = MountTurn::take(self.kernel());
        let result = turn.with(|tree| match onto {
            Onto::Group => self.stage_group(tree, files, source, target),
            onto => self.stage_move(tree, files, source, target, onto),
        });
        self.changed(turn, result)
    }

    fn stage_move(
        &self,
        tree: &mut Tree,
        files: &dyn Files,
        source: &Place,
        target: &Place,
        side: Onto,
    ) -> Result<Step, Refusal> {
        tree.is_mount_root(source, "source")?;
        if files.is_directory(source.dentry()) != files.is_directory(target.dentry()) {
            return Err(Rule::MoveShapesDiffer.refuse());
        }
        let (onto, point) = match side {
            Onto::Beneath => self.beneath(tree, files, source, target)?,
            _ => tree.target(files, target)?,
        };
        let top = source.mount();
        let own = tree.get(top).ns == Some(self.key());
        if own {
            tree.may_leave(top)?;
        } else if !tree.is_detached_top(top) || tree.get(onto).ns == tree.get(top).ns {
            return Err(Rule::MoveSourceElsewhere.refuse());
        }
        if own || !tree.is_detached_from(onto, self.key()) {
            tree.is_in(onto, self.key(), "target")?;
        }
        if tree.get(onto).peers.shared && tree.holds_unbindable(top) {
            return Err(Rule::MoveUnbindableToShared.refuse());
        }
        if tree.is_mounted_below(onto, top) {
            return Err(Rule::MoveIntoItself.refuse());
        }
        self.stage(tree, files, top, false, (onto, point))
    }
}

impl Tree {
    /// Checks that a mount can be taken from where it is.
    fn may_leave(&self, id: super::MountId) -> Result<(), Refusal> {
        let mount = self.get(id);
        let Some((parent, _)) = mount.parent else { return Err(Rule::MoveRoot.refuse()) };
        if mount.flags.contains(MountFlags::LOCKED) {
            return Err(Rule::MoveLocked.refuse());
        }
        if self.get(parent).peers.shared {
            return Err(Rule::MoveFromShared.refuse());
        }
        Ok(())
    }
}
