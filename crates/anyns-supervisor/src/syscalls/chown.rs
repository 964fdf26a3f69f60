//! chown(2), fchown(2), lchown(2), fchownat(2): ids given through the caller's maps.
//! Not decided here: whether the owner may change; the host's file system decides that.

use std::os::fd::{AsFd, BorrowedFd};

use nsproxy::UserNs;
use rustix::fs::{AtFlags, Gid, Uid};
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};

/// The id that means "leave it".
const LEAVE: u32 = u32::MAX;

/// Serves `chown(path, uid, gid)`.
pub(crate) fn chown(cx: &mut Cx<'_>) -> Served {
    by_path(cx, libc::AT_FDCWD, 0, 0)
}

/// Serves `lchown(path, uid, gid)`.
pub(crate) fn lchown(cx: &mut Cx<'_>) -> Served {
    by_path(cx, libc::AT_FDCWD, 0, libc::AT_SYMLINK_NOFOLLOW)
}

/// Serves `fchownat(dirfd, path, uid, gid, flags)`.
pub(crate) fn fchownat(cx: &mut Cx<'_>) -> Served {
    let (dirfd, flags) = (cx.int(0), cx.int(4));
    if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL.into());
    }
    by_path(cx, dirfd, 1, flags)
}

/// Serves `fchown(fd, uid, gid)`.
pub(crate) fn fchown(cx: &mut Cx<'_>) -> Served {
    let Some(guest) = cx.inside() else { return Ok(Verdict::Continue) };
    let user = guest.task.cred().user.clone();
    // Unlike fchownat(2) it takes no descriptor opened with O_PATH.
    cx.sup.descriptors.look(cx.tid(), cx.int(0))?;
    by_descriptor(cx, &user, cx.int(0), cx.arg(1) as u32, cx.arg(2) as u32)
}

fn by_path(cx: &mut Cx<'_>, dirfd: i32, path_arg: usize, flags: i32) -> Served {
    if cx.inside().is_none() && cx.tree().is_none() {
        return Ok(Verdict::Continue);
    }
    let user = cx.cred()?.user.clone();
    let (uid, gid) = (cx.arg(path_arg + 1) as u32, cx.arg(path_arg + 2) as u32);
    let path = cx.path(cx.arg(path_arg))?;
    if path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
        return by_descriptor(cx, &user, dirfd, uid, gid);
    }
    let place = cx.find(dirfd, &path, flags & libc::AT_SYMLINK_NOFOLLOW == 0)?;
    let place = super::overlay::to_change(cx, place)?;
    change(&user, place.object().as_fd(), uid, gid)
}

fn by_descriptor(cx: &Cx<'_>, user: &UserNs, fd: i32, uid: u32, gid: u32) -> Served {
    if cx.tree().is_none() {
        let ours = crate::vfs::start(cx.seeker(), fd)?;
        return change(user, ours.as_fd(), uid, gid);
    }
    let place = super::by_descriptor::changeable_at(cx, fd)?;
    change(user, place.object().as_fd(), uid, gid)
}

fn change(user: &UserNs, fd: BorrowedFd<'_>, uid: u32, gid: u32) -> Served {
    let uid = match uid {
        LEAVE => None,
        uid => Some(Uid::from_raw(user.map_uid(uid).ok_or(Errno::INVAL)?.0)),
    };
    let gid = match gid {
        LEAVE => None,
        gid => Some(Gid::from_raw(user.map_gid(gid).ok_or(Errno::INVAL)?.0)),
    };
    rustix::fs::chownat(fd, c"", uid, gid, AtFlags::EMPTY_PATH)?;
    Ok(Verdict::Return(0))
}
