//! Which threads a worker is tracing at the moment, and what to do when one is told of again.
//!
//! A traced call may be told a second time: because it was restarted with other arguments, or
//! because it failed without an event and the thread is already at its next call. The first is
//! expected and can be let through by whoever receives it; the second goes to the worker that
//! traces the thread, since nobody else can.
//!
//! Locks: the one here comes before those of `stop::Slot`; nothing else is called while it is held.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::notify::Told;
use crate::stop;
use crate::{Tid, wake};

/// Who decides what becomes of a traced thread, and how that one is told of a call.
#[derive(Clone)]
pub(crate) enum Owner {
    /// This thread of ours, which traces it for the moment.
    Thread(i32),
    /// Whoever has been lent it.
    Slot(Arc<stop::Slot>),
}

impl Owner {
    /// The calling thread.
    pub(crate) fn me() -> Owner {
        Owner::Thread(crate::sys::own_tid())
    }

    fn is(&self, other: &Owner) -> bool {
        match (self, other) {
            (Owner::Thread(a), Owner::Thread(b)) => a == b,
            (Owner::Slot(a), Owner::Slot(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// The threads being traced.
#[derive(Default)]
pub(crate) struct HeldMap {
    /// How many there are: receivers of calls look here first and usually find none.
    count: AtomicUsize,
    map: Mutex<HashMap<Tid, Slot>>,
}

struct Slot {
    owner: Owner,
    /// The call that is let through when it is told.
    expected: Option<(i64, [u64; 6])>,
    /// A call that was not expected.
    mail: Option<u64>,
}

/// What a receiver does with a call.
pub(crate) enum Route {
    /// Serve it.
    Serve,
    /// Let it through.
    LetThrough,
    /// Nothing: its tracer has been told.
    Passed,
}

impl HeldMap {
    /// Registers `owner` of `tid`. A call passed to a former
    /// owner and not taken is given back: the caller must make it be told anew.
    #[must_use]
    pub(crate) fn enter(&self, tid: Tid, owner: Owner) -> Option<u64> {
        let slot = Slot { owner, expected: None, mail: None };
        match self.map.lock().insert(tid, slot) {
            Some(old) => old.mail,
            None => {
                self.count.fetch_add(1, Ordering::Release);
                None
            }
        }
    }

    /// Passes a call that is being served to the thread of ours that traces its caller, if that one is
    /// told of the caller's calls. It makes the call come again.
    pub(crate) fn pass(&self, tid: Tid, tracer: Tid, id: u64) -> bool {
        {
            let mut map = self.map.lock();
            let slot = map.get_mut(&tid).filter(|slot| slot.owner.is(&Owner::Thread(tracer.0)));
            let Some(slot) = slot else { return false };
            slot.mail = Some(id);
        }
        wake::interrupt(tracer.0);
        true
    }

    /// Ends what `enter` began; gives back a call as `enter` does.
    #[must_use]
    pub(crate) fn leave(&self, tid: Tid, owner: &Owner) -> Option<u64> {
        let mut map = self.map.lock();
        // An exec may have given the number to another worker's tracee.
        if map.get(&tid).is_none_or(|slot| !slot.owner.is(owner)) {
            return None;
        }
        self.count.fetch_sub(1, Ordering::Release);
        map.remove(&tid)?.mail
    }

    /// Lets this call through when it is told.
    pub(crate) fn expect(&self, tid: Tid, nr: i64, args: [u64; 6]) {
        if let Some(slot) = self.map.lock().get_mut(&tid) {
            slot.expected = Some((nr, args));
        }
    }

    /// Whether the expected call has not been let through; it no longer is from now on.
    pub(crate) fn still_expected(&self, tid: Tid) -> bool {
        self.map.lock().get_mut(&tid).is_some_and(|slot| slot.expected.take().is_some())
    }

    /// Takes the call that came unexpectedly, if one did.
    pub(crate) fn mail(&self, tid: Tid) -> Option<u64> {
        self.map.lock().get_mut(&tid)?.mail.take()
    }

    pub(crate) fn route(&self, told: &Told) -> Route {
        if self.count.load(Ordering::Acquire) == 0 {
            return Route::Serve;
        }
        let owner = {
            let mut map = self.map.lock();
            let Some(slot) = map.get_mut(&told.tid) else { return Route::Serve };
            if slot.expected.take_if(|call| *call == (told.nr, told.args)).is_some() {
                return Route::LetThrough;
            }
            match &slot.owner {
                Owner::Thread(tid) => {
                    slot.mail = Some(told.id);
                    *tid
                }
                Owner::Slot(lent) => {
                    lent.mail(told.id);
                    return Route::Passed;
                }
            }
        };
        wake::interrupt(owner);
        Route::Passed
    }
}
