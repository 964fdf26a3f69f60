//! Tasks that have exited and whose parents have not waited for them yet.
//!
//! All that is left of such a task is its credentials, and its user namespace with them: `/proc`
//! still shows them, and the namespace lives until the parent's wait. One whose user namespace is
//! the initial one is the kernel's to show, unless it hid: the kernel does not know of that. One of a
//! pid namespace of ours still has its number there.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::event::epoll;

use super::{Guest, Guests};
use crate::maps::HashMap;
use crate::procfs::read_file;

/// The zombies, by their numbers on the host.
#[derive(Debug, Default)]
pub(super) struct Zombies {
    by_tid: Mutex<HashMap<i32, Arc<Guest>>>,
}

impl Guests {
    /// Keeps what is left of a task that has just been taken out of the table, until it is reaped.
    pub(super) fn keep_zombie(&self, guest: Arc<Guest>) {
        let kernels =
            guest.task.cred().user.is_initial() && guest.dumpable() && !guest.is_numbered();
        if kernels || is_reaped(&guest.pidfd) {
            return;
        }
        // Since Linux 6.9 a pidfd hangs up when its task is reaped, and that is always told.
        // Before, it is found out when somebody counts.
        let data = epoll::EventData::new_u64(guest.tid as u64);
        let _ = epoll::modify(&self.deaths, &guest.pidfd, data, epoll::EventFlags::ONESHOT);
        let old = self.zombies.by_tid.lock().insert(guest.tid, guest);
        drop(old);
    }

    /// What is left of task `tid`, if it is a zombie.
    pub(crate) fn zombie(&self, tid: i32) -> Option<Arc<Guest>> {
        let guest = self.zombies.by_tid.lock().get(&tid).cloned()?;
        if !is_reaped(&guest.pidfd) {
            return Some(guest);
        }
        self.forget_zombie(tid);
        None
    }

    /// The same without a look whether it has been reaped.
    pub(super) fn last_seen(&self, tid: i32) -> Option<Arc<Guest>> {
        self.zombies.by_tid.lock().get(&tid).cloned()
    }

    /// All zombies.
    pub(super) fn zombies(&self) -> Vec<Arc<Guest>> {
        self.zombies.by_tid.lock().values().cloned().collect()
    }

    /// Tells whether neither a living task nor a zombie is known.
    pub(crate) fn none_known(&self) -> bool {
        self.len() == 0 && self.zombies.by_tid.lock().is_empty()
    }

    /// Lets go of the zombie `tid` if its parent has waited for it.
    pub(super) fn forget_zombie(&self, tid: i32) {
        let mut zombies = self.zombies.by_tid.lock();
        let reaped = zombies.get(&tid).is_some_and(|guest| is_reaped(&guest.pidfd));
        let gone = if reaped { zombies.remove(&tid) } else { None };
        drop(zombies);
        // The last namespaces may go with it.
        drop(gone);
    }

    /// The same for all of them.
    pub(crate) fn forget_zombies(&self) {
        let tids: Vec<i32> = self.zombies.by_tid.lock().keys().copied().collect();
        tids.into_iter().for_each(|tid| self.forget_zombie(tid));
    }
}

/// Tells whether the task of a pidfd is no longer there, not even as a zombie.
fn is_reaped(pidfd: &OwnedFd) -> bool {
    // pidfd_open(2): the number of one that is gone reads as -1.
    let text = read_file(&format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()));
    text.is_ok_and(|text| text.split(|byte| *byte == b'\n').any(|line| line == b"Pid:\t-1"))
}
