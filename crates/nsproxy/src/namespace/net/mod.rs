//! Net: devices, ids of other network namespaces, ports and abstract names.
//!
//! State: the devices and the nsids, which lie in one table of the whole system because a veth pair
//! and a move concern two namespaces at once; the ports and abstract names in use; the first
//! port that everybody may bind. A new namespace has `lo`, down, and nothing else.
//! Calls: rtnetlink's links and nsids; socket, bind, listen, connect as far as names go;
//! `SIOCGSKNS`; `/proc/sys/net/ipv4/ip_unprivileged_port_start`.
//! Rules: `Net*`, `Link*`, `Nsid*`, `Port*`, `Address*`, `Abstract*`.
//!
//! A namespace lives as long as a task is in it, a descriptor holds it, or a [`Socket`] was made in
//! it. At its end devices that were made die, and a veth's peer with them wherever it is; others
//! go home to the initial namespace; its id in every other namespace is free again.
//!
//! Not here: packets, routes, and addresses other than the loopback device's own.
//!
//! Locks: what a socket is bound to, then the ports of its namespace; or the devices of all
//! namespaces (`rtnl_lock`), never with the others.

mod link;
mod name;
mod nsid;
mod port;
mod rtnl;
mod socket;
mod sysctl;

pub use link::{LinkInfo, LinkKind, NewLink, Peer, add_hardware, link_add, link_delete, links};
pub use link::{link_move, link_rename, link_set_up};
pub use nsid::{NSID_ANY, nsid_assign, nsid_get, nsid_known};
pub use port::{Address, Protocol, Reuse};
pub(crate) use rtnl::Rtnl;
pub use socket::{Socket, bind, connect, listen, socket, socket_namespace};
pub use sysctl::{may_open_port_start, read_port_start, write_port_start};

use super::{Draft, Identity, Kind, Maker, Namespace, Number};
use crate::{
    capability::Cap,
    cred::Cred,
    namespace::user::UserNs,
    nsproxy::AnyNamespace,
    rule::{Refusal, Refuse, Rule, Value},
    sync::{Arc, Mutex},
    system::Kernel,
    task::Task,
};
use alloc::sync::Arc as StdArc;
use core::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

/// A network namespace (`struct net`).
pub struct NetNs {
    ports: Mutex<port::Ports>,
    /// Somebody has asked for its id, so that [`Rtnl`] may know it.
    known: AtomicBool,
    identity: Identity,
}

impl NetNs {
    pub(crate) fn initial(user: &Arc<UserNs>) -> Arc<NetNs> {
        let initial = NetNs::build(Identity::initial(user, Kind::Net));
        initial.kernel().rtnl.lock().set_home(initial.id());
        initial
    }

    fn build(identity: Identity) -> Arc<NetNs> {
        Arc::new(NetNs { ports: Mutex::default(), known: AtomicBool::new(false), identity })
    }

    /// Its inode number.
    pub fn inode(&self) -> u32 {
        self.identity.inode()
    }

    /// The user namespace that owns it.
    pub fn owner(&self) -> Arc<UserNs> {
        Arc::clone(self.identity.owner())
    }

    /// What [`Rtnl`] calls it.
    fn id(&self) -> u64 {
        self.known.store(true, Ordering::Relaxed);
        self.identity.id()
    }

    pub(crate) fn kernel(&self) -> &Kernel {
        self.identity.kernel()
    }

    /// Its owner as a refusal shows it.
    fn owner_value(&self) -> Value {
        Value::Namespace(Kind::User, self.identity.owner().inode())
    }

    /// Checks that `cred` administers it.
    fn administered_by(&self, cred: &Cred) -> Result<(), Refusal> {
        if cred.has(self.identity.owner(), Cap::NET_ADMIN) {
            return Ok(());
        }
        Err(Rule::NetNeedsAdmin.refuse().with("owner", self.owner_value()))
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        if *self.known.get_mut() {
            self.identity.kernel().rtnl.lock().close(self.identity.id());
        }
    }
}

impl Namespace for NetNs {
    const KIND: Kind = Kind::Net;

    fn number(&self) -> &Number {
        self.identity.number()
    }

    fn belongs_to(&self) -> Option<&Arc<UserNs>> {
        Some(self.identity.owner())
    }

    fn copy(old: &Arc<NetNs>, maker: &Maker<'_>) -> Result<Arc<NetNs>, Refusal> {
        let identity = Identity::new(maker, &**old)?;
        Ok(NetNs::build(identity))
    }

    fn install(this: &Arc<NetNs>, draft: &mut Draft<'_>) -> Result<(), Refusal> {
        draft.joiner_is_admin(this.identity.owner())?;
        draft.proxy.net = Arc::clone(this);
        Ok(())
    }
}

impl fmt::Debug for NetNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetNs")
            .field("inode", &self.inode())
            .field("owner", &self.identity.owner().inode())
            .finish()
    }
}

/// How a request names another network namespace.
#[derive(Clone, Copy, Debug)]
pub enum Named<'a> {
    /// By a descriptor of a namespace, of whatever type.
    Namespace(&'a AnyNamespace),
    /// By a descriptor that is not open.
    Closed,
    /// By a descriptor of something else.
    Other,
    /// By the number of a process.
    Task(&'a StdArc<Task>),
    /// By a number that no process has.
    Nobody,
}

impl Named<'_> {
    fn resolve(&self) -> Result<Arc<NetNs>, Refusal> {
        let found = match self {
            Named::Namespace(AnyNamespace::Net(net)) => return Ok(Arc::clone(net)),
            Named::Closed => return Err(Rule::NetDescriptorClosed.refuse()),
            Named::Namespace(_) | Named::Other => {
                return Err(Rule::NetNotANamespace.refuse());
            }
            Named::Task(task) => task.nsproxy().map(|proxy| Arc::clone(&proxy.net)),
            Named::Nobody => None,
        };
        found.ok_or_else(|| Rule::NetProcessUnknown.refuse())
    }

    /// The same, for putting a device there.
    fn for_device(&self, cred: &Cred) -> Result<Arc<NetNs>, Refusal> {
        let net = self.resolve()?;
        if cred.has(net.identity.owner(), Cap::NET_ADMIN) {
            return Ok(net);
        }
        Err(Rule::NetTargetNeedsAdmin.refuse().with("owner", net.owner_value()))
    }
}

/// Who makes a call, and the namespace it is made in.
struct Caller {
    net: Arc<NetNs>,
    cred: Arc<Cred>,
}

impl Caller {
    fn of(task: &Task) -> Result<Caller, Refusal> {
        Ok(Caller { net: Arc::clone(&task.alive()?.net), cred: task.cred() })
    }

    /// Of a request that changes something: its maker must administer its own namespace.
    fn admin(task: &Task) -> Result<Caller, Refusal> {
        let caller = Caller::of(task)?;
        caller.net.administered_by(&caller.cred)?;
        Ok(caller)
    }
}
