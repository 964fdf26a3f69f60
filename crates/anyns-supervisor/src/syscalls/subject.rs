//! Calls about a thread, process or group that is given by number, and that the kernel serves once
//! the number is its own: sched_setscheduler(2) and its like, getpriority(2), ioprio_get(2),
//! prlimit(2), ptrace(2), kcmp(2), move_pages(2), get_robust_list(2),
//! pidfd_open(2), perf_event_open(2), timer_create(2), waitid(2).
//!
//! Whoever cannot be seen gets a number that nobody has: the kernel then refuses in its own order.

use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};
use crate::descriptors::Thing;
use crate::numbers::NOBODY;
use crate::procfs;
use crate::trouble::Trouble;

/// `PRIO_PGRP` and `PRIO_USER` of getpriority(2).
const PRIO: [i32; 2] = [1, 2];
/// `IOPRIO_WHO_PGRP` and `IOPRIO_WHO_USER` of ioprio_get(2).
const IOPRIO: [i32; 2] = [2, 3];

/// Serves a call whose first argument is a thread or process; 0 is the caller.
pub(crate) fn first(cx: &mut Cx<'_>) -> Served {
    translated(cx, &[0])
}

/// Serves a call whose second argument is one.
pub(crate) fn second(cx: &mut Cx<'_>) -> Served {
    translated(cx, &[1])
}

/// Serves a call whose first two arguments are.
pub(crate) fn both(cx: &mut Cx<'_>) -> Served {
    translated(cx, &[0, 1])
}

/// Serves `ptrace(request, pid, ..)`.
pub(crate) fn traced(cx: &mut Cx<'_>) -> Served {
    if [libc::PTRACE_ATTACH, libc::PTRACE_SEIZE].contains(&(cx.arg(0) as u32)) {
        lets_look(cx, cx.int(1))?;
    }
    second(cx)
}

/// Serves a call that looks into whom its first argument names.
pub(crate) fn looked_into(cx: &mut Cx<'_>) -> Served {
    lets_look(cx, cx.int(0))?;
    first(cx)
}

/// Serves `perf_event_open(attributes, pid, ..)`.
pub(crate) fn measured(cx: &mut Cx<'_>) -> Served {
    lets_look(cx, cx.int(1))?;
    second(cx)
}

/// Serves `kcmp(pid1, pid2, ..)`.
pub(crate) fn compared(cx: &mut Cx<'_>) -> Served {
    lets_look(cx, cx.int(0))?;
    lets_look(cx, cx.int(1))?;
    both(cx)
}

/// Serves `pidfd_getfd(pidfd, fd, flags)`.
pub(crate) fn getfd(cx: &mut Cx<'_>) -> Served {
    if cx.sup.guests.any_closed()
        && let Ok(Thing::Process(tid)) = cx.sup.descriptors.look(cx.tid(), cx.int(0))
    {
        judged(cx, tid)?;
    }
    Ok(Verdict::Continue)
}

/// Refuses a look into somebody who lets nobody do so, and whom the host does not protect: EPERM.
pub(super) fn lets_look(cx: &Cx<'_>, number: i32) -> Result<(), Trouble> {
    if number <= 0 || !cx.sup.guests.any_closed() {
        return Ok(());
    }
    match cx.numbered() {
        None => judged(cx, number),
        // Whoever cannot be seen is nobody.
        Some(_) => cx.view().find(number).map_or(Ok(()), |tid| judged(cx, tid)),
    }
}

fn judged(cx: &Cx<'_>, tid: i32) -> Result<(), Trouble> {
    cx.may_wait()?;
    match procfs::may_look(cx, tid) {
        Err(Trouble::Errno(Errno::ACCESS)) => Err(Errno::PERM.into()),
        // The kernel says so.
        Err(Trouble::Errno(_)) | Ok(()) => Ok(()),
        Err(other) => Err(other),
    }
}

pub(crate) fn translated(cx: &mut Cx<'_>, which: &[usize]) -> Served {
    if cx.numbered().is_none() {
        return Ok(Verdict::Continue);
    }
    let mut args = cx.args();
    for &index in which {
        let number = cx.int(index);
        // What cannot be a number the kernel refuses.
        if number > 0 {
            set(&mut args[index], number, cx.view().find(number).unwrap_or(NOBODY));
        }
    }
    cx.run_with(args)
}

/// Where a `struct sigevent` has how it notifies and whom, and its size.
const SIGEVENT: (usize, usize, usize) = (12, 16, 64);
/// `SIGEV_THREAD_ID`: one thread of the caller's process.
const THREAD_ID: i32 = 4;

/// Serves `timer_create(clock, event, timer)`: the event may name a thread.
pub(crate) fn timer_create(cx: &mut Cx<'_>) -> Served {
    let (how, whom, size) = SIGEVENT;
    let mut event = vec![0; size];
    if cx.numbered().is_none() || cx.mem().read(cx.arg(1), &mut event).is_err() {
        return Ok(Verdict::Continue);
    }
    let word = |at: usize| i32::from_ne_bytes(event[at..at + 4].try_into().expect("four bytes"));
    let (how, number) = (word(how), word(whom));
    if how != THREAD_ID || number <= 0 {
        return Ok(Verdict::Continue);
    }
    let host = cx.view().find(number).unwrap_or(NOBODY);
    if host == number {
        return Ok(Verdict::Continue);
    }
    event[whom..whom + 4].copy_from_slice(&host.to_ne_bytes());
    let mut args = cx.args();
    args[1] = cx.held().scratch(&event)?;
    cx.run_with(args)
}

/// Serves `getpriority(which, who)` and `setpriority(which, who, value)`.
pub(crate) fn priority(cx: &mut Cx<'_>) -> Served {
    of_several(cx, PRIO)
}

/// Serves `ioprio_get(which, who)` and `ioprio_set(which, who, value)`.
pub(crate) fn ioprio(cx: &mut Cx<'_>) -> Served {
    of_several(cx, IOPRIO)
}

fn of_several(cx: &mut Cx<'_>, [group, user]: [i32; 2]) -> Served {
    if cx.numbered().is_none() || cx.int(1) <= 0 || cx.int(0) == user {
        return Ok(Verdict::Continue);
    }
    let (view, number) = (cx.view(), cx.int(1));
    let found = if cx.int(0) == group { view.find_led(number) } else { view.find(number) };
    let mut args = cx.args();
    set(&mut args[1], number, found.unwrap_or(NOBODY));
    cx.run_with(args)
}

/// Serves `waitid(P_PGID, group, ..)`: children themselves are called by the host's numbers, as
/// fork(2) gave them.
pub(crate) fn waitid(cx: &mut Cx<'_>) -> Served {
    if cx.numbered().is_none() || cx.int(1) <= 0 {
        return Ok(Verdict::Continue);
    }
    let mut args = cx.args();
    set(&mut args[1], cx.int(1), cx.view().find_led(cx.int(1)).unwrap_or(NOBODY));
    cx.run_with(args)
}

/// Serves `wait4(-group, ..)`.
pub(crate) fn wait4(cx: &mut Cx<'_>) -> Served {
    let number = cx.int(0);
    if cx.numbered().is_none() || number >= -1 || number == i32::MIN {
        return Ok(Verdict::Continue);
    }
    let mut args = cx.args();
    set(&mut args[0], number, -cx.view().find_led(-number).unwrap_or(NOBODY));
    cx.run_with(args)
}

/// Puts the host's number in an argument, unless it is there already.
fn set(argument: &mut u64, number: i32, host: i32) {
    if number != host {
        *argument = host as u64;
    }
}
