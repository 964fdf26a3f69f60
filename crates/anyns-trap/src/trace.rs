//! Momentary ptrace: a caller is seized, run to an event, looked after and let go.
//!
//! (A guest of the stop back end has been seized already and is only lent; see `stop`.)
//!
//! * `tracee`: the typestate. A [`tracee::Stopped`] thread is consumed to give a
//!   [`tracee::Running`] one and the other way round, so that no request meets a thread in the
//!   wrong state.
//! * `fork`, `exec`, `run`, `sign`, `freeze`, `asleep`, `doze`: one file for each thing that is done to a
//!   thread.
//! * `steer`: keeps the traced thread on the tracer's processor.
//!
//! Three rules, each learned from the kernel:
//!
//! * A thread whose fork is let through must not be interrupted first: the pending stop makes the
//!   fork restart, and be told again, for ever.
//! * Whatever is not the awaited event means that nothing has happened: registers are put back,
//!   the thread is let go with its signal, and the call comes again by itself.
//! * The thread that seizes is the one that waits and detaches.
//!
//! Everything seized carries EXITKILL: should the supervisor die meanwhile, a guest with changed
//! registers must not run on. (All guests are to die then anyway.)

mod asleep;
mod doze;
mod exec;
mod fork;
mod freeze;
mod run;
mod sign;
pub(crate) mod stay;
mod steer;
mod tracee;

use std::fmt;

pub use doze::{Dozer, Roused, Seems, Woken};
pub use exec::Execed;
pub use fork::{Birth, Forked};
pub use freeze::Frozen;
pub use run::{Held, Ran};
pub use sign::Sender;

pub(crate) use asleep::{Asleep, Doing, doing, stop_asleep};
pub(crate) use exec::let_exec;
pub(crate) use fork::{let_fork, let_fork_then};
pub(crate) use freeze::freeze;
pub(crate) use run::{BIRTHS, let_run, stop};
pub(crate) use sign::let_signal;
pub(crate) use steer::Steer;
pub(crate) use tracee::lent::{Stopped as Standing, at_call};
pub(crate) use tracee::{BASE, NEW_TASK, Why};
pub(crate) use tracee::{our_tracer, tend_leftovers, tracer_of};

use crate::call::{Answered, Call};

/// Why a call did not come to its event. All but [`Failed::Untraceable`] are already answered.
pub enum Failed {
    /// The kernel refused the call and the caller has the error (where known).
    Errno(Option<i32>, Answered),
    /// A signal came first: nothing has happened, and the call will come again as a new
    /// [`Call`], unless the signal's handler makes the caller do something else or the call is
    /// one that signals interrupt.
    Restarted(Answered),
    /// The caller died.
    Gone(Answered),
    /// The host does not let us trace the caller: another guest (gdb, strace) already does, or it
    /// is not dumpable. The call is still held.
    ///
    /// For a fork that must not be edited: [`Call::resume`] it. The child runs at once and is
    /// found when it makes its first told call, by its parent's number in `/proc/TID/status`.
    Untraceable(Call),
}

impl Failed {
    /// Ends the matter where nothing better is to be done: an untraceable call goes to the kernel.
    pub fn settle(self) -> Answered {
        match self {
            Failed::Errno(_, a) | Failed::Restarted(a) | Failed::Gone(a) => a,
            Failed::Untraceable(call) => call.resume(),
        }
    }
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Errno(Some(errno), _) => write!(f, "Errno({errno})"),
            Failed::Errno(None, _) => f.write_str("Errno(unknown)"),
            Failed::Restarted(_) => f.write_str("Restarted"),
            Failed::Gone(_) => f.write_str("Gone"),
            Failed::Untraceable(call) => write!(f, "Untraceable({call:?})"),
        }
    }
}
