//! Calls that have to wait: semop(2), msgsnd(2), msgrcv(2).
//!
//! The caller sleeps ([`anyns_trap::Dozer`]), traced by nobody and held by no thread of ours; a
//! signal wakes it as it would natively. Whenever an object has changed, those who wait for it are
//! looked at in the order in which they came. One whose operation has become possible is stopped;
//! if it still sleeps, the operation is done while it stands, and it is let go with the result. So
//! an operation is done exactly if its caller hears of it.
//!
//! Nobody waits for a lock here while a sleeper is being stopped: the sleeper may have woken and
//! made another call, which must be served before it can stop. One thread at a time looks; whoever
//! comes meanwhile leaves a note and goes on.
//!
//! A caller that another guest traces cannot be put to sleep. Its call is held instead, and looked
//! at for signals from time to time.
//!
//! Locks: `Waiters::state`, then the model's; `Bell::rung` is a leaf.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyns_trap::{Answered, Call, Dozer, Failed, Held, Memory, Seems, Woken};
use nsproxy::ipc::Attempt;
use parking_lot::Mutex;

use super::bell::Bell;
use super::request::{Object, Outcome, Request};
use crate::Supervisor;
use crate::cx::{Cx, Served, Verdict};
use crate::guests::Guest;
use crate::maps::HashSet;
use crate::procfs::read_file;
use crate::trouble::Trouble;

/// After how long a sleeper that could not be stopped is tried again.
const AGAIN: Duration = Duration::from_millis(2);
/// How often a held call is looked at for signals.
const LOOK: Duration = Duration::from_millis(20);
/// How often a sleeper may be found awake before it is stopped to see where it is.
const AWAKE: usize = 25;
/// How often one is looked at, in a row, that is on its way to its sleep, or back to it.
const GLANCES: usize = 10;

/// Those who wait.
#[derive(Default)]
pub(crate) struct Waiters {
    /// How many there are, and how many are about to be: whoever changes an object looks here first.
    listed: AtomicUsize,
    arriving: AtomicUsize,
    state: Mutex<State>,
    /// Rung for the thread that looks after them.
    pub(crate) bell: Arc<Bell>,
}

#[derive(Default)]
struct State {
    /// In the order in which they came.
    list: Vec<Arc<Waiter>>,
    /// The threads they are.
    tids: HashSet<i32>,
    /// Objects that have changed and have not been looked at since.
    changed: HashSet<Object>,
    /// All have.
    all: bool,
    /// Some thread looks.
    looking: bool,
    /// Somebody could not be stopped, and is tried again.
    again: bool,
}

struct Waiter {
    request: Request,
    guest: Arc<Guest>,
    sleeper: Sleeper,
    deadline: Option<Instant>,
    on: Mutex<Option<(u16, bool)>>,
    /// How often it was found awake, when it was wanted.
    awake: AtomicUsize,
}

enum Sleeper {
    Dozes(Dozer),
    /// Its call is held; none once it has been answered.
    Held(Mutex<Option<Call>>),
}

/// What became of one that was looked at.
enum Looked {
    /// It waits on.
    Waits,
    /// Its operation has been done.
    Done,
    /// It waits no more, and nothing has been done.
    Gone,
    /// It could not be stopped this time.
    Later,
}

impl Waiter {
    fn look(&self, now: Instant) -> Looked {
        let expired = self.deadline.is_some_and(|deadline| deadline <= now);
        match &self.sleeper {
            Sleeper::Dozes(dozer) => self.look_at_dozer(dozer, expired),
            Sleeper::Held(call) => self.look_at_call(&mut call.lock(), expired),
        }
    }

    fn look_at_dozer(&self, dozer: &Dozer, expired: bool) -> Looked {
        let looked = self.request.attempt(&Memory::of_stopped(dozer.tid()), Attempt::Look);
        if let Outcome::Waits(on) = looked {
            *self.on.lock() = on;
            if !expired {
                return Looked::Waits;
            }
        }
        match dozer.glance() {
            Seems::Asleep => self.awake.store(0, Ordering::Relaxed),
            Seems::Gone => return Looked::Gone,
            Seems::Awake if self.awake.fetch_add(1, Ordering::Relaxed) < AWAKE => {
                return Looked::Later;
            }
            Seems::Awake => {}
        }
        let roused = match dozer.rouse() {
            Woken::Stands(roused) => roused,
            Woken::Gone => return Looked::Gone,
            Woken::Untraceable => return Looked::Later,
        };
        match self.request.attempt(&roused.mem(), Attempt::Again) {
            Outcome::Over(result) => {
                roused.answer(number(result));
                Looked::Done
            }
            Outcome::Waits(_) if expired => {
                roused.answer(-i64::from(libc::EAGAIN));
                Looked::Gone
            }
            Outcome::Waits(on) => {
                *self.on.lock() = on;
                Looked::Waits
            }
        }
    }

    fn look_at_call(&self, held: &mut Option<Call>, expired: bool) -> Looked {
        let Some(call) = held.as_ref().filter(|call| call.is_alive()) else { return Looked::Gone };
        let over = match self.request.attempt(&call.mem(), Attempt::Again) {
            Outcome::Over(result) => Some((number(result), Looked::Done)),
            Outcome::Waits(_) if expired => Some((-i64::from(libc::EAGAIN), Looked::Gone)),
            Outcome::Waits(_) if has_signal(call.tid().0) => {
                Some((-i64::from(libc::EINTR), Looked::Gone))
            }
            Outcome::Waits(on) => {
                *self.on.lock() = on;
                None
            }
        };
        match (over, held.take()) {
            (Some((result, looked)), Some(call)) => {
                let _ = call.ret(result);
                looked
            }
            (_, call) => {
                *held = call;
                Looked::Waits
            }
        }
    }

    fn waits_on(&self, object: Object, number: u16, zero: bool) -> bool {
        // Only who sleeps can be served at once, which is what others may conclude from being told
        // that it waits: one that cannot yet has not come yet.
        let asleep = match &self.sleeper {
            Sleeper::Dozes(dozer) => sees_asleep(dozer),
            Sleeper::Held(call) => call.lock().as_ref().is_some_and(Call::is_alive),
        };
        asleep && self.request.object == object && *self.on.lock() == Some((number, zero))
    }
}

fn sees_asleep(dozer: &Dozer) -> bool {
    for _ in 0..GLANCES {
        match dozer.glance() {
            Seems::Asleep => return true,
            Seems::Awake => std::thread::yield_now(),
            Seems::Gone => return false,
        }
    }
    false
}

/// A result as a register holds it.
fn number(result: Result<i64, Trouble>) -> i64 {
    result.unwrap_or_else(|trouble| -i64::from(trouble.errno()))
}

/// Tells whether a signal waits for a thread that it does not block.
fn has_signal(tid: i32) -> bool {
    let Ok(text) = read_file(&format!("/proc/{tid}/status")) else { return false };
    let text = String::from_utf8_lossy(&text);
    let set = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    let [own, shared, blocked] =
        ["SigPnd:", "ShdPnd:", "SigBlk:"].map(|name| set(name).unwrap_or(0));
    (own | shared) & !blocked != 0
}

/// Somebody who is about to wait.
struct Arriving<'a>(&'a Waiters);

impl<'a> Arriving<'a> {
    fn at(waiters: &'a Waiters) -> Arriving<'a> {
        waiters.arriving.fetch_add(1, Ordering::SeqCst);
        Arriving(waiters)
    }
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        self.0.arriving.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A caller that may have to wait, while it cannot go away.
#[expect(clippy::large_enum_variant, reason = "made once, taken apart at once")]
enum Caller {
    Stands(Held),
    /// Somebody else traces it.
    Calls(Call),
}

impl Caller {
    fn mem(&self) -> Memory<'_> {
        match self {
            Caller::Stands(held) => held.mem(),
            Caller::Calls(call) => call.mem(),
        }
    }

    fn answer(self, result: i64) -> Answered {
        match self {
            Caller::Stands(held) => held.ret(result),
            Caller::Calls(call) => call.ret(result),
        }
    }

    fn wait(self) -> (Sleeper, Answered) {
        match self {
            Caller::Stands(held) => {
                let (dozer, answered) = held.doze();
                (Sleeper::Dozes(dozer), answered)
            }
            Caller::Calls(call) => {
                let (call, answered) = call.keep();
                (Sleeper::Held(Mutex::new(Some(call))), answered)
            }
        }
    }
}

impl Waiters {
    /// Serves a call that may have to wait.
    pub(crate) fn serve(cx: &mut Cx<'_>, request: Request, timeout: Option<Duration>) -> Served {
        let sup = cx.sup;
        let waiters = &sup.ipc.waiters;
        match request.attempt(&cx.mem(), Attempt::First) {
            Outcome::Over(result) => {
                // A message that cannot be stored has made room all the same.
                waiters.changed(request.object);
                return result.map(Verdict::Return);
            }
            Outcome::Waits(_) => {}
        }
        let Some(guest) = cx.guest().cloned() else { return Err(Trouble::Gone) };
        // Before it is tried again: whoever changes the object after that sees that somebody comes.
        let arriving = Arriving::at(waiters);
        let caller = match cx.take().stop() {
            Ok(held) => Caller::Stands(held),
            // By us, who come to wake it from an earlier sleep: a signal has done that.
            Err(Failed::Untraceable(call)) if is_traced_by_us(sup, call.tid().0) => {
                return Ok(Verdict::Answered(call.errno(libc::EINTR)));
            }
            Err(Failed::Untraceable(call)) => Caller::Calls(call),
            Err(failed) => return Ok(Verdict::Answered(failed.settle())),
        };
        let object = request.object;
        let mut state = waiters.state.lock();
        let on = match request.attempt(&caller.mem(), Attempt::Again) {
            Outcome::Waits(on) => Mutex::new(on),
            Outcome::Over(result) => {
                drop(state);
                drop(arriving);
                waiters.changed(object);
                return Ok(Verdict::Answered(caller.answer(number(result))));
            }
        };
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let (sleeper, answered) = caller.wait();
        let held = matches!(sleeper, Sleeper::Held(_));
        let awake = AtomicUsize::new(0);
        state.list.push(Arc::new(Waiter { request, guest, sleeper, deadline, on, awake }));
        waiters.recount(&mut state);
        drop(state);
        waiters.look_after(sup, held || deadline.is_some());
        Ok(Verdict::Answered(answered))
    }

    /// Whether anybody waits, or is about to.
    pub(crate) fn any(&self) -> bool {
        self.listed.load(Ordering::SeqCst) > 0 || self.arriving.load(Ordering::SeqCst) > 0
    }

    fn recount(&self, state: &mut State) {
        state.tids = state.list.iter().map(|waiter| waiter.guest.tid).collect();
        self.listed.store(state.list.len(), Ordering::SeqCst);
    }

    /// Thread `tid` has made a call: if it slept, it does so no more.
    pub(crate) fn returned(&self, tid: i32) {
        if self.any() {
            let mut state = self.state.lock();
            if state.tids.contains(&tid) {
                state.list.retain(|waiter| waiter.guest.tid != tid);
                self.recount(&mut state);
            }
        }
    }

    /// Forgets the dead.
    pub(crate) fn forget_dead(&self) {
        if self.any() {
            let mut state = self.state.lock();
            state.list.retain(|waiter| waiter.guest.lives());
            self.recount(&mut state);
        }
    }

    /// How many wait for a semaphore to grow, or to become 0.
    pub(crate) fn count(&self, object: Object, number: u16, zero: bool) -> i64 {
        if !self.any() {
            return 0;
        }
        let all = self.state.lock().list.clone();
        all.iter().filter(|waiter| waiter.waits_on(object, number, zero)).count() as i64
    }

    /// An object has changed: those whose operations have become possible are woken.
    pub(crate) fn changed(&self, object: Object) {
        if self.any() {
            let mut state = self.state.lock();
            state.changed.insert(object);
            self.run(state);
        }
    }

    /// Looks at those whose objects have changed, unless somebody does so already.
    fn run(&self, mut state: parking_lot::MutexGuard<'_, State>) {
        if state.looking {
            return;
        }
        state.looking = true;
        while state.all || !state.changed.is_empty() {
            let changed = std::mem::take(&mut state.changed);
            let all = std::mem::replace(&mut state.all, false);
            let concerned = |waiter: &&Arc<Waiter>| all || changed.contains(&waiter.request.object);
            let batch: Vec<Arc<Waiter>> = state.list.iter().filter(concerned).cloned().collect();
            let (mut gone, mut again) = (Vec::new(), false);
            let mut done = HashSet::default();
            parking_lot::MutexGuard::unlocked(&mut state, || {
                let now = Instant::now();
                for waiter in batch {
                    match waiter.look(now) {
                        Looked::Waits => {}
                        Looked::Later => again = true,
                        Looked::Gone => gone.push(waiter),
                        Looked::Done => {
                            done.insert(waiter.request.object);
                            gone.push(waiter);
                        }
                    }
                }
            });
            state.list.retain(|waiter| !gone.iter().any(|gone| Arc::ptr_eq(gone, waiter)));
            self.recount(&mut state);
            state.changed.extend(done);
            if again {
                state.again = true;
                self.bell.look();
            }
        }
        state.looking = false;
    }

    /// Starts the thread that looks after those who wait, with the first of them, and lets it know
    /// that there is something new.
    fn look_after(&self, sup: &Supervisor, timed: bool) {
        self.bell.start(|| {
            let Some(sup) = sup.me.upgrade() else { return false };
            let keep = move || sup.ipc.waiters.keep();
            anyns_trap::spawn("anyns-waiters", keep).is_ok()
        });
        if timed {
            self.bell.look();
        }
    }

    /// The life of that thread.
    fn keep(&self) {
        loop {
            let next = {
                let mut state = self.state.lock();
                let again = std::mem::replace(&mut state.again, false);
                let held = state.list.iter().any(|one| matches!(one.sleeper, Sleeper::Held(_)));
                let now = Instant::now();
                let polls = match (again, held) {
                    (true, _) => Some(now + AGAIN),
                    (false, true) => Some(now + LOOK),
                    _ => None,
                };
                state.list.iter().filter_map(|one| one.deadline).chain(polls).min()
            };
            self.bell.wait(next);
            let mut state = self.state.lock();
            state.all = true;
            self.run(state);
        }
    }
}

/// Whether a thread of ours traces `tid`.
fn is_traced_by_us(sup: &Supervisor, tid: i32) -> bool {
    let Ok(text) = read_file(&format!("/proc/{tid}/status")) else { return false };
    let text = String::from_utf8_lossy(&text);
    let tracer = text.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    let tracer = tracer.and_then(|line| line.trim().parse().ok()).unwrap_or(0);
    tracer != 0 && sup.is_ours(tracer)
}
