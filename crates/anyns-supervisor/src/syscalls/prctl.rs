//! prctl(2): the options that concern credentials, and dumpability.
//!
//! The filter sends only the options named here. A program's wish not to be dumpable is kept here
//! and not passed on: the host would stop us from reading its memory (proc(5), ptrace(2)). On the
//! host `no_new_privs` is always set, since a filter needs it, so what programs set is kept here too.
//! Not decided here: which change is allowed; that is `nsproxy::creds`.

use nsproxy::creds;
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};

/// Serves `prctl(option, ...)`.
pub(crate) fn prctl(cx: &mut Cx<'_>) -> Served {
    match cx.int(0) {
        libc::PR_SET_DUMPABLE => set_dumpable(cx),
        libc::PR_GET_DUMPABLE => get_dumpable(cx),
        libc::PR_SET_NO_NEW_PRIVS | libc::PR_GET_NO_NEW_PRIVS => no_new_privs(cx),
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
    Ok(Verdict::Return(0))
}

fn get_dumpable(cx: &mut Cx<'_>) -> Served {
    if cx.guest().is_none() {
        return Ok(Verdict::Continue);
    }
    Ok(Verdict::Return(i64::from(cx.meet()?.task.dumpable())))
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
