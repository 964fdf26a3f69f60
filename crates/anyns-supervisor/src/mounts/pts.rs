//! A devpts of a guest's: terminals of the host's, of which it shows those that were made through its
//! own `ptmx`.
//!
//! A number means the same terminal inside and on the host. It is the guest's as long as the very
//! object lives that was made then: when its master is closed, the host gives the number to others.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};

use nsproxy::UserNs;
use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::options::{Devpts, Given};

/// Where the host's terminals are.
const HOSTS: &str = "/dev/pts";
/// What makes one, there.
const MULTIPLEXER: &str = "/dev/ptmx";

/// The terminals of one file system.
#[derive(Debug)]
pub(crate) struct Pts {
    options: Mutex<Devpts>,
    made: Mutex<BTreeMap<u32, OwnedFd>>,
}

impl Pts {
    /// One without terminals.
    ///
    /// # Errors
    /// ENODEV if the host has none to give.
    pub(super) fn new(options: Devpts) -> Result<Pts, Errno> {
        let there = [HOSTS, MULTIPLEXER].iter().all(|path| std::path::Path::new(path).exists());
        match there {
            true => Ok(Pts { options: Mutex::new(options), made: Mutex::default() }),
            false => Err(Errno::NODEV),
        }
    }

    /// The directory that stands for its root.
    pub(super) fn root(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(HOSTS, flags, Mode::empty())
    }

    /// Changes its options, and says how they are shown.
    pub(super) fn reconfigure(&self, given: &Given, user: &UserNs) -> Result<String, Errno> {
        let mut options = self.options.lock();
        options.change(given, user)?;
        Ok(options.shown(given))
    }

    /// Opens its `ptmx`: makes a terminal, and returns its master.
    ///
    /// # Errors
    /// ENOSPC if there are too many; those of open(2).
    pub(crate) fn open_ptmx(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let (mode, max) = {
            let options = self.options.lock();
            (options.mode, options.max)
        };
        let mut made = self.made.lock();
        made.retain(|_, slave| is_alive(slave));
        if made.len() as u64 >= u64::from(max) {
            return Err(Errno::NOSPC);
        }
        let master =
            rustix::fs::open(MULTIPLEXER, flags | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let name = rustix::pty::ptsname(&master, Vec::new())?;
        let number = name.to_str().ok().and_then(|name| name.rsplit('/').next()?.parse().ok());
        let number: u32 = number.ok_or(Errno::IO)?;
        let slave = rustix::fs::open(
            format!("{HOSTS}/{number}"),
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        // The host has its own opinion of the mode; the terminal is ours.
        let _ = rustix::fs::chmod(
            format!("/proc/self/fd/{}", slave.as_raw_fd()),
            Mode::from_raw_mode(mode),
        );
        made.insert(number, slave);
        Ok(master)
    }

    /// The terminal of a number, if there is one: a descriptor of it, opened with O_PATH.
    pub(crate) fn shows(&self, number: u32) -> Option<OwnedFd> {
        let made = self.made.lock();
        let slave = made.get(&number).filter(|slave| is_alive(slave))?;
        rustix::io::fcntl_dupfd_cloexec(slave, 0).ok()
    }

    /// Whether there is a terminal of a number.
    pub(crate) fn has(&self, number: u32) -> bool {
        self.made.lock().get(&number).is_some_and(is_alive)
    }

    /// The numbers of all.
    #[cfg(test)]
    pub(crate) fn numbers(&self) -> Vec<u32> {
        let made = self.made.lock();
        made.iter().filter(|(_, slave)| is_alive(slave)).map(|(number, _)| *number).collect()
    }
}

/// A terminal loses its name when its master is closed.
fn is_alive(slave: &OwnedFd) -> bool {
    rustix::fs::fstat(slave).is_ok_and(|stat| stat.st_nlink > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_shown_as_long_as_its_master_is_open() {
        let Ok(pts) = Pts::new(Devpts::default()) else { return };
        assert!(pts.numbers().is_empty());
        let master = pts.open_ptmx(OFlags::RDWR).expect("a terminal");
        let [number] = pts.numbers()[..] else { panic!("one") };
        assert!(pts.shows(number).is_some() && pts.shows(number + 1).is_none());
        assert!(pts.has(number) && !pts.has(number + 1));
        drop(master);
        assert!(pts.numbers().is_empty());
        assert!(pts.shows(number).is_none());
    }
}
