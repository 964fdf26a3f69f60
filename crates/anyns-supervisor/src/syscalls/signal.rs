//! kill(2), tkill(2), pidfd_send_signal(2): the supervisor's own processes are out of reach.
//!
//! Who may signal whom is the kernel's to say while all ids of a tree are its owner's. What is ours
//! is that SIGKILL and SIGSTOP, which cannot be blocked, never hit the processes that serve the
//! tree; the filter sends only those.

use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::cx::{Cx, Served, Verdict};
use crate::descriptors::Thing;
use crate::procfs::read_file;

/// Serves `kill(pid, sig)` for the two signals that cannot be blocked.
pub(crate) fn kill(cx: &mut Cx<'_>) -> Served {
    let (pid, signal) = (cx.int(0), cx.int(1));
    match pid {
        1.. if cx.sup.is_ours(pid) => Err(Errno::PERM.into()),
        1.. => Ok(Verdict::Continue),
        -1 => many(cx, signal, |process| process.pid > 1 && process.pid != cx.thread_group()),
        0 => {
            let group = stat_of(cx.tid()).map(|process| process.pgrp);
            to_group(cx, group.ok_or(Errno::SRCH)?, signal)
        }
        i32::MIN => Err(Errno::SRCH.into()),
        _ => to_group(cx, -pid, signal),
    }
}

/// Serves `tkill(tid, sig)` for the same signals.
pub(crate) fn tkill(cx: &mut Cx<'_>) -> Served {
    match cx.sup.is_ours(cx.int(0)) {
        true => Err(Errno::PERM.into()),
        false => Ok(Verdict::Continue),
    }
}

/// Serves `pidfd_send_signal(pidfd, sig, info, flags)`.
pub(crate) fn pidfd_send_signal(cx: &mut Cx<'_>) -> Served {
    let pid = match cx.sup.descriptors.look(cx.tid(), cx.int(0))? {
        Thing::Process(pid) => pid,
        // A directory of /proc serves as a pidfd too.
        _ => match process_directory(cx.tid(), cx.int(0)) {
            Some(pid) => pid,
            None => return Ok(Verdict::Continue),
        },
    };
    match cx.sup.is_ours(pid) {
        true => Err(Errno::PERM.into()),
        false => Ok(Verdict::Continue),
    }
}

fn process_directory(tid: i32, fd: i32) -> Option<i32> {
    let link = rustix::fs::readlink(format!("/proc/{tid}/fd/{fd}"), Vec::new()).ok()?;
    link.to_str().ok()?.strip_prefix("/proc/")?.split('/').next()?.parse().ok()
}

fn to_group(cx: &Cx<'_>, group: i32, signal: i32) -> Served {
    let concerned = cx
        .sup
        .chain()
        .into_iter()
        .any(|pid| stat_of(pid).is_some_and(|process| process.pgrp == group));
    if !concerned {
        return Ok(Verdict::Continue);
    }
    many(cx, signal, |process| process.pgrp == group)
}

/// Signals every process that is meant, but for our own; the caller last, since it may not outlive
/// its own signal.
fn many(cx: &Cx<'_>, signal: i32, meant: impl Fn(&Process) -> bool) -> Served {
    let signal = Signal::from_named_raw(signal).ok_or(Errno::INVAL)?;
    let me = cx.thread_group();
    let mut result = Err(Errno::SRCH);
    let mut include_me = false;
    for process in processes().into_iter().filter(|process| meant(process)) {
        if cx.sup.is_ours(process.pid) {
            continue;
        }
        if process.pid == me {
            include_me = true;
            continue;
        }
        let Some(pid) = Pid::from_raw(process.pid) else { continue };
        match rustix::process::kill_process(pid, signal) {
            Ok(()) => result = Ok(()),
            Err(errno) if result == Err(Errno::SRCH) => result = Err(errno),
            Err(_) => {}
        }
    }
    if include_me && let Some(pid) = Pid::from_raw(me) {
        rustix::process::kill_process(pid, signal)?;
        result = Ok(());
    }
    result?;
    Ok(Verdict::Return(0))
}

/// The parts of `/proc/PID/stat` that matter here.
struct Process {
    pid: i32,
    pgrp: i32,
}

fn stat_of(pid: i32) -> Option<Process> {
    let text = read_file(&format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    // The name is in parentheses and may hold anything.
    let rest = text.get(text.rfind(')')? + 2..)?;
    let pgrp = rest.split(' ').nth(2)?.parse().ok()?;
    Some(Process { pid, pgrp })
}

fn processes() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(stat_of)
        .collect()
}

impl Cx<'_> {
    /// Number of the caller's thread group.
    pub(crate) fn thread_group(&self) -> i32 {
        self.guest()
            .map(|guest| guest.tgid)
            .or_else(|| crate::procfs::thread_group(self.tid()))
            .unwrap_or(self.tid())
    }
}
