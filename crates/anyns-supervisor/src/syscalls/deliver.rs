//! How a signal that is to reach somebody is sent: by the kernel, by us, or not at all; and who it
//! says it is from.
//!
//! The kernel says its own number of the sender. Where the target calls that one otherwise, or
//! nobody, the signal is changed on its way, or queued by us.

use std::os::fd::AsFd;
use std::sync::Arc;

use anyns_trap::{Failed, Memory, Sender, Tid, raw};
use nsproxy::Disposition;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use crate::cx::{Cx, Served, Verdict};
use crate::guests::Guest;
use crate::numbers::sender_seen;
use crate::procfs::read_file;
use crate::syscalls::ends;
use crate::trouble::Trouble;

/// The number of the last signal.
pub(crate) const SIGNAL_MAX: i32 = 64;
/// Bytes of a `siginfo_t`.
const SIGINFO: usize = 128;

/// A signal that the kernel sends, and that says to be from another number than the kernel's.
pub(crate) fn signed(
    cx: &mut Cx<'_>,
    target: &Guest,
    signal: i32,
    host: &[(usize, i32)],
    number: i32,
) -> Served {
    let sender = Sender { pid: number, uid: target.task.cred().user.uid_in(cx.cred()?.uid) };
    let args = with_host(cx, host);
    if cx.held().is_traced() {
        // Its tracer sees to it.
        return cx.run_with(args);
    }
    if target.tid == cx.tid() {
        return to_itself(cx, signal, args, sender);
    }
    let (to, from) = (Tid(target.tid), cx.thread_group());
    match cx.take().let_signal(args, to, from, sender) {
        Ok(answered) => Ok(Verdict::Answered(answered)),
        Err(Failed::Untraceable(call)) => {
            cx.put_back(call);
            natively(cx, host)
        }
        Err(failed) => Ok(Verdict::Answered(failed.settle())),
    }
}

/// A thread signals itself: the kernel lets it say of that what it likes.
fn to_itself(cx: &mut Cx<'_>, signal: i32, args: [u64; 6], sender: Sender) -> Served {
    let (process, thread) = (cx.thread_group(), cx.tid());
    let whole = cx.nr() == libc::SYS_kill || cx.nr() == libc::SYS_pidfd_send_signal;
    if whole && process != thread {
        return cx.run_with(args);
    }
    let code = if whole { libc::SI_USER } else { libc::SI_TKILL };
    let words = [signal, 0, code, 0, sender.pid, sender.uid as i32];
    let mut info = words.map(i32::to_ne_bytes).concat();
    info.resize(SIGINFO, 0);
    let info = cx.held().scratch(&info)?;
    let (nr, args) = match whole {
        true => (libc::SYS_rt_sigqueueinfo, [process as u64, signal as u64, info, 0, 0, 0]),
        false => {
            let args = [process as u64, thread as u64, signal as u64, info, 0, 0];
            (libc::SYS_rt_tgsigqueueinfo, args)
        }
    };
    match cx.take().stop().and_then(|held| held.inject(nr, args)) {
        Ok((done, held)) => Ok(Verdict::Answered(held.ret(done))),
        Err(Failed::Untraceable(call)) => {
            cx.put_back(call);
            Ok(Verdict::Continue)
        }
        Err(failed) => Ok(Verdict::Answered(failed.settle())),
    }
}

pub(crate) fn natively(cx: &mut Cx<'_>, host: &[(usize, i32)]) -> Served {
    let args = with_host(cx, host);
    cx.run_with(args)
}

/// The arguments with the host's numbers in place of the caller's.
fn with_host(cx: &Cx<'_>, host: &[(usize, i32)]) -> [u64; 6] {
    let mut args = cx.args();
    for &(index, number) in host {
        if cx.int(index) != number {
            args[index] = number as u64;
        }
    }
    args
}

/// What becomes of a signal.
#[derive(Clone, Copy)]
pub(crate) enum How {
    /// The target, an init, does not hear of it.
    Not,
    /// The kernel sends it.
    Natively,
    /// We do, and nobody looks at who it is from.
    Plainly,
    /// We do, and say that it is from this number.
    As(i32),
}

pub(crate) fn how(cx: &Cx<'_>, target: &Guest, signal: i32) -> Result<How, Trouble> {
    if signal == 0 || !(1..=SIGNAL_MAX).contains(&signal) {
        return Ok(How::Natively);
    }
    if is_discarded(cx, target, signal)? {
        return Ok(How::Not);
    }
    if is_unblockable(signal) {
        let follows = signal == libc::SIGKILL && target.task.is_init();
        return Ok(if follows { How::Plainly } else { How::Natively });
    }
    let me = cx.thread_group();
    let me_known = cx.guest().map(|guest| &**guest);
    let seen = target.task.pid_ns().map_or(me, |ns| sender_seen(me_known, &ns));
    let looked_at = disposition(target.tid, signal) == Disposition::Handled;
    Ok(if seen == me || !looked_at { How::Natively } else { How::As(seen) })
}

/// Sends a signal to a member.
pub(crate) fn reach(
    cx: &Cx<'_>,
    target: &Arc<Guest>,
    signal: i32,
    how: How,
) -> Result<(), Trouble> {
    let discarded = matches!(how, How::Not);
    if signal == libc::SIGKILL && target.task.is_init() && !discarded {
        return ends::end_init(cx, target, |_, _| Ok(raw::signal_process(target.pidfd(), signal)?));
    }
    match how {
        How::Not => return Ok(()),
        How::Natively | How::Plainly => raw::signal_process(target.pidfd(), signal)?,
        How::As(number) => {
            let uid = target.task.cred().user.uid_in(cx.cred()?.uid);
            raw::signal_as(target.pidfd(), signal, number, uid)?;
        }
    }
    Ok(())
}

/// Sends a signal to somebody who is in no pid namespace of ours.
pub(crate) fn to_outsider(cx: &Cx<'_>, pid: i32, signal: i32) -> Result<(), Trouble> {
    let number = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    let pidfd = rustix::process::pidfd_open(number, PidfdFlags::empty())?;
    match signal == 0 || is_unblockable(signal) {
        true => raw::signal_process(pidfd.as_fd(), signal)?,
        false => {
            let uid = cx.sup.system.init_user().uid_in(cx.cred()?.uid);
            raw::signal_as(pidfd.as_fd(), signal, cx.thread_group(), uid)?;
        }
    }
    Ok(())
}

/// Tells whether a signal of the caller's does not reach `target`, because that is an init.
pub(crate) fn is_discarded(cx: &Cx<'_>, target: &Guest, signal: i32) -> Result<bool, Trouble> {
    if signal == 0 || !target.task.is_init() {
        return Ok(false);
    }
    let sender = cx.meet()?;
    let disposition = disposition(target.tid, signal);
    Ok(nsproxy::is_discarded(Some(&sender.task), &target.task, signal, disposition))
}

/// Tells whether a process has arranged nothing for a signal.
pub(crate) fn has_default(tid: i32, signal: i32) -> bool {
    let text = read_file(&format!("/proc/{tid}/status")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    !has(&text, "SigCgt:", signal) && !has(&text, "SigIgn:", signal)
}

/// Tells whether a thread does not block a signal.
pub(crate) fn takes_at_once(tid: i32, signal: i32) -> bool {
    let text = read_file(&format!("/proc/{tid}/status")).unwrap_or_default();
    !has(&String::from_utf8_lossy(&text), "SigBlk:", signal) && !waits_for(tid, signal)
}

/// What a thread has arranged for a signal. One that it blocks waits, so that it counts as handled.
pub(crate) fn disposition(tid: i32, signal: i32) -> Disposition {
    let text = read_file(&format!("/proc/{tid}/status")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let has = |name| has(&text, name, signal);
    if has("SigBlk:") || has("SigCgt:") || waits_for(tid, signal) {
        Disposition::Handled
    } else if has("SigIgn:") {
        Disposition::Ignored
    } else {
        Disposition::Default
    }
}

/// Tells whether a line of `/proc/PID/status` names a signal.
fn has(text: &str, name: &str, signal: i32) -> bool {
    signals(text, name) >> (signal - 1) & 1 != 0
}

/// The signals that a line of `/proc/PID/status` names.
pub(super) fn signals(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Tells whether a thread sleeps in rt_sigtimedwait(2) for a signal: it is not among those blocked then,
/// though the kernel counts it so.
fn waits_for(tid: i32, signal: i32) -> bool {
    let text = read_file(&format!("/proc/{tid}/syscall")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut words = text.split_whitespace();
    if words.next().and_then(|nr| nr.parse().ok()) != Some(libc::SYS_rt_sigtimedwait) {
        return false;
    }
    let hexadecimal = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    let Some(set) = words.next().and_then(hexadecimal) else { return false };
    let set = Memory::of_stopped(Tid(tid)).read_value::<u64>(set);
    set.is_ok_and(|set| set >> (signal - 1) & 1 != 0)
}

pub(crate) fn is_unblockable(signal: i32) -> bool {
    matches!(signal, libc::SIGKILL | libc::SIGSTOP)
}
