//! The numbers of namespaces (`proc_alloc_inum`) and their ids (`ns_tree`).
//!
//! A number is the lowest one that is free, and free again as soon as its namespace is. All
//! namespaces of a system have them from here, whatever their type, so this is where two threads
//! that have nothing else in common meet: the first numbers, which most systems never go beyond,
//! are bits that are taken and freed without a lock, in the same cache line as the ids.

use crate::sync::Mutex;
use alloc::collections::BinaryHeap;
use core::cmp::Reverse;
use core::sync::atomic::{AtomicU64, Ordering};

/// How many words of bits there are: as many as fit beside the id.
const WORDS: usize = 7;
const BITS: u32 = u64::BITS;
/// How many numbers are bits.
const LOW: u32 = WORDS as u32 * BITS;

/// The numbers and ids of one system.
#[repr(align(64))]
pub(crate) struct Inodes {
    next_id: AtomicU64,
    /// A bit is set where a number is taken.
    low: [AtomicU64; WORDS],
    high: Mutex<High>,
    first: u32,
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
            next_id: AtomicU64::new(1),
            low: Default::default(),
            high: Mutex::new(High::default()),
            first,
        }
    }

    /// A number that nothing else of this system ever has.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes the lowest number.
    pub(crate) fn take(&self) -> u32 {
        for (word, bits) in (0..).zip(&self.low) {
            let mut taken = bits.load(Ordering::Relaxed);
            while taken != u64::MAX {
                let bit = taken.trailing_ones();
                let with = taken | 1 << bit;
                match bits.compare_exchange_weak(taken, with, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(_) => return self.first.saturating_add(word * BITS + bit),
                    Err(now) => taken = now,
                }
            }
        }
        let mut high = self.high.lock();
        let place = match high.freed.pop() {
            Some(Reverse(place)) => place,
            None => {
                high.given = high.given.saturating_add(1);
                high.given - 1
            }
        };
        self.first.saturating_add(LOW).saturating_add(place)
    }

    /// Gives a number back. Initial namespaces have numbers outside the pool, which are passed over.
    pub(crate) fn free(&self, inode: u32) {
        let Some(place) = inode.checked_sub(self.first) else { return };
        if let Some(bits) = self.low.get((place / BITS) as usize) {
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
        let low: u32 = self.low.iter().map(|bits| bits.load(Ordering::Relaxed).count_ones()).sum();
        let high = self.high.lock();
        low as usize + high.given as usize - high.freed.len()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_lowest_free_ones() {
        let inodes = Inodes::new(10);
        assert_eq!([inodes.take(), inodes.take(), inodes.take()], [10, 11, 12]);
        inodes.free(11);
        inodes.free(10);
        inodes.free(4); // an initial one
        assert_eq!([inodes.take(), inodes.take(), inodes.take()], [10, 11, 13]);
        assert_eq!(inodes.used(), 4);
    }

    #[test]
    fn the_lowest_come_first_where_the_bits_end() {
        let inodes = Inodes::new(0xF000_0000);
        let all: alloc::vec::Vec<u32> = (0..LOW + 3).map(|_| inodes.take()).collect();
        assert!(all.iter().copied().eq(0xF000_0000..0xF000_0000 + LOW + 3));
        for place in [LOW + 1, 5, LOW] {
            inodes.free(0xF000_0000 + place);
        }
        assert_eq!(
            [5, LOW, LOW + 1, LOW + 3].map(|place| 0xF000_0000 + place),
            [inodes.take(), inodes.take(), inodes.take(), inodes.take()]
        );
        all.into_iter().for_each(|inode| inodes.free(inode));
        inodes.free(0xF000_0000 + LOW + 3);
        assert_eq!(inodes.used(), 0);
    }
}
