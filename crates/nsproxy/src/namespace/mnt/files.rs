//! What the model must be told about files: which are directories, and what lies below what.
//!
//! Contents, names and permissions stay outside. A file is a number within a file system.

use crate::{
    AnyNamespace,
    namespace::user::UserNs,
    sync::{Arc, Mutex},
};
use alloc::{boxed::Box, string::String, vec::Vec};
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

/// A file or directory: which file system, and which one in it (`struct dentry`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Dentry {
    /// The [`Super::id`] of its file system.
    pub super_id: u64,
    /// Which one; the embedder's number, never interpreted.
    pub id: u64,
}

/// The tree of files that mounts are put on. The embedder answers; answers must not change while
/// a mount operation is being prepared.
pub trait Files {
    /// Says whether it is a directory.
    fn is_directory(&self, at: Dentry) -> bool;

    /// Says whether `at` is `above` or lies somewhere below it, in the same file system.
    fn is_below(&self, at: Dentry, above: Dentry) -> bool;

    /// Says whether it was removed from its directory, so that nothing can be mounted on it.
    fn is_unlinked(&self, at: Dentry) -> bool;

    /// The names from `above` down to `at`, joined by `/`, without one in front; empty if they
    /// are the same.
    fn path(&self, at: Dentry, above: Dentry) -> Vec<u8>;

    /// Says whether it is a directory that nothing will ever be in: a place the kernel made for
    /// mounts, as `/proc/sys/fs/binfmt_misc` and `/sys/fs/cgroup`.
    fn is_always_empty(&self, _at: Dentry) -> bool {
        false
    }

    /// The namespace that it stands for, if it is a file of `/proc/PID/ns`. A mount of such a file
    /// keeps the namespace alive.
    fn namespace(&self, _at: Dentry) -> Option<AnyNamespace> {
        None
    }
}

/// A file system that can be mounted, in any number of places (`struct super_block`).
pub struct Super {
    id: u64,
    kind: String,
    device: (u32, u32),
    owner: Arc<UserNs>,
    internal: bool,
    revealing: bool,
    idmappable: bool,
    readonly: AtomicBool,
    options: Mutex<String>,
    /// Dropped with it.
    keeps: Option<Box<dyn core::any::Any + Send + Sync>>,
}

impl Super {
    /// One of type `kind` (`tmpfs`), made in the user namespace `owner`. `id` is the embedder's
    /// and must belong to no other; `device` is the major and minor number that `mountinfo` shows.
    pub fn new(id: u64, kind: &str, device: (u32, u32), owner: &Arc<UserNs>) -> Super {
        Super {
            id,
            kind: String::from(kind),
            device,
            owner: Arc::clone(owner),
            internal: false,
            revealing: false,
            idmappable: false,
            readonly: AtomicBool::new(false),
            options: Mutex::new(String::new()),
            keeps: None,
        }
    }

    /// The same with options of its own, as `mountinfo` shows them behind `rw`: `size=64k,mode=755`.
    #[must_use]
    pub fn with_options(self, options: &str) -> Super {
        self.set_options(options);
        self
    }

    /// The same, and keeps something of the embedder's that goes with the file system. It is dropped
    /// while no lock is held, but perhaps in the middle of an operation: it must not begin another.
    #[must_use]
    pub fn keeping(mut self, what: Box<dyn core::any::Any + Send + Sync>) -> Super {
        self.keeps = Some(what);
        self
    }

    /// Gives it other options.
    pub fn set_options(&self, options: &str) {
        *self.options.lock() = String::from(options);
    }

    /// The same, of the kernel's own file systems (pipes, sockets), which cannot be mounted.
    #[must_use]
    pub fn internal(mut self) -> Super {
        self.internal = true;
        self
    }

    /// The same, of a type that shows the machine (proc, sysfs): where somebody may have covered
    /// parts of it, a less privileged namespace gets no mount of it that shows more.
    #[must_use]
    pub fn revealing(mut self) -> Super {
        self.revealing = true;
        self
    }

    /// The same, of a type that can show its files as other people's: mounts of it can have an id
    /// map (ext4, tmpfs, but not proc).
    #[must_use]
    pub fn idmappable(mut self) -> Super {
        self.idmappable = true;
        self
    }

    /// The embedder's number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its type's name.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Major and minor number.
    pub fn device(&self) -> (u32, u32) {
        self.device
    }

    /// The user namespace it was made in: what decides who may reconfigure it.
    pub fn owner(&self) -> Arc<UserNs> {
        Arc::clone(&self.owner)
    }

    /// Its options, as `mountinfo` shows them behind `rw`.
    pub fn options(&self) -> String {
        self.options.lock().clone()
    }

    pub(super) fn owner_ref(&self) -> &UserNs {
        &self.owner
    }

    pub(super) fn is_internal(&self) -> bool {
        self.internal
    }

    pub(super) fn is_revealing(&self) -> bool {
        self.revealing
    }

    pub(super) fn can_be_idmapped(&self) -> bool {
        self.idmappable
    }

    /// Says whether the file system itself, and so every mount of it, is read-only.
    pub fn is_readonly(&self) -> bool {
        self.readonly.load(Ordering::Relaxed)
    }

    /// Makes the file system itself read-only or not.
    pub fn set_readonly(&self, readonly: bool) {
        self.readonly.store(readonly, Ordering::Relaxed);
    }
}

impl fmt::Debug for Super {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Super({}, {})", self.id, self.kind)
    }
}
