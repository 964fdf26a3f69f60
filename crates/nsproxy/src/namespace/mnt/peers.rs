//! Peer groups, masters and slaves: who hears of whose mounts (mount_namespaces(7)).
//!
//! A shared mount is in a ring of peers with one group number. A slave hangs below a shared mount,
//! its master; it may itself be shared, and then its peers hang below the same master.

use super::{
    Propagation,
    tree::{MountId, Tree},
};
use alloc::vec::Vec;

/// A mount's place among peers, masters and slaves.
pub(super) struct Links {
    /// The peer group's number, 0 for none. A mount that is about to become shared has one already.
    pub(super) group: u32,
    pub(super) shared: bool,
    pub(super) unbindable: bool,
    pub(super) master: Option<MountId>,
    /// The ring of peers; a mount without any is its own.
    next_peer: MountId,
    previous_peer: MountId,
    first_slave: Option<MountId>,
    /// The list of its master's slaves. Peers stand side by side in it.
    next_slave: Option<MountId>,
    previous_slave: Option<MountId>,
}

impl Links {
    /// Of a private mount.
    pub(super) fn alone(id: MountId) -> Links {
        Links {
            group: 0,
            shared: false,
            unbindable: false,
            master: None,
            next_peer: id,
            previous_peer: id,
            first_slave: None,
            next_slave: None,
            previous_slave: None,
        }
    }
}

impl Tree {
    fn links(&mut self, id: MountId) -> Option<&mut Links> {
        self.mounts.get_mut(&id).map(|mount| &mut mount.peers)
    }

    pub(super) fn next_peer(&self, id: MountId) -> MountId {
        self.get(id).peers.next_peer
    }

    /// The ring that `id` is in, beginning with it.
    pub(super) fn ring(&self, id: MountId) -> Vec<MountId> {
        let mut all = alloc::vec![id];
        let mut at = self.next_peer(id);
        while at != id {
            all.push(at);
            at = self.next_peer(at);
        }
        all
    }

    /// The slaves that hang below this very mount.
    pub(super) fn slaves(&self, id: MountId) -> Vec<MountId> {
        let mut all = Vec::new();
        let mut at = self.get(id).peers.first_slave;
        while let Some(slave) = at {
            all.push(slave);
            at = self.get(slave).peers.next_slave;
        }
        all
    }

    pub(super) fn are_peers(&self, one: MountId, other: MountId) -> bool {
        let (one, other) = (&self.get(one).peers, &self.get(other).peers);
        one.group != 0 && one.group == other.group
    }

    /// Every mount that hears of what happens on `origin`, without itself: peers, then slaves, then
    /// theirs.
    pub(super) fn receivers(&self, origin: MountId) -> Vec<MountId> {
        let mut all = Vec::new();
        let mut open = match self.get(origin).peers.shared {
            true => self.ring(origin),
            false => Vec::new(),
        };
        open.reverse();
        while let Some(id) = open.pop() {
            if id != origin {
                all.push(id);
            }
            // Peers of a slave are slaves of the same master themselves.
            open.extend(self.slaves(id).into_iter().rev());
        }
        all
    }

    /// Puts `id`, which is alone, into the ring of `peer`.
    pub(super) fn join_ring(&mut self, id: MountId, peer: MountId) {
        let next = self.next_peer(peer);
        if let Some(links) = self.links(id) {
            (links.previous_peer, links.next_peer) = (peer, next);
        }
        if let Some(links) = self.links(peer) {
            links.next_peer = id;
        }
        if let Some(links) = self.links(next) {
            links.previous_peer = id;
        }
    }

    fn leave_ring(&mut self, id: MountId) {
        let (previous, next) = {
            let links = &self.get(id).peers;
            (links.previous_peer, links.next_peer)
        };
        if let Some(links) = self.links(previous) {
            links.next_peer = next;
        }
        if let Some(links) = self.links(next) {
            links.previous_peer = previous;
        }
        if let Some(links) = self.links(id) {
            (links.previous_peer, links.next_peer) = (id, id);
        }
    }

    /// Hangs `id` below `master`, in front of its other slaves or right behind one of them.
    pub(super) fn enslave(&mut self, id: MountId, master: MountId, behind: Option<MountId>) {
        let next = match behind {
            Some(slave) => self.get(slave).peers.next_slave,
            None => self.get(master).peers.first_slave,
        };
        if let Some(links) = self.links(id) {
            (links.master, links.previous_slave, links.next_slave) = (Some(master), behind, next);
        }
        if let Some(links) = next.and_then(|next| self.links(next)) {
            links.previous_slave = Some(id);
        }
        match behind.and_then(|slave| self.links(slave)) {
            Some(links) => links.next_slave = Some(id),
            None => {
                if let Some(links) = self.links(master) {
                    links.first_slave = Some(id);
                }
            }
        }
    }

    /// Takes `id` from below its master.
    fn free_slave(&mut self, id: MountId) {
        let Some(links) = self.links(id) else { return };
        let (Some(master), previous, next) =
            (links.master.take(), links.previous_slave.take(), links.next_slave.take())
        else {
            return;
        };
        if let Some(links) = next.and_then(|next| self.links(next)) {
            links.previous_slave = previous;
        }
        match previous.and_then(|previous| self.links(previous)) {
            Some(links) => links.next_slave = next,
            None => {
                if let Some(links) = self.links(master) {
                    links.first_slave = next;
                }
            }
        }
    }

    /// Gives every mount below `top` a group number that has none.
    pub(super) fn number_groups(&mut self, mounts: &[MountId]) -> Vec<MountId> {
        let mut numbered = Vec::new();
        for id in mounts {
            if self.get(*id).peers.group == 0 {
                let group = self.groups.take();
                if let Some(links) = self.links(*id) {
                    links.group = group;
                }
                numbered.push(*id);
            }
        }
        numbered
    }

    /// Takes back what [`number_groups`](Tree::number_groups) gave to mounts that did not become
    /// shared after all.
    pub(super) fn unnumber_groups(&mut self, numbered: &[MountId]) {
        for id in numbered {
            let Some(links) = self.links(*id) else { continue };
            if !links.shared {
                let group = core::mem::take(&mut links.group);
                self.groups.free(group);
            }
        }
    }

    /// Makes a mount shared: in a group of its own if it has none.
    pub(super) fn set_shared(&mut self, id: MountId) {
        self.number_groups(&[id]);
        if let Some(mount) = self.edit(id) {
            mount.peers.shared = true;
            mount.peers.unbindable = false;
        }
    }

    /// Makes a mount what mount(2) asks for.
    pub(super) fn set_propagation(&mut self, id: MountId, to: Propagation) {
        if to == Propagation::Shared {
            self.set_shared(id);
            return;
        }
        let mut master = self.get(id).peers.master;
        if self.get(id).peers.shared {
            let peer = self.next_peer(id);
            let group = self.get(id).peers.group;
            if peer == id {
                self.groups.free(group);
            } else {
                master = Some(peer);
                self.leave_ring(id);
            }
            if let Some(links) = self.links(id) {
                (links.shared, links.group) = (false, 0);
            }
            self.hand_over_slaves(id, master);
        }
        let was_master = self.get(id).peers.master;
        if to != Propagation::Slave || master != was_master {
            self.free_slave(id);
        }
        match (to, master) {
            (Propagation::Slave, Some(master)) if Some(master) != was_master => {
                self.enslave(id, master, None);
            }
            _ => {}
        }
        if let Some(mount) = self.edit(id)
            && to != Propagation::Slave
        {
            mount.peers.unbindable = to == Propagation::Unbindable;
        }
    }

    /// Hangs the slaves of one mount below another, or below none.
    fn hand_over_slaves(&mut self, id: MountId, to: Option<MountId>) {
        for slave in self.slaves(id).into_iter().rev() {
            self.free_slave(slave);
            if let Some(to) = to {
                self.enslave(slave, to, None);
            }
            // Its members see the master's number.
            let _ = self.edit(slave);
        }
    }

    /// Takes mounts that were unmounted out of every ring and list.
    pub(super) fn forget_peers(&mut self, mounts: &[MountId]) {
        for id in mounts {
            self.set_propagation(*id, Propagation::Private);
        }
    }
}
