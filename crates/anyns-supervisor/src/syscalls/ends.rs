//! exit_group(2) and reboot(2) of an init, and what kills one: the end of a pid namespace.
//!
//! Everybody inside dies before the init does, and it reaps them, so that whoever waits for it finds
//! nobody left. The kernel does not know of the namespace, so the init is made to wait(2) for them.

use std::sync::Arc;

use anyns_trap::{Failed, Frozen, Tid, raw};
use nsproxy::{Reboot, Status};

use crate::cx::{Cx, Served, Verdict};
use crate::guests::Guest;
use crate::trouble::Trouble;

/// Waits for any child of any sort, without sleeping.
const REAP: [u64; 6] = [-1_i64 as u64, 0, (libc::WNOHANG | libc::__WALL) as u64, 0, 0, 0];

/// Bytes of the kernel's `struct sigaction`.
const ACTION: usize = 32;

/// Serves `exit_group(status)`: an init takes everybody inside along, reaps them, and only then goes.
pub(crate) fn exit_group(cx: &mut Cx<'_>) -> Served {
    let init = cx.numbered().filter(|guest| guest.task.is_init() && !guest.task.has_exited());
    let Some(init) = init.cloned() else { return Ok(Verdict::Continue) };
    if !cx.sup.guests.end_init(&init, || !cx.held().is_alive()) {
        return Ok(Verdict::Continue);
    }
    let mut held = match cx.take().stop() {
        Ok(held) => held,
        Err(Failed::Untraceable(call)) => {
            cx.put_back(call);
            return Ok(Verdict::Continue);
        }
        Err(failed) => return Ok(Verdict::Answered(failed.settle())),
    };
    loop {
        match held.inject(libc::SYS_wait4, REAP) {
            Ok((1.., reaped)) => held = reaped,
            // It comes again, and is let through then.
            Ok((_, held)) => return Ok(Verdict::Answered(held.again())),
            Err(failed) => return Ok(Verdict::Answered(failed.settle())),
        }
    }
}

/// Serves `reboot(magic, magic2, command, argument)`: inside a pid namespace it is the end of that.
pub(crate) fn reboot(cx: &mut Cx<'_>) -> Served {
    let Some(me) = cx.numbered().cloned() else { return Ok(Verdict::Continue) };
    let magic = (cx.int(0) as u32, cx.int(1) as u32);
    let Reboot::Namespace { init, status } = nsproxy::reboot(&me.task, magic, cx.int(2) as u32)?
    else {
        return Ok(Verdict::Continue);
    };
    let init = i32::try_from(init.tag()).ok().and_then(|tid| cx.sup.find_guest(tid));
    let (Some(init), Status::Killed(signal)) = (init, status) else { return Err(Trouble::Gone) };
    let signal = i32::from(signal);
    if init.tgid != me.tgid {
        end_init(cx, &init, |init, frozen| {
            let arranged = frozen.and_then(|init| arrange_nothing(signal, init));
            let signal = if arranged.is_some() { signal } else { libc::SIGKILL };
            Ok(raw::signal_process(init.pidfd(), signal)?)
        })?;
        cx.sup.guests.must_die(&init);
        raw::signal_process(me.pidfd(), libc::SIGKILL)?;
        return Err(Trouble::Gone);
    }
    let room = cx.held().scratch(&nothing_arranged())?;
    let held = cx.take().stop().and_then(|held| {
        let mut held = held;
        for (nr, args) in arranging(signal, room) {
            held = held.inject(nr, args)?.1;
        }
        Ok(held)
    });
    cx.sup.guests.close(&init);
    let _ = raw::signal_process(init.pidfd(), signal);
    let answered = match held {
        Ok(held) => held.ret(0),
        Err(failed) => failed.settle(),
    };
    cx.sup.guests.must_die(&init);
    Ok(Verdict::Answered(answered))
}

/// A `struct sigaction` that is the default, and a set of all signals.
fn nothing_arranged() -> Vec<u8> {
    [[0; ACTION].as_slice(), &u64::MAX.to_ne_bytes()].concat()
}

/// The calls after which a process has arranged nothing for a signal; at `room` it has what
/// [`nothing_arranged`] gives.
fn arranging(signal: i32, room: u64) -> [(i64, [u64; 6]); 2] {
    let size = size_of::<u64>() as u64;
    let set = room + ACTION as u64;
    [
        (libc::SYS_rt_sigaction, [signal as u64, room, 0, size, 0, 0]),
        (libc::SYS_rt_sigprocmask, [libc::SIG_UNBLOCK as u64, set, 0, size, 0, 0]),
    ]
}

fn arrange_nothing(signal: i32, frozen: &mut Frozen) -> Option<()> {
    let room = frozen.scratch(&nothing_arranged())?;
    for (nr, args) in arranging(signal, room) {
        frozen.inject(nr, args)?;
    }
    Some(())
}

/// Ends a pid namespace whose init is to be killed, by `kill`: first everybody inside, whom it reaps.
/// It does not run meanwhile, as far as that can be helped, or it might see them die and end itself.
pub(crate) fn end_init(
    cx: &Cx<'_>,
    init: &Arc<Guest>,
    kill: impl FnOnce(&Arc<Guest>, Option<&mut Frozen>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut frozen = match init.tid == cx.tid() {
        true => None,
        false => cx.held().freeze(Tid(init.tid)),
    };
    let Some(standing) = &mut frozen else {
        kill(init, None)?;
        cx.sup.guests.close(init);
        return Ok(());
    };
    if cx.sup.guests.close(init)
        && let Some(ns) = init.task.pid_ns()
    {
        cx.sup.guests.wait_for_the_killed(&ns, init.tgid);
        while standing.inject(libc::SYS_wait4, REAP).is_some_and(|reaped| reaped > 0) {}
    }
    kill(init, Some(standing))
}
