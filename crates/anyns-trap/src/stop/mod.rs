//! The stop back end: calls that an outer filter denies, served at the stops of seized tasks.
//!
//! Our filter raises SIGSYS for such a call, which outranks the outer filter's errno. Every guest is
//! seized from its birth to its death by one thread, the *tracer*, because ptrace belongs to the
//! thread that seized. Before the signal is delivered the guest stands, its registers as they were
//! before the call: the tracer suppresses the signal and hands the call to a worker, and carries out
//! what the worker decides.
//!
//! * [`tracer`]: the thread that waits for stops and lets guests go on.
//! * [`births`]: its part about new tasks.
//! * [`task`]: what it knows of one of them, and its requests to the kernel.
//! * [`slot`], [`desk`]: what it shares with workers: the news of one thread, and their requests.
//! * [`crew`]: the workers.
//! * [`sigsys`]: what the forced signal has destroyed, restored.
//! * [`filters`]: what guests' own filters say, which ours outranks.
//! * [`gift`]: giving a guest a descriptor without a listener.
//!
//! A call that the kernel is to serve after all is made anew with a mark in its last argument
//! register, at which our filter stops it once more, harmlessly, before it begins; the mark is
//! wiped at the call's end. A guest that makes the mark itself gets ENOSYS.
//!
//! Everything seized carries EXITKILL, so no guest survives the supervisor. A guest that calls
//! ptrace is told EPERM by the kernel, since everybody has a tracer already.
//!
//! Not here: how a call is answered (`trace`, `call`), which calls are stopped (`plan`).

mod births;
mod crew;
mod desk;
mod filters;
pub(crate) mod gift;
mod sigsys;
mod slot;
mod task;
mod tracer;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use crate::arch::Regs;
use crate::engine::Serve;
use crate::{Plan, Tid};
use crew::Crew;
use desk::Desk;

pub(crate) use filters::Filters;
pub(crate) use sigsys::Shared;
pub(crate) use slot::{Heard, Slot, Stand};

/// What a worker asks of the tracer.
pub(crate) enum Ask {
    /// Let it go on as if it had never been lent, with these registers.
    Settle { tid: Tid, regs: Option<Regs> },
    /// Have it make the call that these registers are set for; without a signal coming between, if
    /// `quiet`.
    Call { tid: Tid, regs: Regs, quiet: bool },
    /// Have the kernel serve the call before which it stands, and let it go on.
    Pass { tid: Tid, regs: Regs },
    /// SIGSYS was blocked before the call at which it stands.
    Block { tid: Tid },
    /// Make it stop at the next opportunity, and tell when that is sure.
    Interrupt { tid: Tid, reply: Arc<Reply> },
    /// Find the child of a dead thread.
    Orphan { parent: Tid, reply: Arc<Reply> },
    /// Look up.
    Look,
}

/// A thread and what is shared of it.
pub(crate) type Found = (Arc<Slot>, Tid);

/// Where the tracer answers a request; with an orphan if one was asked for.
#[derive(Default)]
pub(crate) struct Reply {
    found: Mutex<Option<Option<Found>>>,
    told: Condvar,
}

impl Reply {
    fn tell(&self, orphan: Option<Found>) {
        *self.found.lock() = Some(orphan);
        self.told.notify_all();
    }

    fn wait(&self) -> Option<Found> {
        let mut found = self.found.lock();
        loop {
            match found.take() {
                Some(orphan) => return orphan,
                None => self.told.wait(&mut found),
            }
        }
    }
}

/// The workers' side of the tracer.
pub(crate) struct Keeper {
    me: Weak<Keeper>,
    desk: Desk,
    /// All threads that are traced.
    slots: Mutex<HashMap<Tid, Arc<Slot>>>,
    /// The mark of a call that the kernel is to serve.
    pass: u32,
    /// Nobody is let go any more.
    frozen: AtomicBool,
    /// The tracer shall end.
    ended: AtomicBool,
}

/// All keepers of this process: an embedder may have several engines.
static KEEPERS: Mutex<Vec<Weak<Keeper>>> = Mutex::new(Vec::new());
/// How many there are; where there are none, that is all that is looked at.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Who traces `tid` for good.
pub(crate) fn keeper_of(tid: Tid) -> Option<Arc<Keeper>> {
    if COUNT.load(Ordering::Acquire) == 0 {
        return None;
    }
    let keepers = KEEPERS.lock();
    keepers.iter().filter_map(Weak::upgrade).find(|keeper| keeper.slots.lock().contains_key(&tid))
}

impl Keeper {
    fn new(pass: u32) -> Arc<Keeper> {
        let keeper = Arc::new_cyclic(|me| Keeper {
            me: me.clone(),
            desk: Desk::default(),
            slots: Mutex::default(),
            pass,
            frozen: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        KEEPERS.lock().push(Arc::downgrade(&keeper));
        COUNT.fetch_add(1, Ordering::Release);
        keeper
    }

    /// What the tracer and the workers share of `tid`.
    pub(crate) fn slot(&self, tid: Tid) -> Option<Arc<Slot>> {
        self.slots.lock().get(&tid).cloned()
    }

    /// Asks the tracer for something. One that has ended has nobody left to do it to.
    pub(crate) fn ask(&self, ask: Ask) {
        self.desk.leave(ask);
    }

    /// A call's arguments with the mark.
    pub(crate) fn passing(&self, mut args: [u64; 6]) -> [u64; 6] {
        args[5] = args[5] & !u64::from(u32::MAX) | u64::from(self.pass);
        args
    }

    /// Makes `tid` stop at the next opportunity: what is done to it after this comes too late to
    /// let it slip away.
    pub(crate) fn interrupt(&self, tid: Tid) {
        let reply = Arc::new(Reply::default());
        if self.desk.leave(Ask::Interrupt { tid, reply: Arc::clone(&reply) }) {
            reply.wait();
        }
    }

    /// The child that `parent` died of making, lent.
    pub(crate) fn orphan(&self, parent: Tid) -> Option<(Arc<Keeper>, Arc<Slot>, Tid)> {
        let reply = Arc::new(Reply::default());
        if !self.desk.leave(Ask::Orphan { parent, reply: Arc::clone(&reply) }) {
            return None;
        }
        let (slot, tid) = reply.wait()?;
        Some((self.me.upgrade()?, slot, tid))
    }

    /// From now on deaths are noticed and nobody is let go.
    pub(crate) fn freeze(&self) {
        self.frozen.store(true, Ordering::Release);
    }

    fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Acquire)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Release);
        let me: *const Keeper = self;
        KEEPERS.lock().retain(|keeper| !std::ptr::eq(keeper.as_ptr(), me));
    }
}

/// The tracer and its workers.
pub(crate) struct Stops {
    pub(crate) keeper: Arc<Keeper>,
    crew: Arc<Crew>,
    tracer: JoinHandle<()>,
}

impl Stops {
    /// Seizes `first`, and with it all that it will create, and serves their stops.
    pub(crate) fn start(plan: &Plan, first: Tid, server: Arc<dyn Serve>) -> io::Result<Stops> {
        let keeper = Keeper::new(plan.pass());
        let crew = Crew::start(Arc::clone(&server))?;
        let tracer = tracer::start(&keeper, &crew, first, server)?;
        Ok(Stops { keeper, crew, tracer })
    }

    /// How many threads there are.
    pub(crate) fn threads(&self) -> usize {
        self.crew.threads() + usize::from(!self.tracer.is_finished())
    }

    /// Waits until no guest is left and all threads have ended.
    pub(crate) fn join(self) {
        let _ = self.tracer.join();
        self.crew.end();
    }

    /// Ends now. The kernel kills the guests that are left.
    pub(crate) fn stop(self) {
        self.keeper.ended.store(true, Ordering::Release);
        self.keeper.desk.ring();
        self.join();
    }
}
