//! A told call that a signal voided before anybody received it.
//!
//! The kernel then has the call say EINTR if the signal's handler was installed without SA_RESTART. A
//! `fork` or a `kill` never says that by itself, and programs do not expect it. The thread stands
//! before the signal is delivered, so its call can be made anew instead, after the handler.
//!
//! Received calls are not voided (`SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`). Which calls never wait by
//! themselves is the server's to say ([`Serve::never_waits`]); those that are told for our own sake do
//! not.

use super::minder;
use crate::Tid;
use crate::arch::Regs;
use crate::engine::Serve;
use crate::notify::RESTART;

/// ERESTARTSYS: the call is made anew, or says EINTR if a handler without SA_RESTART runs first.
const RESTART_UNLESS_ASKED: i64 = -512;

/// Before a signal is delivered to `tid`, which stands.
pub(super) fn mend(server: &dyn Serve, tid: Tid) {
    if let Ok(regs) = Regs::read(tid)
        && regs.result() == RESTART_UNLESS_ASKED
        && (server.never_waits(regs.nr()) || minder::NUMBERS.contains(&regs.nr()))
    {
        let _ = Regs::write_result(tid, -i64::from(RESTART));
    }
}
