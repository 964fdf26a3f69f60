//! Mounting a tree of mounts on a place, and on every place that hears of it.
//!
//! Staging builds the copies for the places that hear of it, where nobody sees them, and counts.
//! Then the attachment is committed, which cannot fail, or undone.

use super::{
    Dentry, Files, MountFlags,
    copy::{Kinship, Without},
    tree::{MountId, NsKey, Tree},
};
use crate::namespace::user::UserNs;
use alloc::{collections::BTreeMap, vec::Vec};

/// A tree of mounts, ready to be put on a place, with its copies for other places.
pub(super) struct Staged {
    top: MountId,
    /// It is mounted somewhere now.
    moves: bool,
    onto: MountId,
    point: Dentry,
    /// Copies and where each goes.
    copies: Vec<(MountId, MountId)>,
    /// Mounts of the tree that got a group number, because they become shared.
    numbered: Vec<MountId>,
}

/// Why an attachment cannot be staged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unfit {
    /// A namespace would hold too many mounts.
    Full,
    /// The file of a mount namespace cannot be propagated.
    Namespace,
    /// What it shows was removed.
    Removed,
}

/// A peer group that hears of an attachment: its members that can show it, and the group above.
struct Audience {
    members: Vec<MountId>,
    above: usize,
}

impl Tree {
    /// Builds everything that putting `top` on `point` of `onto` needs. `max` is the number of
    /// mounts that a namespace can hold.
    pub(super) fn stage(
        &mut self,
        files: &dyn Files,
        top: MountId,
        onto: MountId,
        point: Dentry,
        max: usize,
    ) -> Result<Staged, Unfit> {
        // What is mounted on its places already may have to go on top of it.
        if files.is_unlinked(self.get(self.top(top)).root) {
            return Err(Unfit::Removed);
        }
        let moves = self.get(top).parent.is_some();
        let all = self.subtree(top);
        let mut pending: BTreeMap<NsKey, usize> = BTreeMap::new();
        if !moves {
            self.count(&mut pending, onto, all.len(), max)?;
        }
        let shared = self.get(onto).peers.shared;
        let audiences = if shared { self.audiences(files, onto, point) } else { Vec::new() };
        if audiences.iter().any(|group| !group.members.is_empty())
            && self.get(top).is_mount_namespace()
        {
            return Err(Unfit::Namespace);
        }
        let numbered = if shared { self.number_groups(&all) } else { Vec::new() };
        let mut staged = Staged { top, moves, onto, point, copies: Vec::new(), numbered };
        match self.stage_copies(&audiences, &mut staged, &mut pending, max) {
            Ok(()) => Ok(staged),
            Err(unfit) => {
                self.unstage(staged);
                Err(unfit)
            }
        }
    }

    fn stage_copies(
        &mut self,
        audiences: &[Audience],
        staged: &mut Staged,
        pending: &mut BTreeMap<NsKey, usize>,
        max: usize,
    ) -> Result<(), Unfit> {
        let without = Without { unbindable: true, namespaces: true };
        // By group, the copy that the groups below it become slaves of.
        let mut latest: Vec<MountId> = Vec::with_capacity(audiences.len());
        for (number, group) in audiences.iter().enumerate() {
            let mut model = if number == 0 { staged.top } else { latest[group.above] };
            for (place, member) in group.members.iter().enumerate() {
                let kinship = match (number, place) {
                    (0, _) | (_, 1..) => Kinship::Peer,
                    _ if self.get(*member).peers.shared => Kinship::SharedSlave,
                    _ => Kinship::Slave,
                };
                let root = self.get(model).root;
                let originals = self.copied(None, model, root, without);
                let copies = self.copy_tree(&originals, root, kinship, false);
                model = copies[0];
                staged.copies.push((model, *member));
                self.count(pending, *member, copies.len(), max)?;
            }
            latest.push(model);
        }
        Ok(())
    }

    fn count(
        &self,
        pending: &mut BTreeMap<NsKey, usize>,
        onto: MountId,
        more: usize,
        max: usize,
    ) -> Result<(), Unfit> {
        let Some(ns) = self.get(onto).ns else { return Ok(()) };
        let pending = pending.entry(ns).or_default();
        *pending += more;
        if *pending > self.room(ns, max) { Err(Unfit::Full) } else { Ok(()) }
    }

    /// The groups that hear of a mount on `point` of `onto`, each after the one above it.
    fn audiences(&self, files: &dyn Files, onto: MountId, point: Dentry) -> Vec<Audience> {
        let hears = |id: &MountId| {
            let mount = self.get(*id);
            let space = mount.ns.and_then(|ns| self.spaces.get(&ns));
            let lives = space.is_some_and(|space| space.origin.is_none());
            *id != onto && lives && files.is_below(point, mount.root)
        };
        let mut all = Vec::new();
        let mut open = alloc::vec![(onto, 0)];
        while let Some((first, above)) = open.pop() {
            let ring = match self.get(first).peers.shared {
                true => self.ring(first),
                false => alloc::vec![first],
            };
            all.push(Audience { members: ring.iter().copied().filter(hears).collect(), above });
            let number = all.len() - 1;
            let mut below: Vec<MountId> = Vec::new();
            for slave in ring.iter().flat_map(|member| self.slaves(*member)) {
                // One of each group will do.
                if !below.iter().any(|known| self.are_peers(*known, slave)) {
                    below.push(slave);
                }
            }
            open.extend(below.into_iter().rev().map(|slave| (slave, number)));
        }
        all
    }

    /// Undoes what [`stage`](Tree::stage) built. The tree itself stays as it was.
    pub(super) fn unstage(&mut self, staged: Staged) {
        for (copy, _) in staged.copies {
            self.destroy(copy);
        }
        self.unnumber_groups(&staged.numbered);
    }

    /// Makes it so. `by` is the owner of the namespace of whoever does it.
    pub(super) fn commit_attach(&mut self, staged: Staged, by: &UserNs) {
        let Staged { top, moves, onto, point, copies, numbered: _ } = staged;
        let shared = self.get(onto).peers.shared;
        let all = self.subtree(top);
        if shared {
            all.iter().for_each(|id| self.set_shared(*id));
        }
        if moves {
            self.detach(top);
        } else {
            self.uproot(top);
        }
        self.put(top, onto, point, moves, by);
        for (copy, parent) in copies.into_iter().rev() {
            self.put(copy, parent, point, false, by);
        }
    }

    /// Mounts a tree on one place. What is mounted there already goes on top of it.
    fn put(&mut self, top: MountId, onto: MountId, point: Dentry, moves: bool, by: &UserNs) {
        let Some(ns) = self.get(onto).ns else { return };
        if self.spaces.get(&ns).is_some_and(|space| *space.owner != *by) {
            self.lock_tree(top);
        }
        let covered = self.mounted_at(onto, point);
        self.attach(top, onto, point);
        if !moves {
            self.enter(top, ns);
        }
        if let Some(covered) = covered {
            let front = self.top(top);
            let root = self.get(front).root;
            self.remount_elsewhere(covered, front, root);
        }
    }

    /// Changes where a mount is mounted, without a moment in between.
    pub(super) fn remount_elsewhere(&mut self, id: MountId, onto: MountId, point: Dentry) {
        self.detach(id);
        self.attach(id, onto, point);
    }

    /// Says whether a tree holds an unbindable mount.
    pub(super) fn holds_unbindable(&self, top: MountId) -> bool {
        self.subtree(top).iter().any(|id| self.get(*id).peers.unbindable)
    }

    /// Says whether something locked is mounted below `root` of a mount.
    pub(super) fn has_locked_children(&self, files: &dyn Files, id: MountId, root: Dentry) -> bool {
        self.get(id).children.iter().map(|child| self.get(*child)).any(|child| {
            child.flags.contains(MountFlags::LOCKED)
                && child.parent.is_some_and(|(_, point)| files.is_below(point, root))
        })
    }

    /// Says whether a place can be reached by names from another.
    pub(super) fn is_reachable(
        &self,
        files: &dyn Files,
        (mut mount, mut dentry): (MountId, Dentry),
        (root, from): (MountId, Dentry),
    ) -> bool {
        while mount != root {
            match self.get(mount).parent {
                Some((parent, point)) => (mount, dentry) = (parent, point),
                None => return false,
            }
        }
        files.is_below(dentry, from)
    }
}
