//! How full a directory of ours is, for the limits of a tmpfs.
//!
//! The host knows no limit for a directory, so it is counted when somebody asks.

use std::os::fd::{AsFd, OwnedFd};

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
