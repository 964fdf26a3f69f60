//! The chain's own system calls: those that `rustix` does not have.
//!
//! Everything here is for processes with one thread, except what is said to be otherwise.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// All 64 signals, the two that libc keeps for itself included.
pub(super) const ALL_SIGNALS: u64 = u64::MAX;

/// Which side of a fork the caller is on.
pub(super) enum Side {
    /// The parent, with the child's number.
    Parent(i32),
    /// The new process.
    Child,
}

fn checked(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

fn checked_long(returned: libc::c_long) -> io::Result<libc::c_long> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// The number of threads of this process.
pub(super) fn threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Forks. The caller has made sure that there is one thread only.
pub(super) fn fork() -> io::Result<Side> {
    // SAFETY: `chain::run` has counted the threads and found one, and starts none in this process
    // before its last fork; so no lock is held by a thread that the child will lack.
    let pid = checked(unsafe { libc::fork() })?;
    Ok(if pid == 0 { Side::Child } else { Side::Parent(pid) })
}

/// Forks with a shared descriptor table.
pub(super) fn fork_sharing_descriptors() -> io::Result<Side> {
    let flags = libc::c_long::from(libc::CLONE_FILES | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with a zero stack this is a fork: the child runs on its own
    // copy of this stack. One thread only, as in `fork`. libc's fork handlers are skipped: the
    // child takes no lock that they would have reset, and ends in `execve` or `_exit`.
    let pid = checked_long(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    Ok(if pid == 0 { Side::Child } else { Side::Parent(pid as i32) })
}

/// Ends this process without running anything of the program's.
pub(super) fn leave(code: i32) -> ! {
    // SAFETY: `_exit` has no precondition; what was not flushed is lost, as wanted.
    unsafe { libc::_exit(code) }
}

/// Sets the signal mask and returns the old one.
pub(super) fn set_signal_mask(mask: u64) -> u64 {
    let mut old = 0u64;
    let new = std::ptr::from_ref(&mask);
    let back = std::ptr::from_mut(&mut old);
    // SAFETY: both pointers are to live 64-bit masks, and 8 is the size the kernel expects. The
    // call goes to the kernel directly because libc would spare its two internal signals, which
    // have no meaning in a process without threads.
    let _ = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, new, back, size_of::<u64>())
    };
    old
}

/// What a process does on a signal, as far as an exec keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// The default action.
    Default,
    /// Nothing.
    Ignore,
}

/// Reads a signal's disposition; a handler counts as the default, which an exec would make of it.
pub(super) fn disposition(signal: i32) -> Disposition {
    let mut old = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action only asks; the old one is written to a live place of its type.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), old.as_mut_ptr()) };
    // SAFETY: the structure was zeroed, which is a valid value of it (default, no flags).
    let old = unsafe { old.assume_init() };
    match old.sa_sigaction {
        libc::SIG_IGN if asked == 0 => Disposition::Ignore,
        _ => Disposition::Default,
    }
}

/// Sets a signal's disposition, with `SA_NOCLDSTOP` if `quiet`.
pub(super) fn set_disposition(signal: i32, to: Disposition, quiet: bool) {
    // SAFETY: all-zero is a valid `sigaction`: default action, empty mask, no flags.
    let mut action = unsafe { std::mem::zeroed::<libc::sigaction>() };
    action.sa_sigaction = match to {
        Disposition::Default => libc::SIG_DFL,
        Disposition::Ignore => libc::SIG_IGN,
    };
    action.sa_flags = if quiet { libc::SA_NOCLDSTOP } else { 0 };
    // SAFETY: `action` is live and names no handler, so nothing of ours will be run by it.
    let _ = unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
}

/// Opens a descriptor that reads every signal, blocked ones, without waiting.
pub(super) fn signal_descriptor() -> io::Result<OwnedFd> {
    let mask = ALL_SIGNALS;
    let at = std::ptr::from_ref(&mask);
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    let size = size_of::<u64>();
    // SAFETY: `at` points to a live mask of the size given.
    let fd = checked_long(unsafe { libc::syscall(libc::SYS_signalfd4, -1, at, size, flags) })?;
    // SAFETY: the kernel has just returned this descriptor to us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// A signal that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signalled {
    pub(super) signal: i32,
    pub(super) code: i32,
    pub(super) from: i32,
    pub(super) uid: u32,
    pub(super) value: u64,
}

/// Reads one signal, or nothing if none is pending.
pub(super) fn next_signal(descriptor: BorrowedFd<'_>) -> Option<Signalled> {
    let mut info = std::mem::MaybeUninit::<libc::signalfd_siginfo>::zeroed();
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: `info` is writable for `size` bytes.
    let n = unsafe { libc::read(descriptor.as_raw_fd(), info.as_mut_ptr().cast(), size) };
    if n != size as isize {
        return None;
    }
    // SAFETY: it was zeroed and then filled whole; every bit pattern is valid in it.
    let info = unsafe { info.assume_init() };
    Some(Signalled {
        signal: info.ssi_signo as i32,
        code: info.ssi_code,
        from: info.ssi_pid as i32,
        uid: info.ssi_uid,
        value: info.ssi_ptr,
    })
}

/// The kernel's `siginfo_t` as far as a queued signal fills it.
#[repr(C, align(8))]
struct Queued {
    signal: i32,
    error: i32,
    code: i32,
    pad: i32,
    pid: i32,
    uid: u32,
    value: u64,
    rest: [u64; 12],
}

/// Sends a signal by pidfd. What was queued with a value keeps its value and its sender.
pub(super) fn pass_on(to: BorrowedFd<'_>, what: &Signalled) -> io::Result<()> {
    let queued = Queued {
        signal: what.signal,
        error: 0,
        code: libc::SI_QUEUE,
        pad: 0,
        pid: what.from,
        uid: what.uid,
        value: what.value,
        rest: [0; 12],
    };
    const { assert!(size_of::<Queued>() == size_of::<libc::siginfo_t>()) }
    let info =
        if what.code == libc::SI_QUEUE { std::ptr::from_ref(&queued) } else { std::ptr::null() };
    let fd = to.as_raw_fd();
    // SAFETY: `info` is null, or points to a live structure of the size of `siginfo_t`.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, what.signal, info, 0) };
    checked_long(sent).map(drop)
}

/// `kill(2)`: a process, or with a negative number a process group.
pub(super) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    checked(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// What `waitpid(-1)` found.
pub(super) enum Waited {
    /// A child changed: its number and wait status.
    Changed(i32, i32),
    /// There are children, and nothing to say about them.
    Nothing,
    /// There is no child at all.
    Childless,
}

/// Asks for a change of any child, of whatever kind, without blocking.
pub(super) fn wait_any(options: i32) -> Waited {
    let mut status = 0;
    let options = options | libc::WNOHANG | libc::__WALL;
    // SAFETY: `status` is a live integer.
    match checked(unsafe { libc::waitpid(-1, &mut status, options) }) {
        Ok(0) => Waited::Nothing,
        Ok(pid) => Waited::Changed(pid, status),
        Err(e) if e.raw_os_error() == Some(libc::ECHILD) => Waited::Childless,
        Err(_) => Waited::Nothing,
    }
}

/// Reaps one child if it has ended.
pub(super) fn wait_one(pid: i32) -> Option<i32> {
    let mut status = 0;
    // SAFETY: `status` is a live integer.
    let got = unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG | libc::__WALL) };
    (got == pid).then_some(status)
}

/// Closes every descriptor but those in `kept`. With `unshare` the descriptor table becomes this
/// process's own first.
///
/// Nobody else in this process may use a descriptor that is not kept.
pub(super) fn close_all_but(kept: &[RawFd], unshare: bool) -> io::Result<()> {
    let mut kept: Vec<u32> = kept.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    kept.sort_unstable();
    kept.dedup();
    let mut flags = if unshare { libc::CLOSE_RANGE_UNSHARE as i32 } else { 0 };
    let mut from = 0u32;
    for stop in kept.iter().copied().chain([u32::MAX]) {
        if stop > from {
            // SAFETY: the descriptors in the gap belong to code of the forked-off caller that this
            // process will never run again, so nobody's open descriptor is pulled away.
            checked(unsafe { libc::close_range(from, stop - 1, flags) })?;
            flags = 0;
        }
        from = stop.saturating_add(1);
    }
    Ok(())
}

/// Closes one descriptor by number.
pub(super) fn close(fd: RawFd) {
    // SAFETY: the callers name a standard descriptor that the runtime filled, or one that they
    // have just received as a plain number; nobody else in this process uses it.
    let _ = unsafe { libc::close(fd) };
}

/// Takes a descriptor that another process put into the table we share with it.
pub(super) fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: the guest opened it in the shared table, told its number, and never uses it again.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Lets a number of this process stand for another open file; what it stood for is closed.
pub(super) fn replace(number: RawFd, by: BorrowedFd<'_>) {
    // SAFETY: the number stays open and so stays valid for whoever owns it; only what it refers to
    // changes, which no owner of a descriptor may rely on for memory safety.
    let _ = unsafe { libc::dup3(by.as_raw_fd(), number, libc::O_CLOEXEC) };
}

/// Opens `/dev/null` with a number above the standard descriptors.
pub(super) fn open_null() -> rustix::io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags, open};
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::fcntl_dupfd_cloexec(null, 3)
}

/// Makes descriptors 0, 1 and 2 stand for these files, except those in `kept`. The files
/// themselves have higher numbers.
pub(super) fn fill_standard(files: [BorrowedFd<'_>; 3], kept: &[RawFd]) {
    for (number, file) in (0..).zip(files) {
        if !kept.contains(&number) {
            replace(number, file);
        }
    }
}

/// Executes a program, searched in PATH as `execvp` does. Returns why it could not.
pub(super) fn exec(argv: &[CString]) -> io::Error {
    let mut pointers: Vec<*const libc::c_char> = argv.iter().map(|a| a.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: a null-terminated array of strings that live until the call returns, at least one
    // of them (checked by `chain::run`); the environment is this process's own.
    unsafe { libc::execvp(pointers[0], pointers.as_ptr()) };
    io::Error::last_os_error()
}
