//! A thread that the calling thread has seized, for moments.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use super::{BASE, Next as Any, Whom, Why, tracer_of};
use crate::arch::Regs;
use crate::held::Owner;
use crate::notify::Port;
use crate::trace::steer::Steer;
use crate::{Tid, record, stop, sys, wake};

type Next = Any<Running, Stopped>;

/// How long a wait goes on before it looks whether the awaited event can still come.
const LOOK_AFTER: Duration = Duration::from_millis(4);
const LOOK_AT_MOST: Duration = Duration::from_millis(64);
/// How long, and how often, to wait for another thread of ours to be done with the same tracee.
const TURN: Duration = Duration::from_micros(200);
const TURNS: usize = 5000;
/// So many are given to whoever has it, before he is passed the call that is being served.
const TURNS_IN_CALL: usize = 10;
/// How often a thread that is left traced is looked for, once its exit has been seen.
const TEND_EVERY: Duration = Duration::from_millis(50);

/// The trace of one thread by the calling thread. Undone by detaching or by the thread's death.
struct Trace {
    port: Arc<Port>,
    tid: Tid,
    /// The number under which it is registered (an exec may change `tid`).
    entered: Option<Tid>,
    /// It is on its way into a call whose end is waited for.
    entering: bool,
    /// Whether an exec may give it another number.
    may_renumber: bool,
    patience: Duration,
    /// Its processors, while they are narrowed.
    steer: Option<Steer>,
    /// ptrace belongs to the thread, so this must not leave it.
    _not_send: PhantomData<Rc<()>>,
}

impl Trace {
    /// Ends the registration. Only while the thread stands or is dead.
    fn unregister(&mut self) {
        if let Some(tid) = self.entered.take()
            && let Some(stray) = self.port.held.leave(tid, &Owner::me())
        {
            self.port.restart(stray);
        }
    }

    fn unsteer(&mut self) {
        if let Some(steer) = self.steer.take() {
            steer.restore(self.tid);
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.unregister();
    }
}

thread_local! {
    /// Stops and deaths of tracees other than the one waited for.
    static ASIDE: RefCell<Vec<(i32, i32)>> = const { RefCell::new(Vec::new()) };
    /// Dead group leaders whose other threads live on; the kernel reports them only later.
    static LEFT: RefCell<Vec<(i32, Arc<Port>)>> = const { RefCell::new(Vec::new()) };
}

/// Such a thread while it runs.
pub(crate) struct Running(Trace);

/// Such a thread while it stands. Dropping it lets it go.
pub(crate) struct Stopped(Option<Trace>);

/// Starts tracing `tid` without stopping it.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] if it has come to be minded; [`io::ErrorKind::Deadlock`] if it is a caller,
/// and its call was passed to another thread of ours that traces it, so that it will come again; or what
/// the kernel says.
pub(super) fn seize(port: &Arc<Port>, tid: Tid, options: i32, whom: Whom) -> io::Result<Running> {
    let mut turns = TURNS;
    // Another tracer may have let go before it was looked for.
    let mut once_more = true;
    loop {
        match sys::seize(tid.0, BASE | options) {
            Ok(()) => {
                // Not before it has it: who fails must not be told of calls in the place of who has it.
                if let Some(stray) = port.held.enter(tid, Owner::me()) {
                    port.restart(stray);
                }
                return Ok(Running(Trace {
                    port: Arc::clone(port),
                    tid,
                    entered: Some(tid),
                    entering: false,
                    may_renumber: options & libc::PTRACE_O_TRACEEXEC != 0,
                    patience: LOOK_AFTER,
                    steer: Steer::here(tid),
                    _not_send: PhantomData,
                }));
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if stop::keeper_of(tid).is_some() => {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Err(e) if e.raw_os_error() == Some(libc::EPERM) && turns > 0 => {
                turns -= 1;
                match (our_tracer(tid), whom) {
                    // It may wait for the end of the call that is being served.
                    (Some(tracer), Whom::Caller(id))
                        if TURNS - turns > TURNS_IN_CALL && port.held.pass(tid, tracer, id) =>
                    {
                        return Err(io::ErrorKind::Deadlock.into());
                    }
                    (Some(_), _) => std::thread::sleep(TURN),
                    (None, _) if std::mem::take(&mut once_more) => {}
                    (None, _) => return Err(e),
                }
            }
            Err(e) => return Err(e),
        }
    }
}

/// The thread of this process that traces it.
pub(crate) fn our_tracer(tid: Tid) -> Option<Tid> {
    let is_ours = |tracer: &Tid| fs::exists(format!("/proc/self/task/{tracer}")).unwrap_or(false);
    tracer_of(tid).filter(is_ours)
}

impl Running {
    pub(super) fn tid(&self) -> Tid {
        self.0.tid
    }

    pub(super) fn port(&self) -> Option<&Port> {
        Some(&self.0.port)
    }

    /// A task that the kernel traces for us because its parent was traced.
    fn newborn(port: &Arc<Port>, tid: Tid, steer: Option<Steer>) -> Running {
        Running(Trace {
            port: Arc::clone(port),
            tid,
            entered: None,
            entering: false,
            may_renumber: false,
            patience: LOOK_AFTER,
            steer,
            _not_send: PhantomData,
        })
    }

    /// Makes it stop at the next opportunity. Never before a fork that is let through.
    pub(super) fn interrupt(&self) {
        // It may be dead; the next wait will say so.
        let _ = sys::interrupt(self.0.tid.0);
    }

    /// Waits for it to stop or die, or for something that might keep it from ever stopping.
    pub(super) fn wait(self) -> Next {
        let tid = self.0.tid.0;
        if let Some(status) = take_aside(tid) {
            return self.sort(tid, status);
        }
        wake::alarm(Some(self.0.patience));
        let next = self.wait_armed();
        wake::alarm(None);
        next
    }

    fn wait_armed(mut self) -> Next {
        loop {
            if let Some(tid) = self.0.entered
                && let Some(id) = self.0.port.held.mail(tid)
            {
                return Next::Mail(self, id);
            }
            match sys::wait_tracee() {
                Ok((tid, status)) if tid == self.0.tid.0 => {
                    if self.0.entering && libc::WIFSTOPPED(status) {
                        self.0.entering = false;
                        if Why::of(status) == Why::CallStop {
                            // It may have been killed; the next wait will say so.
                            let _ = sys::cont_to_call(tid, 0);
                            continue;
                        }
                    }
                    return self.sort(tid, status);
                }
                // By an exec, under its group's number.
                Ok((tid, status)) if self.0.may_renumber && is_exec(status) => {
                    return self.sort(tid, status);
                }
                Ok((tid, status)) => set_aside(tid, status),
                Err(e) if e.raw_os_error() == Some(libc::EINTR) => {
                    if self.has_left() {
                        return self.leave_dead_leader();
                    }
                    // What takes so long may take much longer.
                    self.0.unsteer();
                    self.0.patience = (self.0.patience * 2).min(LOOK_AT_MOST);
                    return Next::Tick(self);
                }
                // Another thread took the news of its death, or its number went at an exec.
                Err(_) => return Next::Dead,
            }
        }
    }

    /// Sorts a wait status.
    fn sort(mut self, tid: i32, status: i32) -> Next {
        if !libc::WIFSTOPPED(status) {
            self.0.port.reaped(tid, status);
            return Next::Dead;
        }
        self.0.tid = Tid(tid);
        Next::Stopped(Stopped(Some(self.0)), Why::of(status))
    }

    /// Whether it is a group leader that has exited before its other threads.
    fn has_left(&self) -> bool {
        let stat = record::of_thread(self.0.tid, "stat").unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
    }

    fn leave_dead_leader(self) -> Next {
        match sys::poll_tracee() {
            Ok(Some((tid, status))) if tid == self.0.tid.0 => return self.sort(tid, status),
            Ok(Some((tid, status))) => set_aside(tid, status),
            _ => {}
        }
        let left = (self.0.tid.0, Arc::clone(&self.0.port));
        LEFT.with(|list| list.borrow_mut().push(left));
        Next::Dead
    }

    /// Waits until it is dead.
    fn wait_death(self) {
        let mut running = self;
        loop {
            running = match running.wait() {
                Next::Dead => return,
                Next::Stopped(stopped, _) => stopped.run(0),
                Next::Tick(running) => running,
                Next::Mail(running, id) => {
                    running.0.port.restart(id);
                    running
                }
            }
        }
    }
}

impl Stopped {
    fn trace(&self) -> &Trace {
        self.0.as_ref().expect("taken only by the methods that consume")
    }

    pub(super) fn tid(&self) -> Tid {
        self.trace().tid
    }

    pub(super) fn port(&self) -> Arc<Port> {
        Arc::clone(&self.trace().port)
    }

    /// None when it has been killed where it stood.
    pub(super) fn regs(&self) -> Option<Regs> {
        Regs::read(self.tid()).ok()
    }

    /// A thread killed where it stood needs no registers, so failure is no matter.
    pub(super) fn set_regs(&self, regs: &Regs) {
        let _ = regs.write(self.tid());
    }

    /// Blocks all of its signals; gives those that it blocked before.
    pub(super) fn block_signals(&self) -> Option<u64> {
        let mask = sys::signal_mask(self.tid().0).ok()?;
        sys::set_signal_mask(self.tid().0, u64::MAX).ok()?;
        Some(mask)
    }

    /// Blocks these signals and no others.
    pub(super) fn unblock_signals(&self, mask: u64) {
        // It may have been killed where it stood; the next wait will say so.
        let _ = sys::set_signal_mask(self.tid().0, mask);
    }

    /// The task born at the event it stands at; none when it has been killed where it stood.
    pub(super) fn child(&self) -> Option<Running> {
        let child = self.message()?;
        Some(Running::newborn(&self.trace().port, child, self.trace().steer.clone()))
    }

    /// The message of the event it stands at; none when it has been killed where it stood.
    fn message(&self) -> Option<Tid> {
        sys::event_message(self.tid().0).ok().map(Tid)
    }

    fn take(mut self) -> Trace {
        self.0.take().expect("taken only by the methods that consume")
    }

    /// Lets it run on, traced, delivering `signal` (0: none).
    fn run(self, signal: i32) -> Running {
        let trace = self.take();
        // It may have been killed where it stood; the next wait will say so.
        let _ = sys::cont(trace.tid.0, signal);
        Running(trace)
    }

    /// Lets it run on, traced, delivering what it stands before.
    pub(super) fn go_on(self, why: Why) -> Running {
        self.run(if let Why::Signal(signal) = why { signal } else { 0 })
    }

    /// Lets it make the call that its registers are set for, letting it through when it is told;
    /// it stops at the call's end.
    pub(super) fn run_call(self, nr: i64, args: [u64; 6]) -> Running {
        let mut trace = self.take();
        if trace.entered.is_none() {
            // A newborn: its first call is ours, and would be told to somebody else.
            if let Some(stray) = trace.port.held.enter(trace.tid, Owner::me()) {
                trace.port.restart(stray);
            }
            trace.entered = Some(trace.tid);
        }
        trace.port.held.expect(trace.tid, nr, args);
        trace.entering = true;
        let _ = sys::cont_to_call(trace.tid.0, 0);
        Running(trace)
    }

    /// Whether the call of the last `run_call` was never let through.
    pub(super) fn was_not_let_through(&self) -> bool {
        self.trace().port.held.still_expected(self.tid())
    }

    /// Lets it go, delivering what it stands before.
    pub(super) fn detach(self, why: Why) {
        let signal = if let Why::Signal(signal) = why { signal } else { 0 };
        end(self.take(), signal);
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if let Some(trace) = self.0.take() {
            end(trace, 0);
        }
    }
}

fn end(mut trace: Trace, signal: i32) {
    trace.unregister();
    // Before it runs a step of its own, or it might look.
    trace.unsteer();
    if sys::detach(trace.tid.0, signal).is_err() {
        // Killed where it stood: its real parent hears of it only when we have.
        Running(trace).wait_death();
    }
}

/// Waits for a tracee that nobody has seen yet: the child of a parent that died at its event.
pub(super) fn stranger(port: &Arc<Port>) -> Option<Running> {
    // Usually there is no tracee left and the wait fails at once. Only children of this very
    // thread, or leaders left behind, make it go on.
    for _ in 0..5 {
        let found = ASIDE.with(|aside| aside.borrow().first().copied());
        if let Some((tid, _)) = found {
            return Some(Running::newborn(port, Tid(tid), None));
        }
        wake::alarm(Some(LOOK_AFTER));
        let waited = sys::wait_tracee();
        wake::alarm(None);
        match waited {
            Ok((tid, status)) => set_aside(tid, status),
            Err(e) if e.raw_os_error() == Some(libc::EINTR) => {}
            Err(_) => return None,
        }
    }
    None
}

/// Keeps news of another tracee until it is asked for.
fn set_aside(tid: i32, status: i32) {
    let left = LEFT.with(|left| {
        let mut left = left.borrow_mut();
        let at = left.iter().position(|(t, _)| *t == tid)?;
        Some(left.remove(at).1)
    });
    match left {
        Some(port) => port.reaped(tid, status),
        None => ASIDE.with(|aside| aside.borrow_mut().push((tid, status))),
    }
}

fn take_aside(tid: i32) -> Option<i32> {
    ASIDE.with(|aside| {
        let mut aside = aside.borrow_mut();
        let at = aside.iter().position(|(t, _)| *t == tid)?;
        Some(aside.remove(at).1)
    })
}

fn is_exec(status: i32) -> bool {
    status >> 16 == libc::PTRACE_EVENT_EXEC
}

/// Looks after tracees that a wait had to leave behind, and children of this very thread that it
/// came across. Called between calls; cheap when there are none.
pub(crate) fn tend_leftovers(port: &Port) {
    ASIDE.with(|aside| {
        for (tid, status) in aside.borrow_mut().drain(..) {
            port.reaped(tid, status);
        }
    });
    if LEFT.with(|left| left.borrow().is_empty()) {
        return;
    }
    while let Ok(Some((tid, status))) = sys::poll_tracee() {
        set_aside(tid, status);
    }
    let any = LEFT.with(|left| !left.borrow().is_empty());
    wake::alarm(any.then_some(TEND_EVERY));
}
