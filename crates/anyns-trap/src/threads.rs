//! Threads of ours. None is started while the kernel is asked whether we could execute a file: it takes
//! that for an exec that is under way, and whoever would share its directories (CLONE_FS, as every
//! thread does) gets EAGAIN from clone(2).

use std::io;
use std::thread::{self, JoinHandle};

use parking_lot::RwLock;

use crate::seats;

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
