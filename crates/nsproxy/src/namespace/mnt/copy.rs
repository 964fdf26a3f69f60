//! Copies of mounts and of trees of mounts.

use super::{
    Dentry, Files, MountFlags,
    peers::Links,
    tree::{Mount, MountId, NsKey, Tree},
};
use alloc::{boxed::Box, vec::Vec};

/// How a copy relates to its original.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kinship {
    /// A peer where the original is shared, a slave of the same master where it is a slave.
    Same,
    /// A peer; the original has a group number.
    Peer,
    /// A slave of the original if that has a group number, otherwise as `Same`.
    Slave,
    /// A slave of the original, and shared with its own copies.
    SharedSlave,
}

/// What a copy of a tree leaves out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Without {
    /// Unbindable mounts and what is on them.
    pub(super) unbindable: bool,
    /// Files of mount namespaces, bound somewhere below the top.
    pub(super) namespaces: bool,
}

impl Tree {
    /// Copies one mount, to be nowhere, showing `root`.
    pub(super) fn copy_mount(
        &mut self,
        old: MountId,
        root: Dentry,
        kinship: Kinship,
        keep_unbindable: bool,
    ) -> MountId {
        let id = self.next_id();
        let shown = self.next_shown();
        let mount = self.get(old);
        let (group, master) = (mount.peers.group, mount.peers.master);
        let same_root = mount.root == root;
        let slave = matches!(kinship, Kinship::Slave | Kinship::SharedSlave);
        let peer = !slave && group != 0;
        let mut peers = Links::alone(id);
        peers.unbindable = mount.peers.unbindable && keep_unbindable;
        if peer {
            peers.group = group;
            peers.shared = true;
        }
        let copy = Mount {
            whole: mount.whole && same_root,
            peers,
            pin: mount.pin.clone().filter(|_| same_root),
            idmap: mount.idmap.clone(),
            ..Mount::nowhere(
                id,
                shown,
                &mount.sb,
                root,
                &mount.source,
                mount.flags - MountFlags::LOCKED,
            )
        };
        self.mounts.insert(id, Box::new(copy));
        if peer {
            self.join_ring(id, old);
        }
        match master {
            _ if slave && group != 0 => self.enslave(id, old, None),
            // Peers stand side by side below their master.
            Some(master) => self.enslave(id, master, Some(old)),
            None => {}
        }
        if kinship == Kinship::SharedSlave {
            self.set_shared(id);
        }
        id
    }

    /// The mounts that a copy of the tree at `root` in `top` would copy: each with the place of
    /// its parent in this list. The first is `top` itself.
    pub(super) fn copied(
        &self,
        files: Option<&dyn Files>,
        top: MountId,
        root: Dentry,
        without: Without,
    ) -> Vec<(MountId, usize)> {
        let mut all = alloc::vec![(top, 0)];
        // Depth first, so that copies are made in the order in which the kernel makes them.
        let mut open: Vec<(MountId, usize)> = Vec::new();
        let below = |id: &MountId| match (files, self.get(*id).parent) {
            (Some(files), Some((_, point))) => files.is_below(point, root),
            _ => true,
        };
        let visible = self.get(top).children.iter().filter(|id| below(id));
        open.extend(visible.rev().map(|id| (*id, 0)));
        while let Some((id, parent)) = open.pop() {
            let mount = self.get(id);
            if without.unbindable && mount.peers.unbindable {
                continue;
            }
            if without.namespaces && mount.is_mount_namespace() {
                continue;
            }
            all.push((id, parent));
            let place = all.len() - 1;
            open.extend(mount.children.iter().rev().map(|child| (*child, place)));
        }
        all
    }

    /// Copies a tree of mounts, to be nowhere. Returns the copies in the order of `originals`, the
    /// top first. Locks of mounts below the top are kept.
    pub(super) fn copy_tree(
        &mut self,
        originals: &[(MountId, usize)],
        root: Dentry,
        kinship: Kinship,
        keep_unbindable: bool,
    ) -> Vec<MountId> {
        let mut copies: Vec<MountId> = Vec::with_capacity(originals.len());
        for (place, (original, parent)) in originals.iter().enumerate() {
            let shows = if place == 0 { root } else { self.get(*original).root };
            let copy = self.copy_mount(*original, shows, kinship, keep_unbindable);
            if place > 0 {
                let (point, locked) = {
                    let mount = self.get(*original);
                    let point = mount.parent.map_or(mount.root, |(_, point)| point);
                    (point, mount.flags & MountFlags::LOCKED)
                };
                if let Some(mount) = self.mounts.get_mut(&copy) {
                    mount.flags |= locked;
                }
                self.attach(copy, copies[*parent], point);
            }
            copies.push(copy);
        }
        copies
    }

    /// Locks a tree that comes to a less privileged namespace: what is restricted stays so, and
    /// what is mounted below the top cannot be taken away to show what is under it.
    pub(super) fn lock_tree(&mut self, top: MountId) {
        for id in self.subtree(top) {
            if let Some(mount) = self.mounts.get_mut(&id) {
                mount.flags = mount.flags.with_locks();
                if id != top {
                    mount.flags |= MountFlags::LOCKED;
                }
            }
        }
    }

    /// Takes apart a tree that was built and never attached.
    pub(super) fn destroy(&mut self, top: MountId) {
        let all = self.subtree(top);
        self.forget_peers(&all);
        for id in all.into_iter().rev() {
            self.detach(id);
            self.discard(id);
        }
    }

    /// How many more mounts a namespace can hold.
    pub(super) fn room(&self, ns: NsKey, max: usize) -> usize {
        max.saturating_sub(self.spaces.get(&ns).map_or(0, |space| space.count))
    }
}
