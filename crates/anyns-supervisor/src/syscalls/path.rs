//! access(2), chdir(2), chroot(2), statfs(2) and other calls that the kernel serves by a path, which
//! may lead the caller elsewhere in `/proc` than the kernel knows.

use nsproxy::{CapSet, Cred};
use rustix::fs::{Access, AtFlags, FileType};
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};
use crate::rights::Need;
use crate::vfs::Sight;

/// Serves `access(path, mode)`.
pub(crate) fn access(cx: &mut Cx<'_>) -> Served {
    match cx.tree() {
        Some(_) => accessible(cx, libc::AT_FDCWD, 0, 1, 0),
        None => followed(cx),
    }
}

/// Whether the caller may use what a path names, where it sees other mounts than the host's.
fn accessible(cx: &Cx<'_>, dirfd: i32, path_arg: usize, mode_arg: usize, flags: i32) -> Served {
    let known = libc::AT_EACCESS | libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH;
    let mode = cx.arg(mode_arg) as u32;
    if mode & !0o7 != 0 || flags & !known != 0 {
        return Err(Errno::INVAL.into());
    }
    let place = super::attrs::find(cx, dirfd, path_arg, flags & !libc::AT_EACCESS)?;
    let sort = super::seen::kind(&place);
    let wanted = Access::from_bits_retain(mode);
    let noexec = super::seen::has(&place, nsproxy::MountFlags::NOEXEC);
    if wanted.contains(Access::EXEC_OK) && sort == FileType::RegularFile && noexec {
        return Err(Errno::ACCESS.into());
    }
    let path = super::seen::own_path(place.object());
    let look = || rustix::fs::accessat(rustix::fs::CWD, &path, wanted, AtFlags::EACCESS);
    let by = |cred: &Cred| match flags & libc::AT_EACCESS != 0 {
        true => cred.effective,
        // By the real user's: root has all that it may have.
        false if cred.user.find_uid(cred.uid) == Some(0) => cred.permitted,
        false => CapSet::EMPTY,
    };
    match look() {
        Err(Errno::ACCESS) if cx.lift_with(place.object(), Need(mode), by) => look()?,
        looked => looked?,
    }
    let special = matches!(
        sort,
        FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice
    );
    if wanted.contains(Access::WRITE_OK) && !special {
        super::seen::writable(&place)?;
    }
    Ok(Verdict::Return(0))
}

/// Serves calls that take paths and that are not served where paths lead elsewhere than on the host:
/// the answer there is that of a kernel without them.
pub(crate) fn absent(cx: &mut Cx<'_>) -> Served {
    match cx.tree() {
        Some(_) => Err(Errno::NOSYS.into()),
        None => Ok(Verdict::Continue),
    }
}

/// Serves calls of the machine's administrator that take paths: there is none where paths lead
/// elsewhere than on the host.
pub(crate) fn privileged(cx: &mut Cx<'_>) -> Served {
    match cx.tree() {
        Some(_) => Err(Errno::PERM.into()),
        None => Ok(Verdict::Continue),
    }
}

/// Serves calls whose first argument is a path, which they follow to its end.
pub(crate) fn followed(cx: &mut Cx<'_>) -> Served {
    pass(cx, libc::AT_FDCWD, 0, true)
}

/// Serves `inotify_add_watch(fd, path, mask)`.
pub(crate) fn watched(cx: &mut Cx<'_>) -> Served {
    let follow = cx.arg(2) as u32 & libc::IN_DONT_FOLLOW == 0;
    pass(cx, libc::AT_FDCWD, 1, follow)
}

/// Serves `faccessat(dirfd, path, mode)`.
pub(crate) fn faccessat(cx: &mut Cx<'_>) -> Served {
    let dirfd = cx.int(0);
    match cx.tree() {
        Some(_) => accessible(cx, dirfd, 1, 2, 0),
        None => pass(cx, dirfd, 1, true),
    }
}

/// Serves `faccessat2(dirfd, path, mode, flags)`.
pub(crate) fn faccessat2(cx: &mut Cx<'_>) -> Served {
    let (dirfd, flags) = (cx.int(0), cx.int(3));
    if cx.tree().is_some() {
        return accessible(cx, dirfd, 1, 2, flags);
    }
    pass(cx, dirfd, 1, flags & libc::AT_SYMLINK_NOFOLLOW == 0)
}

/// Serves `getcwd(buffer, size)`.
pub(crate) fn getcwd(cx: &mut Cx<'_>) -> Served {
    if !cx.is_partial() {
        return Ok(Verdict::Continue);
    }
    let Ok(text) = rustix::fs::readlink(format!("/proc/{}/cwd", cx.tid()), Vec::new()) else {
        return Ok(Verdict::Continue);
    };
    let shown = text.to_str().ok().and_then(|text| {
        let below = text.strip_prefix("/proc/")?;
        let (process, rest) = below.split_once('/').map_or((below, ""), |(one, more)| (one, more));
        let tid = crate::procfs::number(process)?;
        let number = cx.number(tid).filter(|number| *number != tid)?;
        let slash = if rest.is_empty() { "" } else { "/" };
        Some(format!("/proc/{number}{slash}{rest}\0"))
    });
    let Some(shown) = shown else { return Ok(Verdict::Continue) };
    if shown.len() as u64 > cx.arg(1) {
        return Err(Errno::RANGE.into());
    }
    cx.mem().write(cx.arg(0), shown.as_bytes())?;
    Ok(Verdict::Return(shown.len() as i64))
}

/// Lets the kernel serve a call by the path that it means on the host.
fn pass(cx: &mut Cx<'_>, dirfd: i32, path_arg: usize, follow: bool) -> Served {
    if !cx.looks_from_inside() {
        return Ok(Verdict::Continue);
    }
    let Some(path) = cx.readable_path(cx.arg(path_arg))? else { return Ok(Verdict::Continue) };
    if path.is_empty() {
        return Ok(Verdict::Continue);
    }
    match cx.look_up(dirfd, &path, follow) {
        Ok(place) => match place.moved {
            Some(moved) => cx.run_moved(&moved, path_arg),
            None => Ok(Verdict::Continue),
        },
        Err(lost) => cx.go_lost(lost, path_arg),
    }
}
