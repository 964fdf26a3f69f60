//! The three processes around the guests, and the start of the first guest.
//!
//! ```text
//! C  command line   the starter's child: terminal, process group, exit status
//! S  supervisor     answers calls; its own session; many threads later
//! W  watchdog       parent of the first guest and of all orphans; in C's process group
//! G  first guest    becomes the command
//! ```
//!
//! Each is the parent of the next. C, S and W are subreapers and watch each other by pidfd: when
//! one of them is killed, the others leave no guest behind. The lowest one that lives cleans,
//! the ones above wait a little for it and then clean what is left (`cleaner`). It ends because
//! forks of guests are told: with S dead or silent nothing new is born.
//!
//! W stands *between* S and the guests, because the kernel shows ptrace stops of a child to every
//! thread of its real parent. With W as the parent, S's threads only trace, and W only waits.
//! And S, as an ancestor of every guest, may trace them under Yama's scope 1.
//!
//! All forks happen while there is one thread: C forks S, S forks W, W forks G; only then does the
//! embedder start its engine in S.
//!
//! Not here: what is told and what is answered.

mod cleaner;
mod cli;
mod guard;
mod guest;
mod inherited;
mod link;
mod supervisor;
mod sys;
mod watch;
mod watchdog;

use std::ffi::CString;
use std::os::fd::RawFd;
use std::{fmt, io};

use crate::filter::Filter;
pub use guard::guard;
use inherited::Inherited;
use link::Link;
pub use supervisor::{Complaint, Place, Tree};

/// The numbers of the three processes around the guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pids {
    /// C, the command line process.
    pub cli: i32,
    /// S, the supervisor.
    pub supervisor: i32,
    /// W, the watchdog.
    pub watchdog: i32,
}

/// What to run and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The command; its first word is searched in PATH as `execvp` does.
    pub argv: Vec<CString>,
    /// Descriptors that stay open in the supervisor, such as a trace file. They must be
    /// close-on-exec, or the guest has them too. Everything else that was open is closed there.
    pub keep: Vec<RawFd>,
}

/// What the embedder does in the supervisor, on its first thread.
pub trait Supervise {
    /// The chain is broken: answer nobody any more. Must not block. Calls still held may be
    /// dropped or kept; no answer reaches a guest from now on.
    fn freeze(&self) {}

    /// The last guest has gone. The process ends when this returns.
    fn finished(self: Box<Self>) {}
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status.
    Exited(u8),
    /// This signal killed it.
    Signalled(i32),
    /// It could not be executed.
    NotRun {
        /// What `execve` said.
        errno: i32,
    },
}

/// A process of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// S.
    Supervisor,
    /// W.
    Watchdog,
}

/// Why the filter was not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstallFailure {
    /// A filter with a listener is already in force here (EBUSY).
    ListenerExists,
    /// The kernel is older than 5.19.
    TooOld,
    /// The kernel has no seccomp filters.
    NoSeccomp,
    /// Anything else, by error number.
    Other(i32),
}

/// Why nothing ran to its end. No guest is left when this is returned.
#[derive(Debug)]
pub enum Failure {
    /// The command is empty.
    NoCommand,
    /// The caller has more than one thread.
    Threads(usize),
    /// A call failed during the preparations: what it was for, and the error.
    Host(&'static str, io::Error),
    /// The filter was not installed.
    Install(InstallFailure),
    /// A process or thread that is needed could not be started: the error number.
    NoProcess(i32),
    /// The embedder's function failed, in these words.
    NotServing(String),
    /// Somebody killed a process of the chain; the guests were killed too.
    Killed(Part),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NoCommand => f.write_str("no command given"),
            Failure::Threads(n) => write!(f, "the process has {n} threads"),
            Failure::Host(what, e) => write!(f, "cannot {what}: {e}"),
            Failure::Install(InstallFailure::ListenerExists) => {
                f.write_str("a seccomp listener already serves this process tree")
            }
            Failure::Install(InstallFailure::TooOld) => {
                f.write_str("the kernel is older than 5.19")
            }
            Failure::Install(InstallFailure::NoSeccomp) => {
                f.write_str("the kernel has no seccomp filters")
            }
            Failure::Install(InstallFailure::Other(errno)) => {
                let e = io::Error::from_raw_os_error(*errno);
                write!(f, "cannot install the seccomp filter: {e}")
            }
            Failure::NoProcess(errno) => {
                let e = io::Error::from_raw_os_error(*errno);
                write!(f, "cannot start a process: {e}")
            }
            Failure::NotServing(why) => write!(f, "the supervisor could not start: {why}"),
            Failure::Killed(Part::Supervisor) => f.write_str("the supervisor was killed"),
            Failure::Killed(Part::Watchdog) => f.write_str("the watchdog was killed"),
        }
    }
}

impl std::error::Error for Failure {}

/// Runs a command under a supervisor and returns when it has ended. Guests that it leaves behind
/// live on, and with them the supervisor, until the last one ends.
///
/// `filter` is called in the first guest, just before the filter is installed. At the same time
/// `prepare` is called in the supervisor, which has one thread until then. The function it returns
/// gets the listener, starts answering and returns; the command is executed after that.
///
/// The calling process must have one thread. It takes no signals afterwards, has none of the
/// descriptors it was given (standard error is kept unless it is a pipe or socket), and is
/// expected to exit.
pub fn run<F, S, P>(options: Options, filter: F, prepare: S) -> Result<Ended, Failure>
where
    F: FnOnce(&Pids) -> Filter,
    S: FnOnce(Place) -> io::Result<P>,
    P: FnOnce(Tree) -> io::Result<Box<dyn Supervise>>,
{
    if options.argv.is_empty() {
        return Err(Failure::NoCommand);
    }
    match sys::threads() {
        Ok(1) => {}
        Ok(n) => return Err(Failure::Threads(n)),
        Err(e) => return Err(Failure::Host("read /proc/self/task", e)),
    }
    let spared = cleaner::children();
    let inherited = Inherited::take().map_err(|e| Failure::Host("adopt orphans", e.into()))?;
    launch(options, filter, prepare, spared, &inherited).inspect_err(|failure| {
        if matches!(failure, Failure::Host(..)) {
            inherited.give_up();
        }
    })
}

fn launch<F, S, P>(
    options: Options,
    filter: F,
    prepare: S,
    spared: Vec<i32>,
    inherited: &Inherited,
) -> Result<Ended, Failure>
where
    F: FnOnce(&Pids) -> Filter,
    S: FnOnce(Place) -> io::Result<P>,
    P: FnOnce(Tree) -> io::Result<Box<dyn Supervise>>,
{
    let me = std::process::id() as i32;
    let host = |what| move |e: rustix::io::Errno| Failure::Host(what, e.into());
    let cli_pidfd = watch::open(me).map_err(host("open a pidfd"))?;
    let (to_supervisor, supervisor_end) = Link::pair().map_err(host("make a socket"))?;
    let (to_watchdog, watchdog_end) = Link::pair().map_err(host("make a socket"))?;
    let signals = sys::signal_descriptor().map_err(|e| Failure::Host("make a signalfd", e))?;
    let pid = match sys::fork() {
        Ok(sys::Side::Child) => {
            drop((to_supervisor, to_watchdog, signals));
            supervisor::run(
                supervisor::Post {
                    options: &options,
                    inherited,
                    filter,
                    cli: me,
                    cli_pidfd,
                    to_cli: supervisor_end,
                    watchdog_to_cli: watchdog_end,
                },
                prepare,
            )
        }
        Ok(sys::Side::Parent(pid)) => pid,
        Err(e) => return Err(Failure::Host("fork", e)),
    };
    let supervisor = match watch::open(pid) {
        Ok(pidfd) => pidfd,
        Err(e) => {
            let _ = sys::kill(pid, libc::SIGKILL);
            return Err(Failure::Host("open a pidfd", e.into()));
        }
    };
    drop((filter, prepare, supervisor_end, watchdog_end, cli_pidfd));
    // Guests of the same user must not be able to trace us.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    cli::run(cli::Cli {
        to_supervisor,
        to_watchdog,
        supervisor_pid: pid,
        supervisor,
        signals,
        spared,
    })
}
