//! The devices and nsids of every network namespace, under one lock as in the kernel.
//!
//! Namespaces are referred to by their ids, so that a device never keeps one alive. One that is not
//! here has nothing but `lo`, and nobody has asked for it: most come and go without this lock.

use super::LinkKind;
use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

/// The index of `lo`, the first.
const LOOPBACK: u32 = 1;

/// Where a device is: the namespace's id and its index there.
pub(super) type Place = (u64, u32);

/// A device.
pub(super) struct Device {
    pub(super) name: String,
    pub(super) kind: LinkKind,
    pub(super) up: bool,
    /// The other end of a veth pair.
    pub(super) peer: Option<Place>,
}

/// What one namespace has.
pub(super) struct Net {
    pub(super) devices: BTreeMap<u32, Device>,
    /// The last index that was given out.
    pub(super) last_index: u32,
    /// Its names for other namespaces, and perhaps itself.
    pub(super) nsids: BTreeMap<i32, u64>,
    /// `lo` was up once: from then on there are local addresses to compare with.
    pub(super) has_addresses: bool,
}

impl Net {
    /// With `lo`, which is down.
    fn new() -> Net {
        let (name, kind) = ("lo".to_string(), LinkKind::Loopback);
        let lo = Device { name, kind, up: false, peer: None };
        Net {
            devices: BTreeMap::from([(LOOPBACK, lo)]),
            last_index: LOOPBACK,
            nsids: BTreeMap::new(),
            has_addresses: false,
        }
    }

    pub(super) fn by_name(&self, name: &str) -> Option<u32> {
        self.devices.iter().find(|(_, device)| device.name == name).map(|(index, _)| *index)
    }

    /// The next index that is free.
    pub(super) fn take_index(&mut self) -> u32 {
        loop {
            self.last_index = self.last_index.checked_add(1).unwrap_or(LOOPBACK);
            if !self.devices.contains_key(&self.last_index) {
                return self.last_index;
            }
        }
    }

    pub(super) fn nsid_of(&self, other: u64) -> Option<i32> {
        self.nsids.iter().find(|(_, known)| **known == other).map(|(nsid, _)| *nsid)
    }

    /// The id of another namespace, given now if it has none.
    pub(super) fn name_for(&mut self, other: u64) -> i32 {
        if let Some(nsid) = self.nsid_of(other) {
            return nsid;
        }
        let free = (0..=i32::MAX).find(|nsid| !self.nsids.contains_key(nsid)).unwrap_or(0);
        self.nsids.insert(free, other);
        free
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Rtnl {
    nets: BTreeMap<u64, Net>,
    /// The initial namespace.
    home: Option<u64>,
}

impl Rtnl {
    /// The initial namespace begins.
    pub(super) fn set_home(&mut self, id: u64) {
        self.home = Some(id);
    }

    pub(super) fn net(&mut self, id: u64) -> &mut Net {
        self.nets.entry(id).or_insert_with(Net::new)
    }

    pub(super) fn device(&mut self, (id, index): Place) -> Option<&mut Device> {
        self.nets.get_mut(&id)?.devices.get_mut(&index)
    }

    /// Destroys a device, and the other end of a pair.
    pub(super) fn destroy(&mut self, (id, index): Place) {
        let device = self.nets.get_mut(&id).and_then(|net| net.devices.remove(&index));
        if let Some((id, index)) = device.and_then(|device| device.peer)
            && let Some(net) = self.nets.get_mut(&id)
        {
            net.devices.remove(&index);
        }
    }

    /// Moves a device whose name is free there: down, with its index if that is free too.
    pub(super) fn move_to(&mut self, (from, index): Place, to: u64) {
        let Some(mut device) = self.net(from).devices.remove(&index) else { return };
        let target = self.net(to);
        let index = match target.devices.contains_key(&index) {
            true => target.take_index(),
            false => index,
        };
        device.up = false;
        let peer = device.peer;
        target.devices.insert(index, device);
        if let Some(other) = peer.and_then(|peer| self.device(peer)) {
            other.peer = Some((to, index));
        }
        // Both sides are told, and the messages name the other namespace.
        self.net(from).name_for(to);
        if let Some((elsewhere, _)) = peer.filter(|(elsewhere, _)| *elsewhere != to) {
            self.net(to).name_for(elsewhere);
        }
    }

    /// A namespace ends.
    pub(super) fn close(&mut self, id: u64) {
        let Some(net) = self.nets.get(&id) else { return };
        let all: Vec<(u32, LinkKind, String)> = net
            .devices
            .iter()
            .map(|(index, device)| (*index, device.kind, device.name.clone()))
            .collect();
        for (index, kind, name) in all {
            match (kind, self.home) {
                (LinkKind::Hardware, Some(home)) if home != id => {
                    self.free_name(home, (id, index), &name);
                    self.move_to((id, index), home);
                }
                _ => self.destroy((id, index)),
            }
        }
        self.nets.remove(&id);
        for net in self.nets.values_mut() {
            net.nsids.retain(|_, known| *known != id);
        }
    }

    /// Renames a device that comes home to a name that is taken.
    fn free_name(&mut self, home: u64, place: Place, name: &str) {
        if self.net(home).by_name(name).is_none() {
            return;
        }
        let free = (0..=u32::MAX)
            .map(|number| format!("dev{number}"))
            .find(|name| self.net(home).by_name(name).is_none());
        if let (Some(free), Some(device)) = (free, self.device(place)) {
            device.name = free;
        }
    }
}
