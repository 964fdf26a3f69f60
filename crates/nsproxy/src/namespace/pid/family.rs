//! The family: every number, process and namespace of numbers of one system, and who descends
//! from whom (`struct pid`, `signal_struct`, the links of `task_struct`).
//!
//! All of it lies under one lock, as it does in Linux (`tasklist_lock`): a death touches the dead,
//! its parent, its children, and every namespace it had a number in. Objects are named by keys
//! that are never used again, so a key that outlived its object finds nothing.
//!
//! Nothing is dropped under the lock that could take it again (a task, a namespace): such things
//! go into [`Waste`], which the caller drops after unlocking.

use super::PidNs;
use crate::{Numbers, group::Handlers, sync::Arc, task::Task};
use alloc::{
    collections::BTreeMap,
    sync::{Arc as StdArc, Weak},
    vec::Vec,
};
use slotmap::SlotMap;

slotmap::new_key_type! {
    pub(crate) struct SpaceKey;
    pub(crate) struct PidKey;
    pub(crate) struct ProcessKey;
}

/// The numbers of one namespace.
pub(crate) struct Space {
    /// Who has which. A number is taken as long as anybody is called by it, be it as a thread, as
    /// a process, as a group or as a session. A null key is a number that is kept from use.
    pub(super) numbers: BTreeMap<u32, PidKey>,
    /// Where the search for the next number begins.
    pub(super) cursor: u32,
    /// Numbers are below it.
    pub(super) max: u32,
    /// Its init has ended, or could not be born: no number is ever given out again.
    pub(super) closed: bool,
    /// The process that has number 1.
    pub(super) init: Option<ProcessKey>,
    /// The init's other number, where numbers are given.
    pub(super) alias: Option<u32>,
}

/// One number a level; few pid namespaces are deep.
pub(super) type Levels = smallvec::SmallVec<[u32; 4]>;

/// What a thread, a process, a group or a session is called by: one number a level.
pub(crate) struct Pid {
    /// The innermost namespace, where the last of the numbers is from. Keeps it alive.
    pub(super) ns: Arc<PidNs>,
    /// From the initial namespace inwards. None as long as nobody has given it one.
    pub(super) numbers: Levels,
    /// The thread of that number; nobody once it has been reaped, or has exited as one of several.
    pub(super) task: Weak<Task>,
    /// The process that the thread is of.
    pub(super) process: ProcessKey,
    /// The thread itself, and the processes that have it as their group or session.
    pub(super) users: usize,
}

/// Who waits for a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Parent {
    /// A process of the family.
    Process(ProcessKey),
    /// The initial namespace's init, or whoever the embedder knows of. It is told nothing; a
    /// process left to it is reaped at once, one that it brought itself is reaped by being dropped.
    Outside { reaps: bool },
}

/// How far a process has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    /// Being made.
    Unborn,
    Alive,
    /// It was an init, has ended, and waits until it is the last in its namespace.
    Lingering,
    /// It has ended and can be waited for.
    Zombie,
}

/// A process.
pub(crate) struct Process {
    pub(super) pid: PidKey,
    pub(super) group: PidKey,
    pub(super) session: PidKey,
    pub(super) parent: Parent,
    /// The oldest of its children; each knows the one after and the one before.
    pub(super) first_child: Option<ProcessKey>,
    pub(super) last_child: Option<ProcessKey>,
    pub(super) next: Option<ProcessKey>,
    pub(super) previous: Option<ProcessKey>,
    /// How many of its threads have not exited.
    pub(super) threads: usize,
    pub(super) life: Life,
    pub(super) status: Status,
    /// What its parent is sent at its end; 0 for nothing.
    pub(super) exit_signal: u8,
    /// It adopts the orphans below it (`PR_SET_CHILD_SUBREAPER`).
    pub(super) subreaper: bool,
    /// Its signal handlers, which others may share, for whether its children leave zombies.
    pub(super) handlers: Weak<Handlers>,
    /// It made its session.
    pub(super) leads_session: bool,
    /// It has executed a program since it was forked.
    pub(super) executed: bool,
    /// The embedder let go of it: nobody will ask for it any more.
    pub(super) forgotten: bool,
}

/// How a process ended, as wait(2) shows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Status {
    /// It called exit(2) with this status, of which the low byte counts.
    Exited(u8),
    /// It was ended by this signal.
    Killed(u8),
}

impl Default for Status {
    fn default() -> Status {
        Status::Exited(0)
    }
}

/// What may be dropped only after the family's lock was given back.
#[derive(Default)]
pub(super) struct Waste {
    pub(super) spaces: Vec<Arc<PidNs>>,
}

/// Everybody.
#[derive(Default)]
pub(crate) struct Family {
    pub(super) spaces: SlotMap<SpaceKey, Space>,
    pub(super) pids: SlotMap<PidKey, Pid>,
    pub(super) processes: SlotMap<ProcessKey, Process>,
    /// How many processes are subreapers: without any, none is looked for.
    pub(super) subreapers: usize,
    /// Numbers are the embedder's ([`Numbers::Given`](crate::Numbers)).
    pub(super) given: bool,
}

impl Family {
    /// Nobody.
    pub(crate) fn new(numbers: Numbers) -> Family {
        Family { given: numbers == Numbers::Given, ..Family::default() }
    }

    /// What is called `number` in a namespace.
    pub(super) fn number(&self, space: SpaceKey, number: u32) -> Option<PidKey> {
        self.spaces.get(space)?.numbers.get(&number).copied()
    }

    /// Whoever has `number` in a namespace.
    pub(super) fn find(&self, space: SpaceKey, number: u32) -> Option<&Pid> {
        self.pids.get(self.number(space, number)?)
    }

    /// The number that `pid` has in `ns`, if that is its namespace or one above it. What is
    /// called by no pid of ours is the initial namespace's init's.
    pub(super) fn number_in(&self, pid: PidKey, ns: &PidNs) -> Option<u32> {
        if pid == PidKey::default() {
            return ns.is_initial().then_some(1);
        }
        let pid = self.pids.get(pid)?;
        pid.ns.is_within(ns).then(|| pid.numbers.get(ns.level() as usize).copied()).flatten()
    }

    /// The process of a key that may have outlived it.
    pub(super) fn process(&self, key: ProcessKey) -> Option<&Process> {
        self.processes.get(key)
    }

    /// The first thread of a process, if the embedder still has it.
    pub(super) fn leader(&self, key: ProcessKey) -> Option<StdArc<Task>> {
        self.pids.get(self.processes.get(key)?.pid)?.task.upgrade()
    }

    /// The children of a process, the oldest first.
    pub(super) fn children(&self, of: ProcessKey) -> impl Iterator<Item = ProcessKey> + '_ {
        let mut next = self.processes.get(of).and_then(|process| process.first_child);
        core::iter::from_fn(move || {
            let child = next?;
            next = self.processes.get(child)?.next;
            Some(child)
        })
    }

    /// Makes `child` the youngest of a process's children.
    pub(super) fn link(&mut self, child: ProcessKey, parent: Parent) {
        let mut previous = None;
        if let Parent::Process(parent) = parent
            && let Some(parent) = self.processes.get_mut(parent)
        {
            previous = parent.last_child.replace(child);
            parent.first_child.get_or_insert(child);
        }
        if let Some(previous) = previous.and_then(|key| self.processes.get_mut(key)) {
            previous.next = Some(child);
        }
        if let Some(child) = self.processes.get_mut(child) {
            (child.parent, child.next, child.previous) = (parent, None, previous);
        }
    }

    /// Takes `child` out of its parent's children.
    pub(super) fn unlink(&mut self, child: ProcessKey) {
        let Some(process) = self.processes.get_mut(child) else { return };
        let (next, previous) = (process.next.take(), process.previous.take());
        let parent = process.parent;
        if let Some(next) = next.and_then(|key| self.processes.get_mut(key)) {
            next.previous = previous;
        }
        if let Some(previous) = previous.and_then(|key| self.processes.get_mut(key)) {
            previous.next = next;
        }
        if let Parent::Process(parent) = parent
            && let Some(parent) = self.processes.get_mut(parent)
        {
            if parent.first_child == Some(child) {
                parent.first_child = next;
            }
            if parent.last_child == Some(child) {
                parent.last_child = previous;
            }
        }
    }
}
