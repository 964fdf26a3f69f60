//! A traced thread, as a type that knows whether it runs or stands.
//!
//! There are two ways to trace, and what is done to a thread is the same in both: a thread that
//! the calling thread seizes for moments ([`own`]), and one that the tracer of the stop back end
//! has seized for good and lends ([`lent`]).

pub(crate) mod lent;
mod own;

use std::io;
use std::sync::Arc;

use super::run;
use crate::arch::Regs;
use crate::notify::Port;
use crate::{Tid, record, stop};

pub(crate) use own::{our_tracer, tend_leftovers};

/// Options of every trace: die with us, mark call stops.
pub(crate) const BASE: i32 = libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACESYSGOOD;
/// The three events of a new thread or process.
pub(crate) const NEW_TASK: i32 =
    libc::PTRACE_O_TRACEFORK | libc::PTRACE_O_TRACEVFORK | libc::PTRACE_O_TRACECLONE;

/// Why a thread stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A new task, an exec.
    Event(i32),
    /// Our interruption, or a new task's first stop.
    Interrupted,
    /// The whole process is stopped by a signal, and stays so when let go.
    Group,
    /// This signal is about to be delivered.
    Signal(i32),
    /// Entry to or exit from a call.
    CallStop,
}

impl Why {
    /// Reads the wait status of a stop.
    pub(crate) fn of(status: i32) -> Why {
        let signal = libc::WSTOPSIG(status);
        match status >> 16 {
            libc::PTRACE_EVENT_STOP if signal == libc::SIGTRAP => Why::Interrupted,
            libc::PTRACE_EVENT_STOP => Why::Group,
            0 if signal == libc::SIGTRAP | 0x80 => Why::CallStop,
            0 => Why::Signal(signal),
            event => Why::Event(event),
        }
    }
}

/// What a call that a thread is made to make means to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its own call, which may take its time.
    Own,
    /// Its own call, which makes a new task.
    Birth,
    /// One that it does not know of.
    Extra,
}

/// What a wait ends with.
pub(crate) enum Next<R = Running, S = Stopped> {
    Stopped(S, Why),
    /// It is dead; the kernel has been told that we know.
    Dead,
    /// Time to look around.
    Tick(R),
    /// It has made another call, told by this notification.
    Mail(R, u64),
}

/// A traced thread that runs, or is about to.
#[expect(clippy::large_enum_variant, reason = "one lives on a worker's stack while it serves")]
pub(crate) enum Running {
    Own(own::Running),
    Lent(lent::Running),
}

/// A traced thread that stands. Dropping it lets it go.
#[expect(clippy::large_enum_variant, reason = "one lives on a worker's stack while it serves")]
pub(crate) enum Stopped {
    Own(own::Stopped),
    Lent(lent::Stopped),
}

/// Who traces a thread, by the kernel's word. A dying one cannot be traced either.
pub(crate) fn tracer_of(tid: Tid) -> Option<Tid> {
    let status = record::of_thread(tid, "status").ok()?;
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    tracer.trim().parse().ok().filter(|pid| *pid != 0).map(Tid)
}

/// Whom a thread of ours traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Somebody.
    Somebody,
    /// Whose call of this number it is serving.
    Caller(u64),
}

/// Starts tracing `tid` without stopping it; events of these kinds will make it stop.
pub(crate) fn seize(port: &Arc<Port>, tid: Tid, options: i32, whom: Whom) -> io::Result<Running> {
    seize_any(Some(port), tid, options, whom)
}

/// The same where no call may be told: then only a thread that has been seized for good can be had.
pub(crate) fn seize_any(
    port: Option<&Arc<Port>>,
    tid: Tid,
    options: i32,
    whom: Whom,
) -> io::Result<Running> {
    if let Some(port) = port {
        // Its calls are told while it is traced, and others' may be what it waits for.
        port.stand_in();
    }
    loop {
        let seized = match (stop::keeper_of(tid), port) {
            (Some(keeper), port) => lent::borrow(&keeper, port, tid, options).map(Running::Lent),
            (None, Some(port)) => own::seize(port, tid, options, whom).map(Running::Own),
            (None, None) => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        };
        match seized {
            // It has just left its tracer, or come to one.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
            seized => return seized,
        }
    }
}

/// Waits for a tracee that nobody has seen yet: the child of `parent`, which died at its event.
pub(crate) fn stranger(
    port: Option<&Arc<Port>>,
    parent: Tid,
    keeper: Option<&stop::Keeper>,
) -> Option<Running> {
    match keeper {
        Some(keeper) => lent::orphan(keeper, parent).map(Running::Lent),
        None => own::stranger(port?).map(Running::Own),
    }
}

impl Running {
    pub(crate) fn tid(&self) -> Tid {
        match self {
            Running::Own(own) => own.tid(),
            Running::Lent(lent) => lent.tid(),
        }
    }

    /// Makes it stop at the next opportunity. Never before a fork that is let through.
    pub(crate) fn interrupt(&self) {
        match self {
            Running::Own(own) => own.interrupt(),
            Running::Lent(lent) => lent.interrupt(),
        }
    }

    /// Stops tracing it while it runs.
    pub(crate) fn release(self) {
        match self {
            Running::Own(_) => run::let_go(self),
            // Whatever it comes to stand at meanwhile is its tracer's business.
            Running::Lent(lent) => drop(lent),
        }
    }

    /// Waits for it to stop or die, or for something that might keep it from ever stopping.
    pub(crate) fn wait(self) -> Next {
        fn sorted<R, S>(next: Next<R, S>, r: fn(R) -> Running, s: fn(S) -> Stopped) -> Next {
            match next {
                Next::Stopped(stopped, why) => Next::Stopped(s(stopped), why),
                Next::Dead => Next::Dead,
                Next::Tick(running) => Next::Tick(r(running)),
                Next::Mail(running, id) => Next::Mail(r(running), id),
            }
        }
        match self {
            Running::Own(own) => sorted(own.wait(), Running::Own, Stopped::Own),
            Running::Lent(lent) => sorted(lent.wait(), Running::Lent, Stopped::Lent),
        }
    }

    /// Makes it begin the told call `id` anew.
    pub(crate) fn restart(&self, id: u64) {
        if let Some(port) = self.port() {
            port.restart(id);
        }
    }

    /// Lets the kernel serve the told call `id`.
    pub(crate) fn resume(&self, id: u64) {
        if let Some(port) = self.port() {
            port.resume(id);
        }
    }

    fn port(&self) -> Option<&Port> {
        match self {
            Running::Own(own) => own.port(),
            Running::Lent(lent) => lent.port(),
        }
    }

    /// What the thread is doing, told by the kernel while it does not stand.
    pub(crate) fn glance(&self) -> Glance {
        Glance::at(self.tid())
    }

    /// Who lends it.
    pub(crate) fn keeper(&self) -> Option<Arc<stop::Keeper>> {
        match self {
            Running::Own(_) => None,
            Running::Lent(lent) => Some(Arc::clone(lent.keeper())),
        }
    }
}

/// What a thread that does not stand is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Glance {
    /// It sleeps in this call (-1: outside any).
    Blocked(i64),
    /// It runs or could run, and has used so many nanoseconds of processor time.
    Computing(u64),
    Unknown,
}

impl Glance {
    fn at(tid: Tid) -> Glance {
        let Ok(call) = record::of_thread(tid, "syscall") else {
            return Glance::Unknown;
        };
        if call.starts_with("running") {
            let spent = record::of_thread(tid, "schedstat").ok();
            let spent = spent.and_then(|text| text.split(' ').next()?.parse().ok());
            return spent.map_or(Glance::Unknown, Glance::Computing);
        }
        let nr = call.split_whitespace().next().and_then(|word| word.parse().ok());
        nr.map_or(Glance::Unknown, Glance::Blocked)
    }
}

impl Stopped {
    pub(crate) fn tid(&self) -> Tid {
        match self {
            Stopped::Own(own) => own.tid(),
            Stopped::Lent(lent) => lent.tid(),
        }
    }

    /// None when it has been killed where it stood.
    pub(crate) fn regs(&self) -> Option<Regs> {
        match self {
            Stopped::Own(own) => own.regs(),
            Stopped::Lent(lent) => lent.regs(),
        }
    }

    /// A thread killed where it stood needs no registers, so failure is no matter.
    pub(crate) fn set_regs(&self, regs: &Regs) {
        match self {
            Stopped::Own(own) => own.set_regs(regs),
            Stopped::Lent(lent) => lent.set_regs(regs),
        }
    }

    /// Keeps signals from it while it makes calls for us; gives those that it blocked before.
    pub(crate) fn block_signals(&self) -> Option<u64> {
        match self {
            Stopped::Own(own) => own.block_signals(),
            // Its tracer sees to that.
            Stopped::Lent(_) => None,
        }
    }

    /// Undoes [`Stopped::block_signals`].
    pub(crate) fn unblock_signals(&self, mask: Option<u64>) {
        if let (Stopped::Own(own), Some(mask)) = (self, mask) {
            own.unblock_signals(mask);
        }
    }

    /// The task born at the event it stands at; none when it has been killed where it stood.
    pub(crate) fn child(&self) -> Option<Running> {
        match self {
            Stopped::Own(own) => own.child().map(Running::Own),
            Stopped::Lent(lent) => lent.child().map(Running::Lent),
        }
    }

    /// Lets it make the call that its registers are set for, untold; it stops at the call's end or
    /// at an event inside.
    pub(crate) fn run_call(self, nr: i64, args: [u64; 6], kind: Kind) -> Running {
        match self {
            Stopped::Own(own) => Running::Own(own.run_call(nr, args)),
            Stopped::Lent(lent) => Running::Lent(lent.run_call(args, kind)),
        }
    }

    /// Whether the call of the last `run_call` was told and never let through.
    pub(crate) fn was_not_let_through(&self) -> bool {
        match self {
            Stopped::Own(own) => own.was_not_let_through(),
            Stopped::Lent(_) => false,
        }
    }

    /// Where its calls are told, if they are.
    pub(crate) fn port(&self) -> Option<Arc<Port>> {
        match self {
            Stopped::Own(own) => Some(own.port()),
            Stopped::Lent(lent) => lent.port(),
        }
    }

    /// Lets it go, delivering what it stands before.
    pub(crate) fn detach(self, why: Why) {
        match self {
            Stopped::Own(own) => own.detach(why),
            Stopped::Lent(lent) => lent.give_back(why),
        }
    }

    /// Lets it run on, delivering what it stands before, if it is not only lent.
    pub(crate) fn go_on(self, why: Why) -> Option<Running> {
        match self {
            Stopped::Own(own) => Some(Running::Own(own.go_on(why))),
            Stopped::Lent(lent) => {
                lent.give_back(why);
                None
            }
        }
    }

    /// Who lends it.
    pub(crate) fn keeper(&self) -> Option<Arc<stop::Keeper>> {
        match self {
            Stopped::Own(_) => None,
            Stopped::Lent(lent) => Some(Arc::clone(lent.keeper())),
        }
    }
}
