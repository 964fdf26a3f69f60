//! bind(2), connect(2), getsockname(2), getpeername(2): sockets with a path as their address.
//!
//! Where a path leads elsewhere than on the host, the call is made here, on the guest's own socket. So
//! the other side is told *our* process number (unix(7), SO_PEERCRED), with the guest's user.
//! Not here: what is sent to an address ([`super::message`]).

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::Ordering;

use anyns_trap::raw;
use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, sockopt};

use crate::cx::{Cx, Served, Verdict};
use crate::guests::Guest;
use crate::mounts::Bound;
use crate::rights::Need;
use crate::trouble::Trouble;
use crate::vfs;

/// `struct sockaddr_un`: the family, and a path.
const FAMILY: usize = 2;
const ADDRESS_MAX: usize = 110;

/// `struct sockaddr_storage`: no address is longer.
pub(super) const STORAGE: usize = 128;

/// What an address of a socket says.
pub(super) enum Address {
    /// A path that leads somewhere.
    Path(std::ffi::CString),
    /// Anything else, as it is.
    Other(Vec<u8>),
}

/// The caller's socket, if it is not the kernel's to follow the path in an address of it.
fn borrowed(cx: &mut Cx<'_>) -> Result<Option<OwnedFd>, Trouble> {
    if cx.tree().is_none() {
        return Ok(None);
    }
    cx.may_wait()?;
    let socket = cx.borrow(cx.int(0))?;
    Ok((is_unix(&socket) || !is_alone(cx)).then_some(socket))
}

pub(super) fn is_unix(socket: &OwnedFd) -> bool {
    sockopt::socket_domain(socket).is_ok_and(|of| of == AddressFamily::UNIX)
}

/// Whether nobody but the caller can put another socket in the place of the one that was looked at. The
/// threads of who is traced by another guest need not be known.
pub(super) fn is_alone(cx: &Cx<'_>) -> bool {
    let followed = |guest: &Guest| !guest.traced.load(Ordering::Acquire);
    cx.guest().is_some_and(|guest| guest.is_alone() && followed(guest))
        && !cx.sup.guests.share_files()
}

/// Reads an address of a socket.
pub(super) fn address(
    cx: &Cx<'_>,
    socket: &OwnedFd,
    at: u64,
    len: u64,
) -> Result<Address, Trouble> {
    // The kernel takes the length as an int.
    let len = usize::try_from(len as u32 as i32).map_err(|_| Errno::INVAL)?;
    if len > STORAGE {
        return Err(Errno::INVAL.into());
    }
    let mut bytes = vec![0; len];
    cx.mem().read(at, &mut bytes)?;
    match path_in(&bytes).filter(|_| len <= ADDRESS_MAX && is_unix(socket)) {
        Some(path) => Ok(Address::Path(path)),
        None => Ok(Address::Other(bytes)),
    }
}

/// The path in an address of a socket, if it is of the sort that has one.
pub(crate) fn path_in(address: &[u8]) -> Option<CString> {
    let (family, path) = address.split_at_checked(FAMILY)?;
    let of_paths = family == (libc::AF_UNIX as u16).to_ne_bytes();
    let path = path.split(|byte| *byte == 0).next().filter(|path| of_paths && !path.is_empty())?;
    CString::new(path).ok()
}

/// The object of a path, as an address of ours. What holds it open comes with it.
pub(super) fn found(cx: &Cx<'_>, path: &std::ffi::CStr) -> Result<(OwnedFd, Vec<u8>), Trouble> {
    let place = cx.find(libc::AT_FDCWD, path, true)?;
    let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    bytes.extend(format!("/proc/self/fd/{}\0", place.fd.as_raw_fd()).into_bytes());
    Ok((place.fd, bytes))
}

/// Serves `bind(fd, address, length)`.
pub(crate) fn bind(cx: &mut Cx<'_>) -> Served {
    let Some(socket) = borrowed(cx)? else { return Ok(Verdict::Continue) };
    match address(cx, &socket, cx.arg(1), cx.arg(2))? {
        Address::Path(path) => bind_at(cx, &socket, &path)?,
        Address::Other(bytes) => raw::bind(socket.as_raw_fd(), &bytes)?,
    }
    Ok(Verdict::Return(0))
}

fn bind_at(cx: &Cx<'_>, socket: &OwnedFd, path: &std::ffi::CStr) -> Result<(), Trouble> {
    let resolve = rustix::fs::ResolveFlags::empty();
    let parent = vfs::find_parent(cx.seeker(), libc::AT_FDCWD, path, resolve);
    let parent = parent.map_err(|lost| match lost.errno {
        // The last name is one that is always taken.
        Errno::EXIST => Errno::ADDRINUSE,
        errno => errno,
    })?;
    let overlay = super::overlay::overlay(cx, &parent.place);
    let there = match &overlay {
        Some(overlay) => overlay.step(&parent.place.fd, parent.name.to_bytes()).map(drop),
        None => {
            rustix::fs::statat(&parent.place.fd, &parent.name, AtFlags::SYMLINK_NOFOLLOW).map(drop)
        }
    };
    if there.is_ok() {
        return Err(Errno::ADDRINUSE.into());
    }
    if parent.place.seen_through().is_some_and(|mount| mount.is_readonly()) {
        return Err(Errno::ROFS.into());
    }
    let bound = &cx.sup.mounts.bound;
    let umask = crate::procfs::umask(cx.tid()).unwrap_or(0o022);
    let mode = Mode::from_raw_mode(0o777 & !umask);
    Ok(super::overlay::put(cx, &parent, FileType::Socket, |directory, name| {
        let numbered = bound.directory(directory)?;
        let at = Bound::path(&numbered, name.to_bytes());
        let address = SocketAddrUnix::new(std::ffi::OsStr::from_bytes(&at))?;
        rustix::net::bind(socket, &address)?;
        bound.note(at, path.to_bytes());
        // It may have been removed already.
        let _ = rustix::fs::chmodat(directory, name, mode, AtFlags::empty());
        Ok(())
    })?)
}

/// Serves `getsockname(fd, address, length)`.
pub(crate) fn getsockname(cx: &mut Cx<'_>) -> Served {
    tell(cx, |socket| rustix::net::getsockname(socket).map(Some))
}

/// Serves `getpeername(fd, address, length)`.
pub(crate) fn getpeername(cx: &mut Cx<'_>) -> Served {
    tell(cx, |socket| rustix::net::getpeername(socket))
}

/// Tells an address as a guest has written it.
fn tell(
    cx: &mut Cx<'_>,
    address: impl FnOnce(&OwnedFd) -> Result<Option<SocketAddrAny>, Errno>,
) -> Served {
    if cx.sup.mounts.bound.is_empty() {
        return Ok(Verdict::Continue);
    }
    let Some(socket) = borrowed(cx)? else { return Ok(Verdict::Continue) };
    let known = address(&socket)?.and_then(|known| SocketAddrUnix::try_from(known).ok());
    let written = known.and_then(|known| cx.sup.mounts.bound.written(known.path()?.to_bytes()));
    let Some(written) = written else { return Ok(Verdict::Continue) };
    let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    bytes.extend_from_slice(&written);
    bytes.push(0);
    let mut room = [0; 4];
    cx.mem().read(cx.arg(2), &mut room)?;
    let room = usize::try_from(i32::from_ne_bytes(room)).map_err(|_| Errno::INVAL)?;
    cx.mem().write(cx.arg(1), &bytes[..room.min(bytes.len())])?;
    cx.mem().write(cx.arg(2), &(bytes.len() as i32).to_ne_bytes())?;
    Ok(Verdict::Return(0))
}

/// Serves `connect(fd, address, length)`.
pub(crate) fn connect(cx: &mut Cx<'_>) -> Served {
    let Some(socket) = borrowed(cx)? else { return Ok(Verdict::Continue) };
    match address(cx, &socket, cx.arg(1), cx.arg(2))? {
        Address::Path(path) => {
            let (object, address) = found(cx, &path)?;
            cx.lifting(&[(&object, Need::WRITE)], || raw::connect(socket.as_raw_fd(), &address))?;
        }
        Address::Other(bytes) => raw::connect(socket.as_raw_fd(), &bytes)?,
    }
    Ok(Verdict::Return(0))
}
