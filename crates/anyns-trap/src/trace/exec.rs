//! An exec that is let through and seen at the first moment of the new program.
//!
//! Unlike a fork, an exec bears a pending interruption: it gives one stop in any case, at the
//! event of a success or on the way back from a failure.

use std::marker::PhantomData;
use std::rc::Rc;

use super::Failed;
use super::run::{self, Driven, NotPaused, Paused};
use super::tracee::{Next, Stopped, Why};
use crate::call::{Answered, Call};
use crate::memory::{MemError, Memory};
use crate::{Tid, sys};

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

    /// Writes to the new program's memory, to what it cannot write itself, too.
    ///
    /// # Errors
    /// [`MemError::Fault`] where nothing is.
    pub fn overwrite(&self, addr: u64, bytes: &[u8]) -> Result<(), MemError> {
        self.mem().overwrite(addr, bytes)
    }

    /// Kills the new program before its first instruction.
    pub fn kill(self) -> Answered {
        sys::kill_thread(self.tid.0, libc::SIGKILL);
        self.release()
    }

    /// Lets the new program run.
    pub fn release(mut self) -> Answered {
        if let Some(stopped) = self.stopped.take() {
            stopped.detach(Why::Interrupted);
        }
        Answered::new(true)
    }
}

pub(crate) fn let_exec(call: Call, edit: Option<[u64; 6]>) -> Result<Execed, Failed> {
    let args = call.args();
    match edit {
        None if !call.stands() => let_go_on(call),
        edit => made_to(call, edit.unwrap_or(args)),
    }
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

/// A caller that stands before its call, or is made to: it is made to begin it.
fn made_to(call: Call, args: [u64; 6]) -> Result<Execed, Failed> {
    let (nr, before) = (call.nr(), call.tid());
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
