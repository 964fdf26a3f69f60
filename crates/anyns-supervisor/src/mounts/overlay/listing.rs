//! What a directory of an overlay lists. The names of the layers are put together in the mirror, which
//! the guest then reads itself: places in a listing are the host's to remember.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode};
use rustix::io::Errno;

use super::{Overlay, Stack, opened, reflected};
use crate::maps::HashSet;

impl Overlay {
    /// Has a directory of the mirror list what it shows now.
    ///
    /// # Errors
    /// EACCES if it may not be read; those of making stand-ins.
    pub(crate) fn list(&self, at: &OwnedFd) -> Result<(), Errno> {
        let _turn = self.turn.lock();
        let stack = match self.path_of(at).and_then(|path| self.stack(&path)) {
            Ok(stack) => stack,
            // One that was removed lists nothing.
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        let wanted = self.names(&stack)?;
        let mut shown = BTreeMap::new();
        for entry in Dir::new(opened(at)?)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                shown.insert(name.to_vec(), entry.file_type());
            }
        }
        for name in shown.keys().filter(|name| !wanted.contains_key(*name)) {
            show(at, name, None)?;
        }
        for (name, sort) in wanted {
            if shown.get(&name) != Some(&sort) {
                show(at, &name, Some(sort))?;
            }
        }
        Ok(())
    }

    /// What is in a directory, with its type.
    pub(super) fn names(&self, stack: &Stack) -> Result<BTreeMap<Vec<u8>, FileType>, Errno> {
        let mut all = BTreeMap::new();
        let mut hidden = HashSet::default();
        for (_, directory) in &stack.0 {
            for entry in Dir::new(opened(&**directory)?)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if matches!(name, b"." | b"..") || all.contains_key(name) || hidden.contains(name) {
                    continue;
                }
                let sort = match entry.file_type() {
                    sort @ (FileType::Symlink | FileType::Fifo | FileType::Socket) => sort,
                    FileType::RegularFile if self.devices => FileType::RegularFile,
                    // A whiteout, or what is kept from everybody.
                    _ => match self.look(directory, name)? {
                        Some((fd, stat)) if !self.is_whiteout(&fd, &stat) => {
                            FileType::from_raw_mode(stat.st_mode)
                        }
                        _ => {
                            hidden.insert(name.to_vec());
                            continue;
                        }
                    },
                };
                all.insert(name.to_vec(), sort);
            }
        }
        Ok(all)
    }
}

/// Has the mirror list a name as something of a type, or not at all.
pub(super) fn show(at: &OwnedFd, name: &[u8], sort: Option<FileType>) -> Result<(), Errno> {
    if sort == Some(FileType::Directory) {
        return reflected(at, name).map(drop);
    }
    match rustix::fs::unlinkat(at, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(Errno::ISDIR) => clear(at, name)?,
        Err(errno) => return Err(errno),
    }
    let made = match sort {
        None => Ok(()),
        Some(FileType::Symlink) => rustix::fs::symlinkat(c"stand-in", at, name),
        Some(sort) => {
            let made = rustix::fs::mknodat(at, name, sort, Mode::empty(), 0);
            match made {
                // Nobody but the machine's administrator makes these.
                Err(Errno::PERM) => {
                    rustix::fs::mknodat(at, name, FileType::RegularFile, Mode::empty(), 0)
                }
                made => made,
            }
        }
    };
    if made == Err(Errno::EXIST) { Ok(()) } else { made }
}

/// How often a directory is looked through that is not empty after all was removed: a file system may
/// pass over names while others are removed, and another overlay of the same layers may make some.
const ATTEMPTS: usize = 16;

/// Removes a directory with all that is in it.
pub(super) fn clear(at: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    let flags = super::PATH | rustix::fs::OFlags::DIRECTORY;
    let directory = match rustix::fs::openat(at, name, flags, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    for attempt in 1.. {
        empty(&directory)?;
        match rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY) if attempt < ATTEMPTS => {}
            Err(Errno::NOENT) => break,
            other => return other,
        }
    }
    Ok(())
}

fn empty(directory: &OwnedFd) -> Result<(), Errno> {
    for entry in Dir::new(opened(directory)?)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => clear(directory, name.to_bytes())?,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
