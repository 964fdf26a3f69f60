//! The thread that has seized all guests: it waits for their stops and lets them go on.
//!
//! What a stop means is decided in this order: a call made for us goes on or ends; a thread that is
//! lent stands until its worker decides; everything else is dealt with at once.
//!
//! Calls are served here, too, as far as that waits for nobody; while one is, no stop is seen. What a
//! handler asks of the tracer is left at the desk as by a worker, and found there next.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::births::{self, CLAIM};
use super::crew::Crew;
use super::steer::Steer;
use super::task::{At, Pass, Task, restore_args};
use super::{
    Ask, ByNumber, Found, Keeper, Slot, Stand, anew, minder, resident, sigsys, steer, threads_of,
};
use crate::arch::Regs;
use crate::call::Call;
use crate::engine::Serve;
use crate::notify::Told;
use crate::trace::{BASE, NEW_TASK, Why, at_call, our_tracer};
use crate::{Tid, sys, wake};

/// What every guest is seized with.
const OPTIONS: i32 = BASE | NEW_TASK | libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_TRACESECCOMP;

/// After so many stops without a call or a signal the tracer stays nowhere.
const MANY: u32 = 24;
/// After so many stops everybody is looked at, or after more if that were much of the work.
const ROUND: usize = 64;

const EXEC: Why = Why::Event(libc::PTRACE_EVENT_EXEC);
const SECCOMP: Why = Why::Event(libc::PTRACE_EVENT_SECCOMP);

/// Starts the tracer, which seizes `first` before this returns. Without a first one it waits until
/// it has somebody to mind.
pub(super) fn start(
    keeper: &Arc<Keeper>,
    crew: &Arc<Crew>,
    first: Option<Tid>,
    server: Arc<dyn Serve>,
) -> io::Result<JoinHandle<()>> {
    let (keeper, crew) = (Arc::clone(keeper), Arc::clone(crew));
    let (ready, is_ready) = std::sync::mpsc::channel();
    let thread = crate::spawn("anyns-tracer", move || {
        // It runs none of the embedder's signal handlers.
        let _ = sys::block_all();
        wake::prepare();
        super::TRACES.set(true);
        keeper.desk.open(sys::own_tid());
        let seized = first.map_or(Ok(()), |first| sys::seize(first.0, OPTIONS));
        if seized.is_err() {
            let _ = ready.send(seized);
            return;
        }
        let mut tracer = Tracer {
            keeper,
            crew,
            server,
            tasks: HashMap::default(),
            unclaimed: Vec::new(),
            stillborn: VecDeque::new(),
            mourned: None,
            handed: false,
            steer: None,
            others: 0,
            calls: 0,
            round: Vec::new(),
            since_round: 0,
        };
        // Before anybody is told: its first call may come at once.
        if let Some(first) = first {
            tracer.enter(first, Arc::new(Slot::default()));
        }
        if ready.send(seized).is_ok() {
            tracer.run();
        }
    })?;
    is_ready.recv().map_err(|_| io::ErrorKind::Other)??;
    Ok(thread)
}

/// The signals by which the kernel says that a program cannot go on.
const FAULTS: [i32; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];

/// Whether a signal is to be kept from a thread. What the thread has brought on itself never is.
fn is_shielded(server: &dyn Serve, tid: Tid, signal: i32) -> bool {
    server.renames_senders()
        && server.shields(tid, signal)
        && !(FAULTS.contains(&signal) && sys::signal_code(tid.0).is_ok_and(|code| code > 0))
}

/// Has the signal before whose delivery `tid` stands say who sent it as `tid` knows that one.
fn sign(server: &dyn Serve, tid: Tid) {
    if server.renames_senders()
        && let Ok(Some(from)) = sys::signal_sender(tid.0)
        && let Some(sender) = server.sender(tid, from)
    {
        let _ = sys::sign(tid.0, from, sender.pid, sender.uid);
    }
}

/// Prepares the delivery of the signal before which `tid` stands: that one, or 0 if it is kept from it.
fn delivered(server: &dyn Serve, tid: Tid, signal: i32) -> i32 {
    let shielded = is_shielded(server, tid, signal);
    anew::mend(server, tid);
    sign(server, tid);
    if shielded { 0 } else { signal }
}

/// Waits while newborn threads are to be claimed, which mostly happens at once.
fn wait_a_while() -> io::Result<(i32, i32)> {
    if let Some(pending) = sys::poll_tracee()? {
        return Ok(pending);
    }
    wake::alarm(Some(CLAIM));
    let waited = sys::wait_tracee();
    wake::alarm(None);
    waited
}

pub(super) struct Tracer {
    pub(super) keeper: Arc<Keeper>,
    crew: Arc<Crew>,
    server: Arc<dyn Serve>,
    pub(super) tasks: HashMap<Tid, Task, ByNumber>,
    /// Newborn threads whose parents' events have not been seen.
    pub(super) unclaimed: Vec<(Tid, Instant)>,
    /// Threads that died before their parents' events were seen.
    pub(super) stillborn: VecDeque<Tid>,
    /// When the last one died that was about to make a child, before its event was seen.
    pub(super) mourned: Option<Instant>,
    /// A worker has just been given something to decide.
    handed: bool,
    /// Where the tracer stays, if it does.
    pub(super) steer: Option<Steer>,
    /// How many stops there were since the last call or signal.
    others: u32,
    /// How many calls were stopped so far.
    calls: u64,
    /// Who is to be looked at, out of turn.
    round: Vec<Tid>,
    /// How many stops there were since the last round began.
    since_round: usize,
}

impl Tracer {
    fn run(&mut self) {
        loop {
            let linger = std::mem::take(&mut self.handed);
            for ask in self.keeper.desk.take(linger) {
                self.answer(ask);
            }
            if self.keeper.ended.load(Ordering::Acquire) {
                break;
            }
            let unclaimed = self.release_unclaimed();
            if self.handed || !self.keeper.desk.may_sleep() {
                continue;
            }
            let waited = match self.overdue() {
                Some(waited) => Ok(waited),
                None if unclaimed => wait_a_while(),
                None => sys::wait_tracee(),
            };
            self.keeper.desk.look_up();
            match waited {
                Ok((tid, status)) => self.changed(Tid(tid), status),
                Err(e) if e.raw_os_error() == Some(libc::EINTR) => {}
                // Nobody is left.
                Err(_) if self.keeper.minds => {
                    self.bury();
                    self.keeper.desk.rest();
                }
                Err(_) => break,
            }
        }
        let left = self.keeper.desk.close();
        self.bury();
        for ask in left {
            if let Ask::Orphan { reply, .. }
            | Ask::Interrupt { reply, .. }
            | Ask::Mind { reply, .. }
            | Ask::LetGo { reply, .. } = ask
            {
                reply.tell(None);
            }
        }
    }

    /// Nobody is traced any more.
    fn bury(&mut self) {
        for (_, task) in self.tasks.drain() {
            task.slot.bury();
        }
        self.keeper.slots.lock().clear();
    }

    /// What happened to one whose turn it is: the kernel gives the newest first, and those that are
    /// born later could keep all others waiting for ever. So each is looked at now and then.
    fn overdue(&mut self) -> Option<(i32, i32)> {
        self.since_round += 1;
        if self.since_round > ROUND.max(2 * self.tasks.len()) {
            self.since_round = 0;
            self.round.extend(self.tasks.keys().copied());
        }
        while let Some(tid) = self.round.pop() {
            if let Ok(Some(waited)) = sys::poll_one(tid.0) {
                return Some(waited);
            }
        }
        None
    }

    pub(super) fn enter(&mut self, tid: Tid, slot: Arc<Slot>) -> &mut Task {
        self.keeper.slots.lock().insert(tid, Arc::clone(&slot));
        self.tasks.entry(tid).insert_entry(Task::new(slot)).into_mut()
    }

    pub(super) fn changed(&mut self, tid: Tid, status: i32) {
        if !libc::WIFSTOPPED(status) {
            match self.tasks.remove(&tid) {
                Some(task) => self.end(&task),
                None => self.still_born(tid),
            }
            self.keeper.slots.lock().remove(&tid);
            resident::forget(tid);
            self.server.reaped(tid, status);
            return;
        }
        let why = Why::of(status);
        if why == EXEC {
            self.renumber(tid);
            resident::forget(tid);
        }
        let Some(task) = self.tasks.get_mut(&tid) else { return self.newborn(tid, why) };
        task.at = At::Stands(why);
        if why == EXEC {
            let mask = sys::signal_mask(tid.0).unwrap_or(0);
            let new = task.slot.handlers().of_new_program(mask);
            task.slot.set_handlers(new);
        }
        if let Some(regs) = task.marked.take() {
            return task.deliver_again(tid, regs);
        }
        if self.keeper.is_frozen() {
            return;
        }
        if task.pass.is_some() && self.passes(tid, why) {
            return;
        }
        if !births::is_event(why) {
            self.nothing_born(tid);
        }
        self.place(why);
        let child = self.birth(tid, why);
        // A worker that is told of a birth waits for the child's first stop, which must be seen.
        let awaited = child.as_ref().and_then(|(_, child)| self.tasks.get(child));
        let awaited = awaited.is_some_and(|child| child.at == At::Running);
        let handed = self.handed;
        if !self.tell(tid, why, child) {
            self.settle(tid);
        } else if awaited {
            self.handed = handed;
        }
    }

    /// Where to be for stops like this one: calls and signals are answered at once, and the guest wakes
    /// where the tracer stays. Beside births alone it is best where the kernel puts it. (A SIGCHLD
    /// comes with each of them.)
    fn place(&mut self, why: Why) {
        match why {
            _ if self.keeper.minds => {}
            Why::Signal(libc::SIGCHLD) => {}
            Why::Signal(_) => {
                self.others = 0;
                self.steer.get_or_insert_with(Steer::here);
            }
            _ => {
                self.others += 1;
                if self.others > MANY
                    && let Some(steer) = self.steer.take()
                {
                    steer.leave();
                }
            }
        }
    }

    /// Passes a stop on to the worker that has the thread, if one has.
    pub(super) fn tell(&mut self, tid: Tid, why: Why, child: Option<Found>) -> bool {
        let Some(task) = self.tasks.get_mut(&tid) else { return true };
        if !task.slot.is_lent() {
            return false;
        }
        task.mend(tid);
        let told =
            task.slot.tell(|| Stand { tid, why, regs: Regs::read(tid).ok(), mask: 0, child });
        self.handed |= told;
        told
    }

    /// A thread that makes a call for us has stopped; true when it goes on already.
    fn passes(&mut self, tid: Tid, why: Why) -> bool {
        let Some(task) = self.tasks.get_mut(&tid) else { return true };
        let Some(mut pass) = task.pass.take() else { return false };
        if why == Why::CallStop {
            births::kill_unseen(tid, task, &pass);
        }
        match why {
            // It begins; the filter stops calls that it has rows for once more.
            Why::CallStop if !pass.entered => {
                pass.entered = true;
                task.pass = Some(pass);
                self.go_to_call(tid);
                true
            }
            SECCOMP => {
                pass.entered = true;
                task.pass = Some(pass);
                self.go_to_call(tid);
                true
            }
            // Meant for what it did before.
            Why::Interrupted => {
                task.pass = Some(pass);
                self.go_to_call(tid);
                true
            }
            Why::CallStop if pass.alone => {
                restore_args(tid, pass.before.args());
                self.nothing_born(tid);
                // Somebody has borrowed it meanwhile, and waits for a stop.
                let free = self.tasks.get(&tid).is_none_or(|task| !task.slot.is_lent());
                if free {
                    self.wake(tid, |task| task.go(tid, 0));
                }
                free
            }
            Why::Event(event) if pass.alone => {
                if event != libc::PTRACE_EVENT_EXEC {
                    restore_args(tid, pass.before.args());
                    task.mend = Some(pass.before.args());
                }
                false
            }
            // Something else came first: the guest's own call is made anew.
            Why::Signal(_) | Why::Group if pass.alone => {
                let mut regs = pass.before;
                regs.repeat(regs.nr());
                let _ = regs.write(tid);
                false
            }
            // Its worker knows what to do.
            _ => false,
        }
    }

    /// An exec by another thread than the leader gives it the leader's number.
    fn renumber(&mut self, tid: Tid) {
        let Ok(former) = sys::event_message(tid.0) else { return };
        let former = Tid(former);
        if former == tid {
            return;
        }
        if let Some(leader) = self.tasks.remove(&tid) {
            self.end(&leader);
        }
        if let Some(task) = self.tasks.remove(&former) {
            let mut slots = self.keeper.slots.lock();
            slots.remove(&former);
            slots.insert(tid, Arc::clone(&task.slot));
            self.tasks.insert(tid, task);
        }
    }

    /// Deals with a stop that is nobody else's.
    pub(super) fn settle(&mut self, tid: Tid) {
        if self.keeper.is_frozen() {
            return;
        }
        let Some(task) = self.tasks.get_mut(&tid) else { return };
        task.mend(tid);
        match task.at {
            At::Running => {}
            At::Stands(why) if self.keeper.minds && (task.leaves || why == EXEC) => {
                self.let_go(tid, why);
            }
            At::Call => self.wake(tid, |task| task.go(tid, 0)),
            At::Stands(Why::Signal(libc::SIGSYS)) if !self.keeper.minds => {
                match sigsys::look(tid) {
                    Some((told, regs)) => self.hand(tid, told, regs),
                    None => task.deliver(tid),
                }
            }
            At::Stands(Why::Signal(signal)) => {
                let signal = delivered(&*self.server, tid, signal);
                self.wake(tid, |task| task.go(tid, signal));
            }
            At::Stands(Why::Group) => task.listen(tid),
            At::Stands(SECCOMP) => {
                // The mark, but not from us.
                match Regs::read(tid) {
                    Ok(regs) => task.refuse(tid, regs, libc::ENOSYS),
                    Err(_) => task.go(tid, 0),
                }
            }
            // New tasks are left to the kernel: their loops would crowd out all else here.
            At::Stands(_) => task.go(tid, 0),
        }
    }

    /// Lets go of one that is minded.
    fn let_go(&mut self, tid: Tid, why: Why) {
        let Some(task) = self.tasks.get_mut(&tid) else { return };
        if !task.slot.leave() {
            // Somebody has borrowed it meanwhile; it leaves when it is given back.
            self.tell(tid, why, None);
            return;
        }
        task.relax(tid);
        let signal = match why {
            Why::Signal(signal) => delivered(&*self.server, tid, signal),
            _ => 0,
        };
        let _ = sys::detach(tid.0, signal);
        self.tasks.remove(&tid);
        self.keeper.slots.lock().remove(&tid);
        resident::forget(tid);
    }

    /// Seizes the threads of the process that `tid` is of. What they create is seized with them, so
    /// that all are when no other is found.
    fn mind(&mut self, tid: Tid) {
        let (me, mut patience) = (Tid(sys::own_tid()), minder::PATIENCE);
        loop {
            let (mut any, mut busy) = (false, false);
            for tid in threads_of(tid) {
                if self.tasks.contains_key(&tid) {
                    continue;
                }
                match sys::seize(tid.0, OPTIONS) {
                    Ok(()) => {
                        any = true;
                        self.enter(tid, Arc::new(Slot::default()));
                    }
                    // A worker has it for a moment; or it is a newborn of ours.
                    Err(_) => busy |= our_tracer(tid).is_some_and(|tracer| tracer != me),
                }
            }
            if busy && patience > 0 {
                patience -= 1;
                thread::sleep(minder::MOMENT);
            } else if !any {
                return;
            }
        }
    }

    /// Has a call served, here or by a worker.
    fn hand(&mut self, tid: Tid, mut told: Told, regs: Regs) {
        let cpu = self.steer.get_or_insert_with(Steer::here).cpu();
        self.calls += 1;
        told.id = self.calls;
        let Some(task) = self.tasks.get_mut(&tid) else { return };
        if !task.slot.lend() {
            // Somebody came in between; the call is handed out when it is given back.
            self.tell(tid, Why::Signal(libc::SIGSYS), None);
            return;
        }
        task.at = At::Call;
        let mask = sys::signal_mask(tid.0).unwrap_or(0);
        let why = Why::Signal(libc::SIGSYS);
        let stand = Stand { tid, why, regs: Some(regs), mask, child: None };
        let standing = at_call(&self.keeper, Arc::clone(&task.slot), tid, stand);
        let call = Call::stopped(told, standing);
        if let Some(job) = self.crew.serve_at_once(call, cpu) {
            self.crew.hand(job);
            self.handed = true;
        }
    }

    /// Has `go` let a thread go, which wakes where the tracer is.
    fn wake(&mut self, tid: Tid, go: impl FnOnce(&mut Task)) {
        let Some(task) = self.tasks.get_mut(&tid) else { return };
        match &self.steer {
            Some(steer) => {
                let slot = Arc::clone(&task.slot);
                task.steered |= steer.wake(tid, &slot, &self.keeper.steering, || go(task));
            }
            None => go(task),
        }
    }

    /// Lets it run to the beginning or the end of a call of ours.
    fn go_to_call(&mut self, tid: Tid) {
        let Some(task) = self.tasks.get_mut(&tid) else { return };
        let asks = task.pass.as_ref().is_some_and(|pass| steer::CALLS.contains(&pass.before.nr()));
        match asks {
            // What it is to be told, or sets, is what it knows.
            true => task.go_to_call(tid),
            false => self.wake(tid, |task| task.go_to_call(tid)),
        }
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Look => {}
            Ask::Mind { tid, reply } => {
                self.mind(tid);
                reply.tell(None);
            }
            Ask::LetGo { tid, reply } => {
                if let Some(task) = self.tasks.get_mut(&tid) {
                    task.leaves = true;
                    let _ = sys::interrupt(tid.0);
                }
                reply.tell(None);
            }
            Ask::Block { tid } => {
                if let Some(task) = self.tasks.get_mut(&tid) {
                    task.block_sigsys(tid);
                }
            }
            Ask::Interrupt { tid, reply } => {
                let _ = sys::interrupt(tid.0);
                reply.tell(None);
            }
            Ask::Settle { tid, regs } => {
                let Some(task) = self.tasks.get_mut(&tid) else { return };
                if let Some(regs) = regs {
                    let _ = regs.write(tid);
                }
                task.slot.free();
                self.settle(tid);
            }
            Ask::Answer { tid, result } => {
                let Some(task) = self.tasks.get_mut(&tid) else { return };
                let _ = Regs::write_result(tid, result);
                task.slot.free();
                self.settle(tid);
            }
            Ask::Call { tid, mut regs, quiet } => {
                let Some(task) = self.tasks.get_mut(&tid) else { return };
                if quiet {
                    task.quieten(tid);
                } else {
                    task.relax(tid);
                }
                let before = regs;
                // Its number is where the kernel will look for it.
                if let Some(args) = births::traceable(tid, regs.result(), &regs) {
                    regs.set_args(args);
                }
                self.make(tid, regs, Pass { before, alone: false, entered: false });
            }
            Ask::Pass { tid, regs } => {
                let Some(task) = self.tasks.get_mut(&tid) else { return };
                task.slot.free();
                task.relax(tid);
                let mut marked = regs;
                let Some(args) = births::traceable(tid, regs.nr(), &regs) else {
                    return task.refuse(tid, regs, libc::ENOSYS);
                };
                marked.set_args(self.keeper.passing(args));
                marked.repeat(regs.nr());
                self.make(tid, marked, Pass { before: regs, alone: true, entered: false });
            }
            Ask::Orphan { parent, reply } => self.find_orphan(parent, &reply),
        }
    }

    fn make(&mut self, tid: Tid, regs: Regs, pass: Pass) {
        if self.keeper.is_frozen() {
            return;
        }
        let Some(task) = self.tasks.get_mut(&tid) else { return };
        let _ = regs.write(tid);
        task.pass = Some(pass);
        self.go_to_call(tid);
    }
}
