//! Unmounting a tree of mounts, and what was mounted with it elsewhere.

use super::{
    MountFlags,
    tree::{Garbage, MountId, NsKey, Tree},
};
use alloc::{collections::BTreeSet, vec::Vec};

/// How a tree of mounts ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// Nobody uses it: nothing stays together.
    Unused,
    /// It may be in use: what is locked stays on what it was mounted on.
    Lazy,
    /// It may be in use, and stays together.
    Whole,
}

impl Tree {
    /// Unmounts `top` and all below it, and, if `tell` is set, in every place that hears of it.
    pub(super) fn unmount(&mut self, top: MountId, end: End, tell: bool) {
        let mut all = self.subtree(top);
        if tell {
            self.unlock_copies(top);
            let more = self.heard_of_unmount(&all);
            self.slide_covers(&all, &more);
            all.extend(more);
        }
        for id in &all {
            self.leave(*id);
        }
        self.forget_peers(&all);
        let gone: BTreeSet<MountId> = all.iter().copied().collect();
        let mut loose = Vec::new();
        for id in all {
            let mount = self.get(id);
            let with_parent = mount.parent.is_some_and(|(parent, _)| gone.contains(&parent));
            let stays = match end {
                End::Unused => false,
                End::Lazy => with_parent && mount.flags.contains(MountFlags::LOCKED),
                End::Whole => with_parent,
            };
            if !stays {
                self.detach(id);
                loose.push(id);
            }
        }
        for id in loose {
            self.discard(id);
        }
    }

    /// What is mounted with `id` elsewhere, by hearsay, can be taken away with it.
    fn unlock_copies(&mut self, id: MountId) {
        let Some((parent, point)) = self.get(id).parent else { return };
        for receiver in self.receivers(parent) {
            if let Some(mount) =
                self.mounted_at(receiver, point).and_then(|copy| self.mounts.get_mut(&copy))
            {
                mount.flags -= MountFlags::LOCKED;
            }
        }
    }

    /// The mounts elsewhere that go when `going` go: mounted in the same place of a mount that
    /// hears of it, holding nothing that stays, and hiding nothing that must stay hidden.
    fn heard_of_unmount(&self, going: &[MountId]) -> Vec<MountId> {
        let going: BTreeSet<MountId> = going.iter().copied().collect();
        let mut found: Vec<MountId> = Vec::new();
        let mut candidates: BTreeSet<MountId> = BTreeSet::new();
        for id in &going {
            let Some((parent, point)) = self.get(*id).parent else { continue };
            for receiver in self.receivers(parent) {
                let copy = self.mounted_at(receiver, point);
                if let Some(copy) = copy.filter(|copy| !going.contains(copy))
                    && candidates.insert(copy)
                {
                    found.push(copy);
                }
            }
        }
        // Whoever holds a mount that stays, other than as its cover, stays; so does whoever holds
        // that one. A cover that stays slides down to the place of what it covers, and is held by
        // whoever held that.
        loop {
            let holds = |id: &MountId| {
                self.get(*id).children.iter().any(|child| {
                    self.leaves_something(*child, &candidates, &going)
                        && self.get(*child).parent.is_some_and(|(_, at)| at != self.get(*id).root)
                })
            };
            let staying: Vec<MountId> = candidates.iter().copied().filter(holds).collect();
            if staying.is_empty() {
                break;
            }
            for id in staying {
                candidates.remove(&id);
            }
        }
        // What is locked goes only with what it is mounted on.
        found.retain(|id| candidates.contains(id) && self.may_go(*id, &candidates, &going));
        found
    }

    /// Says whether something is left in a mount's place when the candidates have gone.
    fn leaves_something(
        &self,
        id: MountId,
        candidates: &BTreeSet<MountId>,
        going: &BTreeSet<MountId>,
    ) -> bool {
        let mut at = Some(id);
        while let Some(here) = at.filter(|here| !going.contains(here)) {
            if !candidates.contains(&here) {
                return true;
            }
            at = self.cover(here);
        }
        false
    }

    fn may_go(
        &self,
        id: MountId,
        candidates: &BTreeSet<MountId>,
        going: &BTreeSet<MountId>,
    ) -> bool {
        let mut at = id;
        loop {
            if going.contains(&at) || !self.get(at).flags.contains(MountFlags::LOCKED) {
                return true;
            }
            match self.get(at).parent {
                Some((parent, _)) if candidates.contains(&parent) || going.contains(&parent) => {
                    at = parent;
                }
                _ => return false,
            }
        }
    }

    /// What covers a mount that goes, and stays itself, slides down to where that was mounted.
    fn slide_covers(&mut self, going: &[MountId], more: &[MountId]) {
        let gone: BTreeSet<MountId> = going.iter().chain(more).copied().collect();
        for id in more {
            let Some(cover) = self.cover(*id).filter(|cover| !gone.contains(cover)) else {
                continue;
            };
            let mut at = *id;
            let place = loop {
                match self.get(at).parent {
                    Some((parent, _)) if gone.contains(&parent) => at = parent,
                    place => break place,
                }
            };
            if let Some((parent, point)) = place {
                // The mount that goes gives up its place first: one place, one mount.
                self.at.remove(&(parent, point));
                self.remount_elsewhere(cover, parent, point);
            }
        }
    }

    /// Says whether unmounting `id` would disturb somebody: it is used by more than `mine`, or
    /// something is mounted on it, or a mount that would go with it is used.
    pub(super) fn is_busy(&self, id: MountId, mine: usize) -> bool {
        let mount = self.get(id);
        if !mount.children.is_empty() || mount.hold.users() > mine {
            return true;
        }
        let Some((parent, point)) = mount.parent else { return false };
        self.receivers(parent).into_iter().any(|receiver| {
            let Some(copy) = self.mounted_at(receiver, point) else { return false };
            let children = &self.get(copy).children;
            let only_covered = children.len() == 1 && self.cover(copy).is_some();
            (children.is_empty() || only_covered) && self.get(copy).hold.users() > 0
        })
    }

    /// Ends a namespace that nobody is in.
    pub(super) fn dissolve(&mut self, ns: NsKey) {
        let Some(space) = self.spaces.get(&ns) else { return };
        let end = if space.origin.is_some() { End::Whole } else { End::Lazy };
        self.unmount(space.root, end, false);
        if let Some(space) = self.spaces.remove(&ns) {
            self.garbage.push(Garbage::Space(space));
        }
    }
}
