//! Threads and children that are entered later than they are born: those of a process whose threads are
//! all alike ([`super::group`]), and those of a guest that another guest traces.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nsproxy::{CloneArgs, CloneFlags, Status};

use super::group::Called;
use super::{Guest, Guests};

/// What every thread is made with.
const THREAD_FLAGS: CloneFlags = CloneFlags::VM
    .union(CloneFlags::FS)
    .union(CloneFlags::SIGHAND)
    .union(CloneFlags::THREAD)
    .union(CloneFlags::SYSVSEM);

impl Guests {
    /// Notes that `maker` makes a thread like itself. Tells whether it need not be followed.
    pub(crate) fn make_quietly(&self, maker: &Guest) -> bool {
        let quietly = maker.group.make_quietly(maker.tid);
        self.made_quietly.store(maker.tgid, Ordering::Relaxed);
        if quietly == Some(true) {
            self.quiet.fetch_add(1, Ordering::AcqRel);
        }
        quietly.is_some()
    }

    /// Tells whether an unknown task may be a thread of a process we know.
    pub(crate) fn any_quiet(&self) -> bool {
        self.quiet.load(Ordering::Acquire) > 0
    }

    /// Enters thread `tid` if it is one of the process that was the last to make one quietly, as it mostly
    /// is: to see that takes a tenth of finding out whose it is.
    pub(crate) fn enter_likely(&self, tid: i32) -> Option<Arc<Guest>> {
        let tgid = self.made_quietly.load(Ordering::Relaxed);
        let thread = format!("/proc/{tgid}/task/{tid}");
        let is_there = tgid != 0 && rustix::fs::access(thread, rustix::fs::Access::EXISTS).is_ok();
        is_there.then(|| self.enter_thread(tid, tgid)).flatten()
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
        let task = nsproxy::prepare_clone(&like.task, &args).ok()?.commit_as(tid as u32);
        let entered = self.enter_unless_known(tid, like.tgid, task.clone()).ok();
        if !entered.as_ref().is_some_and(|guest| Arc::ptr_eq(&guest.task, &task)) {
            drop(nsproxy::exit_with(&task, Status::default()));
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
                let newborn = nsproxy::prepare_clone(&parent.task, &CloneArgs::fork()).ok()?;
                let guest = self.enter(tid, tgid, newborn.commit_as(tid as u32)).ok()?;
                guest.note_maker(&parent.task);
                guest.inherit(&parent);
                self.kill_if_dead(&guest);
                guest
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
}
