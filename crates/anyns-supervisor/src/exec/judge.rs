//! Whether a file may be executed at all.

use std::os::fd::AsFd;

use rustix::fs::{Access, AtFlags, FileType, OFlags};
use rustix::io::Errno;

use super::Found;

/// Says why a file that was found cannot be executed, as execve(2) does before it looks into it.
///
/// # Errors
/// EACCES, ELOOP for a link that is not followed, ETXTBSY.
pub(super) fn judge(found: &Found) -> Result<(), Errno> {
    match FileType::from_raw_mode(found.stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Symlink => return Err(Errno::LOOP),
        _ => return Err(Errno::ACCESS),
    }
    if found.noexec {
        return Err(Errno::ACCESS);
    }
    match anyns_trap::may_execute(found.fd.as_fd()) {
        // A kernel before 6.14, or a filter over us, which does not let us ask.
        Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => judge_by_mode(found),
        other => other,
    }
}

fn judge_by_mode(found: &Found) -> Result<(), Errno> {
    rustix::fs::accessat(&found.fd, "", Access::EXEC_OK, AtFlags::EMPTY_PATH | AtFlags::EACCESS)?;
    // A lease for reading is not had of a file that somebody writes, which only the owner may ask.
    let Ok(file) = super::reopen(&found.fd, OFlags::RDONLY) else { return Ok(()) };
    match anyns_trap::is_written(file.as_fd()) {
        true => Err(Errno::TXTBSY),
        false => Ok(()),
    }
}
