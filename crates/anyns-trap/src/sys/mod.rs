//! System calls that no library wraps as we need them: one thin, safe function each.
//!
//! Nothing here decides anything; errors are the kernel's.

mod fasync;
mod heap;
mod memory;
mod mute;
mod ptrace;
mod seccomp;
mod signal;
mod turns;
mod wait;

pub(crate) use fasync::*;
pub(crate) use heap::*;
pub(crate) use memory::*;
pub(crate) use mute::*;
pub(crate) use ptrace::*;
pub(crate) use seccomp::*;
pub(crate) use signal::*;
pub(crate) use turns::*;
pub(crate) use wait::*;

use std::io;

/// The result of a C library call that says -1 for failure.
fn check(result: libc::c_long) -> io::Result<i64> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
