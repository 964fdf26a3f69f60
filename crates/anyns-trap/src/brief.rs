//! Calls that are answered in some microseconds, while which nobody need wait for others: to wake a
//! thread for that costs as much as the call.
//!
//! If one of them takes long after all, somebody has to come. Where it is known that it will, whoever
//! serves it says so; for all else there is a thread that looks, every millisecond, as long as there
//! are calls. The first calls of all are not brief: who makes few need not wait for that thread.
//!
//! State: how many calls were received; whether somebody looks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Calls that are not over after this, or twice this, take long.
const TICK: Duration = Duration::from_millis(1);
/// After so many of these without a call nobody looks any more.
const QUIET: u32 = 20;
/// So many calls are not brief, for which a thread that looks would be too much.
const FIRST: u64 = 32;
/// How long who looks is there for the next time.
const LIFE: Duration = Duration::from_secs(10);

pub(crate) struct Brief {
    received: AtomicU64,
    /// Nobody looks until somebody is woken.
    asleep: AtomicBool,
    /// Whether there is somebody to be woken.
    there: Mutex<bool>,
    woken: Condvar,
}

impl Default for Brief {
    fn default() -> Brief {
        Brief {
            received: AtomicU64::new(0),
            asleep: AtomicBool::new(true),
            there: Mutex::new(false),
            woken: Condvar::new(),
        }
    }
}

impl Brief {
    /// Notes that a call was received.
    pub(crate) fn note(&self) {
        self.received.fetch_add(1, Ordering::SeqCst);
    }

    /// After [`note`](Self::note): whether somebody looks how long it takes; `start` has
    /// [`look`](Self::look) called by a thread of its own, if it can.
    pub(crate) fn is_looked_at(&self, start: impl FnOnce() -> bool) -> bool {
        if !self.asleep.load(Ordering::SeqCst) {
            return true;
        }
        if self.received.load(Ordering::SeqCst) <= FIRST {
            return false;
        }
        let mut there = self.there.lock();
        *there = *there || start();
        if *there {
            self.asleep.store(false, Ordering::SeqCst);
            self.woken.notify_all();
        }
        *there
    }

    /// Has `relieve` called when nobody is waiting and nothing was received for a while; until there has
    /// been nothing for long, or it has `ended`.
    pub(crate) fn look(
        &self,
        nobody_waits: impl Fn() -> bool,
        relieve: impl Fn(),
        ended: impl Fn() -> bool,
    ) {
        let mut there = self.there.lock();
        let (mut before, mut quiet) = (0, 0);
        while !ended() {
            let sleeps = quiet >= QUIET;
            self.asleep.store(sleeps, Ordering::SeqCst);
            let received = self.received.load(Ordering::SeqCst);
            let news = received != before;
            before = received;
            quiet = if news { 0 } else { quiet + 1 };
            if !news && nobody_waits() {
                relieve();
            }
            if sleeps && news {
                // It came when we were about to sleep.
                continue;
            }
            let over = self.woken.wait_for(&mut there, if sleeps { LIFE } else { TICK });
            if sleeps && over.timed_out() {
                break;
            }
            quiet = if sleeps { 0 } else { quiet };
        }
        *there = false;
        self.asleep.store(true, Ordering::SeqCst);
    }

    /// Wakes who looks, at the end.
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
    fn without_anybody_who_looks_no_call_is_brief() {
        let brief = Brief::default();
        (0..=FIRST).for_each(|_| brief.note());
        assert!(!brief.is_looked_at(|| false));
        assert!(brief.is_looked_at(|| true));
        assert!(brief.is_looked_at(|| unreachable!("somebody looks")));
    }

    #[test]
    fn what_takes_long_has_somebody_come_also_after_a_rest() {
        let brief = Arc::new(Brief::default());
        let (called, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let busy = Arc::new(AtomicBool::new(false));
        let start = || {
            let (brief, called) = (brief.clone(), called.clone());
            let (busy, ended) = (busy.clone(), ended.clone());
            let relieve = move || {
                called.fetch_add(1, Ordering::SeqCst);
            };
            thread::spawn(move || {
                let (busy, ended) =
                    (|| busy.load(Ordering::SeqCst), || ended.load(Ordering::SeqCst));
                brief.look(busy, relieve, ended);
            });
            true
        };
        (0..FIRST).for_each(|_| brief.note());
        for round in 0..3 {
            let before = called.load(Ordering::SeqCst);
            busy.store(true, Ordering::SeqCst);
            brief.note();
            assert!(brief.is_looked_at(start));
            let until = Instant::now() + Duration::from_secs(10);
            while called.load(Ordering::SeqCst) == before && Instant::now() < until {
                thread::yield_now();
            }
            assert!(called.load(Ordering::SeqCst) > before, "round {round}");
            busy.store(false, Ordering::SeqCst);
            while !brief.asleep.load(Ordering::SeqCst) {
                thread::yield_now();
            }
        }
        ended.store(true, Ordering::SeqCst);
        brief.wake();
    }
}
