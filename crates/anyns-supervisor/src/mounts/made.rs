//! The file systems that guests have mounted, and what is behind each on the host.
//!
//! A tmpfs is a private directory of the host's ([`Room`]) that goes with its super block. A proc, a
//! devpts and the view of sysfs are the host's own, of which not everything is shown.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock, Weak};

use anyns_trap::store::{Room, Store};
use nsproxy::ipc::{IpcNs, MqMount};
use nsproxy::{AnyNamespace, Cred, Dentry, PidNs, Super, UserNs};
use parking_lot::{Mutex, RwLock};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Mounts;
use super::boot::PROC;
use super::mqueue::Mqueue;
use super::options::{self, Devpts, Given, Tmpfs};
use super::overlay::{Asked, Options, Overlay};
use super::pts::Pts;
use super::spots::open_path;
use super::usage::{Taken, Usage, usage};
use crate::maps::HashMap;

/// The highest minor number of a device that is none: the kernel gives them out from below.
const LAST_MINOR: u64 = (1 << 20) - 1;

/// The name of the directory that is shown, in its room: so that its own mode lets nobody in.
const ROOT_NAME: &str = "root";

/// What is behind a file system.
#[derive(Debug)]
pub(crate) enum What {
    /// Every process of a pid namespace.
    Proc(nsproxy::Arc<PidNs>),
    /// A directory of ours, with its limits, and how many files it holds.
    Tmpfs(Mutex<Tmpfs>, Taken),
    /// A directory of ours.
    Ramfs,
    /// Terminals of the host's.
    Devpts(Arc<Pts>),
    /// The queues of an ipc namespace.
    Mqueue(Arc<Mqueue>),
    /// Directories, one laid over the other.
    Overlay(Arc<Overlay>),
    /// The host's own file system, as it is.
    OfHost,
}

#[derive(Debug)]
struct Made {
    sb: Weak<Super>,
    what: Arc<What>,
}

/// All that guests have mounted and that lives.
#[derive(Debug, Default)]
pub(super) struct All {
    by_id: RwLock<HashMap<u64, Made>>,
    /// The mqueue of each ipc namespace, by its id.
    shared: Mutex<HashMap<u64, Weak<Super>>>,
    made: std::sync::atomic::AtomicU64,
    store: Mutex<Option<Store>>,
    /// The directory that all stores of the user's are in: it is never another.
    kept: OnceLock<Kept>,
}

/// The directory of the host's that no guest should get into.
#[derive(Debug)]
pub(super) struct Kept {
    /// Its path.
    pub(super) path: Vec<u8>,
    /// Its last name.
    pub(super) name: Vec<u8>,
    /// Its device and inode number.
    pub(super) numbers: (u64, u64),
}

impl All {
    /// How many were ever made.
    pub(super) fn count(&self) -> u64 {
        self.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.read().is_empty()
    }

    pub(super) fn get(&self, super_id: u64) -> Option<Arc<What>> {
        Some(self.by_id.read().get(&super_id)?.what.clone())
    }

    /// A directory of ours.
    pub(super) fn room(&self) -> Result<Room, Errno> {
        let mut store = self.store.lock();
        match &*store {
            Some(store) => store.room(),
            None => {
                let made = store.insert(Store::open()?);
                let (device, number, name) = made.guarded()?;
                let (path, name) = (made.path(), name.into_encoded_bytes());
                let _ = self.kept.set(Kept { path, name, numbers: (device, number) });
                made.room()
            }
        }
    }

    /// A room with an empty directory in it, which is to be shown.
    pub(super) fn furnished(&self) -> Result<(Room, OwnedFd), Errno> {
        let room = self.room()?;
        rustix::fs::mkdirat(&room, ROOT_NAME, Mode::RWXU)?;
        let root = enter(&room)?;
        Ok((room, root))
    }

    /// The directory of the host's that no guest should get into, once there is one.
    pub(super) fn kept(&self) -> Option<&Kept> {
        self.kept.get()
    }

    /// The numbers of all.
    pub(super) fn ids(&self) -> Vec<u64> {
        self.by_id.read().keys().copied().collect()
    }

    /// The device number of one that lives.
    pub(super) fn device(&self, super_id: u64) -> Option<(u32, u32)> {
        Some(self.by_id.read().get(&super_id)?.sb.upgrade()?.device())
    }

    /// Removes everything: no guest is left.
    pub(super) fn close(&self) {
        let store = self.store.lock().take();
        drop(store);
    }

    /// Forgets those that are mounted nowhere any more, and says which they are.
    pub(super) fn settle(&self) -> Vec<u64> {
        let mut gone = Vec::new();
        if self.is_empty() {
            return gone;
        }
        let mut dropped = Vec::new();
        self.by_id.write().retain(|id, made| {
            let lives = made.sb.strong_count() > 0;
            if !lives {
                gone.push(*id);
                // The last of a pid namespace may go with it.
                dropped.push(made.what.clone());
            }
            lives
        });
        self.shared.lock().retain(|_, sb| sb.strong_count() > 0);
        gone
    }
}

impl Mounts {
    /// A proc file system that shows `pids`, and its root.
    ///
    /// # Errors
    /// Those of opening the host's.
    pub(crate) fn make_proc(
        &self,
        pids: &nsproxy::Arc<PidNs>,
    ) -> Result<(Arc<Super>, Dentry), Errno> {
        let id = self.next_super();
        let device = self.told.get().map_or((0, 0), |told| told.proc);
        let root = self.enter_root(id, open_path(PROC)?)?;
        let sb = Arc::new(Super::new(id, "proc", device, &pids.owner()).revealing());
        self.spots.note_made_for_mounts(id);
        self.note_made(&sb, What::Proc(pids.clone()));
        Ok((sb, root))
    }

    /// A tmpfs or a ramfs, empty, and its root.
    ///
    /// # Errors
    /// EINVAL for its options; those of making a directory.
    pub(crate) fn make_tmpfs(
        &self,
        kind: &str,
        given: &Given,
        by: &Cred,
    ) -> Result<(Arc<Super>, Dentry), Errno> {
        let mut asked = Tmpfs::of(by.fsuid.0, by.fsgid.0);
        let (what, mode, shown) = match kind {
            "ramfs" => {
                let mode = options::ramfs_mode(given)?;
                let mut shown = given.shown_flags();
                if mode != options::RAMFS_MODE {
                    shown.push(format!("mode={mode:o}"));
                }
                (What::Ramfs, mode, shown.join(","))
            }
            _ => {
                asked.change(given, &by.user, None)?;
                let (mode, shown) = (asked.mode, asked.shown(given));
                (What::Tmpfs(Mutex::new(asked), Taken::unknown()), mode, shown)
            }
        };
        let (room, root) = self.made.furnished()?;
        rustix::fs::chmodat(
            &room,
            ROOT_NAME,
            Mode::from_raw_mode(mode),
            rustix::fs::AtFlags::empty(),
        )?;
        let sb = self.super_of(kind, &by.user).with_options(&shown).keeping(Box::new(room));
        self.settle_super(sb, root, given, what)
    }

    /// The mqueue file system of an ipc namespace, and its root.
    ///
    /// # Errors
    /// EINVAL for any option; those of making a directory.
    pub(crate) fn make_mqueue(
        &self,
        given: &Given,
        ns: &nsproxy::Arc<IpcNs>,
    ) -> Result<(Arc<Super>, Dentry), Errno> {
        given.none()?;
        let key = AnyNamespace::Ipc(ns.clone()).id();
        let mut shared = self.made.shared.lock();
        if let Some(sb) = shared.get(&key).and_then(Weak::upgrade) {
            let root = Dentry { super_id: sb.id(), id: super::spots::ROOT };
            return Ok((sb, root));
        }
        let (room, root) = self.made.furnished()?;
        let queues = Mqueue::new(MqMount::of(ns), &room, &root)?;
        queues.refresh()?;
        let sb = self.super_of("mqueue", &ns.owner()).keeping(Box::new(room));
        let made = self.settle_super(sb, root, given, What::Mqueue(Arc::new(queues)))?;
        shared.insert(key, Arc::downgrade(&made.0));
        Ok(made)
    }

    /// A devpts without terminals, and its root.
    ///
    /// # Errors
    /// EINVAL for its options; ENODEV if the host has none; those of making a directory.
    pub(crate) fn make_devpts(
        &self,
        given: &Given,
        by: &Cred,
    ) -> Result<(Arc<Super>, Dentry), Errno> {
        let mut asked = Devpts::default();
        asked.change(given, &by.user)?;
        let shown = asked.shown(given);
        let (room, own) = self.made.furnished()?;
        let pts = Pts::new(asked, &by.user, own)?;
        let root = pts.root()?;
        let sb = self.super_of("devpts", &by.user).with_options(&shown).keeping(Box::new(room));
        self.settle_super(sb, root, given, What::Devpts(Arc::new(pts)))
    }

    /// An overlay of directories that were found, and its root.
    ///
    /// # Errors
    /// EINVAL if changes cannot be prepared; those of making directories.
    pub(crate) fn make_overlay(
        &self,
        given: &Given,
        asked: &Asked,
        options: Options,
        by: &Cred,
    ) -> Result<(Arc<Super>, Dentry), Errno> {
        let (room, root) = self.made.furnished()?;
        let kept = self.made.kept().map(|kept| kept.numbers);
        let overlay = Overlay::new(&root, options, &by.user, kept)?;
        let mut shown = given.shown_flags();
        shown.push(asked.shown());
        let sb = self.super_of("overlay", &by.user).with_options(&shown.join(","));
        let sb = sb.keeping(Box::new(room));
        let writable = overlay.has_upper();
        let made = self.settle_super(sb, root, given, What::Overlay(Arc::new(overlay)))?;
        if !writable {
            made.0.set_readonly(true);
        }
        Ok(made)
    }

    /// The host's sysfs, wherever that has it mounted.
    ///
    /// # Errors
    /// ENODEV if it does not; EINVAL for any option.
    pub(crate) fn make_sysfs(
        &self,
        given: &Given,
        owner: &nsproxy::Arc<UserNs>,
    ) -> Result<(Arc<Super>, Dentry), Errno> {
        given.none()?;
        let told = self.told.get().ok_or(Errno::NODEV)?;
        let same = told.table.iter().find(|mount| mount.sb.kind() == "sysfs");
        let spot = same.and_then(|mount| self.spot(mount.root)).ok_or(Errno::NODEV)?;
        let root = rustix::io::fcntl_dupfd_cloexec(&spot.fd, 0)?;
        let sb = self.super_of("sysfs", owner).revealing();
        self.settle_super(sb, root, given, What::OfHost)
    }

    fn super_of(&self, kind: &str, owner: &nsproxy::Arc<UserNs>) -> Super {
        let id = self.next_super();
        Super::new(id, kind, (0, minor(id)), owner)
    }

    fn settle_super(
        &self,
        sb: Super,
        root: OwnedFd,
        given: &Given,
        what: What,
    ) -> Result<(Arc<Super>, Dentry), Errno> {
        sb.set_readonly(given.is_readonly());
        let sb = Arc::new(sb);
        let root = self.enter_root(sb.id(), root)?;
        self.note_made(&sb, what);
        Ok((sb, root))
    }

    fn note_made(&self, sb: &Arc<Super>, what: What) {
        let made = Made { sb: Arc::downgrade(sb), what: Arc::new(what) };
        self.made.by_id.write().insert(sb.id(), made);
    }

    /// Checks options that are given one after the other, for a file system of a type.
    ///
    /// # Errors
    /// EINVAL.
    pub(crate) fn check_options(
        &self,
        kind: &str,
        given: &Given,
        user: &UserNs,
    ) -> Result<(), Errno> {
        match kind {
            "tmpfs" => Tmpfs::of(0, 0).change(given, user, None),
            "ramfs" => options::ramfs_mode(given).map(drop),
            "devpts" => Devpts::default().change(given, user),
            "proc" => options::check_proc(given),
            "overlay" => Asked::read(given).map(drop),
            "cgroup" | "cgroup2" => self.cgroup_options(kind, given).map(drop),
            _ => given.none(),
        }
    }

    /// What a file system of a guest's holds.
    ///
    /// # Errors
    /// Those of opening it.
    pub(crate) fn used(&self, super_id: u64) -> Result<Usage, Errno> {
        match self.spot(Dentry { super_id, id: 0 }) {
            Some(top) => usage(&top.fd),
            None => Ok(Usage::default()),
        }
    }

    /// Takes room for one file more in a file system; false if it has none.
    pub(crate) fn take_room(&self, super_id: u64) -> bool {
        match self.made.get(super_id).as_deref() {
            Some(What::Tmpfs(limits, taken)) => {
                let limit = limits.lock().inodes;
                taken.take(limit, || self.used(super_id).unwrap_or_default().inodes)
            }
            _ => true,
        }
    }

    /// The file was not made after all.
    pub(crate) fn give_room_back(&self, super_id: u64) {
        if let Some(What::Tmpfs(_, taken)) = self.made.get(super_id).as_deref() {
            taken.give_back();
        }
    }

    /// Changes the options of a file system of a guest's: the second half of a remount.
    ///
    /// # Errors
    /// EINVAL; EROFS where nothing can be written.
    pub(crate) fn reconfigure(
        &self,
        sb: &Super,
        given: &Given,
        user: &UserNs,
    ) -> Result<(), Errno> {
        let Some(what) = self.made.get(sb.id()) else { return Ok(()) };
        match &*what {
            What::Tmpfs(limits, _) => {
                // What nobody can look into, nobody can be told of.
                let used = self.used(sb.id()).unwrap_or_default();
                let mut limits = limits.lock();
                limits.change(given, user, Some(used))?;
                sb.set_options(&limits.shown(given));
            }
            What::Devpts(pts) => sb.set_options(&pts.reconfigure(given, user)?),
            What::Ramfs => drop(options::ramfs_mode(given)?),
            What::Proc(_) => options::check_proc(given)?,
            // What it is made of stays, whatever is asked for.
            What::Overlay(overlay) if overlay.has_upper() || given.is_readonly() => {}
            What::Overlay(_) => return Err(Errno::ROFS),
            What::Mqueue(_) | What::OfHost => given.none()?,
        }
        Ok(())
    }

    /// What is behind a file system that a guest has mounted.
    pub(crate) fn made(&self, super_id: u64) -> Option<Arc<What>> {
        self.made.get(super_id)
    }
}

/// The minor number of a file system of ours.
pub(super) fn minor(super_id: u64) -> u32 {
    (LAST_MINOR - super_id % (LAST_MINOR / 2)) as u32
}

fn enter(room: &Room) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(room.as_fd(), ROOT_NAME, flags, Mode::empty())
}
