//! A mount of type mqueue: a file for each queue that has a name in an ipc namespace.
//!
//! The files are made when somebody looks, and say what the queue is; they are no queues themselves.
//! Nothing is made or removed in the directory but by mq_open(2) and mq_unlink(2).

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use nsproxy::ipc::MqMount;
use parking_lot::Mutex;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::maps::HashSet;

/// What an empty queue says of itself (mq_overview(7)).
const EMPTY: &str = "QSIZE:0          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n";

/// Everybody may look, and nobody else may make anything.
pub(super) const CLOSED: Mode = Mode::from_raw_mode(0o555);

/// The queues of one namespace, as a directory.
pub(crate) struct Mqueue {
    mount: MqMount,
    /// The directory, and the names that are in it.
    shown: Mutex<(OwnedFd, HashSet<Vec<u8>>)>,
}

impl Mqueue {
    /// The namespace's, in an empty directory.
    pub(super) fn new(mount: MqMount, directory: OwnedFd) -> Mqueue {
        Mqueue { mount, shown: Mutex::new((directory, HashSet::default())) }
    }

    /// Brings the directory up to date: to be called before it is looked into.
    ///
    /// # Errors
    /// Those of making a file.
    pub(crate) fn refresh(&self) -> Result<(), Errno> {
        let now: HashSet<Vec<u8>> = self.mount.names().into_iter().collect();
        let mut shown = self.shown.lock();
        if shown.1 == now {
            return Ok(());
        }
        let (directory, names) = &mut *shown;
        rustix::fs::fchmod(&directory, Mode::RWXU)?;
        let done = change(directory, names, &now);
        rustix::fs::fchmod(directory, CLOSED)?;
        done
    }
}

fn change(
    directory: &OwnedFd,
    shown: &mut HashSet<Vec<u8>>,
    now: &HashSet<Vec<u8>>,
) -> Result<(), Errno> {
    let gone: Vec<Vec<u8>> = shown.difference(now).cloned().collect();
    for name in gone {
        rustix::fs::unlinkat(directory, &*name, AtFlags::empty())?;
        shown.remove(&name);
    }
    for name in now {
        if !shown.contains(name) {
            let path = CString::new(name.as_slice()).map_err(|_| Errno::INVAL)?;
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            let file =
                rustix::fs::openat(directory.as_fd(), &path, flags, Mode::RUSR | Mode::WUSR)?;
            rustix::io::write(&file, EMPTY.as_bytes())?;
            shown.insert(name.clone());
        }
    }
    Ok(())
}

impl std::fmt::Debug for Mqueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mqueue").finish_non_exhaustive()
    }
}
