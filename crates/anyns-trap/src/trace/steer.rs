//! Keeping a traced thread on its tracer's processor for the moments of the trace, and one that takes
//! a descriptor from us on ours.
//!
//! Each stop wakes the tracer and each release wakes the thread. The kernel likes to wake on an
//! idle processor, which costs several times what the trace itself does. So the thread may run
//! only on the tracer's present processor until just before it is let go. It cannot see that: it
//! is in its call all the time. The tracer itself stays free.
//!
//! Not here: who gives a descriptor ([`super::stay`]); guests that are traced for good, which run their own
//! code between two stops.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use crate::Tid;
use crate::seats::only;

/// A narrowed thread's processors, before and now.
#[derive(Clone)]
pub(crate) struct Steer {
    before: CpuSet,
    narrow: CpuSet,
}

impl Steer {
    /// Narrows `tid` to the calling thread's processor. None where it may not run there anyway,
    /// or is not ours to narrow.
    pub(crate) fn here(tid: Tid) -> Option<Steer> {
        let pid = Pid::from_raw(tid.0)?;
        let before = sched_getaffinity(Some(pid)).ok()?;
        let cpu = sched_getcpu();
        let narrow = only(cpu)?;
        if !before.is_set(cpu) || before.count() == 1 {
            return None;
        }
        sched_setaffinity(Some(pid), &narrow).ok()?;
        Some(Steer { before, narrow })
    }

    /// Gives `tid` its processors back, unless somebody has set others meanwhile.
    pub(crate) fn restore(&self, tid: Tid) {
        if let Some(pid) = Pid::from_raw(tid.0)
            && sched_getaffinity(Some(pid)).is_ok_and(|now| now == self.narrow)
        {
            let _ = sched_setaffinity(Some(pid), &self.before);
        }
    }
}
