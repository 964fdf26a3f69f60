//! Ports and abstract names in use in one namespace, and who conflicts with whom.

use crate::id::Kuid;
use alloc::{collections::BTreeMap, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Which ports are meant: each protocol has its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "the names of the protocols")]
pub enum Protocol {
    Tcp,
    Udp,
    /// A Unix socket: names instead of ports.
    Unix,
}

/// What a socket can be bound to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// An address and a port; port 0 for any that is free.
    Ip(SocketAddr),
    /// A name that is no path (unix(7)).
    Abstract(Vec<u8>),
}

/// What a socket says about sharing its port, before it is bound.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Reuse {
    /// `SO_REUSEADDR`
    pub address: bool,
    /// `SO_REUSEPORT`
    pub port: bool,
    /// `IPV6_V6ONLY`
    pub v6_only: bool,
}

/// A socket that holds a port.
pub(super) struct Holder {
    pub(super) id: u64,
    pub(super) ip: IpAddr,
    pub(super) reuse: Reuse,
    pub(super) uid: Kuid,
    pub(super) listens: bool,
}

impl Holder {
    /// Whether there is an address that both would get.
    fn overlaps(&self, other: &Holder) -> bool {
        let any = |ip: IpAddr| ip.is_unspecified();
        match (self.ip, other.ip) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                self.ip == other.ip || any(self.ip) || any(other.ip)
            }
            (IpAddr::V6(_), IpAddr::V4(_)) => any(self.ip) && !self.reuse.v6_only,
            (IpAddr::V4(_), IpAddr::V6(_)) => any(other.ip) && !other.reuse.v6_only,
        }
    }

    /// Whether it and a newcomer cannot both hold the port.
    pub(super) fn excludes(&self, new: &Holder, protocol: Protocol) -> bool {
        let both_address = self.reuse.address && new.reuse.address;
        let may_share = both_address && (protocol == Protocol::Udp || !self.listens);
        let one_owner = self.reuse.port && new.reuse.port && self.uid == new.uid;
        self.id != new.id && self.overlaps(new) && !may_share && !one_owner
    }
}

/// An IPv4 address in IPv6 clothes is that address.
pub(super) fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

/// Whether a socket can be bound to an address, where `lo` is the only device with addresses.
pub(super) fn is_local(ip: IpAddr, has_addresses: bool, lo_is_up: bool) -> bool {
    match ip {
        IpAddr::V4(four) => {
            let special = four.is_unspecified() || four.is_multicast() || four.is_broadcast();
            // As long as no address was ever there, the kernel has no table to look in.
            special || !has_addresses || four.octets()[0] == Ipv4Addr::LOCALHOST.octets()[0]
        }
        IpAddr::V6(six) => {
            six.is_unspecified() || six.is_multicast() || (six == Ipv6Addr::LOCALHOST && lo_is_up)
        }
    }
}

/// What is in use in a namespace.
pub(super) struct Ports {
    pub(super) held: BTreeMap<(Protocol, u16), Vec<Holder>>,
    /// Abstract names, and whether their sockets listen.
    pub(super) names: BTreeMap<Vec<u8>, (u64, bool)>,
    /// The first port that everybody may bind.
    pub(super) first_free_for_all: u16,
}

impl Default for Ports {
    fn default() -> Ports {
        Ports { held: BTreeMap::new(), names: BTreeMap::new(), first_free_for_all: 1024 }
    }
}

/// The ports that the kernel chooses from.
pub(super) const LOCAL_RANGE: core::ops::RangeInclusive<u16> = 32768..=60999;
