//! Sockets, and rtnetlink's links and nsids.

use std::sync::{Arc, Mutex};

use nsproxy::net::{self, LinkKind, Named, NewLink, Peer, Protocol, Reuse, Socket};
use nsproxy::{AnyNamespace, Refusal, Task};

use super::open::{OpenFile, What};
use super::world::{World, done, refused};
use crate::agent::link_text;
use crate::lang::{Call, NetRef};

/// What a network namespace's name in a request leads to.
enum Found {
    Namespace(AnyNamespace),
    Other,
    Closed,
    Task(Arc<Task>),
    Nobody,
}

impl Found {
    fn named(&self) -> Named<'_> {
        match self {
            Found::Namespace(namespace) => Named::Namespace(namespace),
            Found::Other => Named::Other,
            Found::Closed => Named::Closed,
            Found::Task(task) => Named::Task(task),
            Found::Nobody => Named::Nobody,
        }
    }
}

fn kind(word: &str) -> Option<LinkKind> {
    match word {
        "veth" => Some(LinkKind::Veth),
        "bridge" => Some(LinkKind::Pinned),
        "ifb" => Some(LinkKind::Virtual),
        _ => None,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl World {
    fn find_net(&self, who: usize, of: &NetRef) -> Option<Found> {
        Some(match of {
            NetRef::None => return None,
            NetRef::Fd(fd) => match self.actors[who].table.get(fd.number()) {
                None => Found::Closed,
                Some(file) => match &file.what {
                    What::Namespace(namespace) => Found::Namespace(namespace.clone()),
                    _ => Found::Other,
                },
            },
            NetRef::Who(of) => match self.find_seen(who, of.number()) {
                Some((_, task)) => Found::Task(task),
                None => Found::Nobody,
            },
        })
    }

    /// A socket by its descriptor; the errno if it is none.
    fn socket_of(&self, who: usize, fd: i32) -> Result<Arc<Socket>, &'static str> {
        match self.actors[who].table.get(fd) {
            None => Err("EBADF"),
            Some(file) => match &file.what {
                What::Socket(socket) => Ok(Arc::clone(socket)),
                What::Namespace(_) => Err("ENOTTY"),
                _ => Err("ENOTSOCK"),
            },
        }
    }

    pub(super) fn net_call(
        &self,
        who: usize,
        call: &Call,
        slot: i32,
    ) -> Result<Option<String>, String> {
        let task = self.task(who)?;
        let name = |name: &crate::lang::Text| text(&name.bytes);
        let on_socket = |fd: i32, act: &dyn Fn(&Socket) -> Result<(), Refusal>| {
            self.socket_of(who, fd).map_or_else(str::to_owned, |socket| done(act(&socket)))
        };
        let listing = || net::links(&task);
        Ok(Some(match call {
            Call::Socket { kind, options } => {
                let has = |word: &str| options.0.split('|').any(|option| option == word);
                let protocol = match kind.0.as_str() {
                    "tcp" | "tcp6" => Protocol::Tcp,
                    "udp" | "udp6" => Protocol::Udp,
                    _ => Protocol::Unix,
                };
                let (address, port) = (has("REUSEADDR"), has("REUSEPORT"));
                let reuse = Reuse { address, port, v6_only: has("V6ONLY") };
                match net::socket(&task, protocol, reuse) {
                    Ok(socket) => self.keep_what(who, &task, What::Socket(socket), slot),
                    Err(refusal) => refused(&refusal),
                }
            }
            Call::Bind { fd, at } => {
                on_socket(fd.number(), &|socket| net::bind(&task, socket, &at.value))
            }
            Call::Connect { fd, to } => {
                on_socket(fd.number(), &|socket| net::connect(&task, socket, &to.value))
            }
            Call::Listen { fd } => on_socket(fd.number(), &|socket| net::listen(&task, socket)),
            Call::Skns { fd } => match self.socket_of(who, fd.number()) {
                Err("ENOTSOCK") => "ENOTTY".into(),
                Err(errno) => errno.into(),
                Ok(socket) => match net::socket_namespace(&task, &socket) {
                    Ok(namespace) => self.keep_what(who, &task, What::Namespace(namespace), slot),
                    Err(refusal) => refused(&refusal),
                },
            },
            Call::Links {} => match listing() {
                Err(refusal) => refused(&refusal),
                Ok(all) => {
                    let texts = all
                        .iter()
                        .map(|one| link_text(one.index, &one.name, one.up, one.peer_nsid));
                    texts.collect::<Vec<_>>().join(" ")
                }
            },
            Call::LinkGone { name } => match listing() {
                Err(refusal) => refused(&refusal),
                Ok(all) if all.iter().any(|one| one.name.as_bytes() == name.bytes) => {
                    "it is still there".into()
                }
                Ok(_) => "0".into(),
            },
            Call::LinkAdd { name, kind: sort, index, target, peer, peer_target } => {
                let (name, peer_name) = (text(&name.bytes), peer.as_ref().map(|p| text(&p.bytes)));
                let target = self.find_net(who, target);
                let far = peer_target.as_ref().and_then(|of| self.find_net(who, of));
                let new = NewLink {
                    kind: kind(&sort.0),
                    name: &name,
                    index: *index as i32,
                    target: target.as_ref().map(Found::named),
                    peer: Peer {
                        name: peer_name.as_deref(),
                        target: far.as_ref().map(Found::named),
                    },
                };
                done(net::link_add(&task, &new))
            }
            Call::LinkMove { name: link, to } => {
                let Some(to) = self.find_net(who, to) else { return Err("to where".into()) };
                done(net::link_move(&task, &name(link), to.named()))
            }
            Call::LinkName { name: link, to } => {
                // As the agent does, which finds the index by a listing.
                let _ = listing();
                done(net::link_rename(&task, &name(link), &name(to)))
            }
            Call::LinkUp { name: link } => done(net::link_set_up(&task, &name(link), true)),
            Call::LinkDown { name: link } => done(net::link_set_up(&task, &name(link), false)),
            Call::LinkDel { name: link } => done(net::link_delete(&task, &name(link))),
            Call::NsidSet { nsid, of } => {
                let other = self.find_net(who, of);
                let named = other.as_ref().map(Found::named);
                done(net::nsid_assign(&task, nsid.0.parse().ok(), named))
            }
            Call::NsidGet { of } => {
                let other = self.find_net(who, of);
                match net::nsid_get(&task, other.as_ref().map(Found::named)) {
                    Ok(nsid) => nsid.to_string(),
                    Err(refusal) => refused(&refusal),
                }
            }
            Call::NsidOf { nsid } => match net::nsid_known(&task, *nsid as i32) {
                Ok(()) => nsid.to_string(),
                Err(refusal) => refused(&refusal),
            },
            _ => return Ok(None),
        }))
    }

    fn keep_what(&self, who: usize, task: &Arc<Task>, what: What, slot: i32) -> String {
        let (opener, offset) = (task.cred(), Mutex::new(0));
        self.keep(who, OpenFile { what, opener, read: true, write: false, offset }, slot)
    }
}
