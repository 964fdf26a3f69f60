//! Threads of ours. None is started while the kernel is asked whether we could execute a file: it takes
//! that for an exec that is under way, and whoever would share its directories (CLONE_FS, as every
//! thread does) gets EAGAIN from clone(2).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::RwLock;
use rustix::io::Errno;

use crate::{seats, sys, wake};

/// After how long somebody who is called off and does not come is interrupted again.
const AGAIN: Duration = Duration::from_millis(1);

/// Held shared by who asks about a file, alone by who starts a thread. It guards no data.
static EXECS: RwLock<()> = RwLock::new(());

/// Starts a thread that may run wherever this process may, also if the one that starts it, which
/// may be one that serves calls, may not.
///
/// # Errors
/// EAGAIN where there are too many threads.
pub fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    start(name, || {
        seats::leave();
        work()
    })
}

/// Starts a thread that sees to its processors itself.
///
/// # Errors
/// EAGAIN where there are too many threads.
pub(crate) fn start<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let _no_exec = EXECS.write();
    thread::Builder::new().name(name.into()).spawn(work)
}

/// Asks something that the kernel takes for an exec.
pub(crate) fn as_exec<T>(ask: impl FnOnce() -> T) -> T {
    let _no_thread = EXECS.read();
    ask()
}

/// A thread that waits in the kernel for what may never come, and can be called off.
#[derive(Debug)]
pub struct Waiting<T> {
    /// Its number, once it has begun.
    tid: Arc<AtomicI32>,
    over: Arc<AtomicBool>,
    result: Receiver<Result<T, Errno>>,
}

/// Starts a thread that makes a call which waits, and makes it again when a signal interrupts it.
///
/// # Errors
/// EAGAIN where there are too many threads.
pub fn wait<T: Send + 'static>(
    name: &str,
    mut call: impl FnMut() -> Result<T, Errno> + Send + 'static,
) -> io::Result<Waiting<T>> {
    let (tell, result) = mpsc::channel();
    let waiting = Waiting { tid: Arc::default(), over: Arc::default(), result };
    let (tid, over) = (Arc::clone(&waiting.tid), Arc::clone(&waiting.over));
    spawn(name, move || {
        wake::prepare();
        tid.store(sys::own_tid(), Ordering::Release);
        let result = loop {
            match call() {
                Err(Errno::INTR) if !over.load(Ordering::Acquire) => {}
                result => break result,
            }
        };
        let _ = tell.send(result);
    })?;
    Ok(waiting)
}

impl<T> Waiting<T> {
    /// What came of it, if it comes within some time.
    pub fn result(&self, within: Duration) -> Option<Result<T, Errno>> {
        match self.result.recv_timeout(within) {
            Ok(result) => Some(result),
            Err(RecvTimeoutError::Timeout) => None,
            // It has panicked.
            Err(RecvTimeoutError::Disconnected) => Some(Err(Errno::IO)),
        }
    }

    /// Interrupts the call for good. What it waited for may have come all the same.
    pub fn call_off(self) -> Option<Result<T, Errno>> {
        self.over.store(true, Ordering::Release);
        loop {
            match self.tid.load(Ordering::Acquire) {
                0 => {}
                // It may not be in the call yet: so more than once.
                tid => wake::interrupt(tid),
            }
            match self.result(AGAIN) {
                Some(Err(Errno::INTR)) => return None,
                Some(result) => return Some(result),
                None => {}
            }
        }
    }
}
