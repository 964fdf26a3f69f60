//! The tasks we know: those that ever left the initial namespaces, and their descendants.
//!
//! **A task that is not in this table has always been in the initial namespaces.** Every child of
//! a task in the table is entered before it runs its first instruction, so the absence of a number
//! is as good as an entry, and a program that asks for nothing costs nothing here. The threads of a
//! process that are all alike are the exception: see [`group`].
//!
//! A number is only as good as the task it was given to, so each entry holds a pidfd: an entry whose
//! task is dead is no entry.
//!
//! Lock order: `dying`, then the table, then a group's own. None is held while the model is called.
//! A guest's `exec` is: it is taken with none of the others held, and nothing in the model comes back here.

mod closed;
mod deaths;
mod entry;
mod group;
mod inits;
mod kin;
mod zombie;

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use nsproxy::{Status, Task};
use parking_lot::{Mutex, RwLock};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

pub(crate) use entry::Guest;
pub(crate) use group::{Group, threads};
pub(crate) use inits::Birth;

use crate::maps::HashMap;

/// The table.
#[derive(Debug)]
pub(crate) struct Guests {
    table: RwLock<Table>,
    count: AtomicUsize,
    traced: AtomicUsize,
    quiet: AtomicUsize,
    /// The process that was the last to make a thread that is not followed.
    made_quietly: AtomicI32,
    numbered: AtomicUsize,
    births: Arc<AtomicUsize>,
    share_files: AtomicBool,
    deaths: OwnedFd,
    zombies: zombie::Zombies,
    dying: Mutex<()>,
    late: deaths::Late,
    closed: closed::Closed,
}

#[derive(Debug, Default)]
struct Table {
    by_tid: HashMap<i32, Arc<Guest>>,
    groups: HashMap<i32, Arc<Group>>,
}

impl Guests {
    /// An empty table.
    ///
    /// # Errors
    /// Those of epoll_create1(2).
    pub(crate) fn new() -> Result<Guests, Errno> {
        let deaths = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let late = deaths::Late::new(&deaths)?;
        Ok(Guests {
            table: RwLock::default(),
            count: AtomicUsize::new(0),
            traced: AtomicUsize::new(0),
            quiet: AtomicUsize::new(0),
            made_quietly: AtomicI32::new(0),
            numbered: AtomicUsize::new(0),
            births: Arc::default(),
            share_files: AtomicBool::new(false),
            deaths,
            zombies: zombie::Zombies::default(),
            dying: Mutex::new(()),
            late,
            closed: closed::Closed::default(),
        })
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// The living entry of thread `tid`.
    pub(crate) fn get(&self, tid: i32) -> Option<Arc<Guest>> {
        if self.len() == 0 {
            return None;
        }
        let guest = self.table.read().by_tid.get(&tid).cloned()?;
        if guest.lives() {
            return Some(guest);
        }
        // The number may belong to another task by now, and will never again mean this one.
        self.bury(&guest);
        None
    }

    /// The entry of thread `tid`, which is known to live, and all deaths among guests have been told
    /// ([`Guests::note_death`]): what the number means need not be found out.
    pub(crate) fn get_living(&self, tid: i32) -> Option<Arc<Guest>> {
        if self.len() == 0 {
            return None;
        }
        let guest = self.table.read().by_tid.get(&tid).cloned()?;
        if !guest.gone.load(Ordering::Acquire) {
            return Some(guest);
        }
        self.bury(&guest);
        None
    }

    /// The entry of thread `tid`, dead or alive, for whoever cannot wait.
    pub(crate) fn peek(&self, tid: i32) -> Option<Arc<Guest>> {
        let living = self.table.read().by_tid.get(&tid).cloned();
        living.or_else(|| self.last_seen(tid))
    }

    /// Enters a task; one that cannot be entered has exited.
    ///
    /// # Errors
    /// ESRCH if it is dead already; EMFILE and the like if no pidfd can be had.
    pub(crate) fn enter(&self, tid: i32, tgid: i32, task: Arc<Task>) -> Result<Arc<Guest>, Errno> {
        self.insert(tid, tgid, task, false)
    }

    /// Enters a task unless it has an entry, which is returned then: its own call and one that
    /// wakes its process may both be about to enter it.
    fn enter_unless_known(
        &self,
        tid: i32,
        tgid: i32,
        task: Arc<Task>,
    ) -> Result<Arc<Guest>, Errno> {
        self.insert(tid, tgid, task, true)
    }

    fn insert(
        &self,
        tid: i32,
        tgid: i32,
        task: Arc<Task>,
        unless_known: bool,
    ) -> Result<Arc<Guest>, Errno> {
        task.set_tag(tid as u64);
        let pidfd = open_pidfd(tid, tgid).inspect_err(|_| {
            // Nobody will hear of its death, and it would keep its number for ever.
            drop(nsproxy::exit_with(&task, Status::default()));
        })?;
        let (guest, old) = {
            let mut table = self.table.write();
            let known = table.by_tid.get(&tid);
            if let Some(known) = known.filter(|known| unless_known && known.lives()) {
                return Ok(known.clone());
            }
            let group = table.groups.entry(tgid).or_insert_with(|| Arc::new(Group::new(tgid)));
            let group = group.clone();
            group.join(tid);
            let guest = Arc::new(Guest::new(tid, tgid, task, group, pidfd));
            (guest.clone(), table.by_tid.insert(tid, guest))
        };
        if guest.is_numbered() {
            self.numbered.fetch_add(1, Ordering::AcqRel);
        }
        match old {
            Some(old) => {
                if old.is_numbered() {
                    self.numbered.fetch_sub(1, Ordering::AcqRel);
                }
                self.end(&old);
            }
            None => {
                self.count.fetch_add(1, Ordering::AcqRel);
            }
        }
        let data = epoll::EventData::new_u64(tid as u64);
        let once = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        epoll::add(&self.deaths, &guest.pidfd, data, once)?;
        Ok(guest)
    }

    /// Enters the survivor of an exec, which is alone, under its thread group's number.
    ///
    /// # Errors
    /// As [`Guests::enter`].
    pub(crate) fn rename(
        &self,
        tid: i32,
        tgid: i32,
        task: &Arc<Task>,
    ) -> Result<Arc<Guest>, Errno> {
        let mut traced = false;
        let mut maker = None;
        for other in self.group(tgid) {
            maker = maker.or(other.put_in_from.get().cloned());
            traced |= other.tid == tid && other.traced.load(Ordering::Acquire);
            // The survivor's own entry goes without an exit: the task lives on.
            if let Some(gone) = self.remove(&other)
                && !Arc::ptr_eq(&gone.task, task)
            {
                self.end(&gone);
            }
        }
        let guest = self.enter(tgid, tgid, task.clone())?;
        if let Some(maker) = maker {
            let _ = guest.put_in_from.set(maker);
        }
        if traced {
            self.mark_traced(&guest);
        }
        Ok(guest)
    }

    /// The entries of thread group `tgid`.
    pub(crate) fn group(&self, tgid: i32) -> Vec<Arc<Guest>> {
        if self.len() == 0 {
            return Vec::new();
        }
        let table = self.table.read();
        let Some(group) = table.groups.get(&tgid) else { return Vec::new() };
        group.members().iter().filter_map(|tid| table.by_tid.get(tid).cloned()).collect()
    }

    /// The numbers of all processes, zombies included, of which a task is meant.
    pub(crate) fn processes(&self, meant: impl Fn(&Task) -> bool) -> Vec<i32> {
        self.settle();
        let of = |guest: &Arc<Guest>| meant(&guest.task).then_some(guest.tgid);
        let living = self.table.read().by_tid.values().filter_map(of).collect::<BTreeSet<_>>();
        let mut all = living;
        all.extend(self.zombies().iter().filter_map(of));
        all.into_iter().collect()
    }

    /// Notes that a process is born that has the descriptors of another (`CLONE_FILES`).
    pub(crate) fn note_shared_files(&self) {
        self.share_files.store(true, Ordering::Release);
    }

    /// Tells whether there may be processes that have their descriptors in common.
    pub(crate) fn share_files(&self) -> bool {
        self.share_files.load(Ordering::Acquire)
    }
}

/// `PIDFD_THREAD`: since Linux 6.9 a pidfd can name a thread that leads no group.
const PIDFD_THREAD: u32 = libc::O_EXCL as u32;

fn open_pidfd(tid: i32, tgid: i32) -> Result<OwnedFd, Errno> {
    let pid = Pid::from_raw(tid).ok_or(Errno::SRCH)?;
    let of_thread = PidfdFlags::from_bits_retain(PIDFD_THREAD);
    match rustix::process::pidfd_open(pid, of_thread) {
        // Before that the group's pidfd has to do: a thread's entry then lives as long as its
        // process, which keeps a namespace too long rather than too short.
        Err(Errno::INVAL) => {
            let leader = Pid::from_raw(tgid).ok_or(Errno::SRCH)?;
            rustix::process::pidfd_open(leader, PidfdFlags::empty())
        }
        other => other,
    }
}
