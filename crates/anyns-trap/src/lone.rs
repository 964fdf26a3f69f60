//! A lone caller: one thread of a guest that makes call after call, while no other makes any.
//!
//! The kernel wakes every thread that waits for calls, for each of them, and all but one wake for
//! nothing. So for a lone caller one thread waits. And as long as the first guest has made no other,
//! nobody else can call: there is one thread in all.
//!
//! State: who called last, and how often in a row; whether there is but one guest.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use crate::notify::Told;
use crate::trace::BIRTHS;

/// So many calls in a row make a lone caller.
const ROW: u32 = 32;

#[derive(Default)]
pub(crate) struct Lone {
    last: AtomicI32,
    row: AtomicU32,
    /// It has made no other guest yet.
    is_first: AtomicBool,
}

impl Lone {
    /// Before the first call; `is_first` if every birth will be told.
    pub(crate) fn new(is_first: bool) -> Lone {
        Lone { is_first: AtomicBool::new(is_first), ..Lone::default() }
    }

    /// Notes who makes a call.
    pub(crate) fn note(&self, told: &Told) {
        let tid = told.tid;
        if BIRTHS.contains(&told.nr) {
            self.is_first.store(false, Ordering::Relaxed);
        }
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
        self.row.load(Ordering::Relaxed) >= ROW || self.is_first()
    }

    /// Whether nobody else can call.
    pub(crate) fn is_first(&self) -> bool {
        self.is_first.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tid;

    fn told(tid: i32, nr: i64) -> Told {
        Told { id: 1, tid: Tid(tid), nr, args: [0; 6], ip: 0 }
    }

    #[test]
    fn who_calls_often_in_a_row_is_alone() {
        let lone = Lone::default();
        for _ in 0..=ROW {
            assert!(!lone.is_on());
            lone.note(&told(7, libc::SYS_getuid));
        }
        assert!(lone.is_on());
        lone.note(&told(8, libc::SYS_getuid));
        assert!(!lone.is_on());
    }

    #[test]
    fn the_first_is_alone_until_it_makes_another() {
        let lone = Lone::new(true);
        lone.note(&told(7, libc::SYS_execve));
        assert!(lone.is_on() && lone.is_first());
        lone.note(&told(7, libc::SYS_clone));
        assert!(!lone.is_on() && !lone.is_first());
    }
}
