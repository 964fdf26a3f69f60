//! How full a directory of ours is, for the limits of a tmpfs.
//!
//! The host knows no limit for a directory, so it is counted when somebody asks.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

/// A page: the block of a tmpfs.
const PAGE: u64 = 4096;
/// So many files are counted; whoever keeps more gets a number that is too low.
const MOST: u64 = 50_000;
/// So many directories may be one in the other.
const DEEPEST: usize = 100;

/// What a directory holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Pages of contents.
    pub(crate) blocks: u64,
    /// Files and directories, itself included.
    pub(crate) inodes: u64,
}

/// How many files a tmpfs holds at most: what is removed is not heard of, but counted anew when it seems
/// to be full.
#[derive(Debug)]
pub(crate) struct Taken(AtomicU64);

impl Taken {
    /// Of one in which nobody has counted.
    pub(crate) fn unknown() -> Taken {
        Taken(AtomicU64::new(u64::MAX))
    }

    /// Takes room for one file more, of so many; false if there is none. `count` says how many there are.
    pub(crate) fn take(&self, limit: Option<u64>, count: impl FnOnce() -> u64) -> bool {
        // More are not counted.
        let Some(limit) = limit.filter(|limit| *limit < MOST) else {
            self.0.store(u64::MAX, Ordering::Relaxed);
            return true;
        };
        let one_more = |taken: u64| (taken < limit).then(|| taken + 1);
        if self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok() {
            return true;
        }
        self.0.store(count(), Ordering::Release);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    /// The file was not made after all.
    pub(crate) fn give_back(&self) {
        let one_less = |taken: u64| (taken != u64::MAX).then(|| taken.saturating_sub(1));
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less);
    }
}

/// Counts what is in a directory and below.
///
/// # Errors
/// Those of opening it.
pub(crate) fn usage(top: impl AsFd) -> Result<Usage, Errno> {
    let mut sum = Usage { blocks: 0, inodes: 1 };
    let mut open = vec![enter(top, c".")?];
    while let Some(directory) = open.last_mut() {
        let Some(Ok(entry)) = directory.next() else {
            open.pop();
            continue;
        };
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let at = directory.fd()?;
        let Ok(stat) = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        sum.inodes += 1;
        if sum.inodes >= MOST {
            break;
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                if let Ok(below) = enter(at, name)
                    && open.len() < DEEPEST
                {
                    open.push(below);
                }
            }
            FileType::RegularFile => sum.blocks += (stat.st_blocks as u64 * 512).div_ceil(PAGE),
            _ => {}
        }
    }
    Ok(sum)
}

fn enter(at: impl AsFd, name: &std::ffi::CStr) -> Result<rustix::fs::Dir, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd: OwnedFd = rustix::fs::openat(at, name, flags, Mode::empty())?;
    rustix::fs::Dir::new(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_full_is_counted_anew() {
        let taken = Taken::unknown();
        assert!(taken.take(Some(3), || 1), "the root directory");
        assert!(taken.take(Some(3), || unreachable!("there is room")));
        assert!(!taken.take(Some(3), || 3));
        assert!(taken.take(Some(3), || 2), "one was removed");
        taken.give_back();
        assert!(taken.take(Some(3), || unreachable!("there is room")));
        assert!(taken.take(None, || unreachable!("there is no limit")));
        assert!(!taken.take(Some(3), || 3), "nobody has counted");
    }

    #[test]
    fn everything_is_counted() {
        let here = std::env::temp_dir().join(format!("anyns-usage-{}", std::process::id()));
        std::fs::create_dir_all(here.join("a/b")).unwrap();
        std::fs::write(here.join("a/file"), [7; 5000]).unwrap();
        let top = std::fs::File::open(&here).unwrap();
        let found = usage(&top).unwrap();
        assert_eq!(found.inodes, 4);
        assert!(found.blocks >= 1);
        std::fs::remove_dir_all(here).unwrap();
    }
}
