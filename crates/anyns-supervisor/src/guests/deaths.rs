//! Deaths: who has died is no guest any more.
//!
//! Each is told by the task's pidfd; nothing depends on how soon, since whoever looks at an entry looks
//! at that, and whoever counts asks first ([`Guests::settle`]).

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;

use super::{Guest, Guests};

/// How long deaths are collected before they are looked at.
const BATCH: Duration = Duration::from_millis(3);

/// What the bell says among the numbers of threads.
const BELL: u64 = u64::MAX;

/// Who is dead, and no guest any more, while the model is about to change it: somebody serves a call of
/// its, and whoever found it dead could not wait for that.
#[derive(Debug)]
pub(super) struct Late {
    guests: Mutex<Vec<Arc<Guest>>>,
    /// Wakes whoever buries.
    bell: OwnedFd,
}

impl Late {
    pub(super) fn new(deaths: &OwnedFd) -> Result<Late, Errno> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(deaths, &bell, epoll::EventData::new_u64(BELL), epoll::EventFlags::IN)?;
        Ok(Late { guests: Mutex::default(), bell })
    }
}

impl Guests {
    /// Notes that `tid` is dead and its number free.
    pub(crate) fn note_death(&self, tid: i32) {
        if self.len() > 0
            && let Some(guest) = self.table.read().by_tid.get(&tid)
        {
            guest.gone.store(true, Ordering::Release);
        }
    }

    /// Keeps `guest` from being taken for dead until [`Guests::rename`] or [`Guests::stays`].
    pub(crate) fn moves(&self, guest: &Guest) {
        guest.moves.store(true, Ordering::Release);
    }

    /// Notes that `guest` has not moved after all.
    pub(crate) fn stays(&self, guest: &Arc<Guest>) {
        guest.moves.store(false, Ordering::Release);
        // Nobody has buried it meanwhile.
        if !guest.lives() {
            self.bury(guest);
        }
    }

    /// Removes an entry whose task is dead, or is another one now.
    pub(crate) fn bury(&self, guest: &Arc<Guest>) {
        if guest.moves.load(Ordering::Acquire) {
            return;
        }
        // The last thread we know may leave others that we need not have known so far.
        match guest.group.members() == [guest.tid] {
            true => self.wake(guest),
            // It makes no more threads, and those it made are looked for while it has an entry.
            false => self.note_call(guest),
        }
        // First a zombie, then no guest any more: nobody finds neither.
        if !guest.task.has_exited() {
            guest.hid.store(!guest.task.dumpable(), Ordering::Relaxed);
        }
        self.keep_zombie(guest.clone());
        if let Some(gone) = self.remove(guest) {
            self.end(&gone);
        }
    }

    pub(super) fn remove(&self, guest: &Arc<Guest>) -> Option<Arc<Guest>> {
        let (gone, last) = {
            let mut table = self.table.write();
            match table.by_tid.get(&guest.tid) {
                Some(current) if Arc::ptr_eq(current, guest) => {}
                _ => return None,
            }
            let gone = table.by_tid.remove(&guest.tid);
            let last = guest.group.leave(guest.tid);
            if last {
                table.groups.remove(&guest.tgid);
            }
            (gone, last)
        };
        self.count.fetch_sub(1, Ordering::AcqRel);
        if guest.traced.load(Ordering::Acquire) {
            self.traced.fetch_sub(1, Ordering::AcqRel);
        }
        if guest.is_numbered() {
            self.numbered.fetch_sub(1, Ordering::AcqRel);
        }
        if last && guest.group.alone() {
            self.quiet.fetch_sub(1, Ordering::AcqRel);
        }
        gone
    }

    /// Has the model's part of a death done by who buries.
    pub(super) fn end_later(&self, guest: &Arc<Guest>) {
        self.late.guests.lock().push(guest.clone());
        let _ = rustix::io::write(&self.late.bell, &1u64.to_ne_bytes());
    }

    fn end_late(&self) {
        let _ = rustix::io::read(&self.late.bell, &mut [0; 8]);
        let late = std::mem::take(&mut *self.late.guests.lock());
        late.iter().for_each(|guest| self.end(guest));
    }

    /// Whether somebody has died who is not buried yet: [`Guests::settle`] may have to wait.
    pub(crate) fn any_unburied(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut fds = [PollFd::new(&self.deaths, PollFlags::IN)];
        self.dying.try_lock().is_none()
            || !self.late.guests.lock().is_empty()
            || !matches!(rustix::event::poll(&mut fds, Some(&now)), Ok(0))
    }

    /// Buries all that have died by now. After this the model's counts are the kernel's.
    pub(crate) fn settle(&self) {
        debug_assert!(!anyns_trap::is_tracer(), "the model may wait for a guest that it ends");
        if !self.late.guests.lock().is_empty() {
            self.end_late();
        }
        if self.len() > 0 {
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            while self.bury_some(Some(&now)) {}
        }
        self.forget_zombies();
    }

    /// Buries the dead soon after they die, for as long as the process lives.
    ///
    /// Nothing depends on how soon: whoever counts calls [`Guests::settle`] first. So deaths are
    /// taken in batches, or a wake-up for each would compete with the guests for the processor.
    /// `buried` is called after each batch.
    pub(crate) fn watch(&self, buried: impl Fn()) {
        loop {
            let mut fds = [PollFd::new(&self.deaths, PollFlags::IN)];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            std::thread::sleep(BATCH);
            self.settle();
            buried();
        }
    }

    fn bury_some(&self, wait: Option<&Timespec>) -> bool {
        let _one_at_a_time = self.dying.lock();
        let mut events = Vec::with_capacity(64);
        let spare = rustix::buffer::spare_capacity(&mut events);
        if !matches!(epoll::wait(&self.deaths, spare, wait), Ok(count) if count > 0) {
            return false;
        }
        for event in events {
            if event.data.u64() == BELL {
                self.end_late();
                continue;
            }
            let tid = event.data.u64() as i32;
            let guest = self.table.read().by_tid.get(&tid).cloned();
            match guest {
                Some(guest) if !guest.lives() => self.bury(&guest),
                _ => self.forget_zombie(tid),
            }
        }
        true
    }
}

/// Tells whether the process or thread of a pidfd is dead.
pub(super) fn is_dead(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(rustix::event::poll(&mut fds, Some(&now)), Ok(ready) if ready > 0)
}
