//! Handles of files, and marks of fanotify(7): what has no safe call in the libraries we use.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{Errno, checked};

/// The most that a handle is long, in bytes (`MAX_HANDLE_SZ`).
pub const HANDLE_MAX: u32 = 128;

/// What name_to_handle_at(2) says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handle {
    /// Its type, and its bytes.
    Whole(i32, Vec<u8>),
    /// It is so many bytes long, and there was room for fewer; with the type that says so.
    Longer(i32, u32),
}

/// The handle of what `path` leads to, links followed, with room for so many bytes; `flags` are those
/// that say what it is for.
///
/// # Errors
/// Those of name_to_handle_at(2), but for EOVERFLOW: EOPNOTSUPP where the file system has none, EINVAL
/// for flags that the kernel does not know and for too much room.
pub fn handle_of(path: &CStr, room: u32, flags: i32) -> Result<Handle, Errno> {
    if room > HANDLE_MAX {
        return Err(Errno::INVAL);
    }
    // A length, a type, and room for a handle of that length.
    let mut handle = [0u32; 2 + HANDLE_MAX as usize / 4];
    handle[0] = room;
    let mut mount = 0u64;
    let (at, mount_at) = (handle.as_mut_ptr(), std::ptr::from_mut(&mut mount));
    let flags = flags | libc::AT_SYMLINK_FOLLOW;
    // SAFETY: the path ends with a zero; the kernel stores a handle of at most the length that stands at
    // its beginning, for which there is room, and a number of four or eight bytes at `mount_at`, which
    // has eight. All live until the call has returned.
    let named = unsafe {
        let (nr, here) = (libc::SYS_name_to_handle_at, libc::AT_FDCWD);
        libc::syscall(nr, here, path.as_ptr(), at, mount_at, flags)
    };
    let (length, kind) = (handle[0], handle[1] as i32);
    match checked(named) {
        Ok(_) => {
            let bytes = handle[2..].iter().flat_map(|word| word.to_ne_bytes());
            Ok(Handle::Whole(kind, bytes.take(length as usize).collect()))
        }
        Err(Errno::OVERFLOW) => Ok(Handle::Longer(kind, length)),
        Err(errno) => Err(errno),
    }
}

/// Adds what `path` leads to to the marks of a group, or takes it out; without a path what concerns the
/// group as a whole (fanotify_mark(2)).
///
/// # Errors
/// Those of fanotify_mark(2).
pub fn fanotify_mark(
    group: BorrowedFd<'_>,
    flags: u32,
    mask: u64,
    path: Option<&CStr>,
) -> Result<(), Errno> {
    let path = path.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: the path is none or ends with a zero, and lives until the call has returned; all else are
    // numbers.
    checked(unsafe {
        let (nr, here) = (libc::SYS_fanotify_mark, libc::AT_FDCWD);
        libc::syscall(nr, group.as_raw_fd(), flags, mask, here, path)
    })
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_as_long_as_it_says() {
        let path = c"/";
        let Ok(Handle::Whole(kind, bytes)) = handle_of(path, HANDLE_MAX, 0) else {
            // This machine's root has none.
            assert_eq!(handle_of(path, HANDLE_MAX, 0), Err(Errno::OPNOTSUPP));
            return;
        };
        let length = bytes.len() as u32;
        assert_eq!(handle_of(path, length, 0), Ok(Handle::Whole(kind, bytes)));
        assert!(matches!(handle_of(path, 0, 0), Ok(Handle::Longer(_, needed)) if needed == length));
        assert_eq!(handle_of(path, HANDLE_MAX + 1, 0), Err(Errno::INVAL));
        assert_eq!(handle_of(c"/proc/nothing", 0, 0), Err(Errno::NOENT));
    }
}
