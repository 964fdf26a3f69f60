//! The first guest, from its birth to the exec of the command.
//!
//! At this point the process is a copy of the watchdog and shares its descriptor table. It has the
//! session, the process group, the terminal, the working directory and everything else of the
//! command line process, and must look exactly like it when the command starts.
//!
//! The filter is installed while the table is shared: the listener then appears in the watchdog's
//! table too, and the watchdog, which no filter holds, can pass it on. A guest that passed it
//! itself would need calls that the filter may tell to a supervisor that does not listen yet.

use std::ffi::CString;
use std::os::fd::{IntoRawFd, OwnedFd};

use super::inherited::Inherited;
use super::{InstallFailure, Pids, sys};
use crate::InstallError;
use crate::filter::Filter;

/// What the guest tells the watchdog: two words on a pipe. The end of the pipe without a
/// `NotExecuted` means that the command runs.
pub(super) enum Report {
    /// The filter is installed; the listener's number in the shared table, -1 for none.
    Installed(i32),
    /// The filter was not installed.
    NotInstalled { code: i32, errno: i32 },
    /// The command could not be executed.
    NotExecuted { errno: i32 },
}

/// The bytes of a report. Fewer than PIPE_BUF, so they arrive together.
pub(super) const REPORT: usize = 12;

impl Report {
    fn encode(&self) -> [u8; REPORT] {
        let words = match *self {
            Report::Installed(fd) => [0, fd, 0],
            Report::NotInstalled { code, errno } => [1, code, errno],
            Report::NotExecuted { errno } => [2, errno, 0],
        };
        let mut bytes = [0; REPORT];
        for (at, word) in bytes.chunks_exact_mut(4).zip(words) {
            at.copy_from_slice(&i32::to_le_bytes(word));
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8; REPORT]) -> Option<Report> {
        let word =
            |i: usize| i32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        match word(0) {
            0 => Some(Report::Installed(word(4))),
            1 => Some(Report::NotInstalled { code: word(4), errno: word(8) }),
            2 => Some(Report::NotExecuted { errno: word(4) }),
            _ => None,
        }
    }
}

/// An install error as two numbers.
fn install_code(error: &InstallError) -> (i32, i32) {
    match error {
        InstallError::ListenerExists => (0, libc::EBUSY),
        InstallError::TooOld => (1, libc::EINVAL),
        InstallError::NoSeccomp => (2, libc::ENOSYS),
        InstallError::Other(e) => (3, e.raw_os_error().unwrap_or(0)),
    }
}

/// The numbers as what the command line process returns.
pub(super) fn install_failure(code: i32, errno: i32) -> InstallFailure {
    match code {
        0 => InstallFailure::ListenerExists,
        1 => InstallFailure::TooOld,
        2 => InstallFailure::NoSeccomp,
        _ => InstallFailure::Other(errno),
    }
}

/// What the guest needs for its start.
pub(super) struct Start<'a, F> {
    pub(super) argv: &'a [CString],
    pub(super) pids: Pids,
    pub(super) inherited: &'a Inherited,
    pub(super) filter: F,
    /// Where reports go.
    pub(super) report: OwnedFd,
    /// A byte arrives here when the supervisor serves.
    pub(super) go: OwnedFd,
}

/// Becomes the command.
pub(super) fn start<F: FnOnce(&Pids) -> Filter>(start: Start<'_, F>) -> ! {
    start.inherited.restore();
    let filter = (start.filter)(&start.pids);
    let tell = |report: Report| {
        let _ = rustix::io::write(&start.report, &report.encode());
    };
    match filter.install() {
        Ok(listener) => tell(Report::Installed(listener.map_or(-1, IntoRawFd::into_raw_fd))),
        Err(error) => {
            let (code, errno) = install_code(&error);
            tell(Report::NotInstalled { code, errno });
            sys::leave(125);
        }
    }
    // From here on calls may be told. Who does not get the byte has no supervisor any more.
    if !matches!(rustix::io::read(&start.go, &mut [0; 1]), Ok(1)) {
        sys::leave(125);
    }
    start.inherited.spread();
    start.inherited.unblock();
    let errno = sys::exec(start.argv).raw_os_error().unwrap_or(0);
    tell(Report::NotExecuted { errno });
    sys::leave(if errno == libc::ENOENT { 127 } else { 126 })
}
