//! Directories of the host for what guests keep in file systems of their own, none of which outlives
//! us.
//!
//! Each user of this host has one directory, in the first place that will do; each supervisor has one
//! in that, locked as long as it lives, and each file system a [`Room`] in this. A room's directory goes
//! with the room, a store's with the store. What a SIGKILL leaves has lost its lock, and is recognised
//! by that: [`sweep`] is called by whoever of the chain survives, and by the next start.
//!
//! Guests are the same user as we, so the kernel would let them in. That no path of theirs leads here
//! is for the embedder to see to: [`Store::guarded`] says what to look out for.

mod remove;

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;

/// The store of this process, for an end of it that drops nothing.
static OWN: Mutex<Weak<Inner>> = Mutex::new(Weak::new());

/// How often a directory is made again that somebody swept in the same moment.
const ATTEMPTS: usize = 64;

/// The directory of one supervisor.
#[derive(Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The user's directory, and its place.
    above: OwnedFd,
    place: PathBuf,
    /// This supervisor's directory, locked, and its name.
    own: OwnedFd,
    name: OsString,
    next: AtomicU64,
}

/// The directory of one file system.
#[derive(Debug)]
pub struct Room {
    directory: OwnedFd,
    name: String,
    store: Arc<Inner>,
}

impl Store {
    /// Makes one, in the first of the usual places for passing things where files can be executed, or
    /// in the first at all.
    ///
    /// # Errors
    /// The last place's.
    pub fn open() -> Result<Store, Errno> {
        let mut why = Errno::NOENT;
        for executable in [true, false] {
            for place in places() {
                match open_in(place, executable) {
                    Ok(inner) => {
                        let inner = Arc::new(inner);
                        *OWN.lock() = Arc::downgrade(&inner);
                        return Ok(Store { inner });
                    }
                    Err(errno) => why = errno,
                }
            }
        }
        Err(why)
    }

    /// Makes a directory in it, which only we can enter.
    ///
    /// # Errors
    /// Those of mkdir(2) and open(2).
    pub fn room(&self) -> Result<Room, Errno> {
        let name = self.inner.next.fetch_add(1, Ordering::Relaxed).to_string();
        let directory = make(self.inner.own.as_fd(), &name)?;
        Ok(Room { directory, name, store: self.inner.clone() })
    }

    /// The path of the directory of all stores of this user.
    pub fn path(&self) -> Vec<u8> {
        let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&self.inner.above));
        let path = rustix::fs::readlink(link, Vec::new()).map(std::ffi::CString::into_bytes);
        path.unwrap_or_else(|_| {
            std::os::unix::ffi::OsStrExt::as_bytes(self.inner.place.as_os_str()).to_vec()
        })
    }

    /// The directory of all stores of this user: its device and inode number, and its name. No guest
    /// should get into it by any path.
    pub fn guarded(&self) -> Result<(u64, u64, OsString), Errno> {
        let stat = rustix::fs::fstat(&self.inner.above)?;
        let name = self.inner.place.file_name().unwrap_or_default();
        Ok((stat.st_dev, stat.st_ino, name.to_owned()))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.inner.remove();
    }
}

impl Inner {
    fn remove(&self) {
        let _ = remove::tree(self.above.as_fd(), &self.name);
        leave_place(&self.place);
    }
}

impl AsFd for Room {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Drop for Room {
    /// A big one takes its time, and whoever drops it may have others waiting.
    fn drop(&mut self) {
        let (store, name) = (self.store.clone(), std::mem::take(&mut self.name));
        let work = move || {
            // What cannot be removed now goes with the store, or is swept.
            let _ = remove::tree(store.own.as_fd(), &name);
        };
        let again = work.clone();
        let started = crate::spawn("anyns-tidy", work);
        if started.is_err() {
            again();
        }
    }
}

/// Removes the store of this process, if it has one: its guests are dead.
pub fn remove_own() {
    let own = OWN.lock().upgrade();
    if let Some(own) = own {
        own.remove();
    }
}

/// Removes what supervisors of this user left that are dead. Returns how many there were.
pub fn sweep() -> usize {
    places().map(|place| sweep_in(&place)).sum()
}

fn sweep_in(place: &PathBuf) -> usize {
    let Ok(above) = enter(CWD, place) else { return 0 };
    let Ok(listing) = rustix::fs::Dir::read_from(&above) else { return 0 };
    let names = listing.flatten().map(|entry| entry.file_name().to_owned());
    let names = names.filter(|name| !matches!(name.to_bytes(), b"." | b".."));
    let dead = names.filter(|name| {
        // Whose directory it is was checked; what an interrupted removal left in it may have any mode.
        let Ok(own) = remove::open(above.as_fd(), name) else { return false };
        let free = rustix::fs::flock(&own, FlockOperation::NonBlockingLockExclusive).is_ok();
        free && remove::tree(above.as_fd(), name).is_ok()
    });
    let swept = dead.count();
    leave_place(place);
    swept
}

/// The user's directory goes when it is empty.
fn leave_place(place: &PathBuf) {
    let _ = rustix::fs::unlinkat(CWD, place, AtFlags::REMOVEDIR);
}

/// Where a user's directory may be.
fn places() -> impl Iterator<Item = PathBuf> {
    let user = format!("anyns-{}", rustix::process::geteuid().as_raw());
    let given = ["XDG_RUNTIME_DIR", "TMPDIR"].map(|name| std::env::var_os(name).map(PathBuf::from));
    let known = ["/tmp", "/var/tmp", "/dev/shm"].map(|path| Some(PathBuf::from(path)));
    let all = given.into_iter().chain(known).flatten().filter(|path| path.is_absolute());
    all.map(move |base| base.join(&user))
}

fn open_in(place: PathBuf, executable: bool) -> Result<Inner, Errno> {
    let base = place.parent().ok_or(Errno::NOENT)?;
    if executable {
        let flags = rustix::fs::statvfs(base)?.f_flag;
        if flags.intersects(StatVfsMountFlags::NOEXEC) {
            return Err(Errno::ACCESS);
        }
    }
    let me = std::process::id();
    for attempt in 0..ATTEMPTS {
        let above = match make(CWD, &place) {
            Err(Errno::EXIST) => enter(CWD, &place),
            other => other,
        };
        let above = match above {
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        let name = OsString::from(format!("{me}.{attempt}"));
        let own = match make(above.as_fd(), &name) {
            // Swept, the user's directory with it; or one of a dead process of this number.
            Err(Errno::NOENT | Errno::EXIST) => continue,
            other => other?,
        };
        // Between the two a sweep may have found it unlocked.
        let locked = rustix::fs::flock(&own, FlockOperation::NonBlockingLockExclusive).is_ok();
        if locked && rustix::fs::fstat(&own)?.st_nlink > 0 {
            return Ok(Inner { above, place, own, name, next: AtomicU64::new(0) });
        }
    }
    Err(Errno::AGAIN)
}

/// Makes a directory for us alone, whatever the umask is.
fn make(at: BorrowedFd<'_>, name: impl rustix::path::Arg + Copy) -> Result<OwnedFd, Errno> {
    rustix::fs::mkdirat(at, name, Mode::RWXU)?;
    let made = enter(at, name)?;
    rustix::fs::fchmod(&made, Mode::RWXU)?;
    Ok(made)
}

/// Opens a directory that is ours, and nobody else's.
fn enter(at: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = rustix::fs::openat(at, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&found)?;
    let ours = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o077 == 0;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    if ours && is_directory { Ok(found) } else { Err(Errno::PERM) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn path_of(fd: impl AsFd) -> PathBuf {
        use std::os::fd::AsRawFd;
        let link = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
        std::fs::read_link(link).expect("a path")
    }

    fn until_gone(path: &std::path::Path) {
        for _ in 0..1000 {
            if !path.exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("{path:?} is still there");
    }

    #[test]
    fn a_room_goes_with_all_that_is_in_it() {
        let store = Store::open().expect("a store");
        let room = store.room().expect("a room");
        let path = path_of(&room);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::create_dir_all(path.join("a/b/c")).unwrap();
        std::fs::write(path.join("a/b/file"), "x").unwrap();
        std::os::unix::fs::symlink("/", path.join("a/link")).unwrap();
        for mode in [path.join("a/b/c"), path.join("a/b")] {
            std::fs::set_permissions(mode, std::fs::Permissions::from_mode(0o0)).unwrap();
        }
        drop(room);
        until_gone(&path);
        let other = path_of(store.room().expect("another"));
        drop(store);
        until_gone(other.parent().unwrap());
    }

    #[test]
    fn a_deep_one_goes() {
        let store = Store::open().expect("a store");
        let room = store.room().expect("a room");
        let path = path_of(&room);
        let mut at = room.as_fd().try_clone_to_owned().unwrap();
        for _ in 0..3000 {
            at = make(at.as_fd(), "a-name-that-makes-paths-long").unwrap();
        }
        drop(room);
        until_gone(&path);
    }

    #[test]
    fn only_what_is_not_locked_is_swept() {
        let store = Store::open().expect("a store");
        let room = store.room().expect("a room");
        let path = path_of(&room);
        let above = path.parent().unwrap().parent().unwrap();
        let left = above.join("1.dead");
        std::fs::create_dir_all(left.join("0/x")).unwrap();
        std::fs::set_permissions(&left, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(sweep() >= 1);
        assert!(!left.exists() && path.exists());
    }
}
