//! The workers that serve stopped calls.
//!
//! One waits while others serve; a call that finds none waiting starts another, so a call that
//! blocks keeps no other from being served.
//!
//! Locks: `Crew::state` is a leaf.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::{filters, sigsys, steer};
use crate::call::Call;
use crate::engine::{Serve, at_once, install, serve};
use crate::record::Last;
use crate::{Tid, sys, threads, wake};

/// How long a worker waits for work before it ends, if it is not the only one.
const SPARE_LIFE: Duration = Duration::from_secs(10);
/// No more threads than this are started; further calls wait for one to become free.
const MAX_THREADS: usize = 1024;

/// A call whose caller stands at it.
pub(super) struct Job {
    pub(super) call: Call,
    /// Where the tracer runs.
    pub(super) cpu: usize,
    /// It was seen that the signal has destroyed nothing.
    pub(super) intact: bool,
}

pub(super) struct Crew {
    server: Arc<dyn Serve>,
    state: Mutex<State>,
    /// Told of a job, and of the end.
    called: Condvar,
    /// What was read last of whom a signal has come to.
    stats: Last,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: usize,
    threads: usize,
    ended: bool,
    handles: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Starts the first worker.
    pub(super) fn start(server: Arc<dyn Serve>) -> io::Result<Arc<Crew>> {
        let crew = Crew::of_nobody(server);
        crew.add_thread(&mut crew.state.lock())?;
        Ok(crew)
    }

    /// Without a worker, until there is a call.
    pub(super) fn of_nobody(server: Arc<dyn Serve>) -> Arc<Crew> {
        Arc::new(Crew {
            server,
            state: Mutex::default(),
            called: Condvar::new(),
            stats: Last::default(),
        })
    }

    pub(super) fn threads(&self) -> usize {
        self.state.lock().threads
    }

    /// Serves a call on the tracer, or gives it back where that has to wait for somebody.
    pub(super) fn serve_at_once(&self, call: Call, cpu: usize) -> Option<Job> {
        let job = |call, intact| Some(Job { call, cpu, intact });
        if call.nr() == libc::SYS_rt_sigaction
            || filters::installs(&call).is_some()
            || !sigsys::is_intact(&call, &self.stats)
        {
            return job(call, false);
        }
        if let Some(errno) = call.slot().and_then(|slot| filters::refusal(&call, &slot)) {
            let _ = call.errno(errno);
            return None;
        }
        if steer::CALLS.contains(&call.nr())
            && let Some(keeper) = call.keeper()
        {
            keeper.settle_steered(call.tid(), Tid(call.arg(0) as i32));
            if !self.server.serves_numbers() {
                let _ = call.resume();
                return None;
            }
        }
        at_once(&*self.server, call).and_then(|call| job(call, true))
    }

    /// Has a call served.
    pub(super) fn hand(self: &Arc<Self>, job: Job) {
        let mut state = self.state.lock();
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            self.called.notify_one();
            return;
        }
        if state.threads >= MAX_THREADS {
            return;
        }
        // Without another thread the call waits for one that is busy: the last one never ends.
        let _ = self.add_thread(&mut state);
    }

    fn add_thread(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        state.handles.retain(|handle| !handle.is_finished());
        let crew = Arc::clone(self);
        let handle = threads::start("anyns-stopped", move || {
            // A worker runs none of the embedder's signal handlers.
            let _ = sys::block_all();
            wake::prepare();
            crew.work();
        })?;
        state.threads += 1;
        state.handles.push(handle);
        Ok(())
    }

    fn work(&self) {
        let mut cpu = None;
        while let Some(job) = self.next() {
            if cpu != Some(job.cpu) {
                cpu = Some(job.cpu);
                stay_on(job.cpu);
            }
            let call = match job.intact {
                true => job.call,
                false => match sigsys::restore(job.call, &self.stats) {
                    Some(call) => call,
                    None => continue,
                },
            };
            if let Some(errno) = call.slot().and_then(|slot| filters::refusal(&call, &slot)) {
                let _ = call.errno(errno);
            } else if call.nr() == libc::SYS_rt_sigaction {
                sigsys::serve_action(call);
            } else if let Some(at) = filters::installs(&call) {
                let server = &*self.server;
                install(server, call, |call| filters::serve_install(server, call, at));
            } else {
                serve(&*self.server, call);
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        state.idle += 1;
        let mut rested = false;
        let job = loop {
            if let Some(job) = state.jobs.pop_front() {
                break Some(job);
            }
            if state.ended || (rested && state.idle > 1) {
                break None;
            }
            rested = self.called.wait_for(&mut state, SPARE_LIFE).timed_out();
        };
        state.idle -= 1;
        if job.is_none() {
            state.threads -= 1;
        }
        job
    }

    /// Makes all threads end and waits for them. There are no jobs any more.
    pub(super) fn end(&self) {
        let handles = {
            let mut state = self.state.lock();
            state.ended = true;
            self.called.notify_all();
            std::mem::take(&mut state.handles)
        };
        handles.into_iter().for_each(|handle| drop(handle.join()));
    }
}

/// The tracer, its worker and the guest run in turn, so one processor is best for all three: to
/// wake another one costs more than all they do.
fn stay_on(cpu: usize) {
    if cpu < CpuSet::MAX_CPU {
        let mut here = CpuSet::new();
        here.set(cpu);
        let _ = sched_setaffinity(None, &here);
    }
}
