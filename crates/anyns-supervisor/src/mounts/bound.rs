//! The addresses of sockets with a path: what a guest wrote, for what the host was told.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use parking_lot::Mutex;
use rustix::io::Errno;

use crate::maps::HashMap;

/// So many are remembered; of others the host's words are shown.
const MAX: usize = 1 << 14;
/// Numbers for descriptors that nothing else has, so that no two addresses are one: from here on ...
const FIRST: i32 = 1 << 10;
/// ... so many.
const NUMBERS: i32 = 1 << 11;

/// The addresses.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    written: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    next: AtomicI32,
}

impl Bound {
    /// A descriptor of a directory, by the number of which the host is told of names in it.
    ///
    /// # Errors
    /// EMFILE.
    pub(crate) fn directory(&self, of: impl AsFd) -> Result<OwnedFd, Errno> {
        let number = FIRST + self.next.fetch_add(1, Ordering::Relaxed).rem_euclid(NUMBERS);
        rustix::io::fcntl_dupfd_cloexec(&of, number)
            .or_else(|_| rustix::io::fcntl_dupfd_cloexec(of, 0))
    }

    /// The path of a name in such a directory, for the host.
    pub(crate) fn path(directory: &OwnedFd, name: &[u8]) -> Vec<u8> {
        let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        path
    }

    /// Remembers what a guest has written for an address.
    pub(crate) fn note(&self, host: Vec<u8>, guest: &[u8]) {
        let mut written = self.written.lock();
        if written.len() >= MAX {
            written.clear();
        }
        written.insert(host, guest.to_vec());
    }

    /// What a guest has written for an address of the host's.
    pub(crate) fn written(&self, host: &[u8]) -> Option<Vec<u8>> {
        self.written.lock().get(host).cloned()
    }

    /// Whether there is any.
    pub(crate) fn is_empty(&self) -> bool {
        self.written.lock().is_empty()
    }
}
