//! The two objects that guests get: a full one-page pipe, and an empty pipe.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, fcntl_setfl, fstat, openat};
use rustix::io::{ioctl_fionread, read, write};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::Inode;
use crate::sys;

/// A pipe that is full, so that every write to its other end waits.
pub(super) struct Full {
    /// Our end. Full, watched, signalling.
    pub(super) read: OwnedFd,
    /// The guest's end, with O_DIRECT as the only flag that it has not asked for: its writes are
    /// packets, too, so nothing can be put behind one.
    pub(super) guest: OwnedFd,
    pub(super) inode: Inode,
}

/// One page holds one packet: with the packet in it, the pipe is full, whatever its length.
const ONE_PAGE: usize = 4096;
/// How often a woken writer is looked for before it is given up.
const PATIENCE: usize = 5000;

impl Full {
    /// Makes one whose reader is told by `signal` to thread `tid` of each writer about to wait.
    pub(super) fn new(tid: i32, signal: i32) -> io::Result<Full> {
        let (read, ours) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setpipe_size(&read, ONE_PAGE)?;
        fcntl_setfl(&ours, OFlags::DIRECT | OFlags::NONBLOCK)?;
        write(&ours, b"\0")?;
        let guest = reopen(ours.as_fd())?;
        fcntl_setfl(&guest, OFlags::DIRECT)?;
        let inode = Inode::of(&fstat(&guest)?);
        sys::signal_io(read.as_fd(), tid, signal)?;
        Ok(Full { read, guest, inode })
    }
}

/// A file description of its own for writing to a descriptor's pipe.
fn reopen(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Lets one waiting write of `len` bytes through: for a writer that we cannot stop. What it writes
/// takes the place of what filled the pipe, so that the next write waits again.
pub(super) fn let_through(read_end: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    let mut page = [0u8; ONE_PAGE];
    read(read_end, &mut page)?;
    let mut left = len;
    for _ in 0..PATIENCE {
        let there = ioctl_fionread(read_end)? as usize;
        if there > 0 && left <= ONE_PAGE {
            return Ok(());
        }
        if there > 0 {
            left -= read(read_end, &mut page)?;
        } else {
            // It has been woken; there is nothing to be told by.
            std::thread::sleep(Duration::from_micros(100));
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// A pipe for a descriptor that is nothing but an identity: our write end, the guest's read end
/// and its inode. Reading it says EAGAIN, writing EBADF.
pub(super) fn empty() -> io::Result<(OwnedFd, OwnedFd, Inode)> {
    let (guest, ours) = pipe_with(PipeFlags::CLOEXEC)?;
    fcntl_setfl(&guest, OFlags::NONBLOCK)?;
    let inode = Inode::of(&fstat(&guest)?);
    Ok((ours, guest, inode))
}
