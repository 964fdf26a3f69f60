//! Names made, removed and moved in an overlay: in the uppermost layer, where a *whiteout* stands for a
//! name that only lower layers have, and that is gone.
//!
//! What comes in the place of a whiteout is made in the work directory and put there by one rename, so
//! that what is below never shows meanwhile.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, RenameFlags, XattrFlags};
use rustix::io::Errno;

use super::listing::{clear, show};
use super::{Entry, Overlay, PATH, Stack, WHITEOUT};
use crate::procfs::own_path;

/// A directory that something is to be changed in.
struct Within {
    path: Vec<u8>,
    stack: std::sync::Arc<Stack>,
}

/// What is under a name.
struct Named {
    entry: Option<Entry>,
    /// The uppermost layer has something there: this.
    upper: Option<FileType>,
    /// That is a whiteout.
    whiteout: bool,
    /// A lower layer shows something there, if the uppermost one does not.
    lower: bool,
}

impl Named {
    fn is_directory(&self) -> bool {
        matches!(self.entry, Some(Entry::Directory(_)))
    }

    /// A directory that nothing is merged into, all of which can be moved.
    fn is_pure(&self) -> bool {
        match &self.entry {
            Some(Entry::Directory(stack)) => !stack.is_merged() && self.upper.is_some(),
            _ => true,
        }
    }
}

impl Overlay {
    /// Puts something new under a name: `make` makes it in a directory.
    ///
    /// # Errors
    /// EEXIST; EACCES; EIO for a directory in the place of what was removed, where it cannot be marked;
    /// those of `make`.
    pub(crate) fn put<T>(
        &self,
        at: &OwnedFd,
        name: &CStr,
        sort: FileType,
        make: impl Fn(&OwnedFd, &CStr) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let _turn = self.turn.lock();
        let within = self.within(at)?;
        let named = self.named(&within, name.to_bytes())?;
        if named.entry.is_some() {
            return Err(Errno::EXIST);
        }
        self.may_change(&within)?;
        let upper = self.upper(&within.path)?;
        let made = match named.whiteout {
            false => make(&upper, name)?,
            true => self.instead(&upper, name, sort, &make)?,
        };
        if sort == FileType::Directory {
            self.forget();
        }
        // It is done, whatever the mirror lists until somebody looks.
        let _ = show(at, name.to_bytes(), Some(sort));
        Ok(made)
    }

    /// Makes something in the place of a whiteout.
    fn instead<T>(
        &self,
        upper: &OwnedFd,
        name: &CStr,
        sort: FileType,
        make: impl Fn(&OwnedFd, &CStr) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let (work, temporary) = (self.work()?, self.temporary());
        let made = make(work, &temporary)?;
        let is_directory = sort == FileType::Directory;
        let placed = match is_directory {
            false => rustix::fs::renameat(work, &*temporary, upper, name),
            true => {
                let directory = rustix::fs::openat(work, &*temporary, PATH, Mode::empty())?;
                match self.make_opaque(&directory) {
                    true => exchange(work, &temporary, upper, name),
                    false => Err(Errno::IO),
                }
            }
        };
        if is_directory || placed.is_err() {
            // The whiteout, or what could not take its place.
            let _ = clear_any(work, &temporary);
        }
        placed.map(|()| made)
    }

    /// Removes a name.
    ///
    /// # Errors
    /// ENOENT, EISDIR, ENOTDIR, ENOTEMPTY, EACCES; EIO for a directory with whiteouts that cannot be marked.
    pub(crate) fn remove(&self, at: &OwnedFd, name: &CStr, directory: bool) -> Result<(), Errno> {
        let _turn = self.turn.lock();
        let within = self.within(at)?;
        let named = self.named(&within, name.to_bytes())?;
        match (&named.entry, directory) {
            (None, _) => return Err(Errno::NOENT),
            (Some(Entry::Directory(_)), false) => return Err(Errno::ISDIR),
            (Some(Entry::Other { .. }), true) => return Err(Errno::NOTDIR),
            (Some(_), _) => {}
        }
        self.may_change(&within)?;
        may_take(&within, &named)?;
        self.may_be_emptied(&named)?;
        let upper = self.upper(&within.path)?;
        match (named.lower, named.upper) {
            (true, there) => self.whiteout(&upper, name, there)?,
            (false, Some(FileType::Directory)) => {
                // Whiteouts may be in it.
                let (work, temporary) = (self.work()?, self.temporary());
                rustix::fs::renameat(&*upper, name, work, &*temporary)?;
                let _ = clear(work, temporary.to_bytes());
            }
            (false, _) => rustix::fs::unlinkat(&*upper, name, AtFlags::empty())?,
        }
        if named.is_directory() {
            self.forget();
        }
        let _ = show(at, name.to_bytes(), None);
        Ok(())
    }

    /// Checks that a directory shows nothing, and that what hides what is below can be given up.
    fn may_be_emptied(&self, named: &Named) -> Result<(), Errno> {
        let Some(Entry::Directory(stack)) = &named.entry else { return Ok(()) };
        if !self.names(stack)?.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        // The kernel puts an opaque directory there first, which it can mark or not.
        let hides = named.upper.is_some() && holds_anything(stack.top()?)?;
        if hides && !self.marks { Err(Errno::IO) } else { Ok(()) }
    }

    /// Moves a name, as renameat2(2) does.
    ///
    /// # Errors
    /// Those of rename(2); EXDEV for a directory that lower layers have a part in.
    pub(crate) fn rename(
        &self,
        from: (&OwnedFd, &CStr),
        to: (&OwnedFd, &CStr),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        if flags.contains(RenameFlags::WHITEOUT) {
            return Err(Errno::INVAL);
        }
        let exchanges = flags.contains(RenameFlags::EXCHANGE);
        let _turn = self.turn.lock();
        let (here, there) = (self.within(from.0)?, self.within(to.0)?);
        let old = self.named(&here, from.1.to_bytes())?;
        let new = self.named(&there, to.1.to_bytes())?;
        let Some(entry) = &old.entry else { return Err(Errno::NOENT) };
        match (&new.entry, exchanges) {
            (None, true) => return Err(Errno::NOENT),
            (Some(_), _) if flags.contains(RenameFlags::NOREPLACE) => return Err(Errno::EXIST),
            _ => {}
        }
        // Into itself.
        let moved = joined(&here.path, from.1.to_bytes());
        let target = joined(&there.path, to.1.to_bytes());
        if old.is_directory() && is_within(&there.path, &moved) {
            return Err(Errno::INVAL);
        }
        if new.is_directory() && is_within(&here.path, &target) {
            return Err(if exchanges { Errno::INVAL } else { Errno::NOTEMPTY });
        }
        if moved == target {
            return Ok(());
        }
        // Names of one file in a lower layer are files of their own.
        if let (
            Entry::Other { stat: one, layer: 0, .. },
            Some(Entry::Other { stat: other, layer: 0, .. }),
        ) = (entry, &new.entry)
            && (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
        {
            return Ok(());
        }
        match &new.entry {
            Some(_) if !exchanges && old.is_directory() && !new.is_directory() => {
                return Err(Errno::NOTDIR);
            }
            Some(_) if !exchanges && !old.is_directory() && new.is_directory() => {
                return Err(Errno::ISDIR);
            }
            _ => {}
        }
        self.may_change(&here)?;
        self.may_change(&there)?;
        may_take(&here, &old)?;
        may_take(&there, &new)?;
        if !old.is_pure() || exchanges && !new.is_pure() {
            return Err(Errno::XDEV);
        }
        // What only the uppermost layer has is looked at last, as by the kernel, which leaves that to the
        // layer's own file system.
        let looks_first = !exchanges && !new.is_pure();
        if looks_first {
            self.may_be_emptied(&new)?;
        }
        self.raise(&moved, &old)?;
        if exchanges {
            self.raise(&target, &new)?;
        }
        let (upper, above) = (self.upper(&here.path)?, self.upper(&there.path)?);
        if old.is_directory() && there.stack.has_lower() {
            self.mark_moved(&upper, from.1)?;
        }
        if !exchanges && !looks_first {
            self.may_be_emptied(&new)?;
        }
        if exchanges {
            if new.is_directory() && here.stack.has_lower() {
                self.mark_moved(&above, to.1)?;
            }
            exchange(&upper, from.1, &above, to.1)?;
            let _ = swap_shown(from, to);
        } else {
            self.move_over((&upper, from.1), (&above, to.1), (&old, &new))?;
            let _ = move_shown(from, to, &old);
        }
        self.forget();
        Ok(())
    }

    /// Moves something in the uppermost layer over whatever that has there.
    fn move_over(
        &self,
        from: (&OwnedFd, &CStr),
        to: (&OwnedFd, &CStr),
        (old, new): (&Named, &Named),
    ) -> Result<(), Errno> {
        let is_directory = old.is_directory();
        if is_directory && new.upper.is_some() {
            // What is there is no directory, or one with whiteouts: it goes the other way first.
            exchange(from.0, from.1, to.0, to.1)?;
            return match old.lower {
                true if new.whiteout => Ok(()),
                true => self.whiteout(from.0, from.1, new.upper),
                false => {
                    let _ = clear_any(from.0, from.1);
                    Ok(())
                }
            };
        }
        if !old.lower {
            return rustix::fs::renameat(from.0, from.1, to.0, to.1);
        }
        if self.devices {
            let flags = RenameFlags::WHITEOUT;
            match rustix::fs::renameat_with(from.0, from.1, to.0, to.1, flags) {
                Err(Errno::INVAL | Errno::PERM | Errno::NOSYS) => {}
                other => return other,
            }
        }
        // In the work directory it takes the name of what goes.
        let (work, temporary) = (self.work()?, self.temporary());
        self.make_whiteout(work, &temporary)?;
        exchange(work, &temporary, from.0, from.1)?;
        rustix::fs::renameat(work, &*temporary, to.0, to.1)
    }

    /// Marks a directory that is about to be moved to where something may be below.
    fn mark_moved(&self, upper: &OwnedFd, name: &CStr) -> Result<(), Errno> {
        let directory = rustix::fs::openat(upper, name, PATH, Mode::empty())?;
        match self.is_opaque(&directory) || self.make_opaque(&directory) {
            true => Ok(()),
            false => Err(Errno::XDEV),
        }
    }

    /// Copies up what is to be moved.
    fn raise(&self, path: &[u8], named: &Named) -> Result<(), Errno> {
        match (&named.entry, named.upper) {
            (Some(Entry::Other { .. }), None) => self.copied(path, |_| true).map(drop),
            _ => Ok(()),
        }
    }

    fn within(&self, at: &OwnedFd) -> Result<Within, Errno> {
        self.work()?;
        let path = self.path_of(at)?;
        let stack = self.stack(&path)?;
        Ok(Within { path, stack })
    }

    fn named(&self, within: &Within, name: &[u8]) -> Result<Named, Errno> {
        let stack = &*within.stack;
        let entry = match self.below(stack, name) {
            Ok(entry) => Some(entry),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(errno),
        };
        let mut named = Named { entry, upper: None, whiteout: false, lower: false };
        for (layer, directory) in &stack.0 {
            let Some((fd, stat)) = self.look(directory, name)? else { continue };
            let whiteout = self.is_whiteout(&fd, &stat);
            if *layer == 0 {
                named.upper = Some(FileType::from_raw_mode(stat.st_mode));
                named.whiteout = whiteout;
                continue;
            }
            named.lower = !whiteout;
            break;
        }
        Ok(named)
    }

    /// Checks that names may be changed in a directory, as shown: the copy of it may be another's.
    fn may_change(&self, within: &Within) -> Result<(), Errno> {
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        let path = own_path(within.stack.top()?);
        rustix::fs::accessat(rustix::fs::CWD, path, wanted, AtFlags::EACCESS)
    }

    /// Puts a whiteout under a name of the uppermost layer, in the place of what is there.
    fn whiteout(&self, upper: &OwnedFd, name: &CStr, there: Option<FileType>) -> Result<(), Errno> {
        let Some(there) = there else { return self.make_whiteout(upper, name) };
        let (work, temporary) = (self.work()?, self.temporary());
        self.make_whiteout(work, &temporary)?;
        if there != FileType::Directory {
            return rustix::fs::renameat(work, &*temporary, upper, name);
        }
        exchange(work, &temporary, upper, name)?;
        let _ = clear(work, temporary.to_bytes());
        Ok(())
    }

    fn make_whiteout(&self, at: &OwnedFd, name: &CStr) -> Result<(), Errno> {
        if self.devices {
            return rustix::fs::mknodat(at, name, FileType::CharacterDevice, Mode::empty(), 0);
        }
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(at, name, flags, mode)?;
        rustix::fs::fsetxattr(&file, WHITEOUT, b"y", XattrFlags::empty())
    }
}

/// Checks that a name may be taken out of a directory where everybody may make some (`S_ISVTX`).
fn may_take(within: &Within, named: &Named) -> Result<(), Errno> {
    let owner = match &named.entry {
        None => return Ok(()),
        Some(Entry::Other { stat, .. }) => stat.st_uid,
        Some(Entry::Directory(stack)) => rustix::fs::fstat(stack.top()?)?.st_uid,
    };
    let above = rustix::fs::fstat(within.stack.top()?)?;
    let own = rustix::process::geteuid().as_raw();
    let free = above.st_mode & libc::S_ISVTX == 0 || [owner, above.st_uid].contains(&own);
    if free || own == 0 { Ok(()) } else { Err(Errno::PERM) }
}

fn exchange(from: &OwnedFd, old: &CStr, to: &OwnedFd, new: &CStr) -> Result<(), Errno> {
    rustix::fs::renameat_with(from, old, to, new, RenameFlags::EXCHANGE)
}

/// Removes whatever has a name.
fn clear_any(at: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(at, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => clear(at, name.to_bytes()),
        other => other,
    }
}

fn holds_anything(directory: &OwnedFd) -> Result<bool, Errno> {
    let mut names = rustix::fs::Dir::new(super::opened(directory)?)?;
    let real = |entry: &rustix::fs::DirEntry| !matches!(entry.file_name().to_bytes(), b"." | b"..");
    Ok(names.any(|entry| entry.is_ok_and(|entry| real(&entry))))
}

/// Has the mirror list what was moved under its new name.
fn move_shown(from: (&OwnedFd, &CStr), to: (&OwnedFd, &CStr), old: &Named) -> Result<(), Errno> {
    show(to.0, to.1.to_bytes(), None)?;
    match &old.entry {
        Some(Entry::Other { stat, .. }) => {
            show(from.0, from.1.to_bytes(), None)?;
            show(to.0, to.1.to_bytes(), Some(FileType::from_raw_mode(stat.st_mode)))
        }
        // Somebody may have it open, or be in it: it is the same directory.
        _ => {
            drop(super::reflected(from.0, from.1.to_bytes())?);
            rustix::fs::renameat(from.0, from.1, to.0, to.1)
        }
    }
}

fn swap_shown(from: (&OwnedFd, &CStr), to: (&OwnedFd, &CStr)) -> Result<(), Errno> {
    for (at, name) in [from, to] {
        match rustix::fs::accessat(at, name, Access::EXISTS, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => show(at, name.to_bytes(), Some(FileType::RegularFile))?,
            other => other?,
        }
    }
    exchange(from.0, from.1, to.0, to.1)
}

fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    match path.is_empty() {
        true => name.to_vec(),
        false => [path, b"/", name].concat(),
    }
}

fn is_within(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}
