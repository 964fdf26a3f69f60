//! ioctl(2): the questions one asks of a namespace descriptor (ioctl_nsfs(2)) or of a pidfd, and the
//! dispatch of the others that are told.
//! fcntl(2): what would spoil a control file.
//!
//! The filter sends only the commands named here.

use anyns_trap::raw;
use nsproxy::{AnyNamespace, Link};
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};
use crate::descriptors::{Given, Thing};
use crate::procfs;
use crate::syscalls::{by_descriptor, owner};
use crate::trouble::Trouble;
use crate::vfs;

/// `NS_GET_USERNS`.
const NS_GET_USERNS: u32 = 0xb701;
/// `NS_GET_PARENT`.
const NS_GET_PARENT: u32 = 0xb702;
/// `NS_GET_NSTYPE`.
const NS_GET_NSTYPE: u32 = 0xb703;
/// `NS_GET_OWNER_UID`.
const NS_GET_OWNER_UID: u32 = 0xb704;
/// `NS_GET_MNTNS_ID`, which stores 64 bits.
const NS_GET_MNTNS_ID: u32 = 0x8008_b705;
/// `NS_GET_PID_FROM_PIDNS`.
const NS_GET_PID_FROM_PIDNS: u32 = 0x8004_b706;
/// `NS_GET_TGID_FROM_PIDNS`.
const NS_GET_TGID_FROM_PIDNS: u32 = 0x8004_b707;
/// `NS_GET_PID_IN_PIDNS`.
const NS_GET_PID_IN_PIDNS: u32 = 0x8004_b708;
/// `NS_GET_TGID_IN_PIDNS`.
const NS_GET_TGID_IN_PIDNS: u32 = 0x8004_b709;
/// `NS_MNT_GET_INFO`, which stores a `struct mnt_ns_info`.
const NS_MNT_GET_INFO: u32 = 0x8010_b70a;
/// `NS_MNT_GET_NEXT`, which may store one.
const NS_MNT_GET_NEXT: u32 = 0x8010_b70b;
/// `NS_MNT_GET_PREV`, which may store one.
const NS_MNT_GET_PREV: u32 = 0x8010_b70c;
/// `NS_GET_ID`, which stores 64 bits.
const NS_GET_ID: u32 = 0x8008_b70d;

/// The requests of ioctl_nsfs(2).
pub(crate) const NAMESPACE_REQUESTS: [u32; 13] = [
    NS_GET_USERNS,
    NS_GET_PARENT,
    NS_GET_NSTYPE,
    NS_GET_OWNER_UID,
    NS_GET_MNTNS_ID,
    NS_GET_PID_FROM_PIDNS,
    NS_GET_TGID_FROM_PIDNS,
    NS_GET_PID_IN_PIDNS,
    NS_GET_TGID_IN_PIDNS,
    NS_MNT_GET_INFO,
    NS_MNT_GET_NEXT,
    NS_MNT_GET_PREV,
    NS_GET_ID,
];

/// `PIDFD_GET_CGROUP_NAMESPACE`, the first of ten requests of ioctl_pidfd(2).
pub(crate) const PIDFD_GET_FIRST: u32 = 0xff01;

/// What those requests ask for, in the order of their numbers.
const PIDFD_LINKS: [Link; 10] = [
    Link::Cgroup,
    Link::Ipc,
    Link::Mnt,
    Link::Net,
    Link::Pid,
    Link::PidForChildren,
    Link::Time,
    Link::TimeForChildren,
    Link::User,
    Link::Uts,
];

/// Serves `ioctl(fd, command, argument)`.
pub(crate) fn ioctl(cx: &mut Cx<'_>) -> Served {
    let command = cx.arg(1) as u32;
    if command == libc::FIONBIO as u32 {
        return nonblocking(cx);
    }
    if raw::FILE_CHANGES.contains(&command) {
        return by_descriptor::ioctl(cx, command);
    }
    let of_pidfd = command.checked_sub(PIDFD_GET_FIRST);
    match of_pidfd.and_then(|number| PIDFD_LINKS.get(number as usize)) {
        Some(&link) => of_process(cx, link),
        None if NAMESPACE_REQUESTS.contains(&command) => of_namespace(cx, command),
        None => owner::ioctl(cx),
    }
}

fn of_namespace(cx: &mut Cx<'_>, command: u32) -> Served {
    let Thing::Namespace(namespace) = cx.sup.descriptors.look(cx.tid(), cx.int(0))? else {
        return Ok(Verdict::Continue);
    };
    let met = cx.meet()?;
    let me = &met.task;
    let number = cx.int(2);
    match command {
        NS_GET_USERNS => hand_out(cx, AnyNamespace::User(nsproxy::ioctl_userns(me, &namespace)?)),
        NS_GET_PARENT => hand_out(cx, nsproxy::ioctl_parent(me, &namespace)?),
        NS_GET_NSTYPE => Ok(Verdict::Return(nsproxy::ioctl_nstype(&namespace) as i64)),
        NS_GET_OWNER_UID => {
            let uid = nsproxy::ioctl_owner_uid(me, &namespace)?;
            store(cx, &uid.to_ne_bytes())
        }
        NS_GET_ID => store(cx, &id_of(cx, &namespace)?.to_ne_bytes()),
        NS_GET_MNTNS_ID => {
            nsproxy::ioctl_mnt_id(me, &namespace)?;
            store(cx, &id_of(cx, &namespace)?.to_ne_bytes())
        }
        NS_GET_PID_FROM_PIDNS | NS_GET_TGID_FROM_PIDNS => {
            let number = match &namespace {
                AnyNamespace::Pid(ns) => cx.sup.view_of(ns.clone()).in_model(number),
                _ => number,
            };
            let process = command == NS_GET_TGID_FROM_PIDNS;
            answer(nsproxy::ioctl_number_here(me, &namespace, number, process)?)
        }
        NS_GET_PID_IN_PIDNS | NS_GET_TGID_IN_PIDNS => {
            let number = cx.view().in_model(number);
            let process = command == NS_GET_TGID_IN_PIDNS;
            answer(nsproxy::ioctl_number_there(me, &namespace, number, process)?)
        }
        NS_MNT_GET_INFO => {
            let info = mounts_info(cx, me, &namespace)?;
            // A null pointer is not even tried.
            if cx.arg(2) == 0 { Err(Errno::INVAL.into()) } else { store(cx, &info) }
        }
        NS_MNT_GET_NEXT | NS_MNT_GET_PREV => {
            let next = command == NS_MNT_GET_NEXT;
            let found = nsproxy::ioctl_mnt_neighbour(me, &namespace, next)?.ok_or(Errno::NOENT)?;
            if cx.arg(2) != 0 {
                let info = mounts_info(cx, me, &found)?;
                cx.mem().write(cx.arg(2), &info)?;
            }
            hand_out(cx, found)
        }
        _ => Err(Errno::NOTTY.into()),
    }
}

/// The id of a namespace; a kernel without ids knows no such request.
fn id_of(cx: &Cx<'_>, namespace: &AnyNamespace) -> Result<u64, Errno> {
    cx.sup.descriptors.id_of(namespace).ok_or(Errno::NOTTY)
}

/// `struct mnt_ns_info`: its size, how many mounts, and the namespace's id.
fn mounts_info(
    cx: &Cx<'_>,
    me: &std::sync::Arc<nsproxy::Task>,
    namespace: &AnyNamespace,
) -> Result<[u8; 16], Trouble> {
    let told = nsproxy::ioctl_mnt_info(me, namespace)?;
    let mut info = [0; 16];
    info[..4].copy_from_slice(&16_u32.to_ne_bytes());
    info[4..8].copy_from_slice(&told.mounts.to_ne_bytes());
    info[8..].copy_from_slice(&id_of(cx, namespace)?.to_ne_bytes());
    Ok(info)
}

fn store(cx: &Cx<'_>, bytes: &[u8]) -> Served {
    cx.mem().write(cx.arg(2), bytes)?;
    Ok(Verdict::Return(0))
}

fn answer(number: u32) -> Served {
    Ok(Verdict::Return(number.into()))
}

fn hand_out(cx: &mut Cx<'_>, namespace: AnyNamespace) -> Served {
    let fd = cx.sup.open_namespace(Given::Namespace(namespace, None))?;
    Ok(Verdict::Install { fd, cloexec: true })
}

fn of_process(cx: &mut Cx<'_>, link: Link) -> Served {
    if cx.sup.guests.none_known() {
        return Ok(Verdict::Continue);
    }
    let Thing::Process(pid) = cx.sup.descriptors.look(cx.tid(), cx.int(0))? else {
        return Ok(Verdict::Continue);
    };
    match procfs::namespace_of_pidfd(cx, pid, link, cx.arg(2))? {
        Some(namespace) => hand_out(cx, namespace),
        None => Ok(Verdict::Continue),
    }
}

/// Swallows the wish for a control file that does not block: the write has to wait for its judge.
fn nonblocking(cx: &mut Cx<'_>) -> Served {
    match is_control(cx) {
        true => Ok(Verdict::Return(0)),
        false => Ok(Verdict::Continue),
    }
}

/// Serves `fcntl(fd, F_SETFL, argument)`, and what is [`owner`]'s.
pub(crate) fn fcntl(cx: &mut Cx<'_>) -> Served {
    match cx.int(1) {
        libc::F_SETFL => nonblocking(cx),
        _ => owner::fcntl(cx),
    }
}

fn is_control(cx: &Cx<'_>) -> bool {
    if cx.sup.descriptors.len() == 0 {
        return false;
    }
    vfs::stat_descriptor(cx.tid(), cx.int(0))
        .ok()
        .and_then(|stat| cx.sup.descriptors.given(&stat))
        .is_some_and(|what| matches!(what, Given::Control(_)))
}
