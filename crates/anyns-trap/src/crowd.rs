//! How many threads wait for calls: one, as long as no call comes while another is served.
//!
//! The kernel wakes every thread that waits for calls, for each of them, and all but one wake for
//! nothing. So one waits, and after some of the calls looks whether another's has come meanwhile. If that
//! happens more than now and then there is a crowd, for whom several threads wait: for some calls, after
//! which it is tried again with one, more and more rarely; or until one caller calls alone. (The same caller's next call can be there
//! already, where it has run before the thread that woke it.) As long as the first guest has made no
//! other nobody else can call, and there is one thread in all.
//!
//! State: for how many calls more several threads wait; who called last, and how often in a row; what the
//! last looks showed; whether there is but one guest.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use crate::Tid;
use crate::notify::Told;
use crate::trace::BIRTHS;

/// One of so many calls is followed by a look.
const EVERY: u32 = 4;
/// So many looks are remembered, and this many of them that showed a call make a crowd.
const LOOKS: u32 = 8;
const SHOWED: u32 = 2;
/// A crowd is believed in for so many calls at first, and at most.
const BELIEF: (u32, u32) = (64, 8192);
/// So many calls in a row make a lone caller.
const ROW: u32 = 32;
/// Who has served so many calls alone without a crowd believes in the next one for a short time again.
const QUIET: u32 = 512;

pub(crate) struct Crowd {
    /// The first guest has made no other yet.
    is_first: AtomicBool,
    /// For so many calls more several threads wait.
    left: AtomicU32,
    last: AtomicI32,
    row: AtomicU32,
    /// Calls since one waits.
    calls: AtomicU32,
    /// The last looks, a bit for each.
    looks: AtomicU32,
    /// Whose call was over when one was seen to wait, which may be its next; 0 for none.
    seen_after: AtomicI32,
    /// For how many calls the next crowd will be believed in.
    belief: AtomicU32,
}

impl Crowd {
    /// Before the first call; `is_first` if every birth will be told.
    pub(crate) fn new(is_first: bool) -> Crowd {
        Crowd {
            is_first: AtomicBool::new(is_first),
            left: AtomicU32::new(0),
            last: AtomicI32::new(0),
            row: AtomicU32::new(0),
            calls: AtomicU32::new(0),
            looks: AtomicU32::new(0),
            seen_after: AtomicI32::new(0),
            belief: AtomicU32::new(BELIEF.0),
        }
    }

    /// Notes that a call was received. (What two threads do to the counts at once may be lost.)
    pub(crate) fn note(&self, told: &Told) {
        if BIRTHS.contains(&told.nr) {
            self.is_first.store(false, Ordering::Relaxed);
        }
        match self.seen_after.swap(0, Ordering::Relaxed) {
            0 => {}
            after => self.showed(told.tid.0 != after),
        }
        match self.left.load(Ordering::Relaxed) {
            0 => {
                let calls = self.calls.load(Ordering::Relaxed).saturating_add(1);
                self.calls.store(calls, Ordering::Relaxed);
                if calls == QUIET {
                    self.belief.store(BELIEF.0, Ordering::Relaxed);
                }
            }
            left => self.left.store(left - 1, Ordering::Relaxed),
        }
        let row = match self.last.load(Ordering::Relaxed) == told.tid.0 {
            true => self.row.load(Ordering::Relaxed) + 1,
            false => 0,
        };
        if row == 0 {
            self.last.store(told.tid.0, Ordering::Relaxed);
        }
        if row <= ROW {
            self.row.store(row, Ordering::Relaxed);
        }
        if row == ROW {
            self.left.store(0, Ordering::Relaxed);
        }
    }

    /// Whether several threads shall wait.
    pub(crate) fn is_there(&self) -> bool {
        self.left.load(Ordering::Relaxed) > 0
    }

    /// Whether nobody but the first guest can call.
    pub(crate) fn is_first(&self) -> bool {
        self.is_first.load(Ordering::Relaxed)
    }

    /// After a call: `look` says whether another is waiting. It is asked now and then.
    pub(crate) fn call_is_over(&self, caller: Tid, look: impl FnOnce() -> bool) {
        let calls = self.calls.load(Ordering::Relaxed);
        if self.is_there() || self.is_first() || !calls.is_multiple_of(EVERY) {
            return;
        }
        match look() {
            true => self.seen_after.store(caller.0, Ordering::Relaxed),
            false => self.showed(false),
        }
    }

    /// Notes what a look has shown.
    fn showed(&self, a_call: bool) {
        let looks = self.looks.load(Ordering::Relaxed) << 1 | u32::from(a_call);
        let looks = looks & ((1 << LOOKS) - 1);
        if looks.count_ones() < SHOWED {
            self.looks.store(looks, Ordering::Relaxed);
            return;
        }
        let belief = self.belief.load(Ordering::Relaxed);
        self.looks.store(0, Ordering::Relaxed);
        self.calls.store(0, Ordering::Relaxed);
        self.belief.store((belief * 2).min(BELIEF.1), Ordering::Relaxed);
        self.left.store(belief, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(tid: i32, nr: i64) -> Told {
        Told { id: 1, tid: Tid(tid), nr, args: [0; 6], ip: 0 }
    }

    /// Calls, of these in turn, until there is a crowd, or not any more; after each another waits or not.
    fn calls_until(crowd: &Crowd, is_there: bool, callers: [i32; 2], waits: bool) -> u32 {
        let callers = callers.into_iter().cycle();
        let calls = (1..100_000).zip(callers).find(|(_, tid)| {
            crowd.note(&told(*tid, libc::SYS_getuid));
            crowd.call_is_over(Tid(*tid), || waits);
            crowd.is_there() == is_there
        });
        calls.expect("sooner or later").0
    }

    #[test]
    fn the_first_is_alone_until_it_makes_another() {
        let crowd = Crowd::new(true);
        crowd.note(&told(7, libc::SYS_execve));
        assert!(crowd.is_first() && !crowd.is_there());
        crowd.note(&told(7, libc::SYS_clone));
        assert!(!crowd.is_first() && !crowd.is_there());
    }

    #[test]
    fn a_crowd_is_believed_in_longer_and_longer() {
        let crowd = Crowd::new(false);
        let both = [7, 8];
        assert!(calls_until(&crowd, true, both, true) <= SHOWED * EVERY + 1);
        for belief in [BELIEF.0, 2 * BELIEF.0, 4 * BELIEF.0] {
            assert!(calls_until(&crowd, false, both, true).abs_diff(belief) <= 1);
            assert!(calls_until(&crowd, true, both, true) <= SHOWED * EVERY + 1);
        }
        for _ in 0..10 {
            assert!(calls_until(&crowd, false, both, true) <= BELIEF.1);
            calls_until(&crowd, true, both, true);
        }
        calls_until(&crowd, false, both, true);
        for tid in both.into_iter().cycle().take(QUIET as usize) {
            crowd.note(&told(tid, libc::SYS_getuid));
            crowd.call_is_over(Tid(tid), || false);
            assert!(!crowd.is_there());
        }
        calls_until(&crowd, true, both, true);
        assert!(calls_until(&crowd, false, both, true).abs_diff(BELIEF.0) <= 1);
    }

    #[test]
    fn a_lone_caller_ends_it() {
        let crowd = Crowd::new(false);
        for _ in 0..5 {
            calls_until(&crowd, true, [7, 8], true);
            assert!(calls_until(&crowd, false, [7, 7], false) <= ROW + 1);
        }
    }

    #[test]
    fn what_happens_now_and_then_is_no_crowd_and_neither_is_one_caller() {
        let crowd = Crowd::new(false);
        for (call, tid) in (0..1000).zip([7, 8].into_iter().cycle()) {
            crowd.note(&told(tid, libc::SYS_getuid));
            crowd.call_is_over(Tid(tid), || call % (EVERY * (LOOKS + 1)) == EVERY - 1);
            assert!(!crowd.is_there());
        }
        for _ in 0..1000 {
            crowd.note(&told(7, libc::SYS_getuid));
            crowd.call_is_over(Tid(7), || true);
            assert!(!crowd.is_there());
        }
    }
}
