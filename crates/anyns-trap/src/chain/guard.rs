//! Filter rows that keep guests from harming the chain.
//!
//! Guests run as the same user, so the kernel would let them. Tracing and memory access need no
//! row: the three are not dumpable.
//!
//! Not here, because a filter cannot see it: the numbers of the supervisor's other threads, which
//! `kill` and `tkill` accept; `kill(-1)`; pidfds.

use super::Pids;
use crate::filter::{Action, Row, Test};

/// Rows that answer EPERM where a call names a process of the chain and would change it. They go
/// before all others: the first row that matches wins. Asking (signal 0) is not refused.
pub fn guard(pids: &Pids) -> Vec<Row> {
    let each = [pids.cli, pids.supervisor, pids.watchdog].map(|pid| pid as u32);
    let refused = Action::Errno(libc::EPERM as u16);
    let mut rows = Vec::new();
    for pid in each {
        let named = |arg| Test::Eq { arg, value: pid };
        for (nr, signal) in [
            (libc::SYS_kill, 1),
            (libc::SYS_tkill, 1),
            (libc::SYS_tgkill, 2),
            (libc::SYS_rt_sigqueueinfo, 1),
            (libc::SYS_rt_tgsigqueueinfo, 2),
        ] {
            let test = Test::All(vec![named(0), Test::Ne { arg: signal, value: 0 }]);
            rows.push(Row { nr, test, action: refused });
        }
        for nr in [
            libc::SYS_prlimit64,
            libc::SYS_sched_setaffinity,
            libc::SYS_sched_setparam,
            libc::SYS_sched_setscheduler,
            libc::SYS_sched_setattr,
            libc::SYS_migrate_pages,
            libc::SYS_move_pages,
            libc::SYS_setpgid,
        ] {
            rows.push(Row { nr, test: named(0), action: refused });
        }
        for nr in [libc::SYS_setpriority, libc::SYS_ioprio_set] {
            rows.push(Row { nr, test: named(1), action: refused });
        }
    }
    rows
}
