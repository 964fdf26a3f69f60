//! A thread that sleeps in a call which is not told, stopped there to be given a result.

use std::sync::Arc;

use super::tracee::{self, Next, Stopped, Why};
use crate::Tid;
use crate::arch::Regs;
use crate::memory::Memory;
use crate::notify::Port;

/// A call interrupted by a signal (or by us) shows this until the kernel decides what to do.
const ERESTARTSYS: i64 = 512;

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

/// Stops `tid`, which was seen sleeping in call `nr` with these arguments.
pub(crate) fn stop_asleep(port: &Arc<Port>, tid: Tid, nr: i64, args: [u64; 6]) -> Asleep {
    let mut running = match tracee::seize(port, tid, 0) {
        Ok(running) => running,
        Err(e) if e.raw_os_error() == Some(libc::EPERM) && is_traced(tid) => {
            return Asleep::Untraceable;
        }
        Err(_) => return Asleep::Elsewhere,
    };
    running.interrupt();
    loop {
        running = match running.wait() {
            // A signal or a group stop may be why it stands; the answer is right all the same.
            Next::Stopped(stopped, why) => {
                return match stopped.regs() {
                    Some(regs)
                        if regs.nr() == nr
                            && regs.args() == args
                            && regs.result() == -ERESTARTSYS =>
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

/// Whether another process traces it; a dying thread cannot be traced either.
fn is_traced(tid: Tid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|pid| pid.trim() != "0")
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
