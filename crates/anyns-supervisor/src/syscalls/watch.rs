//! inotify_add_watch(2), fanotify_mark(2) and name_to_handle_at(2) by a path that leads elsewhere than on
//! the host.

use std::os::fd::AsRawFd;

use rustix::fs::inotify::{self, WatchFlags};
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};
use crate::rights::Need;

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

/// Serves `fanotify_mark(fd, flags, mask, dirfd, path)`: where paths lead elsewhere than on the host, a
/// kernel without it.
pub(crate) fn fanotify_mark(cx: &mut Cx<'_>) -> Served {
    match cx.tree() {
        Some(_) => Err(Errno::NOSYS.into()),
        None => Ok(Verdict::Continue),
    }
}
