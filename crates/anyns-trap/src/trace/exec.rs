//! An exec that is let through and seen at the first moment of the new program.
//!
//! Unlike a fork, an exec bears a pending interruption: it gives one stop in any case, at the
//! event of a success or on the way back from a failure.

use std::marker::PhantomData;
use std::rc::Rc;

use super::Failed;
use super::run::{self, Driven, NotPaused, Paused};
use super::tracee::{Next, Stopped, Why};
use crate::Tid;
use crate::call::{Answered, Call};
use crate::memory::Memory;

/// A caller stopped in the program that it has just executed. Dropping it lets the caller go.
pub struct Execed {
    before: Tid,
    tid: Tid,
    stopped: Option<Stopped>,
    thread_bound: PhantomData<Rc<()>>,
}

impl Execed {
    /// The caller's number before the exec.
    pub fn before(&self) -> Tid {
        self.before
    }

    /// Its number now: that of the thread group, all other threads of which are gone.
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// The new program's memory.
    pub fn mem(&self) -> Memory<'_> {
        Memory::of_stopped(self.tid)
    }

    /// Lets the new program run.
    pub fn release(mut self) -> Answered {
        if let Some(stopped) = self.stopped.take() {
            stopped.detach(Why::Interrupted);
        }
        Answered::new(true)
    }
}

pub(crate) fn let_exec(call: Call) -> Result<Execed, Failed> {
    if call.stands() { made_to(call) } else { let_go_on(call) }
}

/// A caller that waits in its call.
fn let_go_on(call: Call) -> Result<Execed, Failed> {
    let (mut running, port, told) = run::seize(call, libc::PTRACE_O_TRACEEXEC)?;
    running.interrupt();
    port.resume(told.id);
    loop {
        running = match running.wait() {
            Next::Stopped(stopped, Why::Event(_)) => {
                return Ok(execed(told.tid, stopped));
            }
            Next::Stopped(stopped, why) => {
                let result = stopped.regs().map(|regs| regs.result());
                stopped.detach(why);
                let answered = Answered::new(true);
                return Err(match result {
                    None => Failed::Gone(answered),
                    Some(result) if run::is_restart(result) => Failed::Restarted(answered),
                    Some(result) => Failed::Errno(Some(-result as i32), answered),
                });
            }
            Next::Dead => return Err(Failed::Gone(Answered::new(false))),
            Next::Tick(running) => running,
            Next::Mail(running, id) => {
                running.restart(id);
                running
            }
        }
    }
}

/// A caller that stands before its call: it is made to begin it.
fn made_to(call: Call) -> Result<Execed, Failed> {
    let (nr, args, before) = (call.nr(), call.args(), call.tid());
    match run::pause(call, libc::PTRACE_O_TRACEEXEC).map_err(NotPaused::settle)?.drive(nr, args) {
        Driven::Event(Paused { stopped, .. }) => Ok(execed(before, stopped)),
        Driven::Exit(paused, after) => Err(paused.refused(after)),
        Driven::Dead => Err(Failed::Gone(Answered::new(false))),
        Driven::Elsewhere(paused, why) => {
            paused.again(why);
            Err(Failed::Restarted(Answered::new(true)))
        }
    }
}

fn execed(before: Tid, stopped: Stopped) -> Execed {
    Execed { before, tid: stopped.tid(), stopped: Some(stopped), thread_bound: PhantomData }
}
