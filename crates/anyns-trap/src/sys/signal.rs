//! Signals of our own threads: handlers, masks, timers, sending.

use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::ptr::null_mut;
use std::time::Duration;

use super::check;

/// The calling thread's number.
pub(crate) fn own_tid() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Gives `signal` a handler that does nothing, without SA_RESTART: it interrupts waits.
pub(crate) fn ignore_but_interrupt(signal: i32) {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: `sigaction` consists of integers, a set and an optional pointer, for all of which
    // zeroes are a value.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    // SAFETY: the handler has the signature that a handler without SA_SIGINFO needs and does
    // nothing, so it is safe at any moment; the structure lives until the call returns.
    unsafe { libc::sigaction(signal, &raw const action, null_mut()) };
}

/// Stops the kernel from telling this process of *stops* of its children and tracees by SIGCHLD:
/// every momentary trace would wake the thread that reaps. Exits are still told.
pub(crate) fn no_sigchld_for_stops() {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null new action changes nothing; the kernel's answer is written to `action`, which
    // is exclusively ours.
    let r = unsafe { libc::sigaction(libc::SIGCHLD, std::ptr::null(), action.as_mut_ptr()) };
    if r != 0 {
        return;
    }
    // SAFETY: the call succeeded, so the whole structure has been written.
    let mut action = unsafe { action.assume_init() };
    action.sa_flags |= libc::SA_NOCLDSTOP;
    // SAFETY: the handler is the one that was installed before, with one more flag that does not
    // change how it is called; the structure lives until the call returns.
    unsafe { libc::sigaction(libc::SIGCHLD, &raw const action, null_mut()) };
}

pub(super) fn set_of(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: a `sigset_t` is an array of integers, for which zeroes are a value (the empty set).
    let mut set: libc::sigset_t = unsafe { zeroed() };
    for &signal in signals {
        // SAFETY: `set` is an initialised set, exclusively ours.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

fn change_mask(how: i32, set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: the set is initialised and lives until the call returns; no old mask is asked for.
    match unsafe { libc::pthread_sigmask(how, set, null_mut()) } {
        0 => Ok(()),
        e => Err(io::Error::from_raw_os_error(e)),
    }
}

/// Lets `signal` through to the calling thread.
pub(crate) fn unblock(signal: i32) -> io::Result<()> {
    change_mask(libc::SIG_UNBLOCK, &set_of(&[signal]))
}

/// Keeps these signals pending for the calling thread.
pub(crate) fn block(signals: &[i32]) -> io::Result<()> {
    change_mask(libc::SIG_BLOCK, &set_of(signals))
}

/// Keeps everything but faults pending for the calling thread: a worker must not run the
/// embedder's handlers, nor take what another thread reads from a signalfd.
pub(crate) fn block_all() -> io::Result<()> {
    let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT];
    // SAFETY: a `sigset_t` is an array of integers, for which zeroes are a value.
    let mut set: libc::sigset_t = unsafe { zeroed() };
    // SAFETY: `set` is exclusively ours.
    unsafe { libc::sigfillset(&raw mut set) };
    for signal in faults {
        // SAFETY: `set` is an initialised set, exclusively ours.
        unsafe { libc::sigdelset(&raw mut set, signal) };
    }
    change_mask(libc::SIG_BLOCK, &set)
}

/// A descriptor from which the calling thread's pending signals of these kinds can be read.
pub(crate) fn signalfd(signals: &[i32]) -> io::Result<std::os::fd::OwnedFd> {
    let set = set_of(signals);
    // SAFETY: the set is initialised and lives until the call returns.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    let fd = check(fd.into())? as i32;
    // SAFETY: the kernel has just returned this descriptor to us: it is open, nobody else's.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) })
}

/// Sends `signal` to one thread of this process; a dead one is no matter.
pub(crate) fn signal_thread(tid: i32, signal: i32) {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: tgkill takes three scalars and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) };
}

/// Sends `signal` to one thread of any process; a dead one is no matter.
pub(crate) fn kill_thread(tid: i32, signal: i32) {
    // SAFETY: tkill takes two scalars and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_tkill, tid, signal) };
}

/// A timer that signals the thread that made it.
pub(crate) struct Timer(libc::timer_t);

impl Timer {
    pub(crate) fn for_this_thread(signal: i32) -> io::Result<Timer> {
        // SAFETY: `sigevent` consists of integers and pointers, for which zeroes are a value.
        let mut event: libc::sigevent = unsafe { zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        event.sigev_notify_thread_id = own_tid();
        let mut timer: libc::timer_t = null_mut();
        // SAFETY: the event is initialised, the timer's number is written to `timer`, which is
        // exclusively ours; both live until the call returns.
        let r =
            unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) };
        check(r.into())?;
        Ok(Timer(timer))
    }

    /// Goes off once after `after`; `None` calls it off.
    pub(crate) fn set(&self, after: Option<Duration>) {
        let after = after.unwrap_or_default();
        let spec = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: after.as_secs() as libc::time_t,
                tv_nsec: after.subsec_nanos().into(),
            },
        };
        // SAFETY: the timer exists until `self` is dropped; the kernel only reads `spec`, which
        // lives until the call returns; the old value is not asked for.
        unsafe { libc::timer_settime(self.0, 0, &raw const spec, null_mut()) };
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timer was made by `timer_create` and is deleted only here.
        unsafe { libc::timer_delete(self.0) };
    }
}
