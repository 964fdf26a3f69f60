//! ptrace(2), one request a function.

use std::io;
use std::ptr::null_mut;

use super::check;

/// A request that touches no memory of ours: `data` is a scalar.
fn scalar(request: libc::c_uint, tid: i32, data: usize) -> io::Result<()> {
    // SAFETY: every caller in this file passes a request whose address is unused and whose data
    // is a number; the kernel checks that `tid` is a tracee of the calling thread.
    let r = unsafe { libc::ptrace(request, tid, null_mut::<libc::c_void>(), data) };
    check(r).map(drop)
}

/// Becomes the tracer of `tid` without stopping it.
pub(crate) fn seize(tid: i32, options: libc::c_int) -> io::Result<()> {
    scalar(libc::PTRACE_SEIZE, tid, options as usize)
}

/// Makes a seized thread stop at the next opportunity.
pub(crate) fn interrupt(tid: i32) -> io::Result<()> {
    scalar(libc::PTRACE_INTERRUPT, tid, 0)
}

/// Lets a stopped thread run, delivering `signal` (0: none).
pub(crate) fn cont(tid: i32, signal: i32) -> io::Result<()> {
    scalar(libc::PTRACE_CONT, tid, signal as usize)
}

/// The same, stopping again at the next entry to or exit from a system call.
pub(crate) fn cont_to_call(tid: i32, signal: i32) -> io::Result<()> {
    scalar(libc::PTRACE_SYSCALL, tid, signal as usize)
}

/// Lets a stopped thread go for good, delivering `signal` (0: none).
pub(crate) fn detach(tid: i32, signal: i32) -> io::Result<()> {
    scalar(libc::PTRACE_DETACH, tid, signal as usize)
}

/// Lets a stopped thread run one instruction, delivering `signal`: with a handler, none of its.
pub(crate) fn step(tid: i32, signal: i32) -> io::Result<()> {
    scalar(libc::PTRACE_SINGLESTEP, tid, signal as usize)
}

/// The message of the last event: a new thread's number, or the number before an exec.
pub(crate) fn event_message(tid: i32) -> io::Result<i32> {
    let mut message: libc::c_ulong = 0;
    // SAFETY: the kernel writes one unsigned long through the pointer, which is exclusively ours
    // until the call returns.
    let r = unsafe {
        libc::ptrace(libc::PTRACE_GETEVENTMSG, tid, null_mut::<libc::c_void>(), &raw mut message)
    };
    check(r)?;
    Ok(message as i32)
}

/// Leaves a thread that stands in a group stop to the signals that end it.
pub(crate) fn listen(tid: i32) -> io::Result<()> {
    scalar(libc::PTRACE_LISTEN, tid, 0)
}

/// What seccomp's SIGSYS says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trapped {
    /// The filter's own number (`SECCOMP_RET_DATA`).
    pub(crate) data: i32,
    pub(crate) nr: i32,
    pub(crate) arch: u32,
    pub(crate) ip: u64,
}

/// `si_code` of a SIGSYS that seccomp raised.
const SYS_SECCOMP: i32 = 1;

/// Where `siginfo_t` keeps what seccomp says, by its documented layout on 64-bit machines.
const AT_CALL_ADDR: usize = 16;
const AT_SYSCALL: usize = 24;
const AT_ARCH: usize = 28;

/// A `siginfo_t` as words.
type Info = [u64; 16];

/// What the signal says before whose delivery `tid` stands.
fn signal_info(tid: i32) -> io::Result<Info> {
    let mut info: Info = [0; 16];
    let null = null_mut::<libc::c_void>();
    // SAFETY: the kernel writes one `siginfo_t`, 128 bytes with the alignment of a pointer, to
    // `info`, which has that size and alignment and is exclusively ours until the call returns.
    let r = unsafe { libc::ptrace(libc::PTRACE_GETSIGINFO, tid, null, info.as_mut_ptr()) };
    check(r)?;
    Ok(info)
}

/// The half word at a place in it.
fn word(info: &Info, at: usize) -> i32 {
    (info[at / 8] >> (at % 8 * 8)) as i32
}

/// Reads what the SIGSYS says before whose delivery `tid` stands; none if seccomp has not sent it.
pub(crate) fn trapped(tid: i32) -> io::Result<Option<Trapped>> {
    let info = signal_info(tid)?;
    // si_signo, si_errno, si_code.
    Ok((word(&info, 8) == SYS_SECCOMP).then(|| Trapped {
        data: word(&info, 4),
        nr: word(&info, AT_SYSCALL),
        arch: word(&info, AT_ARCH) as u32,
        ip: info[AT_CALL_ADDR / 8],
    }))
}

/// What sort of signal `tid` stands before (`si_code`).
pub(crate) fn signal_code(tid: i32) -> io::Result<i32> {
    Ok(word(&signal_info(tid)?, 8))
}

/// Where `siginfo_t` keeps who sent a signal with kill(2) or tgkill(2): the process and the user.
const AT_SENDER: usize = 16;

/// The process that sent the signal before whose delivery `tid` stands; none if that was not done by
/// kill(2) or tgkill(2).
pub(crate) fn signal_sender(tid: i32) -> io::Result<Option<i32>> {
    let info = signal_info(tid)?;
    let sent = matches!(word(&info, 8), libc::SI_USER | libc::SI_TKILL);
    Ok(sent.then(|| word(&info, AT_SENDER)))
}

/// Has the signal before whose delivery `tid` stands say that it is from another process and user, if
/// `from` sent it with kill(2) or tgkill(2). Tells whether it was that one.
pub(crate) fn sign(tid: i32, from: i32, pid: i32, uid: u32) -> io::Result<bool> {
    if signal_sender(tid)? != Some(from) {
        return Ok(false);
    }
    let mut info = signal_info(tid)?;
    info[AT_SENDER / 8] = u64::from(pid as u32) | u64::from(uid) << 32;
    let null = null_mut::<libc::c_void>();
    // SAFETY: the kernel reads one `siginfo_t`, 128 bytes with the alignment of a pointer, from
    // `info`, which has that size and alignment and lives until the call returns.
    check(unsafe { libc::ptrace(libc::PTRACE_SETSIGINFO, tid, null, info.as_ptr()) })?;
    Ok(true)
}

/// The size of the kernel's signal set.
const MASK_SIZE: usize = 8;

/// The signals that a stopped thread blocks, signal N as bit N-1.
pub(crate) fn signal_mask(tid: i32) -> io::Result<u64> {
    let mut mask = 0u64;
    // SAFETY: the kernel writes 8 bytes, the size that is passed, to `mask`, which is exclusively
    // ours until the call returns.
    let r = unsafe { libc::ptrace(libc::PTRACE_GETSIGMASK, tid, MASK_SIZE, &raw mut mask) };
    check(r)?;
    Ok(mask)
}

/// Changes them.
pub(crate) fn set_signal_mask(tid: i32, mask: u64) -> io::Result<()> {
    // SAFETY: the kernel reads 8 bytes, the size that is passed, from `mask`, which lives until
    // the call returns.
    let r = unsafe { libc::ptrace(libc::PTRACE_SETSIGMASK, tid, MASK_SIZE, &raw const mask) };
    check(r).map(drop)
}
