//! Sockets: the namespace they were made in, for life, and the port or name they hold there.

use super::{
    Address, Caller, NetNs, Protocol, Reuse,
    port::{Holder, LOCAL_RANGE, Ports, is_local, plain},
};
use crate::{
    capability::Cap,
    nsproxy::AnyNamespace,
    rule::{Refusal, Refuse, Rule},
    sync::{Arc, Mutex},
    task::Task,
};
use alloc::{sync::Arc as StdArc, vec::Vec};
use core::net::{IpAddr, SocketAddr};

/// A socket. It keeps its namespace alive; dropping it gives up what it was bound to.
pub struct Socket {
    net: Arc<NetNs>,
    id: u64,
    protocol: Protocol,
    reuse: Reuse,
    bound: Mutex<Option<Address>>,
}

impl Socket {
    /// What it is bound to, with the port that was chosen if it asked for any.
    pub fn address(&self) -> Option<Address> {
        self.bound.lock().clone()
    }

    /// The protocol it was made for.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let Some(address) = self.bound.lock().take() else { return };
        let mut ports = self.net.ports.lock();
        match address {
            Address::Abstract(name) => drop(ports.names.remove(&name)),
            Address::Ip(at) => {
                let key = (self.protocol, at.port());
                let holders = ports.held.get_mut(&key);
                if holders.is_some_and(|all| {
                    all.retain(|holder| holder.id != self.id);
                    all.is_empty()
                }) {
                    ports.held.remove(&key);
                }
            }
        }
    }
}

impl core::fmt::Debug for Socket {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Socket")
            .field("net", &self.net.inode())
            .field("protocol", &self.protocol)
            .field("bound", &self.address())
            .finish()
    }
}

/// socket(2), in the caller's namespace, with the options that concern its port.
pub fn socket(
    task: &StdArc<Task>,
    protocol: Protocol,
    reuse: Reuse,
) -> Result<StdArc<Socket>, Refusal> {
    let make = || {
        let Caller { net, .. } = Caller::of(task)?;
        let id = task.kernel.next_id();
        Ok(StdArc::new(Socket { net, id, protocol, reuse, bound: Mutex::default() }))
    };
    task.reported("socket", make())
}

/// bind(2). A path of the file system is not a matter of this namespace.
pub fn bind(task: &StdArc<Task>, socket: &Socket, address: &Address) -> Result<(), Refusal> {
    task.reported("bind", bind_to(task, socket, address))
}

fn bind_to(task: &Task, socket: &Socket, address: &Address) -> Result<(), Refusal> {
    let net = &socket.net;
    let (has_addresses, lo_is_up) = loopback(net);
    let mut bound = socket.bound.lock();
    let to = match address {
        Address::Abstract(name) => {
            already(bound.as_ref())?;
            let mut ports = net.ports.lock();
            if ports.names.contains_key(name) {
                return Err(Rule::AbstractNameTaken.refuse());
            }
            ports.names.insert(name.clone(), (socket.id, false));
            address.clone()
        }
        Address::Ip(at) => {
            let ip = plain(at.ip());
            if !is_local(ip, has_addresses, lo_is_up) {
                return Err(Rule::AddressNotLocal.refuse());
            }
            let cred = task.cred();
            let mut ports = net.ports.lock();
            let first = ports.first_free_for_all;
            let privileged = (1..first).contains(&at.port());
            if privileged && !cred.has(net.identity.owner(), Cap::NET_BIND_SERVICE) {
                return Err(Rule::PortNeedsBindService
                    .refuse()
                    .with("port", u32::from(at.port()))
                    .with("first free", u32::from(first))
                    .with("owner", net.owner_value()));
            }
            already(bound.as_ref())?;
            let (reuse, uid) = (socket.reuse, cred.euid);
            let holder = Holder { id: socket.id, ip, reuse, uid, listens: false };
            let port = choose_port(&ports, socket.protocol, &holder, at.port())?;
            ports.held.entry((socket.protocol, port)).or_default().push(holder);
            Address::Ip(SocketAddr::new(at.ip(), port))
        }
    };
    *bound = Some(to);
    Ok(())
}

/// Whether `lo` was ever up, and whether it is.
fn loopback(net: &NetNs) -> (bool, bool) {
    let mut rtnl = net.kernel().rtnl.lock();
    let here = rtnl.net(net.id());
    let lo_is_up = here.devices.values().any(|one| one.kind == super::LinkKind::Loopback && one.up);
    (here.has_addresses, lo_is_up)
}

fn already(bound: Option<&Address>) -> Result<(), Refusal> {
    match bound {
        Some(_) => Err(Rule::AddressBoundAlready.refuse()),
        None => Ok(()),
    }
}

fn excluded(ports: &Ports, protocol: Protocol, new: &Holder, port: u16) -> bool {
    let holders = ports.held.get(&(protocol, port)).map_or(&[][..], Vec::as_slice);
    holders.iter().any(|holder| holder.excludes(new, protocol))
}

fn choose_port(
    ports: &Ports,
    protocol: Protocol,
    new: &Holder,
    wanted: u16,
) -> Result<u16, Refusal> {
    let found = match wanted {
        0 => LOCAL_RANGE.into_iter().find(|port| !ports.held.contains_key(&(protocol, *port))),
        port => Some(port).filter(|port| !excluded(ports, protocol, new, *port)),
    };
    found.ok_or_else(|| Rule::PortTaken.refuse().with("port", u32::from(wanted)))
}

/// listen(2). A TCP socket that is not bound gets a port; one that shares its port may find that
/// another listens there already.
pub fn listen(task: &StdArc<Task>, socket: &Socket) -> Result<(), Refusal> {
    let listen = || {
        if socket.address().is_none() && socket.protocol == Protocol::Tcp {
            let any = SocketAddr::new(IpAddr::from([0; 4]), 0);
            bind_to(task, socket, &Address::Ip(any))?;
        }
        let address = socket.address();
        let mut ports = socket.net.ports.lock();
        match address {
            None => return Err(Rule::AddressMissing.refuse()),
            Some(Address::Abstract(name)) => {
                if let Some((_, listens)) = ports.names.get_mut(&name) {
                    *listens = true;
                }
            }
            Some(Address::Ip(at)) => {
                let key = (socket.protocol, at.port());
                let all = ports.held.get_mut(&key).map_or(&mut [][..], Vec::as_mut_slice);
                let Some(place) = all.iter().position(|one| one.id == socket.id) else {
                    return Ok(());
                };
                if all.iter().any(|one| one.excludes(&all[place], key.0)) {
                    return Err(Rule::PortListenedOn.refuse().with("port", u32::from(at.port())));
                }
                all[place].listens = true;
            }
        }
        Ok(())
    };
    task.reported("listen", listen())
}

/// connect(2) to an abstract name, or to the loopback address: whether somebody listens there, in
/// the socket's namespace.
pub fn connect(task: &StdArc<Task>, socket: &Socket, to: &Address) -> Result<(), Refusal> {
    let connect = || {
        let (_, lo_is_up) = loopback(&socket.net);
        let ports = socket.net.ports.lock();
        let listens = match to {
            Address::Abstract(name) => ports.names.get(name).is_some_and(|(_, listens)| *listens),
            Address::Ip(at) => {
                let ip = plain(at.ip());
                if !ip.is_loopback() || !lo_is_up {
                    return Err(Rule::NetUnreachable.refuse());
                }
                let reuse = Reuse::default();
                let me = Holder { id: socket.id, ip, reuse, uid: task.cred().euid, listens: false };
                let all = ports.held.get(&(socket.protocol, at.port()));
                let reached = |one: &Holder| one.listens && one.excludes(&me, socket.protocol);
                all.is_some_and(|all| all.iter().any(reached))
            }
        };
        match listens {
            true => Ok(()),
            false => Err(Rule::NobodyListens.refuse()),
        }
    };
    task.reported("connect", connect())
}

/// `SIOCGSKNS`: the namespace that the socket was made in.
pub fn socket_namespace(task: &StdArc<Task>, socket: &Socket) -> Result<AnyNamespace, Refusal> {
    let namespace = || {
        if !task.cred().has(socket.net.identity.owner(), Cap::NET_ADMIN) {
            return Err(Rule::SocketNeedsAdmin.refuse().with("owner", socket.net.owner_value()));
        }
        Ok(AnyNamespace::Net(Arc::clone(&socket.net)))
    };
    task.reported("SIOCGSKNS", namespace())
}
