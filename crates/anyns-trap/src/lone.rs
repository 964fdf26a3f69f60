//! A lone caller: one thread of a guest that makes call after call, while no other makes any.
//!
//! The kernel wakes every thread that waits for calls, for each of them, and all but one wake for
//! nothing. So for a lone caller one thread waits.
//!
//! State: who called last, and how often in a row.

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use crate::Tid;

/// So many calls in a row make a lone caller.
const ROW: u32 = 32;

#[derive(Default)]
pub(crate) struct Lone {
    last: AtomicI32,
    row: AtomicU32,
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
