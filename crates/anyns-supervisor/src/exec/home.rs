//! Where copies of programs are, and links that give a program another last name.
//!
//! The kernel calls a process after the last name of the path that it executes: of a script its name,
//! where the interpreter is what runs.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyns_trap::store::Room;
use parking_lot::Mutex;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::maps::HashMap;
use crate::procfs;

/// So many links are kept that nobody uses.
const LINKS_MAX: usize = 4096;

/// A directory of ours.
#[derive(Debug)]
pub(super) struct Home {
    room: Room,
    path: Vec<u8>,
    links: Mutex<HashMap<Way, Arc<Link>>>,
    made: AtomicU64,
}

/// What a link leads to, and its name.
type Way = (Vec<u8>, Vec<u8>);

/// A link in it.
#[derive(Debug)]
pub(super) struct Link {
    /// Its path on the host.
    pub(super) path: Vec<u8>,
    number: u64,
}

impl Home {
    /// In an empty directory.
    ///
    /// # Errors
    /// Those of readlink(2).
    pub(super) fn new(room: Room) -> Result<Home, Errno> {
        let path = procfs::descriptor_path(&room)?;
        Ok(Home { room, path, links: Mutex::default(), made: AtomicU64::new(0) })
    }

    /// The path of a name in it.
    pub(super) fn path_of(&self, name: &str) -> Vec<u8> {
        [self.path.as_slice(), b"/", name.as_bytes()].concat()
    }

    /// Makes a file in it.
    ///
    /// # Errors
    /// Those of open(2).
    pub(super) fn create(&self, name: &str, access: OFlags) -> Result<OwnedFd, Errno> {
        let flags = access | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(self.room.as_fd(), name, flags, Mode::RUSR | Mode::WUSR)
    }

    /// Removes a file of it.
    pub(super) fn remove(&self, path: &[u8]) {
        let name = OsStr::from_bytes(name_of(path));
        let _ = rustix::fs::unlinkat(self.room.as_fd(), name, AtFlags::empty());
    }

    /// A path that ends in `name` and leads to `target`, as long as what is returned is kept.
    ///
    /// # Errors
    /// Those of symlink(2).
    pub(super) fn link(&self, target: &[u8], name: &[u8]) -> Result<Arc<Link>, Errno> {
        let key = (target.to_vec(), name.to_vec());
        let mut links = self.links.lock();
        if let Some(known) = links.get(&key) {
            return Ok(known.clone());
        }
        if links.len() >= LINKS_MAX {
            links.retain(|_, link| {
                let used = Arc::strong_count(link) > 1;
                if !used {
                    self.unlink(link, name_of(&link.path));
                }
                used
            });
        }
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let directory = format!("l{number}");
        rustix::fs::mkdirat(self.room.as_fd(), &directory, Mode::RWXU)?;
        let path = [self.path_of(&directory).as_slice(), b"/", name].concat();
        let link = Arc::new(Link { path, number });
        let at = [directory.as_bytes(), b"/", name].concat();
        let (target, at) = (OsStr::from_bytes(target), OsStr::from_bytes(&at));
        if let Err(errno) = rustix::fs::symlinkat(target, self.room.as_fd(), at) {
            self.unlink(&link, name);
            return Err(errno);
        }
        links.insert(key, link.clone());
        Ok(link)
    }

    fn unlink(&self, link: &Link, name: &[u8]) {
        let directory = format!("l{}", link.number);
        let at = [directory.as_bytes(), b"/", name].concat();
        // What cannot be removed goes with the room.
        let _ = rustix::fs::unlinkat(self.room.as_fd(), OsStr::from_bytes(&at), AtFlags::empty());
        let _ = rustix::fs::unlinkat(self.room.as_fd(), &directory, AtFlags::REMOVEDIR);
    }
}

/// The last name of a path.
pub(super) fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}
