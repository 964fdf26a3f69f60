//! open(2) and its relatives where the caller sees other mounts than the host's: the file is found,
//! opened here, and given to the caller.
//!
//! Decided here: what the mounts forbid, and what depends on who opens. All else is the host's to
//! judge. A terminal that is opened so never becomes the caller's controlling one by itself.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

use nsproxy::MountFlags;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::fifo;
use super::overlay::{overlay, put, to_write};
use super::queue;
use super::seen::{has, kind, names_change, takes_names, writable};
use crate::cx::{Cx, Served, Verdict};
use crate::mounts::{Identity, Pts};
use crate::procfs::{self, Node};
use crate::rights::Need;
use crate::trouble::Trouble;
use crate::vfs::{self, Parent, Place};

/// Symbolic links followed to where a file is to be made.
const MAX_LINKS: usize = 40;

/// Flags that count with `O_PATH`.
const PATH_FLAGS: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How a file is to be opened.
#[derive(Clone, Copy)]
pub(crate) struct How {
    /// `O_*`.
    pub(crate) flags: OFlags,
    /// Of a new file.
    pub(crate) mode: u32,
    /// `RESOLVE_*`.
    pub(crate) resolve: ResolveFlags,
}

/// Opens what `path` names.
pub(crate) fn open(cx: &mut Cx<'_>, dirfd: i32, path: &CStr, how: How) -> Served {
    let mut how = how;
    if how.flags.contains(OFlags::PATH) {
        how.flags &= PATH_FLAGS;
    }
    if path.is_empty() {
        return Err(Errno::NOENT.into());
    }
    check(how)?;
    if how.flags.contains(OFlags::CREATE) {
        return create(cx, dirfd, path, how);
    }
    let follow = !how.flags.contains(OFlags::NOFOLLOW);
    let found = vfs::find_confined(cx.seeker(), dirfd, path, follow, how.resolve);
    let place = found.map_err(|lost| lost.errno)?;
    if how.flags.contains(OFlags::TMPFILE) {
        return temporary(cx, &place, how);
    }
    open_place(cx, place, how.flags)
}

/// What the kernel says before it looks at the path.
fn check(how: How) -> Result<(), Errno> {
    let flags = how.flags;
    let tmpfile = flags.bits() & (libc::O_TMPFILE & !libc::O_DIRECTORY) as u32 != 0;
    let writes = flags.intersects(OFlags::WRONLY | OFlags::RDWR);
    if tmpfile && (!flags.contains(OFlags::TMPFILE) || !writes)
        || flags.contains(OFlags::CREATE) && (flags.contains(OFlags::DIRECTORY) || tmpfile)
    {
        return Err(Errno::INVAL);
    }
    if how.resolve.contains(ResolveFlags::CACHED) {
        return Err(Errno::AGAIN);
    }
    Ok(())
}

/// A file without a name.
fn temporary(cx: &Cx<'_>, place: &Place, how: How) -> Served {
    if kind(place) != FileType::Directory {
        return Err(Errno::NOTDIR.into());
    }
    writable(place)?;
    let mode = Mode::from_raw_mode(cx.masked(how.mode & 0o7777));
    let raised = match overlay(cx, place) {
        Some(overlay) => Some(overlay.raised(place)?),
        None => None,
    };
    let directory = raised.as_ref().unwrap_or(&place.fd);
    let fd = cx.lifting(&[(directory, Need::CHANGE)], || {
        rustix::fs::openat(directory, c".", how.flags | OFlags::CLOEXEC, mode)
    })?;
    Ok(Verdict::Install { fd, cloexec: how.flags.contains(OFlags::CLOEXEC) })
}

/// Opens a file that is made if it is not there.
fn create(cx: &mut Cx<'_>, dirfd: i32, path: &CStr, how: How) -> Served {
    let lost = |lost: vfs::Lost| Trouble::from(lost.errno);
    let mut at = vfs::find_parent(cx.seeker(), dirfd, path, how.resolve).map_err(lost)?;
    for _ in 0..=MAX_LINKS {
        if is_directory_name(&at) {
            return Err(Errno::ISDIR.into());
        }
        let found = vfs::find_in(cx.seeker(), &at.place, &at.name, false);
        let place = match found {
            Ok(place) => place,
            Err(none) if none.errno == Errno::NOENT => match make(cx, &at, how)? {
                Some(fd) => {
                    if overlay(cx, &at.place).is_some() {
                        note_as(cx, &at.place, &fd)?;
                    }
                    let cloexec = how.flags.contains(OFlags::CLOEXEC);
                    return Ok(Verdict::Install { fd, cloexec });
                }
                // Somebody else has made it meanwhile.
                None => continue,
            },
            Err(other) => return Err(lost(other)),
        };
        if how.flags.contains(OFlags::EXCL) {
            return Err(Errno::EXIST.into());
        }
        if kind(&place) != FileType::Symlink || how.flags.contains(OFlags::NOFOLLOW) {
            crosses(&at.place, &place, how.resolve)?;
            return open_place(cx, place, how.flags);
        }
        if how.resolve.contains(ResolveFlags::NO_SYMLINKS)
            || has(&at.place, MountFlags::NOSYMFOLLOW)
        {
            return Err(Errno::LOOP.into());
        }
        if place.node.is_some() {
            // A link of /proc leads to the object itself.
            if !how.resolve.is_empty() {
                return Err(Errno::LOOP.into());
            }
            let place = vfs::find_in(cx.seeker(), &at.place, &at.name, true).map_err(lost)?;
            return open_place(cx, place, how.flags);
        }
        vfs::may_follow(&at.place.stat, &place.stat)?;
        let text = rustix::fs::readlinkat(&place.fd, c"", Vec::new())?;
        at = match how.resolve.is_empty() {
            true => vfs::find_parent_in(cx.seeker(), &at.place, &text).map_err(lost)?,
            // What is confined is walked again from its beginning, link and all.
            false => follow_confined(cx, dirfd, path, &text, how.resolve)?,
        };
    }
    Err(Errno::LOOP.into())
}

/// Where a confined path leads whose last name is a link with this text.
fn follow_confined(
    cx: &Cx<'_>,
    dirfd: i32,
    path: &CStr,
    text: &CStr,
    resolve: ResolveFlags,
) -> Result<Parent, Trouble> {
    let bytes = path.to_bytes();
    let directory =
        bytes.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |at| &bytes[..=at]);
    let whole = match text.to_bytes().starts_with(b"/") {
        true => text.to_owned(),
        false => CString::new([directory, text.to_bytes()].concat()).map_err(|_| Errno::INVAL)?,
    };
    if text.to_bytes().starts_with(b"/") && resolve.contains(ResolveFlags::BENEATH) {
        return Err(Errno::XDEV.into());
    }
    Ok(vfs::find_parent(cx.seeker(), dirfd, &whole, resolve).map_err(|lost| lost.errno)?)
}

fn crosses(from: &Place, to: &Place, resolve: ResolveFlags) -> Result<(), Errno> {
    let forbidden = resolve.contains(ResolveFlags::NO_XDEV) && from.mount != to.mount;
    if forbidden { Err(Errno::XDEV) } else { Ok(()) }
}

fn is_directory_name(at: &Parent) -> bool {
    at.slash || matches!(at.name.to_bytes(), b"." | b"..")
}

/// Makes a file; nothing if there is one all of a sudden.
fn make(cx: &Cx<'_>, at: &Parent, how: How) -> Result<Option<OwnedFd>, Trouble> {
    takes_names(&at.place)?;
    if let Some(queues) = queue::queues(cx, &at.place) {
        let mode = cx.masked(how.mode & 0o7777);
        return queue::open(cx, &queues, at.name.to_bytes(), how.flags, Some(mode)).map(Some);
    }
    // The calls that make other things say EPERM.
    names_change(&at.place).map_err(|_| Errno::ACCESS)?;
    let mode = Mode::from_raw_mode(cx.masked(how.mode & 0o7777));
    let flags = how.flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made =
        put(cx, at, FileType::RegularFile, |at, name| rustix::fs::openat(at, name, flags, mode));
    match made {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::EXIST) if !how.flags.contains(OFlags::EXCL) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The namespace whose file is mounted at a place, if one is.
pub(crate) fn bound_namespace(cx: &Cx<'_>, place: &Place) -> Option<nsproxy::AnyNamespace> {
    let kind = place.seen_through()?.sb.kind();
    let proxy = cx.guest().filter(|_| kind == "nsfs")?.task.nsproxy()?;
    cx.sup.mounts.namespace_at(&proxy.mnt, place)
}

/// Opens what was found.
pub(crate) fn open_place(cx: &mut Cx<'_>, place: Place, flags: OFlags) -> Served {
    let sort = kind(&place);
    let writes = flags.intersects(OFlags::WRONLY | OFlags::RDWR);
    if let Some(namespace) = bound_namespace(cx, &place) {
        return super::open::hand_namespace(cx, namespace, place.reached(), flags);
    }
    if let Some(node) = &place.node
        && !matches!(sort, FileType::Directory)
    {
        let node = node.clone();
        return open_node(cx, place, node, flags);
    }
    if sort == FileType::Symlink && !flags.contains(OFlags::PATH) {
        return Err(Errno::LOOP.into());
    }
    if flags.contains(OFlags::DIRECTORY) && sort != FileType::Directory {
        return Err(Errno::NOTDIR.into());
    }
    let cloexec = flags.contains(OFlags::CLOEXEC);
    if let Some(queues) = queue::queues(cx, &place) {
        match sort {
            FileType::RegularFile if !flags.contains(OFlags::PATH) => {
                let name = queue::name_of(&place)?;
                let fd = queue::open(cx, &queues, &name, flags, None)?;
                return Ok(Verdict::Install { fd, cloexec });
            }
            _ => queues.refresh()?,
        }
    }
    let overlay = overlay(cx, &place);
    if sort == FileType::Directory {
        if writes || flags.contains(OFlags::CREATE) {
            return Err(Errno::ISDIR.into());
        }
        note(cx, &place)?;
    } else if overlay.is_some() {
        // What has it open has a layer's file, which only an overlay may have changed.
        note(cx, &place)?;
    } else if place.gone.is_some() || place.view.as_ref().is_some_and(|view| view.has_overlay()) {
        // Nothing else tells of a mount that is gone. And it may be a layer's, and be known as what an
        // overlay has shown: this descriptor is not.
        note_descriptor(cx, &place, Identity::of(&place.fd)?);
    }
    if flags.contains(OFlags::PATH) {
        note(cx, &place)?;
        return Ok(Verdict::Install { fd: place.fd, cloexec });
    }
    match sort {
        FileType::CharacterDevice | FileType::BlockDevice => {
            if has(&place, MountFlags::NODEV) {
                return Err(Errno::ACCESS.into());
            }
            if let Some(fd) = device(cx, &place, flags)? {
                return Ok(Verdict::Install { fd, cloexec });
            }
        }
        FileType::Fifo if fifo::may_wait(flags) => return fifo::open(cx, &place.fd, flags),
        FileType::Fifo | FileType::Socket => {}
        _ if writes || flags.contains(OFlags::TRUNC) => {
            let place = to_write(cx, place)?;
            if overlay.is_some() {
                note(cx, &place)?;
            }
            let fd = reopen(cx, &place, flags)?;
            return Ok(Verdict::Install { fd, cloexec });
        }
        FileType::Directory => {
            if let Some(overlay) = overlay {
                overlay.list(&place.fd)?;
            }
        }
        _ => {}
    }
    let fd = reopen(cx, &place, flags)?;
    Ok(Verdict::Install { fd, cloexec })
}

/// Opens the very object that was found.
fn reopen(cx: &Cx<'_>, place: &Place, flags: OFlags) -> Result<OwnedFd, Errno> {
    open_as(cx, &place.fd, flags)
}

fn open_as(cx: &Cx<'_>, object: &OwnedFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    let need = match flags & OFlags::RWMODE {
        OFlags::RDONLY if flags.contains(OFlags::TRUNC) => Need::BOTH,
        OFlags::RDONLY => Need::READ,
        OFlags::WRONLY => Need::WRITE,
        _ => Need::BOTH,
    };
    let not = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let flags = (flags - not) | OFlags::NOCTTY | OFlags::CLOEXEC;
    cx.lifting(&[(object, need)], || procfs::reopen(object, flags))
}

/// Remembers through which mount something was opened that paths can begin at.
fn note(cx: &mut Cx<'_>, place: &Place) -> Result<(), Errno> {
    note_as(cx, place, &place.fd)
}

/// The same of what was opened through the mount that something was reached through.
fn note_as(cx: &mut Cx<'_>, place: &Place, opened: &OwnedFd) -> Result<(), Errno> {
    let identity = Identity::of(opened)?;
    if let Some((view, mount)) = place.view.as_ref().zip(place.mount) {
        cx.sup.mounts.note_seen(view, &identity, mount);
    }
    note_descriptor(cx, place, identity);
    Ok(())
}

/// The same of nothing but the descriptor that the caller is about to get.
fn note_descriptor(cx: &mut Cx<'_>, place: &Place, identity: Identity) {
    cx.opened = place.reached().map(|reached| (reached, identity));
}

/// Opens a file of `/proc` that is no directory.
fn open_node(cx: &mut Cx<'_>, place: Place, node: Node, flags: OFlags) -> Served {
    let is_link = kind(&place) == FileType::Symlink;
    let writes = flags.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::TRUNC);
    let verdict = match node {
        Node::Namespace { tid, link } if !flags.contains(OFlags::NOFOLLOW) => {
            super::open::open_namespace(cx, tid, link, flags)?
        }
        _ if flags.contains(OFlags::PATH) || is_link => Verdict::Continue,
        _ if writes && writable(&place).is_err() => return Err(Errno::ROFS.into()),
        node => super::open::open_node(cx, node, flags)?,
    };
    if !matches!(verdict, Verdict::Continue) {
        return Ok(verdict);
    }
    if let Some(errno) = place.barred {
        return Err(errno.into());
    }
    let cloexec = flags.contains(OFlags::CLOEXEC);
    if flags.contains(OFlags::DIRECTORY) {
        return Err(Errno::NOTDIR.into());
    }
    if flags.contains(OFlags::PATH) {
        note(cx, &place)?;
        return Ok(Verdict::Install { fd: place.fd, cloexec });
    }
    if is_link {
        return Err(Errno::LOOP.into());
    }
    let fd = reopen(cx, &place, flags)?;
    Ok(Verdict::Install { fd, cloexec })
}

/// Opens a device that means something else to us than to the caller: its controlling terminal, and
/// what makes terminals in a file system of a guest's. None for all others.
fn device(cx: &mut Cx<'_>, place: &Place, flags: OFlags) -> Result<Option<OwnedFd>, Trouble> {
    let tty = rustix::fs::makedev(5, 0);
    if kind(place) == FileType::CharacterDevice && place.stat.st_rdev == tty {
        return Ok(Some(terminal(cx.tid(), flags)?));
    }
    if !Pts::is_multiplexer(&place.stat) {
        return Ok(None);
    }
    let sb = place.seen_through().map(|mount| mount.sb.id());
    let Some(pts) = sb.and_then(|sb| cx.sup.mounts.terminals(sb)) else { return Ok(None) };
    // Who may open what has its attributes may open it.
    drop(open_as(cx, place.object(), flags - OFlags::TRUNC)?);
    let master = pts.open_ptmx(flags)?;
    // They are the master's, too.
    note_descriptor(cx, place, Identity::of(&master)?);
    Ok(Some(master))
}

/// Opens the controlling terminal of a thread.
fn terminal(tid: i32, flags: OFlags) -> Result<OwnedFd, Errno> {
    let text = procfs::read_file(&format!("/proc/{tid}/stat"))?;
    let text = String::from_utf8_lossy(&text);
    let after = text.rsplit(')').next().unwrap_or_default();
    let number: u32 = after
        .split_whitespace()
        .nth(4)
        .and_then(|word| word.parse::<i32>().ok())
        .map_or(0, |number| number as u32);
    let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xfff00));
    if number == 0 {
        return Err(Errno::NXIO);
    }
    let path = match major {
        136..=143 => format!("/dev/pts/{}", (major - 136) * 256 + minor),
        4 if minor < 64 => format!("/dev/tty{minor}"),
        4 => format!("/dev/ttyS{}", minor - 64),
        _ => format!("/dev/char/{major}:{minor}"),
    };
    let not = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let flags = (flags - not) | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|_| Errno::NXIO)?;
    match rustix::fs::fstat(&fd)?.st_rdev == rustix::fs::makedev(major, minor) {
        true => Ok(fd),
        false => Err(Errno::NXIO),
    }
}
