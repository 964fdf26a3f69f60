//! A call made with other arguments, and extra calls made before it.
//!
//! The caller is interrupted while it waits in the notification, and the notification answered
//! with "restart": the thread then stands just before its call instruction would be made anew.
//! From there it is sent over that instruction with other registers, as often as needed.

use std::io;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use super::doze::{self, Dozer};
use super::tracee::{self, Kind, Next, Running, Stopped, Whom, Why};
use super::{Failed, Standing};
use crate::arch::{self, Regs};
use crate::call::{Answered, Call};
use crate::memory::Memory;
use crate::notify::{Port, RESTART, Told};
use crate::{Tid, sys};

/// The calls that make a new task.
pub(crate) const BIRTHS: [i64; 4] = [arch::FORK, arch::VFORK, libc::SYS_clone, libc::SYS_clone3];

/// Seizes the caller, which goes on waiting in its call. The call is taken only if that succeeds.
pub(super) fn seize(call: Call, options: i32) -> Result<(Running, Arc<Port>, Told), Failed> {
    let Some(port) = call.port() else { return Err(Failed::Untraceable(call)) };
    let running = match tracee::seize(port, call.tid(), options, Whom::Caller(call.id())) {
        Ok(running) => running,
        // Another thread of ours, which may have waited for the end of this call, makes it come again.
        Err(e) if e.kind() == io::ErrorKind::Deadlock => {
            drop(call.take_told());
            return Err(Failed::Restarted(Answered::new(true)));
        }
        // The kernel says EPERM of a dying thread, too.
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) || !call.is_alive() => {
            return Err(Failed::Gone(call.errno(libc::ESRCH)));
        }
        Err(_) => return Err(Failed::Untraceable(call)),
    };
    if !call.is_alive() {
        // It died before we came, and the number may be another thread's by now.
        let_go(running);
        return Err(Failed::Gone(call.errno(libc::ESRCH)));
    }
    let (port, told) = call.take_told();
    Ok((running, port, told))
}

/// Stops tracing a running thread.
pub(super) fn let_go(mut running: Running) {
    running.interrupt();
    loop {
        running = match running.wait() {
            Next::Stopped(stopped, why) => return stopped.detach(why),
            Next::Dead => return,
            Next::Tick(running) => running,
            Next::Mail(running, id) => {
                running.restart(id);
                running
            }
        }
    }
}

/// A caller that stands before its call.
pub(super) struct Paused {
    pub(super) stopped: Stopped,
    /// Its registers just behind the call instruction, before they were touched.
    before: Regs,
    told: Told,
    /// Where its calls are told, if they are.
    port: Option<Arc<Port>>,
}

/// What became of a call made for the caller.
#[expect(clippy::large_enum_variant, reason = "made once, taken apart at once")]
pub(super) enum Driven {
    /// It stands at the call's end.
    Exit(Paused, Regs),
    /// It stands at an event inside.
    Event(Paused),
    /// It died inside.
    Dead,
    /// Something else came first: it is to make its own call anew.
    Elsewhere(Paused, Why),
}

/// Why a caller does not stand before its call.
#[expect(clippy::large_enum_variant, reason = "made once, taken apart at once")]
pub(super) enum NotPaused {
    /// It is not traced.
    Failed(Failed),
    /// Something else came first: let go, it makes its call anew.
    Elsewhere(Stopped, Why),
}

impl NotPaused {
    /// Lets the caller go.
    pub(super) fn settle(self) -> Failed {
        match self {
            NotPaused::Failed(failed) => failed,
            NotPaused::Elsewhere(stopped, why) => {
                stopped.detach(why);
                Failed::Restarted(Answered::new(true))
            }
        }
    }
}

/// Makes the caller stand before its call.
#[expect(clippy::result_large_err, reason = "made once, taken apart at once")]
pub(super) fn pause(call: Call, options: i32) -> Result<Paused, NotPaused> {
    let call = match call.take_standing() {
        Ok((stopped, told)) => {
            let stopped = Stopped::Lent(stopped);
            return match stopped.regs() {
                Some(before) => Ok(Paused { stopped, before, told, port: None }),
                None => Err(NotPaused::Failed(Failed::Gone(Answered::new(false)))),
            };
        }
        Err(told) => told,
    };
    let (mut running, port, told) = seize(call, options).map_err(NotPaused::Failed)?;
    running.interrupt();
    port.restart(told.id);
    loop {
        running = match running.wait() {
            Next::Stopped(stopped, why) => {
                let regs = stopped.regs();
                if let (Some(before), Why::Interrupted) = (regs, why)
                    && before.nr() == told.nr
                    && before.result() == -i64::from(RESTART)
                {
                    return Ok(Paused { stopped, before, told, port: Some(port) });
                }
                return Err(NotPaused::Elsewhere(stopped, why));
            }
            Next::Dead => return Err(NotPaused::Failed(Failed::Gone(Answered::new(false)))),
            Next::Tick(running) => running,
            Next::Mail(running, id) => {
                running.restart(id);
                running
            }
        }
    }
}

impl Paused {
    /// Makes the caller perform call `nr`.
    pub(super) fn drive(self, nr: i64, args: [u64; 6]) -> Driven {
        let kind = if BIRTHS.contains(&nr) { Kind::Birth } else { Kind::Own };
        self.make(nr, args, kind)
    }

    fn make(self, nr: i64, args: [u64; 6], kind: Kind) -> Driven {
        let Paused { stopped, before, told, port } = self;
        let mut regs = before;
        regs.set_args(args);
        regs.repeat(nr);
        stopped.set_regs(&regs);
        let mut running = stopped.run_call(nr, args, kind);
        loop {
            running = match running.wait() {
                Next::Stopped(stopped, Why::CallStop) => {
                    let Some(after) = stopped.regs() else { return Driven::Dead };
                    return Driven::Exit(Paused { stopped, before, told, port }, after);
                }
                Next::Stopped(stopped, Why::Event(_)) => {
                    return Driven::Event(Paused { stopped, before, told, port });
                }
                Next::Stopped(stopped, why) => {
                    return Driven::Elsewhere(Paused { stopped, before, told, port }, why);
                }
                Next::Dead => return Driven::Dead,
                Next::Tick(running) => running,
                Next::Mail(running, id) => {
                    // Our own call, told a second time.
                    running.resume(id);
                    running
                }
            }
        }
    }

    /// Lets the caller make its own call anew.
    pub(super) fn again(self, why: Why) {
        let mut regs = self.before;
        regs.repeat(self.told.nr);
        self.stopped.set_regs(&regs);
        self.stopped.detach(why);
    }

    /// Lets the caller go from the end of a call that a signal cut short, as the kernel means it:
    /// made anew, or EINTR where the signal's handler asks for that.
    fn cut_short(self, after: Regs) {
        if self.stopped.was_not_let_through() {
            // Voided before anybody received it: it never began, so EINTR would be a lie.
            return self.again(Why::CallStop);
        }
        let mut regs = after;
        regs.set_args(self.args());
        self.stopped.set_regs(&regs);
        self.stopped.detach(Why::CallStop);
    }

    /// Lets the caller go with a result for its own call.
    pub(super) fn finish(self, result: i64) {
        let mut regs = self.before;
        regs.set_result(result);
        // In no call any more, so that nothing is restarted.
        regs.set_nr(-1);
        self.stopped.set_regs(&regs);
        self.stopped.detach(Why::Interrupted);
    }

    /// Lets the caller go from the end of its call, which did not come to its event.
    pub(super) fn refused(self, after: Regs) -> Failed {
        let result = after.result();
        if is_restart(result) {
            self.again(Why::CallStop);
            return Failed::Restarted(Answered::new(true));
        }
        self.finish(result);
        Failed::Errno(errno(result), Answered::new(true))
    }

    /// The arguments of the caller's own call.
    pub(super) fn args(&self) -> [u64; 6] {
        self.before.args()
    }
}

/// The errno that a result tells of; none if the call is made anew.
pub(super) fn errno(result: i64) -> Option<i32> {
    ((-4095..0).contains(&result) && !is_restart(result)).then_some(-result as i32)
}

/// Whether a result means "make the call anew once the signal has been delivered".
pub(super) fn is_restart(result: i64) -> bool {
    (-516..=-512).contains(&result)
}

/// A caller stopped at the end of a call that ran with other arguments, which are as they were
/// again. Dropping it lets the caller go with the kernel's result.
pub struct Ran {
    paused: Option<Paused>,
    result: i64,
    thread_bound: PhantomData<Rc<()>>,
}

impl Ran {
    /// The kernel's result: a value, or a negative error number.
    pub fn result(&self) -> i64 {
        self.result
    }

    /// Lets the caller go with the kernel's result.
    pub fn release(self) -> Answered {
        let result = self.result;
        self.release_with(result)
    }

    /// Lets the caller go with another result (or a negative error number).
    pub fn release_with(mut self, result: i64) -> Answered {
        if let Some(paused) = self.paused.take() {
            paused.finish(result);
        }
        Answered::new(true)
    }
}

impl Drop for Ran {
    fn drop(&mut self) {
        if let Some(paused) = self.paused.take() {
            paused.finish(self.result);
        }
    }
}

/// A caller stopped before its call, which has not happened yet. Dropped unanswered, the call says
/// ENOSYS, like a dropped [`Call`].
pub struct Held {
    paused: Option<Paused>,
    thread_bound: PhantomData<Rc<()>>,
}

impl Held {
    fn take(mut self) -> Paused {
        self.paused.take().expect("taken only by the methods that consume")
    }

    /// The stopped thread.
    pub fn tid(&self) -> Tid {
        self.paused.as_ref().expect("taken only by the methods that consume").stopped.tid()
    }

    /// The caller's memory.
    pub fn mem(&self) -> Memory<'_> {
        Memory::of_stopped(self.tid())
    }

    /// Its stack pointer.
    pub(crate) fn stack(&self) -> Option<u64> {
        self.paused.as_ref().map(|paused| paused.before.stack())
    }

    /// The caller, standing before its call as it did when it was lent.
    pub(crate) fn standing(self) -> Option<Standing> {
        let Paused { stopped, before, .. } = self.take();
        match stopped {
            Stopped::Lent(standing) => Some(standing.with_regs(before)),
            Stopped::Own(_) => None,
        }
    }

    /// Makes the caller perform call `nr` and gives its result (a negative error number for a
    /// failure). The call must not block for long, fork or exec. It is not told to the server,
    /// even when the filter tells `nr`.
    pub fn inject(self, nr: i64, args: [u64; 6]) -> Result<(i64, Held), Failed> {
        match self.take().make(nr, args, Kind::Extra) {
            Driven::Exit(paused, after) if is_restart(after.result()) => {
                paused.again(Why::CallStop);
                Err(Failed::Restarted(Answered::new(true)))
            }
            Driven::Exit(paused, after) => {
                Ok((after.result(), Held { paused: Some(paused), thread_bound: PhantomData }))
            }
            Driven::Event(paused) => {
                paused.again(Why::CallStop);
                Err(Failed::Restarted(Answered::new(true)))
            }
            Driven::Dead => Err(Failed::Gone(Answered::new(false))),
            Driven::Elsewhere(paused, why) => {
                paused.again(why);
                Err(Failed::Restarted(Answered::new(true)))
            }
        }
    }

    /// Takes a copy of a descriptor of the caller's, which is made to send it, or the errno for which
    /// there is none.
    pub fn lend(self, number: i32) -> Result<(Result<OwnedFd, i32>, Held), Failed> {
        crate::stop::gift::take(self, number)
    }

    /// Ends the held call with a result (or a negative error number).
    pub fn ret(self, value: i64) -> Answered {
        self.take().finish(value);
        Answered::new(true)
    }

    /// Lets the caller sleep in place of its call, until a signal comes whose handler it runs (its
    /// call has then said EINTR) or somebody rouses it. It is traced no longer.
    pub fn doze(self) -> (Dozer, Answered) {
        let paused = self.take();
        let dozer = doze::begin(paused.stopped, paused.before, paused.port, Why::Interrupted);
        (dozer, Answered::new(true))
    }

    /// Lets the caller make its call anew: it will come again as a new [`Call`].
    pub fn again(self) -> Answered {
        self.take().again(Why::CallStop);
        Answered::new(true)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(paused) = self.paused.take() {
            paused.finish(-i64::from(libc::ENOSYS));
        }
    }
}

/// Makes a thread that stands outside of any call of its own perform call `nr`, and gives the result.
/// None if it has been killed. Just before `place` there is a call instruction.
pub(super) fn perform(
    stopped: Stopped,
    why: Why,
    place: u64,
    nr: i64,
    args: [u64; 6],
) -> Option<((Stopped, Why), i64)> {
    let before = stopped.regs()?;
    let mut regs = before;
    regs.set_ip(place);
    regs.set_args(args);
    regs.repeat(nr);
    stopped.set_regs(&regs);
    // No signal comes between, but for one that cannot be blocked: it is sent again.
    let mask = stopped.block_signals();
    let mut again = None;
    let mut running = stopped.run_call(nr, args, Kind::Extra);
    loop {
        running = match running.wait() {
            Next::Stopped(stopped, Why::CallStop) => {
                let result = stopped.regs()?.result();
                stopped.set_regs(&before);
                stopped.unblock_signals(mask);
                if let Some(signal) = again {
                    sys::kill_thread(stopped.tid().0, signal);
                }
                return Some(((stopped, why), result));
            }
            Next::Stopped(stopped, why) => {
                if let Why::Signal(signal) = why {
                    again = Some(signal);
                }
                stopped.run_call(nr, args, Kind::Extra)
            }
            Next::Dead => return None,
            Next::Tick(running) => running,
            Next::Mail(running, id) => {
                running.resume(id);
                running
            }
        }
    }
}

pub(crate) fn stop(call: Call) -> Result<Held, Failed> {
    let paused = pause(call, 0).map_err(NotPaused::settle)?;
    Ok(Held { paused: Some(paused), thread_bound: PhantomData })
}

pub(crate) fn let_run(call: Call, args: [u64; 6]) -> Result<Ran, Failed> {
    let nr = call.nr();
    match pause(call, 0).map_err(NotPaused::settle)?.drive(nr, args) {
        Driven::Exit(paused, after) if is_restart(after.result()) => {
            paused.cut_short(after);
            Err(Failed::Restarted(Answered::new(true)))
        }
        Driven::Exit(paused, after) => {
            Ok(Ran { paused: Some(paused), result: after.result(), thread_bound: PhantomData })
        }
        Driven::Event(paused) => {
            paused.again(Why::CallStop);
            Err(Failed::Restarted(Answered::new(true)))
        }
        Driven::Dead => Err(Failed::Gone(Answered::new(false))),
        Driven::Elsewhere(paused, why) => {
            paused.again(why);
            Err(Failed::Restarted(Answered::new(true)))
        }
    }
}
