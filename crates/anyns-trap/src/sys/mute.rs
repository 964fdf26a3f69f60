//! Calls that are made and not served, to learn what a filter from outside says to them.

use std::io;

use rustix::io::Errno;

use super::check;
use crate::InstallError;
use crate::filter::{Action, Filter, Row, Test};

/// Calls that cannot be muted, because whoever asks makes them.
const OWN_CALLS: &[i64] = &[
    libc::SYS_close,
    libc::SYS_write,
    libc::SYS_read,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_brk,
    libc::SYS_exit_group,
];

/// Calls that send a signal to whom their first argument names. Not needed for safety: the calls are
/// not served. But 0 would mean everybody around us.
const SIGNALLING: &[i64] = &[
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_send_signal,
];

/// No process and no descriptor has this number.
const NOBODY: u64 = i32::MAX as u64;

/// Whether a call can be muted.
pub(crate) fn can_be_muted(nr: i64) -> bool {
    !OWN_CALLS.contains(&nr)
}

/// A call that can be made when it is muted.
#[derive(Clone, Debug)]
pub(crate) struct Muted {
    nr: i64,
    test: Test,
    args: [u64; 6],
}

impl Muted {
    /// A call whose arguments satisfy the test.
    ///
    /// # Panics
    /// If the call cannot be muted, or no arguments can satisfy the test.
    pub(crate) fn new(nr: i64, test: Test) -> Muted {
        assert!(can_be_muted(nr), "call {nr} cannot be muted");
        let mut args = [0; 6];
        satisfy(&test, &mut args);
        if SIGNALLING.contains(&nr) {
            args[0] = NOBODY;
        }
        assert!(holds(&test, &args), "a test that contradicts itself: {test:?}");
        Muted { nr, test, args }
    }

    pub(crate) fn nr(&self) -> i64 {
        self.nr
    }

    pub(crate) fn test(&self) -> &Test {
        &self.test
    }
}

/// Makes arguments with which a test holds.
fn satisfy(test: &Test, args: &mut [u64; 6]) {
    match test {
        Test::Always => {}
        Test::Eq { arg, value } => args[usize::from(*arg)] = u64::from(*value),
        // What another test asks of it may be enough.
        Test::Ne { arg, value } if args[usize::from(*arg)] as u32 == *value => {
            args[usize::from(*arg)] = u64::from(!*value);
        }
        Test::Ne { .. } => {}
        Test::AnyBits { arg, mask } => args[usize::from(*arg)] |= u64::from(*mask),
        Test::All(tests) => tests.iter().for_each(|test| satisfy(test, args)),
    }
}

/// Whether the filter's code for the test says yes to these arguments.
fn holds(test: &Test, args: &[u64; 6]) -> bool {
    let low = |arg: u8| args[usize::from(arg)] as u32;
    match test {
        Test::Always => true,
        Test::Eq { arg, value } => low(*arg) == *value,
        Test::Ne { arg, value } => low(*arg) != *value,
        Test::AnyBits { arg, mask } => low(*arg) & mask != 0,
        Test::All(tests) => tests.iter().all(|test| holds(test, args)),
    }
}

/// Installs a filter in the calling thread, for good, under which these calls are not served, and
/// makes them. Each fails: with ENOSYS unless a filter from outside answers first.
///
/// The thread must not be traced behind a filter from outside: its tracer could serve what that
/// filter traps.
pub(crate) fn make_muted(calls: &[Muted]) -> Result<Vec<Errno>, InstallError> {
    let row = |one: &Muted| Row { nr: one.nr, test: one.test.clone(), action: Action::Notify };
    let filter = Filter::compile(&calls.iter().map(row).collect::<Vec<_>>());
    let listener = filter.install()?;
    // From here on nobody can ever be told.
    drop(listener);
    let make = |one: &Muted| {
        let [a, b, c, d, e, f] = one.args;
        // SAFETY: the call is not executed, so its arguments mean nothing. They satisfy the test of
        // a row of this number (`Muted::new`), so the filter that this thread has had since the
        // line above and cannot take off answers with a notification; its listener is closed, and
        // the kernel turns that into ENOSYS. Filters from outside that outrank a notification
        // refuse or kill (SIGSYS has no handler after exec, and there is no tracer); none has a
        // listener of its own, because the kernel allows one for all filters of a thread.
        let r = unsafe { libc::syscall(one.nr, a, b, c, d, e, f) };
        check(r).map_or_else(number, |_| Errno::IO)
    };
    Ok(calls.iter().map(make).collect())
}

fn number(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

/// A call without which programs find no other way, in a form that does nothing and that no kernel
/// which has the call answers with ENOSYS.
struct Needed {
    nr: i64,
    name: &'static str,
    nonsense: [u64; 2],
}

const fn needed(nr: i64, name: &'static str, nonsense: [u64; 2]) -> Needed {
    Needed { nr, name, nonsense }
}

const NEEDED: &[Needed] = &[
    needed(libc::SYS_unshare, "unshare", [1, 0]), // EINVAL: no such flag
    needed(libc::SYS_setns, "setns", [u64::MAX, 0]), // EBADF
    needed(libc::SYS_clone, "clone", [libc::CLONE_THREAD as u64, 0]), // EINVAL: without SIGHAND
    needed(libc::SYS_mount, "mount", [0, 0]),     // EFAULT or EPERM: no path
    needed(libc::SYS_umount2, "umount2", [0, u64::MAX]), // EINVAL: no such flag
    needed(libc::SYS_pivot_root, "pivot_root", [0, 0]), // EFAULT or EPERM: no path
    needed(libc::SYS_chroot, "chroot", [0, 0]),   // EFAULT: no path
    needed(libc::SYS_sethostname, "sethostname", [0, u64::MAX]), // EINVAL or EPERM: no such length
    needed(libc::SYS_setdomainname, "setdomainname", [0, u64::MAX]), // the same
];

/// It has a substitute, which programs try second.
const CLONE3: Needed = needed(libc::SYS_clone3, "clone3", [0, 0]); // EINVAL: no such size

/// The calls that are missing here, of those for which programs have no substitute, and clone3. Only
/// numbers that are `asked` for are tried.
pub(crate) fn missing_calls(asked: impl Fn(i64) -> bool) -> impl Iterator<Item = i64> {
    NEEDED.iter().chain([&CLONE3]).filter(move |one| asked(one.nr)).filter_map(|one| {
        let [a, b] = one.nonsense;
        // SAFETY: none of these calls reads or writes memory of ours: their addresses are null,
        // and every one of them is refused before it changes anything, for the reason given.
        let r = unsafe { libc::syscall(one.nr, a, b, 0, 0, 0) };
        check(r).is_err_and(|e| e.raw_os_error() == Some(libc::ENOSYS)).then_some(one.nr)
    })
}

/// The name of a call for which programs have no substitute.
pub(crate) fn needed_name(nr: i64) -> Option<&'static str> {
    NEEDED.iter().find(|one| one.nr == nr).map(|one| one.name)
}
