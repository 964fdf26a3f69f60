//! getpid(2), gettid(2), getppid(2), getpgrp(2), getpgid(2), getsid(2), setpgid(2), setsid(2): by
//! which numbers the caller and others are called.
//!
//! In the initial pid namespace the kernel's numbers are the truth. Below it only the caller's view
//! differs ([`crate::numbers`]). Groups and sessions are the kernel's to change, and the model
//! follows.

use anyns_trap::Failed;
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};
use crate::numbers::NOBODY;
use crate::trouble::Trouble;

/// Serves `getpid()`.
pub(crate) fn getpid(cx: &mut Cx<'_>) -> Served {
    match cx.numbered() {
        Some(guest) if guest.task.is_init() => Ok(Verdict::Return(1)),
        _ => Ok(Verdict::Continue),
    }
}

/// Serves `gettid()`.
pub(crate) fn gettid(cx: &mut Cx<'_>) -> Served {
    match cx.numbered() {
        Some(guest) if guest.tid == guest.tgid && guest.task.is_init() => Ok(Verdict::Return(1)),
        _ => Ok(Verdict::Continue),
    }
}

/// Serves `getppid()`.
pub(crate) fn getppid(cx: &mut Cx<'_>) -> Served {
    match cx.numbered() {
        Some(guest) => Ok(Verdict::Return(cx.view().parent_seen(guest.tid).into())),
        None => Ok(Verdict::Continue),
    }
}

/// Serves `getpgrp()`.
pub(crate) fn getpgrp(cx: &mut Cx<'_>) -> Served {
    match cx.numbered() {
        Some(guest) => Ok(Verdict::Return(cx.view().group_seen(&guest.task).into())),
        None => Ok(Verdict::Continue),
    }
}

/// Serves `getpgid(pid)`.
pub(crate) fn getpgid(cx: &mut Cx<'_>) -> Served {
    let Some(guest) = cx.numbered() else { return Ok(Verdict::Continue) };
    let number = cx.view().in_model(cx.int(0));
    Ok(Verdict::Return(nsproxy::getpgid(&guest.task, number)?.into()))
}

/// Serves `getsid(pid)`.
pub(crate) fn getsid(cx: &mut Cx<'_>) -> Served {
    let Some(guest) = cx.numbered() else { return Ok(Verdict::Continue) };
    let number = cx.view().in_model(cx.int(0));
    Ok(Verdict::Return(nsproxy::getsid(&guest.task, number)?.into()))
}

/// Serves `setsid()`.
pub(crate) fn setsid(cx: &mut Cx<'_>) -> Served {
    let Some(guest) = cx.numbered().cloned() else { return Ok(Verdict::Continue) };
    made_by_itself(cx, cx.args(), |cx, done| {
        guest.task.note_session();
        cx.view().number_seen(done as i32).unwrap_or_default().into()
    })
}

/// Serves `setpgid(pid, group)`.
pub(crate) fn setpgid(cx: &mut Cx<'_>) -> Served {
    if !cx.sup.guests.any_numbered() {
        return Ok(Verdict::Continue);
    }
    let (number, group) = (cx.int(0), cx.int(1));
    if group < 0 || (group == 0 && number < 0) {
        return Err(Errno::INVAL.into());
    }
    let view = cx.view();
    let target = match number {
        0 => cx.thread_group(),
        number => view.find(number)?,
    };
    // Neither of a namespace nor somebody whose children might be.
    let Some(subject) = cx.sup.find_subject(target) else { return Ok(Verdict::Continue) };
    let chosen = match group {
        0 => 0,
        // The kernel says no to a group that there is not when it comes to that.
        group => view.find_led(group).unwrap_or(NOBODY),
    };
    let mut args = cx.args();
    args[0] = if number == 0 { 0 } else { target as u64 };
    args[1] = chosen as u64;
    made_by_itself(cx, args, |_, done| {
        subject.task.note_group(if chosen == 0 { target } else { chosen } as u32);
        done
    })
}

/// Has the caller make its call with these arguments; `settle` makes the answer of a success.
fn made_by_itself(
    cx: &mut Cx<'_>,
    args: [u64; 6],
    settle: impl FnOnce(&Cx<'_>, i64) -> i64,
) -> Served {
    let nr = cx.nr();
    match cx.take().stop().and_then(|held| held.inject(nr, args)) {
        Ok((done, held)) => {
            let answer = if done < 0 { done } else { settle(cx, done) };
            Ok(Verdict::Answered(held.ret(answer)))
        }
        Err(Failed::Untraceable(call)) => {
            // Another guest traces the caller.
            cx.put_back(call);
            Err(Trouble::Errno(Errno::PERM))
        }
        Err(failed) => Ok(Verdict::Answered(failed.settle())),
    }
}
