//! A thread that sleeps in a call which is not told, stopped there to be given a result.

use std::sync::Arc;

use super::tracee::{self, Next, Stopped, Whom, Why, tracer_of};
use crate::arch::Regs;
use crate::memory::Memory;
use crate::notify::{ERESTARTSYS, Port};
use crate::{Tid, record};

/// What came of the attempt.
#[expect(clippy::large_enum_variant, reason = "made once, taken apart at once")]
pub(crate) enum Asleep {
    Stopped(Sleeper),
    /// It is no longer in that call, or dead.
    Elsewhere,
    /// The host does not let us trace it.
    Untraceable,
}

/// A thread stopped out of its sleep. Its call has had no effect and is made anew unless it is
/// answered.
pub(crate) struct Sleeper {
    stopped: Stopped,
    why: Why,
    regs: Regs,
}

/// What a thread is doing, told by the kernel; the answer is old at once.
pub(crate) enum Doing {
    /// It sleeps in this call.
    Waits(i64, [u64; 6]),
    Runs,
    /// It is dead, stands, or sleeps outside of any call.
    Other,
}

/// Looks at `/proc/TID/syscall`.
pub(crate) fn doing(tid: Tid) -> Doing {
    let line = record::of_thread(tid, "syscall").unwrap_or_default();
    if line.starts_with("running") {
        return Doing::Runs;
    }
    let mut words = line.split_whitespace();
    let Some(nr) = words.next().and_then(|word| word.parse().ok()) else { return Doing::Other };
    let mut args = [0; 6];
    for arg in &mut args {
        let word = words.next().and_then(|w| u64::from_str_radix(w.strip_prefix("0x")?, 16).ok());
        let Some(value) = word else { return Doing::Other };
        *arg = value;
    }
    Doing::Waits(nr, args)
}

/// Stops `tid`, which was seen sleeping in call `nr` with these arguments.
pub(crate) fn stop_asleep(port: &Arc<Port>, tid: Tid, nr: i64, args: [u64; 6]) -> Asleep {
    let mut running = match tracee::seize(port, tid, 0, Whom::Somebody) {
        Ok(running) => running,
        Err(e) if e.raw_os_error() == Some(libc::EPERM) && tracer_of(tid).is_some() => {
            return Asleep::Untraceable;
        }
        Err(_) => return Asleep::Elsewhere,
    };
    // One that has woken since it was seen may be in a told call, whose worker waits for it; so we must
    // not. One that still sleeps comes by here on its way out, whatever wakes it.
    if !matches!(doing(tid), Doing::Waits(n, a) if (n, a) == (nr, args)) {
        running.release();
        return Asleep::Elsewhere;
    }
    running.interrupt();
    loop {
        running = match running.wait() {
            // A signal or a group stop may be why it stands; the answer is right all the same.
            Next::Stopped(stopped, why) => {
                return match stopped.regs() {
                    Some(regs)
                        if regs.nr() == nr
                            && regs.args() == args
                            && regs.result() == -i64::from(ERESTARTSYS) =>
                    {
                        Asleep::Stopped(Sleeper { stopped, why, regs })
                    }
                    _ => {
                        stopped.detach(why);
                        Asleep::Elsewhere
                    }
                };
            }
            Next::Dead => return Asleep::Elsewhere,
            Next::Tick(running) => running,
            Next::Mail(running, id) => {
                running.restart(id);
                running
            }
        }
    }
}

impl Sleeper {
    pub(crate) fn mem(&self) -> Memory<'_> {
        Memory::of_stopped(self.stopped.tid())
    }

    /// Lets it go on with its call.
    pub(crate) fn again(self) {
        self.stopped.detach(self.why);
    }

    /// Lets it go with a result (or a negative error number).
    pub(crate) fn answer(self, result: i64) {
        let mut regs = self.regs;
        regs.set_result(result);
        regs.set_nr(-1);
        self.stopped.set_regs(&regs);
        self.stopped.detach(self.why);
    }
}
