//! What has the attributes of something that a file system of a guest's shows, where that is the host's
//! or must stay as it is.

use std::os::fd::OwnedFd;

use rustix::fs::Stat;

/// Another of `stand_in`, and what is shown of `of`: its own numbers and type, and the mode, the owner and
/// the times of the other. None if that cannot be looked at.
pub(super) fn shown_as(stand_in: &OwnedFd, of: &Stat) -> Option<(OwnedFd, Stat)> {
    let own = rustix::fs::fstat(stand_in).ok()?;
    let mut shown = *of;
    shown.st_mode = of.st_mode & libc::S_IFMT | own.st_mode & !libc::S_IFMT;
    (shown.st_uid, shown.st_gid) = (own.st_uid, own.st_gid);
    (shown.st_atime, shown.st_atime_nsec) = (own.st_atime, own.st_atime_nsec);
    (shown.st_mtime, shown.st_mtime_nsec) = (own.st_mtime, own.st_mtime_nsec);
    (shown.st_ctime, shown.st_ctime_nsec) = (own.st_ctime, own.st_ctime_nsec);
    Some((rustix::io::fcntl_dupfd_cloexec(stand_in, 0).ok()?, shown))
}
