//! Whether this kernel tells of writers that are about to sleep, tried on a thread of our own.

use std::io;
use std::os::fd::AsFd;

use super::watch::signal;
use super::{SelfTest, pipe};
use crate::{sys, threads};

/// How long the signal may take on a busy machine.
const PATIENCE_MS: i64 = 500;

/// Tries the mechanism of [`super::Placeholders`] on a thread of our own.
pub fn self_test() -> io::Result<SelfTest> {
    // On a thread of its own, whose signal mask is nobody else's.
    let test = threads::start("anyns-selftest", try_it)?;
    test.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
}

fn try_it() -> io::Result<SelfTest> {
    sys::block(&[signal(), libc::SIGIO])?;
    let full = pipe::Full::new(sys::own_tid(), signal())?;
    let guest = full.guest;
    let writer = threads::start("anyns-selftest", move || rustix::io::write(&guest, b"x"))?;
    let heard = sys::wait_signal(&[signal(), libc::SIGIO], PATIENCE_MS);
    pipe::let_through(full.read.as_fd(), 1)?;
    match writer.join() {
        Ok(Ok(1)) => {}
        _ => return Err(io::ErrorKind::Other.into()),
    }
    Ok(if heard == Some(signal()) { SelfTest::Signalled } else { SelfTest::Polled })
}
