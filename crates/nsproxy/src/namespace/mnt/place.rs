//! A directory or file as it is reached through a mount, and the counting of who uses a mount.

use super::{
    Dentry, MountId,
    lock::{Mounts, reap},
};
use crate::{sync::Arc, system::Kernel};
use alloc::sync::Arc as StdArc;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What a mount and those who use it have in common.
pub(super) struct Hold {
    pub(super) id: MountId,
    users: AtomicUsize,
    /// It was unmounted: the last user's end is its own.
    retired: AtomicBool,
    /// umount2(2) asked for its expiry, and nobody has used it since.
    expiring: AtomicBool,
}

impl Hold {
    pub(super) fn new(id: MountId) -> StdArc<Hold> {
        StdArc::new(Hold {
            id,
            users: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            expiring: AtomicBool::new(false),
        })
    }

    /// How many places refer to the mount.
    pub(super) fn users(&self) -> usize {
        self.users.load(Ordering::SeqCst)
    }

    /// Notes that it was unmounted, and says whether it is still used.
    pub(super) fn retire(&self) -> bool {
        self.retired.store(true, Ordering::SeqCst);
        self.users() > 0
    }

    /// Marks it for expiry, and says whether it was marked.
    pub(super) fn mark(&self) -> bool {
        self.expiring.swap(true, Ordering::SeqCst)
    }
}

/// A place: a mount, and a file or directory seen through it (`struct path`).
///
/// Root and working directories are places, and open files, and what a path walk found. As long
/// as there is one, its mount is in use: umount2(2) finds it busy.
pub struct Place {
    kernel: Arc<Kernel>,
    hold: StdArc<Hold>,
    dentry: Dentry,
    /// Letting go of it is not a use that stops an expiry.
    quiet: bool,
}

impl Place {
    pub(super) fn new(kernel: &Arc<Kernel>, hold: &StdArc<Hold>, dentry: Dentry) -> Place {
        hold.users.fetch_add(1, Ordering::SeqCst);
        Place { kernel: Arc::clone(kernel), hold: StdArc::clone(hold), dentry, quiet: false }
    }

    /// The mount.
    pub fn mount(&self) -> MountId {
        self.hold.id
    }

    /// The file or directory.
    pub fn dentry(&self) -> Dentry {
        self.dentry
    }

    /// Another file or directory seen through the same mount.
    #[must_use]
    pub fn at(&self, dentry: Dentry) -> Place {
        let mut place = self.clone();
        place.dentry = dentry;
        place
    }

    pub(super) fn hold(&self) -> &Hold {
        &self.hold
    }

    pub(super) fn mounts(&self) -> &Mounts {
        &self.kernel.mounts
    }

    pub(super) fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// Lets go of it without stopping an expiry.
    pub(super) fn hushed(mut self) -> Place {
        self.quiet = true;
        self
    }
}

impl Clone for Place {
    fn clone(&self) -> Place {
        Place::new(&self.kernel, &self.hold, self.dentry)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Mostly nobody has asked, and a store would take the line from all who use the mount.
        if !self.quiet && self.hold.expiring.load(Ordering::SeqCst) {
            self.hold.expiring.store(false, Ordering::SeqCst);
        }
        let last = self.hold.users.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && self.hold.retired.load(Ordering::SeqCst) {
            self.kernel.mounts.note_dead(None);
            reap(&self.kernel);
        }
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Place) -> bool {
        StdArc::ptr_eq(&self.hold, &other.hold) && self.dentry == other.dentry
    }
}

impl Eq for Place {}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in mount {}", self.dentry.id, self.hold.id.0)
    }
}
