//! Where a guest wakes when it is let go.
//!
//! A stop wakes the tracer and letting go wakes the guest; the kernel likes to wake on an idle
//! processor, which costs several times what all else does. So the tracer stays on one processor, and a guest
//! at a call may only run there until it has been woken.
//!
//! It is given its processors back a moment after that, and might look, or fork, in between:
//! * sched_getaffinity(2) and sched_setaffinity(2) of guests are told, and wait for that moment; a guest
//!   that another one asks about is not narrowed any more;
//! * a child that was born in it gets its parent's processors;
//! * in `/proc/PID/status` it shows.
//!
//! The kernel remembers what it is asked for, and a group of processors that grows later would not
//! reach the guest. So one that may use all that there are is given all that there ever may be.

use parking_lot::Mutex;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use super::Slot;
use crate::Tid;
use crate::seats::only;

/// The calls that tell or set where a task may run.
pub(crate) const CALLS: [i64; 2] = [libc::SYS_sched_getaffinity, libc::SYS_sched_setaffinity];

/// The tracer's place.
pub(super) struct Steer {
    cpu: usize,
    only: CpuSet,
    /// Where the tracer may run.
    own: CpuSet,
    /// All that the host lets us use, and all that can be named.
    allowed: CpuSet,
    all: CpuSet,
}

impl Steer {
    /// The calling thread stays where it is from now on.
    pub(super) fn here() -> Steer {
        let cpu = sched_getcpu();
        let mut all = CpuSet::new();
        (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
        let own = sched_getaffinity(None).unwrap_or(all);
        let _ = sched_setaffinity(None, &all);
        let allowed = sched_getaffinity(None).unwrap_or(all);
        let only = only(cpu);
        if let Some(only) = &only {
            let _ = sched_setaffinity(None, only);
        }
        Steer { cpu, only: only.unwrap_or_default(), own, allowed, all }
    }

    /// It stays there no longer.
    pub(super) fn leave(self) {
        let _ = sched_setaffinity(None, &self.own);
    }

    pub(super) fn cpu(&self) -> usize {
        self.cpu
    }

    /// Has `go` wake `tid` here, if it may run here; says whether it was narrowed for that.
    pub(super) fn wake(
        &self,
        tid: Tid,
        slot: &Slot,
        moment: &Mutex<()>,
        go: impl FnOnce(),
    ) -> bool {
        let pid = Pid::from_raw(tid.0);
        let _moment = moment.lock();
        if slot.roams() {
            go();
            return false;
        }
        let before = sched_getaffinity(pid).ok();
        let before = before.filter(|before| {
            self.cpu < CpuSet::MAX_CPU && before.is_set(self.cpu) && before.count() > 1
        });
        let Some(before) = before else {
            go();
            return false;
        };
        let narrowed = sched_setaffinity(pid, &self.only).is_ok();
        go();
        if narrowed {
            // It may be dead by now, but its number is nobody else's before we know.
            let _ = sched_setaffinity(pid, self.given_back(&before));
        }
        narrowed
    }

    /// Gives a child that stands the processors of its parent, which stands, too.
    pub(super) fn like_parent(&self, parent: Tid, child: Tid) {
        let (parent, child) = (Pid::from_raw(parent.0), Pid::from_raw(child.0));
        if let (Ok(wide), Ok(now)) = (sched_getaffinity(parent), sched_getaffinity(child))
            && wide != now
        {
            let _ = sched_setaffinity(child, self.given_back(&wide));
        }
    }

    /// What to ask for, so that a task may run where it could before.
    fn given_back<'a>(&'a self, before: &'a CpuSet) -> &'a CpuSet {
        if *before == self.allowed { &self.all } else { before }
    }
}
