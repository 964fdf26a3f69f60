//! Tasks that are born: whose child a newborn is, and what it inherits.
//!
//! A child's first stop may be seen before the event that tells whose child it is: then it stands
//! until it is claimed. A parent that is killed before its event leaves it unclaimed.
//!
//! No child is born with CLONE_UNTRACED: it would not be traced, nor die with us. clone(2) has its
//! flags in a register. clone3(2) has them in memory, which other threads may change when they have
//! been looked at: what a call makes without an event is killed before its parent knows of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::slot::any_awaited;
use super::task::{At, Pass, Task, is_birth};
use super::tracer::Tracer;
use super::{Found, Reply, Shared, Slot};
use crate::arch::{RED_ZONE, Regs};
use crate::memory::Memory;
use crate::trace::{Birth, Why};
use crate::{Tid, record, sys};

/// How long a child waits to be claimed when nobody is known to wait for it.
pub(super) const CLAIM: Duration = Duration::from_millis(20);
/// How long the child of a parent that died is waited for.
const MOURNED: Duration = Duration::from_secs(1);
/// How many deaths of unannounced children are remembered: their parents' events are on their way.
const STILLBORN: usize = 64;
/// The sizes of clone3's block (CLONE_ARGS_SIZE_VER0 to a page).
const BLOCK: std::ops::RangeInclusive<usize> = 64..=4096;

impl Tracer {
    /// Names the task born at an event.
    pub(super) fn birth(&mut self, tid: Tid, why: Why) -> Option<Found> {
        if !is_event(why) {
            return None;
        }
        // None: it has been killed where it stands, and will be found to be dead.
        let child = Tid(sys::event_message(tid.0).ok()?);
        let parent = self.tasks.get_mut(&tid)?;
        if std::mem::take(&mut parent.steered)
            && let Some(steer) = &self.steer
        {
            steer.like_parent(tid, child);
        }
        let mend = parent.mend.take();
        let (handlers, filters) = (inherited(tid, &parent.slot), parent.slot.filters());
        let lent = parent.slot.expects_births();
        let before = self.unclaimed.iter().position(|(newborn, _)| *newborn == child);
        let task = match before {
            Some(at) => {
                self.unclaimed.swap_remove(at);
                self.tasks.get_mut(&child)?
            }
            // It has been seen and let go already.
            None if let Some(known) = self.tasks.get(&child) => {
                known.slot.set_handlers(handlers);
                known.slot.set_filters(filters);
                return Some((Arc::clone(&known.slot), child));
            }
            None if self.was_stillborn(child) => {
                let slot = Arc::new(Slot::default());
                slot.bury();
                return Some((slot, child));
            }
            None => self.enter(child, Arc::new(Slot::default())),
        };
        task.mend = mend;
        task.slot.set_handlers(handlers);
        task.slot.set_filters(filters);
        if lent {
            task.slot.lend();
        }
        let slot = Arc::clone(&task.slot);
        if let Some(birth) = self.tasks.get(&tid).and_then(|parent| parent.slot.take_birth()) {
            announce(birth, tid, child);
        }
        if before.is_some() && !self.tell(child, Why::Interrupted, None) {
            self.settle(child);
        }
        Some((slot, child))
    }

    /// A thread stands that made no child with the call that was to make one.
    pub(super) fn nothing_born(&self, tid: Tid) {
        if any_awaited()
            && let Some(task) = self.tasks.get(&tid)
        {
            drop(task.slot.take_birth());
        }
    }

    /// A thread is dead; the child that it was making may live.
    pub(super) fn end(&mut self, task: &Task) {
        task.slot.bury();
        if task.slot.take_birth().is_some() {
            self.mourned = Some(Instant::now());
        }
    }

    /// A thread that nobody has announced has died.
    pub(super) fn still_born(&mut self, tid: Tid) {
        if self.stillborn.len() >= STILLBORN {
            self.stillborn.pop_front();
        }
        self.stillborn.push_back(tid);
    }

    /// Whether the thread that is announced now has died already. Its number may have been that of
    /// one that nobody announced, long ago, so the kernel is asked.
    fn was_stillborn(&mut self, tid: Tid) -> bool {
        let Some(at) = self.stillborn.iter().position(|dead| *dead == tid) else { return false };
        self.stillborn.remove(at);
        let stat = record::of_thread(tid, "stat").unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
    }

    /// A thread that nobody has announced has come to its first stop.
    pub(super) fn newborn(&mut self, tid: Tid, why: Why) {
        self.enter(tid, Arc::new(Slot::default())).at = At::Stands(why);
        self.unclaimed.push((tid, Instant::now()));
    }

    /// Lets those go whose parents must be dead; true if some are left.
    pub(super) fn release_unclaimed(&mut self) -> bool {
        if self.unclaimed.is_empty() {
            return false;
        }
        if self.births_expected() {
            return true;
        }
        let now = Instant::now();
        self.mourned.take_if(|since| now.duration_since(*since) > MOURNED);
        let (old, young): (Vec<_>, Vec<_>) =
            self.unclaimed.iter().partition(|(_, since)| now.duration_since(*since) >= CLAIM);
        self.unclaimed = young;
        if !old.is_empty() && self.awaited_no_more() {
            self.unclaimed.extend(old);
            return true;
        }
        for (tid, _) in old {
            // Whose it is cannot be told, and nobody has been told of it: it is as if its parent had been
            // killed a moment earlier.
            if self.mourned.is_some() {
                sys::kill_thread(tid.0, libc::SIGKILL);
            }
            self.settle(tid);
        }
        !self.unclaimed.is_empty()
    }

    /// Stops those whose children are awaited, in case their calls have failed long ago; tells whether
    /// there are any. An event that is on its way comes before that stop.
    fn awaited_no_more(&self) -> bool {
        let mut any = false;
        for (tid, _) in self.tasks.iter().filter(|(_, task)| task.slot.awaits_birth()) {
            let _ = sys::interrupt(tid.0);
            any = true;
        }
        any
    }

    fn births_expected(&self) -> bool {
        self.tasks
            .values()
            .any(|task| task.slot.expects_births() || task.pass.as_ref().is_some_and(Pass::births))
    }

    /// Looks for the child of a thread that died before it could tell its number.
    pub(super) fn find_orphan(&mut self, parent: Tid, reply: &Reply) {
        // Its first stop may be waiting to be seen.
        while let Ok(Some((tid, status))) = sys::poll_tracee() {
            self.changed(Tid(tid), status);
        }
        let others: Vec<Tid> = self
            .tasks
            .iter()
            .filter_map(|(tid, task)| {
                (*tid != parent && task.slot.expects_births()).then_some(*tid)
            })
            .collect();
        let at = self.unclaimed.iter().position(|(newborn, _)| {
            parent_of(*newborn)
                .is_none_or(|pid| !others.iter().any(|other| group_of(*other) == Some(pid)))
        });
        let found = at.and_then(|at| {
            let (tid, _) = self.unclaimed.swap_remove(at);
            let slot = Arc::clone(&self.tasks.get(&tid)?.slot);
            slot.lend();
            self.tell(tid, Why::Interrupted, None);
            Some((slot, tid))
        });
        reply.tell(found);
    }
}

/// Whether a thread stands at the birth of its child.
pub(super) fn is_event(why: Why) -> bool {
    matches!(
        why,
        Why::Event(libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE)
    )
}

/// Tells of a birth. A child that could not be told of must not run.
fn announce(birth: Box<dyn Birth>, parent: Tid, child: Tid) {
    if catch_unwind(AssertUnwindSafe(|| birth.born(parent, child))).is_err() {
        sys::kill_thread(child.0, libc::SIGKILL);
    }
}

/// The arguments of call `nr` that `tid` is to make, so that its child will be traced; none if that
/// cannot be done.
pub(super) fn traceable(tid: Tid, nr: i64, regs: &Regs) -> Option<[u64; 6]> {
    let untraced = libc::CLONE_UNTRACED as u64;
    let mut args = regs.args();
    match nr {
        libc::SYS_clone => args[0] &= !untraced,
        libc::SYS_clone3 => {
            let (memory, size) = (Memory::of_stopped(tid), args[1]);
            // What is unreadable or has another size the kernel refuses.
            let mut block = match usize::try_from(size) {
                Ok(size) if BLOCK.contains(&size) => vec![0; size],
                _ => return Some(args),
            };
            if memory.read(args[0], &mut block).is_err() {
                return Some(args);
            }
            let flags = u64::from_ne_bytes(*block.first_chunk()?);
            if flags & untraced != 0 {
                block[..8].copy_from_slice(&(flags & !untraced).to_ne_bytes());
                // A copy where nothing of the guest's lives: its own is nobody's to change.
                let room = regs.stack().checked_sub(RED_ZONE + size)? & !15;
                memory.write_below(room, &block).ok()?;
                args[0] = room;
            }
        }
        _ => {}
    }
    Some(args)
}

/// At a call's end: kills the child that was made without an event at which we would have met it.
pub(super) fn kill_unseen(tid: Tid, task: &Task, pass: &Pass) {
    if pass.entered
        && (pass.births() || task.slot.expects_births())
        && let Ok(regs) = Regs::read(tid)
        && is_birth(regs.nr())
        && let Ok(child @ 1..) = i32::try_from(regs.result())
    {
        sys::kill_thread(child, libc::SIGKILL);
    }
}

/// The signal handlers of a task that `parent` is just making.
fn inherited(parent: Tid, slot: &Slot) -> Shared {
    let handlers = slot.handlers();
    let shared = Regs::read(parent).is_ok_and(|regs| {
        let flags = match regs.nr() {
            libc::SYS_clone => regs.args()[0],
            libc::SYS_clone3 => Memory::of_stopped(parent).read_value(regs.args()[0]).unwrap_or(0),
            _ => 0,
        };
        flags & libc::CLONE_SIGHAND as u64 != 0
    });
    if shared { handlers } else { handlers.copied() }
}

fn parent_of(tid: Tid) -> Option<i32> {
    field(tid, "PPid:")
}

fn group_of(tid: Tid) -> Option<i32> {
    field(tid, "Tgid:")
}

fn field(tid: Tid, name: &str) -> Option<i32> {
    let status = record::of_thread(tid, "status").ok()?;
    status.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}
