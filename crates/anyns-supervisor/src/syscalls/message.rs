//! sendto(2), sendmsg(2), sendmmsg(2): messages that can have a path for their address.
//!
//! The address lies in the guest's memory, and which socket is meant in its table of descriptors. Who
//! shares these can exchange both after they were looked at. So a message is sent from here, on the
//! socket that was looked at, unless the kernel cannot come upon a path: the socket is no datagram
//! socket of the family of paths, and nobody can exchange it. Who receives it, and asks for
//! credentials, is told ours.
//! Not here: what credentials a message may name ([`super::credentials`]).

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyns_trap::{Call, raw};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::{SocketType, sockopt};

use crate::abi::message::{ENTRY, HEADER, MOST, half, parts, word};
use crate::cx::{Cx, Served, Verdict};
use crate::syscalls::socket::{Address, STORAGE, address, found, is_alone, is_unix};
use crate::syscalls::{credentials, fifo};
use crate::trouble::Trouble;

/// So many bytes are read and sent at once. A longer datagram than that has room in no socket.
const AT_ONCE: usize = 1 << 20;
/// The kernel gives no more memory for control messages (`optmem_max`, socket(7)), where that is not set
/// higher.
const CONTROL_MAX: u64 = 1 << 17;
/// How often it is looked whether a caller still waits for room, at most and at least.
const LOOK: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_millis(1);
/// Most descriptors in a message (`SCM_MAX_FD`).
const RIGHTS_MAX: usize = 253;

/// The caller's socket.
enum Socket {
    /// The kernel comes upon no path, whatever others do meanwhile; and the socket, if it was looked at.
    Kernels(Option<OwnedFd>),
    /// It might.
    Ours(OwnedFd),
}

fn socket(cx: &mut Cx<'_>) -> Result<Socket, Trouble> {
    if cx.tree().is_none() {
        return Ok(Socket::Kernels(None));
    }
    cx.may_wait()?;
    let socket = cx.borrow(cx.int(0))?;
    let takes_paths = is_unix(&socket) && kind(&socket) == Some(SocketType::DGRAM);
    Ok(match takes_paths || !is_alone(cx) {
        true => Socket::Ours(socket),
        false => Socket::Kernels(Some(socket)),
    })
}

fn kind(socket: &OwnedFd) -> Option<SocketType> {
    sockopt::socket_type(socket).ok()
}

/// Serves `sendto(fd, buffer, length, flags, address, size)`.
pub(crate) fn sendto(cx: &mut Cx<'_>) -> Served {
    let socket = match socket(cx)? {
        Socket::Ours(socket) => socket,
        // A call of six arguments cannot be resumed where it was stopped.
        Socket::Kernels(socket) if cx.held().is_stopped() => {
            cx.may_wait()?;
            match socket {
                Some(socket) => socket,
                None => cx.borrow(cx.int(0))?,
            }
        }
        Socket::Kernels(_) => return Ok(Verdict::Continue),
    };
    let len = u32::try_from(cx.int(5)).map_err(|_| Errno::INVAL)?;
    let message = Message {
        name: Name(cx.arg(4), len),
        segments: vec![(cx.arg(1), cx.arg(2))],
        control: Vec::new(),
        _rights: Vec::new(),
    };
    let sent = message.send(cx, &socket, cx.int(3));
    said(cx, &socket, cx.int(3), sent)
}

/// Serves `sendmsg(fd, message, flags)`.
pub(crate) fn sendmsg(cx: &mut Cx<'_>) -> Served {
    match socket(cx)? {
        Socket::Kernels(socket) => credentials::sendmsg(cx, socket),
        Socket::Ours(socket) => {
            let message = Message::read(cx, &socket, cx.arg(1))?;
            let sent = message.send(cx, &socket, cx.int(2));
            said(cx, &socket, cx.int(2), sent)
        }
    }
}

/// Serves `sendmmsg(fd, messages, count, flags)`.
pub(crate) fn sendmmsg(cx: &mut Cx<'_>) -> Served {
    let socket = match socket(cx)? {
        Socket::Kernels(socket) => return credentials::sendmmsg(cx, socket),
        Socket::Ours(socket) => socket,
    };
    let (messages, end) = several(cx, &socket)?;
    for (index, message) in messages.iter().enumerate() {
        let place = cx.arg(1).wrapping_add((index * ENTRY + HEADER) as u64);
        let sent = message
            .send(cx, &socket, cx.int(3))
            .and_then(|sent| Ok(cx.mem().write(place, &(sent as u32).to_ne_bytes())?));
        match sent {
            Ok(()) => {}
            Err(trouble) if index == 0 => return said(cx, &socket, cx.int(3), Err(trouble)),
            Err(_) => return Ok(Verdict::Return(index as i64)),
        }
    }
    match end {
        Some(trouble) if messages.is_empty() => Err(trouble),
        _ => Ok(Verdict::Return(messages.len() as i64)),
    }
}

/// Reads messages before any is sent: until it has lent us its descriptors the caller makes its call
/// anew. An error is told only of the first; the messages before another are sent.
fn several(cx: &mut Cx<'_>, socket: &OwnedFd) -> Result<(Vec<Message>, Option<Trouble>), Trouble> {
    let count = (cx.arg(2) as u32 as usize).min(MOST);
    let (mut messages, mut control) = (Vec::new(), 0);
    for index in 0..count {
        match Message::read(cx, socket, cx.arg(1).wrapping_add((index * ENTRY) as u64)) {
            Ok(message) => {
                control += message.control.len();
                messages.push(message);
            }
            Err(gone @ Trouble::Gone) => return Err(gone),
            Err(trouble) => return Ok((messages, Some(trouble))),
        }
        // As if the others had to wait.
        if control > AT_ONCE {
            break;
        }
    }
    Ok((messages, None))
}

/// What the caller is told; and that nobody reads from a stream any more it is told by a signal, too.
fn said(cx: &Cx<'_>, socket: &OwnedFd, flags: i32, sent: Result<usize, Trouble>) -> Served {
    match sent {
        Err(Trouble::Errno(Errno::PIPE))
            if flags & libc::MSG_NOSIGNAL == 0 && kind(socket) == Some(SocketType::STREAM) =>
        {
            // The handler runs when the call returns.
            raw::tgkill(cx.thread_group(), cx.tid(), libc::SIGPIPE).map_err(|_| Trouble::Gone)?;
            Err(Errno::PIPE.into())
        }
        sent => Ok(Verdict::Return(sent? as i64)),
    }
}

/// Where the address of a message is, and how long.
struct Name(u64, u32);

/// A message that is sent for a guest.
struct Message {
    name: Name,
    /// Where the bytes are, and how many.
    segments: Vec<(u64, u64)>,
    /// What goes with it: descriptors by our numbers, and nobody's credentials but ours.
    control: Vec<u8>,
    /// These descriptors.
    _rights: Vec<OwnedFd>,
}

impl Message {
    /// Reads a `struct msghdr`.
    fn read(cx: &mut Cx<'_>, socket: &OwnedFd, at: u64) -> Result<Message, Trouble> {
        let mut header = [0; HEADER];
        cx.mem().read(at, &mut header)?;
        let field = |index: usize| word(&header[index * 8..]);
        let [name, len, vector, count, control, control_len] = [0, 1, 2, 3, 4, 5].map(field);
        let len = if name == 0 { 0 } else { len as u32 as i32 };
        let len = u32::try_from(len).map_err(|_| Errno::INVAL)?.min(STORAGE as u32);
        if count > MOST as u64 {
            return Err(Errno::MSGSIZE.into());
        }
        let mut segments = vec![0; count as usize * 16];
        cx.mem().read(vector, &mut segments)?;
        let segments = segments.chunks_exact(16).map(|two| (word(two), word(&two[8..]))).collect();
        if control_len > CONTROL_MAX {
            return Err(Errno::NOBUFS.into());
        }
        let mut bytes = vec![0; control_len as usize];
        cx.mem().read(control, &mut bytes)?;
        let rights = if is_unix(socket) { make_ours(cx, &mut bytes)? } else { Vec::new() };
        let name = Name(name, len);
        Ok(Message { name, segments, control: bytes, _rights: rights })
    }

    /// Sends it; says how many bytes went. A long one to a stream goes piece by piece, and its first
    /// bytes have gone when the others cannot.
    fn send(&self, cx: &Cx<'_>, socket: &OwnedFd, flags: i32) -> Result<usize, Trouble> {
        let (object, name) = self.name.read(cx, socket)?;
        let is_stream = kind(socket) == Some(SocketType::STREAM);
        let total: u64 = self.segments.iter().fold(0, |sum, (_, len)| sum.saturating_add(*len));
        if total > AT_ONCE as u64 && !is_stream {
            return Err(Errno::MSGSIZE.into());
        }
        let mut patience = Patience::of(socket, flags)?;
        let flags = flags | libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        let mut sent = 0;
        loop {
            let gone = piece(cx, &self.segments, sent).and_then(|(bytes, more)| {
                let (name, control) = match sent {
                    0 => (&*name, &*self.control),
                    _ => (&[][..], &[][..]),
                };
                let count = raw::send_message(socket.as_raw_fd(), name, &bytes, control, flags)?;
                Ok((count, more || count < bytes.len()))
            });
            let waited = match gone {
                Ok((count, more)) => {
                    sent += count;
                    if !more || count == 0 {
                        break;
                    }
                    Ok(())
                }
                Err(Trouble::Errno(Errno::AGAIN)) => patience.wait(cx, socket),
                Err(trouble) => Err(trouble),
            };
            match waited {
                Ok(()) => {}
                Err(_) if sent > 0 => break,
                Err(trouble) => return Err(trouble),
            }
        }
        drop(object);
        Ok(sent)
    }
}

/// How long a call goes on that finds no room: not a moment, until then, or for ever.
enum Patience {
    No,
    Until(Instant),
    Endless,
}

impl Patience {
    fn of(socket: &OwnedFd, flags: i32) -> Result<Patience, Errno> {
        let never = flags & libc::MSG_DONTWAIT != 0
            || rustix::fs::fcntl_getfl(socket)?.contains(OFlags::NONBLOCK);
        if never {
            return Ok(Patience::No);
        }
        Ok(match sockopt::socket_timeout(socket, sockopt::Timeout::Send)? {
            Some(time) => Patience::Until(Instant::now() + time),
            None => Patience::Endless,
        })
    }

    /// Waits a moment for room. The worker is not lost if the caller is: it looks.
    fn wait(&mut self, cx: &Cx<'_>, socket: &OwnedFd) -> Result<(), Trouble> {
        match self {
            Patience::No => return Err(Errno::AGAIN.into()),
            Patience::Until(end) if Instant::now() >= *end => return Err(Errno::AGAIN.into()),
            _ => {}
        }
        if !cx.held().is_alive() {
            return Err(Trouble::Gone);
        }
        if fifo::is_interrupted(cx.held()) {
            let restarts = matches!(self, Patience::Endless);
            return Err(Errno::from_raw_os_error(Call::interruption(restarts)).into());
        }
        let begin = Instant::now();
        let look = Timespec { tv_sec: 0, tv_nsec: LOOK.as_nanos() as i64 };
        rustix::event::poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&look))?;
        // A socket may have room where its receiver has none.
        if begin.elapsed() < PAUSE {
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Name {
    /// Reads it, and looks a path in it up. What holds what was found open comes with it.
    fn read(&self, cx: &Cx<'_>, socket: &OwnedFd) -> Result<(Option<OwnedFd>, Vec<u8>), Trouble> {
        let Name(at, len) = *self;
        if at == 0 || len == 0 {
            return Ok((None, Vec::new()));
        }
        match address(cx, socket, at, len.into())? {
            Address::Path(path) => {
                let (object, bytes) = found(cx, &path)?;
                Ok((Some(object), bytes))
            }
            Address::Other(bytes) => Ok((None, bytes)),
        }
    }
}

/// Reads what is to be sent after the first bytes, as much as goes at once; and whether there is more.
fn piece(cx: &Cx<'_>, segments: &[(u64, u64)], sent: usize) -> Result<(Vec<u8>, bool), Trouble> {
    let (mut bytes, mut before) = (Vec::new(), sent as u64);
    for &(at, len) in segments {
        let skipped = before.min(len);
        before -= skipped;
        let len = usize::try_from(len - skipped).unwrap_or(usize::MAX);
        let start = bytes.len();
        let taken = len.min(AT_ONCE - start);
        bytes.resize(start + taken, 0);
        cx.mem().read(at.wrapping_add(skipped), &mut bytes[start..])?;
        if taken < len {
            return Ok((bytes, true));
        }
    }
    Ok((bytes, false))
}

/// Puts our numbers for the caller's descriptors, and our credentials for what it may say of itself.
fn make_ours(cx: &mut Cx<'_>, control: &mut [u8]) -> Result<Vec<OwnedFd>, Trouble> {
    const RIGHTS: [i32; 2] = [libc::SOL_SOCKET, libc::SCM_RIGHTS];
    let mut rights = Vec::new();
    let all: Vec<_> = parts(control).collect();
    for part in all {
        // Descriptors behind what makes no sense would be ours.
        let part = part?;
        let content = &mut control[part.content];
        match part.kind {
            RIGHTS => {
                let numbers = content.chunks_exact_mut(4);
                if rights.len() + numbers.len() > RIGHTS_MAX {
                    return Err(Errno::INVAL.into());
                }
                for number in numbers {
                    let fd = cx.borrow(half(number))?;
                    number.copy_from_slice(&fd.as_raw_fd().to_ne_bytes());
                    rights.push(fd);
                }
            }
            credentials::KIND if content.len() == credentials::SIZE => {
                credentials::judge(cx, content)?;
                content.copy_from_slice(&credentials::own());
            }
            _ => {}
        }
    }
    Ok(rights)
}
