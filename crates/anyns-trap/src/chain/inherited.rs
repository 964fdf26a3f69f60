//! What anyns was started with, so that the first guest can be started with the same.
//!
//! Rust's runtime opens `/dev/null` over standard descriptors that were closed and ignores
//! SIGPIPE, both before `main`. A constructor looks first.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use super::sys::{self, ALL_SIGNALS, Disposition};

/// Bits 0 to 2: descriptor 0, 1, 2 was closed. Bit 3: SIGPIPE was ignored.
static AT_START: AtomicU8 = AtomicU8::new(0);
const SIGPIPE_IGNORED: u8 = 1 << 3;

extern "C" fn look() {
    let mut found = 0;
    for fd in 0..3u8 {
        // SAFETY: asks for the flags of a number, open or not; touches no memory.
        if unsafe { libc::fcntl(i32::from(fd), libc::F_GETFD) } == -1 {
            found |= 1 << fd;
        }
    }
    if sys::disposition(libc::SIGPIPE) == Disposition::Ignore {
        found |= SIGPIPE_IGNORED;
    }
    AT_START.store(found, Relaxed);
}

// SAFETY: the section holds pointers to functions that the C library calls before `main`, with
// arguments that a function without parameters may ignore. `look` uses libc's thin wrappers and
// an atomic, nothing of Rust's runtime.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

/// The state of the process that `run` changes.
pub(super) struct Inherited {
    mask: u64,
    child: Disposition,
    subreaper: bool,
    /// Where it may run; None if it was not narrowed.
    processors: Option<CpuSet>,
}

impl Inherited {
    /// Takes note and then blocks all signals, waits for children itself, adopts orphans, and stays
    /// on this processor.
    ///
    /// The processes of the chain wake each other in turn until the command runs, one at a time; to
    /// wake a processor that sleeps costs several times what each has to do.
    pub(super) fn take() -> rustix::io::Result<Inherited> {
        let subreaper = rustix::process::child_subreaper()?.is_some();
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let child = sys::disposition(libc::SIGCHLD);
        let mask = sys::set_signal_mask(ALL_SIGNALS);
        sys::set_disposition(libc::SIGCHLD, Disposition::Default, false);
        Ok(Inherited { mask, child, subreaper, processors: narrow() })
    }

    /// Makes all as it was except the signal mask, in the guest.
    pub(super) fn restore(&self) {
        let at_start = AT_START.load(Relaxed);
        for fd in 0..3u8 {
            if at_start & (1 << fd) != 0 {
                sys::close(i32::from(fd));
            }
        }
        let pipe = if at_start & SIGPIPE_IGNORED != 0 {
            Disposition::Ignore
        } else {
            Disposition::Default
        };
        sys::set_disposition(libc::SIGPIPE, pipe, false);
        sys::set_disposition(libc::SIGCHLD, self.child, false);
        if self.subreaper {
            let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        }
    }

    /// Lets the calling process, and what it starts, run where it could before.
    pub(super) fn spread(&self) {
        if let Some(processors) = &self.processors {
            let _ = sched_setaffinity(None, processors);
        }
    }

    /// Restores the signal mask: what came in the meantime is delivered now.
    pub(super) fn unblock(&self) {
        sys::set_signal_mask(self.mask);
    }

    /// Undoes `take` in the process that took it, when nothing was started.
    pub(super) fn give_up(&self) {
        sys::set_disposition(libc::SIGCHLD, self.child, false);
        if !self.subreaper {
            let _ = rustix::process::set_child_subreaper(None);
        }
        self.spread();
        self.unblock();
    }
}

/// Narrows the calling process to the processor it runs on; gives what it had.
fn narrow() -> Option<CpuSet> {
    let before = sched_getaffinity(None).ok()?;
    let here = sched_getcpu();
    if !before.is_set(here) {
        return None;
    }
    let mut narrow = CpuSet::new();
    narrow.set(here);
    sched_setaffinity(None, &narrow).ok()?;
    Some(before)
}
