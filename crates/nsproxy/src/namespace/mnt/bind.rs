//! mount(2) with `MS_BIND`: a directory becomes visible in a second place.

use super::{
    Files, MountChange, MountFlags, Mounter, Place,
    change::Step,
    copy::{Kinship, Without},
    lock::MountTurn,
    mount::same_sort,
    tree::{MountId, Tree},
};
use crate::{
    AnyNamespace, Kind,
    rule::{Refusal, Refuse, Rule},
};

impl Mounter {
    /// Prepares a bind mount of `source` on `target`, `recursive` with everything mounted below.
    pub fn bind(
        &self,
        files: &dyn Files,
        source: &Place,
        target: &Place,
        recursive: bool,
    ) -> Result<MountChange, Refusal> {
        let turn = MountTurn::take(self.kernel());
        let result = turn.with(|tree| self.stage_bind(tree, files, source, target, recursive));
        self.changed(turn, result)
    }

    fn stage_bind(
        &self,
        tree: &mut Tree,
        files: &dyn Files,
        source: &Place,
        target: &Place,
        recursive: bool,
    ) -> Result<Step, Refusal> {
        let pin = files.namespace(source.dentry());
        self.makes_no_loop(pin.as_ref())?;
        let (onto, point) = tree.target(files, target)?;
        tree.is_in(onto, self.key(), "target")?;
        self.may_copy(tree, files, source, recursive)?;
        let top = self.copy(tree, files, source, recursive);
        if let Err(refusal) = same_sort(files, source.dentry(), point) {
            tree.destroy(top);
            return Err(refusal);
        }
        self.stage(tree, files, top, true, (onto, point))
    }

    /// A mount namespace may be mounted only in older ones: otherwise two could keep each other.
    fn makes_no_loop(&self, pin: Option<&AnyNamespace>) -> Result<(), Refusal> {
        match pin {
            Some(ns) if ns.kind() == Kind::Mnt && ns.id() <= self.key() => {
                Err(Rule::BindNamespaceLoop.refuse())
            }
            _ => Ok(()),
        }
    }

    /// Checks that the mounts at `source` can be copied.
    pub(super) fn may_copy(
        &self,
        tree: &Tree,
        files: &dyn Files,
        source: &Place,
        recursive: bool,
    ) -> Result<(), Refusal> {
        let of = source.mount();
        // The files of namespaces can be bound from wherever they were found.
        let namespace = files.namespace(source.dentry()).is_some();
        if !namespace && !tree.is_detached_from(of, self.key()) {
            tree.is_in(of, self.key(), "source")?;
        }
        if tree.mounts.get(&of).is_none_or(|mount| mount.peers.unbindable) {
            return Err(Rule::BindUnbindable.refuse());
        }
        if !recursive && tree.has_locked_children(files, of, source.dentry()) {
            return Err(Rule::BindRevealsLocked.refuse());
        }
        if recursive && tree.holds_locked_unbindable(files, source) {
            return Err(Rule::BindLockedUnbindable.refuse());
        }
        Ok(())
    }

    /// Copies the mounts at `source`, to be nowhere.
    pub(super) fn copy(
        &self,
        tree: &mut Tree,
        files: &dyn Files,
        source: &Place,
        recursive: bool,
    ) -> MountId {
        let (of, root) = (source.mount(), source.dentry());
        let without = Without { unbindable: true, namespaces: false };
        let originals = match recursive {
            true => tree.copied(Some(files), of, root, without),
            false => alloc::vec![(of, 0)],
        };
        let top = tree.copy_tree(&originals, root, Kinship::Same, false)[0];
        if let Some(mount) = tree.mounts.get_mut(&top) {
            mount.pin = files.namespace(root);
        }
        top
    }
}

impl Tree {
    /// Says whether a recursive copy would have to leave out a mount that hides something.
    fn holds_locked_unbindable(&self, files: &dyn Files, source: &Place) -> bool {
        let all = Without { unbindable: false, namespaces: false };
        let reached = self.copied(Some(files), source.mount(), source.dentry(), all);
        // A mount below an unbindable one that is not locked is left out with it.
        let mut left_out = alloc::vec![false; reached.len()];
        for (place, (id, parent)) in reached.iter().enumerate().skip(1) {
            let mount = self.get(*id);
            left_out[place] = left_out[*parent];
            if mount.peers.unbindable && !left_out[place] {
                if mount.flags.contains(MountFlags::LOCKED) {
                    return true;
                }
                left_out[place] = true;
            }
        }
        false
    }
}
