//! kill(2), tkill(2), tgkill(2), rt_sigqueueinfo(2), pidfd_send_signal(2): whom a number means, and
//! who is out of reach.
//!
//! The kernel sends most signals itself, once the number is its own. Ours to send are those that
//! tell of a sender whom the target calls otherwise than the host does, or not at all; those that go
//! to several of whom some are not to be reached; and SIGKILL for an init, which others follow.
//! What an init has no handler for does not reach it from inside ([`nsproxy::is_discarded`]).
//!
//! SIGKILL and SIGSTOP, which cannot be blocked, never hit the processes that serve the tree.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nsproxy::Task;
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};
use crate::descriptors::Thing;
use crate::guests::Guest;
use crate::procfs::{self, read_file};
use crate::syscalls::deliver::{
    How, SIGNAL_MAX, how, is_discarded, is_unblockable, natively, reach, signed, takes_at_once,
    to_outsider,
};
use crate::trouble::Trouble;

/// How often, and how long at a time, a task is waited for that is changing its entry.
const PATIENCE: usize = 20;
const NAP: Duration = Duration::from_micros(100);

/// Serves `kill(pid, sig)`.
pub(crate) fn kill(cx: &mut Cx<'_>) -> Served {
    let (number, signal) = (cx.int(0), cx.int(1));
    match (cx.numbered().cloned(), number) {
        (_, i32::MIN) => Err(Errno::SRCH.into()),
        (Some(me), -1) => everybody_inside(cx, &me, signal),
        (Some(me), 1..) => {
            let asked = cx.view().in_model(number);
            let reached = nsproxy::kill_targets(&me.task, asked, signal)?;
            let target = reached.first().and_then(|task| left_of(cx, task)).ok_or(Errno::SRCH)?;
            if signal == 0 {
                return Ok(Verdict::Return(0));
            }
            let host = cx.view().find(number)?;
            to_one(cx, &target, signal, &[(0, host)])
        }
        (None, 1..) if is_out_of_reach(cx, number, signal) => Err(Errno::PERM.into()),
        (None, 1..) => match member(cx, number) {
            Some(target) => to_one(cx, &target, signal, &[(0, number)]),
            None => Ok(Verdict::Continue),
        },
        (None, -1) => {
            if !is_unblockable(signal) && !cx.sup.guests.any_numbered() {
                return Ok(Verdict::Continue);
            }
            let me = cx.thread_group();
            let meant = |process: &Process| process.pid > 1 && process.pid != me;
            to_several(cx, signal, processes().into_iter().filter(meant).collect(), None)
        }
        (_, 0) => {
            let group = stat_of(cx.tid()).map(|process| process.pgrp).ok_or(Errno::SRCH)?;
            to_group(cx, group, signal)
        }
        _ => {
            let group = cx.view().find_led(-number)?;
            to_group(cx, group, signal)
        }
    }
}

/// Serves `tkill(tid, sig)`.
pub(crate) fn tkill(cx: &mut Cx<'_>) -> Served {
    to_thread(cx, &[0], cx.int(1))
}

/// Serves `tgkill(tgid, tid, sig)`.
pub(crate) fn tgkill(cx: &mut Cx<'_>) -> Served {
    to_thread(cx, &[0, 1], cx.int(2))
}

/// Serves `rt_sigqueueinfo(tgid, sig, info)`.
pub(crate) fn sigqueue(cx: &mut Cx<'_>) -> Served {
    to_thread(cx, &[0], cx.int(1))
}

/// Serves `rt_tgsigqueueinfo(tgid, tid, sig, info)`.
pub(crate) fn tgsigqueue(cx: &mut Cx<'_>) -> Served {
    to_thread(cx, &[0, 1], cx.int(2))
}

/// A signal to a process or thread that is given by these arguments, which the kernel sends.
fn to_thread(cx: &mut Cx<'_>, numbers: &[usize], signal: i32) -> Served {
    let last = numbers[numbers.len() - 1];
    if numbers.iter().any(|&index| cx.int(index) <= 0) {
        // The kernel refuses it.
        return Ok(Verdict::Continue);
    }
    let mut host = Vec::new();
    let target = match cx.numbered().cloned() {
        None if is_out_of_reach(cx, cx.int(last), signal) => return Err(Errno::PERM.into()),
        None => match member(cx, cx.int(last)) {
            Some(target) => target,
            None => return Ok(Verdict::Continue),
        },
        Some(me) => {
            let view = cx.view();
            for &index in numbers {
                host.push((index, view.find(cx.int(index))?));
            }
            let reached = nsproxy::kill_targets(&me.task, cx.int(last), signal)?;
            reached.first().and_then(|task| left_of(cx, task)).ok_or(Errno::SRCH)?
        }
    };
    let process = host.first().map_or(cx.int(0), |(_, number)| *number);
    if numbers.len() > 1 && process != target.tgid {
        return Err(Errno::SRCH.into());
    }
    if signal == libc::SIGKILL && target.task.is_init() {
        return to_one(cx, &target, signal, &[]);
    }
    let asks = signal == 0 && matches!(cx.nr(), libc::SYS_tkill | libc::SYS_tgkill);
    if asks && !host.is_empty() {
        return Ok(Verdict::Return(0));
    }
    match how(cx, &target, signal)? {
        How::Not => Ok(Verdict::Return(0)),
        // With its own words the sender says itself who it is.
        How::As(number) if matches!(cx.nr(), libc::SYS_tkill | libc::SYS_tgkill) => {
            signed(cx, &target, signal, &host, number)
        }
        _ => natively(cx, &host),
    }
}

/// Serves `pidfd_send_signal(pidfd, sig, info, flags)`.
pub(crate) fn pidfd_send_signal(cx: &mut Cx<'_>) -> Served {
    let signal = cx.int(1);
    if !is_unblockable(signal) && !cx.sup.guests.any_numbered() {
        return Ok(Verdict::Continue);
    }
    let pid = match cx.sup.descriptors.look(cx.tid(), cx.int(0))? {
        Thing::Process(pid) => pid,
        // A directory of /proc serves as a pidfd too.
        _ => match process_directory(cx.tid(), cx.int(0)) {
            Some(pid) => pid,
            None => return Ok(Verdict::Continue),
        },
    };
    if pid <= 0 {
        // Reaped.
        return Ok(Verdict::Continue);
    }
    if cx.numbered().is_none() && is_out_of_reach(cx, pid, signal) {
        return Err(Errno::PERM.into());
    }
    if cx.view().number_seen(pid).is_none() {
        // The kernel's answer for one that is not in the caller's pid namespace or below.
        return Err(Errno::INVAL.into());
    }
    let Some(target) = member(cx, pid) else { return Ok(Verdict::Continue) };
    match cx.arg(2) {
        0 => to_one(cx, &target, signal, &[]),
        // The caller says itself who it is.
        _ if is_discarded(cx, &target, signal)? => Ok(Verdict::Return(0)),
        _ => Ok(Verdict::Continue),
    }
}

fn process_directory(tid: i32, fd: i32) -> Option<i32> {
    let link = rustix::fs::readlink(format!("/proc/{tid}/fd/{fd}"), Vec::new()).ok()?;
    link.to_str().ok()?.strip_prefix("/proc/")?.split('/').next()?.parse().ok()
}

/// A signal to one member of a pid namespace of ours; the kernel sends it if it says the right thing,
/// with these numbers in place of some arguments.
fn to_one(cx: &mut Cx<'_>, target: &Arc<Guest>, signal: i32, host: &[(usize, i32)]) -> Served {
    match how(cx, target, signal)? {
        How::Natively => natively(cx, host),
        How::As(number) if takes_at_once(target.tid, signal) => {
            signed(cx, target, signal, host, number)
        }
        how => {
            reach(cx, target, signal, how)?;
            Ok(Verdict::Return(0))
        }
    }
}

/// A signal to a group, by its number on the host.
fn to_group(cx: &mut Cx<'_>, group: i32, signal: i32) -> Served {
    let inside = cx.numbered().is_some();
    let chain = || cx.sup.chain().into_iter().any(|pid| in_group(pid, group));
    if !cx.sup.guests.any_numbered() && (!is_unblockable(signal) || !chain()) {
        return Ok(Verdict::Continue);
    }
    let meant: Vec<Process> =
        processes().into_iter().filter(|process| process.pgrp == group).collect();
    let mut plain = !meant.iter().any(|process| cx.sup.is_ours(process.pid));
    for process in &meant {
        if let Some(target) = member(cx, process.pid) {
            plain &= matches!(how(cx, &target, signal)?, How::Natively);
        }
    }
    if plain {
        let number = if cx.int(0) == 0 { 0 } else { -group };
        return match inside {
            true => natively(cx, &[(0, number)]),
            false => Ok(Verdict::Continue),
        };
    }
    to_several(cx, signal, meant, None)
}

/// kill(-1) by a member of a pid namespace: everybody it can see but its own process and the init.
fn everybody_inside(cx: &mut Cx<'_>, me: &Arc<Guest>, signal: i32) -> Served {
    cx.sup.guests.settle();
    let mut hit = BTreeSet::new();
    let mut anybody = false;
    loop {
        let meant = match nsproxy::kill_targets(&me.task, -1, signal) {
            Ok(meant) => meant,
            Err(_) if anybody => break,
            Err(refusal) => return Err(refusal.into()),
        };
        // Not one that may be signalled, but somebody.
        anybody |= meant.is_empty();
        let new: Vec<Arc<Guest>> = meant
            .iter()
            .filter_map(|task| left_of(cx, task))
            .filter(|guest| hit.insert((guest.tid, guest.task.id())))
            .collect();
        // Who is being born at this moment was missed: in Linux nobody is.
        if new.is_empty() && !cx.sup.guests.wait_for_births() {
            break;
        }
        for target in new {
            let how = how(cx, &target, signal)?;
            // One that the host does not let us reach is there all the same.
            let reached = reach(cx, &target, signal, how);
            anybody |= !matches!(reached, Err(Trouble::Errno(Errno::SRCH)));
        }
        if signal == 0 {
            break;
        }
    }
    if anybody { Ok(Verdict::Return(0)) } else { Err(Errno::SRCH.into()) }
}

/// Signals every process that is meant, but for our own; the caller last, since it may not outlive
/// its own signal.
fn to_several(
    cx: &mut Cx<'_>,
    signal: i32,
    meant: Vec<Process>,
    mut result: Option<Errno>,
) -> Served {
    let me = cx.thread_group();
    let mut reached = false;
    let (own, others): (Vec<Process>, Vec<Process>) =
        meant.into_iter().filter(|it| !cx.sup.is_ours(it.pid)).partition(|it| it.pid == me);
    if own.is_empty() && others.is_empty() {
        return Err(Errno::SRCH.into());
    }
    if !(0..=SIGNAL_MAX).contains(&signal) {
        return Err(Errno::INVAL.into());
    }
    for process in others.iter().chain(&own) {
        let done = match member(cx, process.pid) {
            Some(target) => how(cx, &target, signal).and_then(|it| reach(cx, &target, signal, it)),
            None => to_outsider(cx, process.pid, signal),
        };
        match done {
            Ok(()) => reached = true,
            Err(Trouble::Errno(errno)) => {
                result.get_or_insert(errno);
            }
            Err(_) => {}
        }
    }
    match result {
        Some(errno) if !reached => Err(errno.into()),
        _ => Ok(Verdict::Return(0)),
    }
}

/// The living member of a pid namespace of ours that has this number on the host.
fn member(cx: &Cx<'_>, tid: i32) -> Option<Arc<Guest>> {
    if !cx.sup.guests.any_numbered() {
        return None;
    }
    cx.sup.find_guest(tid).filter(|guest| guest.is_numbered())
}

/// What there is of a task of the model's: its entry, which is a zombie's if it has exited. Other
/// threads of its process may live on then, and hear of what is sent to it.
///
/// Nothing, if it has been reaped. The kernel knows that before anybody here does; between the two
/// the model still has the task, and its end is waited for.
fn left_of(cx: &Cx<'_>, task: &Task) -> Option<Arc<Guest>> {
    let tid = i32::try_from(task.tag()).ok()?;
    let of_task = |guest: &Arc<Guest>| guest.task.id() == task.id();
    for _ in 0..PATIENCE {
        let known = cx.sup.find_guest(tid).filter(of_task);
        if let Some(known) = known.or_else(|| cx.sup.guests.zombie(tid).filter(of_task)) {
            return Some(known);
        }
        if task.has_exited() {
            break;
        }
        // It is being buried, or takes its leader's number in an exec.
        std::thread::sleep(NAP);
    }
    None
}

fn is_out_of_reach(cx: &Cx<'_>, pid: i32, signal: i32) -> bool {
    is_unblockable(signal) && cx.sup.is_ours(pid)
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

fn in_group(pid: i32, group: i32) -> bool {
    stat_of(pid).is_some_and(|process| process.pgrp == group)
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
            .or_else(|| procfs::thread_group(self.tid()))
            .unwrap_or(self.tid())
    }
}
