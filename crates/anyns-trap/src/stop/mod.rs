//! The stop back end: calls that an outer filter denies, served at the stops of seized tasks.
//!
//! Our filter raises SIGSYS for such a call, which outranks the outer filter's errno. Every guest is
//! seized from its birth to its death by one thread, the *tracer*, because ptrace belongs to the
//! thread that seized. Before the signal is delivered the guest stands, its registers as they were
//! before the call. The tracer suppresses the signal and has the call served at once, if nothing has to
//! be waited for; else it hands it to a worker, and carries out what the worker decides.
//!
//! * [`tracer`]: the thread that waits for stops and lets guests go on.
//! * [`births`]: its part about new tasks.
//! * [`anew`]: told calls that a signal came before.
//! * [`task`]: what it knows of one of them, and its requests to the kernel.
//! * [`slot`], [`desk`]: what it shares with workers: the news of one thread, and their requests.
//! * [`crew`]: the workers.
//! * [`sigsys`]: what the forced signal has destroyed, restored.
//! * [`filters`]: what guests' own filters say, which ours outranks.
//! * [`gift`]: giving a guest a descriptor without a listener.
//! * [`minder`]: guests whose calls are told, traced while a signal could interrupt them.
//! * [`resident`], [`steer`]: what makes it quick to answer where the guest stands.
//!
//! A call that the kernel is to serve after all is made anew with a mark in its last argument
//! register, at which our filter stops it once more, harmlessly, before it begins; the mark is
//! wiped at the call's end. A guest that makes the mark itself gets ENOSYS.
//!
//! Everything seized carries EXITKILL, so no guest survives the supervisor. A guest that calls
//! ptrace is told EPERM by the kernel, since everybody has a tracer already.
//!
//! Not here: how a call is answered (`trace`, `call`), which calls are stopped (`plan`).

mod anew;
mod births;
mod crew;
mod desk;
pub(crate) mod filters;
pub(crate) mod gift;
pub(crate) mod minder;
pub(crate) mod resident;
mod sigsys;
mod slot;
pub(crate) mod steer;
mod task;
mod tracer;

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
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

thread_local! {
    static TRACES: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is a tracer, which must wait for no guest.
pub fn is_tracer() -> bool {
    TRACES.get()
}

/// Before a wait that only the tracer can end.
fn may_wait() {
    assert!(!is_tracer(), "a call that is served at once waits for nobody");
}

/// What a worker asks of the tracer.
pub(crate) enum Ask {
    /// Let it go on as if it had never been lent, with these registers.
    Settle { tid: Tid, regs: Option<Regs> },
    /// The same for one that stands at a call, which ends with this result.
    Answer { tid: Tid, result: i64 },
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
    /// Seize a process whose calls are told.
    Mind { tid: Tid, reply: Arc<Reply> },
    /// Let go of a thread as soon as it stands, and tell when it is sure to stand.
    LetGo { tid: Tid, reply: Arc<Reply> },
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

/// Tables by the kernel's numbers, which nobody chooses: each is looked up several times a stop.
pub(crate) type ByNumber = BuildHasherDefault<Spread>;

/// Spreads numbers (Fibonacci hashing).
#[derive(Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_i32(byte.into()));
    }

    fn write_i32(&mut self, number: i32) {
        self.0 = (self.0.rotate_left(5) ^ number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        // The table takes the low bits for the place; the product's high ones are the good ones.
        self.0.rotate_left(32)
    }
}

/// The workers' side of the tracer.
pub(crate) struct Keeper {
    me: Weak<Keeper>,
    desk: Desk,
    /// All threads that are traced.
    slots: Mutex<HashMap<Tid, Arc<Slot>, ByNumber>>,
    /// The mark of a call that the kernel is to serve.
    pass: u32,
    /// Guests' calls are told: they are traced for the sake of their signals, up to an exec.
    minds: bool,
    /// Held while a guest may run on fewer processors than it knows.
    steering: Mutex<()>,
    /// Nobody is let go any more.
    frozen: AtomicBool,
    /// The tracer shall end.
    ended: AtomicBool,
}

/// All keepers of this process: an embedder may have several engines.
static KEEPERS: Mutex<Vec<Weak<Keeper>>> = Mutex::new(Vec::new());
/// How many there are; where there are none, that is all that is looked at.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// `tid` has made another call, so what it was making before it has been born or will not be.
pub(crate) fn over(tid: Tid) {
    if slot::any_awaited()
        && let Some(slot) = keeper_of(tid).and_then(|keeper| keeper.slot(tid))
    {
        drop(slot.take_birth());
    }
}

/// Who traces `tid` for good.
pub(crate) fn keeper_of(tid: Tid) -> Option<Arc<Keeper>> {
    if COUNT.load(Ordering::Acquire) == 0 {
        return None;
    }
    let keepers = KEEPERS.lock();
    keepers.iter().filter_map(Weak::upgrade).find(|keeper| keeper.slots.lock().contains_key(&tid))
}

impl Keeper {
    fn new(pass: u32, minds: bool) -> Arc<Keeper> {
        let keeper = Arc::new_cyclic(|me| Keeper {
            me: me.clone(),
            desk: Desk::default(),
            slots: Mutex::default(),
            pass,
            minds,
            steering: Mutex::new(()),
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
        self.done(|reply| Ask::Interrupt { tid, reply });
    }

    /// Asks for something and waits until it is done, which it is if the tracer has ended.
    fn done(&self, ask: impl FnOnce(Arc<Reply>) -> Ask) {
        may_wait();
        let reply = Arc::new(Reply::default());
        if self.desk.leave(ask(Arc::clone(&reply))) {
            reply.wait();
        }
    }

    /// Traces the threads of the process that `tid` is of, as far as possible, from now on.
    fn mind(&self, tid: Tid) {
        self.done(|reply| Ask::Mind { tid, reply });
    }

    /// Lets go of a thread that is minded, as soon as it stands: from now on that is before its next
    /// instruction. False if it is let go already.
    fn let_go(&self, tid: Tid) -> bool {
        self.done(|reply| Ask::LetGo { tid, reply });
        self.slot(tid).is_some()
    }

    /// The child that `parent` died of making, lent.
    pub(crate) fn orphan(&self, parent: Tid) -> Option<(Arc<Keeper>, Arc<Slot>, Tid)> {
        may_wait();
        let reply = Arc::new(Reply::default());
        if !self.desk.leave(Ask::Orphan { parent, reply: Arc::clone(&reply) }) {
            return None;
        }
        let (slot, tid) = reply.wait()?;
        Some((self.me.upgrade()?, slot, tid))
    }

    /// Before `caller` asks where `subject` (0: itself) may run, or sets it: waits until every guest
    /// may run where it knows. Where another one runs is left alone from now on.
    pub(crate) fn settle_steered(&self, caller: Tid, subject: Tid) {
        let _moment = self.steering.lock();
        if subject != Tid(0)
            && subject != caller
            && let Some(slot) = self.slot(subject)
        {
            slot.roam();
        }
    }

    /// From now on deaths are noticed and nobody is let go.
    pub(crate) fn freeze(&self) {
        self.frozen.store(true, Ordering::Release);
    }

    fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Acquire)
    }
}

/// The threads of the process that `tid` is of.
fn threads_of(tid: Tid) -> Vec<Tid> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{tid}/task")) else { return Vec::new() };
    let names = threads.filter_map(|thread| thread.ok()?.file_name().to_str()?.parse().ok());
    names.map(Tid).collect()
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
        let keeper = Keeper::new(plan.pass(), false);
        let crew = Crew::start(Arc::clone(&server))?;
        let tracer = tracer::start(&keeper, &crew, Some(first), server)?;
        Ok(Stops { keeper, crew, tracer })
    }

    /// Serves the stops of those who will be minded; `pass` marks calls that are made for us.
    fn minding(pass: u32, server: Arc<dyn Serve>) -> io::Result<Stops> {
        let keeper = Keeper::new(pass, true);
        let crew = Crew::of_nobody(Arc::clone(&server));
        let tracer = tracer::start(&keeper, &crew, None, server)?;
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
