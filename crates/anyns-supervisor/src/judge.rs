//! Judges the writes to control files, for [`anyns_trap::placeholder`].

use std::sync::Weak;

use anyns_trap::placeholder::{self, Write};
use rustix::io::Errno;

use crate::Supervisor;

/// Longest text of a map, and one byte (user_namespaces(7): less than a page).
const PAGE: u64 = 4096;

/// The judge of one supervisor, which outlives nothing.
pub(crate) struct Judge {
    supervisor: Weak<Supervisor>,
}

impl Judge {
    /// The judge of `supervisor`.
    pub(crate) fn of(supervisor: Weak<Supervisor>) -> Judge {
        Judge { supervisor }
    }
}

impl placeholder::Judge for Judge {
    fn write(&self, token: u64, write: &Write) -> Result<usize, i32> {
        let gone = Errno::IO.raw_os_error();
        let supervisor = self.supervisor.upgrade().ok_or(gone)?;
        let file = supervisor.descriptors.control(token).ok_or(gone)?;
        write.each(|offset, segment| {
            // Too long a write is refused before its memory is looked at, so an unreadable one
            // that long is not EFAULT.
            let text = match &segment.text {
                Some(text) => text.as_slice(),
                None if segment.len >= PAGE => return Err(Errno::INVAL.raw_os_error()),
                None => return Err(Errno::FAULT.raw_os_error()),
            };
            file.write(&supervisor, write.writer.0, offset, text).map_err(|trouble| trouble.errno())
        })
    }

    fn closed(&self, token: u64) {
        if let Some(supervisor) = self.supervisor.upgrade() {
            supervisor.descriptors.closed(token);
        }
    }
}
