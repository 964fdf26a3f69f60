//! Runs a command with a supervisor around it: the chain of processes, the filter, the engine.
//!
//! Not here: what becomes of the chain when one of it dies; that is `anyns_trap::chain`.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use anyns_trap::chain::{self, Ended, Failure, Supervise, Tree};
use anyns_trap::{Engine, Plan};
use nsproxy::KindSet;

use crate::trace::{Format, Trace};
use crate::{Options, Supervisor, table};

/// What to run, and what to tell of it.
#[derive(Debug)]
pub struct Command {
    /// The command; its first word is searched in PATH as execvp(3) does.
    pub argv: Vec<CString>,
    /// In which way its calls reach us.
    pub plan: Plan,
    /// The types of namespaces that its guests are served.
    pub served: KindSet,
    /// In which form events are told, and where to; none if nobody asked.
    pub trace: Option<(Format, OwnedFd)>,
}

/// Runs `command` until it ends. The calling process must have one thread.
///
/// # Errors
/// When nothing could be run, or the chain was broken; no guest is left then.
pub fn run(command: Command) -> Result<Ended, Failure> {
    let keep = command.trace.iter().map(|(_, to)| to.as_raw_fd()).collect();
    let options = chain::Options { argv: command.argv, keep };
    let (trace, plan, served) = (command.trace, command.plan, command.served);
    let no_new_privs = rustix::thread::no_new_privs().unwrap_or(true);
    chain::run(
        options,
        |pids| table::filter(chain::guard(pids), &plan, served),
        |place| {
            let pids = place.pids;
            let trace =
                trace.map(|(format, to)| Trace::new(format, Box::new(std::fs::File::from(to))));
            let chain = vec![pids.cli, pids.supervisor, pids.watchdog];
            let supervisor = Supervisor::start(Options { chain, trace, no_new_privs, served })?;
            let plan = &plan;
            Ok(move |tree: Tree| -> io::Result<Box<dyn Supervise>> {
                let engine = Engine::start(plan, tree, supervisor.clone(), 0)?;
                Ok(Box::new(Serving { engine, supervisor }))
            })
        },
    )
}

/// A supervisor at work.
struct Serving {
    engine: Engine,
    supervisor: Arc<Supervisor>,
}

impl Supervise for Serving {
    fn freeze(&self) {
        self.engine.freeze();
    }

    fn finished(self: Box<Self>) {
        // The last guest's namespaces die before the process does, so that a trace ends with them.
        self.supervisor.guests.settle();
        self.supervisor.mounts.close();
    }
}
