//! Guests whose calls a signal may interrupt, where calls are told.
//!
//! A signal that comes when a call has been told and not been received voids it. Mostly the call is made
//! anew then; with a handler that was installed without SA_RESTART it says EINTR, though a `fork` or a
//! `getpid` never does. So whoever installs such a handler is seized, with all its threads, and what it
//! forks with it: their tracer has the call made anew (see [`super::anew`]). An exec takes all handlers
//! away, and the tracer lets go. Most programs never come to this, nor to any cost of it.
//!
//! Not minded are handlers for the signals that ask a program to end, after which an error is no
//! surprise, and for some that hardly anybody handles.
//!
//! A guest has one tracer. Who wants to trace one that is minded is waited with until it is let go.
//!
//! Locks: `Minder::stops` is held while the tracer is started; nothing else is taken then.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Keeper, Stops, keeper_of};
use crate::Tid;
use crate::engine::Serve;
use crate::filter::{Action, Row, Test};
use crate::memory::Memory;
use crate::notify::{Port, Told};

/// The signals whose handlers are looked at: those that come to a program while it goes on working.
/// posix_spawn(3) sets every signal there is, so each of these costs it a notification.
const SIGNALS: [i32; 6] =
    [libc::SIGCHLD, libc::SIGALRM, libc::SIGVTALRM, libc::SIGPROF, libc::SIGUSR1, libc::SIGUSR2];

/// Requests of ptrace(2) that begin to trace somebody.
const TRACE_ANEW: [u32; 3] = [libc::PTRACE_TRACEME, libc::PTRACE_ATTACH, libc::PTRACE_SEIZE];

/// How often, and after how long, those are tried again that workers are tracing.
pub(super) const PATIENCE: u32 = 20;
pub(super) const MOMENT: Duration = Duration::from_micros(100);

/// How long somebody who wants to trace a guest waits until it is let go.
const LEAVE: Duration = Duration::from_millis(100);

/// The numbers of the calls that are told for this.
pub(crate) const NUMBERS: [i64; 2] = [libc::SYS_rt_sigaction, libc::SYS_ptrace];

/// When they are told.
pub(crate) fn told() -> Vec<Row> {
    let handlers = SIGNALS.map(|signal| {
        let given = Test::AnyBits { arg: 1, mask: u32::MAX };
        let of_it = Test::Eq { arg: 0, value: signal as u32 };
        (libc::SYS_rt_sigaction, Test::All(vec![of_it, given]))
    });
    let anew = TRACE_ANEW.map(|value| (libc::SYS_ptrace, Test::Eq { arg: 0, value }));
    let row = |(nr, test)| Row { nr, test, action: Action::Notify };
    handlers.into_iter().chain(anew).map(row).collect()
}

/// Has guests minded, by a tracer that is started for the first one.
pub(crate) struct Minder {
    pass: u32,
    server: Arc<dyn Serve>,
    stops: Mutex<Option<Stops>>,
}

impl Minder {
    pub(crate) fn new(pass: u32, server: Arc<dyn Serve>) -> Minder {
        Minder { pass, server, stops: Mutex::default() }
    }

    /// Deals with a call that is told for this; false if it is to be served.
    pub(crate) fn attends(&self, port: &Port, told: &Told) -> bool {
        match told.nr {
            libc::SYS_rt_sigaction => {
                if installs_interrupting(port, told) {
                    self.mind(told.tid);
                }
            }
            libc::SYS_ptrace if told.args[0] as u32 == libc::PTRACE_TRACEME => {
                // It will stand on its way back to the call, and be let go there.
                if keeper_of(told.tid).is_some_and(|keeper| keeper.let_go(told.tid)) {
                    port.restart(told.id);
                    return true;
                }
            }
            libc::SYS_ptrace if !self.server.serves_numbers() => make_way(told.nr, &told.args),
            _ => return false,
        }
        port.resume(told.id);
        true
    }

    /// As far as possible: who is traced by a guest is that one's.
    fn mind(&self, tid: Tid) {
        if keeper_of(tid).is_none()
            && let Ok(keeper) = self.keeper()
        {
            keeper.mind(tid);
        }
    }

    fn keeper(&self) -> io::Result<Arc<Keeper>> {
        let mut stops = self.stops.lock();
        if let Some(stops) = &*stops {
            return Ok(Arc::clone(&stops.keeper));
        }
        let started = Stops::minding(self.pass, Arc::clone(&self.server))?;
        Ok(Arc::clone(&stops.insert(started).keeper))
    }

    /// How many threads it has.
    pub(crate) fn threads(&self) -> usize {
        self.stops.lock().as_ref().map_or(0, Stops::threads)
    }

    /// See [`Keeper::freeze`].
    pub(crate) fn freeze(&self) {
        if let Some(stops) = &*self.stops.lock() {
            stops.keeper.freeze();
        }
    }

    /// Ends the tracer. The kernel kills who is minded still.
    pub(crate) fn end(&self) {
        let stops = self.stops.lock().take();
        if let Some(stops) = stops {
            stops.stop();
        }
    }
}

/// Before a guest makes this call with the host's numbers: whom it begins to trace is let go.
pub(crate) fn make_way(nr: i64, args: &[u64; 6]) {
    if nr != libc::SYS_ptrace || !TRACE_ANEW.contains(&(args[0] as u32)) {
        return;
    }
    let subject = Tid(args[1] as i32);
    let since = Instant::now();
    while let Some(keeper) = keeper_of(subject).filter(|keeper| keeper.minds) {
        keeper.let_go(subject);
        if since.elapsed() > LEAVE {
            return;
        }
        std::thread::sleep(LEAVE / 100);
    }
}

/// Whether a rt_sigaction(2) installs a handler that may interrupt calls.
fn installs_interrupting(port: &Port, told: &Told) -> bool {
    // Handler, flags, restorer, mask.
    let memory = Memory::of_caller(told.tid, port, told.id);
    let Ok([handler, flags, ..]) = memory.read_value::<[u64; 4]>(told.args[1]) else {
        return false;
    };
    let arranged = ![libc::SIG_DFL as u64, libc::SIG_IGN as u64].contains(&handler);
    arranged && flags & libc::SA_RESTART as u64 == 0
}
