//! Reaping the supervisor's own children without stealing a worker's ptrace stops.
//!
//! The kernel reports the ptrace stops of a child to *any* thread of its real parent that waits
//! for it, even when another thread traces it. A plain `waitpid(-1)` in the supervisor's main
//! thread would therefore eat stops that a worker waits for. [`reap`] looks first (`WNOWAIT`) and
//! takes only what has exited. The exit of a guest that is traced for good is its tracer's to take,
//! which tells `Serve::reaped`.

use crate::{Tid, stop, sys};

/// Reaps every child of the calling process that has exited, without blocking, and hands each
/// number and wait status (as `waitpid` gives it) to `each`. Call it after `SIGCHLD`.
///
/// Returns false when there are no children left at all.
pub fn reap(mut each: impl FnMut(Tid, i32)) -> bool {
    loop {
        match sys::peek_exited(None) {
            Ok(Some(sys::Peeked::Exited(pid))) if !is_kept(pid) => {
                if let Some(status) = sys::reap_exited(pid) {
                    each(Tid(pid), status);
                }
            }
            Ok(Some(_)) => {
                // What is a tracer's hides what lies behind it: ask for each child by name.
                for pid in sys::own_children().into_iter().filter(|pid| !is_kept(*pid)) {
                    if let Ok(Some(sys::Peeked::Exited(_))) = sys::peek_exited(Some(pid))
                        && let Some(status) = sys::reap_exited(pid)
                    {
                        each(Tid(pid), status);
                    }
                }
                return true;
            }
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Whether a tracer takes the exit of `pid`.
fn is_kept(pid: i32) -> bool {
    stop::keeper_of(Tid(pid)).is_some()
}
