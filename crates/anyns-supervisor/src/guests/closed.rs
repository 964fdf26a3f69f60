//! Programs that let nobody look into them (`PR_SET_DUMPABLE`, prctl(2)), while the host would let others
//! of their user: it keeps every guest dumpable, or we could not read what it passes.
//!
//! As long as there is one, whoever names a process is judged here, also in the initial namespaces.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Guests;

/// Whether there may be such a program.
#[derive(Debug, Default)]
pub(super) struct Closed(AtomicBool);

impl Guests {
    /// Notes that there is one. To be called after it has become so.
    pub(crate) fn note_closed(&self) {
        self.closed.0.store(true, Ordering::SeqCst);
    }

    /// Whether there may be one.
    pub(crate) fn any_closed(&self) -> bool {
        self.closed.0.load(Ordering::SeqCst)
    }

    /// Looks whether there still is one. Children have what their parents had, and another program that was
    /// executed has not; so this is done when somebody has died.
    pub(crate) fn look_for_closed(&self) {
        if !self.any_closed() {
            return;
        }
        // Whoever becomes so while it is looked says so afterwards.
        self.closed.0.store(false, Ordering::SeqCst);
        if self.table.read().by_tid.values().any(|guest| !guest.task.dumpable()) {
            self.note_closed();
        }
    }
}
