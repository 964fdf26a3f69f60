//! Numbers: which one a new task gets at each level, and when they are free again
//! (`alloc_pid`, `free_pid`).
//!
//! Search is cyclic: the next free number after the last one given out, and from
//! [`RESERVED`] on again once the limit is reached; the low ones are for the daemons that were
//! started first. Every level has its own cursor and its own limit.

use super::{
    PidNs,
    family::{Family, Levels, Pid, PidKey, ProcessKey, Space, SpaceKey, Waste},
};
use crate::{
    Kind,
    capability::Cap,
    cred::Cred,
    rule::{Refusal, Refuse, Rule, Value},
    sync::Arc,
};
use alloc::{collections::BTreeMap, sync::Weak, vec};

/// The search never comes back below this one.
pub(super) const RESERVED: u32 = 300;
/// No `pid_max` is higher.
pub(super) const LIMIT: u32 = 4_194_304;

impl Space {
    pub(super) fn new(max: u32) -> Space {
        Space { numbers: BTreeMap::new(), cursor: 0, max, closed: false, init: None, alias: None }
    }

    /// How many are called by one of its numbers.
    pub(super) fn count(&self) -> usize {
        self.numbers.len() - usize::from(self.alias.is_some())
    }

    /// The next free number below `max`, and moves the cursor behind it.
    fn next(&mut self, max: u32) -> Option<u32> {
        let lowest = if self.cursor > RESERVED { RESERVED } else { 1 };
        let start = self.cursor.max(lowest);
        let number = self.free_from(start, max).or_else(|| self.free_from(lowest, max))?;
        self.cursor = number + 1;
        Some(number)
    }

    /// The lowest free number from `start` on and below `max`.
    fn free_from(&self, start: u32, max: u32) -> Option<u32> {
        if start >= max {
            return None;
        }
        let mut candidate = start;
        for taken in self.numbers.range(start..max).map(|(number, _)| *number) {
            if taken != candidate {
                break;
            }
            candidate += 1;
        }
        (candidate < max).then_some(candidate)
    }
}

/// Says whether `cred` may choose numbers in a namespace that `ns` owns.
pub(super) fn may_choose(cred: &Cred, ns: &PidNs) -> bool {
    cred.has(ns.owner_ref(), Cap::CHECKPOINT_RESTORE) || cred.has(ns.owner_ref(), Cap::SYS_ADMIN)
}

impl Family {
    /// One number at each level from `ns` outwards: the chosen ones, then free ones.
    ///
    /// `chosen` is `set_tid` of clone3(2), the innermost first. On failure the numbers taken so
    /// far are free again; the cursors that moved stay where they are.
    pub(super) fn take_numbers(
        &mut self,
        ns: &Arc<PidNs>,
        chosen: &[i32],
        cred: &Cred,
        process: ProcessKey,
    ) -> Result<PidKey, Refusal> {
        let depth = ns.level() as usize;
        if chosen.len() > depth + 1 {
            return Err(Rule::CloneSetTidTooDeep
                .refuse()
                .with("numbers", chosen.len())
                .with("levels", depth + 1));
        }
        let mut numbers: Levels = smallvec::smallvec![0; if self.given { 0 } else { depth + 1 }];
        let mut chosen = chosen.iter();
        let mut at = Some(ns);
        while let Some(level) = at {
            match self.take_number(level, chosen.next().copied(), cred) {
                Ok(_) if self.given => {}
                Ok(number) => numbers[level.level() as usize] = number,
                Err(refusal) => {
                    self.give_back(ns, &numbers, Some(level.level()));
                    return Err(refusal);
                }
            }
            at = level.parent_ref();
        }
        if self.spaces.get(ns.space()).is_none_or(|space| space.closed) {
            self.give_back(ns, &numbers, None);
            let inode =
                Value::Namespace(Kind::Pid, crate::namespace::Namespace::number(&**ns).inode());
            return Err(Rule::CloneNamespaceDead.refuse().with("namespace", inode));
        }
        let pid = Pid { ns: Arc::clone(ns), numbers, task: Weak::new(), process, users: 1 };
        let key = self.pids.insert(pid);
        self.each_level(key, |space, number| {
            space.numbers.insert(number, key);
        });
        Ok(key)
    }

    /// One number in one namespace; it is taken by nobody yet.
    fn take_number(
        &mut self,
        ns: &PidNs,
        chosen: Option<i32>,
        cred: &Cred,
    ) -> Result<u32, Refusal> {
        let max = self.max_of(ns);
        let inode = Value::Namespace(Kind::Pid, ns.inode());
        let used_up =
            || Rule::CloneNumbersUsedUp.refuse().with("namespace", inode).with("pid_max", max);
        let space = self.spaces.get_mut(ns.space()).ok_or_else(used_up)?;
        let number = match chosen {
            // Whatever the embedder finds free will be.
            None if self.given => return Ok(0),
            None => space.next(max).ok_or_else(used_up)?,
            Some(tid) => {
                let number = u32::try_from(tid).ok().filter(|number| (1..max).contains(number));
                let Some(number) = number else {
                    return Err(Rule::CloneSetTidOutOfRange
                        .refuse()
                        .with("number", tid)
                        .with("pid_max", max));
                };
                if number != 1 && space.init.is_none() && !ns.is_initial() {
                    return Err(Rule::CloneSetTidBeforeInit.refuse().with("number", tid));
                }
                if !may_choose(cred, ns) {
                    let owner = Value::Namespace(Kind::User, ns.owner_ref().inode());
                    return Err(Rule::CloneSetTidNeedsCheckpoint.refuse().with("owner", owner));
                }
                if space.numbers.contains_key(&number) {
                    return Err(Rule::CloneSetTidTaken
                        .refuse()
                        .with("number", tid)
                        .with("namespace", inode));
                }
                number
            }
        };
        if !self.given {
            space.numbers.insert(number, PidKey::default());
        }
        Ok(number)
    }

    /// Calls a pid by the number that the embedder gives it, at every level: but the first process
    /// of a namespace is called 1 there, and the other number means it as well.
    ///
    /// Whoever was called so before has lost the number without the model hearing of it.
    pub(super) fn give(&mut self, key: PidKey, number: u32, thread: bool) {
        let Some(pid) = self.pids.get_mut(key).filter(|pid| self.given && pid.numbers.is_empty())
        else {
            return;
        };
        let (ns, depth) = (Arc::clone(&pid.ns), pid.ns.level() as usize);
        let mut numbers: Levels = smallvec::smallvec![number; depth + 1];
        if let Some(space) = self.spaces.get_mut(ns.space())
            && !ns.is_initial()
            && !thread
            && space.init.is_none()
            && !space.closed
        {
            numbers[depth] = 1;
            space.alias = Some(number);
            space.numbers.insert(number, key);
        }
        pid.numbers = numbers;
        self.each_level(key, |space, number| {
            space.numbers.insert(number, key);
            space.cursor = number + 1;
        });
    }

    /// Frees numbers that nobody was called by yet: those of the levels below `failed`, or all.
    fn give_back(&mut self, ns: &Arc<PidNs>, numbers: &[u32], failed: Option<u32>) {
        let mut at = Some(ns);
        while let Some(level) = at.filter(|level| failed.is_none_or(|end| level.level() > end)) {
            let number = numbers.get(level.level() as usize);
            if let (Some(space), Some(number)) = (self.spaces.get_mut(level.space()), number) {
                space.numbers.remove(number);
            }
            at = level.parent_ref();
        }
        // The first number of a fresh namespace was not to be had: the next try starts afresh.
        if let Some(space) = self.spaces.get_mut(ns.space())
            && space.numbers.is_empty()
            && !space.closed
        {
            space.cursor = 0;
        }
    }

    /// The limit for numbers of a namespace: its own since Linux 6.14, before that everybody's.
    pub(super) fn max_of(&self, ns: &PidNs) -> u32 {
        let of = if ns.has_own_max() { ns.space() } else { ns.initial_space() };
        self.spaces.get(of).map_or(LIMIT, |space| space.max)
    }

    /// Visits the namespaces in which a pid has a number, from the innermost outwards.
    fn each_level(&mut self, pid: PidKey, mut visit: impl FnMut(&mut Space, u32)) {
        let Some(pid) = self.pids.get(pid) else { return };
        let mut at = Some(&pid.ns);
        while let Some(level) = at {
            let number = pid.numbers.get(level.level() as usize);
            if let (Some(space), Some(number)) = (self.spaces.get_mut(level.space()), number) {
                visit(space, *number);
            }
            at = level.parent_ref();
        }
    }

    /// One user less; the numbers of a pid that nobody uses are free. Inits of dead namespaces that
    /// are now alone there come into `alone`.
    pub(super) fn unuse(
        &mut self,
        pid: PidKey,
        waste: &mut Waste,
        alone: &mut vec::Vec<ProcessKey>,
    ) {
        let Some(held) = self.pids.get_mut(pid) else { return };
        held.users = held.users.saturating_sub(1);
        if held.users > 0 {
            return;
        }
        self.each_level(pid, |space, number| {
            // It may be another's by now, where numbers are given.
            if space.numbers.get(&number) == Some(&pid) {
                space.numbers.remove(&number);
            }
            if number == 1
                && let Some(alias) = space.alias.take()
                && space.numbers.get(&alias) == Some(&pid)
            {
                space.numbers.remove(&alias);
            }
            match (space.closed, space.init, space.count()) {
                (true, Some(init), 1) => alone.push(init),
                // The first process could not be born after all, and there is no second first.
                (false, None, 0) => space.closed = true,
                _ => {}
            }
        });
        if let Some(pid) = self.pids.remove(pid) {
            waste.spaces.push(pid.ns);
        }
    }

    /// How many numbers of a namespace are taken.
    pub(crate) fn numbers_in_use(&self, ns: &PidNs) -> usize {
        self.spaces.get(ns.space()).map_or(0, Space::count)
    }

    /// One user more.
    pub(super) fn use_(&mut self, pid: PidKey) {
        if let Some(pid) = self.pids.get_mut(pid) {
            pid.users += 1;
        }
    }

    /// Opens a namespace's books. The initial one's number 1 is its init's, which is no task here.
    pub(super) fn open(&mut self, max: u32, initial: bool) -> SpaceKey {
        let mut space = Space::new(max);
        if initial {
            space.numbers.insert(1, PidKey::default());
            space.cursor = 2;
        }
        self.spaces.insert(space)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn given(space: &mut Space, max: u32, count: usize) -> vec::Vec<Option<u32>> {
        let mut take = || {
            let number = space.next(max)?;
            space.numbers.insert(number, PidKey::default());
            Some(number)
        };
        (0..count).map(|_| take()).collect()
    }

    /// As observed with pid_max 304 and ns_last_pid 298.
    #[test]
    fn numbers_wrap_to_the_end_of_the_reserved_ones() {
        let mut space = Space::new(LIMIT);
        space.cursor = 299;
        let numbers = given(&mut space, 304, 6);
        assert_eq!(
            numbers,
            [299, 300, 301, 302, 303].map(Some).into_iter().chain([None]).collect::<vec::Vec<_>>()
        );
        space.numbers.remove(&301);
        space.numbers.remove(&299);
        assert_eq!(given(&mut space, 304, 2), [Some(301), None]);
    }

    #[test]
    fn a_fresh_namespace_begins_with_one_and_goes_on() {
        let mut space = Space::new(LIMIT);
        assert_eq!(given(&mut space, LIMIT, 3), [Some(1), Some(2), Some(3)]);
        space.numbers.remove(&2);
        assert_eq!(given(&mut space, LIMIT, 1), [Some(4)]);
    }

    #[test]
    fn a_cursor_beyond_the_limit_starts_again() {
        let mut space = Space::new(LIMIT);
        space.cursor = 305;
        assert_eq!(given(&mut space, 304, 1), [Some(300)]);
    }
}
