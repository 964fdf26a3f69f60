//! System V objects and POSIX queues of the ipc namespaces we serve.
//!
//! The model decides everything about them and holds values and messages; what it cannot hold is
//! here ([`facts`]): the memory of a segment and who used an object last. A call that has to wait is
//! made to sleep and woken when the model says so ([`wait`]). The memory of segments and the queues
//! of POSIX messages are the host's, so that what goes through them does not go through us; both are
//! such that they end with us ([`anyns_trap::objects`]).
//!
//! Tasks in the initial ipc namespace are the kernel's.

mod bell;
mod facts;
mod queues;
mod request;
mod wait;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nsproxy::ipc::{By, Command, IpcNs, Sort};
use nsproxy::{Cred, PidNs, Task};
use parking_lot::Mutex;

use crate::cx::Cx;
use crate::guests::Guest;
use crate::numbers::is_init_of;
use crate::trouble::Trouble;

pub(crate) use facts::{QueuePart, SegmentPart, Segments, SetPart, facts};
pub(crate) use queues::Queues;
pub(crate) use request::{Object, Request, What};
pub(crate) use wait::Waiters;

/// What the supervisor keeps about ipc.
#[derive(Default)]
pub(crate) struct Ipc {
    /// The calls that wait.
    pub(crate) waiters: Waiters,
    /// The host's segments that are ours.
    pub(crate) segments: Arc<Segments>,
    /// The POSIX queues.
    pub(crate) queues: Mutex<Queues>,
    /// A guest in the initial namespace has asked the kernel to take back what it did to a semaphore.
    kernel_undoes: AtomicBool,
}

impl Ipc {
    /// Notes that a guest has left an undo with the kernel.
    pub(crate) fn note_kernel_undo(&self) {
        self.kernel_undoes.store(true, Ordering::Relaxed);
    }

    /// Tells whether the kernel may have to take something back when a guest leaves the initial
    /// namespace.
    pub(crate) fn kernel_undoes(&self) -> bool {
        self.kernel_undoes.load(Ordering::Relaxed)
    }
}

/// A caller that is in an ipc namespace of ours.
#[derive(Clone)]
pub(crate) struct Inside {
    /// The task.
    pub(crate) task: Arc<Task>,
    /// Its namespace.
    pub(crate) ns: Arc<IpcNs>,
    /// Its credentials.
    pub(crate) cred: Arc<Cred>,
    /// Its process, as objects remember it.
    pub(crate) who: Who,
}

/// A process that did something to an object, which remembers it whatever becomes of it.
#[derive(Clone, Default)]
pub(crate) struct Who {
    /// Its number on the host; 0 for nobody.
    number: i32,
    ns: Option<Arc<PidNs>>,
    /// It is that namespace's init.
    init: bool,
}

impl Who {
    fn of(guest: &Guest) -> Who {
        let ns = guest.task.pid_ns();
        let init = ns.as_ref().is_some_and(|ns| !ns.is_initial() && is_init_of(&guest.task, ns));
        Who { number: guest.tgid, ns, init }
    }

    /// The number by which `reader` knows it; 0 if it cannot see it, or if there was nobody.
    fn seen_by(&self, reader: Option<&Guest>) -> i32 {
        let theirs = reader.and_then(|reader| reader.task.pid_ns());
        let Some(theirs) = theirs.filter(|ns| !ns.is_initial()) else { return self.number };
        match &self.ns {
            Some(own) if own.is_within(&theirs) => {
                let same = Arc::ptr_eq(own, &theirs);
                if self.init && same { 1 } else { self.number }
            }
            _ => 0,
        }
    }
}

impl Cx<'_> {
    /// The caller, if its ipc namespace is one of ours. Whatever the dead had to leave behind, they
    /// have left by then.
    ///
    /// # Errors
    /// [`Trouble::Gone`] if it is dead.
    pub(crate) fn in_ipc(&self) -> Result<Option<Inside>, Trouble> {
        let Some(guest) = self.guest() else { return Ok(None) };
        let proxy = guest.task.nsproxy().ok_or(Trouble::Gone)?;
        if proxy.ipc.is_initial() {
            return Ok(None);
        }
        self.sup.guests.settle();
        let (task, ns) = (guest.task.clone(), proxy.ipc.clone());
        Ok(Some(Inside { task, ns, cred: self.cred()?, who: Who::of(guest) }))
    }

    /// The number by which the caller knows a process; 0 if it does not.
    pub(crate) fn knows(&self, who: &Who) -> i32 {
        who.seen_by(self.guest().map(|guest| &**guest))
    }

    /// The same of one that has this number on the host, and may be gone.
    pub(crate) fn knows_number(&self, pid: i32) -> i32 {
        match pid {
            0 => 0,
            pid => self.sup.view(self.guest().map(|guest| &**guest)).number_seen(pid).unwrap_or(0),
        }
    }
}

/// Which object a `*_STAT` command names.
pub(crate) fn by(command: Command, id: i32) -> By {
    match command {
        Command::IndexStat => By::Index(id),
        Command::IndexStatAny => By::IndexAny(id),
        _ => By::Id(id),
    }
}

/// What a `*_STAT` command returns: an id to who named an index.
pub(crate) fn stat_result(command: Command, id: i32) -> i64 {
    if command == Command::Stat { 0 } else { i64::from(id) }
}

/// The time as objects keep it: seconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

/// Brings what the model knows of one segment's attachments up to date; tells what the host knows.
pub(crate) fn count_segment(
    ns: &IpcNs,
    id: i32,
) -> Option<(Arc<SegmentPart>, anyns_trap::objects::Usage)> {
    facts::count(ns, id)
}

/// The same for all of a namespace.
pub(crate) fn count_all(ns: &IpcNs) {
    for id in ns.ids(Sort::Shm) {
        facts::count(ns, id);
    }
}

/// The same for those that may be gone, since nobody tells us of a detachment.
pub(crate) fn count_transient(ns: &IpcNs) {
    for id in ns.transient_segments() {
        facts::count(ns, id);
    }
}

/// How many pages of a namespace's segments are in memory, and how many are swapped out.
pub(crate) fn memory_in_use(ns: &IpcNs) -> (u64, u64) {
    let ids = ns.ids(Sort::Shm).into_iter();
    let all = ids.filter_map(|id| facts::<SegmentPart>(ns, Sort::Shm, id));
    let ids: Vec<i32> = all.map(|part| part.memory().id()).collect();
    let mine = host_memory().into_iter().filter(|(id, _)| ids.contains(id));
    let sum = mine.fold((0, 0), |sum, (_, bytes)| (sum.0 + bytes.0, sum.1 + bytes.1));
    (sum.0 / 4096, sum.1 / 4096)
}

/// The bytes of the host's segments that are in memory, and swapped out, by id.
pub(crate) fn host_memory() -> std::collections::HashMap<i32, (u64, u64)> {
    let text = crate::procfs::read_file("/proc/sysvipc/shm").unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some((number(1)? as i32, (number(14)?, number(15)?)))
    };
    text.lines().skip(1).filter_map(parse).collect()
}
