//! Copying up: what is to be changed is copied to the uppermost layer first, with its directories.
//!
//! It is made in the work directory and gets its name when it is complete, so that nobody sees a part.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nsproxy::{Kgid, Kuid};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::listing::clear;
use super::{Entry, OPAQUE, OWN, Overlay, PATH, WHITEOUT, split};
use crate::procfs::{descriptor_path, own_path, reopen};
use crate::vfs::Place;

/// The directory in the work directory that is ours, as it is the kernel's.
const WORK: &str = "work";
/// So many copies are remembered.
const COPIES: usize = 512;
/// So much is copied in one call.
const CHUNK: usize = 1 << 30;

impl Overlay {
    /// Makes the place where changes are prepared, and finds out what a whiteout is there.
    pub(super) fn prepare(&mut self, work: &OwnedFd) -> Result<(), Errno> {
        clear_left(work)?;
        rustix::fs::mkdirat(work, WORK, Mode::RWXU)?;
        let flags = PATH | OFlags::DIRECTORY;
        let work = rustix::fs::openat(work, WORK, flags, Mode::empty())?;
        let upper = self.layers.first().ok_or(Errno::INVAL)?;
        // What is made here is renamed there.
        let (device, probe) = (c"#device", c"#probe");
        let mode = Mode::RUSR | Mode::WUSR;
        let made = rustix::fs::mknodat(&work, device, FileType::CharacterDevice, mode, 0);
        // Where that is a whiteout of the host's own, it may be refused, or gone at once.
        let there = rustix::fs::statat(&work, device, AtFlags::SYMLINK_NOFOLLOW);
        self.devices = made.is_ok() && there.is_ok_and(|stat| stat.st_rdev == 0);
        let _ = rustix::fs::unlinkat(&work, device, AtFlags::empty());
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&work, probe, flags, mode)?;
        if !self.devices {
            let marked = rustix::fs::fsetxattr(&file, WHITEOUT, b"y", XattrFlags::empty());
            marked.map_err(|_| Errno::INVAL)?;
        }
        // What is silently lost is no mark.
        self.marks = self.make_opaque(&work) && self.is_opaque(&work);
        let _ = rustix::fs::removexattr(own_path(&work), OPAQUE);
        let moved = self.temporary();
        let movable = rustix::fs::renameat(&work, probe, upper, &*moved);
        let _ = rustix::fs::unlinkat(upper, &*moved, AtFlags::empty());
        let _ = rustix::fs::unlinkat(&work, probe, AtFlags::empty());
        movable.map_err(|_| Errno::INVAL)?;
        self.work = Some(work);
        Ok(())
    }

    pub(super) fn work(&self) -> Result<&OwnedFd, Errno> {
        self.work.as_ref().ok_or(Errno::ROFS)
    }

    /// A name in the work directory that nothing has.
    pub(super) fn temporary(&self) -> CString {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        CString::new(format!("#{number:x}")).unwrap_or_default()
    }

    /// What was found, in the uppermost layer, to be changed there.
    ///
    /// # Errors
    /// EROFS without such a layer; EOVERFLOW if its owner has no number in the overlay's user namespace;
    /// those of copying it.
    pub(crate) fn raised(&self, place: &Place) -> Result<OwnedFd, Errno> {
        self.work()?;
        let _turn = self.turn.lock();
        if FileType::from_raw_mode(place.stat.st_mode) == FileType::Directory {
            let upper = self.upper(&self.path_of(&place.fd)?)?;
            return rustix::io::fcntl_dupfd_cloexec(&upper, 0);
        }
        let (layer, path) = self.layer_of(&descriptor_path(&place.fd)?).ok_or(Errno::NOENT)?;
        if layer == 0 {
            return rustix::io::fcntl_dupfd_cloexec(&place.fd, 0);
        }
        let found = rustix::fs::fstat(&place.fd)?;
        if let Some(copy) = self.copy_of(&found, path.clone()) {
            return Ok(copy);
        }
        let is_same = |stat: &Stat| (stat.st_dev, stat.st_ino) == (found.st_dev, found.st_ino);
        match self.copied(&path, is_same) {
            // It has lost its name, and is open.
            Err(Errno::NOENT | Errno::NOTDIR) => self.copied_nameless(&place.fd, &found, path),
            copy => copy,
        }
    }

    /// A directory in the uppermost layer, by its path, while nobody else changes anything.
    pub(super) fn upper(&self, path: &[u8]) -> Result<Arc<OwnedFd>, Errno> {
        let work = self.work()?;
        let stack = self.stack(path)?;
        if let Some((0, upper)) = stack.0.first() {
            return Ok(upper.clone());
        }
        let (above, name) = split(path).ok_or(Errno::NOENT)?;
        let parent = self.upper(above)?;
        let from = stack.top()?;
        let stat = rustix::fs::fstat(from)?;
        self.is_mapped(&stat)?;
        let temporary = self.temporary();
        rustix::fs::mkdirat(work, &*temporary, Mode::RWXU)?;
        let made = rustix::fs::openat(work, &*temporary, PATH | OFlags::DIRECTORY, Mode::empty());
        let placed = made.and_then(|made| {
            self.dress(from, &stat, &made)?;
            let flags = RenameFlags::NOREPLACE;
            rustix::fs::renameat_with(work, &*temporary, &*parent, name, flags)?;
            Ok(Arc::new(made))
        });
        if placed.is_err() {
            let _ = clear(work, temporary.to_bytes());
        }
        self.forget();
        placed
    }

    /// What is no directory, by its path, in the uppermost layer. It has to be the same that was found.
    pub(super) fn copied(
        &self,
        path: &[u8],
        is_same: impl Fn(&Stat) -> bool,
    ) -> Result<OwnedFd, Errno> {
        let work = self.work()?;
        let (above, name) = split(path).ok_or(Errno::NOENT)?;
        let (from, stat) = match self.below(&*self.stack(above)?, name)? {
            // Another one may have its name.
            Entry::Other { fd, stat, layer: 0 } if is_same(&stat) => return Ok(fd),
            Entry::Other { fd, stat, layer: 1.. } if is_same(&stat) => (fd, stat),
            _ => return Err(Errno::NOENT),
        };
        self.is_mapped(&stat)?;
        let parent = self.upper(above)?;
        let temporary = self.temporary();
        let made = copy(&from, &stat, work, &temporary);
        let placed = made.and_then(|()| {
            let made = rustix::fs::openat(work, &*temporary, PATH, Mode::empty())?;
            self.dress(&from, &stat, &made)?;
            let flags = RenameFlags::NOREPLACE;
            rustix::fs::renameat_with(work, &*temporary, &*parent, name, flags)?;
            Ok(made)
        });
        if placed.is_err() {
            let _ = rustix::fs::unlinkat(work, &*temporary, AtFlags::empty());
        }
        let made = placed?;
        self.note_copy(&stat, path.to_vec(), &made)?;
        Ok(made)
    }

    /// The same of what has no name any more.
    fn copied_nameless(
        &self,
        from: &OwnedFd,
        stat: &Stat,
        path: Vec<u8>,
    ) -> Result<OwnedFd, Errno> {
        let (work, temporary) = (self.work()?, self.temporary());
        self.is_mapped(stat)?;
        let made = copy(from, stat, work, &temporary)
            .and_then(|()| rustix::fs::openat(work, &*temporary, PATH, Mode::empty()));
        let _ = rustix::fs::unlinkat(work, &*temporary, AtFlags::empty());
        let made = made?;
        self.dress(from, stat, &made)?;
        self.note_copy(stat, path, &made)?;
        Ok(made)
    }

    /// Remembers what a file was copied to.
    fn note_copy(&self, stat: &Stat, path: Vec<u8>, copy: &OwnedFd) -> Result<(), Errno> {
        let copy = Arc::new(rustix::io::fcntl_dupfd_cloexec(copy, 0)?);
        let mut copies = self.copies.write();
        if copies.len() >= COPIES {
            copies.clear();
        }
        copies.insert((stat.st_dev, stat.st_ino, path), copy);
        Ok(())
    }

    /// Checks that the owner of something can be given to a copy of it.
    fn is_mapped(&self, stat: &Stat) -> Result<(), Errno> {
        let known = self.owner.find_uid(Kuid(stat.st_uid)).is_some()
            && self.owner.find_gid(Kgid(stat.st_gid)).is_some();
        if known { Ok(()) } else { Err(Errno::OVERFLOW) }
    }

    /// Gives a copy the attributes of what it is a copy of.
    fn dress(&self, from: &OwnedFd, stat: &Stat, to: &OwnedFd) -> Result<(), Errno> {
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        let own = rustix::fs::fstat(to)?;
        if (own.st_uid, own.st_gid) != (stat.st_uid, stat.st_gid) {
            let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
            rustix::fs::chownat(to, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
        }
        if !is_link {
            copy_attributes(from, to)?;
            rustix::fs::chmod(own_path(to), Mode::from_raw_mode(stat.st_mode & 0o7777))?;
        }
        let time = |seconds, part| Timespec { tv_sec: seconds, tv_nsec: part };
        let times = Timestamps {
            last_access: time(stat.st_atime, stat.st_atime_nsec as _),
            last_modification: time(stat.st_mtime, stat.st_mtime_nsec as _),
        };
        rustix::fs::utimensat(to, c"", &times, AtFlags::EMPTY_PATH)
    }

    /// Marks a directory as one below which nothing shows; false where marks are not kept.
    pub(super) fn make_opaque(&self, directory: &OwnedFd) -> bool {
        self.marks
            && rustix::fs::setxattr(own_path(directory), OPAQUE, b"y", XattrFlags::empty()).is_ok()
    }
}

/// Removes what an overlay before has left in a work directory.
fn clear_left(work: &OwnedFd) -> Result<(), Errno> {
    match rustix::fs::openat(work, WORK, PATH | OFlags::DIRECTORY, Mode::empty()) {
        Ok(left) => {
            rustix::fs::chmod(own_path(&left), Mode::RWXU)?;
            clear(work, WORK.as_bytes())
        }
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Copies something that is no directory, contents alone.
fn copy(from: &OwnedFd, stat: &Stat, to: &OwnedFd, name: &CString) -> Result<(), Errno> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let from = reopen(from, flags)?;
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            let to = rustix::fs::openat(to, &**name, flags, Mode::RUSR | Mode::WUSR)?;
            copy_contents(&from, &to)
        }
        FileType::Symlink => {
            let text = rustix::fs::readlinkat(from, c"", Vec::new())?;
            rustix::fs::symlinkat(&*text, to, &**name)
        }
        sort => rustix::fs::mknodat(to, &**name, sort, Mode::empty(), stat.st_rdev),
    }
}

fn copy_contents(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    loop {
        match rustix::fs::copy_file_range(from, None, to, None, CHUNK) {
            Ok(0) => break,
            Ok(_) => {}
            // Not between these two file systems.
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => break,
            Err(errno) => return Err(errno),
        }
    }
    // What is left; and some file systems say that there is nothing though there is.
    loop {
        if rustix::fs::sendfile(to, from, None, CHUNK)? == 0 {
            return Ok(());
        }
    }
}

/// Copies the extended attributes that a user may set, but for the overlay's own.
fn copy_attributes(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    let (from, to) = (own_path(from), own_path(to));
    let mut names = vec![0; 64 << 10];
    let length = match rustix::fs::listxattr(&from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP | Errno::ACCESS) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let mut value = vec![0; 64 << 10];
    for name in names[..length].split(|byte| *byte == 0).filter(|name| name.starts_with(b"user.")) {
        if name.starts_with(OWN) {
            continue;
        }
        match rustix::fs::getxattr(&from, name, &mut value[..]) {
            Ok(length) => {
                rustix::fs::setxattr(&to, name, &value[..length], XattrFlags::empty())?;
            }
            Err(Errno::NODATA | Errno::ACCESS) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
