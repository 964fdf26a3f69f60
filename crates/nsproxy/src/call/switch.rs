//! The switch of another running process: all its threads at once, by the caller's rights.
//!
//! The kernel changes the namespaces of the calling task only. What the rules are here, and why,
//! is written in `docs/switch.md`; where the kernel has a rule for the same question it is that one,
//! asked of the caller instead of the task that moves.

use super::{
    change::NewFs,
    change::apply,
    setns::{JoinTarget, check_arguments, named},
};
use crate::{
    CloneFlags,
    access::{By, ptrace_read},
    cred::Cred,
    events::Way,
    group::{Fs, ThreadGroup, Unsettled},
    namespace::Draft,
    nsproxy::{AnyNamespace, NsProxy},
    rule::{Refusal, Refuse, Rule},
    sync::Arc,
    task::{OwnedTurn, Task},
};
use alloc::{sync::Arc as StdArc, vec::Vec};
use core::fmt;

/// How often a process whose threads multiply is looked at anew before EAGAIN.
const LOOKS: usize = 8;

/// Checks and builds the switch of `target`'s whole process, by `caller`, to what `to` stands for.
/// Nothing changes until the result is committed.
///
/// `to` and `nstype` are as for [`prepare_setns`](super::prepare_setns). A process may switch
/// itself, threads and all.
///
/// It waits for prepared changes of the target's threads; do not make it on a thread that holds
/// one.
///
/// # Errors
/// ESRCH if the target has exited, EPERM if the caller may not trace it, EAGAIN while it makes a
/// thread; else those of setns(2), with the caller's rights.
///
/// ```
/// use nsproxy::{CloneArgs, CloneFlags, Config, Cred, JoinTarget, System};
/// use nsproxy::{prepare_clone, prepare_switch, unshare};
///
/// let system = System::new(Config::default());
/// let root = || system.adopt(None, Cred::root(&system.init_user()));
/// let (manager, worker, sandbox) = (root(), root(), root());
/// let threads = CloneFlags::VM | CloneFlags::SIGHAND | CloneFlags::THREAD;
/// let thread = prepare_clone(&worker, &CloneArgs::legacy(threads.bits()))?.commit();
/// unshare(&sandbox, CloneFlags::NEWUTS)?;
///
/// let uts = sandbox.namespace(nsproxy::Kind::Uts).unwrap();
/// prepare_switch(&manager, &worker, JoinTarget::Namespace(&uts), 0)?.commit();
/// assert_eq!(worker.ids(), sandbox.ids());
/// assert_eq!(thread.ids(), sandbox.ids());
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
pub fn prepare_switch(
    caller: &StdArc<Task>,
    target: &StdArc<Task>,
    to: JoinTarget<'_>,
    nstype: u64,
) -> Result<Switch, Refusal> {
    caller.reported("switch", prepare(caller, target, to, nstype))
}

/// [`prepare_switch`] and commit in one, for users without a part of their own.
///
/// # Errors
/// Those of [`prepare_switch`].
pub fn switch(
    caller: &StdArc<Task>,
    target: &StdArc<Task>,
    to: JoinTarget<'_>,
    nstype: u64,
) -> Result<(), Refusal> {
    prepare_switch(caller, target, to, nstype).map(Switch::commit)
}

fn prepare(
    caller: &StdArc<Task>,
    target: &StdArc<Task>,
    to: JoinTarget<'_>,
    nstype: u64,
) -> Result<Switch, Refusal> {
    let flags = check_arguments(caller, to, nstype)?;
    caller.alive()?;
    let held = Held::all_of(target)?;
    let by = caller.cred();
    for turn in &held.turns {
        let theirs = turn.task().cred();
        if let Err(why) = ptrace_read(caller, &by, turn.task(), &theirs, true, By::RealIds) {
            return Err(Rule::SwitchNeedsTrace.refuse().with("because", why));
        }
    }
    let namespaces = named(caller, &by, to, flags)?;
    let namespaces = || namespaces.iter().flatten();
    let mut moved = Vec::new();
    let plans = held
        .turns
        .iter()
        .map(|turn| plan(turn.task(), &by, namespaces(), &mut moved))
        .collect::<Result<Vec<_>, Refusal>>()?;
    Ok(Switch { held, plans, flags })
}

/// New directories beside those they replace: threads that share theirs go on sharing them.
type Moved = Vec<(*const Fs, StdArc<Fs>)>;

/// What one thread will have.
fn plan<'a>(
    task: &Task,
    by: &Cred,
    namespaces: impl Iterator<Item = &'a AnyNamespace>,
    moved: &mut Moved,
) -> Result<Plan, Refusal> {
    let (old, own) = (task.alive()?, task.cred());
    let proxy = NsProxy::clone(&old);
    let mut draft = Draft {
        task,
        own: &own,
        by,
        whole: true,
        directories_copied: false,
        cred: None,
        proxy,
        places: None,
    };
    for namespace in namespaces {
        namespace.install(&mut draft)?;
    }
    let Draft { cred, proxy, places, .. } = draft;
    let fs = places.and_then(|places| {
        let old = task.with_shares(|held| Some(StdArc::as_ptr(&held.as_ref()?.fs)))?;
        if let Some((_, known)) = moved.iter().find(|(of, _)| *of == old) {
            return Some(StdArc::clone(known));
        }
        let new = Fs::new(Some(places));
        moved.push((old, StdArc::clone(&new)));
        Some(new)
    });
    Ok(Plan { cred, proxy: Arc::new(proxy), fs })
}

struct Plan {
    cred: Option<Cred>,
    proxy: Arc<NsProxy>,
    fs: Option<StdArc<Fs>>,
}

/// A process none of whose threads can change, exit or make another.
struct Held {
    group: StdArc<ThreadGroup>,
    /// The change locks of all its threads, in the order of the threads' ids.
    turns: Vec<OwnedTurn>,
}

impl Held {
    fn all_of(target: &StdArc<Task>) -> Result<Held, Refusal> {
        for _ in 0..LOOKS {
            let mut threads = target.threads();
            if threads.is_empty() {
                return Err(Rule::SwitchTargetExited.refuse());
            }
            // Two switches of one process meet in this order; everybody else holds one lock only.
            threads.sort_by_key(|thread| thread.id());
            let turns: Vec<OwnedTurn> = threads.iter().map(|thread| thread.own_turn()).collect();
            match target.group().begin_switch(&threads) {
                Ok(()) => {
                    let mut held = Held { group: StdArc::clone(target.group()), turns };
                    // One may have exited while its lock was waited for.
                    held.turns.retain(|turn| !turn.task().has_exited());
                    if !held.turns.is_empty() {
                        return Ok(held);
                    }
                }
                Err(Unsettled::Grown | Unsettled::Births) => drop(turns),
            }
        }
        Err(Rule::SwitchThreadBeingMade.refuse())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Before the locks are given back: whoever waits for one may then make a thread.
        self.group.end_switch();
    }
}

/// A switch that is complete, checked, and seen by nobody.
///
/// [`commit`](Switch::commit) makes it so and cannot fail; dropping it undoes what was built. It
/// holds the change locks of all the target's threads.
#[must_use = "a switch that is dropped is undone"]
pub struct Switch {
    /// What was built goes before the locks are given back.
    plans: Vec<Plan>,
    held: Held,
    flags: CloneFlags,
}

impl Switch {
    /// The threads that move.
    pub fn threads(&self) -> impl Iterator<Item = &StdArc<Task>> {
        self.held.turns.iter().map(OwnedTurn::task)
    }

    /// The types asked for.
    pub fn flags(&self) -> CloneFlags {
        self.flags
    }

    /// Makes it so, thread by thread: each has all of the old or all of the new at any moment, and
    /// none makes a call in between, since each call that changes or makes a task waits.
    pub fn commit(mut self) {
        for (turn, plan) in self.held.turns.iter().zip(self.plans.drain(..)) {
            let Plan { cred, proxy, fs } = plan;
            apply(turn.task(), Way::Switch, self.flags, Some(proxy), cred, fs.map(NewFs::Own));
        }
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch")
            .field("threads", &self.held.turns.len())
            .field("flags", &self.flags)
            .finish()
    }
}
