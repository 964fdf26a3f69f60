//! The numbers of namespaces (`proc_alloc_inum`) and their ids (`ns_tree`).
//!
//! A number is the lowest one that is free, and free again as soon as its namespace is. All
//! namespaces of a system have them from here, whatever their type, so this is where two processors
//! that have nothing else in common meet: the first numbers, which most systems never go beyond,
//! are bits that are taken and freed without a lock.
//!
//! The bits lie in several cache lines. Where two processors have met, whoever lost goes on to the
//! next line, and from then on a namespace has the lowest number of the line that the one it is made
//! from is in: who makes one after the other has a line to himself, and nothing has to be carried
//! from one processor to the other. Ids are counted in each line, too, as Linux counts them on each
//! processor.

use crate::sync::Mutex;
use alloc::collections::BinaryHeap;
use core::cmp::Reverse;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How many cache lines of bits there are.
pub(crate) const LINES: usize = 8;
/// How many words of bits there are in each: as many as fit beside the id.
const WORDS: usize = 7;
const BITS: u32 = u64::BITS;
/// How many numbers a line has.
const LINE: u32 = WORDS as u32 * BITS;
/// How many numbers are bits.
const LOW: u32 = LINES as u32 * LINE;
/// Ids of a line are above it, times the line.
const IDS: u32 = 56;

/// The numbers and ids of one system.
pub(crate) struct Inodes {
    first: u32,
    /// Two have wanted the same number at once.
    met: AtomicBool,
    high: Mutex<High>,
    lines: [Line; LINES],
}

#[derive(Default)]
#[repr(align(64))]
struct Line {
    ids: AtomicU64,
    /// A bit is set where a number is taken.
    bits: [AtomicU64; WORDS],
}

/// The numbers above the bits.
#[derive(Default)]
struct High {
    /// How many were ever given out since all were free.
    given: u32,
    freed: BinaryHeap<Reverse<u32>>,
}

impl Inodes {
    /// None is taken; `first` is the lowest.
    pub(crate) fn new(first: u32) -> Inodes {
        Inodes {
            first,
            met: AtomicBool::new(false),
            high: Mutex::new(High::default()),
            lines: Default::default(),
        }
    }

    /// A number that nothing else of this system ever has.
    pub(crate) fn next_id(&self) -> u64 {
        self.id_of(0)
    }

    fn id_of(&self, line: usize) -> u64 {
        (line as u64) << IDS | (self.lines[line].ids.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// In which line whatever is made from what has the number `near` begins its search.
    pub(crate) fn line(&self, near: u32) -> usize {
        if !self.met.load(Ordering::Relaxed) {
            return 0;
        }
        let place = near.checked_sub(self.first).filter(|place| *place < LOW);
        place.map_or(0, |place| (place / LINE) as usize)
    }

    /// Takes a number and an id for what is made from what has the number `near`: the lowest number,
    /// or where processors meet the lowest of a line.
    pub(crate) fn take(&self, near: u32) -> (u32, u64) {
        let start = self.line(near);
        // To count first takes the line from the other processors, so that the search finds it here.
        let id = self.id_of(start);
        let round = (start..LINES).chain(0..start);
        let found = round.clone().find_map(|line| self.take_in(line, false));
        // Whoever has gone past all others waits for them.
        let found = found.or_else(|| round.clone().find_map(|line| self.take_in(line, true)));
        let place = found.unwrap_or_else(|| LOW.saturating_add(self.take_high()));
        (self.first.saturating_add(place), id)
    }

    /// The lowest number of a line, if one is free. Only who is `patient` tries again after another was
    /// faster.
    fn take_in(&self, line: usize, patient: bool) -> Option<u32> {
        for (word, bits) in (0..).zip(&self.lines[line].bits) {
            let mut taken = bits.load(Ordering::Relaxed);
            while taken != u64::MAX {
                let bit = taken.trailing_ones();
                let with = taken | 1 << bit;
                match bits.compare_exchange(taken, with, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(_) => return Some(line as u32 * LINE + word * BITS + bit),
                    Err(now) if patient => taken = now,
                    Err(_) => {
                        self.met.store(true, Ordering::Relaxed);
                        return None;
                    }
                }
            }
        }
        None
    }

    fn take_high(&self) -> u32 {
        let mut high = self.high.lock();
        match high.freed.pop() {
            Some(Reverse(place)) => place,
            None => {
                high.given = high.given.saturating_add(1);
                high.given - 1
            }
        }
    }

    /// Gives a number back. Initial namespaces have numbers outside the pool, which are passed over.
    pub(crate) fn free(&self, inode: u32) {
        let Some(place) = inode.checked_sub(self.first) else { return };
        if let Some(line) = self.lines.get((place / LINE) as usize) {
            let bits = &line.bits[(place % LINE / BITS) as usize];
            bits.fetch_and(!(1 << (place % BITS)), Ordering::AcqRel);
            return;
        }
        let mut high = self.high.lock();
        let place = place - LOW;
        if place < high.given {
            high.freed.push(Reverse(place));
        }
        if high.freed.len() == high.given as usize {
            *high = High::default();
        }
    }

    /// How many are in use.
    pub(crate) fn used(&self) -> usize {
        let words = self.lines.iter().flat_map(|line| &line.bits);
        let low: u32 = words.map(|bits| bits.load(Ordering::Relaxed).count_ones()).sum();
        let high = self.high.lock();
        low as usize + high.given as usize - high.freed.len()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn take<const N: usize>(inodes: &Inodes) -> [u32; N] {
        core::array::from_fn(|_| inodes.take(0).0)
    }

    #[test]
    fn numbers_are_the_lowest_free_ones() {
        let inodes = Inodes::new(10);
        assert_eq!(take(&inodes), [10, 11, 12]);
        inodes.free(11);
        inodes.free(10);
        inodes.free(4); // an initial one
        assert_eq!(take(&inodes), [10, 11, 13]);
        assert_eq!(inodes.used(), 4);
    }

    #[test]
    fn the_lowest_come_first_where_a_line_and_the_bits_end() {
        let inodes = Inodes::new(0xF000_0000);
        let all: Vec<u32> = (0..LOW + 3).map(|_| inodes.take(0xF000_0000 + LINE).0).collect();
        assert!(all.iter().copied().eq(0xF000_0000..0xF000_0000 + LOW + 3));
        for place in [LOW + 1, LINE + 5, LOW] {
            inodes.free(0xF000_0000 + place);
        }
        assert_eq!(
            [LINE + 5, LOW, LOW + 1, LOW + 3].map(|place| 0xF000_0000 + place),
            take(&inodes)
        );
        all.into_iter().for_each(|inode| inodes.free(inode));
        inodes.free(0xF000_0000 + LOW + 3);
        assert_eq!(inodes.used(), 0);
    }

    /// Where two have met, whoever makes one after the other stays in a line.
    #[test]
    fn who_has_met_another_stays_near() {
        let inodes = Inodes::new(10);
        inodes.met.store(true, Ordering::Relaxed);
        let there = 10 + 2 * LINE + 7;
        let (number, id) = inodes.take(there);
        assert_eq!((number, id >> IDS), (10 + 2 * LINE, 2));
        assert_eq!(inodes.take(number).0, number + 1);
        assert_eq!(inodes.take(3).0, 10, "what is made from an initial one");
        assert_eq!(inodes.take(10 + LOW).0, 11, "what is made from one beyond the bits");
        // A full line leads to the next, and the last to the first.
        let rest: Vec<u32> = (0..LINE).map(|_| inodes.take(10 + 7 * LINE).0).collect();
        assert_eq!((rest[0], rest[LINE as usize - 1]), (10 + 7 * LINE, 10 + LOW - 1));
        assert_eq!(inodes.take(10 + 7 * LINE).0, 12);
    }

    #[test]
    fn many_at_once_have_numbers_and_ids_of_their_own() {
        let inodes = Inodes::new(10);
        let make = || {
            let mut near = 0;
            let mut own: Vec<(u32, u64)> = Vec::new();
            for round in 0..200 {
                let taken = inodes.take(near);
                (near, _) = taken;
                own.push(taken);
                if round % 2 == 1 {
                    inodes.free(taken.0);
                    own.last_mut().unwrap().0 = 0;
                }
            }
            own
        };
        let mut all: Vec<(u32, u64)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(inodes.used(), 400);
        all.sort_by_key(|(_, id)| *id);
        all.dedup_by_key(|(_, id)| *id);
        assert_eq!(all.len(), 800);
        all.retain(|(number, _)| *number != 0);
        all.sort();
        all.dedup_by_key(|(number, _)| *number);
        assert_eq!(all.len(), 400);
    }
}
