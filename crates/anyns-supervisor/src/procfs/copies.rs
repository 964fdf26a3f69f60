//! Texts for guests to read: files in memory, made at open, each read through a description of its own.
//!
//! To make such a file, fill it and free it takes as long as the text itself, so the last one of a
//! process is filled again, once that process has closed it, as it does before it opens the next.

use std::os::fd::{AsFd, OwnedFd};

use anyns_trap::raw;
use parking_lot::Mutex;
use rustix::fs::{MemfdFlags, OFlags};
use rustix::io::Errno;

use super::reopen;
use crate::cx::{Cx, Served, Verdict};
use crate::maps::HashMap;
use crate::trouble::Trouble;

/// So many processes have one kept.
const MAX: usize = 64;

const FOR_READING: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);

/// The files by the process that was given them: nobody else is to see what was written for it, should
/// it have kept a way to the file.
#[derive(Debug, Default)]
pub(crate) struct Copies(Mutex<HashMap<i32, Kept>>);

#[derive(Debug)]
struct Kept {
    file: OwnedFd,
    /// The same opened for reading. Who writes to a file that was made in memory is not counted among
    /// those who have it open, so that the kernel tells by this one whether there are others.
    readers: OwnedFd,
    length: usize,
}

impl Kept {
    fn new() -> Result<Kept, Errno> {
        let file = rustix::fs::memfd_create(c"proc", MemfdFlags::CLOEXEC)?;
        let readers = reopen(&file, FOR_READING)?;
        Ok(Kept { file, readers, length: 0 })
    }

    fn fill(&mut self, text: &[u8]) -> Result<(), Errno> {
        let mut done = 0;
        while done < text.len() {
            done += rustix::io::pwrite(&self.file, &text[done..], done as u64)?;
        }
        if self.length > text.len() {
            rustix::fs::ftruncate(&self.file, text.len() as u64)?;
        }
        self.length = text.len();
        Ok(())
    }
}

impl Copies {
    /// A file with this text, opened for reading.
    ///
    /// # Errors
    /// Those of memfd_create(2), write(2) and open(2).
    fn make(&self, process: i32, text: &[u8]) -> Result<OwnedFd, Errno> {
        let kept = self.0.lock().remove(&process);
        let mut kept = match kept.filter(|kept| raw::is_nobody_elses(kept.readers.as_fd())) {
            Some(kept) => kept,
            None => Kept::new()?,
        };
        kept.fill(text)?;
        let given = reopen(&kept.file, FOR_READING)?;
        let mut all = self.0.lock();
        if all.len() >= MAX {
            all.clear();
        }
        all.insert(process, kept);
        Ok(given)
    }
}

/// Gives the caller a copy of `text` to read.
pub(super) fn copy_of(cx: &Cx<'_>, text: &[u8], flags: OFlags) -> Served {
    let process = cx.guest().map_or(cx.tid(), |guest| guest.tgid);
    let made = cx.sup.copies.make(process, text);
    let fd = made.map_err(Trouble::host("making a copy of a file of /proc"))?;
    Ok(Verdict::Install { fd, cloexec: flags.contains(OFlags::CLOEXEC) })
}
