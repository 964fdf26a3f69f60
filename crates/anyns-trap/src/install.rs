//! Loading a filter into the kernel, in the process that is to be the first guest.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::{fmt, io};

use crate::filter::Filter;
use crate::sys;

/// Why the kernel did not take the filter.
#[derive(Debug)]
pub enum InstallError {
    /// A filter with a listener is already installed in this process tree (EBUSY).
    ListenerExists,
    /// The kernel is older than 5.19 (EINVAL for `WAIT_KILLABLE_RECV`).
    TooOld,
    /// The kernel has no seccomp filters (ENOSYS, or EINVAL for every filter).
    NoSeccomp,
    /// Anything else.
    Other(io::Error),
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InstallError::ListenerExists => {
                f.write_str("a seccomp listener already serves this process tree")
            }
            InstallError::TooOld => f.write_str("the kernel is older than 5.19"),
            InstallError::NoSeccomp => f.write_str("the kernel has no seccomp filters"),
            InstallError::Other(e) => write!(f, "cannot install the seccomp filter: {e}"),
        }
    }
}

impl std::error::Error for InstallError {}

impl Filter {
    /// Sets `no_new_privs`, installs the filter in the calling thread (and all it will create)
    /// and returns the listener, close-on-exec; none if the filter tells nothing.
    ///
    /// Allocates nothing and takes no lock, so it may be called between fork and exec. The
    /// listener must leave this process before it makes a told call, and no guest may keep a
    /// copy: callers would hang once the supervisor is gone.
    pub fn install(&self) -> Result<Option<OwnedFd>, InstallError> {
        if self.needs_listener() {
            return self.install_listening().map(Some);
        }
        self.load(0).map(|_| None)
    }

    /// The same, with a listener even if the filter tells nothing.
    pub fn install_listening(&self) -> Result<OwnedFd, InstallError> {
        let flags =
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
        let fd = self.load(flags)?;
        // SAFETY: with these flags the kernel has just returned this descriptor to us, so it is
        // open and nobody else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    fn load(&self, flags: u64) -> Result<RawFd, InstallError> {
        sys::no_new_privs().map_err(InstallError::Other)?;
        sys::seccomp_install(&self.program, flags).map_err(|e| match e.raw_os_error() {
            Some(libc::EBUSY) => InstallError::ListenerExists,
            Some(libc::ENOSYS) => InstallError::NoSeccomp,
            Some(libc::EINVAL) if sys::seccomp_has_filters() => InstallError::TooOld,
            Some(libc::EINVAL) => InstallError::NoSeccomp,
            _ => InstallError::Other(e),
        })
    }
}
