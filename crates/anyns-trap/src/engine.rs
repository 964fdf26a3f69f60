//! The engine, and the pool of threads that receive told calls, have them served and answer.
//!
//! A few threads wait for calls. Whoever receives one serves it to the end, so that the usual call
//! costs no hand-over. Before serving, a thread that was the last one waiting sends a spare thread
//! to wait in its place (or starts one), unless the call is brief ([`brief`](crate::brief)): a call
//! that blocks never keeps others from being received.
//! Few wait at a time because the kernel wakes *all* that wait for each call, and for a lone caller
//! only one ([`lone`](crate::lone)).
//!
//! Locks: `Pool::spares` is a leaf.

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::brief::Brief;
use crate::call::{Answered, Call};
use crate::chain::Tree;
use crate::held::Route;
use crate::lone::Lone;
use crate::notify::{Port, Received, Told};
use crate::seats::{Place, Seats};
use crate::stop::minder::Minder;
use crate::stop::{self, Stops, filters, keeper_of, steer};
use crate::threads::spawn;
use crate::{BackEnd, Plan, Sender, Tid, sys, trace, wake};

/// What the embedder does with calls.
pub trait Serve: Send + Sync + 'static {
    /// Serves one call. Called from many threads at once; may block (another thread then
    /// receives), and a panic answers ENOSYS.
    ///
    /// It must not start child processes on the calling thread: the thread's waits for tracees
    /// might take their exits.
    fn serve(&self, call: Call) -> Answered;

    /// The same for a caller that stands, on the thread for which all callers stand: no other stop
    /// is seen meanwhile. What takes more than a moment is given back, to be served by a worker, and
    /// nothing of it may have been done yet, or only what does no harm twice.
    ///
    /// No guest may be waited for. The methods of [`Call`] that do so panic here, and memory that
    /// cannot be had without is [`MemError::Later`](crate::MemError::Later).
    fn serve_at_once(&self, call: Call) -> Result<Answered, Call> {
        Err(call)
    }

    /// A worker's wait took the exit of `tid` with this wait status (as `waitpid` gives it). The
    /// kernel then tells nobody else, should `tid` be a child of this process: whoever waits for
    /// that child must hear of it here.
    fn reaped(&self, tid: Tid, status: i32) {
        let _ = (tid, status);
    }

    /// Whether call number `nr`, which is told, says EINTR to nobody, however it is served. It is made
    /// anew then if a signal came before it was received. Calls that may wait are not: EINTR may be the
    /// kernel's own answer, which programs rely on to get out of them.
    fn never_waits(&self, nr: i64) -> bool {
        let _ = nr;
        false
    }

    /// Whether call number `nr`, which is told, is usually answered in some microseconds, without waiting
    /// for anybody.
    fn is_brief(&self, nr: i64) -> bool {
        let _ = nr;
        false
    }

    /// Whether every call that makes a task is told, where calls are: so that until the first of them
    /// there is nobody but the first guest.
    fn hears_of_births(&self) -> bool {
        false
    }

    /// Whether it wants to hear of `sched_getaffinity`, `sched_setaffinity` and `ptrace`, which name
    /// threads and of which the engine has to be told for itself.
    fn serves_numbers(&self) -> bool {
        false
    }

    /// Whether [`Serve::sender`] and [`Serve::shields`] need be asked at all.
    fn renames_senders(&self) -> bool {
        false
    }

    /// Who sent a signal that `to`, which is traced for good, is about to get from process `from`; none
    /// for whom the kernel says. It must not wait for anything that a call being served holds.
    fn sender(&self, to: Tid, from: i32) -> Option<Sender> {
        let _ = (to, from);
        None
    }

    /// Whether `to`, which is traced for good, shall not get a signal that it has arranged nothing for.
    /// Not asked about what is forced on a thread by its own doing. The same holds as above.
    fn shields(&self, to: Tid, signal: i32) -> bool {
        let _ = (to, signal);
        false
    }

    /// The (positive) error number for a caller that may not install a seccomp filter though the host would
    /// let it, whose `no_new_privs` is ours.
    fn refuses_filter(&self, call: &Call) -> Option<i32> {
        let _ = call;
        None
    }

    /// All threads of a caller's process have its seccomp filters now, and if it had `no_new_privs`, that.
    fn filter_shared(&self, caller: Tid) {
        let _ = caller;
    }

    /// Serving a call panicked; the caller got ENOSYS (if it had no answer yet).
    fn panicked(&self, tid: Tid, nr: i64, message: &str) {
        eprintln!("anyns: serving call {nr} of {tid} panicked: {message}");
    }
}

/// No more threads than this are started; further calls wait for one to become free.
const MAX_THREADS: usize = 1024;
/// How long a spare thread waits for work before it ends.
const SPARE_LIFE: Duration = Duration::from_secs(10);

/// Receives and answers calls until the last guest is gone.
///
/// Dropping it leaves the threads at work; they end with the last guest.
pub struct Engine {
    /// Receives what is told.
    pool: Option<Arc<Pool>>,
    /// Serves what is stopped.
    stops: Option<Stops>,
}

struct Pool {
    port: Arc<Port>,
    server: Arc<dyn Serve>,
    /// How many threads shall wait for calls at a time, if there is no lone caller.
    wanted: isize,
    /// How many do.
    waiting: AtomicIsize,
    /// How many will soon again: they serve a call that is brief.
    soon: AtomicIsize,
    lone: Lone,
    seats: Seats,
    brief: Brief,
    /// All threads of the pool.
    threads: AtomicUsize,
    ended: AtomicBool,
    spares: Mutex<Spares>,
    /// Told when a spare is called, and at the end.
    called: Condvar,
    /// Told when a thread ends.
    left: Condvar,
}

#[derive(Default)]
struct Spares {
    idle: usize,
    calls: usize,
    /// The numbers of all threads, to wake them at the end.
    tids: Vec<i32>,
    handles: Vec<JoinHandle<()>>,
}

impl Engine {
    /// A sensible number of threads that wait for calls.
    pub fn default_workers() -> usize {
        2
    }

    /// Starts serving what the guests of `tree` call, in the ways that `plan` says (the filter must
    /// be of the same plan); `workers` threads wait for told calls (0: the default), more are
    /// started while all of them are busy.
    ///
    /// SIGCHLD no longer reports *stops* of children to this process from now on (SA_NOCLDSTOP):
    /// every traced fork would raise one.
    ///
    /// # Errors
    /// When the plan needs tracing and the first guest cannot be traced, or a thread cannot be
    /// started.
    pub fn start<S: Serve>(
        plan: &Plan,
        tree: Tree,
        server: Arc<S>,
        workers: usize,
    ) -> io::Result<Engine> {
        sys::no_sigchld_for_stops();
        // Everybody is traced before the first call is told.
        let stops = match plan.back_end() {
            BackEnd::Notify => None,
            BackEnd::Stop => Some(Stops::start(plan, tree.first, server.clone())?),
        };
        let minder =
            (plan.back_end() == BackEnd::Notify).then(|| Minder::new(plan.pass(), server.clone()));
        // What is stopped is not told.
        let births = plan.back_end() == BackEnd::Notify && server.hears_of_births();
        let lone = Lone::new(births);
        let pool =
            tree.listener.map(|listener| Pool::start(listener, minder, server, workers, lone));
        let pool = pool.transpose()?;
        Ok(Engine { pool, stops })
    }

    /// Waits until no task with the filter is left and every thread has ended.
    pub fn join(self) {
        if let Some(pool) = self.pool {
            pool.port.wait_hangup();
            pool.end();
            pool.end_minder();
        }
        if let Some(stops) = self.stops {
            stops.join();
        }
    }

    /// Ends serving though guests are left: their held and later calls fail with ENOSYS; who is traced
    /// is killed. Waits for calls that are being served.
    pub fn stop(self) {
        if let Some(pool) = self.pool {
            pool.end();
            pool.end_minder();
        }
        if let Some(stops) = self.stops {
            stops.stop();
        }
    }

    /// From now on lets no guest go that is or comes to be stopped; deaths are still noticed. For
    /// a supervisor that is about to end.
    pub fn freeze(&self) {
        if let Some(stops) = &self.stops {
            stops.keeper.freeze();
        }
        if let Some(minder) = self.pool.as_ref().and_then(|pool| pool.port.minder.as_ref()) {
            minder.freeze();
        }
    }

    /// How many threads the engine has at the moment.
    pub fn threads(&self) -> usize {
        let told = self.pool.as_ref().map_or(0, |pool| {
            let minder = pool.port.minder.as_ref().map_or(0, Minder::threads);
            pool.threads.load(Ordering::Relaxed) + minder
        });
        told + self.stops.as_ref().map_or(0, Stops::threads)
    }
}

impl Pool {
    fn start(
        listener: OwnedFd,
        minder: Option<Minder>,
        server: Arc<dyn Serve>,
        workers: usize,
        lone: Lone,
    ) -> io::Result<Arc<Pool>> {
        let reaper = Arc::clone(&server);
        let reaped = Box::new(move |tid, status| reaper.reaped(tid, status));
        let count = if workers == 0 { Engine::default_workers() } else { workers };
        let pool = Arc::new_cyclic(|pool: &Weak<Pool>| Pool {
            port: Arc::new(Port::new(listener, minder, reaped, stand_in_for(pool.clone()))),
            server,
            wanted: count as isize,
            waiting: AtomicIsize::new(0),
            soon: AtomicIsize::new(0),
            lone,
            seats: Seats::new(),
            brief: Brief::default(),
            threads: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            spares: Mutex::default(),
            called: Condvar::new(),
            left: Condvar::new(),
        });
        let count = pool.wanted();
        pool.waiting.store(count, Ordering::Relaxed);
        let started = (0..count).filter(|_| pool.add_thread()).count() as isize;
        if started == 0 {
            return Err(rustix::io::Errno::AGAIN.into());
        }
        // Those that are missing are started when they are needed, if they can be then.
        pool.waiting.fetch_sub(count - started, Ordering::Relaxed);
        Ok(pool)
    }

    fn end_minder(&self) {
        if let Some(minder) = &self.port.minder {
            minder.end();
        }
    }

    /// Starts a thread that waits for calls; false when there are too many.
    fn add_thread(self: &Arc<Self>) -> bool {
        let pool = Arc::clone(self);
        self.add("anyns-worker", move || pool.work())
    }

    /// Starts a thread of the pool; false when there are too many.
    fn add(self: &Arc<Self>, name: &str, work: impl FnOnce() + Send + 'static) -> bool {
        if self.threads.fetch_add(1, Ordering::Relaxed) >= MAX_THREADS {
            self.threads.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let pool = Arc::clone(self);
        let started = spawn(name, move || {
            // It runs none of the embedder's signal handlers.
            let _ = sys::block_all();
            wake::prepare();
            pool.spares.lock().tids.push(sys::own_tid());
            work();
            let mut spares = pool.spares.lock();
            let own = sys::own_tid();
            spares.tids.retain(|tid| *tid != own);
            pool.threads.fetch_sub(1, Ordering::Relaxed);
            pool.left.notify_all();
        });
        let Ok(handle) = started else {
            self.threads.fetch_sub(1, Ordering::Relaxed);
            return false;
        };
        let mut spares = self.spares.lock();
        spares.handles.retain(|handle| !handle.is_finished());
        spares.handles.push(handle);
        true
    }

    /// Sends another thread to wait for calls.
    fn relieve(self: &Arc<Self>) {
        {
            let mut spares = self.spares.lock();
            if spares.idle > spares.calls {
                spares.calls += 1;
                self.waiting.fetch_add(1, Ordering::Relaxed);
                self.called.notify_one();
                return;
            }
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if !self.add_thread() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether a call is so brief that nobody need wait for others meanwhile.
    fn is_brief(self: &Arc<Self>, nr: i64) -> bool {
        if self.lone.is_first() {
            return true;
        }
        // Whether a handler is to be minded is seen at once.
        (nr == libc::SYS_rt_sigaction || self.server.is_brief(nr))
            && self.brief.is_looked_at(|| {
                let pool = Arc::clone(self);
                self.add("anyns-relief", move || {
                    let nobody_waits = || pool.waiting.load(Ordering::Relaxed) <= 0;
                    let ended = || pool.ended.load(Ordering::Relaxed);
                    pool.brief.look(nobody_waits, || pool.relieve(), ended);
                })
            })
    }

    /// Called by a thread that is about to wait for what another call may bring.
    fn stand_in(self: &Arc<Self>) {
        if self.waiting.load(Ordering::Relaxed) <= 0 {
            self.relieve();
        }
    }

    /// Waits to be called; false when it is time to end.
    fn rest(&self) -> bool {
        let mut spares = self.spares.lock();
        spares.idle += 1;
        while spares.calls == 0 && !self.ended.load(Ordering::Relaxed) {
            if self.called.wait_for(&mut spares, SPARE_LIFE).timed_out() {
                break;
            }
        }
        spares.idle -= 1;
        let called = spares.calls > 0;
        spares.calls -= usize::from(called);
        called
    }

    /// The life of one thread. It is counted as waiting when it begins.
    fn work(self: &Arc<Self>) {
        let mut place = Place::default();
        trace::stay::count_calls();
        while !self.ended.load(Ordering::Relaxed) {
            self.seats.sit(&mut place, !self.lone.is_on());
            let received = self.port.receive();
            self.seats.rise(&mut place);
            match received {
                Received::Call(told) => {
                    self.lone.note(&told);
                    self.brief.note();
                    let is_brief = self.is_brief(told.nr);
                    let soon = self.soon.fetch_add(isize::from(is_brief), Ordering::Relaxed);
                    let is_last = self.waiting.fetch_sub(1, Ordering::Relaxed) == 1;
                    if is_last && soon + isize::from(is_brief) < self.wanted() {
                        self.relieve();
                    }
                    let is_crowded = self.seats.is_crowded(&place, told.tid);
                    if is_crowded {
                        self.port.keep_together(false);
                    }
                    self.deal_with(told);
                    if is_crowded {
                        self.port.keep_together(true);
                    }
                    trace::stay::call_is_over(self.lone.is_on());
                    self.soon.fetch_sub(isize::from(is_brief), Ordering::Relaxed);
                    if !self.wait_again() && !self.rest() {
                        return;
                    }
                }
                Received::Nothing => {}
                Received::End => break,
            }
            trace::tend_leftovers(&self.port);
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many threads shall wait for calls.
    fn wanted(&self) -> isize {
        if self.lone.is_on() { 1 } else { self.wanted }
    }

    /// Counts the calling thread as waiting again, unless enough are.
    fn wait_again(&self) -> bool {
        let wanted = self.wanted();
        let free = |n: isize| (n < wanted).then_some(n + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).is_ok()
    }

    fn deal_with(&self, told: Told) {
        stop::over(told.tid);
        match self.port.held.route(&told) {
            Route::Serve => {
                if let Some(minder) = &self.port.minder
                    && minder.attends(&self.port, &told)
                {
                    return;
                }
                if steer::CALLS.contains(&told.nr)
                    && let Some(keeper) = keeper_of(told.tid)
                {
                    keeper.settle_steered(told.tid, Tid(told.args[0] as i32));
                    if !self.server.serves_numbers() {
                        self.port.resume(told.id);
                        return;
                    }
                }
                let call = Call::told(Arc::clone(&self.port), told);
                match filters::installs(&call) {
                    Some(_) => install(&*self.server, call, |call| {
                        filters::serve_told(&*self.server, call)
                    }),
                    None => serve(&*self.server, call),
                }
            }
            Route::LetThrough => {
                self.port.resume(told.id);
            }
            Route::Passed => {}
        }
    }

    /// Makes all threads end and waits for them.
    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        let mut spares = self.spares.lock();
        while self.threads.load(Ordering::Relaxed) > 0 {
            self.called.notify_all();
            self.brief.wake();
            // Again and again: a thread may have been on its way into the wait.
            spares.tids.iter().for_each(|tid| wake::interrupt(*tid));
            self.left.wait_for(&mut spares, Duration::from_millis(5));
        }
        let handles = std::mem::take(&mut spares.handles);
        drop(spares);
        // They have nothing more to do, but still hold the server.
        handles.into_iter().for_each(|handle| drop(handle.join()));
    }
}

/// What a port asks its pool for. The pool has the port.
fn stand_in_for(pool: Weak<Pool>) -> Box<dyn Fn() + Send + Sync> {
    Box::new(move || {
        if let Some(pool) = pool.upgrade() {
            pool.stand_in();
        }
    })
}

/// Has a call served; a panic is told and answers ENOSYS.
pub(crate) fn serve(server: &dyn Serve, call: Call) {
    guarded(server, call, |call| drop(server.serve(call)));
}

/// Has a filter installed, if the caller may.
pub(crate) fn install(server: &dyn Serve, call: Call, allowed: impl FnOnce(Call)) {
    guarded(server, call, |call| match server.refuses_filter(&call) {
        Some(errno) => drop(call.errno(errno)),
        None => allowed(call),
    });
}

/// The same at once; a call that a worker is to serve is given back.
pub(crate) fn at_once(server: &dyn Serve, call: Call) -> Option<Call> {
    guarded(server, call, |call| server.serve_at_once(call).err()).flatten()
}

fn guarded<T>(server: &dyn Serve, call: Call, serve: impl FnOnce(Call) -> T) -> Option<T> {
    let (tid, nr) = (call.tid(), call.nr());
    match catch_unwind(AssertUnwindSafe(|| serve(call))) {
        Ok(served) => Some(served),
        Err(payload) => {
            let message = payload
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| payload.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            server.panicked(tid, nr, message);
            None
        }
    }
}
