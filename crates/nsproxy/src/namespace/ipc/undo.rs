//! What a task keeps of System V objects: pending undos of semaphore operations, and the
//! namespaces in which it made segments.

use super::Objects;
use crate::{sync::Mutex, system::Kernel, task::TaskId};
use alloc::{
    sync::{Arc as StdArc, Weak},
    vec::Vec,
};

/// A task's part (`sysvsem`, `sysvshm`).
#[derive(Default)]
pub(crate) struct TaskIpc {
    undo: Option<StdArc<UndoList>>,
    made_segments_in: Vec<Weak<Objects>>,
}

impl TaskIpc {
    /// The list of undos, made if there is none yet; the tasks that share it hold the same one.
    pub(crate) fn undo_list(&mut self, kernel: &Kernel) -> StdArc<UndoList> {
        let new = || StdArc::new(UndoList { id: kernel.next_id(), sets: Mutex::default() });
        StdArc::clone(self.undo.get_or_insert_with(new))
    }

    /// Takes a share of its parent's list: CLONE_SYSVSEM. Other children begin with none.
    pub(crate) fn share_undo(&mut self, list: StdArc<UndoList>) {
        self.undo = Some(list);
    }

    /// Leaves the list of undos: whoever drops the last share of it carries them out. To be
    /// dropped under no lock.
    #[must_use = "the undos are carried out when this is dropped"]
    pub(crate) fn leave_undo(&mut self) -> Option<StdArc<UndoList>> {
        self.undo.take()
    }

    /// Forgets which segments the task made ([`disown`] says what becomes of them).
    pub(crate) fn leave_segments(&mut self) -> Vec<Weak<Objects>> {
        core::mem::take(&mut self.made_segments_in)
    }

    pub(super) fn made_segment_in(&mut self, objects: &StdArc<Objects>) {
        self.made_segments_in.retain(|place| place.strong_count() > 0);
        if !self.made_segments_in.iter().any(|place| place.as_ptr() == StdArc::as_ptr(objects)) {
            self.made_segments_in.push(StdArc::downgrade(objects));
        }
    }
}

/// The segments that `task` made in these namespaces have no living maker any more; where
/// `shm_rmid_forced` is set, those that nobody has attached go.
pub(crate) fn disown(task: TaskId, places: Vec<Weak<Objects>>) {
    for objects in places.iter().filter_map(Weak::upgrade) {
        objects.state.lock().disown(task);
    }
}

/// Undos that are carried out together, when the last task that shares them leaves
/// (`struct sem_undo_list`).
pub(crate) struct UndoList {
    /// Under which sets know it.
    pub(super) id: u64,
    /// The sets that hold adjustments for it.
    pub(super) sets: Mutex<Vec<(Weak<Objects>, i32)>>,
}

impl UndoList {
    /// Strikes off sets that are gone, before the list would grow for them.
    pub(super) fn tidy(sets: &mut Vec<(Weak<Objects>, i32)>) {
        if sets.len() < sets.capacity() {
            return;
        }
        sets.retain(|(objects, id)| {
            objects.upgrade().is_some_and(|objects| objects.state.lock().sem.find(*id).is_ok())
        });
    }
}

impl Drop for UndoList {
    fn drop(&mut self) {
        for (objects, id) in core::mem::take(&mut *self.sets.lock()) {
            let Some(objects) = objects.upgrade() else { continue };
            if let Some(set) = objects.state.lock().sem.find_mut(id) {
                let numbers = set.object.undo(self.id);
                if let (Some(part), false) = (&set.part, numbers.is_empty()) {
                    part.undone(&numbers);
                }
            }
        }
    }
}
