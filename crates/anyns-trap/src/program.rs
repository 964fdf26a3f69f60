//! What this process may execute, asked without doing it.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::null;

use rustix::io::Errno;

use crate::threads;

/// `AT_EXECVE_CHECK` (6.14): look whether it could be done, and do no more.
const EXECVE_CHECK: i32 = 0x1_0000;

/// Asks whether the kernel would let this process execute a file, whatever is in it.
///
/// # Errors
/// Those of execve(2) before the file is looked into: EACCES, ETXTBSY. EINVAL before Linux 6.14.
pub fn may_execute(file: BorrowedFd<'_>) -> Result<(), Errno> {
    let argv = [c"".as_ptr(), null()];
    let envp = [null::<libc::c_char>()];
    let (fd, path, flags) = (file.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH | EXECVE_CHECK);
    threads::as_exec(|| {
        // SAFETY: path and arguments end with a zero, both vectors with a null pointer, and all live
        // until the call returns. With this flag the kernel executes nothing; one that does not know it
        // refuses.
        answer(unsafe {
            libc::syscall(libc::SYS_execveat, fd, path, argv.as_ptr(), envp.as_ptr(), flags)
        })
    })
}

/// Whether somebody has a file open for writing; `file` is open for reading. Who does not own the file
/// does not learn it.
pub fn is_written(file: BorrowedFd<'_>) -> bool {
    let set = |lease: i32| {
        // SAFETY: all arguments are numbers.
        answer(unsafe { libc::syscall(libc::SYS_fcntl, file.as_raw_fd(), libc::F_SETLEASE, lease) })
    };
    match set(libc::F_RDLCK) {
        Ok(()) => {
            let _ = set(libc::F_UNLCK);
            false
        }
        Err(errno) => errno == Errno::AGAIN,
    }
}

fn answer(said: libc::c_long) -> Result<(), Errno> {
    match said {
        -1 => {
            let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
            Err(Errno::from_raw_os_error(errno))
        }
        _ => Ok(()),
    }
}
