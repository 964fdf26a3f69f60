//! A signal that says to be from somebody else than the kernel thinks.
//!
//! The caller sends it itself; the thread that is to get it is traced meanwhile, so that it stands
//! before the delivery and what it is told can be changed. A thread that does not come to that (it
//! blocks the signal, say, or another one of its process takes it) is told what the kernel says.
//!
//! Guests that are traced for good stand before every delivery; see `stop`.

use std::time::{Duration, Instant};

use super::run;
use super::tracee::{self, Next, Running, Whom, Why};
use super::{Failed, Ran};
use crate::call::{Answered, Call};
use crate::{Tid, stop, sys};

/// How long the signal may take to arrive.
const PATIENCE: Duration = Duration::from_millis(30);

/// Who a signal is from, for whom it reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The process's number.
    pub pid: i32,
    /// The user's.
    pub uid: u32,
}

pub(crate) fn let_signal(
    call: Call,
    args: [u64; 6],
    to: Tid,
    from: i32,
    sender: Sender,
) -> Result<Answered, Failed> {
    let watched = match call.port() {
        Some(port) if stop::keeper_of(to).is_none() && to != call.tid() => {
            tracee::seize(port, to, 0, Whom::Somebody).ok()
        }
        _ => None,
    };
    let ran = match run::let_run(call, args) {
        Ok(ran) => ran,
        Err(failed) => {
            if let Some(running) = watched {
                run::let_go(running);
            }
            return Err(failed);
        }
    };
    if let Some(running) = watched {
        match ran.result() {
            0 => sign(running, from, sender),
            _ => run::let_go(running),
        }
    }
    Ok(Ran::release(ran))
}

fn sign(mut running: Running, from: i32, sender: Sender) {
    let deadline = Instant::now() + PATIENCE;
    let mut leaving = false;
    let mut told = false;
    loop {
        running = match running.wait() {
            Next::Stopped(stopped, why @ Why::Signal(_)) => {
                let tid = stopped.tid().0;
                let signed = sys::sign(tid, from, sender.pid, sender.uid).unwrap_or(true);
                if signed || leaving {
                    return stopped.detach(why);
                }
                match stopped.go_on(why) {
                    Some(running) => running,
                    None => return,
                }
            }
            // By us: a signal that came meanwhile is next.
            Next::Stopped(stopped, why @ Why::Interrupted) if !leaving => {
                match stopped.go_on(why) {
                    Some(running) => running,
                    None => return,
                }
            }
            Next::Stopped(stopped, why) => return stopped.detach(why),
            Next::Dead => return,
            Next::Tick(running) => {
                if Instant::now() > deadline && !leaving {
                    leaving = true;
                    running.interrupt();
                }
                running
            }
            // It makes a call, which nobody can serve before we have let it go.
            Next::Mail(running, id) => {
                leaving |= std::mem::replace(&mut told, true);
                running.interrupt();
                running.restart(id);
                running
            }
        }
    }
}
