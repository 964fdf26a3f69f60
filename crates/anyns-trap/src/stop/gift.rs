//! Giving a guest a descriptor without a listener.
//!
//! The guest is made to open a socket, to connect it to one of ours and to receive the descriptor
//! from it. The socket has the number that the descriptor is to have, and takes its place.
//!
//! What differs from the kernel's own way: for a moment the guest needs room for one more
//! descriptor than it gets, so it hears EMFILE one early.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, accept_with, bind, getsockname, listen, sendmsg, socket_with,
};

use crate::arch::RED_ZONE;
use crate::call::{Answered, Call};
use crate::notify::Told;
use crate::trace::{Failed, Held, Standing};
use crate::{Tid, trace};

/// Ends a call with a descriptor.
pub(crate) fn install(
    call: Call,
    fd: BorrowedFd<'_>,
    cloexec: bool,
) -> (Result<i32, i32>, Answered) {
    let held = match trace::stop(call) {
        Ok(held) => held,
        Err(failed) => return (Err(libc::ENOENT), failed.settle()),
    };
    match give(held, fd, None, cloexec) {
        Ok((Ok(number), held)) => (Ok(number), held.ret(number.into())),
        Ok((Err(errno), held)) => (Err(errno), held.ret(-i64::from(errno))),
        Err(failed) => (Err(libc::ENOENT), failed.settle()),
    }
}

/// Gives a descriptor to a thread that goes on standing before its call; none if it is gone.
pub(crate) fn add(
    standing: Standing,
    told: Told,
    fd: BorrowedFd<'_>,
    at: Option<i32>,
    cloexec: bool,
) -> (io::Result<i32>, Option<Standing>) {
    let gone = || io::Error::from_raw_os_error(libc::ENOENT);
    let held = match trace::stop(Call::stopped(told, standing)) {
        Ok(held) => held,
        Err(failed) => {
            let _ = failed.settle();
            return (Err(gone()), None);
        }
    };
    match give(held, fd, at, cloexec) {
        Ok((given, held)) => (given.map_err(io::Error::from_raw_os_error), held.standing()),
        Err(failed) => {
            let _ = failed.settle();
            (Err(gone()), None)
        }
    }
}

/// What giving ends with: the number or an errno, and the caller, which still stands.
type Given = Result<(Result<i32, i32>, Held), Failed>;

/// `struct msghdr` and what it points to, as they lie in the guest's memory.
const HEADER: u64 = 56;
const VECTOR: u64 = 16;
const CONTROL: u64 = 24;

fn give(held: Held, fd: BorrowedFd<'_>, at: Option<i32>, cloexec: bool) -> Given {
    let errno = |e: rustix::io::Errno| e.raw_os_error();
    let (ours, name) = match listener() {
        Ok(made) => made,
        Err(e) => return Ok((Err(errno(e)), held)),
    };
    let address = [&(libc::AF_UNIX as u16).to_ne_bytes()[..], b"\0", &name].concat();
    let Some(room) = room(&held, address.len() as u64 + HEADER + VECTOR + CONTROL + 8) else {
        return Ok((Err(libc::EFAULT), held));
    };
    let (header, vector) = (room, room + HEADER);
    let (control, byte) = (vector + VECTOR, vector + VECTOR + CONTROL);
    let named = byte + 8;
    let message = [0, 0, vector, 1, control, CONTROL, 0];
    let pieces = [byte, 1, 0, 0, 0, 0];
    let words = message.into_iter().chain(pieces);
    let bytes: Vec<u8> = words.flat_map(|word: u64| word.to_ne_bytes()).collect();
    if held.mem().write(header, &bytes).is_err() || held.mem().write(named, &address).is_err() {
        return Ok((Err(libc::EFAULT), held));
    }
    let kind = (libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC) as u64;
    let (socket, held) = held.inject(libc::SYS_socket, [libc::AF_UNIX as u64, kind, 0, 0, 0, 0])?;
    if socket < 0 {
        return Ok((Err(-socket as i32), held));
    }
    let end = |held: Held, result: i64| -> Given {
        let (_, held) = held.inject(libc::SYS_close, [socket as u64, 0, 0, 0, 0, 0])?;
        Ok((Err(-result as i32), held))
    };
    let (done, held) =
        held.inject(libc::SYS_connect, [socket as u64, named, address.len() as u64, 0, 0, 0])?;
    if done < 0 {
        return end(held, done);
    }
    if let Err(e) = send(&ours, held.tid(), fd) {
        return end(held, -i64::from(errno(e)));
    }
    let flags = if cloexec { RecvFlags::CMSG_CLOEXEC.bits() } else { 0 };
    let (done, held) =
        held.inject(libc::SYS_recvmsg, [socket as u64, header, flags.into(), 0, 0, 0])?;
    if done < 0 {
        return end(held, done);
    }
    // A control message of one descriptor: its length, level and type come first.
    let length = held.mem().read_value::<u64>(control).unwrap_or(0);
    let Ok(came) = held.mem().read_value::<i32>(control + 16) else { return end(held, -14) };
    if length != 20 {
        return end(held, -i64::from(libc::EMFILE));
    }
    let place = at.unwrap_or(socket as i32);
    let dup_flags = if cloexec { libc::O_CLOEXEC as u64 } else { 0 };
    let (placed, held) =
        held.inject(libc::SYS_dup3, [came as u64, place as u64, dup_flags, 0, 0, 0])?;
    let (_, mut held) = held.inject(libc::SYS_close, [came as u64, 0, 0, 0, 0, 0])?;
    if placed < 0 || at.is_some_and(|at| i64::from(at) != socket) {
        (_, held) = held.inject(libc::SYS_close, [socket as u64, 0, 0, 0, 0, 0])?;
    }
    let given = if placed < 0 { Err(-placed as i32) } else { Ok(placed as i32) };
    Ok((given, held))
}

/// A place below the stack, beyond the red zone, where nothing of the guest's lives.
fn room(held: &Held, len: u64) -> Option<u64> {
    Some(held.stack()?.checked_sub(RED_ZONE + len)? & !15)
}

/// A listening socket and the abstract name that the kernel gave it.
fn listener() -> rustix::io::Result<(OwnedFd, Vec<u8>)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let ours = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    bind(&ours, &SocketAddrUnix::new_unnamed())?;
    listen(&ours, 4)?;
    let name = SocketAddrUnix::try_from(getsockname(&ours)?)?;
    let name = name.abstract_name().ok_or(rustix::io::Errno::INVAL)?.to_vec();
    Ok((ours, name))
}

/// Sends the descriptor to the guest, which has connected; whoever else has is turned away.
fn send(ours: &OwnedFd, tid: Tid, fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let group = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    let group = group.and_then(|pid| pid.trim().parse().ok());
    loop {
        let peer = accept_with(ours, SocketFlags::CLOEXEC)?;
        let who = rustix::net::sockopt::socket_peercred(&peer)?;
        if Some(who.pid.as_raw_nonzero().get()) != group {
            continue;
        }
        let fds = [fd];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        sendmsg(peer.as_fd(), &[IoSlice::new(b"x")], &mut control, SendFlags::NOSIGNAL)?;
        return Ok(());
    }
}
