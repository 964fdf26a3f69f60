//! Sockets, and rtnetlink's links and nsids.

use std::time::{Duration, Instant};

use anyns_trap::raw;
use nsproxy::net::Address;

use super::perform::keep;
use super::{done, refused};
use crate::lang::{Call, NetRef};

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const SETLINK: u16 = 19;
const NEWNSID: u16 = 88;
const GETNSID: u16 = 90;
/// `NLM_F_CREATE | NLM_F_EXCL`
const MAKE: u16 = 0x600;
/// `NLM_F_DUMP`
const DUMP: u16 = 0x300;
const UP: u32 = 1;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = (value.len() as u16 + 4).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A name with its NUL.
fn name_attribute(name: &[u8]) -> Vec<u8> {
    attribute(3, &[name, &[0]].concat())
}

/// `struct ifinfomsg`
fn head(index: i32, flags: u32, change: u32) -> Vec<u8> {
    [[0; 4], index.to_ne_bytes(), flags.to_ne_bytes(), change.to_ne_bytes()].concat()
}

/// The namespace as an attribute: its kind when named by a process, when named by a descriptor.
fn namespace(of: &NetRef, by_process: u16, by_descriptor: u16) -> Vec<u8> {
    match of {
        NetRef::None => Vec::new(),
        NetRef::Fd(fd) => attribute(by_descriptor, &fd.number().to_ne_bytes()),
        NetRef::Who(who) => attribute(by_process, &who.number().to_ne_bytes()),
    }
}

fn link_namespace(of: &NetRef) -> Vec<u8> {
    namespace(of, 19, 28)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes[at..at + 2].try_into().map_or(0, u16::from_ne_bytes)
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    bytes[at..at + 4].try_into().map_or(0, i32::from_ne_bytes)
}

/// Sends one request and collects what it answers: the messages' types and bodies.
fn ask(kind: u16, flags: u16, body: &[u8]) -> Result<Vec<(u16, Vec<u8>)>, raw::Errno> {
    let socket = raw::socket(16, 3 | 0o2_000_000, 0)?;
    let mut message = (body.len() as u32 + 16).to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((flags | 1 | 4).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    let answer = raw::write(socket, &message).and_then(|_| hear(socket));
    let _ = raw::close(socket);
    answer
}

fn hear(socket: i32) -> Result<Vec<(u16, Vec<u8>)>, raw::Errno> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let count = raw::read(socket, &mut buffer)?;
        let mut rest = &buffer[..count];
        while rest.len() >= 16 {
            let len = (i32_at(rest, 0) as usize).clamp(16, rest.len());
            let (kind, body) = (u16_at(rest, 4), &rest[16..len]);
            match kind {
                2 if i32_at(body, 0) == 0 => return Ok(all),
                2 => return Err(raw::Errno::from_raw_os_error(-i32_at(body, 0))),
                3 => return Ok(all),
                _ => all.push((kind, body.to_vec())),
            }
            rest = &rest[len.next_multiple_of(4).min(rest.len())..];
        }
    }
}

fn told(kind: u16, flags: u16, body: &[u8]) -> String {
    done(ask(kind, flags, body))
}

/// The attributes of a message, from `at` on.
fn attributes(body: &[u8], at: usize) -> Vec<(u16, &[u8])> {
    let (mut all, mut rest) = (Vec::new(), &body[at.min(body.len())..]);
    while rest.len() >= 4 {
        let len = usize::from(u16_at(rest, 0)).clamp(4, rest.len());
        all.push((u16_at(rest, 2), &rest[4..len]));
        rest = &rest[len.next_multiple_of(4).min(rest.len())..];
    }
    all
}

/// A device in a listing: `2:v0:up@0`, where `@` is the nsid of its other end.
pub(crate) fn link_text(index: u32, name: &str, up: bool, peer_nsid: Option<i32>) -> String {
    let elsewhere = peer_nsid.map(|nsid| format!("@{nsid}")).unwrap_or_default();
    format!("{index}:{name}:{}{elsewhere}", if up { "up" } else { "down" })
}

fn links() -> Result<Vec<String>, raw::Errno> {
    let mut all: Vec<(u32, String)> = ask(GETLINK, DUMP, &head(0, 0, 0))?
        .iter()
        .filter(|(kind, _)| *kind == NEWLINK)
        .map(|(_, body)| {
            let (index, flags) = (i32_at(body, 4) as u32, i32_at(body, 8) as u32);
            let found = attributes(body, 16);
            let get = |wanted| found.iter().find(|(kind, _)| *kind == wanted).map(|(_, v)| *v);
            let name = String::from_utf8_lossy(get(3).unwrap_or_default()).into_owned();
            let nsid = get(37).map(|value| i32_at(value, 0));
            (index, link_text(index, name.trim_end_matches('\0'), flags & UP != 0, nsid))
        })
        .collect();
    all.sort();
    Ok(all.into_iter().map(|(_, text)| text).collect())
}

/// Waits for a device to vanish: the kernel cleans up behind a namespace in its own time.
fn gone(name: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(8);
    loop {
        match links() {
            Err(errno) => return refused(errno),
            Ok(all) if all.iter().all(|link| link.split(':').nth(1) != Some(name)) => {
                return "0".into();
            }
            Ok(_) if Instant::now() > deadline => return "it is still there".into(),
            Ok(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// A socket address as bytes.
fn address(of: &Address) -> Vec<u8> {
    let start = |family: u16, port: u16| [family.to_ne_bytes(), port.to_be_bytes()].concat();
    match of {
        Address::Abstract(name) => [&1u16.to_ne_bytes()[..], &[0], name].concat(),
        Address::Ip(std::net::SocketAddr::V4(four)) => {
            [&start(2, four.port())[..], &four.ip().octets(), &[0; 8]].concat()
        }
        Address::Ip(std::net::SocketAddr::V6(six)) => {
            [&start(10, six.port())[..], &[0; 4], &six.ip().octets(), &[0; 4]].concat()
        }
    }
}

fn socket(kind: &str, options: &str, slot: i32) -> String {
    let (family, sort) = match kind {
        "tcp" => (2, 1),
        "udp" => (2, 2),
        "tcp6" => (10, 1),
        "udp6" => (10, 2),
        "unix" => (1, 1),
        other => return format!("!there is no socket {other}"),
    };
    let fd = match raw::socket(family, sort, 0) {
        Ok(fd) => fd,
        Err(errno) => return refused(errno),
    };
    for (word, level, name) in [("REUSEADDR", 1, 2), ("REUSEPORT", 1, 15), ("V6ONLY", 41, 26)] {
        if options.split('|').any(|option| option == word)
            && let Err(errno) = raw::set_option(fd, level, name, 1)
        {
            return format!("!{word}: {errno}");
        }
    }
    keep(Ok(fd), slot)
}

pub(super) fn answer(call: &Call, slot: i32) -> String {
    match call {
        Call::Socket { kind, options } => socket(&kind.0, &options.0, slot),
        Call::Bind { fd, at } => done(raw::bind(fd.number(), &address(&at.value))),
        Call::Connect { fd, to } => done(raw::connect(fd.number(), &address(&to.value))),
        Call::Listen { fd } => done(raw::listen(fd.number(), 1)),
        Call::Skns { fd } => keep(raw::socket_namespace(fd.number()), slot),
        Call::Links {} => links().map_or_else(refused, |all| all.join(" ")),
        Call::LinkGone { name } => gone(&String::from_utf8_lossy(&name.bytes)),
        Call::LinkAdd { name, kind, index, target, peer, peer_target } => {
            let mut data = Vec::new();
            if peer.is_some() || peer_target.is_some() {
                let mut far = head(0, 0, 0);
                if let Some(name) = peer {
                    far.extend(name_attribute(&name.bytes));
                }
                far.extend(peer_target.as_ref().map(link_namespace).unwrap_or_default());
                data = attribute(2, &attribute(1, &far));
            }
            let info = [attribute(1, kind.0.as_bytes()), data].concat();
            let body = [
                head(*index as i32, 0, 0),
                name_attribute(&name.bytes),
                attribute(18, &info),
                link_namespace(target),
            ];
            told(NEWLINK, MAKE, &body.concat())
        }
        Call::LinkMove { name, to } => {
            let body = [head(0, 0, 0), name_attribute(&name.bytes), link_namespace(to)];
            told(SETLINK, 0, &body.concat())
        }
        Call::LinkName { name, to } => match index_of(&name.bytes) {
            Ok(index) => told(SETLINK, 0, &[head(index, 0, 0), name_attribute(&to.bytes)].concat()),
            Err(errno) => refused(errno),
        },
        Call::LinkUp { name } => {
            told(SETLINK, 0, &[head(0, UP, UP), name_attribute(&name.bytes)].concat())
        }
        Call::LinkDown { name } => {
            told(SETLINK, 0, &[head(0, 0, UP), name_attribute(&name.bytes)].concat())
        }
        Call::LinkDel { name } => {
            told(DELLINK, 0, &[head(0, 0, 0), name_attribute(&name.bytes)].concat())
        }
        Call::NsidSet { nsid, of } => {
            let number = nsid
                .0
                .parse::<i32>()
                .map_or_else(|_| Vec::new(), |n| attribute(1, &n.to_ne_bytes()));
            told(NEWNSID, 0, &[vec![0; 4], number, namespace(of, 2, 3)].concat())
        }
        Call::NsidGet { of } => nsid(&namespace(of, 2, 3)),
        Call::NsidOf { nsid: number } => nsid(&attribute(1, &(*number as i32).to_ne_bytes())),
        other => format!("!nobody can {other}"),
    }
}

/// The index of a device, 999999 if there is none of the name.
fn index_of(name: &[u8]) -> Result<i32, raw::Errno> {
    let name = String::from_utf8_lossy(name);
    let all = links()?;
    let index = all.iter().find_map(|link| {
        let mut parts = link.split(':');
        let index = parts.next()?.parse().ok()?;
        (parts.next() == Some(&*name)).then_some(index)
    });
    Ok(index.unwrap_or(999_999))
}

fn nsid(which: &[u8]) -> String {
    match ask(GETNSID, 0, &[&[0; 4], which].concat()) {
        Err(errno) => refused(errno),
        Ok(all) => {
            let found = all.iter().find(|(kind, _)| *kind == NEWNSID);
            let number = found.and_then(|(_, body)| {
                let value = attributes(body, 4).into_iter().find(|(kind, _)| *kind == 1)?.1;
                Some(i32_at(value, 0))
            });
            number.map_or_else(|| "!no nsid".into(), |nsid| nsid.to_string())
        }
    }
}
