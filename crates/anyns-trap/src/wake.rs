//! Waking a worker that waits for a tracee: by another worker, or after a while.
//!
//! A signal with a handler that does nothing interrupts `waitpid`. It is sent by `tgkill` from a
//! worker that received something the waiting one must know, and by a timer, so
//! that a wake-up that came just before the wait began is only late, not lost.

use std::cell::OnceCell;
use std::io;
use std::sync::Once;
use std::time::Duration;

use crate::sys;

thread_local! {
    static WAKER: OnceCell<Waker> = const { OnceCell::new() };
}

/// The calling thread's means to be woken.
struct Waker {
    timer: sys::Timer,
}

impl Waker {
    fn new() -> io::Result<Waker> {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(|| sys::ignore_but_interrupt(SIGNAL));
        sys::unblock(SIGNAL)?;
        Ok(Waker { timer: sys::Timer::for_this_thread(SIGNAL)? })
    }
}

/// The signal used: one that is ignored by default, so that it cannot kill, and no real-time one,
/// which guests of the same user could use up (RLIMIT_SIGPENDING).
const SIGNAL: i32 = libc::SIGURG;

/// Makes the calling thread wakeable. Without a timer (the host's limit on pending signals
/// reached) waits are merely longer.
pub(crate) fn prepare() {
    WAKER.with(|cell| {
        if cell.get().is_none()
            && let Ok(waker) = Waker::new()
        {
            let _ = cell.set(waker);
        }
    });
}

/// Interrupts the calling thread's waits after `after`, once; `None` calls that off.
pub(crate) fn alarm(after: Option<Duration>) {
    prepare();
    WAKER.with(|cell| {
        if let Some(waker) = cell.get() {
            waker.timer.set(after);
        }
    });
}

/// Interrupts the wait of thread `tid` of this process.
pub(crate) fn interrupt(tid: i32) {
    sys::signal_thread(tid, SIGNAL);
}
