//! Ending, waiting for and signalling processes by number.

use super::{Errno, checked};

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// Ends the process at once: no destructors, no buffers written.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit takes a number and does not return.
    unsafe { libc::_exit(status) }
}

/// Ends the calling thread only; the last one ends the process.
///
/// Memory of the thread's stack is not given back; it is for test programs.
pub fn exit_thread() -> ! {
    loop {
        // SAFETY: the argument is a number. The thread never runs again, so nothing of its stack is
        // used after it; what it owns is leaked, not freed.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
}

/// Waits for a child of any sort (`__WALL`) to end. A negative or zero number is passed on.
pub fn wait(pid: i32) -> Result<Ended, Errno> {
    wait_for(pid).map(|(_, ended)| ended)
}

/// Waits as [`wait`] does, and says which child it was.
pub fn wait_for(pid: i32) -> Result<(i32, Ended), Errno> {
    loop {
        if let Some(ended) = wait_with(pid, 0)? {
            return Ok(ended);
        }
    }
}

/// Asks as [`wait_for`] does, but does not sleep: `None` if there are such children and none has
/// ended.
pub fn wait_now(pid: i32) -> Result<Option<(i32, Ended)>, Errno> {
    wait_with(pid, libc::WNOHANG)
}

/// Waits for any child of any sort to end, and says which it was.
pub fn wait_any() -> Result<(i32, Ended), Errno> {
    wait_for(-1)
}

fn wait_with(pid: i32, options: i32) -> Result<Option<(i32, Ended)>, Errno> {
    let mut status: i32 = 0;
    let slot = std::ptr::from_mut(&mut status);
    let options = options | libc::__WALL;
    loop {
        // SAFETY: the kernel stores one int at `status`; a null rusage is allowed.
        let done = unsafe { libc::syscall(libc::SYS_wait4, pid, slot, options, 0usize) };
        let child = match checked(done) {
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
            Ok(0) => return Ok(None),
            Ok(child) => child as i32,
        };
        if libc::WIFEXITED(status) {
            return Ok(Some((child, Ended::Exited(libc::WEXITSTATUS(status)))));
        }
        if libc::WIFSIGNALED(status) {
            return Ok(Some((child, Ended::Killed(libc::WTERMSIG(status)))));
        }
    }
}

/// Sends a signal by process number; any number of either.
pub fn kill(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: both arguments are numbers.
    checked(unsafe { libc::syscall(libc::SYS_kill, pid, signal) }).map(drop)
}

/// Sends a signal to one thread of a process.
pub fn tgkill(process: i32, thread: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: all arguments are numbers.
    checked(unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) }).map(drop)
}

/// Opens a pidfd; the result is its number.
pub fn pidfd_open(pid: i32, flags: u32) -> Result<i32, Errno> {
    // SAFETY: both arguments are numbers.
    checked(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) }).map(|fd| fd as i32)
}

/// The calling thread's number.
pub fn thread_id() -> i32 {
    // SAFETY: no arguments.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// Asks to be sent `signal` when the parent thread ends.
pub fn set_death_signal(signal: i32) -> Result<(), Errno> {
    // SAFETY: PR_SET_PDEATHSIG takes a number.
    checked(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) })
        .map(drop)
}

/// Makes the process readable by its own user again after a change of ids (`PR_SET_DUMPABLE 1`).
pub fn default_dumpable() -> Result<(), Errno> {
    super::cred_option(super::CredOption::SetDumpable, [1, 0, 0, 0]).map(drop)
}

/// Calls setsid: the number of the new session.
pub fn setsid() -> Result<i32, Errno> {
    // SAFETY: the call has no arguments.
    checked(unsafe { libc::syscall(libc::SYS_setsid) }).map(|number| number as i32)
}

/// Calls setpgid with any numbers.
pub fn setpgid(pid: i32, group: i32) -> Result<(), Errno> {
    // SAFETY: both arguments are numbers.
    checked(unsafe { libc::syscall(libc::SYS_setpgid, pid, group) }).map(drop)
}

/// Calls getpgid with any number.
pub fn getpgid(pid: i32) -> Result<i32, Errno> {
    // SAFETY: the argument is a number.
    checked(unsafe { libc::syscall(libc::SYS_getpgid, pid) }).map(|number| number as i32)
}

/// Calls getsid with any number.
pub fn getsid(pid: i32) -> Result<i32, Errno> {
    // SAFETY: the argument is a number.
    checked(unsafe { libc::syscall(libc::SYS_getsid, pid) }).map(|number| number as i32)
}
