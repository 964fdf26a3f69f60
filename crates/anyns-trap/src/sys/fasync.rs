//! fcntl(2): signals about a descriptor, and reading them back.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

const F_SETSIG: i32 = 10;
const F_SETOWN_EX: i32 = 15;
const F_OWNER_TID: i32 = 0;

/// `struct f_owner_ex`.
#[repr(C)]
struct Owner {
    kind: i32,
    id: i32,
}

/// Makes the kernel send `signal`, with the descriptor's number, to thread `tid` of this process
/// when something happens on `fd` (whose O_ASYNC and O_NONBLOCK are set).
pub(crate) fn signal_io(fd: BorrowedFd<'_>, tid: i32, signal: i32) -> io::Result<()> {
    let owner = Owner { kind: F_OWNER_TID, id: tid };
    // SAFETY: the kernel reads one `f_owner_ex`, whose layout `Owner` has, through the pointer,
    // which lives until the call returns.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), F_SETOWN_EX, &raw const owner) }.into())?;
    // SAFETY: this command takes a number and touches no memory of ours.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), F_SETSIG, signal) }.into())?;
    let flags = libc::O_ASYNC | libc::O_NONBLOCK;
    // SAFETY: this command takes a number and touches no memory of ours.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags) }.into()).map(drop)
}

/// A signal read from a signalfd: its number, and the descriptor it is about.
pub(crate) fn read_signal(signals: &File) -> Option<(i32, i32)> {
    let mut bytes = [0u8; size_of::<libc::signalfd_siginfo>()];
    let mut signals = signals;
    if signals.read(&mut bytes).ok()? != bytes.len() {
        return None;
    }
    let word = |at: usize| {
        let mut own = [0; 4];
        own.copy_from_slice(&bytes[at..at + 4]);
        i32::from_ne_bytes(own)
    };
    let fd = std::mem::offset_of!(libc::signalfd_siginfo, ssi_fd);
    Some((word(0), word(fd)))
}

/// Waits at most `ms` for one of the calling thread's blocked `signals`; its number.
pub(crate) fn wait_signal(signals: &[i32], ms: i64) -> Option<i32> {
    let set = super::set_of(signals);
    let limit = libc::timespec { tv_sec: 0, tv_nsec: ms * 1_000_000 };
    // SAFETY: set and limit are initialised and live until the call returns; the details are not
    // asked for.
    let r = unsafe { libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const limit) };
    (r > 0).then_some(r)
}
