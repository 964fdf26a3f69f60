//! A thread that is in no call of ours, stopped for a moment so that it makes calls for us.
//!
//! Its own call, if it is in one, may be cut short: this is for somebody who is to end.

use std::fs;

use super::run;
use super::tracee::{self, Next, Stopped, Whom, Why};
use crate::Tid;
use crate::arch::{CALL, CALL_LEN, RED_ZONE};
use crate::call::Call;
use crate::memory::Memory;

/// A thread that stands. Dropping it lets it go on.
pub struct Frozen(Option<(Stopped, Why)>);

impl Frozen {
    /// Makes it perform call `nr` and gives the result; none if it has been killed, or has no
    /// instruction for that. The call must not block, fork or exec.
    pub fn inject(&mut self, nr: i64, args: [u64; 6]) -> Option<i64> {
        let place = place(&self.0.as_ref()?.0)?;
        let (stopped, why) = self.0.take()?;
        let (stopped, result) = run::perform(stopped, why, place, nr, args)?;
        self.0 = Some(stopped);
        Some(result)
    }

    /// Puts `bytes` where nothing of the thread's lives, and gives the address.
    pub fn scratch(&self, bytes: &[u8]) -> Option<u64> {
        let (stopped, _) = self.0.as_ref()?;
        let room = RED_ZONE + bytes.len() as u64;
        let address = stopped.regs()?.stack().checked_sub(room)? & !15;
        Memory::of_stopped(stopped.tid()).write_below(address, bytes).ok()?;
        Some(address)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Some((stopped, why)) = self.0.take() {
            stopped.detach(why);
        }
    }
}

/// The address behind a call instruction of a thread that may stand anywhere in its program: behind
/// that of the call it is in, or behind one of the kernel's own (vdso(7)).
fn place(stopped: &Stopped) -> Option<u64> {
    let (ip, tid) = (stopped.regs()?.ip(), stopped.tid());
    let mem = Memory::of_stopped(tid);
    let mut before = [0; CALL.len()];
    if mem.read(ip.checked_sub(CALL_LEN)?, &mut before).is_ok() && before == CALL {
        return Some(ip);
    }
    let maps = fs::read_to_string(format!("/proc/{tid}/maps")).ok()?;
    let line = maps.lines().find(|line| line.ends_with("[vdso]"))?;
    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
    let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).ok());
    let (start, end) = (start?, end?);
    let mut code = vec![0; usize::try_from(end.checked_sub(start)?).ok()?.min(MOST)];
    mem.read(start, &mut code).ok()?;
    let at = code.windows(CALL.len()).position(|bytes| bytes == CALL)?;
    Some(start + at as u64 + CALL_LEN)
}

/// No vdso is larger.
const MOST: usize = 1 << 16;

pub(crate) fn freeze(call: &Call, tid: Tid) -> Option<Frozen> {
    let mut running = tracee::seize_any(call.port(), tid, 0, Whom::Somebody).ok()?;
    running.interrupt();
    loop {
        running = match running.wait() {
            Next::Stopped(stopped, why) => return Some(Frozen(Some((stopped, why)))),
            Next::Dead => return None,
            Next::Tick(running) => running,
            Next::Mail(running, id) => {
                running.restart(id);
                running
            }
        }
    }
}
