//! Many threads switch, read, fork, fail and exit at once; at the end nothing is left.
//!
//! What loom explores with a few steps of two or three threads runs here for real.
#![cfg(all(not(loom), feature = "std"))]

mod common;

use common::*;
use nsproxy::{CloneFlags as F, *};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;

/// Checks each namespace's life: made once, freed once.
#[derive(Default)]
struct Ledger {
    alive: Mutex<HashMap<u32, Kind>>,
    made: AtomicU64,
}

impl Events for Ledger {
    fn event(&self, event: &Event<'_>) {
        match *event {
            Event::Created { kind, inode, .. } => {
                self.made.fetch_add(1, Relaxed);
                assert_eq!(self.alive.lock().unwrap().insert(inode, kind), None);
            }
            Event::Freed { kind, inode } if inode >= 0xF000_0000 => {
                assert_eq!(self.alive.lock().unwrap().remove(&inode), Some(kind));
            }
            _ => {}
        }
    }
}

/// A small generator of random numbers; the tests must not depend on a crate for it.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

const WRITERS: u64 = 4;
const READERS: u64 = 4;
const ROUNDS: usize = 10_000;
const SLOTS: usize = 8;

#[test]
fn nothing_is_lost_or_left_when_everybody_works_at_once() {
    let ledger = Arc::new(Ledger::default());
    let system = System::with_events(Config::default(), ledger.clone());
    let slots: Vec<Mutex<Arc<Task>>> = (0..SLOTS).map(|_| Mutex::new(root(&system))).collect();
    let pick = |n: usize| slots[n].lock().unwrap().clone();
    let stop = AtomicBool::new(false);

    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|seed| {
                let (pick, slots) = (&pick, &slots);
                scope.spawn(move || {
                    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (seed + 1));
                    for _ in 0..ROUNDS {
                        let (slot, task) = (dice.roll(SLOTS), pick(dice.roll(SLOTS)));
                        match dice.roll(8) {
                            0 => drop(unshare(&task, NEWUTS)),
                            1 => drop(prepare_unshare(&task, NEWUTS | NEWUSER)),
                            2 => drop(prepare_clone(&task, &CloneArgs::legacy(NEWUTS.bits()))),
                            3 => {
                                let args = CloneArgs::clone3(F::empty(), 17);
                                if let Ok(newborn) = prepare_clone(&task, &args) {
                                    let old = std::mem::replace(
                                        &mut *slots[slot].lock().unwrap(),
                                        newborn.commit(),
                                    );
                                    exit(&old);
                                }
                            }
                            4 => {
                                let of = pick(slot);
                                let target = JoinTarget::Pidfd(&of, Dumpable(true));
                                if let Err(refusal) = setns(&task, target, NEWUTS.bits()) {
                                    assert!(matches!(
                                        refusal.rule,
                                        Rule::JoinProcessExited | Rule::CallerExited
                                    ));
                                }
                            }
                            5 => {
                                if let Ok(name) = prepare_set_name(&task, Name::Host, 1) {
                                    name.commit(&[b'a' + (slot as u8)]);
                                }
                            }
                            6 => drop(creds::setfsuid(&task, slot as u32)),
                            _ => {
                                let args = CloneArgs::legacy((NEWUSER | NEWUTS).bits());
                                if let Ok(newborn) = prepare_clone(&task, &args) {
                                    exit(&newborn.commit());
                                }
                            }
                        }
                    }
                })
            })
            .collect();
        for seed in 0..READERS {
            let (pick, stop, ledger) = (&pick, &stop, &ledger);
            scope.spawn(move || {
                let mut dice = Dice(0xd1b5_4a32_d192_ed03 ^ (seed + 1));
                while !stop.load(Relaxed) {
                    let task = pick(dice.roll(SLOTS));
                    if let Some(proxy) = task.nsproxy() {
                        let inode = proxy.uts.inode();
                        let initial = proxy.uts.owner().is_initial() && inode < 0xF000_0000;
                        let known = ledger.alive.lock().unwrap().get(&inode) == Some(&Kind::Uts);
                        assert!(initial || known, "{inode} is held and freed");
                        assert!(proxy.uts.names().host.as_bytes().len() <= 64);
                    }
                    assert!(task.cred().user.is_initial());
                }
            });
        }
        for writer in writers {
            writer.join().unwrap();
        }
        stop.store(true, Relaxed);
    });

    assert!(ledger.made.load(Relaxed) > 1_000);
    drop(slots);
    assert_eq!(system.namespaces_alive(), 0);
    assert!(ledger.alive.lock().unwrap().is_empty());
    for kind in KindSet::ROOMS.iter() {
        assert_eq!(namespaces_charged(&system.init_user(), Kuid(0), kind), 0);
    }
}

#[test]
fn threads_that_switch_one_task_take_turns() {
    let system = boot();
    let task = root(&system);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    unshare(&task, NEWUTS).unwrap();
                }
            });
        }
    });
    assert_eq!(system.namespaces_alive(), 1);
}
