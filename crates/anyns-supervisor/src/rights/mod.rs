//! What CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH allow the root of a user namespace
//! (capabilities(7)): to use files of its own whose modes let nobody use them.
//!
//! The host lets us do no more than any other process of the user; but it lets the owner of a file
//! change its mode. So where it refuses for want of a bit that the caller needs not have, the owner's
//! bits are lifted, what was refused is done again, and before the call's end they are as they were.
//! Meanwhile the mode can be seen so, and the file's time of change is a new one.
//!
//! State: whose bits are lifted, and for how many calls.
//! Not here: what an overlay does with its layers.

mod paths;

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use nsproxy::{Cap, CapSet, Cred, Kgid, Kuid};
use parking_lot::Mutex;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Stat};
use rustix::io::Errno;

use crate::cx::Cx;
use crate::maps::HashMap;
use crate::procfs::own_path;

/// What is to be done: bits of a mode, as for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need(pub(crate) u32);

impl Need {
    /// To look names of a directory up.
    pub(crate) const SEARCH: Need = Need(0o1);
    /// To change its names.
    pub(crate) const CHANGE: Need = Need(0o3);
    /// To read.
    pub(crate) const READ: Need = Need(0o4);
    /// To write.
    pub(crate) const WRITE: Need = Need(0o2);
    /// To read and write.
    pub(crate) const BOTH: Need = Need(0o6);
    /// To execute.
    pub(crate) const RUN: Need = Need(0o1);

    /// Whether one with these capabilities need not be allowed that by the mode.
    fn is_covered(self, by: CapSet, stat: &Stat) -> bool {
        let (all, search) = (by.has(Cap::DAC_OVERRIDE), by.has(Cap::DAC_READ_SEARCH));
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => all || search && self.0 & Need::WRITE.0 == 0,
            // What nobody at all may run is no program.
            _ if self.0 & Need::RUN.0 != 0 => all && stat.st_mode & 0o111 != 0,
            _ => all || search && self == Need::READ,
        }
    }

    fn owners(self) -> u32 {
        self.0 << 6
    }
}

type Key = (u64, u64);

/// An object whose owner's bits are lifted.
#[derive(Debug)]
struct Lift {
    object: OwnedFd,
    was: u32,
    is: u32,
    calls: usize,
}

/// All objects whose owner's bits are lifted.
#[derive(Debug, Default)]
pub(crate) struct Lifted {
    now: Mutex<HashMap<Key, Lift>>,
    /// How many ever were, and how many are no more.
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Lifted {
    /// Lifts bits of an object with these attributes for one call more. Says whether it was worth it.
    fn lift(&self, object: &OwnedFd, stat: &Stat, need: Need) -> Result<bool, Errno> {
        let set = |mode| {
            rustix::fs::chmodat(CWD, own_path(object), Mode::from_raw_mode(mode), AtFlags::empty())
        };
        match self.now.lock().entry((stat.st_dev, stat.st_ino)) {
            Entry::Occupied(mut entry) => {
                let lift = entry.get_mut();
                let more = lift.is | need.owners();
                if more != lift.is {
                    set(more)?;
                }
                lift.is = more;
                lift.calls += 1;
            }
            Entry::Vacant(entry) => {
                let was = rustix::fs::fstat(object)?.st_mode & 0o7777;
                let is = was | need.owners();
                if is == was {
                    return Ok(false);
                }
                let object = rustix::io::fcntl_dupfd_cloexec(object, 0)?;
                self.begun.fetch_add(1, Ordering::SeqCst);
                if let Err(errno) = set(is) {
                    self.ended.fetch_add(1, Ordering::SeqCst);
                    return Err(errno);
                }
                entry.insert(Lift { object, was, is, calls: 1 });
            }
        }
        Ok(true)
    }

    /// The mode of an object as it is but for what is lifted.
    fn mode(&self, object: &OwnedFd) -> Result<u32, Errno> {
        let all = self.now.lock();
        // Not before: it could be lifted, or no more, by the time of the look at the table.
        let stat = rustix::fs::fstat(object)?;
        let lift = all.get(&(stat.st_dev, stat.st_ino));
        Ok(lift.map_or(stat.st_mode & 0o7777, |lift| lift.was))
    }

    /// A number that changes whenever something is lifted; none while anything is.
    fn steady(&self) -> Option<u64> {
        let ended = self.ended.load(Ordering::SeqCst);
        (self.begun.load(Ordering::SeqCst) == ended).then_some(ended)
    }

    /// A call has ended for which bits of an object were lifted.
    fn lower(&self, key: Key) {
        let mut all = self.now.lock();
        let Entry::Occupied(mut entry) = all.entry(key) else { return };
        entry.get_mut().calls -= 1;
        if entry.get().calls > 0 {
            return;
        }
        let Lift { object, was, is, .. } = entry.remove();
        // Whoever has set another mode meanwhile meant that one.
        let same = rustix::fs::fstat(&object).is_ok_and(|stat| stat.st_mode & 0o7777 == is);
        if same {
            let was = Mode::from_raw_mode(was);
            let _ = rustix::fs::chmodat(CWD, own_path(&object), was, AtFlags::empty());
        }
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// What one call has lifted. Dropping it puts all back.
pub(crate) struct Lifts<'a> {
    all: &'a Lifted,
    own: RefCell<Vec<Key>>,
}

impl<'a> Lifts<'a> {
    pub(crate) fn new(all: &'a Lifted) -> Lifts<'a> {
        Lifts { all, own: RefCell::default() }
    }

    fn is_empty(&self) -> bool {
        self.own.borrow().is_empty()
    }

    /// Puts all back.
    pub(crate) fn lower(&self) {
        self.own.take().into_iter().rev().for_each(|key| self.all.lower(key));
    }
}

impl Drop for Lifts<'_> {
    fn drop(&mut self) {
        self.lower();
    }
}

impl Cx<'_> {
    /// Whether modes do not bind the caller, at least where it only looks.
    pub(crate) fn overrides(&self) -> bool {
        self.inside().is_some_and(|guest| {
            // What keeps it out may be its own rules.
            !guest.is_landlocked()
                && guest.task.with_cred(|cred| {
                    [Cap::DAC_OVERRIDE, Cap::DAC_READ_SEARCH]
                        .iter()
                        .any(|cap| cred.effective.has(*cap))
                })
        })
    }

    /// Lifts what keeps the caller from an object of its own, if its capabilities say that nothing
    /// does. Says whether to try again is worth it.
    pub(crate) fn lift(&self, object: &OwnedFd, need: Need) -> bool {
        self.overrides() && self.lift_with(object, need, |cred| cred.effective)
    }

    /// The same by other capabilities of the caller's.
    pub(crate) fn lift_with(
        &self,
        object: &OwnedFd,
        need: Need,
        by: impl FnOnce(&Cred) -> CapSet,
    ) -> bool {
        let (Some(guest), Ok(stat)) = (self.inside(), rustix::fs::fstat(object)) else {
            return false;
        };
        let cred = guest.task.cred();
        let mapped = cred.user.find_uid(Kuid(stat.st_uid)).is_some()
            && cred.user.find_gid(Kgid(stat.st_gid)).is_some();
        let own = stat.st_uid == rustix::process::geteuid().as_raw();
        let by = by(&cred);
        // Who may not change a directory may learn that a name is not there.
        let looks = Need(need.0 & Need::SEARCH.0);
        let covered = [need, looks].into_iter().find(|need| need.is_covered(by, &stat));
        let Some(need) = covered.filter(|_| mapped && own) else { return false };
        let lifted = self.sup.lifted.lift(object, &stat, need).unwrap_or(false);
        if lifted {
            self.lifts.own.borrow_mut().push((stat.st_dev, stat.st_ino));
        }
        lifted
    }

    /// Does something with objects that are needed in some way each, and again with what was lifted if
    /// the host refuses.
    pub(crate) fn lifting<T>(
        &self,
        objects: &[(&OwnedFd, Need)],
        mut act: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match act() {
            Err(Errno::ACCESS) if self.lift_all(objects) => act(),
            done => done,
        }
    }

    /// Lifts what keeps the caller from objects. Says whether to try again is worth it.
    pub(crate) fn lift_all(&self, objects: &[(&OwnedFd, Need)]) -> bool {
        let lifts = objects.iter().map(|(object, need)| self.lift(object, *need));
        // All of them, not as far as the first.
        lifts.fold(false, |any, lifted| any | lifted)
    }
}
