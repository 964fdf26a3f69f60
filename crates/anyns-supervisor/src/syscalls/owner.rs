//! Numbers that files keep: who is told of a descriptor's events (fcntl(2), F_SETOWN), the
//! foreground group and session of a terminal (ioctl_tty(2)), who made a socket (unix(7)).
//!
//! The kernel serves these calls, with the host's numbers; what the caller gives and gets is
//! translated on the way.

use anyns_trap::{Memory, Tid};
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};
use crate::numbers::{NOBODY, View};

/// `F_SETOWN`.
pub(crate) const F_SETOWN: i32 = 8;
/// `F_GETOWN`.
pub(crate) const F_GETOWN: i32 = 9;
/// `F_SETOWN_EX`: the receiver of a descriptor's signals, in memory.
pub(crate) const F_SETOWN_EX: u32 = 15;
/// `F_GETOWN_EX`.
pub(crate) const F_GETOWN_EX: u32 = 16;
/// `F_OWNER_PGRP`, the sort of a receiver that is a group.
const OWNER_GROUP: i32 = 2;

/// The foreground group of a terminal.
pub(crate) const TIOCGPGRP: u32 = libc::TIOCGPGRP as u32;
/// To change it.
pub(crate) const TIOCSPGRP: u32 = libc::TIOCSPGRP as u32;
/// The session of a terminal.
pub(crate) const TIOCGSID: u32 = libc::TIOCGSID as u32;
/// The same as `F_SETOWN`, in memory.
pub(crate) const FIOSETOWN: u32 = 0x8901;
/// For sockets.
pub(crate) const SIOCSPGRP: u32 = 0x8902;
/// The same as `F_GETOWN`, in memory.
pub(crate) const FIOGETOWN: u32 = 0x8903;
/// For sockets.
pub(crate) const SIOCGPGRP: u32 = 0x8904;

/// Serves the requests of ioctl(2) named here.
pub(crate) fn ioctl(cx: &mut Cx<'_>) -> Served {
    if cx.numbered().is_none() {
        return Ok(Verdict::Continue);
    }
    match cx.arg(1) as u32 {
        TIOCSPGRP => given(cx, |view, number| match number {
            1.. => view.find_led(number).unwrap_or(NOBODY),
            number => number,
        }),
        FIOSETOWN | SIOCSPGRP => given(cx, owner_of),
        TIOCGPGRP | TIOCGSID => told(cx, |view, number| view.led_seen(number)),
        FIOGETOWN | SIOCGPGRP => told(cx, owner_seen),
        _ => Ok(Verdict::Continue),
    }
}

/// A number in memory that the call takes.
fn given(cx: &mut Cx<'_>, host: impl FnOnce(&View<'_>, i32) -> i32) -> Served {
    let mut number = [0; 4];
    if cx.mem().read(cx.arg(2), &mut number).is_err() {
        return Ok(Verdict::Continue);
    }
    let number = host(&cx.view(), i32::from_ne_bytes(number));
    let mut args = cx.args();
    // What was checked is what is used.
    args[2] = cx.held().scratch(&number.to_ne_bytes())?;
    cx.run_with(args)
}

/// A number in memory that the call gives.
fn told(cx: &mut Cx<'_>, seen: impl FnOnce(&View<'_>, i32) -> i32) -> Served {
    at_end(cx, |cx, mem, result| {
        let at = cx.arg(2);
        let mut number = [0; 4];
        if result == 0 && mem.read(at, &mut number).is_ok() {
            let shown = seen(&cx.view(), i32::from_ne_bytes(number));
            mem.write(at, &shown.to_ne_bytes()).ok();
        }
        result
    })
}

/// Has the kernel serve the call and `settle` make the answer.
fn at_end(cx: &mut Cx<'_>, settle: impl FnOnce(&Cx<'_>, Memory<'_>, i64) -> i64) -> Served {
    match cx.run(cx.args())? {
        Ok(ran) => {
            let result = ran.result();
            let answer = settle(cx, Memory::of_stopped(Tid(cx.tid())), result);
            Ok(Verdict::Answered(ran.release_with(answer)))
        }
        Err(answered) => Ok(Verdict::Answered(answered)),
    }
}

/// The host's number of an owner: a process, or a group if it is negative.
fn owner_of(view: &View<'_>, number: i32) -> i32 {
    match number {
        1.. => view.find(number).unwrap_or(NOBODY),
        0 | i32::MIN => number,
        _ => -view.find_led(-number).unwrap_or(NOBODY),
    }
}

fn owner_seen(view: &View<'_>, number: i32) -> i32 {
    match number {
        1.. => view.number_seen(number).unwrap_or(0),
        0 | i32::MIN => number,
        _ => -view.led_seen(-number),
    }
}

/// Serves the commands of fcntl(2) named here.
pub(crate) fn fcntl(cx: &mut Cx<'_>) -> Served {
    let command = cx.int(1);
    if command as u32 == F_SETOWN_EX {
        return set_owner(cx);
    }
    if cx.numbered().is_none() {
        return Ok(Verdict::Continue);
    }
    match command {
        F_SETOWN => {
            let mut args = cx.args();
            let (number, host) = (cx.int(2), owner_of(&cx.view(), cx.int(2)));
            if host != number {
                args[2] = host as u64;
            }
            cx.run_with(args)
        }
        F_GETOWN => at_end(cx, |cx, _, result| match result {
            // An error number, or a group: those have numbers beyond.
            -4095..=0 => result,
            owner => owner_seen(&cx.view(), owner as i32).into(),
        }),
        _ => at_end(cx, |cx, mem, result| {
            if result == 0
                && let Some((sort, number)) = read_owner(&mem, cx.arg(2))
            {
                let view = cx.view();
                let shown = match sort {
                    OWNER_GROUP => view.led_seen(number),
                    _ => view.number_seen(number).unwrap_or(0),
                };
                mem.write(cx.arg(2) + 4, &shown.to_ne_bytes()).ok();
            }
            result
        }),
    }
}

/// A `struct f_owner_ex`: a sort and a number.
fn read_owner(mem: &Memory<'_>, at: u64) -> Option<(i32, i32)> {
    let mut owner = [0; 8];
    mem.read(at, &mut owner).ok()?;
    let [sort, number] =
        [0, 4].map(|at| i32::from_ne_bytes(owner[at..at + 4].try_into().expect("four bytes")));
    Some((sort, number))
}

fn set_owner(cx: &mut Cx<'_>) -> Served {
    let owner = read_owner(&cx.mem(), cx.arg(2));
    let Some((sort, number)) = owner else { return Ok(Verdict::Continue) };
    if cx.numbered().is_none() {
        // Nobody names the supervisor as the receiver of a descriptor's signals.
        return match cx.sup.is_ours(number) {
            true => Err(Errno::PERM.into()),
            false => Ok(Verdict::Continue),
        };
    }
    let view = cx.view();
    let host = match (sort, number) {
        (OWNER_GROUP, 1..) => view.find_led(number).unwrap_or(NOBODY),
        (_, 1..) => view.find(number).unwrap_or(NOBODY),
        _ => number,
    };
    let mut args = cx.args();
    args[2] = cx.held().scratch(&[sort.to_ne_bytes(), host.to_ne_bytes()].concat())?;
    cx.run_with(args)
}

/// Serves `getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, length)`: the number of the process that
/// made the peer, as the caller sees it. Its ids are the kernel's, seen through the caller's maps.
pub(crate) fn peer(cx: &mut Cx<'_>) -> Served {
    if cx.guest().is_none() {
        return Ok(Verdict::Continue);
    }
    let cred = cx.cred()?;
    at_end(cx, |cx, mem, result| {
        let (at, mut length, mut ids) = (cx.arg(3), [0; 4], [0; 12]);
        if result != 0 || mem.read(cx.arg(4), &mut length).is_err() {
            return result;
        }
        let length = (u32::from_ne_bytes(length) as usize).min(ids.len());
        if mem.read(at, &mut ids[..length]).is_err() {
            return result;
        }
        let word = |at: usize| u32::from_ne_bytes(ids[at..at + 4].try_into().expect("four bytes"));
        let [pid, uid, gid] = [0, 4, 8].map(word);
        // 0 is nobody's: a socket that is not connected.
        let shown = if pid == 0 { 0 } else { cx.view().number_seen(pid as i32).unwrap_or(0) };
        let mut ids = [shown as u32, uid, gid];
        if uid != u32::MAX {
            ids[1] = cred.user.uid_in(nsproxy::Kuid(uid));
            ids[2] = cred.user.gid_in(nsproxy::Kgid(gid));
        }
        let bytes = ids.map(u32::to_ne_bytes).concat();
        mem.write(at, &bytes[..length]).ok();
        result
    })
}
