//! pivot_root(2): another mount becomes the root of the namespace.

use super::{
    Files, MountChange, MountFlags, Mounter, Place,
    change::{Pivot, Step},
    lock::MountTurn,
    tree::{MountId, Tree},
};
use crate::rule::{Refusal, Refuse, Rule};

impl Mounter {
    /// Prepares the exchange of the root mount of the caller for the one at `new_root`; the old
    /// one is mounted on `put_old`. Both are directories.
    pub fn pivot_root(
        &self,
        files: &dyn Files,
        new_root: &Place,
        put_old: &Place,
    ) -> Result<MountChange, Refusal> {
        let turn = MountTurn::take(self.kernel());
        let result = match self.task.root() {
            None => Err(self.task.gone()),
            Some(root) => turn.with(|tree| self.pivot_step(tree, files, &root, new_root, put_old)),
        };
        self.changed(turn, result)
    }

    fn pivot_step(
        &self,
        tree: &Tree,
        files: &dyn Files,
        root: &Place,
        new_root: &Place,
        put_old: &Place,
    ) -> Result<Step, Refusal> {
        let put_old = tree.target(files, put_old)?;
        let (new, old) = (new_root.mount(), root.mount());
        // Outside a namespace nothing can be said about what is around a mount; such are refused
        // by the same errno.
        let shared = |id: MountId| tree.mounts.get(&id).is_some_and(|mount| mount.peers.shared);
        let parent = |id: MountId| tree.mounts.get(&id)?.parent.map(|(parent, _)| parent);
        if shared(put_old.0) || parent(new).is_some_and(shared) || parent(old).is_some_and(shared) {
            return Err(Rule::PivotShared.refuse());
        }
        tree.is_in(old, self.key(), "root")?;
        tree.is_in(new, self.key(), "new_root")?;
        if tree.get(new).flags.contains(MountFlags::LOCKED) {
            return Err(Rule::PivotLocked.refuse());
        }
        if files.is_unlinked(new_root.dentry()) {
            return Err(Rule::PivotRemoved.refuse());
        }
        if new == old || put_old.0 == old {
            return Err(Rule::PivotSameMount.refuse());
        }
        tree.is_mount_root(root, "root")?;
        let (Some(_), true) = (parent(old), parent(new).is_some()) else {
            return Err(Rule::PivotNoParent.refuse());
        };
        tree.is_mount_root(new_root, "new_root")?;
        let top = (new, new_root.dentry());
        if !tree.is_reachable(files, put_old, top) {
            return Err(Rule::PivotOldOutside.refuse());
        }
        if !tree.is_reachable(files, top, (old, root.dentry())) {
            return Err(Rule::PivotNewOutside.refuse());
        }
        let (from, to) = (root.clone(), new_root.clone());
        Ok(Step::Pivot(Pivot { new, root: old, put_old, from, to }))
    }
}

impl Tree {
    /// Exchanges the mounts.
    pub(super) fn pivot(&mut self, pivot: &Pivot) {
        let Pivot { new, root, put_old, .. } = pivot;
        let Some(place) = self.get(*root).parent else { return };
        self.detach(*new);
        // What hid what is under the root goes on hiding it.
        let locked = self.get(*root).flags & MountFlags::LOCKED;
        if let Some(mount) = self.edit(*root) {
            mount.flags -= MountFlags::LOCKED;
        }
        if let Some(mount) = self.edit(*new) {
            mount.flags |= locked;
        }
        self.detach(*root);
        self.attach(*new, place.0, place.1);
        self.attach(*root, put_old.0, put_old.1);
    }
}
