//! What is mounted before there are rules: the tree that a system begins with.

use super::{Dentry, MountFlags, Place, Super, lock::MountTurn, tree::Mount};
use crate::{namespace::Namespace, system::System};
use alloc::{collections::BTreeSet, sync::Arc as StdArc};

impl System {
    /// Mounts a file system in the initial mount namespace, on `at`, or over its root, and says
    /// where its root is now. Nothing is checked: it is for the tree that the embedder begins
    /// with. Tasks adopted after this begin at the root as it is then.
    pub fn mount_at_boot(
        &self,
        at: Option<&Place>,
        sb: &StdArc<Super>,
        root: Dentry,
        source: &[u8],
        flags: MountFlags,
    ) -> Option<Place> {
        let ns = &self.init_nsproxy().mnt;
        let at = at.map_or_else(|| ns.root(), |at| Some(at.covered()))?;
        let turn = MountTurn::take(at.kernel());
        let hold = turn.with(|tree| {
            let top = tree.create(sb, root, &StdArc::from(source), flags & MountFlags::SETTABLE);
            tree.attach(top, at.mount(), at.dentry());
            tree.enter(top, ns.number().id());
            StdArc::clone(&tree.get(top).hold)
        });
        Some(Place::new(at.kernel(), &hold, root))
    }

    /// Every file and directory that a mount shows or is on, or that is somebody's root or working
    /// directory: those that the embedder has to know.
    pub fn dentries_in_use(&self) -> BTreeSet<Dentry> {
        let kernel = self.kernel();
        let mut all = kernel.mounts.with(|tree| {
            let of = |mount: &Mount| [Some(mount.root), mount.parent.map(|(_, point)| point)];
            tree.mounts
                .values()
                .map(|mount| &**mount)
                .flat_map(of)
                .flatten()
                .collect::<BTreeSet<_>>()
        });
        for places in kernel.everybody.all() {
            all.extend([places.root().dentry(), places.pwd().dentry()]);
        }
        all
    }

    /// Mounts a file system in no namespace, as the kernel does with those of pipes, sockets and
    /// namespaces: its files are reached by descriptors only. It is gone with the last place in it.
    pub fn mount_nowhere(&self, sb: &StdArc<Super>, root: Dentry) -> Place {
        let kernel = self.kernel();
        let hold = kernel.mounts.with(|tree| {
            let top =
                tree.create(sb, root, &StdArc::from(sb.kind().as_bytes()), MountFlags::empty());
            StdArc::clone(&tree.get(top).hold)
        });
        let place = Place::new(kernel, &hold, root);
        kernel.mounts.with(|tree| tree.discard(place.mount()));
        place
    }
}
