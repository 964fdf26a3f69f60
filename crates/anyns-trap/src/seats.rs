//! Where those wait who wait for calls: where there are two processors, one on each.
//!
//! The kernel wakes whoever waits on the processor of the caller, and the caller on the processor of
//! whoever answers. So two callers and those who serve them would soon all be on one processor, while
//! the other has nothing to do. Whoever may not leave its processor serves those who call there.
//!
//! Where there are more processors, nobody is held: two seats would be too few, and one for each too
//! many, since every call wakes all who wait.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use rustix::process::getpid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Tid;

/// So many changes of callers at one seat are a crowd.
const CROWD: u32 = 4;

/// Lets the calling thread, just started by one that may sit, run wherever this process may.
pub(crate) fn leave() {
    if let Ok(all) = all() {
        let _ = sched_setaffinity(None, &all);
    }
}

/// The processors of the process: those of its first thread, which never sits.
fn all() -> rustix::io::Result<CpuSet> {
    sched_getaffinity(Some(getpid()))
}

/// One processor, of those that have a place in a mask.
pub(crate) fn only(cpu: usize) -> Option<CpuSet> {
    let mut mask = CpuSet::new();
    (cpu < CpuSet::MAX_CPU).then(|| mask.set(cpu))?;
    Some(mask)
}

pub(crate) struct Seats {
    seats: Vec<Seat>,
}

struct Seat {
    cpu: usize,
    taken: AtomicBool,
    /// Whose call was the last that came here.
    last: AtomicI32,
    /// How often that was another one than before.
    changes: AtomicU32,
}

/// Where a thread may run.
#[derive(Default)]
pub(crate) struct Place {
    /// The seat whose processor it may not leave.
    held: Option<usize>,
    /// It has that seat.
    sits: bool,
}

impl Seats {
    pub(crate) fn new() -> Seats {
        let all = all().unwrap_or_default();
        let seat = |cpu| Seat {
            cpu,
            taken: AtomicBool::new(false),
            last: AtomicI32::new(0),
            changes: AtomicU32::new(0),
        };
        let seats = match all.count() {
            2 => (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).map(seat).collect(),
            _ => Vec::new(),
        };
        Seats { seats }
    }

    /// Before the calling thread waits: for one of several callers it takes a seat, if one is free.
    pub(crate) fn sit(&self, place: &mut Place, several: bool) {
        if self.seats.is_empty() {
            return;
        }
        let own = place.held.filter(|_| several);
        let others = (0..self.seats.len()).filter(|seat| several && Some(*seat) != own);
        let free = own
            .into_iter()
            .chain(others)
            .find(|seat| !self.seats[*seat].taken.swap(true, Ordering::Relaxed));
        place.sits = free.is_some();
        if free == place.held {
            return;
        }
        let mask = free.and_then(|seat| only(self.seats[seat].cpu)).map_or_else(all, Ok);
        if mask.and_then(|mask| sched_setaffinity(None, &mask)).is_ok() {
            place.held = free;
        } else if let Some(seat) = free {
            self.seats[seat].taken.store(false, Ordering::Relaxed);
            place.sits = false;
        }
    }

    /// Notes whose call has come to a place; whether that one should rather be elsewhere: there are others
    /// here, and on the other processor somebody waits for callers.
    pub(crate) fn is_crowded(&self, place: &Place, caller: Tid) -> bool {
        let Some(held) = place.held else { return false };
        let seat = &self.seats[held];
        if seat.last.swap(caller.0, Ordering::Relaxed) == caller.0 {
            return false;
        }
        let changes = seat.changes.load(Ordering::Relaxed) + 1;
        let mut others = self.seats.iter().enumerate().filter(|(other, _)| *other != held);
        let is_crowded =
            changes >= CROWD && others.any(|(_, seat)| seat.taken.load(Ordering::Relaxed));
        seat.changes.store(if is_crowded { 0 } else { changes.min(CROWD) }, Ordering::Relaxed);
        is_crowded
    }

    /// After it has waited.
    pub(crate) fn rise(&self, place: &mut Place) {
        if std::mem::take(&mut place.sits)
            && let Some(seat) = place.held
        {
            self.seats[seat].taken.store(false, Ordering::Relaxed);
        }
    }
}
