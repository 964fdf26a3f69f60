//! A mount of type mqueue: a file for each queue that has a name in an ipc namespace.
//!
//! The files are made when somebody looks, and have a queue's mode and the size that Linux gives it;
//! they are no queues themselves. Who opens one gets the queue, who makes or removes one makes or
//! removes a queue (`syscalls/queue.rs`), and nothing else can be made there. That no guest makes
//! anything on the host the mode of the directory sees to; another one has the attributes of the root.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use nsproxy::ipc::MqMount;
use parking_lot::Mutex;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::stand_in::shown_as;
use crate::maps::HashMap;

/// How long a queue's file is (mq_overview(7)).
const SIZE: u64 = 80;

/// Everybody may look, and nobody may make anything.
const CLOSED: Mode = Mode::from_raw_mode(0o555);
/// What the root directory shows instead.
const ROOT_MODE: Mode = Mode::from_raw_mode(0o1777);
/// The name of what has the root directory's attributes, beside what is shown.
const ATTRIBUTES: &str = "attributes";

/// The queues of one namespace, as a directory.
pub(crate) struct Mqueue {
    /// The queues.
    pub(crate) mount: MqMount,
    root: OwnedFd,
    /// The directory, and the files that are in it with their modes.
    shown: Mutex<(OwnedFd, HashMap<Vec<u8>, u32>)>,
}

impl Mqueue {
    /// The namespace's, in an empty directory that lies in `room`.
    ///
    /// # Errors
    /// Those of making a directory.
    pub(super) fn new(
        mount: MqMount,
        room: impl AsFd,
        directory: &OwnedFd,
    ) -> Result<Mqueue, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::mkdirat(&room, ATTRIBUTES, Mode::RWXU)?;
        let root = rustix::fs::openat(&room, ATTRIBUTES, flags, Mode::empty())?;
        rustix::fs::fchmod(&root, ROOT_MODE)?;
        let directory = rustix::fs::openat(directory, ".", flags, Mode::empty())?;
        rustix::fs::fchmod(&directory, CLOSED)?;
        Ok(Mqueue { mount, root, shown: Mutex::new((directory, HashMap::default())) })
    }

    /// What has the attributes of its root directory, and these in the place of the host's; none of
    /// a queue's file, which has its own.
    pub(crate) fn attributes(&self, of: &Stat) -> Option<(OwnedFd, Stat)> {
        let is_root = FileType::from_raw_mode(of.st_mode) == FileType::Directory;
        is_root.then(|| shown_as(&self.root, of)).flatten()
    }

    /// Brings the directory up to date: to be called before it is looked into.
    ///
    /// # Errors
    /// Those of making a file.
    pub(crate) fn refresh(&self) -> Result<(), Errno> {
        let now: HashMap<Vec<u8>, u32> = self.mount.files().into_iter().collect();
        let mut shown = self.shown.lock();
        if shown.1 == now {
            return Ok(());
        }
        let (directory, files) = &mut *shown;
        rustix::fs::fchmod(&directory, Mode::RWXU)?;
        let done = change(directory, files, &now);
        rustix::fs::fchmod(directory, CLOSED)?;
        done
    }
}

fn change(
    directory: &OwnedFd,
    shown: &mut HashMap<Vec<u8>, u32>,
    now: &HashMap<Vec<u8>, u32>,
) -> Result<(), Errno> {
    let gone: Vec<Vec<u8>> =
        shown.keys().filter(|name| !now.contains_key(*name)).cloned().collect();
    for name in gone {
        rustix::fs::unlinkat(directory, &*name, AtFlags::empty())?;
        shown.remove(&name);
    }
    for (name, mode) in now {
        if shown.get(name) == Some(mode) {
            continue;
        }
        let path = CString::new(name.as_slice()).map_err(|_| Errno::INVAL)?;
        if !shown.contains_key(name) {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            let file = rustix::fs::openat(directory, &path, flags, Mode::RUSR)?;
            rustix::fs::ftruncate(&file, SIZE)?;
        }
        let bits = Mode::from_raw_mode(*mode);
        rustix::fs::chmodat(directory, &path, bits, AtFlags::empty())?;
        shown.insert(name.clone(), *mode);
    }
    Ok(())
}

impl std::fmt::Debug for Mqueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mqueue").finish_non_exhaustive()
    }
}
