//! What an embedder keeps of a System V object, and how it tries a waiting call again.

use super::{IpcNs, Sort};
use alloc::{sync::Arc as StdArc, vec::Vec};
use core::any::Any;

/// What an embedder keeps of one System V object (its memory, who used it last). It is dropped when
/// the object is removed or its namespace ends, under the namespace's lock: dropping it must not
/// come back here.
pub trait Part: Any + Send + Sync {
    /// Somebody's exit or switch has taken back operations on these semaphores of the set. Called
    /// under the namespace's lock.
    fn undone(&self, semaphores: &[u16]) {
        let _ = semaphores;
    }
}

/// Which attempt at an operation this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempt {
    /// The first: whether the caller may is judged.
    First,
    /// Of a caller that has waited.
    Again,
    /// Of a caller that waits, to see whether it has to go on waiting: nothing is changed.
    Look,
}

impl IpcNs {
    /// The ids of all objects of one sort, in the order of their indices.
    pub fn ids(&self, sort: Sort) -> Vec<i32> {
        let state = self.objects.state.lock();
        match sort {
            Sort::Msg => state.msg.iter().map(|entry| entry.id).collect(),
            Sort::Sem => state.sem.iter().map(|entry| entry.id).collect(),
            Sort::Shm => state.shm.iter().map(|entry| entry.id).collect(),
        }
    }

    /// What the embedder keeps of an object, whoever asks.
    pub fn part(&self, sort: Sort, id: i32) -> Option<StdArc<dyn Part>> {
        let state = self.objects.state.lock();
        match sort {
            Sort::Msg => state.msg.find(id).ok()?.part.clone(),
            Sort::Sem => state.sem.find(id).ok()?.part.clone(),
            Sort::Shm => state.shm.find(id).ok()?.part.clone(),
        }
    }
}
