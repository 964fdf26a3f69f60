//! The thread that hears of writers and of last closes.
//!
//! All signals go to this very thread (F_OWNER_TID), which alone blocks and reads them: no other
//! thread of the process need know.
//!
//! Locks: `Table` is a leaf; the judge is called without it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::writer::{self, Look, Outcome};
use super::{Inode, Judge, pipe};
use crate::notify::Port;
use crate::{Tid, sys};

/// How long a signalled writer is looked for; it may be killed or interrupted meanwhile.
const SEARCH: Duration = Duration::from_millis(50);
/// How often, after the first few looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Looks that follow each other at once: the writer is just about to sleep.
const EAGER_LOOKS: u32 = 3;

/// Some calls that write (sendfile, splice) sleep without telling, and old kernels tell of none.
/// So while there is a file, its likely writer is looked at now and then: soon at first, then
/// more and more rarely.
const DOZE_FROM: Duration = Duration::from_millis(2);
const DOZE_UP_TO: Duration = Duration::from_millis(256);

/// What events of the two descriptors say that are no entry's ([`tag`]): no descriptor has these numbers.
const SIGNALS: u64 = u64::MAX;
const BELL: u64 = u64::MAX - 1;

#[derive(Default)]
struct Table {
    /// By our end's descriptor number, which is what signals carry.
    entries: HashMap<RawFd, Entry>,
    /// The watching thread waits without limit, because there was no file.
    fast_asleep: bool,
}

/// One object that a guest has.
struct Entry {
    token: u64,
    /// Our end, shared with a look that may be going on.
    ours: Arc<OwnedFd>,
    /// None for a mere identity.
    file: Option<Control>,
}

#[derive(Clone, Copy)]
struct Control {
    inode: Inode,
    /// Who opened it, or wrote last.
    likely: Tid,
    offset: u64,
}

/// What the watching thread shares with those who make objects.
pub(super) struct Watch {
    epoll: OwnedFd,
    /// Told to end.
    bell: OwnedFd,
    signals: File,
    tid: i32,
    table: Mutex<Table>,
    /// Held while a last close is told of. Taken before the table.
    closing: Mutex<()>,
    /// Whether writers must be looked for because the kernel does not tell of them.
    polled: bool,
    judge: Arc<dyn Judge>,
    port: Arc<Port>,
}

/// A file of which a signal has come.
struct Search {
    fd: RawFd,
    until: Instant,
    /// How many writers were announced and not yet answered.
    writers: u32,
    looks: u32,
}

/// The signal that carries the descriptor's number.
pub(super) fn signal() -> i32 {
    libc::SIGRTMAX() - 2
}

impl Watch {
    /// To be called on the watching thread.
    pub(super) fn new(judge: Arc<dyn Judge>, polled: bool) -> io::Result<Watch> {
        sys::block_all()?;
        let signals = sys::signalfd(&[signal(), libc::SIGIO])?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        for (fd, tag) in [(&signals, SIGNALS), (&bell, BELL)] {
            epoll::add(&epoll, fd, EventData::new_u64(tag), EventFlags::IN)?;
        }
        let reaper = Arc::clone(&judge);
        // No call is ever told here, but traces need somewhere to report exits to.
        let deaf = eventfd(0, EventfdFlags::CLOEXEC)?;
        let reaped = Box::new(move |tid, status| reaper.reaped(tid, status));
        let port = Port::new(deaf, None, reaped, Box::new(|| {}));
        Ok(Watch {
            epoll,
            bell,
            signals: File::from(signals),
            tid: sys::own_tid(),
            table: Mutex::default(),
            closing: Mutex::default(),
            polled,
            judge,
            port: Arc::new(port),
        })
    }

    pub(super) fn file(&self, token: u64, opener: Tid) -> io::Result<(OwnedFd, Inode)> {
        let full = pipe::Full::new(self.tid, signal())?;
        let file = Control { inode: full.inode, likely: opener, offset: 0 };
        self.enter(token, full.read, Some(file))?;
        Ok((full.guest, full.inode))
    }

    pub(super) fn identity(&self, token: u64) -> io::Result<(OwnedFd, Inode)> {
        let (ours, guest, inode) = pipe::empty()?;
        self.enter(token, ours, None)?;
        Ok((guest, inode))
    }

    fn enter(&self, token: u64, ours: OwnedFd, file: Option<Control>) -> io::Result<()> {
        let fd = ours.as_raw_fd();
        let ours = Arc::new(ours);
        let entry = Entry { token, ours: Arc::clone(&ours), file };
        {
            let mut table = self.table.lock();
            table.entries.insert(fd, entry);
            if file.is_some() && std::mem::take(&mut table.fast_asleep) {
                self.ring();
            }
        }
        // Only hang-ups (and, for a write end, errors) are told without being asked for.
        let data = EventData::new_u64(tag(token, fd));
        let added = epoll::add(&self.epoll, &ours, data, EventFlags::empty());
        if added.is_err() {
            self.table.lock().entries.remove(&fd);
        }
        Ok(added?)
    }

    /// Makes the watching thread look around.
    pub(super) fn ring(&self) {
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    /// The life of the watching thread, until `ended` says so (after a `ring`).
    pub(super) fn run(&self, ended: impl Fn() -> bool) {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(32);
        let mut searches: Vec<Search> = Vec::new();
        let mut doze = DOZE_FROM;
        while !ended() {
            let wait = self.how_long(!searches.is_empty(), doze);
            events.clear();
            let _ = epoll::wait(&self.epoll, spare_capacity(&mut events), wait.as_ref());
            for event in &events {
                match event.data.u64() {
                    SIGNALS => {
                        self.hear(&mut searches, Vec::new());
                    }
                    BELL => {
                        let _ = rustix::io::read(&self.bell, &mut [0u8; 8]);
                    }
                    tag => {
                        if let Some(fd) = self.close_tagged(tag) {
                            searches.retain(|search| search.fd != fd);
                        }
                    }
                }
            }
            if !events.is_empty() {
                doze = DOZE_FROM;
            } else if searches.is_empty() {
                doze = (doze * 2).min(DOZE_UP_TO);
                self.glance_at_all(&mut searches);
            }
            loop {
                let mut echoes = Vec::new();
                searches.retain_mut(|search| self.look(search, &mut echoes));
                if echoes.is_empty() || !self.hear(&mut searches, echoes) {
                    break;
                }
            }
        }
    }

    /// How long to wait for events; `None` for ever.
    fn how_long(&self, searching: bool, doze: Duration) -> Option<Timespec> {
        let mut table = self.table.lock();
        let any_file = table.entries.values().any(|entry| entry.file.is_some());
        table.fast_asleep = !searching && !any_file;
        let wait = if searching || self.polled { LOOK_EVERY } else { doze };
        let wait = Timespec { tv_sec: 0, tv_nsec: wait.as_nanos() as _ };
        (!table.fast_asleep).then_some(wait)
    }

    /// Has each file looked at once, for a writer of whom nobody told.
    fn glance_at_all(&self, searches: &mut Vec<Search>) {
        self.announce_all(searches);
        let now = Instant::now();
        for search in searches {
            (search.looks, search.until) = (EAGER_LOOKS, now);
        }
    }

    /// Takes in what was signalled; says whether that announced a writer. `echoes` are the files
    /// whose writers were stopped just now: each has signalled once more on its way out of its
    /// sleep, before it stood, and nobody need be looked for.
    fn hear(&self, searches: &mut Vec<Search>, mut echoes: Vec<RawFd>) -> bool {
        let mut any = false;
        while let Some((number, fd)) = sys::read_signal(&self.signals) {
            if number == libc::SIGIO {
                // The queue was full, so the kernel could not say which.
                self.announce_all(searches);
            } else if let Some(at) = echoes.iter().position(|echo| *echo == fd) {
                echoes.swap_remove(at);
                continue;
            } else {
                announce(searches, fd);
            }
            any = true;
        }
        any
    }

    fn announce_all(&self, searches: &mut Vec<Search>) {
        let table = self.table.lock();
        let files = table.entries.iter().filter(|(_, entry)| entry.file.is_some());
        files.for_each(|(fd, _)| announce(searches, *fd));
    }

    /// Tells of every last close that has happened by now, without waiting for the thread.
    pub(super) fn settle(&self) {
        let open: Vec<(RawFd, Arc<OwnedFd>)> = {
            let table = self.table.lock();
            let identities = table.entries.iter().filter(|(_, entry)| entry.file.is_none());
            identities.map(|(fd, entry)| (*fd, Arc::clone(&entry.ours))).collect()
        };
        for (fd, ours) in open {
            let mut look = [PollFd::new(&ours, PollFlags::empty())];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            if matches!(poll(&mut look, Some(&now)), Ok(1..)) {
                self.close(fd, |entry| Arc::ptr_eq(&entry.ours, &ours));
            }
        }
        // What the thread has taken out of the table it may not have told of yet.
        drop(self.closing.lock());
    }

    /// The last copy of the guest's end that an event is about is gone; says which number ours had.
    /// Nothing if that was told of already: the number may be another entry's by now.
    fn close_tagged(&self, event: u64) -> Option<RawFd> {
        let fd = event as u32 as RawFd;
        self.close(fd, |entry| tag(entry.token, fd) == event).then_some(fd)
    }

    /// The last copy of the guest's end is gone, if the entry with this number is the one that is meant.
    fn close(&self, fd: RawFd, is_meant: impl FnOnce(&Entry) -> bool) -> bool {
        let _closing = self.closing.lock();
        let entry = {
            let mut table = self.table.lock();
            let meant = table.entries.get(&fd).is_some_and(is_meant);
            meant.then(|| table.entries.remove(&fd)).flatten()
        };
        let Some(entry) = entry else { return false };
        let _ = epoll::delete(&self.epoll, &entry.ours);
        let token = entry.token;
        drop(entry);
        self.judge.closed(token);
        true
    }

    /// Looks for writers of one file; false when the search is over. Says which files' writers it
    /// has stopped.
    fn look(&self, search: &mut Search, echoes: &mut Vec<RawFd>) -> bool {
        loop {
            let entry = {
                let table = self.table.lock();
                let Some(entry) = table.entries.get(&search.fd) else { return false };
                let Some(file) = entry.file else { return false };
                (entry.token, file, Arc::clone(&entry.ours))
            };
            let (token, file, ours) = entry;
            let Some(writer) = self.find(file, search.looks < EAGER_LOOKS) else {
                search.looks += 1;
                if search.looks <= EAGER_LOOKS {
                    std::thread::yield_now();
                    continue;
                }
                return Instant::now() < search.until;
            };
            let judge = &*self.judge;
            match writer.answer(&self.port, judge, token, file.inode, file.offset, ours.as_fd()) {
                Outcome::Answered { accepted, stopped } => {
                    echoes.extend(stopped.then_some(search.fd));
                    if let Some(entry) = self.table.lock().entries.get_mut(&search.fd)
                        && let Some(file) = &mut entry.file
                    {
                        file.likely = writer.tid();
                        file.offset += accepted as u64;
                    }
                    search.writers = search.writers.saturating_sub(1);
                    if search.writers == 0 {
                        return false;
                    }
                    search.restart();
                }
                Outcome::Elsewhere => {
                    search.looks += 1;
                    if search.looks > EAGER_LOOKS {
                        return Instant::now() < search.until;
                    }
                }
                Outcome::Close => {
                    drop(ours);
                    self.close(search.fd, |entry| entry.token == token);
                    return false;
                }
            }
        }
    }

    fn find(&self, file: Control, eager: bool) -> Option<writer::Writer> {
        match writer::look(file.likely, file.inode) {
            Look::Writes(writer) => return Some(writer),
            // Most likely it is on its way into the sleep: no walk through all others yet.
            Look::Runs if eager => return None,
            Look::Runs | Look::No => {}
        }
        self.judge.writers().into_iter().find_map(|tid| match writer::look(tid, file.inode) {
            Look::Writes(writer) => Some(writer),
            Look::Runs | Look::No => None,
        })
    }
}

fn announce(searches: &mut Vec<Search>, fd: RawFd) {
    match searches.iter_mut().find(|search| search.fd == fd) {
        Some(search) => {
            search.writers += 1;
            search.restart();
        }
        None => {
            let until = Instant::now() + SEARCH;
            searches.push(Search { fd, until, writers: 1, looks: 0 });
        }
    }
}

/// What an event says of an entry. Its number alone could be another's, made since the event came.
fn tag(token: u64, fd: RawFd) -> u64 {
    token << 32 | u64::from(fd as u32)
}

impl Search {
    fn restart(&mut self) {
        self.until = Instant::now() + SEARCH;
        self.looks = 0;
    }
}
