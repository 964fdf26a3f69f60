//! prctl(2): the options that concern credentials, dumpability, and who adopts orphans.
//!
//! The filter sends only the options named here. A program's wish not to be dumpable is kept here
//! and not passed on: the host would stop us from reading its memory (proc(5), ptrace(2)). On the
//! host `no_new_privs` is always set, since a filter needs it, so what programs set is kept here too.
//! Not decided here: which change is allowed; that is `nsproxy::creds`.

use nsproxy::creds;
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};
use crate::syscalls::{seccomp, subject};

/// `PR_SET_PTRACER`, of the Yama security module.
pub(crate) const PR_SET_PTRACER: i32 = 0x59_61_6d_61;

/// Serves `prctl(option, ...)`.
pub(crate) fn prctl(cx: &mut Cx<'_>) -> Served {
    match cx.int(0) {
        libc::PR_SET_DUMPABLE => set_dumpable(cx),
        libc::PR_GET_DUMPABLE => get_dumpable(cx),
        PR_SET_PTRACER => about(cx, 1),
        libc::PR_SCHED_CORE => about(cx, 2),
        libc::PR_SET_CHILD_SUBREAPER => set_child_subreaper(cx),
        libc::PR_GET_CHILD_SUBREAPER => get_child_subreaper(cx),
        libc::PR_SET_NO_NEW_PRIVS | libc::PR_GET_NO_NEW_PRIVS => no_new_privs(cx),
        libc::PR_GET_SECCOMP => seccomp::mode(cx),
        _ => credentials(cx),
    }
}

fn set_dumpable(cx: &mut Cx<'_>) -> Served {
    let wish = match cx.arg(1) {
        0 => false,
        1 => true,
        _ => return Err(Errno::INVAL.into()),
    };
    if cx.guest().is_none() && wish {
        return Ok(Verdict::Continue);
    }
    // Its children inherit the wish, so it has to be known from now on.
    let guest = cx.meet()?.keep()?;
    guest.task.set_dumpable(wish);
    if !wish {
        cx.sup.guests.note_closed();
    }
    Ok(Verdict::Return(0))
}

fn get_dumpable(cx: &mut Cx<'_>) -> Served {
    if cx.guest().is_none() {
        return Ok(Verdict::Continue);
    }
    Ok(Verdict::Return(i64::from(cx.meet()?.task.dumpable())))
}

/// An option about somebody who is named by an argument, which the kernel serves.
fn about(cx: &mut Cx<'_>, index: usize) -> Served {
    cx.may_wait()?;
    subject::translated(cx, &[index])
}

/// On the host the init of a pid namespace always adopts orphans.
fn set_child_subreaper(cx: &mut Cx<'_>) -> Served {
    let Some(guest) = cx.guest() else { return Ok(Verdict::Continue) };
    guest.task.set_child_subreaper(cx.arg(1) != 0);
    match guest.is_numbered() && guest.task.is_init() {
        true => Ok(Verdict::Return(0)),
        false => Ok(Verdict::Continue),
    }
}

fn get_child_subreaper(cx: &mut Cx<'_>) -> Served {
    let Some(guest) = cx.numbered().filter(|guest| guest.task.is_init()) else {
        return Ok(Verdict::Continue);
    };
    let adopts = i32::from(guest.task.child_subreaper());
    cx.mem().write(cx.arg(1), &adopts.to_ne_bytes())?;
    Ok(Verdict::Return(0))
}

fn no_new_privs(cx: &mut Cx<'_>) -> Served {
    let mut met = cx.meet()?;
    let [option, a, b, c, d, _] = cx.args();
    let value = creds::prctl(&met.task, option, [a, b, c, d]);
    if option as i32 == libc::PR_SET_NO_NEW_PRIVS && matches!(value, Some(Ok(_))) {
        // Its children inherit it, so it has to be known from now on.
        met.keep()?;
    }
    match value {
        Some(value) => Ok(Verdict::Return(value? as i64)),
        None => Ok(Verdict::Continue),
    }
}

fn credentials(cx: &mut Cx<'_>) -> Served {
    let Some(guest) = cx.changing() else { return Ok(Verdict::Continue) };
    let [option, a, b, c, d, _] = cx.args();
    match creds::prctl(&guest.task, option, [a, b, c, d]) {
        Some(value) => Ok(Verdict::Return(value? as i64)),
        None => Ok(Verdict::Continue),
    }
}
