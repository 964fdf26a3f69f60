//! seccomp(2), prctl(PR_SET_NO_NEW_PRIVS) and the listener's ioctls (seccomp_unotify(2)).

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use super::check;
use crate::filter::Insn;

/// Makes exec grant no privileges from now on; needed to install a filter without any.
pub(crate) fn no_new_privs() -> io::Result<()> {
    // SAFETY: PR_SET_NO_NEW_PRIVS takes four scalars and touches no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into()).map(drop)
}

/// Installs a filter in the calling thread; the result is the listener when `flags` ask for one.
pub(crate) fn seccomp_install(program: &[Insn], flags: u64) -> io::Result<RawFd> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: program.as_ptr().cast_mut().cast::<libc::sock_filter>(),
    };
    // SAFETY: `program` points to `len` instructions whose layout is that of `sock_filter`
    // (`Insn` is repr(C) with the same fields); the kernel only reads them, and both live until
    // the call returns.
    let r = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    };
    Ok(check(r)? as RawFd)
}

/// Whether the kernel knows seccomp filters with notification at all.
pub(crate) fn seccomp_has_filters() -> bool {
    let action: u32 = libc::SECCOMP_RET_USER_NOTIF;
    // SAFETY: the kernel reads one u32 through the pointer, which lives until the call returns.
    let r = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action)
    };
    check(r).is_ok()
}

/// Receives the next notification; blocks.
pub(crate) fn notif_recv(listener: BorrowedFd<'_>) -> io::Result<libc::seccomp_notif> {
    // SAFETY: `seccomp_notif` consists of integers only, for which all zeroes are a value. (The
    // kernel demands zeroes.)
    let mut notif: libc::seccomp_notif = unsafe { zeroed() };
    // SAFETY: the kernel writes one `seccomp_notif` through the pointer, which is exclusive and
    // lives until the call returns.
    let r = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV as _, &raw mut notif)
    };
    check(r.into())?;
    Ok(notif)
}

/// Answers a notification: result `val` when `error` is 0, else `error` (negative).
pub(crate) fn notif_send(
    listener: BorrowedFd<'_>,
    id: u64,
    val: i64,
    error: i32,
    flags: u32,
) -> io::Result<()> {
    let response = libc::seccomp_notif_resp { id, val, error, flags };
    // SAFETY: the kernel reads one `seccomp_notif_resp` through the pointer, which lives until
    // the call returns.
    let r = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND as _, &raw const response)
    };
    check(r.into()).map(drop)
}

/// Whether the notification still waits for its answer.
pub(crate) fn notif_id_valid(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the kernel reads one u64 through the pointer, which lives until the call returns.
    let r = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID as _, &raw const id)
    };
    check(r.into()).is_ok()
}

/// Copies descriptor `fd` of ours into the caller; gives its number there.
pub(crate) fn notif_addfd(
    listener: BorrowedFd<'_>,
    id: u64,
    fd: BorrowedFd<'_>,
    at: Option<i32>,
    cloexec: bool,
    send: bool,
) -> io::Result<i32> {
    let mut flags = 0;
    if at.is_some() {
        flags |= libc::SECCOMP_ADDFD_FLAG_SETFD as u32;
    }
    if send {
        flags |= libc::SECCOMP_ADDFD_FLAG_SEND as u32;
    }
    let request = libc::seccomp_notif_addfd {
        id,
        flags,
        srcfd: fd.as_raw_fd() as u32,
        newfd: at.unwrap_or(0) as u32,
        newfd_flags: if cloexec { libc::O_CLOEXEC as u32 } else { 0 },
    };
    // SAFETY: the kernel reads one `seccomp_notif_addfd` through the pointer, which lives until
    // the call returns.
    let r = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD as _, &raw const request)
    };
    Ok(check(r.into())? as i32)
}

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` (6.6): caller and supervisor share a CPU for the round
/// trip.
const SYNC_WAKE_UP: u64 = 1;

/// Asks for synchronous wake-ups; kernels before 6.6 refuse, which costs only speed.
pub(crate) fn notif_sync_wake_up(listener: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let flags = if on { SYNC_WAKE_UP } else { 0 };
    // SAFETY: this ioctl takes its flags by value and touches no memory of ours.
    let r = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS as _, flags)
    };
    check(r.into()).map(drop)
}
