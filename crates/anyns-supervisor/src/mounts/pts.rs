//! A devpts of a guest's: terminals of the host's, of which it shows those that were made through its
//! own `ptmx`.
//!
//! A number means the same terminal inside and on the host. It is the guest's as long as the very
//! object lives that was made then: when its master is closed, the host gives the number to others.
//!
//! The root directory and `ptmx` are the host's, and belong to its root. A directory and a file of ours
//! have the attributes instead, so that who mounted it may change them, as Nix does. The directory is
//! the root's of the user namespace; where there is none, it is nobody's, and shows as the host's does.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use nsproxy::UserNs;
use parking_lot::Mutex;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::options::{Devpts, Given};
use super::stand_in::shown_as;
use crate::procfs::own_path;

/// Where the host's terminals are.
const HOSTS: &str = "/dev/pts";
/// What makes one, there.
const MULTIPLEXER: &str = "/dev/ptmx";
/// The name of it here.
const NAME: &str = "ptmx";
/// Mode of the root directory.
const ROOT_MODE: Mode = Mode::from_bits_retain(0o755);

/// The terminals of one file system.
#[derive(Debug)]
pub(crate) struct Pts {
    options: Mutex<Devpts>,
    made: Mutex<BTreeMap<u32, OwnedFd>>,
    /// What has the root directory's attributes, and in it what has `ptmx`'s.
    root: Option<OwnedFd>,
    ptmx: OwnedFd,
}

impl Pts {
    /// One without terminals for a user namespace; `root` is an empty directory of ours.
    ///
    /// # Errors
    /// ENODEV if the host has none to give; those of making a file.
    pub(super) fn new(options: Devpts, user: &UserNs, root: OwnedFd) -> Result<Pts, Errno> {
        if ![HOSTS, MULTIPLEXER].iter().all(|path| std::path::Path::new(path).exists()) {
            return Err(Errno::NODEV);
        }
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::openat(&root, NAME, flags, Mode::RUSR)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let ptmx = rustix::fs::openat(&root, NAME, flags, Mode::empty())?;
        set_mode(&ptmx, options.ptmx())?;
        set_mode(&root, ROOT_MODE)?;
        let root = user.map_uid(0).map(|_| root);
        Ok(Pts { options: Mutex::new(options), made: Mutex::default(), root, ptmx })
    }

    /// Whether something is what makes terminals, or a terminal's master.
    pub(crate) fn is_multiplexer(stat: &Stat) -> bool {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == rustix::fs::makedev(5, 2)
    }

    /// What has the attributes of something that it shows, and these in the place of the host's;
    /// none of a terminal, which has its own.
    pub(crate) fn attributes(&self, of: &Stat) -> Option<(OwnedFd, Stat)> {
        let has = match FileType::from_raw_mode(of.st_mode) {
            FileType::Directory => self.root.as_ref()?,
            _ if Pts::is_multiplexer(of) => &self.ptmx,
            _ => return None,
        };
        shown_as(has, of)
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
        set_mode(&self.ptmx, options.ptmx())?;
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
        let _ = set_mode(&slave, Mode::from_raw_mode(mode));
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

fn set_mode(of: &OwnedFd, mode: Mode) -> Result<(), Errno> {
    rustix::fs::chmodat(rustix::fs::CWD, own_path(of), mode, AtFlags::empty())
}

/// A terminal loses its name when its master is closed.
fn is_alive(slave: &OwnedFd) -> bool {
    rustix::fs::fstat(slave).is_ok_and(|stat| stat.st_nlink > 0)
}

#[cfg(test)]
mod tests {
    use super::super::made::All;
    use super::*;
    use anyns_trap::store::Room;

    /// One, and what keeps its directory.
    fn one(options: Devpts) -> (Pts, (Room, All)) {
        let all = All::default();
        let (room, root) = all.furnished().expect("a directory");
        let user = nsproxy::System::new(nsproxy::Config::default()).init_user();
        (Pts::new(options, &user, root).expect("the host has terminals"), (room, all))
    }

    #[test]
    fn what_mounted_it_owns_its_root_and_its_multiplexer() {
        let mut options = Devpts::default();
        options.ptmxmode = 0o640;
        let (pts, _kept) = one(options);
        let seen = |path| pts.attributes(&rustix::fs::stat(path).expect("is there"));
        let (_, root) = seen(HOSTS).expect("it has attributes");
        assert_eq!(root.st_mode, libc::S_IFDIR | 0o755);
        let (object, ptmx) = seen(MULTIPLEXER).expect("it has attributes");
        assert_eq!(ptmx.st_mode, libc::S_IFCHR | 0o640);
        assert_eq!(ptmx.st_uid, rustix::process::geteuid().as_raw());
        set_mode(&object, Mode::from_raw_mode(0o666)).expect("it is ours");
        assert_eq!(seen(MULTIPLEXER).map(|(_, stat)| stat.st_mode), Some(libc::S_IFCHR | 0o666));
        assert!(seen("/dev/null").is_none());
    }

    #[test]
    fn a_terminal_is_shown_as_long_as_its_master_is_open() {
        let (pts, _kept) = one(Devpts::default());
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
