//! What the three processes say to each other, and the sockets they say it on.
//!
//! One datagram is one message: a tag, up to three numbers, a text, and sometimes descriptors.
//! Nothing here ever blocks: a process of the chain that waits for another cannot watch it.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// One message. C, S and W are the command line process, the supervisor and the watchdog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// W to C: the numbers of W and of the first guest; with pidfds of both.
    Ready { watchdog: i32, guest: i32 },
    /// W to S: the first guest's number, now that its filter is in force; with the listener, if
    /// there is one.
    Installed { guest: i32 },
    /// W to C: the filter was not installed (see `guest::install_code`).
    NotInstalled { code: i32, errno: i32 },
    /// S or W to C: a process or thread that is needed could not be started.
    NoProcess { errno: i32 },
    /// W to C: the command runs.
    Executed,
    /// W to C: the command could not be executed.
    NotExecuted { errno: i32 },
    /// W to C: the first guest was stopped by this signal. C answers `Awake`.
    Stopped { signal: i32 },
    /// W to C: the first guest runs again.
    Continued,
    /// W to C: the first guest ended with this wait status; `last` if no guest is left.
    Ended { status: i32, last: bool },
    /// C to W: did our process group get this signal? W answers `InGroup`, in the same order.
    WasInGroup { signal: i32, code: i32, from: i32 },
    /// W to C: the answer.
    InGroup { yes: bool },
    /// C to W: C has been stopped as asked, or need not be, and runs.
    Awake,
    /// C to S and W: the status has arrived; the end of C is no accident.
    Goodbye,
    /// S to C: a line for the user.
    Complaint { text: String },
    /// W to S: no guest is left.
    Alone,
    /// S to C: the supervisor could not start.
    NotServing { text: String },
}

const MAX_TEXT: usize = 2048;
const MAX_DESCRIPTORS: usize = 2;

impl Message {
    fn encode(&self) -> Vec<u8> {
        use Message::*;
        let (tag, numbers, text): (u8, [i32; 3], &str) = match self {
            Ready { watchdog, guest } => (0, [*watchdog, *guest, 0], ""),
            Installed { guest } => (1, [*guest, 0, 0], ""),
            NotInstalled { code, errno } => (2, [*code, *errno, 0], ""),
            Executed => (3, [0; 3], ""),
            NotExecuted { errno } => (4, [*errno, 0, 0], ""),
            Stopped { signal } => (5, [*signal, 0, 0], ""),
            Continued => (6, [0; 3], ""),
            Ended { status, last } => (7, [*status, i32::from(*last), 0], ""),
            WasInGroup { signal, code, from } => (8, [*signal, *code, *from], ""),
            InGroup { yes } => (9, [i32::from(*yes), 0, 0], ""),
            Awake => (10, [0; 3], ""),
            Goodbye => (11, [0; 3], ""),
            Complaint { text } => (12, [0; 3], text),
            Alone => (14, [0; 3], ""),
            NotServing { text } => (13, [0; 3], text),
            NoProcess { errno } => (15, [*errno, 0, 0], ""),
        };
        let mut bytes = vec![tag];
        for number in numbers {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(&text.as_bytes()[..text.len().min(MAX_TEXT)]);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Message> {
        use Message::*;
        let (&tag, rest) = bytes.split_first()?;
        let (numbers, text) = rest.split_at_checked(12)?;
        let number = |i: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&numbers[4 * i..4 * i + 4]);
            i32::from_le_bytes(word)
        };
        let text = || String::from_utf8_lossy(text).into_owned();
        Some(match tag {
            0 => Ready { watchdog: number(0), guest: number(1) },
            1 => Installed { guest: number(0) },
            2 => NotInstalled { code: number(0), errno: number(1) },
            3 => Executed,
            4 => NotExecuted { errno: number(0) },
            5 => Stopped { signal: number(0) },
            6 => Continued,
            7 => Ended { status: number(0), last: number(1) != 0 },
            8 => WasInGroup { signal: number(0), code: number(1), from: number(2) },
            9 => InGroup { yes: number(0) != 0 },
            10 => Awake,
            11 => Goodbye,
            12 => Complaint { text: text() },
            14 => Alone,
            13 => NotServing { text: text() },
            15 => NoProcess { errno: number(0) },
            _ => return None,
        })
    }
}

/// What a look at the socket gave.
pub(super) enum Got {
    /// A message and its descriptors.
    Message(Message, Vec<OwnedFd>),
    /// Nothing now.
    Nothing,
    /// The other end is gone and everything it said has been read.
    Closed,
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Link(OwnedFd);

impl Link {
    /// Makes both ends.
    pub(super) fn pair() -> rustix::io::Result<(Link, Link)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Link(a), Link(b)))
    }

    /// Says something. What the other end cannot take, because it is gone or has stopped reading,
    /// is lost; the pidfds tell what that means.
    pub(super) fn send(&self, message: &Message, with: &[BorrowedFd<'_>]) {
        let bytes = message.encode();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !with.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(with));
        }
        let _ = sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL);
    }

    /// Looks for a message.
    pub(super) fn receive(&self) -> Got {
        let mut bytes = [0; MAX_TEXT + 16];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut room = [IoSliceMut::new(&mut bytes)];
        let length = match recvmsg(&self.0, &mut room, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(got) => got.bytes,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Got::Nothing,
            Err(_) => return Got::Closed,
        };
        let descriptors = control
            .drain()
            .filter_map(|m| match m {
                RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                _ => None,
            })
            .flatten()
            .collect();
        match Message::decode(&bytes[..length]) {
            Some(message) => Got::Message(message, descriptors),
            None => Got::Closed,
        }
    }

    /// The descriptor's number.
    pub(super) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_survives_the_way() {
        let all = [
            Message::Ready { watchdog: 1, guest: 2 },
            Message::Installed { guest: 3 },
            Message::NotInstalled { code: 1, errno: 16 },
            Message::Executed,
            Message::NotExecuted { errno: 2 },
            Message::Stopped { signal: 20 },
            Message::Continued,
            Message::Ended { status: 256, last: true },
            Message::WasInGroup { signal: 2, code: -1, from: 77 },
            Message::InGroup { yes: true },
            Message::Awake,
            Message::Goodbye,
            Message::Complaint { text: "a line".into() },
            Message::Alone,
            Message::NotServing { text: "why".into() },
            Message::NoProcess { errno: 11 },
        ];
        let (a, b) = Link::pair().unwrap();
        for message in all {
            a.send(&message, &[b.as_fd()]);
            match b.receive() {
                Got::Message(got, fds) => assert_eq!((got, fds.len()), (message, 1)),
                _ => panic!("{message:?} did not arrive"),
            }
        }
        assert!(matches!(b.receive(), Got::Nothing));
        drop(a);
        assert!(matches!(b.receive(), Got::Closed));
    }

    #[test]
    fn nobody_there_is_no_error_and_no_signal() {
        let (a, b) = Link::pair().unwrap();
        drop(b);
        a.send(&Message::Goodbye, &[]);
    }
}
