//! semop(2), semtimedop(2): several operations at once, or none.

use super::{
    Attempt, Caller,
    ids::unknown,
    limits::SEMAPHORE_MAX,
    perm::{READ, WRITE},
    sem::Set,
    undo::UndoList,
};
use crate::{
    rule::{Refusal, Refuse, Rule},
    task::Task,
};
use alloc::{sync::Arc as StdArc, vec::Vec};

/// One operation (`struct sembuf`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SemOp {
    /// Which semaphore of the set.
    pub number: u16,
    /// What to add to it; 0 waits until it is 0.
    pub add: i16,
    /// `SEM_UNDO`: to be taken back when the caller leaves.
    pub undo: bool,
    /// `IPC_NOWAIT`
    pub nowait: bool,
}

/// What became of semop(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Semop {
    /// All of it was done.
    Done,
    /// Nothing was done; the caller has to wait for this semaphore to change. Make the call again
    /// then; if the set is gone by that time, the waiting caller gets EIDRM.
    Waits(u16),
}

/// Checks how many operations semop(2) is given, before they are read from the caller's memory;
/// returns how many to read.
pub fn check_semop(task: &StdArc<Task>, id: i32, count: u64) -> Result<usize, Refusal> {
    task.reported("semop", check(task, id, count))
}

fn check(task: &Task, id: i32, count: u64) -> Result<usize, Refusal> {
    if count == 0 {
        return Err(Rule::SemopEmpty.refuse());
    }
    let limit = Caller::of(task)?.ns.limits().operations();
    let len = match usize::try_from(count) {
        // A limit below 0 is compared as the large number its bits are.
        Ok(len) if count <= u64::from(limit as u32) => len,
        _ => return Err(Rule::SemopTooMany.refuse().with("count", count).with("limit", limit)),
    };
    if id < 0 { Err(unknown(id)) } else { Ok(len) }
}

/// semop(2), without sleeping.
pub fn semop(task: &StdArc<Task>, id: i32, operations: &[SemOp]) -> Result<Semop, Refusal> {
    task.reported("semop", perform(task, id, operations, Attempt::First))
}

/// The same for a caller that has been told to wait: whether it may was judged when it came.
/// A mere look changes nothing.
pub fn semop_again(
    task: &StdArc<Task>,
    id: i32,
    operations: &[SemOp],
    attempt: Attempt,
) -> Result<Semop, Refusal> {
    perform(task, id, operations, attempt)
}

fn perform(task: &Task, id: i32, operations: &[SemOp], attempt: Attempt) -> Result<Semop, Refusal> {
    if attempt == Attempt::First {
        check(task, id, operations.len() as u64)?;
    }
    let caller = Caller::of(task)?;
    let undoes = operations.iter().any(|operation| operation.undo);
    let list = undoes.then(|| task.with_ipc(|ipc| ipc.undo_list(&task.kernel)));
    let mut sets = list.as_ref().map(|list| list.sets.lock());
    if let Some(sets) = sets.as_deref_mut() {
        UndoList::tidy(sets);
    }
    let mut state = caller.objects().state.lock();
    let perm = state.sem.find(id)?.perm;
    let entry = state.sem.find_mut(id).ok_or_else(|| unknown(id))?;
    let set = &mut entry.object;
    let highest = operations.iter().map(|operation| operation.number).max().unwrap_or(0);
    if usize::from(highest) >= set.values.len() {
        return Err(Rule::SemopNumberUnknown
            .refuse()
            .with("number", u32::from(highest))
            .with("semaphores", set.values.len()));
    }
    let alters = operations.iter().any(|operation| operation.add != 0);
    if attempt == Attempt::First {
        perm.permits(&caller.cred, caller.owner(), if alters { WRITE } else { READ })?;
    }

    let list_id = list.as_ref().map_or(0, |list| list.id);
    let mut done = Vec::new();
    for operation in operations {
        match set.operate(list_id, operation) {
            Ok(true) => done.push(*operation),
            other => {
                done.iter().rev().for_each(|operation| set.take_back(list_id, operation));
                return other.map(|_| Semop::Waits(operation.number));
            }
        }
    }
    if attempt == Attempt::Look {
        done.iter().rev().for_each(|operation| set.take_back(list_id, operation));
        return Ok(Semop::Done);
    }
    if let Some(sets) = sets.as_deref_mut() {
        let here = |(objects, known): &(_, i32)| {
            *known == id && alloc::sync::Weak::as_ptr(objects) == StdArc::as_ptr(caller.objects())
        };
        if !sets.iter().any(here) {
            sets.push((StdArc::downgrade(caller.objects()), id));
        }
    }
    Ok(Semop::Done)
}

impl Set {
    /// Does one operation; `false` if it has to wait. What it did is taken back by `take_back`.
    fn operate(&mut self, list: u64, operation: &SemOp) -> Result<bool, Refusal> {
        let Some(value) = self.values.get_mut(usize::from(operation.number)) else {
            return Ok(false);
        };
        let result = *value + i32::from(operation.add);
        if (operation.add == 0 && *value != 0) || result < 0 {
            if operation.nowait {
                return Err(Rule::SemopWouldWait
                    .refuse()
                    .with("number", u32::from(operation.number))
                    .with("value", *value));
            }
            return Ok(false);
        }
        if result > SEMAPHORE_MAX {
            return Err(Rule::SemopRange.refuse().with("value", result));
        }
        if operation.undo {
            let undo = self.undos.entry(list).or_default().entry(operation.number).or_default();
            let adjusted = *undo - i32::from(operation.add);
            if !(-SEMAPHORE_MAX - 1..=SEMAPHORE_MAX).contains(&adjusted) {
                return Err(Rule::SemopUndoRange.refuse().with("undo", adjusted));
            }
            *undo = adjusted;
        }
        *value = result;
        Ok(true)
    }

    fn take_back(&mut self, list: u64, operation: &SemOp) {
        if let Some(value) = self.values.get_mut(usize::from(operation.number)) {
            *value -= i32::from(operation.add);
        }
        let undo = self.undos.get_mut(&list).and_then(|undos| undos.get_mut(&operation.number));
        if let (true, Some(undo)) = (operation.undo, undo) {
            *undo += i32::from(operation.add);
        }
    }
}
