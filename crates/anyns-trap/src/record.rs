//! Files of the host's `/proc` that are one record, which the kernel gives whole to the first read.

use std::os::fd::{AsFd, OwnedFd};

use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::Tid;

/// A record is shorter, but for one that is read again.
const RECORD: usize = 4096;

/// Reads one.
///
/// # Errors
/// Those of open(2) and read(2): ENOENT and ESRCH for a thread that is no more.
pub fn record(path: &str) -> Result<Vec<u8>, Errno> {
    anew(open(path)?)
}

fn open(path: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// One that is open, as it is now.
fn anew(file: impl AsFd) -> Result<Vec<u8>, Errno> {
    let mut text = vec![0; RECORD];
    let mut len = 0;
    loop {
        let got = rustix::io::pread(&file, &mut text[len..], len as u64)?;
        len += got;
        if len < text.len() {
            // A long one that came in parts has an end of its own; a short one needs no second look.
            if got == 0 || len < RECORD {
                text.truncate(len);
                return Ok(text);
            }
        } else {
            text.resize(len * 2, 0);
        }
    }
}

/// The one that was read last, kept open: who is asked about is asked about again, and to find and
/// open a file of `/proc` takes a quarter of what its text takes.
///
/// An open one stays that of the process for which it was opened, whoever has its number later: of
/// one that is dead there is no text. Taken out while somebody reads it.
#[derive(Debug, Default)]
pub struct Last(Mutex<Option<(String, OwnedFd)>>);

impl Last {
    /// Reads one.
    ///
    /// # Errors
    /// Those of [`record`].
    pub fn read(&self, path: String) -> Result<Vec<u8>, Errno> {
        let known = self.0.lock().take().filter(|(known, _)| *known == path);
        if let Some((path, file)) = known
            && let Ok(text) = anew(&file)
        {
            *self.0.lock() = Some((path, file));
            return Ok(text);
        }
        let file = open(&path)?;
        let text = anew(&file)?;
        let old = self.0.lock().replace((path, file));
        drop(old);
        Ok(text)
    }
}

/// A file of `/proc/TID` as text. A thread may have any bytes for a name.
pub(crate) fn of_thread(tid: Tid, name: &str) -> Result<String, Errno> {
    let bytes = record(&format!("/proc/{tid}/{name}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_ones_are_whole() {
        let short = record("/proc/self/comm").expect("it is there");
        assert_eq!(short, std::fs::read("/proc/self/comm").unwrap());
        let long = record("/proc/stat").expect("it is there");
        let lines = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(lines(&long), lines(&std::fs::read("/proc/stat").unwrap()));
        assert!(long.ends_with(b"\n"));
        assert_eq!(record("/proc/self/nothing"), Err(Errno::NOENT));
    }

    #[test]
    fn a_name_may_be_any_bytes() {
        let reader = std::thread::spawn(|| {
            rustix::thread::set_name(c"\xff) 1").expect("a name");
            of_thread(Tid(rustix::thread::gettid().as_raw_nonzero().get()), "stat")
        });
        let stat = reader.join().expect("it reads").expect("it is there");
        assert!(stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('R')), "{stat}");
    }
}
