//! A worker that gives a descriptor stays on its processor meanwhile: the guest that takes it wakes it
//! there, and would have it woken on an idle one otherwise.
//!
//! To stay and to be free again takes some microseconds, so a worker that counts its calls stays for a few
//! dozen of them, as long as it serves a lone caller, who comes to where it is.

use std::cell::{Cell, RefCell};

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use crate::seats::only;

/// After so many calls it is seen whether another processor is better by now.
const CALLS: u32 = 128;

thread_local! {
    /// The thread says when a call is over.
    static COUNTS: Cell<bool> = const { Cell::new(false) };
    static STAY: RefCell<Option<Stay>> = const { RefCell::new(None) };
}

struct Stay {
    before: CpuSet,
    left: u32,
}

/// From now on the calling thread says when a call is over: [`call_is_over`].
pub(crate) fn count_calls() {
    COUNTS.set(true);
}

/// Has the calling thread stay where it is, if it has a choice.
pub(crate) fn begin() {
    STAY.with_borrow_mut(|stay| {
        if stay.is_none() {
            *stay = here();
        }
    });
}

fn here() -> Option<Stay> {
    let before = sched_getaffinity(None).ok().filter(|before| before.count() > 1)?;
    sched_setaffinity(None, &only(sched_getcpu())?).ok()?;
    Some(Stay { before, left: CALLS })
}

/// It need not stay any more, unless it is told later when its call is over.
pub(crate) fn end() {
    if !COUNTS.get() {
        free();
    }
}

/// A call is over; the next may be the same caller's, if that is a lone one.
pub(crate) fn call_is_over(is_lone: bool) {
    let stays = STAY.with_borrow_mut(|stay| {
        let left = stay.as_mut().map(|stay| &mut stay.left)?;
        *left = left.saturating_sub(1);
        Some(is_lone && *left > 0)
    });
    if stays == Some(false) {
        free();
    }
}

fn free() {
    if let Some(stay) = STAY.take() {
        let _ = sched_setaffinity(None, &stay.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice() -> u32 {
        sched_getaffinity(None).unwrap().count()
    }

    #[test]
    fn who_counts_calls_stays_for_some_of_a_lone_callers() {
        let before = choice();
        let narrow = 1;
        std::thread::spawn(move || {
            begin();
            assert_eq!(choice(), narrow);
            end();
            assert_eq!(choice(), before);
            count_calls();
            for round in 0..2 {
                begin();
                end();
                for _ in 1..CALLS {
                    call_is_over(true);
                    assert_eq!(choice(), narrow, "round {round}");
                }
                call_is_over(true);
                assert_eq!(choice(), before, "round {round}");
            }
            begin();
            call_is_over(false);
            assert_eq!(choice(), before);
        })
        .join()
        .unwrap();
    }
}
