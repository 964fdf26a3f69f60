//! Mount namespaces in the host's terms: the host's mounts told to the model, what each namespace
//! shows, and the proc file systems that guests mount.
//!
//! State: the objects of the host that mounts are about ([`spots`]), which pid namespace a mounted
//! proc shows, and what each mount namespace shows as of the generation of its table
//! ([`View`](crate::vfs::View)).
//! Not decided here: who may mount what; that is `nsproxy`'s.
//!
//! Locks: each is a leaf, and none is held while the model is called.

mod boot;
mod bound;
mod busy;
mod cgroups;
mod detached;
mod host;
mod made;
mod moment;
mod mqueue;
mod nothing;
mod nsfs;
mod options;
mod overlay;
mod pts;
mod seen;
mod spots;
mod stand_in;
mod usage;
mod views;

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use nsproxy::{Dentry, MntNs, MountId, PidNs, Place, System, Table, Task};
use parking_lot::RwLock;
use rustix::io::Errno;

use crate::maps::HashMap;
use crate::vfs::{Backed, View};
use boot::Told;
pub(crate) use bound::Bound;
pub(crate) use detached::Detached;
pub(crate) use host::{escaped, plain};
pub(crate) use made::What;
pub(crate) use moment::Moment;
pub(crate) use mqueue::Mqueue;
use nothing::Nothing;
pub(crate) use nsfs::WithNamespace;
pub(crate) use options::{Given, check_proc};
pub(crate) use overlay::{Asked, Options, Overlay};
pub(crate) use pts::Pts;
pub(crate) use seen::Number;
pub(crate) use spots::{Identity, Key, Spot, below};
use spots::{ROOT, Spots, open_path};
use views::Shown;

/// So many objects are too few to look which are in use.
const SPOTS_MIN: usize = 512;

/// In every unique number of a mount that is ours: the kernel counts from 2^31 and does not come this
/// far.
const OUR_MOUNTS: u64 = 1 << 63;

/// The number that no other mount of the system ever has (`STATX_MNT_ID_UNIQUE`).
pub(crate) fn unique(mount: MountId) -> u64 {
    OUR_MOUNTS | mount.0
}

/// The mount that has this number, if one of ours may have.
pub(crate) fn unique_of(number: u64) -> Option<MountId> {
    (number & OUR_MOUNTS != 0).then_some(MountId(number & !OUR_MOUNTS))
}

/// What is mounted, beyond what the model knows of it.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    spots: Spots,
    nothing: Nothing,
    seen: seen::Seen,
    told: OnceLock<Told>,
    made: made::All,
    nsfs: nsfs::Nsfs,
    /// What guests have written for the addresses of their sockets.
    pub(crate) bound: Bound,
    /// What a namespace, by its id, shows.
    views: RwLock<HashMap<u64, Shown>>,
    strayed: views::Strayed,
    detached: detached::All,
    renames: AtomicU64,
    /// When there are so many objects, it is looked which are in use.
    most: AtomicUsize,
}

impl Mounts {
    // ---- the objects that mounts are about ---------------------------------------------------

    /// Interns an object that was reached in a file system of the model's. `above` is the host's
    /// mount of the directory that it was found in: if the object is in another, that covers the one
    /// that is meant. To be kept in use (by a mount, or a task) before anything else is let go of.
    ///
    /// # Errors
    /// Those of statx(2).
    pub(crate) fn enter(
        &self,
        super_id: u64,
        fd: OwnedFd,
        above: Option<u64>,
    ) -> Result<Dentry, Errno> {
        let seen = Identity::of(&fd)?;
        let key = self.spots.key(&fd, &seen, above);
        if let Some(known) = self.spots.known(super_id, &key) {
            return Ok(known);
        }
        let spot = match key {
            Key::Under(_) => Spot::covered(fd, Vec::new())?,
            Key::Inode(..) => Spot::new(fd)?,
        };
        let spot = match self.overlay(super_id).filter(|_| !spot.directory) {
            Some(overlay) => match overlay.shown_text(&spot.fd)? {
                Some(text) => self.spots.called(spot, super_id, &text),
                None => spot,
            },
            None => spot,
        };
        Ok(self.spots.enter(super_id, key, spot))
    }

    /// Interns the root of a file system.
    ///
    /// # Errors
    /// Those of statx(2).
    pub(crate) fn enter_root(&self, super_id: u64, fd: OwnedFd) -> Result<Dentry, Errno> {
        let spot = Spot::new(fd)?;
        let key = self.spots.key(&spot.fd, &spot.identity, None);
        Ok(self.spots.enter_root(super_id, key, spot))
    }

    /// The number of an object in a file system, if it is interned.
    pub(crate) fn known(&self, super_id: u64, key: &Key) -> Option<Dentry> {
        self.spots.known(super_id, key)
    }

    /// What an object is known by; `above` as for [`enter`](Mounts::enter).
    pub(crate) fn key(&self, fd: &OwnedFd, seen: &Identity, above: Option<u64>) -> Key {
        self.spots.key(fd, seen, above)
    }

    /// An interned object.
    pub(crate) fn spot(&self, dentry: Dentry) -> Option<Arc<Spot>> {
        self.spots.spot(dentry)
    }

    /// An empty directory, or file, that shows in the place of what nobody can see.
    ///
    /// # Errors
    /// Those of making it.
    pub(crate) fn nothing(&self, directory: bool) -> Result<OwnedFd, Errno> {
        self.nothing.open(directory)
    }

    /// The names from an interned directory down to an object, if it is below.
    ///
    /// # Errors
    /// Those of readlink(2) and statx(2).
    pub(crate) fn object_below(
        &self,
        fd: &OwnedFd,
        above: Dentry,
    ) -> Result<Option<Vec<u8>>, Errno> {
        let overlay = self.overlay(above.super_id);
        let text = match overlay {
            Some(overlay) if !Identity::of(fd)?.is_directory() => overlay.shown_text(fd)?,
            _ => None,
        };
        match text {
            Some(text) => self.spots.text_below(&text, above),
            None => self.spots.object_below(fd, above),
        }
    }

    /// The overlay that a file system of a guest's is.
    pub(crate) fn overlay(&self, super_id: u64) -> Option<Arc<Overlay>> {
        match &*self.made.get(super_id)? {
            What::Overlay(overlay) => Some(overlay.clone()),
            _ => None,
        }
    }

    /// The devpts that a file system of a guest's is.
    pub(crate) fn terminals(&self, super_id: u64) -> Option<Arc<Pts>> {
        match &*self.made.get(super_id)? {
            What::Devpts(pts) => Some(pts.clone()),
            _ => None,
        }
    }

    /// Whether a directory is the one that a mount shows, or below it.
    ///
    /// # Errors
    /// Those of readlink(2).
    pub(crate) fn is_below(&self, fd: &OwnedFd, root: &Spot) -> Result<bool, Errno> {
        spots::is_below(fd, root)
    }

    /// The device number that files of a file system show, if that is not the host's.
    pub(crate) fn device_of(&self, super_id: u64, device: (u32, u32)) -> Option<u64> {
        match self.made(super_id).as_deref() {
            None | Some(What::Proc(_) | What::OfHost) => None,
            Some(_) => Some(rustix::fs::makedev(device.0, device.1)),
        }
    }

    /// Whether guests have made any file system, so that a file may belong to one.
    pub(crate) fn has_made(&self) -> bool {
        !self.made.is_empty()
    }

    /// The name of the directory that no guest should get into.
    pub(crate) fn guarded_name(&self) -> Option<Vec<u8>> {
        self.made.kept().map(|kept| kept.name.clone())
    }

    /// Whether it is that directory.
    pub(crate) fn is_guarded(&self, seen: &Identity) -> bool {
        self.made.kept().is_some_and(|kept| kept.numbers == (seen.dev, seen.ino))
    }

    /// Whether a path of the host's leads from `above` into the directory that is kept from guests.
    pub(crate) fn is_kept_below(&self, above: &[u8], text: &[u8]) -> bool {
        let Some(kept) = self.made.kept() else { return false };
        let inside = |path: &[u8]| {
            path.strip_prefix(kept.path.as_slice())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        inside(text) && !inside(above)
    }

    /// The device number that an object of the store shows, whose mount is not known.
    pub(crate) fn device_in_store(&self, fd: &OwnedFd) -> Option<u64> {
        let text = crate::procfs::descriptor_path(fd).ok()?;
        if !self.is_kept_below(b"/", &text) {
            return None;
        }
        self.made.ids().into_iter().find_map(|id| {
            let root = self.spot(Dentry { super_id: id, id: ROOT })?;
            let rest = text.strip_prefix(root.text.as_slice())?;
            let device = self.made.device(id)?;
            (rest.is_empty() || rest.starts_with(b"/"))
                .then(|| self.device_of(id, device))
                .flatten()
        })
    }

    // ---- through which mount something was opened --------------------------------------------

    /// Remembers through which mount somebody has opened a directory.
    pub(crate) fn note_seen(&self, view: &View, identity: &Identity, mount: nsproxy::MountId) {
        self.seen.note(view.namespace(), identity, mount);
    }

    /// The same of the descriptor that it got.
    pub(crate) fn note_number(
        &self,
        number: Number,
        view: &View,
        identity: &Identity,
        mount: nsproxy::MountId,
    ) {
        if let Some(mount) = view.share(mount) {
            self.seen.note_number(number, view.namespace(), identity, mount);
        }
    }

    /// The same of what was reached through a mount, which may be gone.
    pub(crate) fn note_place(
        &self,
        number: Number,
        place: &crate::vfs::Reached,
        identity: &Identity,
    ) {
        self.seen.note_number(number, place.namespace, identity, place.mount.clone());
    }

    /// The mount through which a directory was last opened.
    pub(crate) fn last_seen(&self, view: &View, identity: &Identity) -> Option<nsproxy::MountId> {
        self.seen.last(view.namespace(), identity)
    }

    /// The namespace in which, and the mount through which, a directory was opened as a certain
    /// descriptor. Neither need be there any longer.
    pub(crate) fn opened_through(
        &self,
        identity: &Identity,
        number: Number,
    ) -> Option<(u64, Arc<Backed>)> {
        self.seen.of_number(number, identity)
    }

    /// Notes that a process has the descriptors of another.
    pub(crate) fn note_fork(&self, parent: i32, child: i32) {
        self.seen.note_fork(parent, child);
    }

    /// Remembers that the root directory of a namespace was exchanged, so that whoever still has this
    /// object as its working directory is in the new one.
    pub(crate) fn note_pivot(&self, namespace: u64, old_root: &Identity) {
        self.seen.note_pivot(namespace, old_root);
    }

    /// Whether an object was the root directory of a namespace before.
    pub(crate) fn has_pivoted(&self, view: &View, identity: &Identity) -> bool {
        self.seen.has_pivoted(view.namespace(), identity)
    }

    /// A number for a file system that belongs to no other.
    pub(crate) fn next_super(&self) -> u64 {
        self.told.get().map_or(1, |told| told.next) + self.made.count()
    }

    /// The pid namespace that a proc file system shows, if a guest has mounted it.
    pub(crate) fn shown_by(&self, super_id: u64) -> Option<nsproxy::Arc<PidNs>> {
        match &*self.made.get(super_id)? {
            What::Proc(pids) => Some(pids.clone()),
            _ => None,
        }
    }

    /// A directory of ours, which goes when it is dropped.
    ///
    /// # Errors
    /// Those of mkdir(2), if no place will do.
    pub(crate) fn room(&self) -> Result<anyns_trap::store::Room, Errno> {
        self.made.room()
    }

    /// The path of that directory.
    pub(crate) fn store_path(&self) -> Option<&[u8]> {
        Some(&self.made.kept()?.path)
    }

    /// Removes what guests have kept in file systems of their own: no guest is left.
    pub(crate) fn close(&self) {
        self.made.close();
    }

    /// The pid namespace that `/proc` shows in the mount namespace of `task`; `None` if it is the
    /// host's, which shows every process by the host's number.
    pub(crate) fn proc_of(&self, task: &Task) -> Option<nsproxy::Arc<PidNs>> {
        if self.made.is_empty() {
            return None;
        }
        let proxy = task.nsproxy()?;
        self.view(&proxy.mnt).proc().cloned()
    }

    /// What a lookup found, as the model knows it: interned, and in use.
    ///
    /// # Errors
    /// EINVAL if its mount is gone; those of statx(2).
    pub(crate) fn in_model(&self, ns: &MntNs, place: &crate::vfs::Place) -> Result<Place, Errno> {
        let Some(mount) = place.mount else {
            return match &place.view {
                None => self.place(ns, &crate::procfs::descriptor_path(&place.fd)?),
                // By a descriptor from elsewhere, or whose mount is gone.
                Some(_) => Err(Errno::INVAL),
            };
        };
        let dentry = |table: &Table| match (place.dentry, table.get(mount)) {
            (_, None) => Err(Errno::INVAL),
            (Some(dentry), _) => Ok(dentry),
            (None, Some(shows)) => {
                let fd = rustix::io::fcntl_dupfd_cloexec(&place.fd, 0)?;
                self.enter(shows.sb.id(), fd, None)
            }
        };
        let place = match place.view.as_ref().and_then(|view| self.detached(view.namespace())) {
            // One that was moved to a namespace meanwhile has none of its mounts any more.
            Some(tree) => {
                let table = tree.table();
                tree.place(&table, mount, dentry(&table)?)
            }
            None => {
                let table = ns.table();
                table.place(ns, mount, dentry(&table)?)
            }
        };
        place.ok_or(Errno::INVAL)
    }

    /// Where a path of the host's, without symbolic links, is in a mount namespace.
    pub(crate) fn place(&self, ns: &MntNs, path: &[u8]) -> Result<Place, Errno> {
        let table = ns.table();
        let (mount, dentry) = self.walk(&table, path).ok_or(Errno::INVAL)?;
        table.place(ns, mount, dentry).ok_or(Errno::INVAL)
    }

    fn walk(&self, table: &Table, path: &[u8]) -> Option<(nsproxy::MountId, Dentry)> {
        let first = table.get(table.root())?;
        let mut mount = table.covered(first.id, first.root);
        let mut fd = open_path(b"/").ok()?;
        let mut seen = Identity::of(&fd).ok()?;
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        for component in path.components() {
            let Component::Normal(name) = component else { continue };
            let flags = rustix::fs::OFlags::PATH
                | rustix::fs::OFlags::CLOEXEC
                | rustix::fs::OFlags::NOFOLLOW;
            let next =
                rustix::fs::openat(fd.as_fd(), name, flags, rustix::fs::Mode::empty()).ok()?;
            let found = Identity::of(&next).ok()?;
            let key = self.spots.key(&next, &found, Some(seen.mnt));
            let sb = table.get(mount.0)?.sb.id();
            if let Some(dentry) = self.spots.known(sb, &key) {
                mount = table.covered(mount.0, dentry);
            }
            (fd, seen) = (next, found);
        }
        let shows = table.get(mount.0)?;
        let top = self.spots.spot(shows.root)?;
        match top.identity.is_same(&seen) {
            true => Some((mount.0, shows.root)),
            false => Some((mount.0, self.enter(shows.sb.id(), fd, None).ok()?)),
        }
    }

    /// The directories as they are now, for the model.
    pub(crate) fn files(&self) -> Moment<'_> {
        Moment::new(&self.spots)
    }

    /// Forgets objects that nobody refers to, once there are many.
    pub(crate) fn sweep(&self, system: &System) {
        let most = self.most.load(Ordering::Relaxed).max(SPOTS_MIN);
        if self.spots.len() < most {
            return;
        }
        let used = system.dentries_in_use();
        self.spots.keep(|dentry| used.contains(&dentry));
        self.most.store(2 * self.spots.len(), Ordering::Relaxed);
    }

    /// Forgets the file systems that are mounted nowhere any more.
    pub(crate) fn settle(&self) {
        if self.made.is_empty() {
            return;
        }
        self.drop_old_views();
        self.made.settle().into_iter().for_each(|id| self.spots.forget_super(id));
    }
}
