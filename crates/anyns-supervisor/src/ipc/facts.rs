//! What we keep of each System V object, beside what the model says of it. It goes when the object
//! does, be it with its namespace.

use std::any::Any;
use std::sync::Arc;

use anyns_trap::objects::{Segment, Usage};
use nsproxy::ipc::{IpcNs, Part, SemOp, Sort};
use parking_lot::Mutex;
use rustix::io::Errno;

use super::bell::Bell;
use super::{Who, now};
use crate::maps::HashSet;

/// What we keep of an object, if it is still there.
pub(crate) fn facts<T: Part>(ns: &IpcNs, sort: Sort, id: i32) -> Option<Arc<T>> {
    let part: Arc<dyn Any + Send + Sync> = ns.part(sort, id)?;
    part.downcast().ok()
}

/// Of a set of semaphores: who operated on each last, and when.
pub(crate) struct SetPart {
    state: Mutex<SetState>,
    bell: Arc<Bell>,
}

/// What a set's times and operators are.
#[derive(Clone, Default)]
pub(crate) struct SetState {
    /// By semaphore: the process that operated last.
    pub(crate) pids: Vec<Who>,
    /// The last semop(2).
    pub(crate) operated_at: i64,
    /// The last change by semctl(2), or its making.
    pub(crate) changed_at: i64,
}

impl SetPart {
    /// Of a new set.
    pub(crate) fn new(count: i32, bell: &Arc<Bell>) -> SetPart {
        let pids = vec![Who::default(); usize::try_from(count).unwrap_or(0)];
        let state = SetState { pids, operated_at: 0, changed_at: now() };
        SetPart { state: Mutex::new(state), bell: Arc::clone(bell) }
    }

    /// As it is now.
    pub(crate) fn state(&self) -> SetState {
        self.state.lock().clone()
    }

    /// A process has done these operations.
    pub(crate) fn operated(&self, who: &Who, operations: &[SemOp]) {
        let mut state = self.state.lock();
        state.operated_at = now();
        for operation in operations {
            if let Some(place) = state.pids.get_mut(usize::from(operation.number)) {
                *place = who.clone();
            }
        }
    }

    /// A process has set the value of one semaphore, or of all.
    pub(crate) fn set(&self, who: &Who, number: Option<usize>) {
        let mut state = self.state.lock();
        state.changed_at = now();
        let all = 0..state.pids.len();
        for place in number.map_or(all, |number| number..number + 1) {
            if let Some(place) = state.pids.get_mut(place) {
                *place = who.clone();
            }
        }
    }

    /// Its owner or mode has been changed.
    pub(crate) fn changed(&self) {
        self.state.lock().changed_at = now();
    }
}

impl Part for SetPart {
    fn undone(&self, _semaphores: &[u16]) {
        self.state.lock().operated_at = now();
        self.bell.ring();
    }
}

/// Of a queue of messages: who used it last, and when.
#[derive(Default)]
pub(crate) struct QueuePart(Mutex<QueueState>);

/// A queue's times and users.
#[derive(Clone, Default)]
pub(crate) struct QueueState {
    /// The last msgsnd(2), and whose.
    pub(crate) sent: (i64, Who),
    /// The last msgrcv(2), and whose.
    pub(crate) received: (i64, Who),
    /// The last change by msgctl(2), or its making.
    pub(crate) changed_at: i64,
}

impl QueuePart {
    /// Of a new queue.
    pub(crate) fn new() -> QueuePart {
        QueuePart(Mutex::new(QueueState { changed_at: now(), ..QueueState::default() }))
    }

    /// As it is now.
    pub(crate) fn state(&self) -> QueueState {
        self.0.lock().clone()
    }

    /// A process has sent a message.
    pub(crate) fn sent(&self, who: &Who) {
        self.0.lock().sent = (now(), who.clone());
    }

    /// A process has received one.
    pub(crate) fn received(&self, who: &Who) {
        self.0.lock().received = (now(), who.clone());
    }

    /// Its owner, mode or size has been changed.
    pub(crate) fn changed(&self) {
        self.0.lock().changed_at = now();
    }
}

impl Part for QueuePart {}

/// The ids on the host of the segments that are ours: no guest in the initial namespace is to reach
/// one by guessing.
#[derive(Default)]
pub(crate) struct Segments(Mutex<HashSet<i32>>);

impl Segments {
    /// Tells whether the host's segment of this id is one of ours.
    pub(crate) fn contains(&self, host_id: i32) -> bool {
        self.0.lock().contains(&host_id)
    }
}

/// Of a segment: its memory, which is the host's, and who made it.
pub(crate) struct SegmentPart {
    memory: Segment,
    all: Arc<Segments>,
    /// The process that made it.
    pub(crate) maker: Who,
    changed_at: Mutex<i64>,
    /// When it was seen detached last.
    detached_at: Mutex<i64>,
    /// Held while it belongs to a caller that is another user of the host.
    pub(crate) lent: Mutex<()>,
}

impl SegmentPart {
    /// Makes the memory of a new segment for `maker`.
    ///
    /// # Errors
    /// The host's: ENOSPC, ENOMEM, EPERM for huge pages.
    pub(crate) fn create(
        size: u64,
        flags: i32,
        maker: Who,
        all: &Arc<Segments>,
    ) -> Result<SegmentPart, Errno> {
        let memory = Segment::create(size, flags)?;
        all.0.lock().insert(memory.id());
        let changed_at = Mutex::new(now());
        let detached_at = Mutex::new(0);
        let all = Arc::clone(all);
        Ok(SegmentPart { memory, all, maker, changed_at, detached_at, lent: Mutex::new(()) })
    }

    /// Its memory.
    pub(crate) fn memory(&self) -> &Segment {
        &self.memory
    }

    /// When its owner or mode was changed last, or it was made.
    pub(crate) fn changed_at(&self) -> i64 {
        *self.changed_at.lock()
    }

    /// Its owner or mode has been changed.
    pub(crate) fn changed(&self) {
        *self.changed_at.lock() = now();
    }

    /// What the host knows of it, and whether it has been detached since it was asked last.
    fn look(&self) -> (Usage, bool) {
        let usage = self.memory.usage().unwrap_or_default();
        let before = std::mem::replace(&mut *self.detached_at.lock(), usage.detached_at);
        (usage, before != usage.detached_at)
    }
}

impl Part for SegmentPart {}

impl Drop for SegmentPart {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.memory.id());
    }
}

/// Brings what the model knows of a segment's attachments up to date, which may be its end.
pub(super) fn count(ns: &IpcNs, id: i32) -> Option<(Arc<SegmentPart>, Usage)> {
    let part = facts::<SegmentPart>(ns, Sort::Shm, id)?;
    let (usage, detached) = part.look();
    ns.set_attached(id, usage.attached, detached);
    Some((part, usage))
}
