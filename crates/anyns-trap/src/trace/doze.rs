//! A caller that sleeps in place of its call: in pause(2), which it has not asked for, at the same
//! instruction and with the same registers.
//!
//! Nobody traces it meanwhile, and no thread of ours waits for it. A signal whose handler runs ends
//! the sleep, and what it sees is its own call saying EINTR; other signals do to it what they do to
//! any sleeper. Whoever has something for it stops it ([`Dozer::rouse`]) and finds out there whether
//! it still sleeps: from then on it stands, so that what is decided for it is what it gets.
//!
//! A guest that filters its own calls and refuses pause(2) gets what its filter says.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use super::tracee::{self, Next, Stopped, Whom, Why, tracer_of};
use crate::arch::{CALL_LEN, PAUSE, Regs};
use crate::memory::Memory;
use crate::notify::Port;
use crate::{Tid, record, stop};

/// ERESTARTNOHAND: the call is made anew, or says EINTR if a handler runs first.
const RESTART_UNLESS_HANDLED: i64 = -514;
/// The number of the call of a thread that stands in its own code.
const NO_CALL: i64 = -1;

/// A caller that has been put to sleep, and may have woken since.
pub struct Dozer {
    tid: Tid,
    port: Option<Arc<Port>>,
    /// Where it sleeps: the instruction behind the call, the stack, the arguments.
    ip: u64,
    stack: u64,
    args: [u64; 6],
}

/// What a sleeper seems to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seems {
    /// It sleeps.
    Asleep,
    /// It runs: a signal has woken it, perhaps for a moment only.
    Awake,
    /// It sleeps elsewhere, or is dead.
    Gone,
}

/// What came of an attempt to rouse.
#[expect(clippy::large_enum_variant, reason = "made once, taken apart at once")]
pub enum Woken {
    /// It slept, and stands now.
    Stands(Roused),
    /// It has woken by itself, or is dead: its call is over.
    Gone,
    /// The host does not let us trace it just now, because another guest does; it may sleep or not.
    Untraceable,
}

/// A caller that stands, roused from its sleep. Dropping it lets it sleep on.
pub struct Roused {
    stopped: Option<(Stopped, Why, Regs)>,
    thread_bound: PhantomData<Rc<()>>,
}

/// Lets `stopped`, which stands at its call (`before` are its registers there), go to sleep.
pub(super) fn begin(stopped: Stopped, before: Regs, port: Option<Arc<Port>>, why: Why) -> Dozer {
    let dozer = Dozer {
        tid: stopped.tid(),
        port: port.or_else(|| stopped.port()),
        ip: before.ip(),
        stack: before.stack(),
        args: before.args(),
    };
    let mut regs = before;
    regs.set_nr(PAUSE);
    // As if pause had been interrupted: the kernel, on its way out, makes it begin, or has a signal
    // that waits already end it.
    regs.set_result(RESTART_UNLESS_HANDLED);
    stopped.set_regs(&regs);
    stopped.detach(why);
    dozer
}

impl Dozer {
    /// The sleeper.
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// What it seems to do; the answer is old at once.
    pub fn glance(&self) -> Seems {
        // Its tracer may not have let it go to sleep yet.
        if stop::keeper_of(self.tid)
            .and_then(|keeper| keeper.slot(self.tid))
            .is_some_and(|slot| slot.is_lent())
        {
            return Seems::Awake;
        }
        match record::of_thread(self.tid, "syscall") {
            Ok(line) => self.seems(&line),
            Err(_) => Seems::Gone,
        }
    }

    /// What `/proc/TID/syscall` says: the call's number (-1 for none), its arguments, and the stack and
    /// instruction pointers. One that a stop has woken stands before its call instruction at times.
    fn seems(&self, line: &str) -> Seems {
        let mut words = line.split_whitespace();
        let Some(nr) = words.next().and_then(|word| word.parse::<i64>().ok()) else {
            return Seems::Awake;
        };
        let hex = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
        let words: Vec<u64> = words.filter_map(hex).collect();
        let at = |ip| words.ends_with(&[self.stack, ip]);
        match nr {
            PAUSE if at(self.ip) => Seems::Asleep,
            PAUSE | NO_CALL if at(self.ip - CALL_LEN) => Seems::Asleep,
            _ => Seems::Gone,
        }
    }

    /// Stops it, if it still sleeps. Another call, if it has come to one that signals end, may be
    /// ended by the attempt: [`glance`](Dozer::glance) first.
    pub fn rouse(&self) -> Woken {
        let mut running = match tracee::seize_any(self.port.as_ref(), self.tid, 0, Whom::Somebody) {
            Ok(running) => running,
            Err(e) if e.raw_os_error() == Some(libc::EPERM) && tracer_of(self.tid).is_some() => {
                return Woken::Untraceable;
            }
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => return Woken::Untraceable,
            Err(_) => return Woken::Gone,
        };
        running.interrupt();
        loop {
            running = match running.wait() {
                Next::Stopped(stopped, why) => {
                    return match stopped.regs() {
                        // A handler that is about to run means that the sleep is over.
                        Some(regs) if self.is_asleep(&regs) && !matches!(why, Why::Signal(_)) => {
                            let stopped = Some((stopped, why, regs));
                            Woken::Stands(Roused { stopped, thread_bound: PhantomData })
                        }
                        Some(regs) if self.is_asleep(&regs) => {
                            // Which signals are ignored the kernel decides when it is let go.
                            stopped.detach(why);
                            Woken::Untraceable
                        }
                        _ => {
                            stopped.detach(why);
                            Woken::Gone
                        }
                    };
                }
                Next::Dead => return Woken::Gone,
                Next::Tick(running) => running,
                Next::Mail(running, id) => {
                    running.restart(id);
                    running
                }
            }
        }
    }

    /// Whether these are the registers of its sleep: interrupted, or about to begin anew. One that an
    /// interrupt has caught on its way to the call instruction is in no call, but will be.
    fn is_asleep(&self, regs: &Regs) -> bool {
        let interrupted =
            regs.ip() == self.ip && regs.result() == RESTART_UNLESS_HANDLED && regs.nr() == PAUSE;
        let again = regs.ip() + CALL_LEN == self.ip
            && regs.result() == PAUSE
            && matches!(regs.nr(), PAUSE | NO_CALL);
        let here = regs.stack() == self.stack && regs.args() == self.args;
        here && (interrupted || again)
    }
}

impl Roused {
    /// The sleeper's memory.
    pub fn mem(&self) -> Memory<'_> {
        let tid = self.stopped.as_ref().map(|(stopped, ..)| stopped.tid());
        Memory::of_stopped(tid.expect("taken only by the methods that consume"))
    }

    /// Lets it go, its own call having this result (or a negative error number).
    pub fn answer(mut self, result: i64) {
        let Some((stopped, why, mut regs)) = self.stopped.take() else { return };
        if regs.result() == PAUSE {
            regs.set_ip(regs.ip() + CALL_LEN);
        }
        regs.set_result(result);
        // In no call any more, so that nothing is restarted.
        regs.set_nr(NO_CALL);
        stopped.set_regs(&regs);
        stopped.detach(why);
    }
}

impl Drop for Roused {
    fn drop(&mut self) {
        if let Some((stopped, why, _)) = self.stopped.take() {
            stopped.detach(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: u64 = 0x40_1002;

    fn dozer(args: [u64; 6]) -> Dozer {
        Dozer { tid: Tid(1), port: None, ip: IP, stack: 0x7ff0, args }
    }

    fn regs(nr: i64, result: i64, ip: u64, args: [u64; 6]) -> Regs {
        // SAFETY: registers are plain numbers, and all of them may be 0.
        let mut regs = Regs(unsafe { std::mem::zeroed() });
        regs.set_args(args);
        regs.set_nr(nr);
        regs.set_result(result);
        regs.set_ip(ip);
        regs.0.rsp = 0x7ff0;
        regs
    }

    #[test]
    fn a_sleeper_is_known_wherever_it_is_caught() {
        let args = [3, 0x1000, 1, 0, 0, 0];
        let sleeper = dozer(args);
        let before = IP - CALL_LEN;
        for (what, asleep, caught) in [
            ("in its pause", true, regs(PAUSE, RESTART_UNLESS_HANDLED, IP, args)),
            ("on the kernel's way back to it", true, regs(PAUSE, PAUSE, before, args)),
            // The kernel has let it go, and the interrupt comes before its first instruction.
            ("at its call, in none yet", true, regs(NO_CALL, PAUSE, before, args)),
            ("after its pause", false, regs(NO_CALL, -4, IP, args)),
            ("in its own call", false, regs(libc::SYS_semop, RESTART_UNLESS_HANDLED, IP, args)),
            ("elsewhere", false, regs(NO_CALL, PAUSE, before - 1, args)),
            ("with other arguments", false, regs(PAUSE, PAUSE, before, [0; 6])),
        ] {
            assert_eq!(sleeper.is_asleep(&caught), asleep, "{what}");
        }
    }

    #[test]
    fn a_glance_sees_a_sleeper_on_its_way_back() {
        let sleeper = dozer([3, 0x1000, 1, 0, 0, 0]);
        for (line, seems) in [
            ("34 0x3 0x1000 0x1 0x0 0x0 0x0 0x7ff0 0x401002", Seems::Asleep),
            ("34 0x3 0x1000 0x1 0x0 0x0 0x0 0x7ff0 0x401000", Seems::Asleep),
            ("-1 0x7ff0 0x401000", Seems::Asleep),
            ("running", Seems::Awake),
            ("-1 0x7ff0 0x401002", Seems::Gone),
            ("65 0x3 0x1000 0x1 0x0 0x0 0x0 0x7ff0 0x401002", Seems::Gone),
            ("34 0x3 0x1000 0x1 0x0 0x0 0x0 0x7000 0x401002", Seems::Gone),
        ] {
            assert_eq!(sleeper.seems(line), seems, "{line}");
        }
    }
}
