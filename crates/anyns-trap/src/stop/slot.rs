//! What the tracer and the workers share of one traced thread.
//!
//! Locks: all are leaves.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{Filters, Found, Shared};
use crate::Tid;
use crate::arch::Regs;
use crate::trace::{Birth, Why};

/// How long a worker waits for another one to be done with the same thread.
const TURN: Duration = Duration::from_secs(1);

/// How many births are awaited: usually none, and then that is all that is looked at.
static AWAITED: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn any_awaited() -> bool {
    AWAITED.load(Ordering::Acquire) > 0
}

fn forget(birth: Option<Box<dyn Birth>>) {
    if birth.is_some() {
        AWAITED.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One traced thread.
#[derive(Default)]
pub(crate) struct Slot {
    state: Mutex<State>,
    changed: Condvar,
    /// Who hears of the child that it is making.
    birth: Mutex<Option<Box<dyn Birth>>>,
    /// Others look at where it runs.
    roams: AtomicBool,
    handlers: Mutex<Shared>,
    filters: Mutex<Filters>,
}

#[derive(Default)]
struct State {
    /// A worker decides what becomes of it.
    lent: Lent,
    /// Its next child is lent with it.
    births: bool,
    /// A stop that the worker has not heard of yet.
    stand: Option<Stand>,
    /// A told call that the worker has not heard of yet.
    mail: Option<u64>,
    dead: bool,
    /// It is not traced any more, or about not to be.
    left: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Lent {
    /// To nobody.
    #[default]
    No,
    Yes,
    /// To nobody any more, but the tracer has yet to see to it that it goes on.
    Returned,
}

/// How a thread stands.
pub(crate) struct Stand {
    pub(crate) tid: Tid,
    pub(crate) why: Why,
    /// None when it has been killed where it stood.
    pub(crate) regs: Option<Regs>,
    /// The signals that it blocks, where it stands at a call.
    pub(crate) mask: u64,
    /// The task that was born at this stop.
    pub(crate) child: Option<Found>,
}

/// What a worker hears.
#[expect(clippy::large_enum_variant, reason = "made once, taken apart at once")]
pub(crate) enum Heard {
    Stand(Stand),
    Dead,
    Mail(u64),
    Nothing,
}

impl Drop for Slot {
    fn drop(&mut self) {
        forget(self.birth.get_mut().take());
    }
}

impl Slot {
    /// What it and those who share it have set for SIGSYS.
    pub(crate) fn handlers(&self) -> Shared {
        Arc::clone(&self.handlers.lock())
    }

    pub(super) fn set_handlers(&self, handlers: Shared) {
        *self.handlers.lock() = handlers;
    }

    /// From now on it is woken where the kernel likes.
    pub(super) fn roam(&self) {
        self.roams.store(true, Ordering::Relaxed);
    }

    pub(super) fn roams(&self) -> bool {
        self.roams.load(Ordering::Relaxed)
    }

    /// The filters that it has installed or inherited.
    pub(super) fn filters(&self) -> Filters {
        Arc::clone(&self.filters.lock())
    }

    /// Whether it has any.
    pub(super) fn is_filtered(&self) -> bool {
        !self.filters.lock().is_empty()
    }

    pub(super) fn set_filters(&self, filters: Filters) {
        *self.filters.lock() = filters;
    }

    /// It is about to make a child of which `birth` is to hear.
    pub(crate) fn await_birth(&self, birth: Box<dyn Birth>) {
        AWAITED.fetch_add(1, Ordering::AcqRel);
        let former = self.birth.lock().replace(birth);
        forget(former);
    }

    /// Who was to hear of a child, which has been born, or will not be.
    pub(crate) fn take_birth(&self) -> Option<Box<dyn Birth>> {
        if AWAITED.load(Ordering::Acquire) == 0 {
            return None;
        }
        let birth = self.birth.lock().take();
        if birth.is_some() {
            AWAITED.fetch_sub(1, Ordering::AcqRel);
        }
        birth
    }

    pub(super) fn awaits_birth(&self) -> bool {
        any_awaited() && self.birth.lock().is_some()
    }

    /// Lends it to the caller as soon as nobody else has it. `WouldBlock` if it is being let go.
    pub(crate) fn borrow(&self, births: bool) -> io::Result<()> {
        super::may_wait();
        let mut state = self.state.lock();
        while state.lent != Lent::No && !state.dead {
            if self.changed.wait_for(&mut state, TURN).timed_out() {
                return Err(io::Error::from_raw_os_error(libc::EBUSY));
            }
        }
        if state.dead {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        if state.left {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        (state.lent, state.births) = (Lent::Yes, births);
        Ok(())
    }

    /// The tracer lends it; false when somebody has borrowed it already.
    pub(super) fn lend(&self) -> bool {
        let mut state = self.state.lock();
        let free = state.lent == Lent::No;
        state.lent = Lent::Yes;
        free
    }

    /// The tracer is about to let go of it; false when somebody has borrowed it.
    pub(super) fn leave(&self) -> bool {
        let mut state = self.state.lock();
        state.left = state.lent == Lent::No;
        state.left
    }

    /// Whether a worker waits for the birth of its child.
    pub(super) fn expects_births(&self) -> bool {
        let state = self.state.lock();
        state.lent == Lent::Yes && state.births && !state.dead
    }

    pub(crate) fn expect_births(&self, births: bool) {
        self.state.lock().births = births;
    }

    /// Passes a stop on to the worker that has it; false when nobody has.
    pub(super) fn tell(&self, stand: impl FnOnce() -> Stand) -> bool {
        let mut state = self.state.lock();
        if state.lent != Lent::Yes {
            return false;
        }
        state.stand = Some(stand());
        self.changed.notify_all();
        true
    }

    /// Whether a worker has it.
    pub(crate) fn is_lent(&self) -> bool {
        self.state.lock().lent != Lent::No
    }

    /// The tracer hears of its death.
    pub(super) fn bury(&self) {
        self.state.lock().dead = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.state.lock().dead
    }

    /// Tells the worker of a call that came unexpectedly.
    pub(crate) fn mail(&self, id: u64) {
        self.state.lock().mail = Some(id);
        self.changed.notify_all();
    }

    /// Waits for news.
    pub(crate) fn hear(&self, patience: Duration) -> Heard {
        super::may_wait();
        let mut state = self.state.lock();
        loop {
            if let Some(stand) = state.stand.take() {
                return Heard::Stand(stand);
            }
            if state.dead {
                return Heard::Dead;
            }
            if let Some(id) = state.mail.take() {
                return Heard::Mail(id);
            }
            if self.changed.wait_for(&mut state, patience).timed_out() {
                return Heard::Nothing;
            }
        }
    }

    /// The worker is done with it, standing: the tracer will be asked to let it go.
    pub(crate) fn give_up(&self) {
        self.state.lock().lent = Lent::Returned;
    }

    /// The worker is done with it, running. True if it stands after all.
    pub(crate) fn give_back_running(&self) -> bool {
        let mut state = self.state.lock();
        if state.lent != Lent::Yes {
            return false;
        }
        let stands = state.stand.take().is_some() && !state.dead;
        state.lent = if stands { Lent::Returned } else { Lent::No };
        state.births = false;
        self.changed.notify_all();
        stands
    }

    /// The tracer has it back.
    pub(super) fn free(&self) {
        let mut state = self.state.lock();
        (state.lent, state.births, state.stand) = (Lent::No, false, None);
        self.changed.notify_all();
    }
}
