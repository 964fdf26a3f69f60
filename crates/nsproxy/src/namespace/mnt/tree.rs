//! All mounts of a system, who is mounted where, and nothing that can refuse.
//!
//! One tree for all namespaces, as in the kernel, because propagation crosses them. Every id in
//! here is of a mount that is in `mounts`; whoever takes one out takes it out of every list.

use super::{Dentry, MountFlags, Super, idmap::Idmap, place::Hold, slots::Numbers};
use crate::sync::{Arc, Weak};
use crate::{AnyNamespace, Kind, limits::Charge, namespace::user::UserNs};
use alloc::{boxed::Box, collections::BTreeMap, sync::Arc as StdArc, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};

/// A number that no other mount of the system ever has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct MountId(pub u64);

/// The [`id`](crate::AnyNamespace::id) of a mount namespace.
pub(super) type NsKey = u64;

/// One file system, or a directory of it, at one place (`struct mount`).
pub(super) struct Mount {
    /// The number that `mountinfo` shows.
    pub(super) shown: u32,
    pub(super) root: Dentry,
    pub(super) sb: StdArc<Super>,
    /// The name that was given for the device.
    pub(super) source: StdArc<[u8]>,
    pub(super) flags: MountFlags,
    /// It shows its file system from the root on, not a directory of it.
    pub(super) whole: bool,
    /// Where it is mounted: on which mount, and on which of its directories.
    pub(super) parent: Option<(MountId, Dentry)>,
    /// What is mounted on it, oldest first.
    pub(super) children: Vec<MountId>,
    /// Which namespace it is in; none while it is built and after it was unmounted.
    pub(super) ns: Option<NsKey>,
    pub(super) peers: super::peers::Links,
    pub(super) hold: StdArc<Hold>,
    /// The namespace that its root stands for, kept alive by it.
    pub(super) pin: Option<AnyNamespace>,
    /// What it makes of the owners of files.
    pub(super) idmap: Option<StdArc<Idmap>>,
}

impl Mount {
    /// One that is mounted nowhere, in no namespace and with nobody beside it.
    pub(super) fn nowhere(
        id: MountId,
        shown: u32,
        sb: &StdArc<Super>,
        root: Dentry,
        source: &StdArc<[u8]>,
        flags: MountFlags,
    ) -> Mount {
        Mount {
            shown,
            root,
            sb: StdArc::clone(sb),
            source: StdArc::clone(source),
            flags,
            whole: true,
            parent: None,
            children: Vec::new(),
            ns: None,
            peers: super::peers::Links::alone(id),
            hold: Hold::new(id),
            pin: None,
            idmap: None,
        }
    }

    /// Says whether its root is the file of a mount namespace.
    pub(super) fn is_mount_namespace(&self) -> bool {
        self.pin.as_ref().is_some_and(|pin| pin.kind() == Kind::Mnt)
    }
}

/// A namespace as the tree knows it.
pub(super) struct Space {
    pub(super) root: MountId,
    pub(super) count: usize,
    pub(super) owner: Arc<UserNs>,
    /// The namespace itself; a detached tree has none.
    pub(super) namespace: Weak<super::MntNs>,
    /// Of a tree that was detached: the namespace that it is a copy from.
    pub(super) origin: Option<NsKey>,
    /// Rises with every change that its members could see.
    pub(super) generation: StdArc<AtomicU64>,
    /// What a detached tree costs; a namespace keeps that itself.
    #[expect(dead_code, reason = "it is only kept to be given back")]
    pub(super) charge: Option<Charge>,
}

/// The mounts and namespaces of a system.
#[derive(Default)]
pub(crate) struct Tree {
    pub(super) mounts: BTreeMap<MountId, Box<Mount>>,
    /// What is mounted where. Two may share a place only in the middle of an operation.
    pub(super) at: BTreeMap<(MountId, Dentry), MountId>,
    pub(super) spaces: BTreeMap<NsKey, Space>,
    pub(super) groups: Numbers,
    shown: Numbers,
    next: u64,
    /// Unmounted, and still used by somebody.
    pub(super) lingering: Vec<MountId>,
    /// What was removed: dropped by whoever holds the lock, after letting go of it.
    pub(super) garbage: Vec<Garbage>,
}

/// What must be dropped outside the lock, because it may take other locks.
pub(super) enum Garbage {
    /// A mount.
    Mount(#[expect(dead_code, reason = "it is only kept to be dropped")] Box<Mount>),
    /// A namespace.
    Space(#[expect(dead_code, reason = "it is only kept to be dropped")] Space),
}

impl Tree {
    pub(super) fn get(&self, id: MountId) -> &Mount {
        &self.mounts[&id]
    }

    /// The mount, for a change that its namespace's members can see.
    pub(super) fn edit(&mut self, id: MountId) -> Option<&mut Mount> {
        let mount = self.mounts.get_mut(&id)?;
        if let Some(space) = mount.ns.and_then(|ns| self.spaces.get(&ns)) {
            space.generation.fetch_add(1, Ordering::Release);
        }
        Some(mount)
    }

    /// Makes a mount that is nowhere.
    pub(super) fn create(
        &mut self,
        sb: &StdArc<Super>,
        root: Dentry,
        source: &StdArc<[u8]>,
        flags: MountFlags,
    ) -> MountId {
        let id = self.next_id();
        let shown = self.next_shown();
        let mount = Mount::nowhere(id, shown, sb, root, source, flags);
        self.mounts.insert(id, Box::new(mount));
        id
    }

    /// A number that no mount has had.
    pub(super) fn next_id(&mut self) -> MountId {
        self.next += 1;
        MountId(self.next)
    }

    /// A number that no mount has, to be shown.
    pub(super) fn next_shown(&mut self) -> u32 {
        self.shown.take()
    }

    /// Mounts `id`, which is nowhere, on a place where nothing is mounted, or in front of what is.
    pub(super) fn attach(&mut self, id: MountId, parent: MountId, point: Dentry) {
        if let Some(mount) = self.edit(id) {
            mount.parent = Some((parent, point));
        }
        if let Some(mount) = self.mounts.get_mut(&parent) {
            mount.children.push(id);
        }
        self.at.insert((parent, point), id);
    }

    /// Takes it from where it is mounted. What is mounted on it stays.
    pub(super) fn detach(&mut self, id: MountId) {
        let Some((parent, point)) = self.edit(id).and_then(|mount| mount.parent.take()) else {
            return;
        };
        if let Some(mount) = self.mounts.get_mut(&parent) {
            mount.children.retain(|child| *child != id);
        }
        if self.at.get(&(parent, point)) == Some(&id) {
            self.at.remove(&(parent, point));
        }
    }

    /// What is mounted on a directory of a mount, seen through it.
    pub(super) fn mounted_at(&self, on: MountId, point: Dentry) -> Option<MountId> {
        self.at.get(&(on, point)).copied()
    }

    /// What covers a mount as a whole.
    pub(super) fn cover(&self, id: MountId) -> Option<MountId> {
        self.mounted_at(id, self.get(id).root)
    }

    /// The last of the mounts that cover each other, beginning with this one.
    pub(super) fn top(&self, id: MountId) -> MountId {
        let mut top = id;
        while let Some(cover) = self.cover(top) {
            top = cover;
        }
        top
    }

    /// The mount and all below it: every mount before what is mounted on it, oldest first.
    pub(super) fn subtree(&self, id: MountId) -> Vec<MountId> {
        let mut all = Vec::new();
        let mut open = alloc::vec![id];
        while let Some(next) = open.pop() {
            all.push(next);
            open.extend(self.get(next).children.iter().rev());
        }
        all
    }

    /// Says whether `id` is `above` or mounted somewhere below it.
    pub(super) fn is_mounted_below(&self, id: MountId, above: MountId) -> bool {
        let mut at = id;
        loop {
            if at == above {
                return true;
            }
            match self.get(at).parent {
                Some((parent, _)) => at = parent,
                None => return false,
            }
        }
    }

    /// Puts a tree of mounts that is in no namespace into one.
    pub(super) fn enter(&mut self, top: MountId, ns: NsKey) {
        let all = self.subtree(top);
        for id in &all {
            if let Some(mount) = self.mounts.get_mut(id) {
                mount.ns = Some(ns);
            }
        }
        if let Some(space) = self.spaces.get_mut(&ns) {
            space.count += all.len();
            space.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Takes one mount out of its namespace's books.
    pub(super) fn leave(&mut self, id: MountId) {
        let Some(ns) = self.mounts.get_mut(&id).and_then(|mount| mount.ns.take()) else { return };
        if let Some(space) = self.spaces.get_mut(&ns) {
            space.count -= 1;
            space.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Forgets a mount that is nowhere and that nobody uses, or remembers it until nobody does.
    pub(super) fn discard(&mut self, id: MountId) {
        let Some(mount) = self.mounts.get(&id) else { return };
        if mount.hold.retire() {
            self.lingering.push(id);
            return;
        }
        // Locked mounts that stayed with it go with it, or linger on their own.
        let shown = mount.shown;
        if !mount.children.is_empty() {
            for child in mount.children.clone() {
                self.detach(child);
                self.discard(child);
            }
        }
        self.shown.free(shown);
        if let Some(mount) = self.mounts.remove(&id) {
            self.garbage.push(Garbage::Mount(mount));
        }
    }

    /// Forgets what nobody uses any more.
    pub(super) fn sweep(&mut self) {
        for id in core::mem::take(&mut self.lingering) {
            self.discard(id);
        }
    }
}
