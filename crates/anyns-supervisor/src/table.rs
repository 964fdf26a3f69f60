//! The only list of the calls we stop: the filter is built from it, and dispatch follows it.
//!
//! Each row names the handler and the manual page; what a handler does not serve is the kernel's.

use std::sync::LazyLock;

use anyns_trap::Plan;
use anyns_trap::filter::{Action, Filter, Row, Test};

use crate::abi::LegacyPathCalls as Legacy;
use crate::cx::{Cx, Served};
use crate::syscalls::{
    caps, chown, exec, ids, ioctl, namespaces, open, prctl, process, readlink, signal, stat, uts,
};

/// A handler.
pub(crate) type Handler = fn(&mut Cx<'_>) -> Served;

/// When a call is stopped.
enum When {
    /// Always.
    Always,
    /// One of these values in the low word of an argument.
    Arg(u8, &'static [u32]),
    /// Any of these bits in the low word of an argument, and a value in another.
    Bits { arg: u8, mask: u32, and: (u8, u32) },
}

struct Entry {
    nr: i64,
    when: When,
    handler: Handler,
    /// Section 2 manual page.
    manual: &'static str,
}

const fn call(nr: i64, handler: Handler, manual: &'static str) -> Entry {
    Entry { nr, when: When::Always, handler, manual }
}

const fn some(
    nr: i64,
    arg: u8,
    values: &'static [u32],
    handler: Handler,
    manual: &'static str,
) -> Entry {
    Entry { nr, when: When::Arg(arg, values), handler, manual }
}

/// Options of prctl(2) that concern credentials.
const CREDENTIAL_OPTIONS: &[u32] = &[
    libc::PR_GET_DUMPABLE as u32,
    libc::PR_SET_DUMPABLE as u32,
    libc::PR_GET_KEEPCAPS as u32,
    libc::PR_SET_KEEPCAPS as u32,
    libc::PR_CAPBSET_READ as u32,
    libc::PR_CAPBSET_DROP as u32,
    libc::PR_GET_SECUREBITS as u32,
    libc::PR_SET_SECUREBITS as u32,
    libc::PR_CAP_AMBIENT as u32,
    libc::PR_SET_NO_NEW_PRIVS as u32,
    libc::PR_GET_NO_NEW_PRIVS as u32,
];

/// Commands of ioctl(2).
const COMMANDS: &[u32] = &[
    ioctl::NS_GET_USERNS,
    ioctl::NS_GET_PARENT,
    ioctl::NS_GET_NSTYPE,
    ioctl::NS_GET_OWNER_UID,
    ioctl::PIDFD_GET_USER,
    ioctl::PIDFD_GET_UTS,
    ioctl::NS_OF_OTHER_TYPES[0],
    ioctl::NS_OF_OTHER_TYPES[1],
    ioctl::NS_OF_OTHER_TYPES[2],
    ioctl::NS_OF_OTHER_TYPES[3],
    ioctl::NS_OF_OTHER_TYPES[4],
    ioctl::NS_OF_OTHER_TYPES[5],
    ioctl::NS_OF_OTHER_TYPES[6],
    ioctl::NS_OF_OTHER_TYPES[7],
    libc::FIONBIO as u32,
];

/// The signals that no process can block.
const UNBLOCKABLE: &[u32] = &[libc::SIGKILL as u32, libc::SIGSTOP as u32];

const TABLE: &[Entry] = &[
    // Namespaces.
    call(libc::SYS_unshare, namespaces::unshare, "unshare"),
    call(libc::SYS_setns, namespaces::setns, "setns"),
    // Births and new programs. Stopped for every task, so that a tree whose supervisor is gone
    // cannot grow.
    call(Legacy::FORK, process::fork, "fork"),
    call(Legacy::VFORK, process::vfork, "vfork"),
    call(libc::SYS_clone, process::clone, "clone"),
    call(libc::SYS_clone3, process::clone3, "clone"),
    call(libc::SYS_execve, exec::exec, "execve"),
    call(libc::SYS_execveat, exec::exec, "execveat"),
    // The uts namespace.
    call(libc::SYS_uname, uts::uname, "uname"),
    call(libc::SYS_sethostname, uts::sethostname, "sethostname"),
    call(libc::SYS_setdomainname, uts::setdomainname, "setdomainname"),
    // Ids.
    call(libc::SYS_getuid, ids::getuid, "getuid"),
    call(libc::SYS_geteuid, ids::geteuid, "getuid"),
    call(libc::SYS_getgid, ids::getgid, "getgid"),
    call(libc::SYS_getegid, ids::getegid, "getgid"),
    call(libc::SYS_getresuid, ids::getresuid, "getresuid"),
    call(libc::SYS_getresgid, ids::getresgid, "getresuid"),
    call(libc::SYS_setuid, ids::setuid, "setuid"),
    call(libc::SYS_setgid, ids::setgid, "setgid"),
    call(libc::SYS_setreuid, ids::setreuid, "setreuid"),
    call(libc::SYS_setregid, ids::setregid, "setreuid"),
    call(libc::SYS_setresuid, ids::setresuid, "setresuid"),
    call(libc::SYS_setresgid, ids::setresgid, "setresuid"),
    call(libc::SYS_setfsuid, ids::setfsuid, "setfsuid"),
    call(libc::SYS_setfsgid, ids::setfsgid, "setfsgid"),
    call(libc::SYS_getgroups, ids::getgroups, "getgroups"),
    call(libc::SYS_setgroups, ids::setgroups, "getgroups"),
    // Capabilities.
    call(libc::SYS_capget, caps::capget, "capget"),
    call(libc::SYS_capset, caps::capset, "capget"),
    some(libc::SYS_prctl, 0, CREDENTIAL_OPTIONS, prctl::prctl, "prctl"),
    // Files whose names, owners or contents depend on namespaces.
    call(Legacy::STAT, stat::stat, "stat"),
    call(Legacy::LSTAT, stat::lstat, "stat"),
    call(libc::SYS_fstat, stat::fstat, "stat"),
    call(libc::SYS_newfstatat, stat::fstatat, "stat"),
    call(libc::SYS_statx, stat::statx, "statx"),
    call(Legacy::CHOWN, chown::chown, "chown"),
    call(Legacy::LCHOWN, chown::lchown, "chown"),
    call(libc::SYS_fchown, chown::fchown, "chown"),
    call(libc::SYS_fchownat, chown::fchownat, "chown"),
    call(Legacy::OPEN, open::open, "open"),
    call(Legacy::CREAT, open::creat, "open"),
    call(libc::SYS_openat, open::openat, "open"),
    call(libc::SYS_openat2, open::openat2, "openat2"),
    call(Legacy::READLINK, readlink::readlink, "readlink"),
    call(libc::SYS_readlinkat, readlink::readlinkat, "readlink"),
    some(libc::SYS_ioctl, 1, COMMANDS, ioctl::ioctl, "ioctl_nsfs"),
    Entry {
        nr: libc::SYS_fcntl,
        when: When::Bits { arg: 2, mask: libc::O_NONBLOCK as u32, and: (1, libc::F_SETFL as u32) },
        handler: ioctl::fcntl,
        manual: "fcntl",
    },
    some(libc::SYS_fcntl, 1, &[ioctl::F_SETOWN_EX as u32], ioctl::fcntl, "fcntl"),
    // Signals that could reach the supervisor.
    some(libc::SYS_kill, 1, UNBLOCKABLE, signal::kill, "kill"),
    some(libc::SYS_tkill, 1, UNBLOCKABLE, signal::tkill, "tkill"),
    some(
        libc::SYS_pidfd_send_signal,
        1,
        UNBLOCKABLE,
        signal::pidfd_send_signal,
        "pidfd_send_signal",
    ),
];

/// Calls that a kernel without the feature refuses: they would go round us.
const CLOSED: &[(i64, i32)] = &[
    // Submits calls that seccomp never sees.
    (libc::SYS_io_uring_setup, libc::ENOSYS),
];

/// One more than the highest number in the table.
const NUMBERS: usize = 512;

/// The table by number: dispatch is on the path of every stopped call.
static BY_NUMBER: LazyLock<[Option<Handler>; NUMBERS]> = LazyLock::new(|| {
    let mut by_number = [None; NUMBERS];
    for entry in TABLE {
        by_number[entry.nr as usize] = Some(entry.handler);
    }
    by_number
});

/// The handler of call number `nr`.
pub(crate) fn handler(nr: i64) -> Option<Handler> {
    *BY_NUMBER.get(usize::try_from(nr).ok()?)?
}

/// Name of the manual page of call number `nr`, for messages.
pub(crate) fn manual(nr: i64) -> &'static str {
    TABLE.iter().find(|entry| entry.nr == nr).map_or("?", |entry| entry.manual)
}

/// Builds the filter; `first` are rows that come before ours.
pub fn filter(first: Vec<Row>, plan: &Plan) -> Filter {
    let mut rows = first;
    for &(nr, errno) in CLOSED {
        rows.push(Row { nr, test: Test::Always, action: Action::Errno(errno as u16) });
    }
    rows.extend(self::rows());
    Filter::planned(&rows, plan)
}

/// The calls that have a handler, as they would all be told.
pub fn rows() -> Vec<Row> {
    TABLE.iter().flat_map(Entry::rows).collect()
}

impl Entry {
    fn rows(&self) -> Vec<Row> {
        let notify = |test| Row { nr: self.nr, test, action: Action::Notify };
        match &self.when {
            When::Always => vec![notify(Test::Always)],
            When::Arg(arg, values) => {
                values.iter().map(|&value| notify(Test::Eq { arg: *arg, value })).collect()
            }
            When::Bits { arg, mask, and: (other, value) } => vec![notify(Test::All(vec![
                Test::Eq { arg: *other, value: *value },
                Test::AnyBits { arg: *arg, mask: *mask },
            ]))],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_one_handler_a_number() {
        for entry in TABLE {
            let same = TABLE.iter().filter(|other| other.nr == entry.nr);
            let handlers: Vec<usize> = same.map(|other| other.handler as usize).collect();
            assert!(handlers.windows(2).all(|pair| pair[0] == pair[1]), "{}", entry.manual);
        }
    }
}
