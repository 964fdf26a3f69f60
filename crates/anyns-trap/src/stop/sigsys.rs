//! The SIGSYS that our filter raises: telling it from others, and restoring what it destroys.
//!
//! A forced signal that is blocked or ignored is unblocked, and its handler reset to the default.
//! Afterwards nothing tells whether it was blocked, unless there was a handler, which is then gone.
//! So there is one: the first call that a program makes with any signal blocked gives it a *marker*,
//! a handler that is never run, and what it has set itself is only shown to it. From then on a call
//! that finds the handler in place was made with SIGSYS unblocked, and one that does not with SIGSYS
//! blocked: both are put back.
//!
//! * rt_sigaction(2) about SIGSYS is stopped too, and answered from what is shown.
//! * A SIGSYS that is not ours meets what is shown: the tracer drops it, or lets the marker take
//!   it, which resets the handler (SA_RESETHAND), takes that back and sends it again.
//! * Before there is a marker, whether SIGSYS was blocked is a guess: it was if it was when the
//!   program started, or if almost all other signals are. (A program that begins by blocking SIGSYS
//!   alone is not believed to.)
//!
//! What remains visible: with a marker, SIGSYS is among the caught signals in `/proc`. Two threads of one process
//! that make such calls at the same moment, one of them with SIGSYS blocked, may both find it so.
//!
//! Locks: `Handlers::turn`, held while the tracer is waited for, before `Handlers::state`, which is
//! a leaf and all that the tracer takes.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Ask;
use crate::arch::{self, Regs};
use crate::call::Call;
use crate::filter;
use crate::notify::Told;
use crate::record::Last;
use crate::trace::{self, Held};
use crate::{Tid, sys};

/// SIGSYS in a set of signals.
pub(super) const BIT: u64 = 1 << (libc::SIGSYS - 1);

/// Reads the call at whose SIGSYS `tid` stands; none if the signal is not ours.
///
/// A guest's own filter, which is newer, wins the tie with ours and sends its own number.
pub(super) fn look(tid: Tid) -> Option<(Told, Regs)> {
    let trapped = sys::trapped(tid.0).ok()??;
    if trapped.data != i32::from(filter::DATA) || trapped.arch != arch::AUDIT_ARCH {
        return None;
    }
    let regs = Regs::read(tid).ok()?;
    let nr = i64::from(trapped.nr);
    Some((Told { id: 0, tid, nr, args: regs.args(), ip: trapped.ip }, regs))
}

/// The kernel's `struct sigaction`: handler, flags, restorer, mask.
type Action = [u64; 4];

const DEFAULT: u64 = libc::SIG_DFL as u64;
const IGNORE: u64 = libc::SIG_IGN as u64;
/// x86-64 has no frame without one.
const SA_RESTORER: u64 = 0x0400_0000;
/// The flags that the kernel keeps (sigaction(2); 0x800 is SA_EXPOSE_TAGBITS).
const FLAGS: u64 = 0xd800_0807 | SA_RESTORER;

/// Nothing is mapped at its address, which is below `vm.mmap_min_addr` anyway.
const MARKER: Action =
    [8, libc::SA_RESETHAND as u32 as u64 | libc::SA_NODEFER as u64 | SA_RESTORER, 8, 0];

/// What the threads that share signal handlers have set for SIGSYS.
#[derive(Default)]
pub(crate) struct Handlers {
    /// Whose thread is just being restored; only workers wait for it.
    turn: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// What they have set themselves.
    shown: Action,
    /// Whether there is a handler, theirs or the marker.
    marked: bool,
    /// Whether SIGSYS was blocked when the program started.
    blocked_at_start: bool,
}

/// Handlers, shared by those who share them.
pub(crate) type Shared = Arc<Handlers>;

impl Handlers {
    /// Those of a child that does not share them.
    pub(super) fn copied(&self) -> Shared {
        Arc::new(Handlers { state: Mutex::new(*self.state.lock()), ..Handlers::default() })
    }

    /// Those of a program that has just been started.
    pub(super) fn of_new_program(&self, mask: u64) -> Shared {
        let mut new = State { blocked_at_start: mask & BIT != 0, ..State::default() };
        if self.state.lock().shown[0] == IGNORE {
            new.shown[0] = IGNORE;
        }
        Arc::new(Handlers { state: Mutex::new(new), ..Handlers::default() })
    }

    /// What becomes of a SIGSYS that is not ours. One that was `forced` on the receiver, by a filter of
    /// its own, cannot be ignored.
    pub(super) fn deliver(&self, forced: bool) -> Delivery {
        let mut state = self.state.lock();
        match state.shown[0] {
            IGNORE if !forced => Delivery::Drop,
            DEFAULT | IGNORE if state.marked => {
                // The second of the two is not forced.
                (state.shown[0], state.marked) = (DEFAULT, false);
                Delivery::ByMarker
            }
            DEFAULT | IGNORE => Delivery::Plain,
            _ => {
                if state.shown[1] & libc::SA_RESETHAND as u32 as u64 != 0 {
                    (state.shown[0], state.marked) = (DEFAULT, false);
                }
                Delivery::Plain
            }
        }
    }
}

impl State {
    /// What the kernel is to have.
    fn wanted(&self) -> Action {
        if self.shown[0] > IGNORE { self.shown } else { MARKER }
    }
}

/// How a SIGSYS that is not ours reaches its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// The receiver ignores it.
    Drop,
    /// As it is.
    Plain,
    /// By the marker, and then again.
    ByMarker,
}

/// Who blocks so many signals blocks all that can be blocked.
const NEARLY_ALL: u32 = 48;

/// Restores what the signal of this call has destroyed. None if the caller went away. `stats` keeps
/// what is read of `/proc`.
pub(super) fn restore(call: Call, stats: &Last) -> Option<Call> {
    let handlers = call.handlers()?;
    let turn = handlers.turn.lock();
    let state = *handlers.state.lock();
    let (tid, mask) = (call.tid(), call.signal_mask());
    let caught = state.marked && caught(tid, stats);
    let blocked = match state.marked {
        true => !caught,
        false => state.blocked_at_start || mask.count_ones() >= NEARLY_ALL,
    };
    if blocked {
        call.keeper()?.ask(Ask::Block { tid });
    }
    if caught || (!state.marked && !blocked && mask == 0) {
        return Some(call);
    }
    if call.slot().is_some_and(|slot| slot.is_filtered()) {
        // Its own filter may forbid, or kill it for, a call that it did not make.
        return Some(call);
    }
    let call = set(call, state.wanted())?;
    handlers.state.lock().marked = true;
    drop(turn);
    Some(call)
}

/// Whether the signal of this call has destroyed nothing, as far as can be told without waiting.
pub(super) fn is_intact(call: &Call, stats: &Last) -> bool {
    let Some(handlers) = call.handlers() else { return false };
    let Some(_turn) = handlers.turn.try_lock() else { return false };
    let state = *handlers.state.lock();
    match state.marked {
        true => caught(call.tid(), stats),
        false => call.signal_mask() == 0 && !state.blocked_at_start,
    }
}

/// Whether SIGSYS has a handler at the moment.
fn caught(tid: Tid, stats: &Last) -> bool {
    let stat = stats.read(format!("/proc/{tid}/task/{tid}/stat")).unwrap_or_default();
    // The 34th field (proc_pid_stat(5)); the third comes behind the name, which may be any bytes.
    let stat = String::from_utf8_lossy(&stat);
    let caught = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(31));
    caught.and_then(|word| word.parse::<u64>().ok()).is_some_and(|set| set & BIT != 0)
}

/// Has the caller set an action.
fn set(call: Call, action: Action) -> Option<Call> {
    let bytes: Vec<u8> = action.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let Ok(at) = call.scratch(&bytes) else { return Some(call) };
    let told = call.as_told();
    let args = [libc::SIGSYS as u64, at, 0, 8, 0, 0];
    match trace::stop(call).and_then(|held| held.inject(libc::SYS_rt_sigaction, args)) {
        Ok((_, held)) => Held::standing(held).map(|standing| Call::stopped(told, standing)),
        Err(failed) => {
            let _ = failed.settle();
            None
        }
    }
}

/// Serves `rt_sigaction(SIGSYS, new, old, size)`.
pub(super) fn serve_action(mut call: Call) {
    let [_, new, old, size, ..] = call.args();
    let Some(handlers) = call.handlers() else { return };
    let _turn = handlers.turn.lock();
    let before = handlers.state.lock().shown;
    if size != 8 {
        let _ = call.errno(libc::EINVAL);
        return;
    }
    if new != 0 {
        let Ok(mut action) = call.mem().read_value::<Action>(new) else {
            let _ = call.errno(libc::EFAULT);
            return;
        };
        action[1] &= FLAGS;
        action[3] &= !(1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1));
        let wanted = {
            let mut state = handlers.state.lock();
            state.shown = action;
            // Who has had no marker so far does not need one for the default.
            if state.marked || action[0] != DEFAULT { state.wanted() } else { action }
        };
        match set(call, wanted) {
            Some(same) => call = same,
            None => return,
        }
        handlers.state.lock().marked = wanted[0] != DEFAULT;
    }
    let told = old == 0 || call.mem().write_value(old, before).is_ok();
    let _ = if told { call.ret(0) } else { call.errno(libc::EFAULT) };
}
