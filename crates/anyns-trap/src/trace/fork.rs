//! A fork that is let through and seen: fork, vfork, clone, clone3.
//!
//! A fork that fails gives no event, and a caller whose fork is let through must not be
//! interrupted to find out. That it failed is seen from the caller's next told call, or from a
//! look at what it does, some milliseconds later; only then is it interrupted.
//!
//! Not here: clone3's flags, which lie in the caller's memory. With CLONE_UNTRACED among them no
//! event comes and the child is not seen, so the embedder must not let such a call through.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use super::Failed;
use super::run::{self, Driven, NotPaused, Paused};
use super::tracee::{Glance, NEW_TASK, Next, Running, Stopped, Why, stranger};
use crate::Tid;
use crate::call::{Answered, Call};
use crate::notify::{Port, RESTART};
use crate::stop::{self, Keeper};

/// A caller that has used so much processor time since the last look is no longer waiting for
/// its turn to begin the fork.
const BUSY_NS: u64 = 500_000;

/// A fork that has happened; parent and child are stopped before either can notice.
///
/// Dropping it lets both go.
pub struct Forked {
    parent_tid: Tid,
    child_tid: Tid,
    parent: Option<Stopped>,
    child: Option<(Stopped, Why)>,
    thread_bound: PhantomData<Rc<()>>,
}

impl Forked {
    /// The thread that forked.
    pub fn parent(&self) -> Tid {
        self.parent_tid
    }

    /// The new thread.
    pub fn child(&self) -> Tid {
        self.child_tid
    }

    /// Whether the parent still lives (it may be killed while it stands).
    pub fn parent_alive(&self) -> bool {
        self.parent.is_some()
    }

    /// Whether the child came to its first stop; if not, it was killed before it ran, and its
    /// number may already be another's.
    pub fn child_alive(&self) -> bool {
        self.child.is_some()
    }

    /// Makes the child perform call `nr` before its first step, and gives its result; none if it
    /// has been killed. The call must not block, fork or exec.
    pub fn inject(&mut self, nr: i64, args: [u64; 6]) -> Option<i64> {
        let (child, why) = self.child.take()?;
        // It has just come out of the call that made it.
        let place = child.regs()?.ip();
        let (child, result) = run::perform(child, why, place, nr, args)?;
        self.child = Some(child);
        Some(result)
    }

    /// Lets both go.
    pub fn release(mut self) -> Answered {
        self.let_go();
        Answered::new(true)
    }

    fn let_go(&mut self) {
        if let Some(parent) = self.parent.take() {
            parent.detach(Why::Interrupted);
        }
        if let Some((child, why)) = self.child.take() {
            child.detach(why);
        }
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// What the embedder does about a new task. Dropped, if there is none after all.
pub trait Birth: Send {
    /// Both stand, before either can notice; they go on when this returns. The thread that this is called
    /// on traces others, too, so no guest may be waited for.
    fn born(self: Box<Self>, parent: Tid, child: Tid);
}

/// What the embedder undoes when nothing was born, told the errno if there is one and it is known.
type Undo<'a> = &'a mut dyn FnMut(Option<i32>);

pub(crate) fn let_fork(
    call: Call,
    edit: Option<[u64; 6]>,
    undo: Undo<'_>,
) -> Result<Forked, Failed> {
    let as_told = if call.stands() { Some(call.args()) } else { None };
    match edit.or_else(|| traceable(&call)).or(as_told) {
        None => as_it_is(call, undo),
        Some(args) => edited(call, args, undo),
    }
}

/// Lets a fork happen as it is; `birth` hears of it, here or on the thread that traces the caller.
pub(crate) fn let_fork_then(call: Call, birth: Box<dyn Birth>) -> Result<Answered, Failed> {
    let slot = match call.slot() {
        Some(slot) => Some(slot),
        None => stop::keeper_of(call.tid()).and_then(|keeper| keeper.slot(call.tid())),
    };
    // Only a stopped call can be made without CLONE_UNTRACED.
    if let Some(slot) = slot
        && (call.stands() || traceable(&call).is_none())
    {
        slot.await_birth(birth);
        let answered = call.resume();
        if !answered.reached() {
            drop(slot.take_birth());
        }
        return Ok(answered);
    }
    let mut birth = Some(birth);
    let forked = let_fork(call, None, &mut |_| birth = None)?;
    if let Some(birth) = birth {
        birth.born(forked.parent(), forked.child());
    }
    Ok(forked.release())
}

/// The arguments without CLONE_UNTRACED, if a clone has it: no event would come.
fn traceable(call: &Call) -> Option<[u64; 6]> {
    let untraced = libc::CLONE_UNTRACED as u64;
    let mut args = call.args();
    if call.nr() != libc::SYS_clone || args[0] & untraced == 0 {
        return None;
    }
    args[0] &= !untraced;
    Some(args)
}

fn as_it_is(call: Call, undo: Undo<'_>) -> Result<Forked, Failed> {
    let (mut running, port, told) = run::seize(call, NEW_TASK)?;
    if !port.resume(told.id) {
        run::let_go(running);
        return Err(Failed::Gone(Answered::new(false)));
    }
    let keeper = running.keeper();
    let mut last_look = None;
    let mut over = false;
    loop {
        running = match running.wait() {
            Next::Stopped(parent, Why::Event(_)) => {
                return seen(Some(&port), told.tid, parent, None);
            }
            Next::Stopped(parent, why) => {
                let restarts = parent
                    .regs()
                    .is_some_and(|r| r.nr() == told.nr && r.result() == -i64::from(RESTART));
                undo(None);
                parent.detach(why);
                let answered = Answered::new(true);
                return Err(if restarts && !over {
                    Failed::Restarted(answered)
                } else {
                    Failed::Errno(None, answered)
                });
            }
            Next::Dead => return orphaned(Some(&port), told.tid, keeper.as_deref()),
            Next::Tick(running) => {
                let look = running.glance();
                let busy_elsewhere = match (look, last_look) {
                    (Glance::Blocked(nr), _) => nr != told.nr,
                    (Glance::Computing(now), Some(Glance::Computing(before))) => {
                        now > before + BUSY_NS
                    }
                    _ => false,
                };
                last_look = Some(look);
                if busy_elsewhere {
                    running.interrupt();
                }
                running
            }
            Next::Mail(running, id) => {
                // It is in its next call, so this one is over. It cannot stop before that call
                // is answered, and nobody else can trace it: let it make that call anew.
                over = true;
                running.interrupt();
                running.restart(id);
                running
            }
        }
    }
}

fn edited(call: Call, args: [u64; 6], undo: Undo<'_>) -> Result<Forked, Failed> {
    let (nr, tid, port) = (call.nr(), call.tid(), call.port().cloned());
    let port = port.as_ref();
    let paused = run::pause(call, NEW_TASK).map_err(|not| {
        if matches!(not, NotPaused::Elsewhere(..)) {
            undo(None);
        }
        not.settle()
    })?;
    let (original, keeper) = (paused.args(), paused.stopped.keeper());
    match paused.drive(nr, args) {
        Driven::Event(Paused { stopped: parent, .. }) => {
            if let Some(mut regs) = parent.regs() {
                regs.set_args(original);
                parent.set_regs(&regs);
            }
            seen(port, tid, parent, Some(original))
        }
        Driven::Exit(paused, after) => {
            undo(run::errno(after.result()));
            Err(paused.refused(after))
        }
        Driven::Dead => orphaned(port, tid, keeper.as_deref()),
        Driven::Elsewhere(paused, why) => {
            undo(None);
            paused.again(why);
            Err(Failed::Restarted(Answered::new(true)))
        }
    }
}

/// The parent stands at its event: meets the child.
fn seen(
    port: Option<&Arc<Port>>,
    parent_tid: Tid,
    parent: Stopped,
    restore: Option<[u64; 6]>,
) -> Result<Forked, Failed> {
    let Some(child) = parent.child() else {
        // Killed at the event; only the child is left to tell its number.
        let keeper = parent.keeper();
        drop(parent);
        return orphaned(port, parent_tid, keeper.as_deref());
    };
    Ok(forked(parent_tid, Some(parent), meet(child, restore)))
}

/// The parent has died; the child, if there is one, is still traced.
fn orphaned(
    port: Option<&Arc<Port>>,
    parent: Tid,
    keeper: Option<&Keeper>,
) -> Result<Forked, Failed> {
    match stranger(port, parent, keeper) {
        Some(child) => Ok(forked(parent, None, meet(child, None))),
        None => Err(Failed::Gone(Answered::new(false))),
    }
}

/// Waits for a new task's first stop.
fn meet(mut child: Running, restore: Option<[u64; 6]>) -> (Tid, Option<(Stopped, Why)>) {
    let tid = child.tid();
    loop {
        child = match child.wait() {
            Next::Stopped(child, why) => {
                if let (Some(args), Some(mut regs)) = (restore, child.regs()) {
                    regs.set_args(args);
                    child.set_regs(&regs);
                }
                return (tid, Some((child, why)));
            }
            Next::Dead => return (tid, None),
            Next::Tick(child) | Next::Mail(child, _) => child,
        }
    }
}

fn forked(
    parent_tid: Tid,
    parent: Option<Stopped>,
    (child_tid, child): (Tid, Option<(Stopped, Why)>),
) -> Forked {
    Forked { parent_tid, child_tid, parent, child, thread_bound: PhantomData }
}
