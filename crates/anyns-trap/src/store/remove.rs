//! Removing a directory with all that is in it, however deep, whatever its modes.
//!
//! Two descriptors are enough at any depth: a directory that is not empty is first moved up.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// How often what will not go is tried again: a guest may have it open and put things into it.
const ATTEMPTS: usize = 16;

/// Removes the directory `name` of `at`.
///
/// # Errors
/// Those of unlink(2): what is left is left. That it is gone already is none.
pub(super) fn tree(at: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<(), Errno> {
    let first = name.into_c_str()?.into_owned();
    let mut left = vec![first.clone()];
    let mut moved = 0;
    let mut attempts = 0;
    while let Some(name) = left.last().cloned() {
        match rustix::fs::unlinkat(at, &name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => drop(left.pop()),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ACCESS) => {
                let before = left.len();
                empty(at, &name, &first, &mut left, &mut moved)?;
                attempts = if left.len() == before { attempts + 1 } else { 0 };
                if attempts > ATTEMPTS {
                    return Err(Errno::NOTEMPTY);
                }
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Removes what is in a directory; its directories that are not empty come up beside it.
fn empty(
    at: BorrowedFd<'_>,
    name: &CStr,
    first: &CStr,
    left: &mut Vec<CString>,
    moved: &mut u64,
) -> Result<(), Errno> {
    let directory = open(at, name)?;
    let entries = rustix::fs::Dir::read_from(&directory)?;
    for entry in entries {
        let entry = entry?;
        let inner = entry.file_name();
        if matches!(inner.to_bytes(), b"." | b"..") {
            continue;
        }
        match rustix::fs::unlinkat(&directory, inner, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => {}
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno),
        }
        match rustix::fs::unlinkat(&directory, inner, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        // The name is of no number, so that it is nobody's; the first one's, so that two removals
        // do not meet.
        let up = format!(".{}.{moved}", first.to_string_lossy());
        *moved += 1;
        // To move a directory one must be able to write its `..`.
        drop(open(directory.as_fd(), inner)?);
        let up = CString::new(up).map_err(|_| Errno::INVAL)?;
        rustix::fs::renameat(&directory, inner, at, &up)?;
        left.push(up);
    }
    Ok(())
}

/// Opens a directory, after making it one that we may read and change.
pub(super) fn open(at: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let path = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = rustix::fs::openat(at, name, path, Mode::empty())?;
    if rustix::fs::fstat(&found)?.st_mode & 0o700 != 0o700 {
        use std::os::fd::AsRawFd;
        rustix::fs::chmod(format!("/proc/self/fd/{}", found.as_raw_fd()), Mode::RWXU)?;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(&found, ".", flags, Mode::empty())
}
