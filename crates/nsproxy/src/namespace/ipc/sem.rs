//! Semaphore sets: semget(2), semctl(2).

use super::{
    By, Caller, Part, State,
    ids::unknown,
    limits::SEMAPHORE_MAX,
    perm::{Perm, READ, SetPerm, WRITE},
};
use crate::{
    rule::{Refusal, Refuse, Rule},
    task::Task,
};
use alloc::{collections::BTreeMap, sync::Arc as StdArc, vec, vec::Vec};

/// A set of semaphores.
pub(super) struct Set {
    pub(super) values: Vec<i32>,
    /// By list of undos: what to add to which semaphore.
    pub(super) undos: BTreeMap<u64, BTreeMap<u16, i32>>,
}

impl Set {
    /// Carries out the undos of one list. Values stay in their range.
    ///
    /// Returns which semaphores it was about.
    pub(super) fn undo(&mut self, list: u64) -> Vec<u16> {
        let undos = self.undos.remove(&list).unwrap_or_default();
        for (number, adjustment) in &undos {
            if let Some(value) = self.values.get_mut(usize::from(*number)) {
                *value = (*value + adjustment).clamp(0, SEMAPHORE_MAX);
            }
        }
        undos.into_keys().collect()
    }

    fn value_mut(&mut self, number: i32) -> Result<&mut i32, Refusal> {
        let count = self.values.len();
        let place = usize::try_from(number).ok().and_then(|number| self.values.get_mut(number));
        place.ok_or_else(|| no_such(number, count))
    }
}

fn no_such(number: i32, count: usize) -> Refusal {
    Rule::SemNumberUnknown.refuse().with("number", number).with("semaphores", count)
}

/// What `IPC_STAT` and its relatives say about a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SemStat {
    /// Its id: the result of `SEM_STAT`.
    pub id: i32,
    /// Whose it is.
    pub perm: Perm,
    /// How many semaphores are in it.
    pub count: usize,
}

/// semget(2): the id of the set of `key`, made if there is none and `flags` say so.
pub fn semget(task: &StdArc<Task>, key: i32, count: i32, flags: i32) -> Result<i32, Refusal> {
    task.reported("semget", get(task, key, count, flags, || None))
}

/// The same for an embedder that keeps something of each set, made by `part`.
pub fn semget_with(
    task: &StdArc<Task>,
    key: i32,
    count: i32,
    flags: i32,
    part: impl FnOnce() -> StdArc<dyn Part>,
) -> Result<i32, Refusal> {
    task.reported("semget", get(task, key, count, flags, || Some(part())))
}

fn get(
    task: &Task,
    key: i32,
    count: i32,
    flags: i32,
    part: impl FnOnce() -> Option<StdArc<dyn Part>>,
) -> Result<i32, Refusal> {
    let caller = Caller::of(task)?;
    let mut state = caller.objects().state.lock();
    let per_set = state.limits.per_set();
    if count < 0 || count > per_set {
        return Err(Rule::SemCountInvalid.refuse().with("count", count).with("limit", per_set));
    }
    let fits = |set: &Set| match count as usize > set.values.len() {
        true => {
            Err(Rule::SemSetSmaller.refuse().with("count", count).with("has", set.values.len()))
        }
        false => Ok(()),
    };
    if let Some(id) = state.sem.get(key, flags, &caller.cred, caller.owner(), fits)? {
        return Ok(id);
    }
    if count == 0 {
        return Err(Rule::SemSetEmpty.refuse());
    }
    let limits = state.limits;
    if state.semaphores.checked_add(count).is_none_or(|all| all > limits.semaphores()) {
        return Err(Rule::SemTooManyInAll
            .refuse()
            .with("in use", state.semaphores)
            .with("count", count)
            .with("limit", limits.semaphores()));
    }
    state.sem.has_room(limits.sets())?;
    let set = Set { values: vec![0; count as usize], undos: BTreeMap::new() };
    let perm = Perm::new(key, flags, &caller.cred);
    let id = state.sem.add(limits.sets(), perm, set, part())?;
    state.semaphores += count;
    Ok(id)
}

/// `IPC_STAT`, `SEM_STAT`, `SEM_STAT_ANY`.
pub fn sem_stat(task: &StdArc<Task>, by: By) -> Result<SemStat, Refusal> {
    let stat = || {
        let caller = Caller::of(task)?;
        let state = caller.objects().state.lock();
        let set = state.sem.look_up(by)?;
        if !matches!(by, By::IndexAny(_)) {
            set.perm.permits(&caller.cred, caller.owner(), READ)?;
        }
        Ok(SemStat { id: set.id, perm: set.perm, count: set.object.values.len() })
    };
    task.reported("semctl", stat())
}

/// `GETVAL`, and the checks of `GETPID`, `GETNCNT` and `GETZCNT`, whose results the embedder knows.
pub fn sem_value(task: &StdArc<Task>, id: i32, number: i32) -> Result<i32, Refusal> {
    let value = || {
        let caller = Caller::of(task)?;
        let mut state = caller.objects().state.lock();
        state.sem.find(id)?.perm.permits(&caller.cred, caller.owner(), READ)?;
        let set = state.sem.find_mut(id).ok_or_else(|| unknown(id))?;
        set.object.value_mut(number).copied()
    };
    task.reported("semctl", value())
}

/// `GETALL`.
pub fn sem_get_all(task: &StdArc<Task>, id: i32) -> Result<Vec<i32>, Refusal> {
    let all = || {
        let caller = Caller::of(task)?;
        let state = caller.objects().state.lock();
        let set = state.sem.find(id)?;
        set.perm.permits(&caller.cred, caller.owner(), READ)?;
        Ok(set.object.values.clone())
    };
    task.reported("semctl", all())
}

fn in_range(value: i32) -> Result<(), Refusal> {
    if (0..=SEMAPHORE_MAX).contains(&value) {
        return Ok(());
    }
    Err(Rule::SemValueRange.refuse().with("value", value))
}

/// `SETVAL`. Pending undos of the semaphore are forgotten.
pub fn sem_set_value(task: &StdArc<Task>, id: i32, number: i32, value: i32) -> Result<(), Refusal> {
    let set_value = || {
        in_range(value)?;
        let caller = Caller::of(task)?;
        let mut state = caller.objects().state.lock();
        let perm = state.sem.find(id)?.perm;
        let set = state.sem.find_mut(id).ok_or_else(|| unknown(id))?;
        let place = set.object.value_mut(number)?;
        perm.permits(&caller.cred, caller.owner(), WRITE)?;
        *place = value;
        for undo in set.object.undos.values_mut() {
            undo.remove(&(number as u16));
        }
        Ok(())
    };
    task.reported("semctl", set_value())
}

/// Checks whether the caller may do `SETALL`, before the values are read from its memory; returns how
/// many there are to read.
pub fn may_sem_set_all(task: &StdArc<Task>, id: i32) -> Result<usize, Refusal> {
    let check = || {
        let caller = Caller::of(task)?;
        let state = caller.objects().state.lock();
        let set = state.sem.find(id)?;
        set.perm.permits(&caller.cred, caller.owner(), WRITE)?;
        Ok(set.object.values.len())
    };
    task.reported("semctl", check())
}

/// `SETALL`, with as many values as the set has semaphores
/// ([`may_sem_set_all`]). Pending undos are forgotten.
pub fn sem_set_all(task: &StdArc<Task>, id: i32, values: &[u16]) -> Result<(), Refusal> {
    let set_all = || {
        let caller = Caller::of(task)?;
        let mut state = caller.objects().state.lock();
        state.sem.find(id)?.perm.permits(&caller.cred, caller.owner(), WRITE)?;
        values.iter().try_for_each(|value| in_range(i32::from(*value)))?;
        let set = state.sem.find_mut(id).ok_or_else(|| unknown(id))?;
        for (place, value) in set.object.values.iter_mut().zip(values) {
            *place = i32::from(*value);
        }
        set.object.undos.clear();
        Ok(())
    };
    task.reported("semctl", set_all())
}

/// `IPC_SET`.
pub fn sem_set(task: &StdArc<Task>, id: i32, to: &SetPerm) -> Result<(), Refusal> {
    let set = || {
        let caller = Caller::of(task)?;
        let mut state = caller.objects().state.lock();
        state.sem.find(id)?.perm.is_theirs(&caller.cred, caller.owner())?;
        let set = state.sem.find_mut(id).ok_or_else(|| unknown(id))?;
        set.perm.set(to, &caller.cred)
    };
    task.reported("semctl", set())
}

/// `IPC_RMID`.
pub fn sem_remove(task: &StdArc<Task>, id: i32) -> Result<(), Refusal> {
    let remove = || {
        let caller = Caller::of(task)?;
        let mut state = caller.objects().state.lock();
        state.sem.find(id)?.perm.is_theirs(&caller.cred, caller.owner())?;
        state.remove_set(id);
        Ok(())
    };
    task.reported("semctl", remove())
}

impl State {
    fn remove_set(&mut self, id: i32) {
        if let Some(set) = self.sem.remove(id) {
            self.semaphores -= set.object.values.len() as i32;
        }
    }
}
