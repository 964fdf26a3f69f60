//! The directories and files that something is mounted on, that a mount shows, or that are somebody's
//! root or working directory: objects of the host, interned.
//!
//! The model knows a directory as a number within a file system. Here a number stands for an object
//! that we hold open, so that no name is looked up twice; 0 is a file system's root. What the host
//! itself has mounted something on cannot be seen by anybody and is known by that mount.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use nsproxy::Dentry;
use parking_lot::RwLock;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use crate::maps::HashMap;
use crate::procfs;

/// The number of every file system's root.
pub(crate) const ROOT: u64 = 0;

/// What the kernel puts behind the path of what was removed.
const DELETED: &[u8] = b" (deleted)";

/// So many seconds after it was interned something may be on its way to the model.
const YOUNG: u64 = 30;

/// Seconds since we began.
fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs()
}

/// What tells an object of the host from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Device of its file system.
    pub(crate) dev: u64,
    /// Its number there.
    pub(crate) ino: u64,
    /// The host's mount that it was reached through.
    pub(crate) mnt: u64,
    /// Its type.
    pub(crate) kind: FileType,
    /// When it was made, if its file system remembers that: numbers are given again.
    pub(crate) born: Option<(i64, u32)>,
}

impl Identity {
    /// Looks at an object.
    ///
    /// # Errors
    /// Those of statx(2).
    pub(crate) fn of(fd: impl AsFd) -> Result<Identity, Errno> {
        Identity::at(fd.as_fd(), c"", AtFlags::EMPTY_PATH)
    }

    /// Looks at what a path names.
    ///
    /// # Errors
    /// Those of statx(2).
    pub(crate) fn at(
        base: BorrowedFd<'_>,
        path: impl rustix::path::Arg,
        flags: AtFlags,
    ) -> Result<Identity, Errno> {
        let mask = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::MNT_ID | StatxFlags::BTIME;
        let statx = rustix::fs::statx(base, path, flags | AtFlags::NO_AUTOMOUNT, mask)?;
        Ok(Identity {
            dev: rustix::fs::makedev(statx.stx_dev_major, statx.stx_dev_minor),
            ino: statx.stx_ino,
            mnt: statx.stx_mnt_id,
            kind: FileType::from_raw_mode(statx.stx_mode.into()),
            born: (statx.stx_mask & StatxFlags::BTIME.bits() != 0)
                .then_some((statx.stx_btime.tv_sec, statx.stx_btime.tv_nsec)),
        })
    }

    /// Whether both are one object, seen through whichever mount.
    pub(crate) fn is_same(&self, other: &Identity) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }

    /// Whether it is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.kind == FileType::Directory
    }
}

/// What an object is known by in its file system.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// One that can be seen. A file goes by its name, too, since it may have several.
    Inode(u64, u64, Option<Vec<u8>>),
    /// What the first of the host's mounts with this number, one over the other, is mounted on.
    Under(u64),
}

/// An interned object.
#[derive(Debug)]
pub(crate) struct Spot {
    /// The object, opened with O_PATH; if it is covered, what the host shows in its place.
    pub(crate) fd: Arc<OwnedFd>,
    /// What `fd` is.
    pub(crate) identity: Identity,
    /// It is a directory.
    pub(crate) directory: bool,
    /// The host has mounted something over it, so that nobody can see it.
    pub(crate) covered: bool,
    /// Where it was on the host when it was interned.
    pub(crate) text: Vec<u8>,
    /// Its path in its file system, where that cannot be asked for.
    name: Option<Vec<u8>>,
    /// When somebody last had it, in seconds.
    had: AtomicU64,
}

/// A mount of the host's.
#[derive(Clone, Debug)]
pub(super) struct HostAt {
    /// Where it is mounted.
    pub(super) at: Vec<u8>,
    /// Which directory of its file system it shows.
    pub(super) root: Vec<u8>,
    /// The first of the mounts over one another to which it belongs.
    pub(super) first: u64,
}

/// The interned objects.
#[derive(Debug, Default)]
pub(super) struct Spots {
    known: RwLock<Known>,
    next: AtomicU64,
    host: OnceLock<HashMap<u64, HostAt>>,
}

#[derive(Debug, Default)]
struct Known {
    numbers: HashMap<(u64, Key), u64>,
    spots: HashMap<Dentry, (Arc<Spot>, Key)>,
    /// File systems in which every directory that is mounted on counts as one made for that.
    made_for_mounts: Vec<u64>,
}

impl Spots {
    /// Notes the host's mounts, once.
    pub(super) fn note_host(&self, mounts: HashMap<u64, HostAt>) {
        let _ = self.host.set(mounts);
    }

    /// The first of the host's mounts over one another to which `mnt` belongs, if it was there when
    /// we began.
    pub(super) fn first_of(&self, mnt: u64) -> Option<u64> {
        Some(self.host.get()?.get(&mnt)?.first)
    }

    /// What an object is known by. `above` is the host's mount of the directory it was found in: if
    /// that is another one, the object covers the one that is meant.
    pub(super) fn key(&self, fd: &OwnedFd, seen: &Identity, above: Option<u64>) -> Key {
        if above.is_some_and(|above| above != seen.mnt) {
            return Key::Under(self.first_of(seen.mnt).unwrap_or(seen.mnt));
        }
        let name = (!seen.is_directory()).then(|| {
            let text = procfs::descriptor_path(fd).unwrap_or_default();
            text.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec()
        });
        Key::Inode(seen.dev, seen.ino, name)
    }

    /// An object that is seen in another place than it lies in: beside the root of its file system, at a
    /// path of the host's.
    pub(super) fn called(&self, spot: Spot, super_id: u64, text: &[u8]) -> Spot {
        let root = self.spot(Dentry { super_id, id: ROOT });
        let name = root.map(|root| self.in_file_system(root.identity.mnt, text));
        Spot { name, ..spot }
    }

    /// Interns an object.
    pub(super) fn enter(&self, super_id: u64, key: Key, spot: Spot) -> Dentry {
        self.insert(super_id, key, spot, None)
    }

    /// Interns the root of a file system.
    pub(super) fn enter_root(&self, super_id: u64, key: Key, spot: Spot) -> Dentry {
        self.insert(super_id, key, spot, Some(ROOT))
    }

    fn insert(&self, super_id: u64, key: Key, spot: Spot, number: Option<u64>) -> Dentry {
        let mut known = self.known.write();
        if let Some(&id) = known.numbers.get(&(super_id, key.clone())) {
            return Dentry { super_id, id };
        }
        let id = number.unwrap_or_else(|| self.next.fetch_add(1, Ordering::Relaxed) + 1);
        let dentry = Dentry { super_id, id };
        known.numbers.insert((super_id, key.clone()), id);
        known.spots.insert(dentry, (Arc::new(spot), key));
        dentry
    }

    /// The number of an object that is interned.
    pub(super) fn known(&self, super_id: u64, key: &Key) -> Option<Dentry> {
        let known = self.known.read();
        let id = *known.numbers.get(&(super_id, key.clone()))?;
        let dentry = Dentry { super_id, id };
        known.spots.get(&dentry)?.0.had.store(now(), Ordering::Relaxed);
        Some(dentry)
    }

    /// An interned object.
    pub(super) fn spot(&self, dentry: Dentry) -> Option<Arc<Spot>> {
        Some(self.known.read().spots.get(&dentry)?.0.clone())
    }

    /// Says that what is mounted on places of a file system covers nothing that anybody else
    /// could show.
    pub(super) fn note_made_for_mounts(&self, super_id: u64) {
        self.known.write().made_for_mounts.push(super_id);
    }

    /// Forgets the objects of a file system that is gone.
    pub(super) fn forget_super(&self, super_id: u64) {
        let mut known = self.known.write();
        let mut gone = Vec::new();
        known.numbers.retain(|(of, _), _| *of != super_id);
        known.spots.retain(|dentry, (spot, _)| {
            let stays = dentry.super_id != super_id;
            if !stays {
                gone.push(spot.clone());
            }
            stays
        });
        known.made_for_mounts.retain(|of| *of != super_id);
        drop(known);
        drop(gone);
    }

    /// Forgets the objects that nothing refers to, but for those that somebody may be about to use.
    pub(super) fn keep(&self, used: impl Fn(Dentry) -> bool) {
        let mut gone = Vec::new();
        let mut known = self.known.write();
        let Known { numbers, spots, .. } = &mut *known;
        spots.retain(|dentry, (spot, key)| {
            let stays = dentry.id == ROOT
                || used(*dentry)
                || spot.had.load(Ordering::Relaxed) + YOUNG > now();
            if !stays {
                numbers.remove(&(dentry.super_id, key.clone()));
                gone.push(spot.clone());
            }
            stays
        });
        drop(known);
        drop(gone);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.known.read().spots.len()
    }

    /// Whether what is mounted on places of a file system covers nothing that anybody else could show.
    pub(super) fn is_made_for_mounts(&self, super_id: u64) -> bool {
        self.known.read().made_for_mounts.contains(&super_id)
    }

    /// Its path in the file system of the host's that it is in.
    pub(super) fn name(&self, spot: &Spot) -> Vec<u8> {
        self.name_by(spot, &spot.path())
    }

    /// The same, of which the path on the host has been asked for.
    pub(super) fn name_by(&self, spot: &Spot, path: &[u8]) -> Vec<u8> {
        if let Some(name) = &spot.name {
            return name.clone();
        }
        let path = path.strip_suffix(DELETED).filter(|_| spot.is_gone()).unwrap_or(path);
        self.in_file_system(spot.identity.mnt, path)
    }

    /// A path of the host's, seen through a mount of the host's, as one in its file system.
    fn in_file_system(&self, mnt: u64, text: &[u8]) -> Vec<u8> {
        let host = self.host.get().and_then(|host| host.get(&mnt));
        let below = host.and_then(|host| Some(joined(&host.root, below(text, &host.at)?)));
        below.unwrap_or_else(|| trimmed(text).to_vec())
    }

    /// The names from `above` down to an object, if it is below.
    pub(super) fn object_below(
        &self,
        fd: &OwnedFd,
        above: Dentry,
    ) -> Result<Option<Vec<u8>>, Errno> {
        let text = procfs::descriptor_path(fd)?;
        let name = match text.ends_with(DELETED) {
            true => self.name(&Spot::new(rustix::io::fcntl_dupfd_cloexec(fd, 0)?)?),
            false => self.in_file_system(Identity::of(fd)?.mnt, &text),
        };
        let Some(above) = self.spot(above) else { return Ok(None) };
        Ok(below(&name, &self.name(&above)).map(<[u8]>::to_vec))
    }

    /// The same of a path of the host's.
    pub(super) fn text_below(&self, text: &[u8], above: Dentry) -> Result<Option<Vec<u8>>, Errno> {
        let Some(above) = self.spot(above) else { return Ok(None) };
        Ok(below(text, &procfs::descriptor_path(&above.fd)?).map(<[u8]>::to_vec))
    }
}

impl Spot {
    /// An object that can be seen.
    ///
    /// # Errors
    /// Those of statx(2).
    pub(crate) fn new(fd: OwnedFd) -> Result<Spot, Errno> {
        let identity = Identity::of(&fd)?;
        let directory = identity.is_directory();
        let text = procfs::descriptor_path(&fd)?;
        Ok(Spot {
            fd: Arc::new(fd),
            identity,
            directory,
            covered: false,
            text,
            name: None,
            had: AtomicU64::new(now()),
        })
    }

    /// One that cannot: `fd` is what the host shows in its place, `name` its path.
    pub(super) fn covered(fd: OwnedFd, name: Vec<u8>) -> Result<Spot, Errno> {
        let spot = Spot::new(fd)?;
        Ok(Spot { covered: true, name: Some(name), ..spot })
    }

    /// Its path on the host, as the kernel shows it now; empty for what cannot be seen.
    pub(super) fn path(&self) -> Vec<u8> {
        match self.covered {
            true => Vec::new(),
            false => procfs::descriptor_path(&self.fd).unwrap_or_default(),
        }
    }

    /// Whether its path says that it was removed, as far as a path can say that.
    pub(super) fn may_be_gone(path: &[u8]) -> bool {
        path.ends_with(DELETED)
    }

    /// Whether it was removed from the directory it was in.
    pub(crate) fn is_gone(&self) -> bool {
        if self.covered {
            return false;
        }
        if rustix::fs::fstat(&self.fd).is_ok_and(|stat| stat.st_nlink == 0) {
            return true;
        }
        // A file may have other names.
        let Ok(text) = procfs::descriptor_path(&self.fd) else { return false };
        text.ends_with(DELETED)
            && !Identity::at(CWD, text.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|now| now.is_same(&self.identity))
    }

    /// Its last name, as it is now.
    pub(crate) fn last_name(&self) -> Vec<u8> {
        let text = match &self.name {
            Some(name) => name.clone(),
            None => self.path(),
        };
        text.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec()
    }
}

/// Opens a path of the host's, without following a link at its end.
pub(super) fn open_path(path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::empty())
}

/// Without slashes at its ends.
pub(super) fn trimmed(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(start, |last| last + 1);
    &path[start..end]
}

/// Two paths, one after the other, without slashes at the ends.
pub(super) fn joined(one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut all = trimmed(one).to_vec();
    let other = trimmed(other);
    if !all.is_empty() && !other.is_empty() {
        all.push(b'/');
    }
    all.extend_from_slice(other);
    all
}

/// Whether a directory of the host's is `root` or below it, as the kernel names both at one moment.
pub(super) fn is_below(fd: &OwnedFd, root: &Spot) -> Result<bool, Errno> {
    loop {
        let above = procfs::descriptor_path(&root.fd)?;
        let text = procfs::descriptor_path(fd)?;
        if procfs::descriptor_path(&root.fd)? == above {
            return Ok(below(&text, &above).is_some());
        }
    }
}

/// What of `path` is below `above`; nothing if it is not there. Neither has slashes in vain.
pub(crate) fn below<'a>(path: &'a [u8], above: &[u8]) -> Option<&'a [u8]> {
    let above = above.strip_suffix(b"/").unwrap_or(above);
    let rest = path.strip_prefix(above)?;
    match above.is_empty() || rest.is_empty() {
        true => Some(rest.strip_prefix(b"/").unwrap_or(rest)),
        false => rest.strip_prefix(b"/"),
    }
}

#[cfg(test)]
mod tests {
    use nsproxy::Files;

    use super::super::moment::Moment;
    use super::*;

    #[test]
    fn what_is_below_what() {
        let below = |path: &'static str, above: &str| below(path.as_bytes(), above.as_bytes());
        assert_eq!(below("/a/b", "/a"), Some(&b"b"[..]));
        assert_eq!(below("a/b/c", "a"), Some(&b"b/c"[..]));
        assert_eq!(below("/ab", "/a"), None);
        assert_eq!(below("/a", "/a"), Some(&b""[..]));
        assert_eq!(below("/a", "/"), Some(&b"a"[..]));
        assert_eq!(below("a/b", ""), Some(&b"a/b"[..]));
        assert_eq!(below("", ""), Some(&b""[..]));
        assert_eq!(below("/b", "/a"), None);
    }

    fn enter(spots: &Spots, super_id: u64, path: &str) -> Dentry {
        let fd = open_path(path.as_bytes()).unwrap();
        let seen = Identity::of(&fd).unwrap();
        spots.enter(super_id, spots.key(&fd, &seen, None), Spot::new(fd).unwrap())
    }

    #[test]
    fn objects_are_found_again_and_know_what_is_below_what() {
        let here = std::env::temp_dir().join(format!("anyns-spots-{}", std::process::id()));
        std::fs::create_dir_all(here.join("a/b")).unwrap();
        let path = |name: &str| here.join(name).to_str().unwrap().to_owned();
        let spots = Spots::default();
        let (a, b) = (enter(&spots, 1, &path("a")), enter(&spots, 1, &path("a/b")));
        assert_eq!(enter(&spots, 1, &path("a/b/../b")), b);
        let now = Moment::new(&spots);
        assert!(now.is_below(b, a) && !now.is_below(a, b) && now.is_directory(b));
        assert_eq!(now.path(b, a), b"b");
        std::fs::rename(path("a/b"), path("c")).unwrap();
        let now = Moment::new(&spots);
        assert!(!now.is_below(b, a));
        assert_eq!(enter(&spots, 1, &path("c")), b);
        std::fs::remove_dir(path("c")).unwrap();
        let now = Moment::new(&spots);
        assert!(now.is_unlinked(b) && !now.is_unlinked(a));
        spots.keep(|dentry| dentry == a);
        assert_eq!(spots.len(), 2);
        std::fs::remove_dir_all(here).unwrap();
    }
}
