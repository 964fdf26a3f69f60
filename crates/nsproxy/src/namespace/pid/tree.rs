//! Births, deaths and who inherits whom (`copy_process`, `exit_notify`, `release_task`,
//! `zap_pid_ns_processes`).

use super::{
    PidNs,
    family::{Family, Life, Parent, PidKey, Process, ProcessKey, SpaceKey, Status, Waste},
};
use crate::{cred::Cred, rule::Refusal, sync::Arc, task::Task};
use alloc::{
    collections::BTreeSet,
    sync::{Arc as StdArc, Weak},
    vec::Vec,
};

/// The signal that a parent is sent unless the child was made with another one.
const SIGCHLD: u8 = 17;

/// Who a new task descends from.
pub(super) struct Descent {
    /// The process that makes it.
    pub(super) by: ProcessKey,
    /// It is a thread of that process.
    pub(super) thread: bool,
    /// It is a child of that process's parent.
    pub(super) sibling: bool,
    pub(super) exit_signal: u8,
}

impl Family {
    /// Makes the place of a task that was there before: it is in `ns`, and its parent is not here.
    pub(super) fn adopt(
        &mut self,
        ns: &Arc<PidNs>,
        thread_of: Option<ProcessKey>,
        cred: &Cred,
    ) -> Result<(PidKey, ProcessKey), Refusal> {
        let descent =
            thread_of.map(|by| Descent { by, thread: true, sibling: false, exit_signal: 0 });
        let (pid, process) = self.conceive(ns, descent, &[], cred)?;
        self.bear(pid, process, thread_of.is_some(), None);
        Ok((pid, process))
    }

    /// Makes the place of a task that is not born yet: its numbers are taken, and nobody can wait
    /// for it. Without `descent` it will be a process whose parent is outside.
    pub(super) fn conceive(
        &mut self,
        ns: &Arc<PidNs>,
        descent: Option<Descent>,
        chosen: &[i32],
        cred: &Cred,
    ) -> Result<(PidKey, ProcessKey), Refusal> {
        if let Some(Descent { by, thread: true, .. }) = descent {
            let pid = self.take_numbers(ns, chosen, cred, by)?;
            return Ok((pid, by));
        }
        let model = descent.as_ref().and_then(|descent| self.processes.get(descent.by));
        let shared = model.map(|model| (model.group, model.session));
        let (parent, exit_signal) = match (&descent, model) {
            (Some(Descent { sibling: true, .. }), Some(model)) => (model.parent, model.exit_signal),
            (Some(descent), _) => (Parent::Process(descent.by), descent.exit_signal),
            (None, _) => (Parent::Outside { reaps: false }, SIGCHLD),
        };
        // Nobody it could have them from: they are the outside's.
        let (group, session) = shared.unwrap_or_default();
        let process = self.processes.insert(Process {
            pid: PidKey::default(),
            group,
            session,
            parent,
            first_child: None,
            last_child: None,
            next: None,
            previous: None,
            threads: 0,
            life: Life::Unborn,
            status: Status::default(),
            exit_signal,
            subreaper: false,
            handlers: Weak::new(),
            leads_session: false,
            executed: false,
            forgotten: false,
        });
        let pid = match self.take_numbers(ns, chosen, cred, process) {
            Ok(pid) => pid,
            Err(refusal) => {
                self.processes.remove(process);
                return Err(refusal);
            }
        };
        if let Some(process) = self.processes.get_mut(process) {
            process.pid = pid;
        }
        self.use_(group);
        self.use_(session);
        Ok((pid, process))
    }

    /// Lets it live: its parent can wait for it, and number 1 is its namespace's init.
    ///
    /// `number` is what it is called, where numbers are given.
    pub(super) fn bear(&mut self, pid: PidKey, key: ProcessKey, thread: bool, number: Option<u32>) {
        if let Some(number) = number {
            self.give(pid, number, thread);
        }
        let Some(process) = self.processes.get_mut(key) else { return };
        process.threads += 1;
        if thread {
            return;
        }
        process.life = Life::Alive;
        let mut parent = process.parent;
        // Whoever it should be the child of may have gone meanwhile, and been reaped.
        if let Parent::Process(of) = parent {
            parent = match self.processes.get(of) {
                Some(of) if of.threads > 0 => parent,
                Some(_) => self.heir(of),
                None => self.init_above(pid),
            };
        }
        self.link(key, parent);
        let Some(pid) = self.pids.get(pid) else { return };
        if pid.numbers.last() == Some(&1)
            && !pid.ns.is_initial()
            && let Some(space) = self.spaces.get_mut(pid.ns.space())
        {
            space.init = Some(key);
        }
    }

    /// Takes back what was made for a task that was never born.
    pub(super) fn miscarry(
        &mut self,
        pid: PidKey,
        key: ProcessKey,
        thread: bool,
        waste: &mut Waste,
    ) {
        let mut alone = Vec::new();
        if !thread && let Some(process) = self.processes.remove(key) {
            self.unuse(process.group, waste, &mut alone);
            self.unuse(process.session, waste, &mut alone);
        }
        self.unuse(pid, waste, &mut alone);
        self.let_go(alone, waste);
    }

    /// Ends one thread, and with the last one the process. Returns the first threads of the
    /// processes that its end kills: all that are left in the namespace it was the init of.
    pub(super) fn exit(
        &mut self,
        pid: PidKey,
        key: ProcessKey,
        status: Status,
        waste: &mut Waste,
    ) -> Vec<StdArc<Task>> {
        let mut alone = Vec::new();
        let Some(process) = self.processes.get_mut(key) else { return Vec::new() };
        process.threads = process.threads.saturating_sub(1);
        let (last, leads) = (process.threads == 0, process.pid == pid);
        if leads {
            process.status = status;
        } else {
            self.unuse(pid, waste, &mut alone);
        }
        let mut killed = Vec::new();
        if last {
            if let Some(space) = self.init_of(key) {
                killed = self.close(space, key, waste, &mut alone);
            } else {
                self.leave_children(key, waste, &mut alone);
                self.set_life(key, Life::Zombie);
                self.notify(key, waste, &mut alone);
            }
        }
        self.let_go(alone, waste);
        killed
    }

    /// The namespace that a process is the init of.
    pub(super) fn init_of(&self, key: ProcessKey) -> Option<SpaceKey> {
        let pid = self.pids.get(self.processes.get(key)?.pid)?;
        let space = pid.ns.space();
        (self.spaces.get(space)?.init == Some(key)).then_some(space)
    }

    /// The init of a namespace ends: no number is given out any more, everybody inside is killed,
    /// and the init cannot be waited for before they have all been reaped.
    fn close(
        &mut self,
        space: SpaceKey,
        init: ProcessKey,
        waste: &mut Waste,
        alone: &mut Vec<ProcessKey>,
    ) -> Vec<StdArc<Task>> {
        self.set_life(init, Life::Lingering);
        // The kernel has the init ignore SIGCHLD to be rid of its children sooner. Whoever shares
        // its handlers, and is not in the namespace, ignores it from now on, too.
        if let Some(handlers) = self.process(init).and_then(|process| process.handlers.upgrade()) {
            handlers.set_ignores_children(true);
        }
        let Some(space) = self.spaces.get_mut(space) else { return Vec::new() };
        space.closed = true;
        let inside: Vec<PidKey> = space.numbers.values().copied().collect();
        let mut killed = Vec::new();
        let mut others = BTreeSet::new();
        for pid in inside {
            let Some(place) = self.pids.get(pid) else { continue };
            let Some(process) = self.processes.get(place.process) else { continue };
            // One thread a process: the first, unless the embedder has let go of it.
            let meant = process.pid == pid
                || (self.leader_is_gone(process) && others.insert(place.process));
            if meant
                && matches!(process.life, Life::Unborn | Life::Alive)
                && let Some(task) = place.task.upgrade()
            {
                killed.push(task);
            }
        }
        let zombies: Vec<ProcessKey> =
            self.children(init).filter(|child| self.is(*child, Life::Zombie)).collect();
        for child in zombies {
            self.release(child, waste, alone);
        }
        alone.push(init);
        killed
    }

    /// Ends the waiting of inits that are the last in their dead namespaces, and so on upwards.
    pub(super) fn let_go(&mut self, mut alone: Vec<ProcessKey>, waste: &mut Waste) {
        while let Some(init) = alone.pop() {
            let Some(space) = self.init_of(init) else { continue };
            let last = self.spaces.get(space).is_some_and(|space| space.count() == 1);
            if last && self.is(init, Life::Lingering) {
                // Children of its own, it has none: they would have a number here.
                self.set_life(init, Life::Zombie);
                self.notify(init, waste, &mut alone);
            }
        }
    }

    fn leader_is_gone(&self, process: &Process) -> bool {
        self.pids.get(process.pid).is_none_or(|pid| pid.task.strong_count() == 0)
    }

    fn set_life(&mut self, key: ProcessKey, life: Life) {
        if let Some(process) = self.processes.get_mut(key) {
            process.life = life;
        }
    }

    fn is(&self, key: ProcessKey, life: Life) -> bool {
        self.processes.get(key).is_some_and(|process| process.life == life)
    }

    /// Gives the children of a process that ends to whoever inherits them.
    fn leave_children(
        &mut self,
        dying: ProcessKey,
        waste: &mut Waste,
        alone: &mut Vec<ProcessKey>,
    ) {
        let children: Vec<ProcessKey> = self.children(dying).collect();
        if children.is_empty() {
            return;
        }
        let heir = self.heir(dying);
        for child in children {
            self.unlink(child);
            self.link(child, heir);
            if let Some(process) = self.processes.get_mut(child) {
                process.exit_signal = SIGCHLD;
            }
            if self.is(child, Life::Zombie) {
                self.notify(child, waste, alone);
            }
        }
    }

    /// Who inherits the children of `dying`: the nearest subreaper above it whose number is at the
    /// same level, or the init of its own namespace.
    fn heir(&self, dying: ProcessKey) -> Parent {
        let level = |key: ProcessKey| {
            let pid = self.pids.get(self.processes.get(key)?.pid)?;
            Some(pid.numbers.len())
        };
        let own = level(dying);
        let mut at = self.processes.get(dying).map(|process| process.parent);
        while let Some(Parent::Process(key)) = at.filter(|_| self.subreapers > 0) {
            let Some(process) = self.processes.get(key) else { break };
            if level(key) != own {
                break;
            }
            if process.subreaper && process.threads > 0 {
                return Parent::Process(key);
            }
            at = Some(process.parent);
        }
        let init = || {
            let pid = self.pids.get(self.processes.get(dying)?.pid)?;
            self.spaces.get(pid.ns.space())?.init
        };
        // Where numbers are the embedder's, so is who waits for whom outside.
        init().map_or(Parent::Outside { reaps: !self.given }, Parent::Process)
    }

    /// Who inherits a child whose parent is gone without a trace: the init of its namespace, or, if it
    /// is that itself, of the one above.
    fn init_above(&self, child: PidKey) -> Parent {
        let init = || {
            let pid = self.pids.get(child)?;
            let above = pid.ns.parent();
            let ns = if pid.numbers.last() == Some(&1) { above.as_ref()? } else { &pid.ns };
            self.spaces.get(ns.space())?.init
        };
        init().map_or(Parent::Outside { reaps: !self.given }, Parent::Process)
    }

    /// A process has become a zombie, or has got another parent as one: if that parent does not
    /// want to know, it is reaped.
    fn notify(&mut self, key: ProcessKey, waste: &mut Waste, alone: &mut Vec<ProcessKey>) {
        let Some(process) = self.processes.get(key) else { return };
        let unwanted = match process.parent {
            Parent::Outside { reaps } => reaps,
            Parent::Process(parent) => self.processes.get(parent).is_none_or(|parent| {
                parent.life == Life::Lingering
                    || (process.exit_signal == SIGCHLD
                        && parent.handlers.upgrade().is_some_and(|it| it.ignores_children()))
            }),
        };
        if unwanted || process.forgotten {
            self.release(key, waste, alone);
        }
    }

    /// Reaps a zombie: its number is free, unless a group or session is still called by it.
    pub(super) fn release(
        &mut self,
        key: ProcessKey,
        waste: &mut Waste,
        alone: &mut Vec<ProcessKey>,
    ) {
        self.unlink(key);
        let Some(process) = self.processes.remove(key) else { return };
        self.subreapers -= usize::from(process.subreaper);
        // Whoever has the number's task alive here keeps it no longer.
        if let Some(pid) = self.pids.get_mut(process.pid) {
            pid.task = Weak::new();
        }
        for pid in [process.pid, process.group, process.session] {
            self.unuse(pid, waste, alone);
        }
    }

    /// Reaps a zombie for a parent that waited for it.
    pub(super) fn reap(&mut self, key: ProcessKey, waste: &mut Waste) {
        let mut alone = Vec::new();
        self.release(key, waste, &mut alone);
        self.let_go(alone, waste);
    }

    /// The embedder has no reference to a process's first thread any more: a zombie is reaped,
    /// and the others will be when they end.
    pub(super) fn forget(&mut self, key: ProcessKey, waste: &mut Waste) {
        let Some(process) = self.processes.get_mut(key) else { return };
        process.forgotten = true;
        match process.life {
            Life::Zombie => self.reap(key, waste),
            // If a group from inside is its own, it waits for itself: in Linux for ever.
            Life::Lingering => {
                let left = [&mut process.group, &mut process.session].map(core::mem::take);
                let mut alone = Vec::new();
                for pid in left {
                    self.unuse(pid, waste, &mut alone);
                }
                self.let_go(alone, waste);
            }
            _ => {}
        }
    }
}
