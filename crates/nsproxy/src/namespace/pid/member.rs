//! A task's place in the family, and the numbers it is seen by.

use super::{
    PidNs,
    family::{Family, Life, Parent, PidKey, ProcessKey, Status, Waste},
    tree::Descent,
};
use crate::{
    CloneFlags, Kind,
    cred::Cred,
    group::{Handlers, Shares},
    rule::Refusal,
    sync::Arc,
    system::Kernel,
    task::Task,
};
use alloc::{
    sync::{Arc as StdArc, Weak},
    vec::Vec,
};
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use slotmap::{Key, KeyData};

const UNBORN: u8 = 0;
const ALIVE: u8 = 1;
const EXITED: u8 = 2;

/// What a task knows of its place. There is none where pid namespaces are not built in.
pub(crate) struct Member {
    /// Its namespace, from birth to death.
    ns: Arc<PidNs>,
    /// Its number's key. A thread that executes a program gets the first thread's.
    pid: AtomicU64,
    process: ProcessKey,
    /// It was born as one thread of several.
    thread: bool,
    stage: AtomicU8,
}

impl Member {
    fn new(ns: Arc<PidNs>, pid: PidKey, process: ProcessKey, thread: bool) -> Member {
        let pid = AtomicU64::new(pid.data().as_ffi());
        Member { ns, pid, process, thread, stage: AtomicU8::new(UNBORN) }
    }

    pub(super) fn pid(&self) -> PidKey {
        KeyData::from_ffi(self.pid.load(Ordering::Relaxed)).into()
    }

    pub(super) fn process(&self) -> ProcessKey {
        self.process
    }

    pub(super) fn ns(&self) -> &Arc<PidNs> {
        &self.ns
    }
}

/// Looks at the family, or changes it; what must not be dropped under its lock is dropped after.
pub(super) fn with_family<R>(kernel: &Kernel, act: impl FnOnce(&mut Family, &mut Waste) -> R) -> R {
    let mut waste = Waste::default();
    let result = act(&mut kernel.family.lock(), &mut waste);
    drop(waste);
    result
}

/// The place of a task that was there before: in the initial namespace, its parent unknown.
/// `None` where pid namespaces are not built in, and if there is no number left.
pub(crate) fn adopt(
    kernel: &Kernel,
    initial: &Arc<PidNs>,
    thread_of: Option<&Task>,
    cred: &Cred,
) -> Option<Member> {
    kernel.built(Kind::Pid).ok()?;
    let peer = match thread_of {
        Some(peer) => Some(peer.member()?),
        None => None,
    };
    let ns = peer.map_or(initial, |peer| &peer.ns);
    let of = peer.map(|peer| peer.process);
    let (pid, process) = with_family(kernel, |family, _| family.adopt(ns, of, cred)).ok()?;
    let member = Member::new(Arc::clone(ns), pid, process, of.is_some());
    member.stage.store(ALIVE, Ordering::Relaxed);
    Some(member)
}

/// The place of a task that `parent` makes, in the namespace `ns`. The numbers are taken: the
/// chosen ones, the innermost first, and then what is free.
pub(crate) fn conceive(
    parent: &Task,
    ns: &Arc<PidNs>,
    flags: CloneFlags,
    exit_signal: u64,
    chosen: &[i32],
) -> Result<Option<Member>, Refusal> {
    let Some(of) = parent.member() else { return Ok(None) };
    let thread = flags.contains(CloneFlags::THREAD);
    let descent = Descent {
        by: of.process,
        thread,
        sibling: flags.contains(CloneFlags::PARENT),
        exit_signal: exit_signal as u8,
    };
    let by = parent.cred();
    let (pid, process) =
        with_family(&parent.kernel, |family, _| family.conceive(ns, Some(descent), chosen, &by))?;
    Ok(Some(Member::new(Arc::clone(ns), pid, process, thread)))
}

impl Task {
    /// Lets the family know whose place it is, once the task exists.
    pub(crate) fn take_place(self: &StdArc<Task>) {
        let Some(member) = self.member() else { return };
        let handlers = self.handlers();
        with_family(&self.kernel, |family, _| {
            if let Some(pid) = family.pids.get_mut(member.pid()) {
                pid.task = StdArc::downgrade(self);
            }
            if let Some(process) = family.processes.get_mut(member.process) {
                process.handlers = handlers;
            }
        });
    }

    /// Tells the model by which number the task is called, where numbers are
    /// [`Numbers::Given`](crate::Numbers) and it was [adopted](crate::System::adopt).
    pub fn set_number(&self, number: u32) {
        let Some(member) = self.member() else { return };
        let (pid, thread) = (member.pid(), member.thread);
        with_family(&self.kernel, |family, _| family.give(pid, number, thread));
    }

    /// The family's part of a birth.
    pub(crate) fn be_born(&self, number: Option<u32>) {
        let Some(member) = self.member() else { return };
        member.stage.store(ALIVE, Ordering::Relaxed);
        let (pid, process) = (member.pid(), member.process);
        with_family(&self.kernel, |family, _| family.bear(pid, process, member.thread, number));
    }

    /// The family's part of an exit. Returns the processes that are killed by it.
    pub(crate) fn leave_family(&self, status: Status) -> Vec<StdArc<Task>> {
        let Some(member) = self.member() else { return Vec::new() };
        let was = member.stage.swap(EXITED, Ordering::Relaxed);
        let (pid, process) = (member.pid(), member.process);
        with_family(&self.kernel, |family, waste| match was {
            UNBORN => {
                family.miscarry(pid, process, member.thread, waste);
                Vec::new()
            }
            ALIVE => family.exit(pid, process, status, waste),
            _ => Vec::new(),
        })
    }

    /// Nobody has a reference to the task any more: if it is a zombie, it is reaped.
    pub(crate) fn be_forgotten(&self) {
        let Some(member) = self.member() else { return };
        with_family(&self.kernel, |family, waste| {
            let place = family.pids.get(member.pid());
            if place.is_some_and(|place| core::ptr::eq(place.task.as_ptr(), self)) {
                family.forget(member.process, waste);
            }
        });
    }

    /// It has executed a program. The other threads have exited; it gets the first one's numbers.
    pub(crate) fn lead_family(self: &StdArc<Task>) {
        let Some(member) = self.member() else { return };
        let first = with_family(&self.kernel, |family, waste| {
            let process = family.processes.get_mut(member.process)?;
            process.executed = true;
            let (old, new) = (member.pid(), process.pid);
            if old == new {
                return None;
            }
            member.pid.store(new.data().as_ffi(), Ordering::Relaxed);
            let place = family.pids.get_mut(new)?;
            let first = core::mem::replace(&mut place.task, StdArc::downgrade(self)).upgrade();
            if let Some(first) = first.as_ref().and_then(|first| first.member()) {
                first.pid.store(old.data().as_ffi(), Ordering::Relaxed);
            }
            if let Some(place) = family.pids.get_mut(old) {
                place.task = Weak::new();
            }
            let mut alone = Vec::new();
            family.unuse(old, waste, &mut alone);
            first
        });
        drop(first); // not under the lock
    }

    /// The pid namespace it was born in; `None` where pid namespaces are not built in.
    pub fn pid_ns(&self) -> Option<Arc<PidNs>> {
        self.member().map(|member| Arc::clone(&member.ns))
    }

    /// The number of the thread as seen from `ns`: what gettid(2) gives in its own namespace.
    /// `None` if it cannot be seen from there, and once it has been reaped.
    pub fn number_in(&self, ns: &PidNs) -> Option<u32> {
        self.numbered(ns, |family, member| {
            // A number can outlive its task, as that of a group or session.
            let place = family.pids.get(member.pid())?;
            core::ptr::eq(place.task.as_ptr(), self).then(|| member.pid())
        })
    }

    /// The number of the process as seen from `ns`: what getpid(2) gives in its own namespace.
    pub fn process_number_in(&self, ns: &PidNs) -> Option<u32> {
        self.numbered(ns, |family, member| Some(family.process(member.process)?.pid))
    }

    /// The number of its process group as seen from `ns`.
    pub fn group_number_in(&self, ns: &PidNs) -> Option<u32> {
        self.numbered(ns, |family, member| Some(family.process(member.process)?.group))
    }

    /// The number of its session as seen from `ns`.
    pub fn session_number_in(&self, ns: &PidNs) -> Option<u32> {
        self.numbered(ns, |family, member| Some(family.process(member.process)?.session))
    }

    /// The number of its parent as seen from `ns`: what getppid(2) gives in its own namespace, where
    /// `None` reads as 0. A parent that the system does not know is the initial namespace's init.
    pub fn parent_number_in(&self, ns: &PidNs) -> Option<u32> {
        let member = self.member()?;
        let family = self.kernel.family.lock();
        match family.process(member.process)?.parent {
            Parent::Process(parent) => family.number_in(family.process(parent)?.pid, ns),
            Parent::Outside { .. } => ns.is_initial().then_some(1),
        }
    }

    /// The first thread of its parent process; `None` if that is not of this system.
    pub fn parent(&self) -> Option<StdArc<Task>> {
        let member = self.member()?;
        let family = self.kernel.family.lock();
        match family.process(member.process)?.parent {
            Parent::Process(parent) => family.leader(parent),
            Parent::Outside { .. } => None,
        }
    }

    /// A line of `/proc/PID/status` for a procfs that shows `ns` (`NSpid` and its like): what
    /// `which` gives in `ns` and in each namespace below it down to the task's own, 0 where there
    /// is nothing to be seen. Empty if the task cannot be seen from `ns`.
    pub fn numbers_from(&self, ns: &PidNs, which: fn(&Task, &PidNs) -> Option<u32>) -> Vec<u32> {
        let mut numbers = Vec::new();
        let own = self.pid_ns();
        let mut at = own.as_deref().filter(|own| own.is_within(ns));
        while let Some(level) = at {
            numbers.push(which(self, level).unwrap_or(0));
            at = level.parent_ref().map(|parent| &**parent).filter(|_| *level != *ns);
        }
        numbers.reverse();
        numbers
    }

    /// Says whether both are of one session.
    pub(crate) fn same_session(&self, other: &Task) -> bool {
        let session =
            |family: &Family, task: &Task| Some(family.process(task.member()?.process)?.session);
        let family = self.kernel.family.lock();
        session(&family, self).is_some_and(|own| session(&family, other) == Some(own))
    }

    /// Says whether its process is the init of its pid namespace: it adopts the orphans there, its
    /// end kills everybody inside, and signals from inside cannot kill it.
    pub fn is_init(&self) -> bool {
        self.member()
            .is_some_and(|member| self.kernel.family.lock().init_of(member.process).is_some())
    }

    /// Says whether its process is an init that has ended and cannot be waited for yet: others are
    /// called by a number of its namespace.
    pub fn lingers(&self) -> bool {
        self.member().is_some_and(|member| {
            let family = self.kernel.family.lock();
            family.process(member.process).is_some_and(|process| process.life == Life::Lingering)
        })
    }

    /// Sets whether its process adopts the orphans below it (`PR_SET_CHILD_SUBREAPER`).
    pub fn set_child_subreaper(&self, on: bool) {
        self.set_in_family(|family, process| {
            let Some(process) = family.processes.get_mut(process) else { return };
            let before = core::mem::replace(&mut process.subreaper, on);
            family.subreapers = family.subreapers + usize::from(on) - usize::from(before);
        });
    }

    /// Says whether its process adopts the orphans below it (`PR_GET_CHILD_SUBREAPER`).
    pub fn child_subreaper(&self) -> bool {
        self.member().is_some_and(|member| {
            let family = self.kernel.family.lock();
            family.process(member.process).is_some_and(|process| process.subreaper)
        })
    }

    /// Tells the model whether its process wants to know of its children's ends: it does not while
    /// SIGCHLD is ignored or its handler has `SA_NOCLDWAIT`. Children then leave no zombies. It
    /// holds for all who share its handlers, and children inherit it.
    pub fn set_ignores_children(&self, ignores: bool) {
        self.with_shares(|held| {
            if let Some(held) = held {
                held.handlers.set_ignores_children(ignores);
            }
        });
    }

    /// Lets the family know that its process has other handlers now.
    pub(crate) fn show_handlers(&self) {
        let handlers = self.handlers();
        self.set_in_family(|family, process| {
            if let Some(process) = family.processes.get_mut(process) {
                process.handlers = handlers;
            }
        });
    }

    fn handlers(&self) -> Weak<Handlers> {
        let handlers = |held: &Shares| StdArc::downgrade(&held.handlers);
        self.with_shares(|held| held.as_ref().map(handlers)).unwrap_or_default()
    }

    fn set_in_family(&self, set: impl FnOnce(&mut Family, ProcessKey)) {
        if let Some(member) = self.member() {
            set(&mut self.kernel.family.lock(), member.process);
        }
    }

    fn numbered(
        &self,
        ns: &PidNs,
        which: impl FnOnce(&Family, &Member) -> Option<PidKey>,
    ) -> Option<u32> {
        let member = self.member()?;
        let family = self.kernel.family.lock();
        family.number_in(which(&family, member)?, ns)
    }
}
