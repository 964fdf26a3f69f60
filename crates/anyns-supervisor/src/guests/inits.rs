//! The end of a pid namespace: with its init everybody inside is killed.
//!
//! The kernel does not know of these namespaces, so the signals are ours to send. Whoever is born
//! while that happens is entered either before the table is looked through, or finds its namespace
//! dead once it has been entered: one of the two kills it.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyns_trap::{is_tracer, raw};
use nsproxy::{PidNs, Status, Task};

use super::{Guest, Guests};

/// How long to sleep between two looks whether a namespace is empty, at first and at most.
const NAP: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(10));

/// How many of the longer naps a guest may take to die.
const PATIENCE: usize = 10;

impl Guests {
    /// Tells whether anybody is in a pid namespace of ours.
    pub(crate) fn any_numbered(&self) -> bool {
        self.numbered.load(Ordering::Acquire) > 0
    }

    /// The model's part of a death, and whom it kills.
    pub(super) fn end(&self, guest: &Arc<Guest>) {
        // Only its init's end: at the end of anybody else the init may be ending itself, in its own way.
        let ns = guest
            .task
            .pid_ns()
            .filter(|ns| guest.task.is_init() && !ns.is_initial() && !ns.is_dead());
        if is_tracer() {
            // Whoever serves a call of its may be waiting for this thread.
            if nsproxy::try_exit_with(&guest.task, Status::default()).is_none() {
                return self.end_later(guest);
            }
        } else {
            drop(nsproxy::exit_with(&guest.task, Status::default()));
        }
        if let Some(ns) = ns.filter(|ns| ns.is_dead()) {
            self.kill_inside(&ns, guest.tgid);
        }
    }

    /// Sees to it that nobody is born after a dead init: where `task`'s children will be.
    pub(crate) fn look_at_inits(&self, task: &Task) {
        let mut at = task.nsproxy().map(|proxy| proxy.pid_for_children.clone());
        while let Some(ns) = at.filter(|ns| !ns.is_initial()) {
            let init = ns.find(1).and_then(|init| i32::try_from(init.tag()).ok());
            // One that is found dead is buried, and its namespace ends.
            let _ = init.and_then(|tid| self.get(tid));
            at = ns.parent();
        }
    }

    /// Kills a newborn whose pid namespace has ended meanwhile.
    pub(crate) fn kill_if_dead(&self, guest: &Guest) {
        let mut at = guest.task.pid_ns();
        while let Some(ns) = at.filter(|ns| !ns.is_initial()) {
            if ns.is_dead() {
                kill(guest);
            }
            at = ns.parent();
        }
    }

    /// Kills everybody in a pid namespace and below but its init.
    fn kill_inside(&self, ns: &Arc<PidNs>, init: i32) -> usize {
        let inside = |guest: &&Arc<Guest>| is_inside(guest, ns, init);
        let inside: Vec<Arc<Guest>> =
            self.table.read().by_tid.values().filter(inside).cloned().collect();
        inside.iter().for_each(|guest| kill(guest));
        inside.len()
    }

    /// Ends a pid namespace whose init cannot live on: everybody inside is killed, and nobody is born
    /// there any more.
    ///
    /// Tells whether there was anybody, dead and not waited for or alive: whom the init does not reap would
    /// be another's to wait for.
    pub(crate) fn close(&self, init: &Arc<Guest>) -> bool {
        let Some(ns) = init.task.pid_ns() else { return false };
        self.wake(init);
        for thread in self.group(init.tgid) {
            drop(nsproxy::exit_with(&thread.task, Status::default()));
        }
        let killed = self.kill_inside(&ns, init.tgid);
        killed > 0 || self.zombies().iter().any(|dead| is_inside(dead, &ns, init.tgid))
    }

    /// Waits a moment for those to die who were killed with a pid namespace.
    pub(crate) fn wait_for_the_killed(&self, ns: &PidNs, init: i32) {
        let mut nap = NAP.0;
        for _ in 0..PATIENCE {
            self.settle();
            if !self.table.read().by_tid.values().any(|guest| is_inside(guest, ns, init)) {
                return;
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(NAP.1);
        }
    }

    /// Sees to it that a guest which was sent a deadly signal dies, if need be by SIGKILL.
    pub(crate) fn must_die(&self, guest: &Guest) {
        for _ in 0..PATIENCE {
            if !guest.lives() {
                return;
            }
            std::thread::sleep(NAP.1);
        }
        kill(guest);
    }

    /// Like [`Guests::close`], for an init that is about to exit: returns when nobody keeps it from being waited for,
    /// or when `over` says so.
    pub(crate) fn end_init(&self, init: &Arc<Guest>, over: impl Fn() -> bool) -> bool {
        let any = self.close(init);
        let mut nap = NAP.0;
        loop {
            self.settle();
            if !init.task.lingers() || over() {
                return any;
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(NAP.1);
        }
    }

    /// Announces that somebody may be born in a pid namespace of ours, until the answer is dropped.
    pub(crate) fn expect_birth(&self) -> Birth {
        self.births.fetch_add(1, Ordering::AcqRel);
        Birth(Arc::clone(&self.births))
    }

    /// Waits a moment for births that are under way; tells whether there were any.
    pub(crate) fn wait_for_births(&self) -> bool {
        let under_way = self.births.load(Ordering::Acquire) > 0;
        if under_way {
            std::thread::sleep(NAP.0);
        }
        under_way
    }
}

/// A birth that is under way.
pub(crate) struct Birth(Arc<AtomicUsize>);

impl Drop for Birth {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Tells whether somebody is in a pid namespace or below, and no thread of its init.
fn is_inside(guest: &Guest, ns: &PidNs, init: i32) -> bool {
    guest.tgid != init && guest.task.pid_ns().is_some_and(|own| own.is_within(ns))
}

fn kill(guest: &Guest) {
    // It may be dead already.
    let _ = raw::signal_process(guest.pidfd.as_fd(), libc::SIGKILL);
}
