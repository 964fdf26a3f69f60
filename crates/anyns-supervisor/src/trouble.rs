//! The ways a call can go wrong, and what the guest is told in each.

use std::fmt;

use anyns_trap::MemError;
use nsproxy::Refusal;
use rustix::io::Errno;

/// Why a handler did not finish its call in the ordinary way.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Linux says no: a rule of the model.
    Refused(Refusal),
    /// Linux says no: the kernel's own answer, or a check that is not about namespaces.
    Errno(Errno),
    /// The caller died or its call was cancelled: undo, answer nobody.
    Gone,
    /// Served at once, the call would have to wait: a worker is to serve it, from its beginning.
    Later,
    /// Our trouble: logged with its context, and mostly EIO for the guest.
    Host {
        /// What was being done.
        doing: &'static str,
        /// What the host said.
        errno: Errno,
    },
}

impl Trouble {
    /// Attaches what was being done to an error of the host's that a guest should not cause.
    pub(crate) fn host(doing: &'static str) -> impl FnOnce(Errno) -> Trouble {
        move |errno| Trouble::Host { doing, errno }
    }

    /// The errno a guest gets.
    pub(crate) fn errno(&self) -> i32 {
        match self {
            Trouble::Refused(refusal) => refusal.errno.raw(),
            Trouble::Errno(errno) => errno.raw_os_error(),
            // Nobody hears it.
            Trouble::Gone | Trouble::Later => Errno::SRCH.raw_os_error(),
            Trouble::Host { errno: Errno::NOMEM | Errno::MFILE | Errno::NFILE, .. } => {
                Errno::NOMEM.raw_os_error()
            }
            // No room for a thread of ours under the limit that is the guest's, too.
            Trouble::Host { errno: Errno::AGAIN, .. } => Errno::AGAIN.raw_os_error(),
            Trouble::Host { .. } => Errno::IO.raw_os_error(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Refused(refusal) => refusal.fmt(f),
            Trouble::Errno(errno) => errno.fmt(f),
            Trouble::Gone => f.write_str("the caller is gone"),
            Trouble::Later => f.write_str("to be served later"),
            Trouble::Host { doing, errno } => write!(f, "{doing}: {errno}"),
        }
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Trouble::Refused(refusal)
    }
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Self {
        Trouble::Errno(errno)
    }
}

impl From<MemError> for Trouble {
    fn from(error: MemError) -> Self {
        match error {
            MemError::Fault => Trouble::Errno(Errno::FAULT),
            MemError::TooLong => Trouble::Errno(Errno::NAMETOOLONG),
            MemError::Gone => Trouble::Gone,
            MemError::Later => Trouble::Later,
            // The host does not let us see this program's memory (it is not readable by its own
            // user): the callers that can go on without it do so before this.
            MemError::Denied => Trouble::Errno(Errno::FAULT),
        }
    }
}
