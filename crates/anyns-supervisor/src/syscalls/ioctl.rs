//! ioctl(2): the questions one asks of a namespace descriptor (ioctl_nsfs(2)) or of a pidfd.
//! fcntl(2): what would spoil a control file, or reach the supervisor.
//!
//! The filter sends only the commands named here.

use nsproxy::{AnyNamespace, Kind};
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};
use crate::descriptors::{Given, Thing};
use crate::procfs;
use crate::vfs;

/// `NS_GET_USERNS`.
pub(crate) const NS_GET_USERNS: u32 = 0xb701;
/// `NS_GET_PARENT`.
pub(crate) const NS_GET_PARENT: u32 = 0xb702;
/// `NS_GET_NSTYPE`.
pub(crate) const NS_GET_NSTYPE: u32 = 0xb703;
/// `NS_GET_OWNER_UID`.
pub(crate) const NS_GET_OWNER_UID: u32 = 0xb704;

/// `PIDFD_GET_USER_NAMESPACE`.
pub(crate) const PIDFD_GET_USER: u32 = 0xff09;
/// `PIDFD_GET_UTS_NAMESPACE`.
pub(crate) const PIDFD_GET_UTS: u32 = 0xff0a;

/// Commands of ioctl_nsfs(2) that are for types of namespace we do not serve, with their numbers
/// from the kernel's headers: mount namespace ids and neighbours, translated process ids.
pub(crate) const NS_OF_OTHER_TYPES: [u32; 8] = [
    0x8008_b705,
    0x8004_b706,
    0x8004_b707,
    0x8004_b708,
    0x8004_b709,
    0x8010_b70a,
    0x8010_b70b,
    0x8010_b70c,
];

/// `F_SETOWN_EX`: the receiver of a descriptor's signals, in memory (fcntl(2)).
pub(crate) const F_SETOWN_EX: i32 = 15;

/// Serves `ioctl(fd, command, argument)`.
pub(crate) fn ioctl(cx: &mut Cx<'_>) -> Served {
    let command = cx.arg(1) as u32;
    match command {
        _ if command == libc::FIONBIO as u32 => nonblocking(cx),
        PIDFD_GET_USER => of_process(cx, Kind::User),
        PIDFD_GET_UTS => of_process(cx, Kind::Uts),
        _ => of_namespace(cx, command),
    }
}

fn of_namespace(cx: &mut Cx<'_>, command: u32) -> Served {
    if cx.sup.descriptors.len() == 0 && cx.guest().is_none() {
        return Ok(Verdict::Continue);
    }
    let Thing::Namespace(namespace) = cx.sup.descriptors.look(cx.tid(), cx.int(0))? else {
        return Ok(Verdict::Continue);
    };
    let met = cx.meet()?;
    match command {
        NS_GET_USERNS => {
            let owner = nsproxy::ioctl_userns(&met.task, &namespace)?;
            hand_out(cx, AnyNamespace::User(owner))
        }
        NS_GET_PARENT => {
            let parent = nsproxy::ioctl_parent(&met.task, &namespace)?;
            hand_out(cx, parent)
        }
        NS_GET_NSTYPE => Ok(Verdict::Return(namespace.kind().flag().bits() as i64)),
        NS_GET_OWNER_UID => {
            let uid = nsproxy::ioctl_owner_uid(&met.task, &namespace)?;
            cx.mem().write(cx.arg(2), &uid.to_ne_bytes())?;
            Ok(Verdict::Return(0))
        }
        command if NS_OF_OTHER_TYPES.contains(&command) => Err(Errno::INVAL.into()),
        _ => Err(Errno::NOTTY.into()),
    }
}

fn hand_out(cx: &mut Cx<'_>, namespace: AnyNamespace) -> Served {
    let fd = cx.sup.open_namespace(Given::Namespace(namespace))?;
    Ok(Verdict::Install { fd, cloexec: true })
}

fn of_process(cx: &mut Cx<'_>, kind: Kind) -> Served {
    if cx.sup.guests.none_known() || cx.arg(2) != 0 {
        return Ok(Verdict::Continue);
    }
    let Thing::Process(pid) = cx.sup.descriptors.look(cx.tid(), cx.int(0))? else {
        return Ok(Verdict::Continue);
    };
    match procfs::namespace(cx, pid, kind, false)? {
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

/// Serves `fcntl(fd, F_SETFL | F_SETOWN_EX, argument)`.
pub(crate) fn fcntl(cx: &mut Cx<'_>) -> Served {
    match cx.int(1) {
        libc::F_SETFL => nonblocking(cx),
        F_SETOWN_EX => owner(cx),
        _ => Ok(Verdict::Continue),
    }
}

/// Refuses to name the supervisor as the receiver of a descriptor's signals.
fn owner(cx: &mut Cx<'_>) -> Served {
    let mut owner = [0; 8];
    if cx.mem().read(cx.arg(2), &mut owner).is_err() {
        return Ok(Verdict::Continue);
    }
    let pid = i32::from_ne_bytes(owner[4..].try_into().expect("four bytes"));
    match cx.sup.is_ours(pid) {
        true => Err(Errno::PERM.into()),
        false => Ok(Verdict::Continue),
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
