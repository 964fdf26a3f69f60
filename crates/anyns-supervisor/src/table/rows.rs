//! The calls that we stop, each with the handler and the manual page; in which table a row stands says
//! for what it is told.

use anyns_trap::raw;

use crate::abi::LegacyPathCalls as Legacy;
use crate::syscalls::{
    attrs, by_descriptor, caps, chown, context, directory, ends, exec, getdents, handle, ids,
    ioctl, landlock, message, mount, mq, msg, names, namespaces, open, owner, path, pids, prctl,
    process, readlink, sem, shm, signal, socket, stat, statfs, statmount, subject, transfer, tree,
    uts, watch, xattr,
};

use super::{Entry, When, about, call, some};

/// Options of prctl(2) that concern credentials, or who adopts orphans.
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
    libc::PR_GET_SECCOMP as u32,
    libc::PR_GET_CHILD_SUBREAPER as u32,
    libc::PR_SET_CHILD_SUBREAPER as u32,
    prctl::PR_SET_PTRACER as u32,
    libc::PR_SCHED_CORE as u32,
];

/// Requests of ioctl(2) that name processes, one that would spoil a control file, and those that change
/// a file.
const OTHER_REQUESTS: [u32; 8 + raw::FILE_CHANGES.len()] = [
    owner::TIOCGPGRP,
    owner::TIOCSPGRP,
    owner::TIOCGSID,
    owner::FIOSETOWN,
    owner::SIOCSPGRP,
    owner::FIOGETOWN,
    owner::SIOCGPGRP,
    libc::FIONBIO as u32,
    raw::FILE_CHANGES[0],
    raw::FILE_CHANGES[1],
    raw::FILE_CHANGES[2],
];

/// Requests of ioctl(2): those of namespaces, the ten that ask a pidfd for one, and others.
const REQUESTS: &[u32] = &{
    let namespaces = ioctl::NAMESPACE_REQUESTS;
    let mut all = [0; ioctl::NAMESPACE_REQUESTS.len() + 10 + OTHER_REQUESTS.len()];
    let mut n = 0;
    while n < namespaces.len() {
        all[n] = namespaces[n];
        n += 1;
    }
    let mut of_pidfd = 0;
    while of_pidfd < 10 {
        all[n] = ioctl::PIDFD_GET_FIRST + of_pidfd;
        (n, of_pidfd) = (n + 1, of_pidfd + 1);
    }
    let mut other = 0;
    while other < OTHER_REQUESTS.len() {
        all[n] = OTHER_REQUESTS[other];
        (n, other) = (n + 1, other + 1);
    }
    all
};

/// Commands of fcntl(2) about who is told of a descriptor's events.
const OWNERS: &[u32] =
    &[owner::F_SETOWN as u32, owner::F_GETOWN as u32, owner::F_SETOWN_EX, owner::F_GETOWN_EX];

/// Requests of ptrace(2) that begin to trace somebody. Those about one that is traced already name
/// whom the tracer could name before.
const TRACE_ANEW: &[u32] = &[libc::PTRACE_ATTACH, libc::PTRACE_SEIZE];

/// Calls that are told whatever is served.
pub(super) const ALWAYS: &[Entry] = &[
    // Namespaces.
    call(libc::SYS_unshare, namespaces::unshare, "unshare").at_once().brief(),
    call(libc::SYS_landlock_create_ruleset, landlock::create_ruleset, "landlock_create_ruleset"),
    call(libc::SYS_landlock_restrict_self, landlock::restrict_self, "landlock_restrict_self"),
    call(libc::SYS_setns, namespaces::setns, "setns").at_once().brief(),
    // Births and new programs. Stopped for every task, so that a tree whose supervisor is gone
    // cannot grow.
    call(Legacy::FORK, process::fork, "fork").at_once().brief(),
    call(Legacy::VFORK, process::vfork, "vfork").at_once().brief(),
    call(libc::SYS_clone, process::clone, "clone").at_once().brief(),
    call(libc::SYS_clone3, process::clone3, "clone").brief(),
    call(libc::SYS_execve, exec::exec, "execve").at_once().brief(),
    call(libc::SYS_execveat, exec::exec, "execveat").at_once().brief(),
    // The uts namespace.
    call(libc::SYS_uname, uts::uname, "uname").at_once().brief(),
    call(libc::SYS_sethostname, uts::sethostname, "sethostname").at_once().brief(),
    call(libc::SYS_setdomainname, uts::setdomainname, "setdomainname").at_once().brief(),
    // The ipc namespace.
    call(libc::SYS_semget, sem::semget, "semget").brief(),
    call(libc::SYS_semop, sem::semop, "semop").waits().brief(),
    call(libc::SYS_semtimedop, sem::semtimedop, "semop").waits().brief(),
    call(libc::SYS_semctl, sem::semctl, "semctl").brief(),
    call(libc::SYS_shmget, shm::shmget, "shmget"),
    call(libc::SYS_shmat, shm::shmat, "shmop"),
    call(libc::SYS_shmctl, shm::shmctl, "shmctl"),
    call(libc::SYS_msgget, msg::msgget, "msgget").brief(),
    call(libc::SYS_msgsnd, msg::msgsnd, "msgop").waits().brief(),
    call(libc::SYS_msgrcv, msg::msgrcv, "msgop").waits().brief(),
    call(libc::SYS_msgctl, msg::msgctl, "msgctl").brief(),
    call(libc::SYS_mq_open, mq::mq_open, "mq_open"),
    call(libc::SYS_mq_unlink, mq::mq_unlink, "mq_unlink"),
    // Ids.
    call(libc::SYS_getuid, ids::getuid, "getuid").at_once().brief(),
    call(libc::SYS_geteuid, ids::geteuid, "getuid").at_once().brief(),
    call(libc::SYS_getgid, ids::getgid, "getgid").at_once().brief(),
    call(libc::SYS_getegid, ids::getegid, "getgid").at_once().brief(),
    call(libc::SYS_getresuid, ids::getresuid, "getresuid").at_once().brief(),
    call(libc::SYS_getresgid, ids::getresgid, "getresuid").at_once().brief(),
    call(libc::SYS_setuid, ids::setuid, "setuid").at_once(),
    call(libc::SYS_setgid, ids::setgid, "setgid").at_once(),
    call(libc::SYS_setreuid, ids::setreuid, "setreuid").at_once(),
    call(libc::SYS_setregid, ids::setregid, "setreuid").at_once(),
    call(libc::SYS_setresuid, ids::setresuid, "setresuid").at_once(),
    call(libc::SYS_setresgid, ids::setresgid, "setresuid").at_once(),
    call(libc::SYS_setfsuid, ids::setfsuid, "setfsuid").at_once(),
    call(libc::SYS_setfsgid, ids::setfsgid, "setfsgid").at_once(),
    call(libc::SYS_getgroups, ids::getgroups, "getgroups").at_once().brief(),
    call(libc::SYS_setgroups, ids::setgroups, "getgroups").at_once(),
    // Capabilities.
    call(libc::SYS_capget, caps::capget, "capget"),
    call(libc::SYS_capset, caps::capset, "capget"),
    some(libc::SYS_prctl, 0, CREDENTIAL_OPTIONS, prctl::prctl, "prctl").at_once().brief(),
    // Files whose names, owners or contents depend on namespaces.
    call(Legacy::STAT, stat::stat, "stat").brief(),
    call(Legacy::LSTAT, stat::lstat, "stat").brief(),
    call(libc::SYS_fstat, stat::fstat, "stat").brief(),
    call(libc::SYS_newfstatat, stat::fstatat, "stat").brief(),
    call(libc::SYS_statx, stat::statx, "statx").brief(),
    call(Legacy::CHOWN, chown::chown, "chown").brief(),
    call(Legacy::LCHOWN, chown::lchown, "chown").brief(),
    call(libc::SYS_fchown, chown::fchown, "chown").brief(),
    call(libc::SYS_fchownat, chown::fchownat, "chown").brief(),
    call(Legacy::OPEN, open::open, "open").waits().brief(),
    call(Legacy::CREAT, open::creat, "open").waits().brief(),
    call(libc::SYS_openat, open::openat, "open").waits().brief(),
    call(libc::SYS_openat2, open::openat2, "openat2").waits().brief(),
    call(Legacy::READLINK, readlink::readlink, "readlink").brief(),
    call(libc::SYS_readlinkat, readlink::readlinkat, "readlink").brief(),
    call(libc::SYS_name_to_handle_at, handle::name, "open_by_handle_at"),
    call(libc::SYS_open_by_handle_at, handle::open, "open_by_handle_at"),
    some(libc::SYS_ioctl, 1, REQUESTS, ioctl::ioctl, "ioctl_nsfs").waits(),
    Entry::new(
        libc::SYS_fcntl,
        When::Bits { arg: 2, mask: libc::O_NONBLOCK as u32, and: (1, libc::F_SETFL as u32) },
        ioctl::fcntl,
        "fcntl",
    )
    .waits(),
    some(libc::SYS_fcntl, 1, OWNERS, ioctl::fcntl, "fcntl").waits(),
];

/// Calls that send a signal, the second argument. Where no pid namespace is served only those that could
/// reach the supervisor are told.
pub(super) const SIGNALS: &[Entry] = &[
    // Signals.
    call(libc::SYS_kill, signal::kill, "kill").brief(),
    call(libc::SYS_tkill, signal::tkill, "tkill").brief(),
    call(libc::SYS_pidfd_send_signal, signal::pidfd_send_signal, "pidfd_send_signal").brief(),
];

/// Calls that are told for pid namespaces only.
pub(super) const FOR_PIDS: &[Entry] = &[
    // Numbers of the caller's.
    call(libc::SYS_getpid, pids::getpid, "getpid").brief().numbers(),
    call(libc::SYS_gettid, pids::gettid, "gettid").brief().numbers(),
    call(libc::SYS_getppid, pids::getppid, "getpid").brief().numbers(),
    call(Legacy::GETPGRP, pids::getpgrp, "getpgrp").brief().numbers(),
    call(libc::SYS_getpgid, pids::getpgid, "getpgid").brief().numbers(),
    call(libc::SYS_getsid, pids::getsid, "getsid").brief().numbers(),
    call(libc::SYS_setpgid, pids::setpgid, "setpgid").brief().numbers(),
    call(libc::SYS_setsid, pids::setsid, "setsid").brief().numbers(),
    call(libc::SYS_exit_group, ends::exit_group, "exit_group").brief().numbers(),
    call(libc::SYS_reboot, ends::reboot, "reboot"),
    // Signals.
    call(libc::SYS_tgkill, signal::tgkill, "tkill").brief(),
    call(libc::SYS_rt_sigqueueinfo, signal::sigqueue, "rt_sigqueueinfo").brief(),
    call(libc::SYS_rt_tgsigqueueinfo, signal::tgsigqueue, "rt_sigqueueinfo").brief(),
    // Others by their numbers.
    Entry::new(
        libc::SYS_getsockopt,
        When::Both { first: (1, libc::SOL_SOCKET as u32), second: (2, libc::SO_PEERCRED as u32) },
        owner::peer,
        "socket",
    ),
];

/// The same, of calls that the kernel serves whenever they are served: they are told for the numbers among
/// their arguments.
pub(super) const KERNELS: &[Entry] = &[
    // Others by their numbers.
    call(libc::SYS_pidfd_open, subject::first, "pidfd_open").brief().numbers(),
    call(libc::SYS_pidfd_getfd, subject::getfd, "pidfd_getfd").brief(),
    about(libc::SYS_sched_setparam, 0, subject::first, "sched_setparam").brief().numbers(),
    about(libc::SYS_sched_getparam, 0, subject::first, "sched_setparam").brief().numbers(),
    about(libc::SYS_sched_setscheduler, 0, subject::first, "sched_setscheduler").brief().numbers(),
    about(libc::SYS_sched_getscheduler, 0, subject::first, "sched_setscheduler").brief().numbers(),
    about(libc::SYS_sched_rr_get_interval, 0, subject::first, "sched_rr_get_interval")
        .brief()
        .numbers(),
    about(libc::SYS_sched_setaffinity, 0, subject::first, "sched_setaffinity").brief().numbers(),
    about(libc::SYS_sched_getaffinity, 0, subject::first, "sched_setaffinity").brief().numbers(),
    about(libc::SYS_sched_setattr, 0, subject::first, "sched_setattr").brief().numbers(),
    about(libc::SYS_sched_getattr, 0, subject::first, "sched_setattr").brief().numbers(),
    about(libc::SYS_prlimit64, 0, subject::first, "getrlimit").brief().numbers(),
    about(libc::SYS_get_robust_list, 0, subject::looked_into, "get_robust_list").brief().numbers(),
    about(libc::SYS_migrate_pages, 0, subject::first, "migrate_pages").brief().numbers(),
    about(libc::SYS_move_pages, 0, subject::looked_into, "move_pages").brief().numbers(),
    call(libc::SYS_process_vm_readv, transfer::transfer, "process_vm_readv"),
    call(libc::SYS_process_vm_writev, transfer::transfer, "process_vm_readv"),
    call(libc::SYS_kcmp, subject::compared, "kcmp").numbers(),
    some(libc::SYS_ptrace, 0, TRACE_ANEW, subject::traced, "ptrace").numbers(),
    some(libc::SYS_ptrace, 1, &[1], subject::traced, "ptrace").numbers(),
    about(libc::SYS_getpriority, 1, subject::priority, "getpriority").brief().numbers(),
    about(libc::SYS_setpriority, 1, subject::priority, "getpriority").brief().numbers(),
    about(libc::SYS_ioprio_get, 1, subject::ioprio, "ioprio_set").brief().numbers(),
    about(libc::SYS_ioprio_set, 1, subject::ioprio, "ioprio_set").brief().numbers(),
    about(libc::SYS_perf_event_open, 1, subject::measured, "perf_event_open").brief().numbers(),
    about(libc::SYS_timer_create, 1, subject::timer_create, "timer_create").brief().numbers(),
    some(libc::SYS_waitid, 0, &[libc::P_PGID], subject::waitid, "waitid").waits().numbers(),
    Entry::new(libc::SYS_wait4, When::BelowMinusOne(0), subject::wait4, "wait4").waits().numbers(),
];

/// Calls that are told for mount namespaces only.
pub(super) const FOR_MOUNTS: &[Entry] = &[
    // Mounts.
    call(libc::SYS_mount, mount::mount, "mount"),
    call(libc::SYS_umount2, mount::umount, "umount"),
    call(libc::SYS_pivot_root, mount::pivot_root, "pivot_root"),
    call(libc::SYS_open_tree, tree::open_tree, "open_tree"),
    call(libc::SYS_move_mount, tree::move_mount, "move_mount"),
    call(libc::SYS_fsopen, context::fsopen, "fsopen"),
    call(libc::SYS_fsconfig, context::fsconfig, "fsconfig"),
    call(libc::SYS_fsmount, context::fsmount, "fsmount"),
    call(libc::SYS_fspick, context::fspick, "fspick"),
    call(libc::SYS_mount_setattr, tree::mount_setattr, "mount_setattr"),
    call(SYS_STATMOUNT, statmount::statmount, "statmount"),
    call(SYS_LISTMOUNT, statmount::listmount, "listmount"),
    call(SYS_OPEN_TREE_ATTR, mount::new_api, "open_tree_attr"),
    // Files whose names, owners or contents depend on namespaces.
    call(libc::SYS_getdents64, getdents::getdents64, "getdents").brief(),
    call(Legacy::GETDENTS, getdents::getdents, "getdents").brief(),
    call(Legacy::ACCESS, path::access, "access").brief(),
    call(libc::SYS_faccessat, path::faccessat, "access").brief(),
    call(libc::SYS_faccessat2, path::faccessat2, "access").brief(),
    call(libc::SYS_chdir, directory::chdir, "chdir").brief(),
    call(libc::SYS_fchdir, directory::fchdir, "chdir").brief(),
    call(libc::SYS_chroot, mount::chroot, "chroot"),
    call(libc::SYS_getcwd, directory::getcwd, "getcwd").brief(),
    call(libc::SYS_truncate, attrs::truncate, "truncate").waits().brief(),
    call(SYS_SETXATTRAT, path::absent, "setxattrat"),
    call(SYS_GETXATTRAT, path::absent, "getxattrat"),
    call(SYS_LISTXATTRAT, path::absent, "listxattrat"),
    call(SYS_REMOVEXATTRAT, path::absent, "removexattrat"),
    call(SYS_FILE_GETATTR, path::absent, "file_getattr"),
    call(SYS_FILE_SETATTR, path::absent, "file_setattr"),
    call(libc::SYS_uselib, path::absent, "uselib"),
    call(libc::SYS_swapon, path::privileged, "swapon"),
    call(libc::SYS_swapoff, path::privileged, "swapon"),
    call(libc::SYS_acct, path::privileged, "acct"),
    call(libc::SYS_quotactl, path::privileged, "quotactl"),
    call(Legacy::MKDIR, names::mkdir, "mkdir").brief(),
    call(libc::SYS_mkdirat, names::mkdirat, "mkdir").brief(),
    call(Legacy::MKNOD, names::mknod, "mknod").brief(),
    call(libc::SYS_mknodat, names::mknodat, "mknod").brief(),
    call(Legacy::SYMLINK, names::symlink, "symlink").brief(),
    call(libc::SYS_symlinkat, names::symlinkat, "symlink").brief(),
    call(Legacy::LINK, names::link, "link").brief(),
    call(libc::SYS_linkat, names::linkat, "link").brief(),
    call(Legacy::RENAME, names::rename, "rename").brief(),
    call(libc::SYS_renameat, names::renameat, "rename").brief(),
    call(libc::SYS_renameat2, names::renameat2, "rename").brief(),
    call(Legacy::UNLINK, names::unlink, "unlink").brief(),
    call(Legacy::RMDIR, names::rmdir, "rmdir").brief(),
    call(libc::SYS_unlinkat, names::unlinkat, "unlink").brief(),
    call(Legacy::CHMOD, attrs::chmod, "chmod").brief(),
    call(libc::SYS_fchmodat, attrs::fchmodat, "chmod").brief(),
    call(SYS_FCHMODAT2, attrs::fchmodat2, "chmod").brief(),
    call(libc::SYS_fchmod, by_descriptor::fchmod, "chmod").brief(),
    call(Legacy::UTIME, attrs::utime, "utime").brief(),
    call(Legacy::UTIMES, attrs::utimes, "utime").brief(),
    call(Legacy::FUTIMESAT, attrs::futimesat, "futimesat").brief(),
    call(libc::SYS_utimensat, attrs::utimensat, "utimensat").brief(),
    call(libc::SYS_statfs, statfs::statfs, "statfs").brief(),
    call(libc::SYS_fstatfs, statfs::fstatfs, "statfs").brief(),
    call(libc::SYS_inotify_add_watch, watch::inotify_add_watch, "inotify_add_watch"),
    call(libc::SYS_fanotify_mark, watch::fanotify_mark, "fanotify_mark"),
    call(libc::SYS_setxattr, xattr::set, "setxattr").brief(),
    call(libc::SYS_lsetxattr, xattr::lset, "setxattr").brief(),
    call(libc::SYS_getxattr, xattr::get, "getxattr").brief(),
    call(libc::SYS_lgetxattr, xattr::lget, "getxattr").brief(),
    call(libc::SYS_listxattr, xattr::list, "listxattr").brief(),
    call(libc::SYS_llistxattr, xattr::llist, "listxattr").brief(),
    call(libc::SYS_fsetxattr, xattr::fset, "setxattr").brief(),
    call(libc::SYS_fremovexattr, xattr::fremove, "removexattr").brief(),
    call(libc::SYS_removexattr, xattr::remove, "removexattr").brief(),
    call(libc::SYS_lremovexattr, xattr::lremove, "removexattr").brief(),
    call(libc::SYS_bind, socket::bind, "bind"),
    call(libc::SYS_connect, socket::connect, "connect").waits(),
    call(libc::SYS_getsockname, socket::getsockname, "getsockname"),
    call(libc::SYS_getpeername, socket::getpeername, "getpeername"),
    Entry::new(libc::SYS_sendto, When::Given(4), message::sendto, "send").waits(),
    call(libc::SYS_sendmsg, message::sendmsg, "send").waits(),
    call(libc::SYS_sendmmsg, message::sendmmsg, "sendmmsg").waits(),
];

/// Calls that a kernel without the feature refuses: they would go round us.
pub(super) const CLOSED: &[(i64, i32)] = &[
    // Submits calls that seccomp never sees.
    (libc::SYS_io_uring_setup, libc::ENOSYS),
    // Shows the host's namespaces.
    (SYS_LISTNS, libc::ENOSYS),
];

/// `statmount` (6.8).
const SYS_STATMOUNT: i64 = 457;
/// `listmount` (6.8).
const SYS_LISTMOUNT: i64 = 458;
/// `open_tree_attr` (6.15).
const SYS_OPEN_TREE_ATTR: i64 = 467;
/// `setxattrat` (6.13), and the three after it.
const SYS_SETXATTRAT: i64 = 463;
const SYS_GETXATTRAT: i64 = 464;
const SYS_LISTXATTRAT: i64 = 465;
const SYS_REMOVEXATTRAT: i64 = 466;
/// `file_getattr` (6.17), and the one after it.
const SYS_FILE_GETATTR: i64 = 468;
const SYS_FILE_SETATTR: i64 = 469;
/// `fchmodat2` (6.6).
const SYS_FCHMODAT2: i64 = 452;
/// `listns` (6.19).
const SYS_LISTNS: i64 = 470;
