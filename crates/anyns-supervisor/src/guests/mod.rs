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

mod group;
mod zombie;

use std::collections::{BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nsproxy::{CloneArgs, CloneFlags, Task};
use parking_lot::{Mutex, RwLock};
use rustix::event::{PollFd, PollFlags, Timespec, epoll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use group::Called;
pub(crate) use group::{Group, threads};

/// What every thread is made with.
const THREAD_FLAGS: CloneFlags =
    CloneFlags::VM.union(CloneFlags::FS).union(CloneFlags::SIGHAND).union(CloneFlags::THREAD);

/// How long deaths are collected before they are looked at.
const BATCH: Duration = Duration::from_millis(3);

/// One task that the model knows.
#[derive(Debug)]
pub(crate) struct Guest {
    /// Its number on the host.
    pub(crate) tid: i32,
    /// Its thread group's number on the host.
    pub(crate) tgid: i32,
    /// What the model says of it.
    pub(crate) task: Arc<Task>,
    /// Another guest traces it, so its forks cannot be followed: children are recognised later.
    pub(crate) traced: AtomicBool,
    group: Arc<Group>,
    pidfd: OwnedFd,
    /// It may have started a program since; then it is marked otherwise than this.
    exec: Mutex<Option<[u8; 16]>>,
    expects_exec: AtomicBool,
    /// It is starting a program and will come out of that with its leader's number; its own, and the
    /// pidfd with it, dies a little earlier than we hear of it.
    moves: AtomicBool,
    /// It was not dumpable when it died, which its zombie still is not.
    hid: AtomicBool,
}

impl Guest {
    /// Tells whether the task this entry was made for still lives.
    pub(crate) fn lives(&self) -> bool {
        !is_dead(&self.pidfd)
    }

    /// Tells whether others may look into it, or could when it died.
    pub(crate) fn dumpable(&self) -> bool {
        self.task.dumpable() && !self.hid.load(Ordering::Relaxed)
    }

    /// Tells whether it leads its process and no other thread of it is, or need be, known.
    pub(crate) fn is_alone(&self) -> bool {
        self.tid == self.tgid && !self.group.is_quiet() && self.group.members() == [self.tid]
    }

    /// Notes that it is about to start a program, in place of the one marked so.
    pub(crate) fn expect_exec(&self, mark: [u8; 16]) {
        let mut exec = self.exec.lock();
        *exec = Some(mark);
        self.expects_exec.store(true, Ordering::Release);
    }

    /// Settles whether it has started the program it was about to start: `follow` is told the mark
    /// of the old one, and tells whether the question is answered. Whoever else asks meanwhile
    /// waits, so that nobody sees the old credentials of a new program.
    pub(crate) fn settle_exec(&self, follow: impl FnOnce([u8; 16]) -> bool) {
        if !self.expects_exec.load(Ordering::Acquire) {
            return;
        }
        let mut exec = self.exec.lock();
        if let Some(before) = *exec
            && follow(before)
        {
            *exec = None;
            self.expects_exec.store(false, Ordering::Release);
        }
    }
}

/// Tells whether the process or thread of a pidfd is dead.
fn is_dead(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(rustix::event::poll(&mut fds, Some(&now)), Ok(ready) if ready > 0)
}

/// The table.
#[derive(Debug)]
pub(crate) struct Guests {
    table: RwLock<Table>,
    count: AtomicUsize,
    traced: AtomicUsize,
    quiet: AtomicUsize,
    deaths: OwnedFd,
    zombies: zombie::Zombies,
    dying: Mutex<()>,
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
        Ok(Guests {
            table: RwLock::default(),
            count: AtomicUsize::new(0),
            traced: AtomicUsize::new(0),
            quiet: AtomicUsize::new(0),
            deaths: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            zombies: zombie::Zombies::default(),
            dying: Mutex::new(()),
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

    /// Enters a task.
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
        let pidfd = open_pidfd(tid, tgid)?;
        let (guest, old) = {
            let mut table = self.table.write();
            let known = table.by_tid.get(&tid);
            if let Some(known) = known.filter(|known| unless_known && known.lives()) {
                return Ok(known.clone());
            }
            let group = table.groups.entry(tgid).or_insert_with(|| Arc::new(Group::new(tgid)));
            let group = group.clone();
            group.join(tid);
            let traced = AtomicBool::new(false);
            let guest = Arc::new(Guest {
                tid,
                tgid,
                task,
                traced,
                group,
                pidfd,
                exec: Mutex::new(None),
                expects_exec: AtomicBool::new(false),
                moves: AtomicBool::new(false),
                hid: AtomicBool::new(false),
            });
            (guest.clone(), table.by_tid.insert(tid, guest))
        };
        match old {
            Some(old) => nsproxy::exit(&old.task),
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
        for other in self.group(tgid) {
            traced |= other.tid == tid && other.traced.load(Ordering::Acquire);
            // The survivor's own entry goes without an exit: the task lives on.
            if let Some(gone) = self.remove(&other)
                && !Arc::ptr_eq(&gone.task, task)
            {
                nsproxy::exit(&gone.task);
            }
        }
        let guest = self.enter(tgid, tgid, task.clone())?;
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
        if let Some(gone) = self.remove(guest) {
            gone.hid.store(!gone.task.dumpable(), Ordering::Relaxed);
            nsproxy::exit(&gone.task);
            self.keep_zombie(gone);
        }
    }

    fn remove(&self, guest: &Arc<Guest>) -> Option<Arc<Guest>> {
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
        if last && guest.group.alone() {
            self.quiet.fetch_sub(1, Ordering::AcqRel);
        }
        gone
    }

    /// Notes that `maker` makes a thread like itself. Tells whether it need not be followed.
    pub(crate) fn make_quietly(&self, maker: &Guest) -> bool {
        let quietly = maker.group.make_quietly(maker.tid);
        if quietly == Some(true) {
            self.quiet.fetch_add(1, Ordering::AcqRel);
        }
        quietly.is_some()
    }

    /// Tells whether an unknown task may be a thread of a process we know.
    pub(crate) fn any_quiet(&self) -> bool {
        self.quiet.load(Ordering::Acquire) > 0
    }

    /// Enters thread `tid` of process `tgid`, if that is a process we know.
    pub(crate) fn enter_thread(&self, tid: i32, tgid: i32) -> Option<Arc<Guest>> {
        let like = {
            let table = self.table.read();
            let member = table.groups.get(&tgid)?.place_of(tid)?;
            table.by_tid.get(&member).cloned()?
        };
        self.enter_like(tid, &like)
    }

    /// Enters every thread of `guest`'s process, because `guest` is about to differ from them.
    pub(crate) fn wake(&self, guest: &Guest) {
        // A thread that dies meanwhile cannot be entered, and need not be.
        let mut tried = BTreeSet::new();
        loop {
            let unknown = guest.group.wake(guest.tid, &tried);
            if unknown.is_empty() {
                break;
            }
            self.enter_all(unknown, guest, &mut tried);
        }
        self.note_call(guest);
    }

    /// Notes that `guest` has made a call: the births of its earlier ones are over.
    pub(crate) fn note_call(&self, guest: &Guest) {
        if !self.any_quiet() {
            return;
        }
        let mut tried = BTreeSet::new();
        loop {
            match guest.group.called(guest.tid, &tried) {
                Called::Enter(unknown) => self.enter_all(unknown, guest, &mut tried),
                Called::Done => return,
                Called::Over => {
                    self.quiet.fetch_sub(1, Ordering::AcqRel);
                    return;
                }
            }
        }
    }

    fn enter_all(&self, threads: Vec<i32>, like: &Guest, tried: &mut BTreeSet<i32>) {
        for tid in threads {
            self.enter_like(tid, like);
            tried.insert(tid);
        }
    }

    fn enter_like(&self, tid: i32, like: &Guest) -> Option<Arc<Guest>> {
        let args = CloneArgs::legacy(THREAD_FLAGS.bits());
        let task = nsproxy::prepare_clone(&like.task, &args).ok()?.commit();
        let entered = self.enter_unless_known(tid, like.tgid, task.clone()).ok();
        if !entered.as_ref().is_some_and(|guest| Arc::ptr_eq(&guest.task, &task)) {
            nsproxy::exit(&task);
        }
        entered
    }

    /// Enters an unknown task whose maker could not be followed.
    pub(crate) fn enter_child(&self, tid: i32, tgid: i32, ppid: i32) -> Option<Arc<Guest>> {
        let traced = |tid| {
            let guest = self.get(tid)?;
            guest.traced.load(Ordering::Acquire).then_some(guest)
        };
        let guest = match traced(tgid) {
            Some(leader) if tgid != tid => self.enter_like(tid, &leader)?,
            _ => {
                let parent = traced(ppid)?;
                let task = nsproxy::prepare_clone(&parent.task, &CloneArgs::fork()).ok()?.commit();
                self.enter(tid, tgid, task).ok()?
            }
        };
        self.mark_traced(&guest);
        Some(guest)
    }

    /// Notes that another guest traces `guest`, so its children have to be recognised later.
    pub(crate) fn mark_traced(&self, guest: &Guest) {
        if !guest.traced.swap(true, Ordering::AcqRel) {
            self.traced.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Tells whether an unknown task may be the child of one that could not be followed.
    pub(crate) fn any_traced(&self) -> bool {
        self.traced.load(Ordering::Acquire) > 0
    }

    /// Buries all that have died by now. After this the model's counts are the kernel's.
    pub(crate) fn settle(&self) {
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
    pub(crate) fn watch(&self) {
        loop {
            let mut fds = [PollFd::new(&self.deaths, PollFlags::IN)];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            std::thread::sleep(BATCH);
            self.settle();
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
