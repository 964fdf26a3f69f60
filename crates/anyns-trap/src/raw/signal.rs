//! Signals that arrive: handlers that remember, and the ways to die of one's own doing.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use super::{Errno, checked};

/// What to do with a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// What it does by itself.
    Default,
    /// Nothing.
    Ignore,
    /// Remember it, for [`handled`].
    Remember,
}

static SIGNAL: AtomicI32 = AtomicI32::new(0);
static SENDER: AtomicI32 = AtomicI32::new(0);

extern "C" fn remember(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a siginfo to a handler with SA_SIGINFO that is valid while it runs.
    let info = unsafe { &*info };
    // SAFETY: for signals sent by kill the number of the sender is in it, and for all others
    // bytes that are initialised and mean something else.
    let sender = unsafe { info.si_pid() };
    SENDER.store(sender, Ordering::Relaxed);
    SIGNAL.store(signal, Ordering::Relaxed);
}

/// Sets what happens at a signal.
pub fn handle(signal: i32, handling: Handling) -> Result<(), Errno> {
    // SAFETY: a sigaction of zeros is a valid one: the default, no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    match handling {
        Handling::Default => action.sa_sigaction = libc::SIG_DFL,
        Handling::Ignore => action.sa_sigaction = libc::SIG_IGN,
        Handling::Remember => {
            action.sa_sigaction = remember as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
        }
    }
    // SAFETY: `action` is complete, and the old one is not asked for. The handler only stores to
    // atomics, which is safe at any moment.
    let done = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    checked(done.into()).map(drop)
}

/// The last signal whose handler ran, and the sender's number; each is told once.
pub fn handled() -> Option<(i32, i32)> {
    match SIGNAL.swap(0, Ordering::Relaxed) {
        0 => None,
        signal => Some((signal, SENDER.load(Ordering::Relaxed))),
    }
}

/// Where `siginfo_t` keeps these, by its documented layout on 64-bit machines.
const AT_SIGNAL: usize = 0;
const AT_CODE: usize = 8;
const AT_PID: usize = 16;
const AT_UID: usize = 20;

/// `PIDFD_SIGNAL_THREAD_GROUP`: a whole process is meant (since Linux 6.9; before, every pidfd is
/// a process's).
const WHOLE: u32 = 2;

/// Sends a signal to the process of a pidfd that says to be from another one: as sigqueue(3) does, so
/// that its `si_code` is SI_QUEUE. The kernel lets nobody say this with another code.
pub fn signal_as(to: BorrowedFd<'_>, signal: i32, pid: i32, uid: u32) -> Result<(), Errno> {
    let mut info = [0u64; 16];
    let mut put = |at: usize, value: u32| {
        let (word, shift) = (at / 8, at % 8 * 8);
        info[word] |= u64::from(value) << shift;
    };
    put(AT_SIGNAL, signal as u32);
    put(AT_CODE, libc::SI_QUEUE as u32);
    put(AT_PID, pid as u32);
    put(AT_UID, uid);
    match send(to, signal, info.as_ptr(), WHOLE) {
        Err(Errno::INVAL) => send(to, signal, info.as_ptr(), 0),
        done => done,
    }
}

/// Sends a signal to the process of a pidfd.
pub fn signal_process(to: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    match send(to, signal, std::ptr::null(), WHOLE) {
        Err(Errno::INVAL) => send(to, signal, std::ptr::null(), 0),
        done => done,
    }
}

fn send(to: BorrowedFd<'_>, signal: i32, info: *const u64, flags: u32) -> Result<(), Errno> {
    let to = to.as_raw_fd();
    // SAFETY: `info` is NULL or points to 128 initialised bytes with the alignment of a
    // `siginfo_t`, its size, which live until the call returns; the rest are numbers.
    checked(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, to, signal, info, flags) })
        .map(drop)
}

/// Writes where nothing is: the kernel forces SIGSEGV.
pub fn fault() -> ! {
    let nowhere = std::ptr::without_provenance_mut::<u8>(8);
    // SAFETY: below mmap_min_addr nothing is ever mapped, so the store changes nothing; the process
    // ends here.
    unsafe { nowhere.write_volatile(0) };
    super::exit_now(119)
}

/// Calls reboot: with the right magic numbers, or with wrong ones.
///
/// The caller must have made sure that it is not in the initial pid namespace.
pub fn reboot(command: u32, magic: bool) -> Result<(), Errno> {
    let (one, two) = if magic { (0xfee1_dead_u32, 0x2812_1969) } else { (0xfee1_dead, 1) };
    // SAFETY: three numbers; the fourth argument is for a command that is not among the callers'
    // but takes a string, for which NULL is refused.
    let done = unsafe { libc::syscall(libc::SYS_reboot, one, two, command, 0usize) };
    checked(done).map(drop)
}
