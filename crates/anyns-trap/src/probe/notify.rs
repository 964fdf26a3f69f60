//! Whether a filter with a listener can be had.

use std::os::fd::AsFd;

use rustix::io::Errno;

use super::{Obstacle, child};
use crate::filter::{Action, Filter, Row, Test};
use crate::{InstallError, sys};

/// Whether a filter with a listener can be installed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    /// It can.
    Works,
    /// An outer filter has a listener already.
    ListenerExists,
    /// The kernel has no WAIT_KILLABLE_RECV.
    TooOld,
    /// The kernel has no seccomp filters.
    NoSeccomp,
    /// Something else forbids it.
    Refused(Errno),
}

impl Notify {
    /// What keeps the notify back end from working.
    pub(super) fn obstacle(self) -> Option<Obstacle> {
        match self {
            Notify::Works => None,
            Notify::ListenerExists => Some(Obstacle::ListenerExists),
            Notify::TooOld => Some(Obstacle::OldKernel(
                rustix::system::uname().release().to_string_lossy().into(),
            )),
            Notify::NoSeccomp => Some(Obstacle::NoSeccomp),
            Notify::Refused(errno) => Some(Obstacle::NotifyRefused(errno)),
        }
    }
}

/// Whether a listener takes SYNC_WAKE_UP (6.6), which makes answers faster.
pub(super) fn sync_wake_up() -> bool {
    let filter = Filter::compile(&[Row {
        // Something has to be told, or there is no listener; nobody makes this call.
        nr: libc::SYS_restart_syscall,
        test: Test::Always,
        action: Action::Notify,
    }]);
    child::attempt(|| match filter.install() {
        Ok(Some(listener)) => {
            sys::notif_sync_wake_up(listener.as_fd(), true).map_err(|_| Errno::INVAL)
        }
        _ => Err(Errno::BUSY),
    })
    .is_ok()
}

/// How an installation went, as two words.
pub(super) fn encode(failed: Option<InstallError>) -> [u16; 2] {
    match failed {
        None => [0, 0],
        Some(InstallError::ListenerExists) => [1, 0],
        Some(InstallError::TooOld) => [2, 0],
        Some(InstallError::NoSeccomp) => [3, 0],
        Some(InstallError::Other(e)) => [4, e.raw_os_error().unwrap_or(libc::EPERM) as u16],
    }
}

/// The words understood.
pub(super) fn decode(words: [u16; 2]) -> Notify {
    match words {
        [0, _] => Notify::Works,
        [1, _] => Notify::ListenerExists,
        [2, _] => Notify::TooOld,
        [3, _] => Notify::NoSeccomp,
        [_, errno] => Notify::Refused(Errno::from_raw_os_error(errno.into())),
    }
}
