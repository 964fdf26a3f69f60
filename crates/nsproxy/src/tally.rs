//! What one user is charged with in one user namespace (`ucounts`), and how many may count at once.
//!
//! A count that a limit forbids is refused, and no other: so all who count would have to meet at one
//! word. Where two have met, each keeps a few of the counts it gave back in a cache line of its own
//! instead, for itself to take again. Such a *spare* is still in the count, so nobody else can have
//! it: whoever would be refused first gathers the spares of all, and from then on none is taken, or
//! one could be left behind him and another be taken before him, and he would find none for ever.
//!
//! What is charged is the count less all spares. A spare may only be taken while the count, in which
//! it is, is within the limit: then what is charged is below it.

use crate::{
    Kind,
    inode::LINES,
    sync::{AtomicU32, Mutex, Ordering},
};
use alloc::boxed::Box;
use once_cell::race::OnceBox;

/// A number for each type.
pub(crate) type PerKind = [AtomicU32; Kind::ALL.len()];

pub(crate) fn per_kind(value: u32) -> PerKind {
    core::array::from_fn(|_| AtomicU32::new(value))
}

/// In loom's models two are enough, and as many as there can be.
const LANES: usize = if cfg!(loom) { 2 } else { LINES };

/// How many spares of a type a lane keeps.
const SPARES: u32 = 4;

/// What one user is charged with in one user namespace.
pub(crate) struct Tally {
    count: PerKind,
    /// Made when two have met.
    spares: OnceBox<Spares>,
}

struct Spares {
    /// The types that have no spares any more, one bit each.
    gathered: AtomicU32,
    /// Held while those of a type are gathered.
    gathering: Mutex<()>,
    lanes: [Lane; LANES],
}

/// Alone in its cache line.
#[repr(align(64))]
struct Lane(PerKind);

impl Spares {
    fn new() -> Box<Spares> {
        Box::new(Spares {
            gathered: AtomicU32::new(0),
            gathering: Mutex::new(()),
            lanes: core::array::from_fn(|_| Lane(per_kind(0))),
        })
    }

    fn of(&self, kind: Kind, lane: usize) -> &AtomicU32 {
        &self.lanes[lane % LANES].0[kind as usize]
    }

    fn are_gathered(&self, kind: Kind) -> bool {
        self.gathered.load(Ordering::SeqCst) & 1 << kind as u32 != 0
    }
}

/// Takes one of what is there.
fn take_one(from: &AtomicU32) -> bool {
    let less = |count: u32| count.checked_sub(1);
    from.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
}

impl Tally {
    /// Nothing.
    pub(crate) fn new() -> Tally {
        Tally { count: per_kind(0), spares: OnceBox::new() }
    }

    /// Counts one more, or returns the limit, which `limit` reads, that forbids it. Whoever counts
    /// one after the other names the same lane.
    pub(crate) fn add(&self, kind: Kind, lane: usize, limit: impl Fn() -> u32) -> Result<(), u32> {
        if self.take_spare(kind, lane, &limit) {
            return Ok(());
        }
        let count = &self.count[kind as usize];
        let mut now = count.load(Ordering::SeqCst);
        loop {
            let max = limit();
            if now >= max {
                now = self.gather(kind).filter(|now| *now < max).ok_or(max)?;
            }
            match count.compare_exchange(now, now + 1, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Ok(()),
                Err(found) => {
                    self.spares.get_or_init(Spares::new);
                    now = found;
                }
            }
        }
    }

    /// Counts one less.
    pub(crate) fn remove(&self, kind: Kind, lane: usize) {
        if !self.leave_spare(kind, lane) {
            self.count[kind as usize].fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// What is charged.
    pub(crate) fn get(&self, kind: Kind) -> u32 {
        let spares = (0..LANES).filter_map(|lane| Some(self.spares.get()?.of(kind, lane)));
        let spare = spares.map(|spare| spare.load(Ordering::SeqCst)).sum();
        self.count[kind as usize].load(Ordering::SeqCst).saturating_sub(spare)
    }

    fn take_spare(&self, kind: Kind, lane: usize, limit: impl Fn() -> u32) -> bool {
        let Some(spares) = self.spares.get() else { return false };
        let count = &self.count[kind as usize];
        let within = || count.load(Ordering::SeqCst) <= limit();
        if spares.are_gathered(kind) || !within() || !take_one(spares.of(kind, lane)) {
            return false;
        }
        // The limit may have been lowered before the spare was left.
        if within() {
            return true;
        }
        count.fetch_sub(1, Ordering::SeqCst);
        false
    }

    fn leave_spare(&self, kind: Kind, lane: usize) -> bool {
        let Some(spares) = self.spares.get().filter(|spares| !spares.are_gathered(kind)) else {
            return false;
        };
        // Who gathers meanwhile may have been to this lane: he was refused before this one was given
        // back. Whoever comes after him gathers again.
        let more = |count| (count < SPARES).then_some(count + 1);
        spares.of(kind, lane).fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// Takes all spares out of the count, and says what it is then; `None` where there never were any.
    fn gather(&self, kind: Kind) -> Option<u32> {
        let spares = self.spares.get()?;
        let one_at_a_time = spares.gathering.lock();
        spares.gathered.fetch_or(1 << kind as u32, Ordering::SeqCst);
        let all = (0..LANES).map(|lane| spares.of(kind, lane).swap(0, Ordering::SeqCst)).sum();
        let count = self.count[kind as usize].fetch_sub(all, Ordering::SeqCst) - all;
        drop(one_at_a_time);
        Some(count)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const UTS: Kind = Kind::Uts;

    fn met() -> Tally {
        let tally = Tally::new();
        tally.spares.get_or_init(Spares::new);
        tally
    }

    #[test]
    fn a_spare_is_taken_again_and_charged_to_nobody() {
        let tally = met();
        (0..3).for_each(|_| tally.add(UTS, 0, || 9).unwrap());
        tally.remove(UTS, 1);
        assert_eq!((tally.count[UTS as usize].load(Ordering::SeqCst), tally.get(UTS)), (3, 2));
        tally.add(UTS, 1, || 9).unwrap();
        assert_eq!((tally.count[UTS as usize].load(Ordering::SeqCst), tally.get(UTS)), (3, 3));
        tally.add(UTS, 1, || 9).unwrap();
        assert_eq!((tally.count[UTS as usize].load(Ordering::SeqCst), tally.get(UTS)), (4, 4));
        assert_eq!(tally.get(Kind::Ipc), 0);
    }

    #[test]
    fn a_lane_keeps_a_few() {
        let tally = met();
        (0..10).for_each(|_| tally.add(UTS, 0, || 10).unwrap());
        (0..10).for_each(|_| tally.remove(UTS, 0));
        assert_eq!((tally.count[UTS as usize].load(Ordering::SeqCst), tally.get(UTS)), (SPARES, 0));
    }

    /// Up to the limit and no further, wherever the spares lie; each type for itself.
    #[test]
    fn a_limit_holds_for_all_lanes_together() {
        let tally = met();
        for kind in [Kind::Net, UTS] {
            let counted = || tally.count[kind as usize].load(Ordering::SeqCst);
            (0..4).for_each(|lane| tally.add(kind, lane, || 4).unwrap());
            (0..3).for_each(|lane| tally.remove(kind, lane));
            assert_eq!(counted(), 4, "the other type's are gathered");
            (0..3).for_each(|_| tally.add(kind, 7, || 4).unwrap());
            assert_eq!((tally.add(kind, 7, || 4), tally.get(kind)), (Err(4), 4));
            // There are no spares any more.
            tally.remove(kind, 7);
            assert_eq!(counted(), 3);
            assert_eq!((tally.add(kind, 1, || 4), tally.add(kind, 1, || 4)), (Ok(()), Err(4)));
        }
    }

    /// The spare is there, the limit is not.
    #[test]
    fn a_spare_is_nothing_to_be_had_beyond_the_limit() {
        let tally = met();
        (0..3).for_each(|_| tally.add(UTS, 0, || 3).unwrap());
        tally.remove(UTS, 0);
        assert_eq!((tally.add(UTS, 0, || 2), tally.get(UTS)), (Err(2), 2));
        tally.remove(UTS, 0);
        assert_eq!((tally.add(UTS, 0, || 2), tally.get(UTS)), (Ok(()), 2));
    }

    /// Lowered after the look at the count, before the spare was taken.
    #[test]
    fn a_limit_that_is_lowered_meanwhile_holds() {
        let tally = met();
        (0..3).for_each(|_| tally.add(UTS, 0, || 3).unwrap());
        tally.remove(UTS, 0);
        let asked = core::cell::Cell::new(0);
        let lowered = || [3, 1][usize::from(asked.replace(asked.get() + 1) > 0)];
        assert_eq!((tally.add(UTS, 0, lowered), tally.get(UTS)), (Err(1), 2));
        assert_eq!(tally.count[UTS as usize].load(Ordering::SeqCst), 2);
    }

    #[test]
    fn many_at_once_leave_nothing() {
        let tally = Tally::new();
        std::thread::scope(|scope| {
            for lane in 0..4 {
                let tally = &tally;
                scope.spawn(move || {
                    for _ in 0..2000 {
                        tally.add(UTS, lane, || 4).unwrap();
                        assert!(tally.count[UTS as usize].load(Ordering::SeqCst) <= 4);
                        tally.remove(UTS, lane);
                    }
                });
            }
        });
        assert_eq!(tally.get(UTS), 0);
    }
}

#[cfg(all(test, loom))]
mod tests {
    use super::*;
    use crate::sync::Arc;
    use loom::thread;

    const UTS: Kind = Kind::Uts;

    fn met(charged: u32) -> Arc<Tally> {
        let tally = Tally::new();
        tally.spares.get_or_init(Spares::new);
        (0..charged).for_each(|_| tally.add(UTS, 0, || 9).unwrap());
        Arc::new(tally)
    }

    /// Feared: of two who give one back and take one again, one is refused, because the other's
    /// spare is neither in the count nor in its lane.
    #[test]
    fn whoever_gave_one_back_gets_one() {
        loom::model(|| {
            let tally = met(2);
            // In the other's lane: each looks for what it did not leave there.
            let again = |tally: &Tally, lane| {
                tally.remove(UTS, lane);
                tally.add(UTS, lane ^ 1, || 2).unwrap();
            };
            let other = {
                let tally = Arc::clone(&tally);
                thread::spawn(move || again(&tally, 1))
            };
            again(&tally, 0);
            other.join().unwrap();
            assert_eq!((tally.get(UTS), tally.add(UTS, 0, || 2)), (2, Err(2)));
        });
    }

    /// Feared: two want the last one, and both get it; or the one that gathers is overtaken by a
    /// spare that is left in a lane it has been to, and nobody gets what is free.
    #[test]
    fn of_two_who_want_what_one_gave_back_one_gets_it() {
        loom::model(|| {
            let tally = met(1);
            let takers = [0, 1].map(|lane| {
                let tally = Arc::clone(&tally);
                thread::spawn(move || tally.add(UTS, lane, || 1).is_ok())
            });
            tally.remove(UTS, 0);
            let got = takers.map(|taker| usize::from(taker.join().unwrap())).iter().sum::<usize>();
            assert!(got <= 1);
            assert_eq!(tally.get(UTS), got as u32);
            let more = usize::from(tally.add(UTS, 1, || 1).is_ok());
            assert_eq!(got + more, 1);
        });
    }
}
