//! What the tracer knows of one traced thread, and what it asks the kernel to do to it.
//!
//! A thread may be killed where it stands, so failure of a request is no matter: the next wait
//! tells of the death.

use std::sync::Arc;

use super::Slot;
use super::sigsys::{BIT, Delivery};
use crate::Tid;
use crate::arch::Regs;
use crate::sys;
use crate::trace::Why;

pub(super) struct Task {
    pub(super) slot: Arc<Slot>,
    pub(super) at: At,
    /// A call that it makes for us.
    pub(super) pass: Option<Pass>,
    /// The signals that it blocks, while it blocks all.
    pub(super) mask: Option<u64>,
    /// Its registers before the marker took a SIGSYS.
    pub(super) marked: Option<Regs>,
    /// Arguments to be restored at its first stop.
    pub(super) mend: Option<[u64; 6]>,
    /// It was given its processors back a moment after it was woken.
    pub(super) steered: bool,
    /// It is to be let go where it stands next.
    pub(super) leaves: bool,
}

/// Where a thread is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Running,
    /// It stands, and nothing has been decided.
    Stands(Why),
    /// It stands at a call that is being served.
    Call,
}

/// A call that is made with the mark.
pub(super) struct Pass {
    /// The registers before it.
    pub(super) before: Regs,
    /// Nobody waits for its end.
    pub(super) alone: bool,
    /// It has begun.
    pub(super) entered: bool,
}

impl Pass {
    /// Whether the call makes a new task.
    pub(super) fn births(&self) -> bool {
        is_birth(self.before.nr())
    }
}

impl Task {
    pub(super) fn new(slot: Arc<Slot>) -> Task {
        Task {
            slot,
            at: At::Running,
            pass: None,
            mask: None,
            marked: None,
            mend: None,
            steered: false,
            leaves: false,
        }
    }

    /// Keeps signals from it until it is let go.
    pub(super) fn quieten(&mut self, tid: Tid) {
        if self.mask.is_none()
            && let Ok(mask) = sys::signal_mask(tid.0)
            && sys::set_signal_mask(tid.0, u64::MAX).is_ok()
        {
            self.mask = Some(mask);
        }
    }

    /// Blocks SIGSYS again.
    pub(super) fn block_sigsys(&mut self, tid: Tid) {
        match &mut self.mask {
            Some(mask) => *mask |= BIT,
            None => {
                if let Ok(mask) = sys::signal_mask(tid.0) {
                    let _ = sys::set_signal_mask(tid.0, mask | BIT);
                }
            }
        }
    }

    /// Gives it a SIGSYS that is not ours.
    pub(super) fn deliver(&mut self, tid: Tid) {
        let forced = sys::signal_code(tid.0).is_ok_and(|code| code > 0);
        let delivery = self.slot.handlers().deliver(forced);
        match delivery {
            Delivery::Drop => self.go(tid, 0),
            Delivery::Plain => self.go(tid, libc::SIGSYS),
            Delivery::ByMarker => {
                self.marked = Regs::read(tid).ok();
                self.at = At::Running;
                // It stops at the first instruction of the handler.
                let _ = sys::step(tid.0, libc::SIGSYS);
            }
        }
    }

    /// The marker has taken a SIGSYS, so that the default is in force now.
    pub(super) fn deliver_again(&mut self, tid: Tid, regs: Regs) {
        let _ = regs.write(tid);
        sys::kill_thread(tid.0, libc::SIGSYS);
        self.go(tid, 0);
    }

    /// Undoes what holds for the time it is not let go.
    pub(super) fn relax(&mut self, tid: Tid) {
        if let Some(mask) = self.mask.take() {
            let _ = sys::set_signal_mask(tid.0, mask);
        }
    }

    /// Restores the arguments that were changed for a call of ours.
    pub(super) fn mend(&mut self, tid: Tid) {
        if let Some(args) = self.mend.take() {
            restore_args(tid, args);
        }
    }

    /// Lets it run, delivering `signal`.
    pub(super) fn go(&mut self, tid: Tid, signal: i32) {
        self.at = At::Running;
        self.relax(tid);
        let _ = sys::cont(tid.0, signal);
    }

    /// Lets it run with an error number in place of the call at which it stands.
    pub(super) fn refuse(&mut self, tid: Tid, mut regs: Regs, errno: i32) {
        regs.set_nr(-1);
        regs.set_result(-i64::from(errno));
        let _ = regs.write(tid);
        self.go(tid, 0);
    }

    /// Lets it run to the beginning or the end of a call.
    pub(super) fn go_to_call(&mut self, tid: Tid) {
        self.at = At::Running;
        let _ = sys::cont_to_call(tid.0, 0);
    }

    /// Leaves it in its group stop.
    pub(super) fn listen(&mut self, tid: Tid) {
        self.at = At::Running;
        self.relax(tid);
        if sys::listen(tid.0).is_err() {
            let _ = sys::cont(tid.0, 0);
        }
    }
}

/// Whether the call makes a new task.
pub(super) fn is_birth(nr: i64) -> bool {
    use crate::arch::{FORK, VFORK};
    [FORK, VFORK, libc::SYS_clone, libc::SYS_clone3].contains(&nr)
}

/// Puts the argument registers back.
pub(super) fn restore_args(tid: Tid, args: [u64; 6]) {
    if let Ok(mut regs) = Regs::read(tid) {
        regs.set_args(args);
        let _ = regs.write(tid);
    }
}
