//! Giving a guest a descriptor without a listener, or one that a listener cannot give.
//!
//! The guest is made to open a socket, to connect it to one of ours and to receive the descriptor
//! from it. The socket has the number that the descriptor is to have, and takes its place.
//!
//! What differs from the kernel's own way: for a moment the guest needs room for one more
//! descriptor than it gets, so it hears EMFILE one early.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind,
    getsockname, listen, recvmsg, sendmsg, socket_with, socketpair,
};

use crate::arch::RED_ZONE;
use crate::call::{Answered, Call};
use crate::notify::Told;
use crate::trace::{Failed, Held, Standing, tracer_of};
use crate::{Tid, record, trace};

/// Ends a call with a descriptor.
pub(crate) fn install(
    call: Call,
    fd: BorrowedFd<'_>,
    cloexec: bool,
) -> (Result<i32, i32>, Answered) {
    match send_to(call, fd, cloexec) {
        Ok((Ok(number), held)) => (Ok(number), held.ret(number.into())),
        Ok((Err(errno), held)) => (Err(errno), held.ret(-i64::from(errno))),
        // Another guest traces it.
        Err(Failed::Untraceable(call)) => (Err(libc::EPERM), call.errno(libc::EPERM)),
        Err(failed) => (Err(libc::ENOENT), failed.settle()),
    }
}

/// Gives the caller a descriptor under its lowest free number, and holds it. One that has told its call
/// is given the socket, too, in which the descriptor is already.
pub(crate) fn send_to(mut call: Call, fd: BorrowedFd<'_>, cloexec: bool) -> Given {
    if call.stands() || tracer_of(call.tid()).is_some() {
        return give(trace::stop(call)?, fd, None, cloexec);
    }
    let socket = filled(fd).map_err(io::Error::from);
    match socket.and_then(|socket| call.add_fd(socket.as_fd(), None, true)) {
        Ok(socket) => unpack(trace::stop(call)?, socket as u64, cloexec),
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            trace::stop(call).map(|held| (Err(errno), held))
        }
    }
}

/// A socket that a descriptor is to be received from, and nothing else.
fn filled(fd: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    put(&ours, fd)?;
    Ok(theirs)
}

/// Has the guest receive what is in a socket of its, in the place of that.
fn unpack(held: Held, socket: u64, cloexec: bool) -> Given {
    let Some(header) = room(&held, HEADER + VECTOR + CONTROL + 8) else {
        return Ok((Err(libc::EFAULT), close(held, socket)?));
    };
    let bytes = message(header, [0; 3]);
    if held.mem().write_below(header, &bytes).is_err() {
        return Ok((Err(libc::EFAULT), close(held, socket)?));
    }
    received(held, socket, header, None, cloexec)
}

/// What is done to a caller that is held ends with: a value or an errno, and the caller, which still
/// stands.
type Done<T> = Result<(Result<T, i32>, Held), Failed>;

/// What giving ends with: the number.
pub(crate) type Given = Done<i32>;

/// Does something to a thread that goes on standing before its call; none if it is gone.
fn to_standing<T>(
    standing: Standing,
    told: Told,
    what: impl FnOnce(Held) -> Done<T>,
) -> (io::Result<T>, Option<Standing>) {
    match trace::stop(Call::stopped(told, standing)).and_then(what) {
        Ok((done, held)) => (done.map_err(io::Error::from_raw_os_error), held.standing()),
        Err(failed) => {
            let _ = failed.settle();
            (Err(io::Error::from_raw_os_error(libc::ENOENT)), None)
        }
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
    to_standing(standing, told, |held| give(held, fd, at, cloexec))
}

/// Takes a copy of a descriptor of a thread's that goes on standing before its call; none if it is
/// gone. The guest is made to send it, where the host does not let us take it (pidfd_getfd(2)).
pub(crate) fn lend(
    standing: Standing,
    told: Told,
    number: i32,
) -> (io::Result<OwnedFd>, Option<Standing>) {
    to_standing(standing, told, |held| take(held, number))
}

/// Takes a copy of a descriptor of a caller that is held: it is made to send it.
pub(crate) fn take(held: Held, number: i32) -> Done<OwnedFd> {
    // A control message of one descriptor: its length, level and type come first.
    let rights = libc::SOL_SOCKET as u64 | (libc::SCM_RIGHTS as u64) << 32;
    let (line, held) = match connected(held, [ONE_RIGHT, rights, u64::from(number as u32)])? {
        (Ok(line), held) => (line, held),
        (Err(errno), held) => return Ok((Err(errno), held)),
    };
    let at = [line.socket, line.header, libc::MSG_NOSIGNAL as u64, 0, 0, 0];
    let (sent, held) = held.inject(libc::SYS_sendmsg, at)?;
    let held = close(held, line.socket)?;
    if sent < 0 {
        return Ok((Err(-sent as i32), held));
    }
    let received = receive(&line.ours, held.tid()).map_err(|errno| errno.raw_os_error());
    Ok((received, held))
}

/// Receives the descriptor that the guest has sent; whatever else has come is turned away.
fn receive(ours: &OwnedFd, tid: Tid) -> rustix::io::Result<OwnedFd> {
    let peer = accepted(ours, tid)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    recvmsg(&peer, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut all) = message
            && let Some(fd) = all.next()
        {
            return Ok(fd);
        }
    }
    Err(rustix::io::Errno::BADF)
}

/// `struct msghdr` and what it points to, as they lie in the guest's memory.
const HEADER: u64 = 56;
const VECTOR: u64 = 16;
const CONTROL: u64 = 24;
/// The length of a control message of one descriptor.
const ONE_RIGHT: u64 = 20;

/// A socket of the guest's that is connected to one of ours, for one message.
struct Line {
    ours: OwnedFd,
    /// Its number in the guest.
    socket: u64,
    /// Where in the guest's memory the message's header is, with all that it names behind it.
    header: u64,
}

/// Has the guest open and connect one, for a message of one byte with these words for its control
/// messages.
fn connected(held: Held, rights: [u64; 3]) -> Done<Line> {
    let (ours, name) = match listener() {
        Ok(made) => made,
        Err(errno) => return Ok((Err(errno.raw_os_error()), held)),
    };
    let address = [&(libc::AF_UNIX as u16).to_ne_bytes()[..], b"\0", &name].concat();
    let Some(header) = room(&held, address.len() as u64 + HEADER + VECTOR + CONTROL + 8) else {
        return Ok((Err(libc::EFAULT), held));
    };
    let named = header + HEADER + VECTOR + CONTROL + 8;
    let bytes = message(header, rights);
    let written = held.mem().write_below(named, &address);
    if written.and_then(|()| held.mem().write_below(header, &bytes)).is_err() {
        return Ok((Err(libc::EFAULT), held));
    }
    let kind = (libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC) as u64;
    let (socket, held) = held.inject(libc::SYS_socket, [libc::AF_UNIX as u64, kind, 0, 0, 0, 0])?;
    if socket < 0 {
        return Ok((Err(-socket as i32), held));
    }
    let socket = socket as u64;
    let at = [socket, named, address.len() as u64, 0, 0, 0];
    let (done, held) = held.inject(libc::SYS_connect, at)?;
    if done < 0 {
        return Ok((Err(-done as i32), close(held, socket)?));
    }
    Ok((Ok(Line { ours, socket, header }), held))
}

/// A message of one byte with these words for its control messages, to lie at `header`.
fn message(header: u64, rights: [u64; 3]) -> Vec<u8> {
    let vector = header + HEADER;
    let control = vector + VECTOR;
    let words = [0, 0, vector, 1, control, CONTROL, 0, control + CONTROL, 1];
    let words = words.into_iter().chain(rights).chain([0]);
    words.flat_map(|word: u64| word.to_ne_bytes()).collect()
}

/// Has the guest close a descriptor.
fn close(held: Held, number: u64) -> Result<Held, Failed> {
    held.inject(libc::SYS_close, [number, 0, 0, 0, 0, 0]).map(|(_, held)| held)
}

fn give(held: Held, fd: BorrowedFd<'_>, at: Option<i32>, cloexec: bool) -> Given {
    let (line, held) = match connected(held, [0; 3])? {
        (Ok(line), held) => (line, held),
        (Err(errno), held) => return Ok((Err(errno), held)),
    };
    if let Err(errno) = send(&line.ours, held.tid(), fd) {
        return Ok((Err(errno.raw_os_error()), close(held, line.socket)?));
    }
    received(held, line.socket, line.header, at, cloexec)
}

/// Has the guest receive a descriptor from a socket of its, and close that.
fn received(held: Held, socket: u64, header: u64, at: Option<i32>, cloexec: bool) -> Given {
    let end = |held: Held, errno: i32| -> Given { Ok((Err(errno), close(held, socket)?)) };
    let flags = if cloexec { RecvFlags::CMSG_CLOEXEC.bits() } else { 0 };
    let (done, held) = held.inject(libc::SYS_recvmsg, [socket, header, flags.into(), 0, 0, 0])?;
    if done < 0 {
        return end(held, -done as i32);
    }
    let control = header + HEADER + VECTOR;
    let length = held.mem().read_value::<u64>(control).unwrap_or(0);
    let Ok(came) = held.mem().read_value::<i32>(control + 16) else {
        return end(held, libc::EFAULT);
    };
    if length != ONE_RIGHT {
        return end(held, libc::EMFILE);
    }
    let place = at.map_or(socket, |at| at as u64);
    let dup_flags = if cloexec { libc::O_CLOEXEC as u64 } else { 0 };
    let (placed, held) = held.inject(libc::SYS_dup3, [came as u64, place, dup_flags, 0, 0, 0])?;
    let mut held = close(held, came as u64)?;
    if placed < 0 || place != socket {
        held = close(held, socket)?;
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

/// Sends the descriptor to the guest, which has connected.
fn send(ours: &OwnedFd, tid: Tid, fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    put(&accepted(ours, tid)?, fd)
}

/// Sends a descriptor, with one byte.
fn put(peer: &OwnedFd, fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(peer, &[IoSlice::new(b"x")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The connection of the guest; whoever else has connected is turned away.
fn accepted(ours: &OwnedFd, tid: Tid) -> rustix::io::Result<OwnedFd> {
    let status = record::of_thread(tid, "status").unwrap_or_default();
    let group = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    let group = group.and_then(|pid| pid.trim().parse().ok());
    loop {
        let peer = accept_with(ours, SocketFlags::CLOEXEC)?;
        let who = rustix::net::sockopt::socket_peercred(&peer)?;
        if Some(who.pid.as_raw_nonzero().get()) == group {
            return Ok(peer);
        }
    }
}
