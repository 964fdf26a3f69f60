//! A lone caller: one thread of a guest that makes call after call, while no other makes any.
//!
//! The kernel wakes every thread that waits for calls, for each of them, and all but one wake for
//! nothing. So for a lone caller one thread waits, and nobody takes its place while it serves a call
//! that is answered in some microseconds. What it takes longer, or has to wait for another call, ends
//! that: at once where it is known ([`Lone::leave`]), and otherwise because somebody watches.
//!
//! State: who called last, and how often in a row; whether a call is being served that nobody stands in
//! for.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::Tid;

/// So many calls in a row make a lone caller.
const ROW: u32 = 32;
/// A call that is not over after this, or twice this, is one that takes long.
const TICK: Duration = Duration::from_millis(1);
/// After so many of these without a call nobody watches any more.
const QUIET: u32 = 20;
/// How long who watches is there for the next time.
const LIFE: Duration = Duration::from_secs(10);

pub(crate) struct Lone {
    last: AtomicI32,
    row: AtomicU32,
    /// Odd while a call is being served that nobody stands in for; never the same twice.
    turn: AtomicU64,
    /// Nobody watches until somebody is woken.
    asleep: AtomicBool,
    /// Whether there is somebody who watches.
    watched: Mutex<bool>,
    woken: Condvar,
}

/// A call that nobody stands in for.
#[derive(Clone, Copy)]
pub(crate) struct Turn(u64);

impl Default for Lone {
    fn default() -> Lone {
        Lone {
            last: AtomicI32::new(0),
            row: AtomicU32::new(0),
            turn: AtomicU64::new(0),
            asleep: AtomicBool::new(true),
            watched: Mutex::new(false),
            woken: Condvar::new(),
        }
    }
}

impl Lone {
    /// Notes who makes a call.
    pub(crate) fn note(&self, tid: Tid) {
        if self.last.load(Ordering::Relaxed) == tid.0 {
            let row = self.row.load(Ordering::Relaxed);
            if row < ROW {
                self.row.store(row + 1, Ordering::Relaxed);
            }
        } else {
            self.last.store(tid.0, Ordering::Relaxed);
            self.row.store(0, Ordering::Relaxed);
        }
    }

    /// Whether the last call was a lone caller's.
    pub(crate) fn is_on(&self) -> bool {
        self.row.load(Ordering::Relaxed) >= ROW
    }

    /// Begins to serve with nobody to stand in; not if somebody does so already, or if nobody can
    /// watch: `start` has [`watch`](Self::watch) called by a thread of its own, if it can.
    pub(crate) fn begin(&self, start: impl FnOnce() -> bool) -> Option<Turn> {
        let before = self.turn.load(Ordering::Relaxed);
        let turn = Turn(before + 1);
        if before % 2 == 1 || !self.is_next(before) {
            return None;
        }
        // Only now: who goes to sleep looks for a turn after it has said so.
        if self.asleep.load(Ordering::SeqCst) && !self.wake_or(start) {
            self.end(turn);
            return None;
        }
        Some(turn)
    }

    fn wake_or(&self, start: impl FnOnce() -> bool) -> bool {
        let mut watched = self.watched.lock();
        self.asleep.store(false, Ordering::SeqCst);
        self.woken.notify_all();
        *watched = *watched || start();
        if !*watched {
            self.asleep.store(true, Ordering::SeqCst);
        }
        *watched
    }

    /// The call is over, or somebody shall stand in; whether nobody has been called to do so.
    pub(crate) fn end(&self, turn: Turn) -> bool {
        self.is_next(turn.0)
    }

    /// Whoever serves is about to wait for another call: whether somebody has to be called to stand in.
    pub(crate) fn leave(&self) -> bool {
        let turn = self.turn.load(Ordering::Relaxed);
        turn % 2 == 1 && self.end(Turn(turn))
    }

    fn is_next(&self, turn: u64) -> bool {
        let (next, order) = (turn + 1, Ordering::SeqCst);
        self.turn.compare_exchange(turn, next, order, Ordering::Relaxed).is_ok()
    }

    /// Calls somebody to stand in for who takes long; until nobody has been alone for some time, or it
    /// has `ended`.
    pub(crate) fn watch(&self, stand_in: impl Fn(), ended: impl Fn() -> bool) {
        let mut watched = self.watched.lock();
        let (mut before, mut quiet) = (0, 0);
        while !ended() {
            let sleeps = quiet >= QUIET;
            self.asleep.store(sleeps, Ordering::SeqCst);
            let turn = self.turn.load(Ordering::SeqCst);
            if turn == before && turn % 2 == 1 && self.end(Turn(turn)) {
                stand_in();
            }
            quiet = if turn == before { quiet + 1 } else { 0 };
            if sleeps && turn != before {
                // It was on its way when we said that we sleep.
                before = turn;
                continue;
            }
            before = turn;
            let wait = if sleeps { LIFE } else { TICK };
            if self.woken.wait_for(&mut watched, wait).timed_out() && sleeps {
                break;
            }
            if sleeps {
                quiet = 0;
            }
        }
        *watched = false;
        self.asleep.store(true, Ordering::SeqCst);
    }

    /// Wakes who watches, at the end.
    pub(crate) fn wake(&self) {
        self.woken.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::thread;
    use std::time::Instant;

    #[test]
    fn who_calls_often_in_a_row_is_alone() {
        let lone = Lone::default();
        for _ in 0..=ROW {
            assert!(!lone.is_on());
            lone.note(Tid(7));
        }
        assert!(lone.is_on());
        lone.note(Tid(8));
        assert!(!lone.is_on());
    }

    #[test]
    fn one_is_alone_at_a_time_and_one_is_called() {
        let lone = Lone::default();
        let turn = lone.begin(|| true).expect("nobody is");
        assert!(lone.begin(|| true).is_none());
        assert!(lone.leave());
        assert!(!lone.leave() && !lone.end(turn));
        let turn = lone.begin(|| unreachable!("somebody watches")).expect("nobody is");
        assert!(lone.end(turn) && !lone.leave());
    }

    #[test]
    fn without_anybody_who_watches_nobody_is_alone() {
        let lone = Lone::default();
        assert!(lone.begin(|| false).is_none());
        assert!(lone.begin(|| true).is_some());
    }

    #[test]
    fn who_takes_long_gets_a_stand_in_also_after_a_rest() {
        let (lone, called, ended) = (
            Arc::new(Lone::default()),
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let watch = || {
            let (lone, called, ended) = (lone.clone(), called.clone(), ended.clone());
            let call = move || {
                called.fetch_add(1, Ordering::SeqCst);
            };
            thread::spawn(move || lone.watch(call, || ended.load(Ordering::SeqCst)));
            true
        };
        for round in 1..=3 {
            let turn = lone.begin(watch).expect("nobody is alone");
            let until = Instant::now() + Duration::from_secs(10);
            while called.load(Ordering::SeqCst) < round && Instant::now() < until {
                thread::yield_now();
            }
            assert_eq!(called.load(Ordering::SeqCst), round);
            assert!(!lone.end(turn));
            // It falls asleep.
            while !lone.asleep.load(Ordering::SeqCst) {
                thread::yield_now();
            }
        }
        ended.store(true, Ordering::SeqCst);
        lone.wake();
    }
}
