//! The threads of one process that we know, and those that we need not know yet.
//!
//! Following a thread's birth costs two stops, several times what the thread itself costs. While
//! all threads of a process are in the same namespaces with the same credentials it is enough to
//! know the process: a thread that is not in the table is then like any of the others. Such a
//! group is *quiet*. Before one of its threads changes, all of them are entered, and from then on
//! births are followed one by one (the group is *mixed*).
//!
//! A birth may be under way in another thread at that very moment. Its child appears later, in the
//! namespaces of its maker, who cannot have changed in between: so makers are remembered until
//! their next call.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::process::{Pid, PidfdFlags};

use super::deaths::is_dead;
use crate::vfs::Program;

/// One process of which at least one thread is in the table.
#[derive(Debug)]
pub(crate) struct Group {
    /// Its number on the host.
    pub(crate) tgid: i32,
    mixed: AtomicBool,
    members: Mutex<BTreeSet<i32>>,
    quiet: Mutex<Option<Quiet>>,
    program: Mutex<Option<Arc<Program>>>,
    /// One of its threads has restricted itself by Landlock, or an ancestor's.
    landlocked: AtomicBool,
}

/// What is known of a group that has threads beside those in the table.
#[derive(Debug)]
struct Quiet {
    /// The process itself, so that another one of the same number is not taken for it.
    process: OwnedFd,
    /// Threads whose last call may still be making another.
    makers: BTreeSet<i32>,
    /// All threads but those being made are in the table.
    awake: bool,
}

/// What a call of a member means for its group.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Called {
    /// Nothing is left to do.
    Done,
    /// These threads are to be entered, like the caller; then ask again.
    Enter(Vec<i32>),
    /// The quiet is over.
    Over,
}

impl Group {
    /// A group without members.
    pub(super) fn new(tgid: i32) -> Group {
        Group {
            tgid,
            mixed: AtomicBool::new(false),
            members: Mutex::default(),
            quiet: Mutex::new(None),
            program: Mutex::new(None),
            landlocked: AtomicBool::new(false),
        }
    }

    /// Notes that a thread of it has restricted itself by Landlock: the others might be its children,
    /// so that all of them count as restricted.
    pub(super) fn note_landlocked(&self) {
        self.landlocked.store(true, Ordering::Release);
    }

    pub(super) fn is_landlocked(&self) -> bool {
        self.landlocked.load(Ordering::Acquire)
    }

    /// What it runs, if that was found among other mounts than the host's.
    pub(super) fn program(&self) -> Option<Arc<Program>> {
        self.program.lock().clone()
    }

    /// Notes what it runs from now on.
    pub(super) fn runs(&self, program: Option<Arc<Program>>) {
        let old = std::mem::replace(&mut *self.program.lock(), program);
        drop(old);
    }

    /// Adds a member.
    pub(super) fn join(&self, tid: i32) {
        self.members.lock().insert(tid);
    }

    /// Takes a member out, whose births are all known; tells whether it was the last.
    pub(super) fn leave(&self, tid: i32) -> bool {
        if let Some(quiet) = &mut *self.quiet.lock() {
            quiet.makers.remove(&tid);
        }
        let mut members = self.members.lock();
        members.remove(&tid);
        members.is_empty()
    }

    /// The members' numbers.
    pub(crate) fn members(&self) -> Vec<i32> {
        self.members.lock().iter().copied().collect()
    }

    /// Notes that thread `maker` makes a thread that will not be followed. Tells whether the group
    /// allows that, and whether it is quiet only from now on.
    pub(super) fn make_quietly(&self, maker: i32) -> Option<bool> {
        let mut quiet = self.quiet.lock();
        // Under the lock: a group that wakes at this moment has looked for its threads already.
        if self.mixed.load(Ordering::Acquire) {
            return None;
        }
        match &mut *quiet {
            Some(quiet) => {
                quiet.makers.insert(maker);
                Some(false)
            }
            None => {
                let leader = Pid::from_raw(self.tgid)?;
                let process = rustix::process::pidfd_open(leader, PidfdFlags::empty()).ok()?;
                let makers = BTreeSet::from([maker]);
                *quiet = Some(Quiet { process, makers, awake: false });
                Some(true)
            }
        }
    }

    /// The thread `tid`, which is not in the table, if it can be one of this group's: with the
    /// member whose namespaces it is in.
    pub(super) fn place_of(&self, tid: i32) -> Option<i32> {
        let quiet = self.quiet.lock();
        let quiet = quiet.as_ref().filter(|quiet| !is_dead(&quiet.process))?;
        let members = self.members.lock();
        if members.contains(&tid) {
            return None;
        }
        match quiet.awake {
            true => quiet.makers.first().copied(),
            false => members.first().copied(),
        }
    }

    /// Tells whether the process may have threads beside the members.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet.lock().is_some()
    }

    /// Gives the threads, but for those `tried`, to enter before `changing` changes; then it is to be
    /// asked again. Once there are none the group is awake, and mixed unless it is one thread.
    pub(super) fn wake(&self, changing: i32, tried: &BTreeSet<i32>) -> Vec<i32> {
        let mut quiet = self.quiet.lock();
        if let Some(state) = quiet.as_mut().filter(|state| !state.awake) {
            let unknown = self.unknown(&state.process, tried);
            if !unknown.is_empty() {
                return unknown;
            }
            state.awake = true;
            state.makers.remove(&changing);
        }
        let making = quiet.as_ref().is_some_and(|state| !state.makers.is_empty());
        if self.members.lock().len() > 1 || making {
            self.mixed.store(true, Ordering::Release);
        }
        Vec::new()
    }

    /// Notes that member `tid` has made a call, so that no birth of its is under way.
    ///
    /// It counts as a maker until all threads but those `tried` are in the table, so that none of
    /// them is ever without a place.
    pub(super) fn called(&self, tid: i32, tried: &BTreeSet<i32>) -> Called {
        let mut quiet = self.quiet.lock();
        let Some(state) = quiet.as_mut().filter(|state| state.awake) else { return Called::Done };
        if !state.makers.contains(&tid) && !state.makers.is_empty() {
            return Called::Done;
        }
        let unknown = self.unknown(&state.process, tried);
        if !unknown.is_empty() {
            return Called::Enter(unknown);
        }
        state.makers.remove(&tid);
        if !state.makers.is_empty() {
            return Called::Done;
        }
        *quiet = None;
        Called::Over
    }

    /// Notes that it has one thread again, known. Tells whether it was quiet until now.
    pub(super) fn alone(&self) -> bool {
        self.mixed.store(false, Ordering::Release);
        self.quiet.lock().take().is_some()
    }

    /// The living threads that are no members, but for those `tried`.
    fn unknown(&self, process: &OwnedFd, tried: &BTreeSet<i32>) -> Vec<i32> {
        let mut threads = threads(self.tgid);
        let members = self.members.lock();
        threads.retain(|tid| !members.contains(tid) && !tried.contains(tid));
        // Read while the process lives, or not its own.
        if is_dead(process) { Vec::new() } else { threads }
    }
}

/// The threads of a process.
pub(crate) fn threads(tgid: i32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{tgid}/task")) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}
