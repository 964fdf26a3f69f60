//! Lookups by those who see what the tests say.

mod among_mounts;
mod in_proc;

use rustix::io::Errno;

use super::Sight;
use crate::procfs::Proc;

/// Somebody who sees the host's `/proc`.
struct Everything(Proc, i32);

impl Sight for Everything {
    fn proc(&self) -> &Proc {
        &self.0
    }

    fn is_partial(&self) -> bool {
        false
    }

    fn number(&self, tid: i32) -> Option<i32> {
        Some(tid)
    }

    fn own_process(&self) -> Option<i32> {
        Some(self.1)
    }

    fn thread(&self, number: i32) -> Option<i32> {
        Some(number)
    }

    fn may_look(&self, _tid: i32) -> Result<(), Errno> {
        Ok(())
    }
}

/// Somebody to whom one process, and nobody else, is number 1.
struct Only(Proc, i32);

impl Sight for Only {
    fn proc(&self) -> &Proc {
        &self.0
    }

    fn is_partial(&self) -> bool {
        true
    }

    fn number(&self, tid: i32) -> Option<i32> {
        (tid == self.1).then_some(1)
    }

    fn own_process(&self) -> Option<i32> {
        Some(self.1)
    }

    fn thread(&self, number: i32) -> Option<i32> {
        (number == 1 || number == self.1).then_some(self.1)
    }

    fn may_look(&self, _tid: i32) -> Result<(), Errno> {
        Ok(())
    }
}
