//! Paths that are longer than the kernel tells: `/proc/self/fd` has no more than a page for one. A program
//! comes there by descriptors and `..`, step by step, as `rm -r` and `find` do.
//!
//! What is above is asked for its path until one is short enough; the names below it are looked for in the
//! directories themselves.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::short_path;

/// The path of a directory.
///
/// # Errors
/// ENAMETOOLONG if it is no directory, was removed, or lies where we may not look.
pub(super) fn path_of(fd: impl AsFd) -> Result<Vec<u8>, Errno> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut at = up(&fd, c".")?;
    loop {
        let above = up(&at, c"..")?;
        names.push(name_in(&above, &at)?);
        match short_path(&above) {
            Ok(mut text) => {
                for name in names.iter().rev() {
                    if !text.ends_with(b"/") {
                        text.push(b'/');
                    }
                    text.extend_from_slice(name);
                }
                return Ok(text);
            }
            Err(Errno::NAMETOOLONG) => at = above,
            Err(errno) => return Err(errno),
        }
    }
}

fn up(fd: impl AsFd, path: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(fd, path, flags, Mode::empty()).map_err(|_| Errno::NAMETOOLONG)
}

/// The name of a directory in the one above.
fn name_in(above: &OwnedFd, below: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let look = || {
        let wanted = rustix::fs::fstat(below)?;
        let same = |stat: Stat| (stat.st_dev, stat.st_ino) == (wanted.st_dev, wanted.st_ino);
        let list = rustix::fs::openat(above, c".", flags, Mode::empty())?;
        for entry in Dir::new(list)? {
            let entry = entry?;
            let name = entry.file_name();
            if entry.ino() == wanted.st_ino
                && rustix::fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(same)
            {
                return Ok(name.to_bytes().to_vec());
            }
        }
        Err(Errno::NOENT)
    };
    look().map_err(|_| Errno::NAMETOOLONG)
}

#[cfg(test)]
mod tests {
    use rustix::fs::CWD;

    use super::*;

    #[test]
    fn a_path_of_two_pages() {
        let top = std::env::temp_dir().join(format!("anyns-deep-{}", std::process::id()));
        std::fs::create_dir(&top).expect("a directory");
        let name = "x".repeat(200);
        let mut at = rustix::fs::openat(CWD, &top, OFlags::PATH, Mode::empty()).expect("it");
        let start = super::super::descriptor_path(&at).expect("a short path");
        for depth in 1..=40 {
            rustix::fs::mkdirat(&at, &*name, Mode::RWXU).expect("a directory");
            rustix::fs::mkdirat(&at, "beside", Mode::RWXU).expect("a directory");
            at = rustix::fs::openat(&at, &*name, OFlags::PATH, Mode::empty()).expect("it");
            let path = super::super::descriptor_path(&at).expect("its path");
            assert_eq!(path.len(), start.len() + depth * (name.len() + 1));
            assert!(path.starts_with(&start) && path.ends_with(name.as_bytes()));
        }
        std::fs::remove_dir_all(&top).expect("nobody else was there");
    }
}
