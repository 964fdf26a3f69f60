//! Children that are thrown away after they have tried something.

use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::raw::{self, Birth};

/// Calls `what` in a child; 0 stands for success, else it is an error number.
pub(super) fn attempt(what: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    let (answer, told) = pipe_with(PipeFlags::CLOEXEC)?;
    match raw::fork()? {
        Birth::Child => {
            let number = what().err().map_or(0, Errno::raw_os_error);
            let _ = write(&told, &number.to_le_bytes());
            raw::exit_now(0)
        }
        Birth::Parent { child, .. } => {
            drop(told);
            let mut number = [0; 4];
            let got = read(&answer, &mut number);
            let _ = raw::wait(child);
            match (got, i32::from_le_bytes(number)) {
                (Ok(4), 0) => Ok(()),
                (Ok(4), number) => Err(Errno::from_raw_os_error(number)),
                // A filter that kills instead of refusing.
                _ => Err(Errno::PERM),
            }
        }
    }
}
