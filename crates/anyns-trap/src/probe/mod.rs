//! What this host allows, and which back end serves here.
//!
//! Facts are found by trying, in children that are thrown away, and not by reading versions: a
//! container may refuse what its kernel has. [`gather`] tries everything and tells all; [`choose`]
//! is for every run and tries only what can be in the way on the host it finds.
//!
//! Not here: what to say to the user about it.

mod child;
mod choose;
mod host;
mod notify;
mod outer;
mod trace;

use std::io;

use rustix::io::Errno;

pub use choose::{Wish, choose};
pub use host::{Kernel, Status};
pub use notify::Notify;
pub use outer::{Outer, ask};

use crate::filter::Row;
use crate::placeholder::{self, SelfTest};
use crate::plan::Denied;
use crate::sys;

/// The oldest kernel that can serve: 5.19 has `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`.
pub const OLDEST_KERNEL: (u32, u32) = (5, 19);

/// What stands in the way of running anything, or of one back end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// `/proc` is not mounted, or is not readable.
    NoProc,
    /// The kernel is older than [`OLDEST_KERNEL`]; its release.
    OldKernel(String),
    /// The kernel was built without seccomp filters.
    NoSeccomp,
    /// No process can be started: what `fork` gives.
    NoProcess(Errno),
    /// An outer filter has a listener, and the kernel allows one: no notification.
    ListenerExists,
    /// Installing a filter fails with this.
    NotifyRefused(Errno),
    /// An outer filter answers these calls before we are told: no notification.
    CallsHidden(Vec<Denied>),
    /// An outer filter kills whoever makes these calls.
    CallsKill(Vec<Denied>),
    /// Yama's scope forbids tracing without CAP_SYS_PTRACE.
    Yama(u8),
    /// An outer filter answers ptrace(2) with this.
    TraceFiltered(Errno),
    /// Own children are born traced by somebody else, and the kernel allows one tracer.
    TracedAlready,
    /// Tracing an own child fails with this, and no filter says so: a security module does; the
    /// label that it gives us, if it gives one.
    TraceRefused(Errno, Option<String>),
    /// Reading the memory of an own child fails with this.
    MemoryRefused(Errno),
}

/// Everything that was found.
#[derive(Debug)]
pub struct Facts {
    /// The kernel.
    pub kernel: Kernel,
    /// What `/proc/self/status` says of us; none if it cannot be read.
    pub status: Option<Status>,
    /// What filters from outside say, or why they could not be asked.
    pub outer: Result<Outer, Obstacle>,
    /// Whether a listener takes SYNC_WAKE_UP (6.6), which makes answers faster.
    pub sync_wake_up: bool,
    /// Whether the kernel would make a user namespace for us by itself.
    pub native_userns: Result<(), Errno>,
    /// `user.max_user_namespaces`.
    pub max_user_namespaces: Option<u64>,
    /// `kernel.unprivileged_userns_clone` (Debian).
    pub unprivileged_userns_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu).
    pub apparmor_restricts: Option<u64>,
    /// `kernel.yama.ptrace_scope`.
    pub yama: Option<u8>,
    /// The label that a security module gives us.
    pub label: Option<String>,
    /// pidfd_open.
    pub pidfd: Result<(), Errno>,
    /// pidfd_open of a thread (6.9).
    pub pidfd_thread: Result<(), Errno>,
    /// openat2.
    pub openat2: Result<(), Errno>,
    /// `/proc/PID/task/TID/children`.
    pub proc_children: bool,
    /// The self test of written control files.
    pub placeholder: io::Result<SelfTest>,
}

/// The name of a call for which programs have no substitute when it seems not to exist: those that
/// make, join and fill namespaces.
pub fn needed_name(nr: i64) -> Option<&'static str> {
    sys::needed_name(nr)
}

/// Tries everything; `rows` are the calls to be served. The caller has one thread; afterwards it
/// may have more.
pub fn gather(rows: &[Row]) -> Facts {
    Facts {
        kernel: Kernel::read(),
        status: Status::read(),
        outer: outer::ask(rows),
        sync_wake_up: notify::sync_wake_up(),
        native_userns: host::native_userns(),
        max_user_namespaces: host::number("/proc/sys/user/max_user_namespaces"),
        unprivileged_userns_clone: host::number("/proc/sys/kernel/unprivileged_userns_clone"),
        apparmor_restricts: host::number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        yama: host::yama(),
        label: host::label(),
        pidfd: host::pidfd(0),
        pidfd_thread: host::pidfd(host::PIDFD_THREAD),
        openat2: host::openat2(),
        proc_children: std::path::Path::new("/proc/thread-self/children").exists(),
        placeholder: placeholder::self_test(),
    }
}
