//! seccomp(2), and prctl(2) of the same: who may install a filter, and who has one.
//!
//! A filter needs `no_new_privs` or a privilege, which on the host every guest has: ours sets it, as our
//! own filter is one more. Installing is the kernel's; what a filter then says of a call that we are told
//! of is in `anyns_trap`.

use anyns_trap::Call;
use nsproxy::{Cap, creds};
use rustix::io::Errno;

use crate::Supervisor;
use crate::cx::{Cx, Served, Verdict};
use crate::{guests, procfs};

/// Flags of `SECCOMP_SET_MODE_FILTER` up to `WAIT_KILLABLE_RECV`.
const KNOWN: u64 = 0x3f;
const TSYNC: u64 = libc::SECCOMP_FILTER_FLAG_TSYNC;
const NEW_LISTENER: u64 = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
const TSYNC_ESRCH: u64 = libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
const WAIT_KILLABLE: u64 = 1 << 5;

/// As many instructions as the kernel takes (`BPF_MAXINSNS`).
const MOST: u64 = 4096;

/// Why a caller may not install a filter: EACCES, if it has neither set `no_new_privs` itself nor
/// CAP_SYS_ADMIN in its user namespace. What the kernel refuses before that, it refuses itself.
pub(crate) fn refusal(sup: &Supervisor, call: &Call) -> Option<Errno> {
    let flags = if call.nr() == libc::SYS_seccomp { call.arg(1) } else { 0 };
    let has = |flag| flags & flag != 0;
    if flags & !KNOWN != 0
        || has(TSYNC) && has(NEW_LISTENER) && !has(TSYNC_ESRCH)
        || has(WAIT_KILLABLE) && !has(NEW_LISTENER)
    {
        return None;
    }
    let [length, _] = call.mem().read_value::<[u64; 2]>(call.arg(2)).ok()?;
    if !(1..=MOST).contains(&(length & 0xffff)) {
        return None;
    }
    let tid = call.tid().0;
    let cred = sup.cred_of(tid, sup.find_guest(tid).as_deref()).ok()?;
    let may = cred.no_new_privs || cred.has(&cred.user, Cap::SYS_ADMIN);
    (!may).then_some(Errno::ACCESS)
}

/// All threads of the caller's process have its filters now, and its `no_new_privs` with them.
pub(crate) fn shared(sup: &Supervisor, caller: i32) {
    let cred = |tid| sup.cred_of(tid, sup.find_guest(tid).as_deref());
    let is_set = |tid| cred(tid).is_ok_and(|cred| cred.no_new_privs);
    let Some(tgid) = procfs::thread_group(caller).filter(|_| is_set(caller)) else { return };
    for tid in guests::threads(tgid).into_iter().filter(|tid| !is_set(*tid)) {
        // One that ends meanwhile needs nothing.
        let Ok(mut met) = sup.meet(tid, sup.find_guest(tid)) else { continue };
        if creds::set_no_new_privs(&met.task, 1).is_ok() {
            let _ = met.keep();
        }
    }
}

/// Serves `prctl(PR_GET_SECCOMP)`: a filter that is ours alone is none.
pub(crate) fn mode(cx: &Cx<'_>) -> Served {
    Ok(match procfs::has_own_filter(cx.tid()) {
        Some(false) => Verdict::Return(0),
        Some(true) | None => Verdict::Continue,
    })
}
