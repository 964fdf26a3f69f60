//! inotify_add_watch(2) and fanotify_mark(2) by a path that leads elsewhere than on the host.

use std::os::fd::{AsFd, AsRawFd};

use anyns_trap::raw;

use rustix::fs::inotify::{self, WatchFlags};
use rustix::io::Errno;

use super::seen::own_path;
use crate::cx::{Cx, Served, Verdict};
use crate::rights::Need;
use crate::vfs;

/// Serves `inotify_add_watch(fd, path, mask)`.
pub(crate) fn inotify_add_watch(cx: &mut Cx<'_>) -> Served {
    if cx.tree().is_none() {
        return super::path::watched(cx);
    }
    cx.may_wait()?;
    let mask = cx.arg(2) as u32;
    let path = cx.path(cx.arg(1))?;
    let watches = cx.borrow(cx.int(0))?;
    let follow = mask & libc::IN_DONT_FOLLOW == 0;
    let place = cx.find(libc::AT_FDCWD, &path, follow)?;
    // The link to it ends at the object itself, be that a symbolic link.
    let link = format!("/proc/self/fd/{}", place.fd.as_raw_fd());
    let mask = WatchFlags::from_bits_retain(mask & !libc::IN_DONT_FOLLOW);
    let watch = cx.lifting(&[(&place.fd, Need::READ)], || {
        inotify::add_watch(&watches, link.as_str(), mask)
    })?;
    Ok(Verdict::Return(watch.into()))
}

/// `FAN_MARK_FLUSH`: no path is meant.
const FLUSH: u32 = 0x80;
/// `FAN_MARK_DONT_FOLLOW`
const DONT_FOLLOW: u32 = 4;
/// `FAN_MARK_MOUNT`, `FAN_MARK_FILESYSTEM`: for the administrator of the machine.
const WHOLE: u32 = 0x110;

/// Serves `fanotify_mark(fd, flags, mask, dirfd, path)`. Events are the host's, by handles.
pub(crate) fn fanotify_mark(cx: &mut Cx<'_>) -> Served {
    if cx.tree().is_none() {
        return Ok(Verdict::Continue);
    }
    cx.may_wait()?;
    let (flags, mask, dirfd) = (cx.arg(1) as u32, cx.arg(2), cx.int(3));
    let group = cx.borrow(cx.int(0))?;
    if flags & FLUSH != 0 {
        raw::fanotify_mark(group.as_fd(), flags, mask, None)?;
        return Ok(Verdict::Return(0));
    }
    if flags & WHOLE != 0 {
        // Without a path the kernel comes as far as what else is wrong with it.
        let errno = raw::fanotify_mark(group.as_fd(), flags, mask, None).err();
        return Err(errno.filter(|errno| *errno != Errno::BADF).unwrap_or(Errno::PERM).into());
    }
    let place = match cx.arg(4) {
        0 if dirfd == libc::AT_FDCWD => return Err(Errno::BADF.into()),
        0 => vfs::find_descriptor(cx.seeker(), dirfd).map_err(|lost| lost.errno)?,
        at => {
            let path = cx.path(at)?;
            cx.find(dirfd, &path, flags & DONT_FOLLOW == 0)?
        }
    };
    let path = own_path(&place.fd);
    cx.lifting(&[(&place.fd, Need::READ)], || {
        raw::fanotify_mark(group.as_fd(), flags & !DONT_FOLLOW, mask, Some(&path))
    })?;
    Ok(Verdict::Return(0))
}
