//! Links: making, moving, naming and removing devices (rtnetlink(7)).

use super::{
    Caller, Named, NetNs,
    name::{choose, short_enough},
    rtnl::{Device, Net, Place, Rtnl},
};
use crate::{
    namespace::Kind,
    rule::{Refusal, Refuse, Rule, Value},
    sync::Arc,
    task::Task,
};
use alloc::{
    string::{String, ToString},
    sync::Arc as StdArc,
    vec::Vec,
};

/// What sort of device it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LinkKind {
    /// `lo`: there is one in each namespace, and it stays there.
    Loopback,
    /// A device of its own, made by a request: `ifb`, `dummy`.
    Virtual,
    /// The same, of a sort that stays where it was made: `bridge`.
    Pinned,
    /// One end of a pair.
    Veth,
    /// What was not made by a request, and cannot be removed by one.
    Hardware,
}

impl LinkKind {
    fn is_pinned(self) -> bool {
        matches!(self, LinkKind::Loopback | LinkKind::Pinned)
    }
}

/// The other end of a veth pair to be made.
#[derive(Clone, Copy, Default, Debug)]
pub struct Peer<'a> {
    /// Its name or pattern; `veth%d` if it has none.
    pub name: Option<&'a str>,
    /// Where it is to be; the caller's namespace if nowhere else.
    pub target: Option<Named<'a>>,
}

/// What `RTM_NEWLINK` asks for.
#[derive(Clone, Copy, Debug)]
pub struct NewLink<'a> {
    /// Its sort; `None` for a word that the kernel does not know. Loopback and hardware are not made
    /// by requests.
    pub kind: Option<LinkKind>,
    /// Its name, or a pattern with `%d`.
    pub name: &'a str,
    /// The index that it must have; 0 for any.
    pub index: i32,
    /// Where it is to be; the caller's namespace if nowhere else.
    pub target: Option<Named<'a>>,
    /// For a veth: the other end.
    pub peer: Peer<'a>,
}

/// A device as a listing shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkInfo {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its sort.
    pub kind: LinkKind,
    /// Administratively up.
    pub up: bool,
    /// For a veth whose other end is elsewhere: the nsid of that namespace here.
    pub peer_nsid: Option<i32>,
}

/// The devices of the caller's namespace, by index. A listing names the namespaces of other ends,
/// so that those which had no nsid here have one afterwards.
pub fn links(task: &StdArc<Task>) -> Result<Vec<LinkInfo>, Refusal> {
    let list = || {
        let Caller { net, .. } = Caller::of(task)?;
        let mut rtnl = net.kernel().rtnl.lock();
        let here = rtnl.net(net.id());
        let elsewhere = |device: &Device| device.peer.filter(|(id, _)| *id != net.id());
        let others: Vec<u64> =
            here.devices.values().filter_map(elsewhere).map(|(id, _)| id).collect();
        for id in others {
            here.name_for(id);
        }
        let info = |(index, device): (&u32, &Device)| LinkInfo {
            index: *index,
            name: device.name.clone(),
            kind: device.kind,
            up: device.up,
            peer_nsid: elsewhere(device).and_then(|(id, _)| here.nsid_of(id)),
        };
        Ok(here.devices.iter().map(info).collect())
    };
    task.reported("RTM_GETLINK", list())
}

/// Adds a device that no request has made. For embedders that show the host's.
pub fn add_hardware(net: &Arc<NetNs>, name: &str) {
    let mut rtnl = net.kernel().rtnl.lock();
    put(rtnl.net(net.id()), name.to_string(), LinkKind::Hardware, 0);
}

fn put(net: &mut Net, name: String, kind: LinkKind, index: u32) -> u32 {
    let index = if index == 0 { net.take_index() } else { index };
    net.devices.insert(index, Device { name, kind, up: false, peer: None });
    index
}

/// `RTM_NEWLINK` with `NLM_F_CREATE` and `NLM_F_EXCL`.
pub fn link_add(task: &StdArc<Task>, new: &NewLink<'_>) -> Result<(), Refusal> {
    task.reported("RTM_NEWLINK", add(task, new))
}

fn add(task: &Task, new: &NewLink<'_>) -> Result<(), Refusal> {
    let caller = Caller::admin(task)?;
    short_enough(new.name)?;
    short_enough(new.peer.name.unwrap_or_default())?;
    let place = |target: Option<Named<'_>>| match target {
        Some(named) => named.for_device(&caller.cred),
        None => Ok(Arc::clone(&caller.net)),
    };
    let peer_net = place(new.peer.target)?;
    let net = place(new.target)?;
    let peer_id = peer_net.id();
    let Ok(index) = u32::try_from(new.index) else {
        return Err(Rule::LinkIndexInvalid.refuse().with("index", new.index));
    };
    let mut rtnl = net.kernel().rtnl.lock();
    let here = rtnl.net(net.id());
    if here.devices.contains_key(&index) {
        return Err(Rule::LinkIndexTaken.refuse().with("index", index));
    }
    let kind = new.kind.ok_or_else(|| Rule::LinkKindUnknown.refuse());
    if kind.is_err() && here.by_name(new.name).is_none() {
        return kind.map(drop);
    }
    if kind != Ok(LinkKind::Veth) {
        let name = choose(here, new.name)?;
        put(here, name, kind?, index);
        return Ok(());
    }
    if here.by_name(new.name).is_some() {
        choose(here, new.name)?;
    }
    // The other end comes first, and so has the lower index.
    let peer_name = choose(rtnl.net(peer_id), new.peer.name.unwrap_or("veth%d"))?;
    let peer = (peer_id, put(rtnl.net(peer_id), peer_name, LinkKind::Veth, 0));
    let name = match choose(rtnl.net(net.id()), new.name) {
        Ok(name) => name,
        Err(refusal) => {
            // As the kernel does: the device goes, the index was used.
            rtnl.destroy(peer);
            return Err(refusal);
        }
    };
    let first = (net.id(), put(rtnl.net(net.id()), name, LinkKind::Veth, index));
    join(&mut rtnl, first, peer);
    Ok(())
}

/// Makes two devices the ends of a pair.
fn join(rtnl: &mut Rtnl, one: Place, other: Place) {
    for (end, far) in [(one, other), (other, one)] {
        if let Some(device) = rtnl.device(end) {
            device.peer = Some(far);
        }
        // Its appearance is told, with the namespace of the other end.
        if end.0 != far.0 {
            rtnl.net(end.0).name_for(far.0);
        }
    }
}

fn find(net: &Net, name: &str) -> Result<u32, Refusal> {
    short_enough(name)?;
    net.by_name(name).ok_or_else(|| Rule::LinkUnknown.refuse())
}

/// `RTM_SETLINK` with `IFLA_NET_NS_FD` or `IFLA_NET_NS_PID`: the device goes to another namespace,
/// down, and keeps its index if that is free there.
pub fn link_move(task: &StdArc<Task>, name: &str, to: Named<'_>) -> Result<(), Refusal> {
    let change = || {
        let caller = Caller::admin(task)?;
        short_enough(name)?;
        let target = to.for_device(&caller.cred)?;
        let (from, to) = (caller.net.id(), target.id());
        let mut rtnl = caller.net.kernel().rtnl.lock();
        let here = rtnl.net(from);
        let index = find(here, name)?;
        if from == to {
            return Ok(());
        }
        if here.devices.get(&index).is_some_and(|device| device.kind.is_pinned()) {
            return Err(Rule::LinkPinned.refuse());
        }
        if rtnl.net(to).by_name(name).is_some() {
            let there = Value::Namespace(Kind::Net, target.inode());
            return Err(Rule::LinkNameTakenThere.refuse().with("in", there));
        }
        rtnl.move_to((from, index), to);
        Ok(())
    };
    task.reported("RTM_SETLINK", change())
}

/// `RTM_SETLINK` with `IFLA_IFNAME`.
pub fn link_rename(task: &StdArc<Task>, name: &str, to: &str) -> Result<(), Refusal> {
    let change = || {
        let caller = Caller::admin(task)?;
        short_enough(to)?;
        let mut rtnl = caller.net.kernel().rtnl.lock();
        let here = rtnl.net(caller.net.id());
        let index = find(here, name)?;
        if name == to {
            return Ok(());
        }
        let chosen = choose(here, to)?;
        if let Some(device) = here.devices.get_mut(&index) {
            device.name = chosen;
        }
        Ok(())
    };
    task.reported("RTM_SETLINK", change())
}

/// `RTM_SETLINK` with `IFF_UP` set or not.
pub fn link_set_up(task: &StdArc<Task>, name: &str, up: bool) -> Result<(), Refusal> {
    let change = || {
        let caller = Caller::admin(task)?;
        let mut rtnl = caller.net.kernel().rtnl.lock();
        let here = rtnl.net(caller.net.id());
        let index = find(here, name)?;
        if let Some(device) = here.devices.get_mut(&index) {
            device.up = up;
            here.has_addresses |= up && device.kind == LinkKind::Loopback;
        }
        Ok(())
    };
    task.reported("RTM_SETLINK", change())
}

/// `RTM_DELLINK`: the other end of a pair goes too, wherever it is.
pub fn link_delete(task: &StdArc<Task>, name: &str) -> Result<(), Refusal> {
    let change = || {
        let caller = Caller::admin(task)?;
        let id = caller.net.id();
        let mut rtnl = caller.net.kernel().rtnl.lock();
        let index = find(rtnl.net(id), name)?;
        let kind = rtnl.device((id, index)).map(|device| device.kind);
        if matches!(kind, Some(LinkKind::Loopback | LinkKind::Hardware)) {
            return Err(Rule::LinkStays.refuse());
        }
        rtnl.destroy((id, index));
        Ok(())
    };
    task.reported("RTM_DELLINK", change())
}
