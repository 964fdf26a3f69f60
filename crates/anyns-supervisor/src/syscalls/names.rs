//! mkdir(2), mknod(2), symlink(2), link(2), rename(2), unlink(2), rmdir(2) and their `at` forms, where
//! the caller sees other mounts than the host's: the name is found, and the host does the rest in the
//! directory it is in.
//! Decided here: what the mounts forbid (EROFS, EXDEV, EBUSY). All else is the host's to judge.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use anyns_trap::Failed;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::overlay::{overlay, put, to_change};
use super::queue;
use super::seen::{is_name, kind, names_change, own_path, trimmed, writable};
use crate::cx::{Cx, Served, Verdict};
use crate::rights::Need;
use crate::trouble::Trouble;
use crate::vfs::{self, Parent, Place};

const CWD: i32 = libc::AT_FDCWD;

/// Serves `mkdir(path, mode)`.
pub(crate) fn mkdir(cx: &mut Cx<'_>) -> Served {
    make_directory(cx, CWD, 0)
}

/// Serves `mkdirat(dirfd, path, mode)`.
pub(crate) fn mkdirat(cx: &mut Cx<'_>) -> Served {
    make_directory(cx, cx.int(0), 1)
}

fn make_directory(cx: &Cx<'_>, dirfd: i32, path_arg: usize) -> Served {
    if cx.tree().is_none() {
        return Ok(Verdict::Continue);
    }
    let at = cx.parent(dirfd, path_arg)?;
    cx.can_make(&at)?;
    let mode = cx.masked(cx.arg(path_arg + 1) as u32 & 0o1777);
    let mode = Mode::from_raw_mode(mode);
    put(cx, &at, FileType::Directory, |at, name| rustix::fs::mkdirat(at, name, mode))?;
    Ok(Verdict::Return(0))
}

/// Serves `mknod(path, mode, device)`.
pub(crate) fn mknod(cx: &mut Cx<'_>) -> Served {
    make_node(cx, CWD, 0)
}

/// Serves `mknodat(dirfd, path, mode, device)`.
pub(crate) fn mknodat(cx: &mut Cx<'_>) -> Served {
    make_node(cx, cx.int(0), 1)
}

fn make_node(cx: &Cx<'_>, dirfd: i32, path_arg: usize) -> Served {
    if cx.tree().is_none() {
        return Ok(Verdict::Continue);
    }
    let (mode, device) = (cx.arg(path_arg + 1) as u32 & 0xffff, cx.arg(path_arg + 2) as u32);
    match mode & libc::S_IFMT {
        0 | libc::S_IFREG | libc::S_IFCHR | libc::S_IFBLK | libc::S_IFIFO | libc::S_IFSOCK => {}
        libc::S_IFDIR => return Err(Errno::PERM.into()),
        _ => return Err(Errno::INVAL.into()),
    }
    let at = cx.parent(dirfd, path_arg)?;
    cx.can_make(&at)?;
    let mode = (mode & libc::S_IFMT) | cx.masked(mode & 0o7777);
    // As the kernel packs it.
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    let sort = match mode & libc::S_IFMT {
        0 => FileType::RegularFile,
        sort => FileType::from_raw_mode(sort),
    };
    let device = rustix::fs::makedev(major, minor);
    let bits = Mode::from_raw_mode(mode & 0o7777);
    // A device without numbers would be a whiteout.
    let is_whiteout = sort == FileType::CharacterDevice && device == 0;
    if is_whiteout && overlay(cx, &at.place).is_some() {
        return Err(Errno::PERM.into());
    }
    if let Some(queues) = queue::queues(cx, &at.place)
        && sort == FileType::RegularFile
    {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let mode = mode & 0o7777;
        queue::open(cx, &queues, trimmed(&at).to_bytes(), flags, Some(mode)).map(drop)?;
        return Ok(Verdict::Return(0));
    }
    put(cx, &at, sort, |at, name| rustix::fs::mknodat(at, name, sort, bits, device))?;
    Ok(Verdict::Return(0))
}

/// Serves `symlink(text, path)`.
pub(crate) fn symlink(cx: &mut Cx<'_>) -> Served {
    make_link(cx, CWD, 1)
}

/// Serves `symlinkat(text, dirfd, path)`.
pub(crate) fn symlinkat(cx: &mut Cx<'_>) -> Served {
    make_link(cx, cx.int(1), 2)
}

fn make_link(cx: &Cx<'_>, dirfd: i32, path_arg: usize) -> Served {
    if cx.tree().is_none() {
        return Ok(Verdict::Continue);
    }
    let text = cx.path(cx.arg(0))?;
    if text.is_empty() {
        return Err(Errno::NOENT.into());
    }
    let at = cx.parent(dirfd, path_arg)?;
    cx.can_make(&at)?;
    put(cx, &at, FileType::Symlink, |at, name| rustix::fs::symlinkat(&*text, at, name))?;
    Ok(Verdict::Return(0))
}

/// Serves `unlink(path)`.
pub(crate) fn unlink(cx: &mut Cx<'_>) -> Served {
    remove(cx, CWD, 0, AtFlags::empty())
}

/// Serves `rmdir(path)`.
pub(crate) fn rmdir(cx: &mut Cx<'_>) -> Served {
    remove(cx, CWD, 0, AtFlags::REMOVEDIR)
}

/// Serves `unlinkat(dirfd, path, flags)`.
pub(crate) fn unlinkat(cx: &mut Cx<'_>) -> Served {
    let flags = cx.int(2);
    if flags & !libc::AT_REMOVEDIR != 0 {
        return Err(Errno::INVAL.into());
    }
    remove(cx, cx.int(0), 1, AtFlags::from_bits_retain(flags as u32))
}

fn remove(cx: &Cx<'_>, dirfd: i32, path_arg: usize, flags: AtFlags) -> Served {
    if cx.tree().is_none() {
        return Ok(Verdict::Continue);
    }
    let at = cx.parent(dirfd, path_arg)?;
    if let Some(queues) = queue::queues(cx, &at.place)
        && is_name(&at)
        && !at.slash
        && !flags.contains(AtFlags::REMOVEDIR)
    {
        writable(&at.place)?;
        cx.is_no_point(&at, |_| true)?;
        queue::unlink(cx, &queues, &at.name)?;
        return Ok(Verdict::Return(0));
    }
    if is_name(&at) {
        cx.can_remove(&at, flags.contains(AtFlags::REMOVEDIR))?;
    }
    let directory = flags.contains(AtFlags::REMOVEDIR);
    match overlay(cx, &at.place).filter(|_| is_name(&at)) {
        Some(_) if at.slash && !directory => {
            let there = cx.is_no_point(&at, |_| false)?;
            let errno = match there {
                None => Errno::NOENT,
                Some(true) => Errno::ISDIR,
                Some(false) => Errno::NOTDIR,
            };
            return Err(errno.into());
        }
        Some(overlay) => overlay.remove(&at.place.fd, &trimmed(&at), directory)?,
        None => {
            let directory = &at.place.fd;
            cx.lifting(&[(directory, Need::CHANGE)], || {
                rustix::fs::unlinkat(directory, &*at.name, flags)
            })?;
        }
    }
    Ok(Verdict::Return(0))
}

/// Serves `rename(old, new)`.
pub(crate) fn rename(cx: &mut Cx<'_>) -> Served {
    move_name(cx, (CWD, 0), (CWD, 1), 0)
}

/// Serves `renameat(olddirfd, old, newdirfd, new)`.
pub(crate) fn renameat(cx: &mut Cx<'_>) -> Served {
    move_name(cx, (cx.int(0), 1), (cx.int(2), 3), 0)
}

/// Serves `renameat2(olddirfd, old, newdirfd, new, flags)`.
pub(crate) fn renameat2(cx: &mut Cx<'_>) -> Served {
    move_name(cx, (cx.int(0), 1), (cx.int(2), 3), cx.arg(4) as u32)
}

fn move_name(cx: &mut Cx<'_>, old: (i32, usize), new: (i32, usize), flags: u32) -> Served {
    if cx.tree().is_none() {
        return by_the_host(cx, old.1, new.1);
    }
    let flags = RenameFlags::from_bits_retain(flags);
    let alone = RenameFlags::NOREPLACE | RenameFlags::WHITEOUT;
    let odd = flags.contains(RenameFlags::EXCHANGE) && flags.intersects(alone);
    if !RenameFlags::all().contains(flags) || odd || flags.bits() & !7 != 0 {
        return Err(Errno::INVAL.into());
    }
    let from = cx.parent(old.0, old.1)?;
    let to = cx.parent(new.0, new.1)?;
    same_mount(&from.place, &to.place)?;
    if !is_name(&from) || !is_name(&to) {
        let exists = !is_name(&to) && is_name(&from) && flags.contains(RenameFlags::NOREPLACE);
        return Err(if exists { Errno::EXIST } else { Errno::BUSY }.into());
    }
    writable(&from.place)?;
    // What is not there, or of the wrong sort, the host refuses first.
    let (old, new) = (cx.is_no_point(&from, |_| false)?, cx.is_no_point(&to, |_| false)?);
    if old.is_some() && (new.is_none() || new == old || flags.contains(RenameFlags::EXCHANGE)) {
        cx.is_no_point(&from, |_| true)?;
        cx.is_no_point(&to, |_| true)?;
        names_change(&from.place)?;
    }
    match overlay(cx, &from.place) {
        Some(overlay) => {
            let (old, new) = (trimmed(&from), trimmed(&to));
            let wants = from.slash || to.slash && !flags.contains(RenameFlags::EXCHANGE);
            if wants && cx.is_no_point(&from, |_| false)? == Some(false) {
                return Err(Errno::NOTDIR.into());
            }
            overlay.rename((&from.place.fd, &old), (&to.place.fd, &new), flags)?;
        }
        None => {
            let (old, new) = (&from.place.fd, &to.place.fd);
            let rename = || rustix::fs::renameat_with(old, &*from.name, new, &*to.name, flags);
            match rename() {
                Err(Errno::ACCESS) if lift_to_move(cx, &from, &to) => rename()?,
                done => done?,
            }
        }
    }
    // Others may have mounted something on it.
    let names = [trimmed(&from), trimmed(&to)];
    if cx.sup.mounts.may_be_points(names.each_ref().map(|name| name.to_bytes())) {
        cx.sup.mounts.note_rename();
    }
    Ok(Verdict::Return(0))
}

/// Lifts what keeps the caller from giving something another name in another directory.
fn lift_to_move(cx: &Cx<'_>, from: &Parent, to: &Parent) -> bool {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directories = [from, to].map(|at| (&at.place.fd, Need::CHANGE));
    let lifted = cx.lift_all(&directories);
    // A directory that gets another above it is changed itself. It can be found now.
    let moved = [from, to].map(|at| {
        rustix::fs::openat(&at.place.fd, &*at.name, flags, Mode::empty())
            .is_ok_and(|directory| cx.lift(&directory, Need::WRITE))
    });
    lifted || moved.contains(&true)
}

/// A rename that is the kernel's. If others may have mounted something on what is renamed, they are to
/// find it by its new name from the end of the call on.
fn by_the_host(cx: &mut Cx<'_>, old_arg: usize, new_arg: usize) -> Served {
    if !cx.sup.mounts.has_strayed() {
        return Ok(Verdict::Continue);
    }
    let (Ok(old), Ok(new)) = (cx.path(cx.arg(old_arg)), cx.path(cx.arg(new_arg))) else {
        return Ok(Verdict::Continue);
    };
    if !cx.sup.mounts.may_be_points([&old, &new].map(|path| last_name(path.to_bytes()))) {
        return Ok(Verdict::Continue);
    }
    match cx.take().let_run(cx.args()) {
        Ok(ran) => {
            cx.sup.mounts.note_rename();
            Ok(Verdict::Answered(ran.release()))
        }
        Err(Failed::Untraceable(call)) => {
            cx.put_back(call);
            Ok(Verdict::Continue)
        }
        Err(failed) => Ok(Verdict::Answered(failed.settle())),
    }
}

/// The last name in a path.
fn last_name(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    path[..end].rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// Serves `link(old, new)`.
pub(crate) fn link(cx: &mut Cx<'_>) -> Served {
    another_name(cx, (CWD, 0), (CWD, 1), 0)
}

/// Serves `linkat(olddirfd, old, newdirfd, new, flags)`.
pub(crate) fn linkat(cx: &mut Cx<'_>) -> Served {
    another_name(cx, (cx.int(0), 1), (cx.int(2), 3), cx.int(4))
}

fn another_name(cx: &Cx<'_>, old: (i32, usize), new: (i32, usize), flags: i32) -> Served {
    if cx.tree().is_none() {
        return Ok(Verdict::Continue);
    }
    if flags & !(libc::AT_SYMLINK_FOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL.into());
    }
    let path = cx.path(cx.arg(old.1))?;
    let from = match path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
        true => by_descriptor(cx, old.0)?,
        false => cx.find(old.0, &path, flags & libc::AT_SYMLINK_FOLLOW != 0)?,
    };
    let to = cx.parent(new.0, new.1)?;
    cx.can_make(&to)?;
    same_mount(&from, &to.place)?;
    if kind(&from) == FileType::Directory {
        let taken = cx.is_no_point(&to, |_| false)?.is_some() || !is_name(&to);
        return Err(if taken { Errno::EXIST } else { Errno::PERM }.into());
    }
    let sort = kind(&from);
    let from = match overlay(cx, &from) {
        Some(_) if cx.is_no_point(&to, |_| false)?.is_some() => return Err(Errno::EXIST.into()),
        Some(_) => to_change(cx, from)?,
        None => from,
    };
    put(cx, &to, sort, |to, name| make_name(&from, to, name))?;
    Ok(Verdict::Return(0))
}

/// Gives what was found another name. Without a privilege only a path of it can be named.
fn make_name(from: &Place, to: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    rustix::fs::linkat(rustix::fs::CWD, own_path(&from.fd), to, name, AtFlags::SYMLINK_FOLLOW)
}

/// What a descriptor of the caller's is of.
fn by_descriptor(cx: &Cx<'_>, fd: i32) -> Result<Place, Trouble> {
    Ok(vfs::find_descriptor(cx.seeker(), fd).map_err(|lost| lost.errno)?)
}

/// Checks that two places are in one mount.
fn same_mount(one: &Place, other: &Place) -> Result<(), Errno> {
    if one.mount == other.mount { Ok(()) } else { Err(Errno::XDEV) }
}
