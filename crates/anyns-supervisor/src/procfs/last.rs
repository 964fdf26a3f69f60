//! The record of `/proc` that was read last, kept open: who reads its own status reads it again, and to
//! find and open a file of `/proc` takes a quarter of what its text takes.
//!
//! An open one stays that of the process for which it was opened, whoever has its number later: of one
//! that is dead there is no text.

use std::os::fd::OwnedFd;

use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::record;

/// It, with its path. Taken out while somebody reads it.
#[derive(Debug, Default)]
pub(crate) struct Last(Mutex<Option<(String, OwnedFd)>>);

impl Last {
    /// Reads a file that the kernel gives whole to the first read.
    ///
    /// # Errors
    /// Those of open(2) and read(2).
    pub(crate) fn read(&self, path: String) -> Result<Vec<u8>, Errno> {
        let known = self.0.lock().take().filter(|(known, _)| *known == path);
        if let Some((path, file)) = known
            && let Ok(text) = record(&file, &path)
        {
            *self.0.lock() = Some((path, file));
            return Ok(text);
        }
        let file = rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let text = record(&file, &path)?;
        let old = self.0.lock().replace((path, file));
        drop(old);
        Ok(text)
    }
}
