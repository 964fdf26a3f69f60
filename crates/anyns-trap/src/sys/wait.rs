//! waitpid(2) and waitid(2) in the forms that tracers and reapers need.

use std::io;
use std::mem::zeroed;

use super::check;

/// What a look at the children found.
pub(crate) enum Peeked {
    /// This one has exited and waits to be reaped.
    Exited(i32),
    /// A traced stop, which is somebody else's to take.
    Stopped,
}

/// Looks for an exited child (of any number, or this one) without taking it.
pub(crate) fn peek_exited(pid: Option<i32>) -> io::Result<Option<Peeked>> {
    // SAFETY: `siginfo_t` consists of integers (and a union of such), for which zeroes are a value.
    let mut info: libc::siginfo_t = unsafe { zeroed() };
    let (kind, id) = match pid {
        Some(pid) => (libc::P_PID, pid as libc::id_t),
        None => (libc::P_ALL, 0),
    };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: the kernel writes one `siginfo_t` through the pointer, which is exclusively ours
    // until the call returns.
    let r = unsafe { libc::waitid(kind, id, &raw mut info, options) };
    check(r.into())?;
    // SAFETY: waitid filled the child variant, or left zeroes, which that variant may hold.
    let pid = unsafe { info.si_pid() };
    Ok(match (pid, info.si_code) {
        (0, _) => None,
        (pid, libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED) => Some(Peeked::Exited(pid)),
        _ => Some(Peeked::Stopped),
    })
}

/// Reaps child `pid`, which has exited; none when another thread was faster.
pub(crate) fn reap_exited(pid: i32) -> Option<i32> {
    let mut status = 0;
    // SAFETY: the kernel writes one int through the pointer, which is exclusively ours until the
    // call returns.
    let r = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG | libc::__WALL) };
    (r == pid).then_some(status)
}

/// Waits for any tracee of the calling thread; gives its number and wait status.
///
/// `EINTR` when a signal came first, `ECHILD` when this thread traces nobody (any more).
///
/// Of several that have stopped the kernel gives the one that is traced for the shortest time.
pub(crate) fn wait_tracee() -> io::Result<(i32, i32)> {
    wait_for(-1, 0)
}

/// The same without waiting: none when nothing has happened.
pub(crate) fn poll_tracee() -> io::Result<Option<(i32, i32)>> {
    poll_one(-1)
}

/// The same for one tracee.
pub(crate) fn poll_one(tid: i32) -> io::Result<Option<(i32, i32)>> {
    wait_for(tid, libc::WNOHANG).map(|found| (found.0 != 0).then_some(found))
}

fn wait_for(tid: i32, flags: i32) -> io::Result<(i32, i32)> {
    let mut status = 0;
    let flags = flags | libc::__WALL | libc::__WNOTHREAD;
    // SAFETY: the kernel writes one int through the pointer, which is exclusively ours until the
    // call returns.
    let r = unsafe { libc::waitpid(tid, &raw mut status, flags) };
    Ok((check(r.into())? as i32, status))
}

/// The numbers of this process's children, as far as `/proc` tells.
pub(crate) fn own_children() -> Vec<i32> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|line| line.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<_>>())
        .collect()
}
