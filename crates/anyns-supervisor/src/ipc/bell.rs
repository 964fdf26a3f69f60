//! What wakes the thread that looks after those who wait.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// Wakes the thread that looks after those who wait.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<Rung>,
    rang: Condvar,
}

#[derive(Default)]
struct Rung {
    /// Somebody's end has changed semaphores.
    undone: bool,
    /// There is a new deadline.
    look: bool,
    started: bool,
}

impl Bell {
    /// Somebody's end has changed semaphores. May be called under the model's locks.
    pub(super) fn ring(&self) {
        self.rung.lock().undone = true;
        self.rang.notify_one();
    }

    /// There is a new deadline.
    pub(super) fn look(&self) {
        self.rung.lock().look = true;
        self.rang.notify_one();
    }

    /// Waits until it is rung or it is time.
    pub(super) fn wait(&self, until: Option<Instant>) {
        let mut rung = self.rung.lock();
        while !rung.undone && !rung.look {
            match until {
                None => self.rang.wait(&mut rung),
                Some(until) => {
                    if self.rang.wait_until(&mut rung, until).timed_out() {
                        break;
                    }
                }
            }
        }
        (rung.undone, rung.look) = (false, false);
    }

    /// Starts the thread that waits for it, unless that has been started.
    pub(super) fn start(&self, start: impl FnOnce() -> bool) {
        let mut rung = self.rung.lock();
        rung.started = rung.started || start();
    }
}
