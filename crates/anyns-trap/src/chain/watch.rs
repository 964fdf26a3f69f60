//! Waiting for descriptors, and pidfds as the way to see a process of the chain die.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getppid, pidfd_open, pidfd_send_signal};

use crate::record::record;

/// Opens the pidfd of a process that cannot have been reaped: ourselves or a child.
pub(super) fn open(pid: i32) -> rustix::io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(rustix::io::Errno::SRCH)?;
    pidfd_open(pid, PidfdFlags::empty())
}

/// Kills a process of the chain.
pub(super) fn kill(pidfd: &OwnedFd) {
    let _ = pidfd_send_signal(pidfd, Signal::KILL);
}

/// Lets a process of the chain go on.
pub(super) fn go_on(pidfd: &OwnedFd) {
    let _ = pidfd_send_signal(pidfd, Signal::CONT);
}

/// Waits until one of the descriptors is readable (for a pidfd: its process has ended) or closed
/// at the other end, or the time is over. Tells which.
pub(super) fn ready(descriptors: &[BorrowedFd<'_>], time: Option<Duration>) -> Vec<bool> {
    let mut polled: Vec<_> =
        descriptors.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    let time = time.and_then(|t| Timespec::try_from(t).ok());
    match poll(&mut polled, time.as_ref()) {
        Ok(_) => polled.iter().map(|p| !p.revents().is_empty()).collect(),
        // Everything is blocked, so an interruption is rare (a stop and a continue): look again.
        Err(_) => vec![false; descriptors.len()],
    }
}

/// Whether the process has ended.
pub(super) fn ended(pidfd: &OwnedFd) -> bool {
    ready(&[pidfd.as_fd()], Some(Duration::ZERO))[0]
}

/// Whether our parent has been killed, or is on its way out: whom it traced may be seen to end before it.
pub(super) fn parent_is_dying() -> bool {
    /// A thread that is on its way out (`PF_EXITING`), in the seventh word behind the name.
    const EXITING: u32 = 4;
    let Some(parent) = getppid() else { return false };
    let text = |name: &str| {
        let text = record(&format!("/proc/{}/{name}", parent.as_raw_nonzero())).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    };
    let (status, stat) = (text("status"), text("stat"));
    let is_killed_in = |name: &str| {
        let set = status.lines().find_map(|line| line.strip_prefix(name));
        let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
        set.is_some_and(|set| set & (1 << (libc::SIGKILL - 1)) != 0)
    };
    let flags = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(6)?.parse().ok());
    is_killed_in("SigPnd:")
        || is_killed_in("ShdPnd:")
        || flags.is_some_and(|flags: u32| flags & EXITING != 0)
}

/// Waits until the process has ended, at most this long. Tells whether it has.
pub(super) fn wait_for_end(pidfd: &OwnedFd, time: Duration) -> bool {
    let until = Instant::now() + time;
    loop {
        if ended(pidfd) {
            return true;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        ready(&[pidfd.as_fd()], Some(left));
    }
}
