//! Where workers leave requests for the tracer, and how it is woken.
//!
//! The tracer sleeps in `waitpid`, which only a signal interrupts. A signal that comes just before
//! the sleep begins is lost, so whoever asks makes sure that the request has been taken. When the
//! tracer has just handed something to a worker, it waits here for a moment instead: the answer is
//! usually quick, and a condition variable costs less than a signal.
//!
//! Locks: `Desk::state` is a leaf.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::Ask;
use crate::wake;

/// How long the tracer waits here for a worker's answer; meanwhile no other stop is seen.
const LINGER: Duration = Duration::from_micros(100);
/// How long to wait before the signal is taken for lost.
const LOST: Duration = Duration::from_micros(300);

#[derive(Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    /// Told when something is left.
    left: Condvar,
    /// Told when all has been taken.
    taken: Condvar,
}

#[derive(Default)]
struct State {
    asked: Vec<Ask>,
    tracer: Tracer,
    /// The tracer's number.
    tid: i32,
    /// The tracer has ended.
    closed: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Tracer {
    /// It will look here before it sleeps.
    #[default]
    Busy,
    Lingers,
    /// In `waitpid`, or about to be.
    Waits,
}

impl Desk {
    /// Leaves a request; false when there is no tracer any more.
    pub(super) fn leave(&self, ask: Ask) -> bool {
        let mut state = self.state.lock();
        if state.closed {
            return false;
        }
        state.asked.push(ask);
        match state.tracer {
            Tracer::Busy => {}
            Tracer::Lingers => {
                self.left.notify_one();
            }
            Tracer::Waits => {
                let tid = state.tid;
                while state.tracer == Tracer::Waits && !state.asked.is_empty() && !state.closed {
                    wake::interrupt(tid);
                    self.taken.wait_for(&mut state, LOST);
                }
            }
        }
        true
    }

    /// Makes the tracer look up.
    pub(super) fn ring(&self) {
        self.leave(Ask::Look);
    }

    /// The calling thread is the tracer.
    pub(super) fn open(&self, tid: i32) {
        self.state.lock().tid = tid;
    }

    /// What has been left; with `linger`, waits for it a moment.
    pub(super) fn take(&self, linger: bool) -> Vec<Ask> {
        let mut state = self.state.lock();
        if linger && state.asked.is_empty() {
            state.tracer = Tracer::Lingers;
            self.left.wait_for(&mut state, LINGER);
        }
        state.tracer = Tracer::Busy;
        self.taken.notify_all();
        std::mem::take(&mut state.asked)
    }

    /// Waits until something has been left.
    pub(super) fn rest(&self) {
        let mut state = self.state.lock();
        while state.asked.is_empty() {
            state.tracer = Tracer::Lingers;
            self.left.wait(&mut state);
        }
        state.tracer = Tracer::Busy;
    }

    /// Announces a sleep; false when something has been left meanwhile.
    pub(super) fn may_sleep(&self) -> bool {
        let mut state = self.state.lock();
        let may = state.asked.is_empty();
        if may {
            state.tracer = Tracer::Waits;
        }
        may
    }

    /// The sleep is over.
    pub(super) fn look_up(&self) {
        self.state.lock().tracer = Tracer::Busy;
    }

    /// Nobody will look here any more.
    pub(super) fn close(&self) -> Vec<Ask> {
        let mut state = self.state.lock();
        state.closed = true;
        self.taken.notify_all();
        std::mem::take(&mut state.asked)
    }
}
