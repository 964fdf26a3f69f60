//! One namespace's mounts at one moment, for path walks: immutable, without locks.

use super::{
    Dentry, MountFlags, Place, Super,
    place::Hold,
    tree::{MountId, NsKey, Tree},
};
use crate::AnyNamespace;
use alloc::{sync::Arc as StdArc, vec::Vec};
use core::sync::atomic::Ordering;

/// A mount as it was at the table's moment.
#[derive(Clone)]
pub struct Mounted {
    /// Its number.
    pub id: MountId,
    /// The number that `mountinfo` shows.
    pub shown: u32,
    /// On which directory of which mount; `None` for the root of the namespace.
    pub parent: Option<(MountId, Dentry)>,
    /// The file or directory that it shows.
    pub root: Dentry,
    /// Its file system.
    pub sb: StdArc<Super>,
    /// Its flags.
    pub flags: MountFlags,
    /// The namespace that its root stands for, which it keeps alive.
    pub pin: Option<AnyNamespace>,
    hold: StdArc<Hold>,
}

/// Everything mounted in a namespace at one moment.
pub struct Table {
    generation: u64,
    root: MountId,
    /// By their numbers.
    mounts: Vec<Mounted>,
    /// By what they are mounted on. Lists are sooner made than trees, and never added to.
    at: Vec<((MountId, Dentry), MountId)>,
}

impl Table {
    /// That of no state of any namespace.
    pub(super) fn of_nothing() -> Table {
        Table { generation: u64::MAX, root: MountId(0), mounts: Vec::new(), at: Vec::new() }
    }

    /// Which state of the namespace it shows: [`MntNs::generation`](super::MntNs::generation).
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The first mount of the namespace. Others may cover it.
    pub fn root(&self) -> MountId {
        self.root
    }

    /// A mount of the namespace.
    pub fn get(&self, id: MountId) -> Option<&Mounted> {
        let place = self.mounts.binary_search_by_key(&id, |mount| mount.id).ok()?;
        Some(&self.mounts[place])
    }

    /// Every mount, in the order in which they were made.
    pub fn iter(&self) -> impl Iterator<Item = &Mounted> {
        self.mounts.iter()
    }

    /// What is mounted on a directory seen through a mount.
    pub fn mounted_at(&self, on: MountId, point: Dentry) -> Option<&Mounted> {
        let place = self.at.binary_search_by_key(&(on, point), |(at, _)| *at).ok()?;
        self.get(self.at[place].1)
    }

    /// Where a walk stands that has come to a directory: there, or at the root of the last of the
    /// mounts over it.
    pub fn covered(&self, on: MountId, point: Dentry) -> (MountId, Dentry) {
        let mut here = (on, point);
        while let Some(mounted) = self.mounted_at(here.0, here.1) {
            here = (mounted.id, mounted.root);
        }
        here
    }

    /// A file or directory seen through one of its mounts, as a value that keeps the mount in use.
    pub fn place(&self, ns: &super::MntNs, on: MountId, dentry: Dentry) -> Option<Place> {
        self.place_of(ns.identity.kernel(), on, dentry)
    }

    pub(super) fn place_of(
        &self,
        kernel: &crate::sync::Arc<crate::system::Kernel>,
        on: MountId,
        dentry: Dentry,
    ) -> Option<Place> {
        Some(Place::new(kernel, &self.get(on)?.hold, dentry))
    }
}

impl Place {
    /// What is mounted over it now, to the last of the mounts over one another; itself if nothing
    /// is. Unlike a [`Table`] this looks at any namespace's mounts, and takes the lock.
    #[must_use]
    pub fn covered(&self) -> Place {
        let top = self.mounts().with(|tree| {
            let top = tree.top(
                tree.mounts
                    .contains_key(&self.mount())
                    .then(|| tree.mounted_at(self.mount(), self.dentry()))??,
            );
            let mount = tree.get(top);
            Some((StdArc::clone(&mount.hold), mount.root))
        });
        top.map_or_else(|| self.clone(), |(hold, root)| Place::new(self.kernel(), &hold, root))
    }

    /// As [`covered`](Place::covered), without a use of either mount that would stop an expiry.
    pub(super) fn last(self) -> Place {
        let last = self.covered().hushed();
        let here = self.hushed();
        if here == last { here } else { last }
    }

    /// The root of its mount.
    #[must_use]
    pub fn mount_root(&self) -> Place {
        let root =
            self.mounts().with(|tree| tree.mounts.get(&self.mount()).map(|mount| mount.root));
        self.at(root.unwrap_or_else(|| self.dentry()))
    }

    /// The file system of its mount; `None` if that is gone.
    pub fn super_block(&self) -> Option<StdArc<Super>> {
        self.mounts().with(|tree| Some(StdArc::clone(&tree.mounts.get(&self.mount())?.sb)))
    }

    /// Says whether nothing can be written there, because of its mount or of its file system.
    pub fn is_readonly(&self) -> bool {
        self.mounts().with(|tree| {
            tree.mounts.get(&self.mount()).is_some_and(|mount| {
                mount.flags.contains(MountFlags::READONLY) || mount.sb.is_readonly()
            })
        })
    }

    /// The directory that its mount is mounted on, seen through the mount that that one is of.
    /// `None` if it is mounted nowhere.
    pub fn mountpoint(&self) -> Option<Place> {
        let up = self.mounts().with(|tree| {
            let (parent, point) = tree.mounts.get(&self.mount())?.parent?;
            Some((StdArc::clone(&tree.mounts.get(&parent)?.hold), point))
        });
        up.map(|(hold, point)| Place::new(self.kernel(), &hold, point))
    }
}

impl Tree {
    /// The table of a namespace as it is now.
    pub(super) fn table(&self, ns: NsKey) -> Table {
        let mut table = Table { generation: 0, ..Table::of_nothing() };
        let Some(space) = self.spaces.get(&ns) else { return table };
        table.generation = space.generation.load(Ordering::Acquire);
        table.root = space.root;
        let mounted = |id: MountId| {
            let mount = self.get(id);
            Mounted {
                id,
                shown: mount.shown,
                parent: mount.parent,
                root: mount.root,
                sb: StdArc::clone(&mount.sb),
                flags: mount.flags,
                pin: mount.pin.clone(),
                hold: StdArc::clone(&mount.hold),
            }
        };
        let mut ids = self.subtree(space.root);
        ids.sort_unstable();
        table.mounts = ids.into_iter().map(mounted).collect();
        let on = |mount: &Mounted| mount.parent.map(|place| (place, mount.id));
        table.at = table.mounts.iter().filter_map(on).collect();
        table.at.sort_unstable();
        table
    }
}
