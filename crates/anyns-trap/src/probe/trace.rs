//! Whether an own child can be traced and read.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::io::Errno;

use crate::trace::tracer_of;
use crate::{Tid, sys};

/// What was allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    pub(super) seize: Result<(), Errno>,
    pub(super) memory: Result<(), Errno>,
    /// Somebody else traces what we start.
    pub(super) traced: bool,
}

/// A word that a child has at the same address.
static WORD: u64 = 0x616e_796e_7321;

/// Seizes a child of ours, and reads its memory.
pub(super) fn try_on(child: i32) -> Tried {
    // Filters refuse the call and leave the file, modules of the kernel refuse both.
    let memory = read_by_call(child).or_else(|_| read_by_file(child));
    let seize = sys::seize(child, 0).map_err(|e| number(&e));
    Tried { seize, memory, traced: seize.is_err() && tracer_of(Tid(child)).is_some() }
}

fn read_by_call(child: i32) -> Result<(), Errno> {
    let mut word = [0; 8];
    match sys::vm_read(child, &raw const WORD as u64, &mut word) {
        Ok(8) if u64::from_ne_bytes(word) == WORD => Ok(()),
        Ok(_) => Err(Errno::FAULT),
        Err(e) => Err(number(&e)),
    }
}

fn read_by_file(child: i32) -> Result<(), Errno> {
    let mut word = [0; 8];
    let file = File::open(format!("/proc/{child}/mem")).map_err(|e| number(&e))?;
    match file.read_at(&mut word, &raw const WORD as u64) {
        Ok(8) if u64::from_ne_bytes(word) == WORD => Ok(()),
        Ok(_) => Err(Errno::FAULT),
        Err(e) => Err(number(&e)),
    }
}

fn number(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}
