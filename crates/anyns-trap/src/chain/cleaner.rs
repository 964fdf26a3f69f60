//! Killing everything below this process.
//!
//! Only direct children are killed: they cannot be reaped by anybody else, so their numbers cannot
//! have been given to a stranger. Their own children come up to us, a subreaper, and are killed in
//! the next round. When the kernel says that there is no child (ECHILD), nobody is left.
//!
//! This ends only if no new guest is born faster than we kill: the caller has made sure that
//! nobody answers a fork any more, or that the listener is gone with its holder.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::{sys, watch};

/// How long one round waits for a death before it looks again.
const ROUND: Duration = Duration::from_millis(5);

/// How long to wait for whoever else of the chain ought to clean or to stop answering.
pub(super) const GRACE: Duration = Duration::from_millis(300);

/// The children of this process's first thread, to which the kernel gives orphans.
pub(super) fn children() -> Vec<i32> {
    let me = std::process::id();
    match std::fs::read_to_string(format!("/proc/self/task/{me}/children")) {
        Ok(list) => list.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect(),
        Err(_) => children_by_parent(me as i32),
    }
}

/// The same on a kernel without CONFIG_PROC_CHILDREN.
fn children_by_parent(me: i32) -> Vec<i32> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    all.flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| parent(*pid) == Some(me))
        .collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses included.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Kills all below this process. After [`GRACE`] without success it also kills `above`, who may
/// still be answering forks.
///
/// Children in `spared` were there before the chain and are left alone. They keep ECHILD from
/// coming, so then the end is that no other child is left.
pub(super) fn clean(spared: &[i32], above: Option<&OwnedFd>) {
    let signals = sys::signal_descriptor().ok();
    let start = Instant::now();
    let mut above = above;
    loop {
        let found = children();
        for pid in found.iter().filter(|pid| !spared.contains(pid)) {
            // It may have ended: then this does nothing to a zombie that only we can reap.
            let _ = sys::kill(*pid, libc::SIGKILL);
        }
        if let Some(signals) = &signals {
            while sys::next_signal(signals.as_fd()).is_some() {}
        }
        let mut reaped = false;
        if spared.is_empty() {
            loop {
                match sys::wait_any(0) {
                    sys::Waited::Changed(..) => reaped = true,
                    sys::Waited::Nothing => break,
                    sys::Waited::Childless => return,
                }
            }
        } else {
            let ours = found.iter().filter(|pid| !spared.contains(pid));
            for pid in ours {
                reaped |= sys::wait_one(*pid).is_some();
            }
            if children().iter().all(|pid| spared.contains(pid)) {
                return;
            }
        }
        if start.elapsed() > GRACE
            && let Some(pidfd) = above.take()
        {
            watch::kill(pidfd);
        }
        if !reaped {
            match &signals {
                Some(signals) => drop(watch::ready(&[signals.as_fd()], Some(ROUND))),
                None => std::thread::sleep(ROUND),
            }
        }
    }
}
