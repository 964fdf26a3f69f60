//! chmod(2), utime(2), truncate(2) and their relatives, where the caller sees other mounts than the
//! host's.
//! Decided here: what the mounts forbid (EROFS). All else is the host's to judge.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::by_descriptor::changeable;
use super::overlay::{to_change, to_write};
use super::queue;
use super::seen::{kind, own_path, writable};
use crate::cx::{Cx, Served, Verdict};
use crate::procfs;
use crate::rights::Need;
use crate::trouble::Trouble;
use crate::vfs::{self, Place};

const CWD: i32 = libc::AT_FDCWD;

/// Serves `chmod(path, mode)`.
pub(crate) fn chmod(cx: &mut Cx<'_>) -> Served {
    change_mode(cx, CWD, 0, 0)
}

/// Serves `fchmodat(dirfd, path, mode)`.
pub(crate) fn fchmodat(cx: &mut Cx<'_>) -> Served {
    change_mode(cx, cx.int(0), 1, 0)
}

/// Serves `fchmodat2(dirfd, path, mode, flags)`.
pub(crate) fn fchmodat2(cx: &mut Cx<'_>) -> Served {
    change_mode(cx, cx.int(0), 1, cx.int(3))
}

fn change_mode(cx: &Cx<'_>, dirfd: i32, path_arg: usize, flags: i32) -> Served {
    if cx.tree().is_none() {
        return Ok(Verdict::Continue);
    }
    let place = find(cx, dirfd, path_arg, flags)?;
    writable(&place)?;
    if kind(&place) == FileType::Symlink {
        return Err(Errno::OPNOTSUPP.into());
    }
    let place = to_change(cx, place)?;
    let mode = Mode::from_raw_mode(cx.arg(path_arg + 1) as u32 & 0o7777);
    rustix::fs::chmod(own_path(place.object()), mode)?;
    if let Some(queues) = queue::queues(cx, &place)
        && kind(&place) == FileType::RegularFile
    {
        queues.mount.set_mode(&queue::name_of(&place)?, mode.as_raw_mode());
    }
    Ok(Verdict::Return(0))
}

/// What a path and flags name.
pub(super) fn find(cx: &Cx<'_>, dirfd: i32, path_arg: usize, flags: i32) -> Result<Place, Trouble> {
    if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL.into());
    }
    let path = cx.path(cx.arg(path_arg))?;
    if path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
        return Ok(vfs::find_descriptor(cx.seeker(), dirfd).map_err(|lost| lost.errno)?);
    }
    cx.find(dirfd, &path, flags & libc::AT_SYMLINK_NOFOLLOW == 0)
}

/// Serves `utime(path, times)`.
pub(crate) fn utime(cx: &mut Cx<'_>) -> Served {
    if cx.tree().is_none() {
        return Ok(Verdict::Continue);
    }
    let times = match cx.arg(1) {
        0 => None,
        at => {
            let [access, change] = cx.mem().read_value::<[i64; 2]>(at)?;
            Some(stamps([access, 0, change, 0], 1)?)
        }
    };
    set_times(cx, CWD, 0, 0, times)
}

/// Serves `utimes(path, times)`.
pub(crate) fn utimes(cx: &mut Cx<'_>) -> Served {
    by_microseconds(cx, CWD, 0)
}

/// Serves `futimesat(dirfd, path, times)`.
pub(crate) fn futimesat(cx: &mut Cx<'_>) -> Served {
    by_microseconds(cx, cx.int(0), 1)
}

fn by_microseconds(cx: &Cx<'_>, dirfd: i32, path_arg: usize) -> Served {
    if cx.tree().is_none() {
        return Ok(Verdict::Continue);
    }
    let times = match cx.arg(path_arg + 1) {
        0 => None,
        at => {
            let given = cx.mem().read_value::<[i64; 4]>(at)?;
            if [given[1], given[3]].iter().any(|part| !(0..1_000_000).contains(part)) {
                return Err(Errno::INVAL.into());
            }
            Some(stamps(given, 1000)?)
        }
    };
    set_times(cx, dirfd, path_arg, 0, times)
}

/// Serves `utimensat(dirfd, path, times, flags)`.
pub(crate) fn utimensat(cx: &mut Cx<'_>) -> Served {
    if cx.tree().is_none() {
        return Ok(Verdict::Continue);
    }
    let times = match cx.arg(2) {
        0 => None,
        at => {
            let given = cx.mem().read_value::<[i64; 4]>(at)?;
            if [given[1], given[3]].iter().all(|part| *part == libc::UTIME_OMIT) {
                return Ok(Verdict::Return(0));
            }
            Some(stamps(given, 1)?)
        }
    };
    set_times(cx, cx.int(0), 1, cx.int(3), times)
}

fn stamps(given: [i64; 4], scale: i64) -> Result<Timestamps, Errno> {
    let [access, access_part, change, change_part] = given;
    let valid = |part: i64| {
        (0..1_000_000_000).contains(&part) || part == libc::UTIME_NOW || part == libc::UTIME_OMIT
    };
    let (access_part, change_part) = (access_part * scale, change_part * scale);
    if !valid(access_part) || !valid(change_part) {
        return Err(Errno::INVAL);
    }
    let time = |seconds, part| Timespec { tv_sec: seconds, tv_nsec: part };
    Ok(Timestamps {
        last_access: time(access, access_part),
        last_modification: time(change, change_part),
    })
}

fn set_times(
    cx: &Cx<'_>,
    dirfd: i32,
    path_arg: usize,
    flags: i32,
    times: Option<Timestamps>,
) -> Served {
    let now = Timespec { tv_sec: 0, tv_nsec: libc::UTIME_NOW };
    let times = times.unwrap_or(Timestamps { last_access: now, last_modification: now });
    // Without a path it is about a descriptor alone.
    let place = match cx.arg(path_arg) {
        0 if dirfd == CWD => return Err(Errno::FAULT.into()),
        0 if flags != 0 => return Err(Errno::INVAL.into()),
        0 => changeable(cx, dirfd)?,
        _ => to_change(cx, find(cx, dirfd, path_arg, flags)?)?,
    };
    rustix::fs::utimensat(place.object(), c"", &times, AtFlags::EMPTY_PATH)?;
    Ok(Verdict::Return(0))
}

/// Serves `truncate(path, length)`.
pub(crate) fn truncate(cx: &mut Cx<'_>) -> Served {
    if cx.tree().is_none() {
        return super::path::followed(cx);
    }
    let length = cx.arg(1) as i64;
    let wanted = u64::try_from(length).map_err(|_| Errno::INVAL)?;
    let path = cx.path(cx.arg(0))?;
    let place = cx.find(CWD, &path, true)?;
    match kind(&place) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(Errno::ISDIR.into()),
        _ => return Err(Errno::INVAL.into()),
    }
    let place = to_write(cx, place)?;
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = cx.lifting(&[(&place.fd, Need::WRITE)], || procfs::reopen(&place.fd, flags))?;
    let limit = procfs::read_limit(cx.tid(), "Max file size").unwrap_or(u64::MAX);
    if wanted > limit && wanted > place.stat.st_size as u64 {
        let tgid = cx.guest().map_or(cx.tid(), |guest| guest.tgid);
        // As the kernel does: the caller hears of it both ways.
        let _ = anyns_trap::raw::tgkill(tgid, cx.tid(), libc::SIGXFSZ);
        return Err(Errno::FBIG.into());
    }
    rustix::fs::ftruncate(&file, wanted)?;
    Ok(Verdict::Return(0))
}
