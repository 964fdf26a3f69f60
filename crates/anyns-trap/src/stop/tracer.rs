//! The thread that has seized all guests: it waits for their stops and lets them go on.
//!
//! What a stop means is decided in this order: a call made for us goes on or ends; a thread that is
//! lent stands until its worker decides; everything else is dealt with at once.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

use super::births::{self, CLAIM};
use super::crew::{Crew, Job};
use super::task::{At, Pass, Task, restore_args};
use super::{Ask, Found, Keeper, Slot, Stand, sigsys};
use crate::arch::Regs;
use crate::engine::Serve;
use crate::notify::Told;
use crate::trace::{BASE, NEW_TASK, Why};
use crate::{Tid, sys, wake};

/// What every guest is seized with.
const OPTIONS: i32 = BASE | NEW_TASK | libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_TRACESECCOMP;

const EXEC: Why = Why::Event(libc::PTRACE_EVENT_EXEC);
const SECCOMP: Why = Why::Event(libc::PTRACE_EVENT_SECCOMP);

/// Starts the tracer, which seizes `first` before this returns.
pub(super) fn start(
    keeper: &Arc<Keeper>,
    crew: &Arc<Crew>,
    first: Tid,
    server: Arc<dyn Serve>,
) -> io::Result<JoinHandle<()>> {
    let (keeper, crew) = (Arc::clone(keeper), Arc::clone(crew));
    let (ready, is_ready) = std::sync::mpsc::channel();
    let thread = thread::Builder::new().name("anyns-tracer".into()).spawn(move || {
        // It runs none of the embedder's signal handlers.
        let _ = sys::block_all();
        wake::prepare();
        keeper.desk.open(sys::own_tid());
        let seized = sys::seize(first.0, OPTIONS);
        if seized.is_err() {
            let _ = ready.send(seized);
            return;
        }
        let mut tracer = Tracer {
            keeper,
            crew,
            server,
            tasks: HashMap::new(),
            unclaimed: Vec::new(),
            stillborn: VecDeque::new(),
            handed: false,
            cpu: None,
            calls: 0,
        };
        // Before anybody is told: its first call may come at once.
        tracer.enter(first, Arc::new(Slot::default()));
        if ready.send(seized).is_ok() {
            tracer.run();
        }
    })?;
    is_ready.recv().map_err(|_| io::ErrorKind::Other)??;
    Ok(thread)
}

pub(super) struct Tracer {
    pub(super) keeper: Arc<Keeper>,
    crew: Arc<Crew>,
    server: Arc<dyn Serve>,
    pub(super) tasks: HashMap<Tid, Task>,
    /// Newborn threads whose parents' events have not been seen.
    pub(super) unclaimed: Vec<(Tid, Instant)>,
    /// Threads that died before their parents' events were seen.
    pub(super) stillborn: VecDeque<Tid>,
    /// A worker has just been given something to decide.
    handed: bool,
    /// The processor that the tracer stays on.
    cpu: Option<usize>,
    /// How many calls were stopped so far.
    calls: u64,
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
            if unclaimed {
                wake::alarm(Some(CLAIM));
            }
            let waited = sys::wait_tracee();
            self.keeper.desk.look_up();
            if unclaimed {
                wake::alarm(None);
            }
            match waited {
                Ok((tid, status)) => self.changed(Tid(tid), status),
                Err(e) if e.raw_os_error() == Some(libc::EINTR) => {}
                // Nobody is left.
                Err(_) => break,
            }
        }
        let left = self.keeper.desk.close();
        for (_, task) in self.tasks.drain() {
            task.slot.bury();
        }
        self.keeper.slots.lock().clear();
        for ask in left {
            if let Ask::Orphan { reply, .. } | Ask::Interrupt { reply, .. } = ask {
                reply.tell(None);
            }
        }
    }

    pub(super) fn enter(&mut self, tid: Tid, slot: Arc<Slot>) -> &mut Task {
        self.keeper.slots.lock().insert(tid, Arc::clone(&slot));
        self.tasks.entry(tid).insert_entry(Task::new(slot)).into_mut()
    }

    pub(super) fn changed(&mut self, tid: Tid, status: i32) {
        if !libc::WIFSTOPPED(status) {
            match self.tasks.remove(&tid) {
                Some(task) => task.slot.bury(),
                None => self.still_born(tid),
            }
            self.keeper.slots.lock().remove(&tid);
            self.server.reaped(tid, status);
            return;
        }
        let why = Why::of(status);
        if why == EXEC {
            self.renumber(tid);
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
        self.stay();
        let child = self.birth(tid, why);
        if !self.tell(tid, why, child) {
            self.settle(tid);
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
                task.go_to_call(tid);
                true
            }
            SECCOMP => {
                pass.entered = true;
                task.pass = Some(pass);
                task.go_to_call(tid);
                true
            }
            // Meant for what it did before.
            Why::Interrupted => {
                task.pass = Some(pass);
                task.go_to_call(tid);
                true
            }
            Why::CallStop if pass.alone => {
                restore_args(tid, pass.before.args());
                task.go(tid, 0);
                true
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
            leader.slot.bury();
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
            At::Call => task.go(tid, 0),
            At::Stands(Why::Signal(libc::SIGSYS)) => match sigsys::look(tid) {
                Some((told, regs)) => self.hand(tid, told, regs),
                None => task.deliver(tid),
            },
            At::Stands(Why::Signal(signal)) => task.go(tid, signal),
            At::Stands(Why::Group) => task.listen(tid),
            At::Stands(SECCOMP) => {
                // The mark, but not from us.
                match Regs::read(tid) {
                    Ok(regs) => task.refuse(tid, regs, libc::ENOSYS),
                    Err(_) => task.go(tid, 0),
                }
            }
            At::Stands(_) => task.go(tid, 0),
        }
    }

    /// Gives a call to a worker.
    fn hand(&mut self, tid: Tid, mut told: Told, regs: Regs) {
        let cpu = self.stay();
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
        let (keeper, slot) = (Arc::clone(&self.keeper), Arc::clone(&task.slot));
        self.crew.hand(Job { keeper, slot, tid, stand, told, cpu });
        self.handed = true;
    }

    /// From its first call on, the tracer stays where it is: a stop would otherwise wake it on
    /// whatever processor is idle, which is the slowest to wake.
    fn stay(&mut self) -> usize {
        *self.cpu.get_or_insert_with(|| {
            let here = sched_getcpu();
            if here < CpuSet::MAX_CPU {
                let mut only = CpuSet::new();
                only.set(here);
                let _ = sched_setaffinity(None, &only);
            }
            here
        })
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Look => {}
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
        task.go_to_call(tid);
    }
}
