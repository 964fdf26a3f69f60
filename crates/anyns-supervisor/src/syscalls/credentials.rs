//! sendmsg(2), sendmmsg(2) with `SCM_CREDENTIALS` (unix(7)): who a sender says it is.
//!
//! The kernel compares what it is told with the sender's own number and ids, and those are the
//! host's. So a caller in a user or pid namespace of ours is judged here, and makes its call with the
//! host's for what it has said. The kernel judges that anew: whoever exchanges the message meanwhile
//! can say no more than the host lets anybody say.
//! Not decided here: who may say what; that is `nsproxy::may_claim`.

use std::ops::Range;
use std::os::fd::OwnedFd;

use anyns_trap::{Memory, Tid};
use nsproxy::{Whose, may_claim};
use rustix::io::Errno;
use rustix::net::{AddressFamily, sockopt};

use crate::abi::message::{ENTRY, HEADER, MOST, Part, TITLE, half, parts, word};
use crate::cx::{Cx, Served, Verdict};
use crate::numbers::NOBODY;
use crate::trouble::Trouble;

/// Where a `struct msghdr` says where its control messages are, and how long.
const CONTROL: usize = 32;
const CONTROL_LEN: usize = 40;
/// Level and type of a message with credentials.
pub(super) const KIND: [i32; 2] = [libc::SOL_SOCKET, libc::SCM_CREDENTIALS];
/// `struct ucred`: three words of four bytes.
pub(super) const SIZE: usize = 12;
/// As much as is put below the caller's stack, like a path.
const ROOM: usize = 4096;
/// Control messages are looked through so far. More than 253 descriptors cannot be sent at once.
const LOOK: usize = 1 << 16;

/// Serves `sendmsg(fd, message, flags)`, whose socket may have been borrowed already.
pub(crate) fn sendmsg(cx: &mut Cx<'_>, socket: Option<OwnedFd>) -> Served {
    let mut header = vec![0; HEADER];
    if !is_concerned(cx) || cx.mem().read(cx.arg(1), &mut header).is_err() {
        return Ok(Verdict::Continue);
    }
    let Some(control) = claims(cx, &header) else { return Ok(Verdict::Continue) };
    if !judges(cx, socket)? {
        return Ok(Verdict::Continue);
    }
    let Some(control) = translated(cx, control)? else { return Ok(Verdict::Continue) };
    let mut args = cx.args();
    args[1] = put(cx, vec![(header, Some(control))])?;
    cx.run_with(args)
}

/// Serves `sendmmsg(fd, messages, count, flags)`. Of more messages than there is room for the first are
/// sent, as if the others had to wait.
pub(crate) fn sendmmsg(cx: &mut Cx<'_>, socket: Option<OwnedFd>) -> Served {
    if !is_concerned(cx) {
        return Ok(Verdict::Continue);
    }
    let count = (cx.arg(2) as u32 as usize).min(MOST);
    let mut entries = vec![0; count * ENTRY];
    let Ok(read) = cx.mem().read_some(cx.arg(1), &mut entries) else {
        return Ok(Verdict::Continue);
    };
    entries.truncate(read);
    let entries: Vec<Vec<u8>> = entries.chunks_exact(ENTRY).map(<[u8]>::to_vec).collect();
    let claims: Vec<_> = entries.iter().map(|entry| claims(cx, entry)).collect();
    if claims.iter().all(Option::is_none) || !judges(cx, socket)? {
        return Ok(Verdict::Continue);
    }
    let (mut messages, mut room) = (Vec::new(), 0);
    for (entry, claim) in entries.into_iter().zip(claims) {
        // An error is told only of the first: the messages before another are sent.
        let control = match claim.map(|control| translated(cx, control)) {
            None => None,
            Some(Ok(control)) => control,
            Some(Err(trouble)) if messages.is_empty() => return Err(trouble),
            Some(Err(_)) => break,
        };
        room += ENTRY + control.as_ref().map_or(0, Vec::len);
        if room > ROOM && !messages.is_empty() {
            break;
        }
        messages.push((entry, control));
    }
    let (at, count, mut args) = (cx.arg(1), messages.len(), cx.args());
    (args[1], args[2]) = (put(cx, messages)?, count as u64);
    match cx.run(args)? {
        Ok(ran) => {
            let mem = Memory::of_stopped(Tid(cx.tid()));
            for index in 0..ran.result().max(0) as u64 {
                let place = index * ENTRY as u64 + HEADER as u64;
                let mut sent = [0; 4];
                if mem.read(args[1] + place, &mut sent).is_ok() {
                    mem.write(at + place, &sent).ok();
                }
            }
            Ok(Verdict::Answered(ran.release()))
        }
        Err(answered) => Ok(Verdict::Answered(answered)),
    }
}

/// Whether a caller's numbers or ids are not the host's.
fn is_concerned(cx: &Cx<'_>) -> bool {
    cx.inside().is_some() || cx.numbered().is_some()
}

/// Whether the caller's socket is of a family in which the kernel looks at credentials.
fn judges(cx: &mut Cx<'_>, socket: Option<OwnedFd>) -> Result<bool, Trouble> {
    let socket = match socket {
        Some(socket) => socket,
        None => {
            cx.may_wait()?;
            cx.borrow(cx.int(0))?
        }
    };
    let family = sockopt::socket_domain(&socket);
    Ok(family.is_ok_and(|of| matches!(of, AddressFamily::UNIX | AddressFamily::NETLINK)))
}

/// The control messages of a message, if there are credentials among them. What cannot be read the
/// kernel refuses.
fn claims(cx: &Cx<'_>, header: &[u8]) -> Option<Vec<u8>> {
    let len = usize::try_from(word(&header[CONTROL_LEN..])).ok()?;
    if !(TITLE + SIZE..=LOOK).contains(&len) {
        return None;
    }
    let mut control = vec![0; len];
    cx.mem().read(word(&header[CONTROL..]), &mut control).ok()?;
    let any = credentials(&control).next().is_some();
    any.then_some(control)
}

/// Where credentials are among control messages, up to one that makes no sense.
fn credentials(control: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let messages = parts(control).map_while(Result::ok);
    let are = |part: &Part| part.kind == KIND && part.content.len() == SIZE;
    messages.filter(are).map(|part| part.content)
}

/// Control messages with the host's numbers and ids for the caller's; `None` if they are the same.
fn translated(cx: &Cx<'_>, control: Vec<u8>) -> Result<Option<Vec<u8>>, Trouble> {
    let mut host = control.clone();
    for at in credentials(&control) {
        let claimed = judge(cx, &control[at.clone()])?;
        host[at].copy_from_slice(&claimed.map(i32::to_ne_bytes).concat());
    }
    if host == control {
        return Ok(None);
    }
    // The kernel has room for what makes sense, and so have we.
    match host.len() <= ROOM - ENTRY {
        true => Ok(Some(host)),
        false => Err(Errno::NOBUFS.into()),
    }
}

/// What the host is told for one `struct ucred`.
pub(super) fn judge(cx: &Cx<'_>, claim: &[u8]) -> Result<[i32; 3], Trouble> {
    let [number, uid, gid] = [0, 4, 8].map(|place| half(&claim[place..]));
    let guest = cx.guest().ok_or(Errno::PERM)?;
    let (host, whose) = match cx.view().find(number) {
        Ok(host) if host == guest.tgid => (host, Whose::Own),
        Ok(host) => (host, Whose::Another),
        Err(_) => (NOBODY, Whose::Nobody),
    };
    let owner = guest.task.pid_ns().map_or_else(|| cx.sup.system.init_user(), |ns| ns.owner());
    let (user, group) = may_claim(&*cx.cred()?, &owner, whose, uid as u32, gid as u32)?;
    Ok([host, user.0 as i32, group.0 as i32])
}

/// Puts messages, and those control messages that are ours, below the caller's stack.
fn put(cx: &Cx<'_>, messages: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<u64, Trouble> {
    let heads: usize = messages.iter().map(|(head, _)| head.len()).sum();
    let behind: usize = messages.iter().flat_map(|(_, control)| control).map(Vec::len).sum();
    let at = cx.held().scratch_room(heads + behind)?;
    let (mut head, mut tail) = (Vec::with_capacity(heads + behind), Vec::with_capacity(behind));
    for (mut header, control) in messages {
        if let Some(control) = control {
            let place = at + (heads + tail.len()) as u64;
            header[CONTROL..CONTROL_LEN].copy_from_slice(&place.to_ne_bytes());
            tail.extend(control);
        }
        head.extend(header);
    }
    head.extend(tail);
    cx.held().write_scratch(at, &head)?;
    Ok(at)
}

/// Our own, as a `struct ucred`.
pub(super) fn own() -> Vec<u8> {
    let process = rustix::process::getpid().as_raw_nonzero().get();
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    [process, user.as_raw() as i32, group.as_raw() as i32].map(i32::to_ne_bytes).concat()
}
