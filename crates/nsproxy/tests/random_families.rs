//! Random programs of births, deaths, waits and joins: after every call each number leads to its
//! task and back, every process has one parent and one heir, and at the end nothing is left.
#![cfg(not(loom))]

mod common;

use common::*;
use nsproxy::{CloneFlags as F, *};
use proptest::{collection::vec, prelude::*, sample::select};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One call. Tasks are picked by number, modulo how many there are.
#[derive(Clone, Debug)]
enum Op {
    Clone(usize, F, u64),
    CloneFails(usize, F),
    Choose(usize, F, Vec<i32>),
    Unshare(usize),
    Join(usize, usize),
    JoinOwn(usize),
    Exit(usize),
    Kill(usize, i32, i32),
    Wait(usize, WaitFor, WaitKind),
    Forget(usize),
    Exec(usize),
    Subreaper(usize, bool),
    Ignore(usize, bool),
    Setsid(usize),
    Setpgid(usize, i32, i32),
    LastPid(usize, u32),
}

fn op() -> impl Strategy<Value = Op> {
    let n = || 0..16usize;
    let thread = F::THREAD | F::SIGHAND | F::VM;
    let flags = move || {
        select(vec![
            F::empty(),
            F::empty(),
            F::NEWPID,
            F::PARENT,
            thread,
            F::NEWUSER | F::NEWPID,
            F::VM | F::VFORK,
        ])
    };
    let number = || -1..12i32;
    let whom = prop_oneof![
        2 => Just(WaitFor::Any),
        1 => (0..12u32).prop_map(WaitFor::Number),
        1 => (0..12u32).prop_map(WaitFor::Group),
    ];
    let kind = select(vec![WaitKind::All, WaitKind::All, WaitKind::Ordinary, WaitKind::Clone]);
    prop_oneof![
        8 => (n(), flags(), select(vec![17, 17, 0, 10])).prop_map(|(t, f, s)| Op::Clone(t, f, s)),
        1 => (n(), flags()).prop_map(|(t, f)| Op::CloneFails(t, f)),
        2 => (n(), flags(), vec(number(), 0..3)).prop_map(|(t, f, c)| Op::Choose(t, f, c)),
        2 => n().prop_map(Op::Unshare),
        3 => (n(), n()).prop_map(|(t, o)| Op::Join(t, o)),
        1 => n().prop_map(Op::JoinOwn),
        4 => n().prop_map(Op::Exit),
        1 => (n(), number(), select(vec![0, 9, 15])).prop_map(|(t, p, s)| Op::Kill(t, p, s)),
        5 => (n(), whom, kind).prop_map(|(t, w, k)| Op::Wait(t, w, k)),
        1 => n().prop_map(Op::Forget),
        1 => n().prop_map(Op::Exec),
        1 => (n(), any::<bool>()).prop_map(|(t, on)| Op::Subreaper(t, on)),
        1 => (n(), any::<bool>()).prop_map(|(t, on)| Op::Ignore(t, on)),
        1 => n().prop_map(Op::Setsid),
        2 => (n(), number(), number()).prop_map(|(t, p, g)| Op::Setpgid(t, p, g)),
        1 => (n(), 0..310u32).prop_map(|(t, l)| Op::LastPid(t, l)),
    ]
}

struct World {
    system: System,
    tasks: Vec<Arc<Task>>,
}

impl World {
    fn new() -> World {
        let system = boot();
        let tasks = vec![root(&system), root(&system), user(&system, 1000)];
        World { system, tasks }
    }

    fn pick(&self, n: usize) -> Arc<Task> {
        Arc::clone(&self.tasks[n % self.tasks.len()])
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Clone(t, flags, signal) => {
                let args = CloneArgs::legacy(flags.bits() | signal);
                if let Ok(newborn) = prepare_clone(&self.pick(*t), &args) {
                    self.tasks.push(newborn.commit());
                }
            }
            Op::CloneFails(t, flags) => {
                let used = self.system.numbers_in_use();
                drop(prepare_clone(&self.pick(*t), &CloneArgs::legacy(flags.bits() | 17)));
                assert_eq!(self.system.numbers_in_use(), used);
            }
            Op::Choose(t, flags, set_tid) => {
                let parent = self.pick(*t);
                let args = CloneArgs { exit_signal: 0, ..CloneArgs::clone3(*flags, 0) };
                let facts = Facts { set_tid, ..Facts::default() };
                if let Ok(newborn) = prepare_clone_with(&parent, &args, facts) {
                    let child = newborn.commit();
                    let mut at = child.pid_ns();
                    for wanted in set_tid {
                        let ns = at.unwrap();
                        assert_eq!(child.number_in(&ns), Some(*wanted as u32));
                        at = ns.parent();
                    }
                    self.tasks.push(child);
                }
            }
            Op::Unshare(t) => drop(unshare(&self.pick(*t), F::NEWPID)),
            Op::Join(t, other) => {
                let target = self.pick(*other);
                let target = JoinTarget::Pidfd(&target, Dumpable(true));
                drop(setns(&self.pick(*t), target, F::NEWPID.bits()));
            }
            Op::JoinOwn(t) => {
                let task = self.pick(*t);
                let own = task.namespace(Link::Pid).unwrap();
                drop(setns(&task, JoinTarget::Namespace(&own), 0));
            }
            Op::Exit(t) => exit(&self.pick(*t)),
            Op::Kill(t, number, signal) => {
                let caller = self.pick(*t);
                for target in kill_targets(&caller, *number, *signal).unwrap_or_default() {
                    let by = Some(&*caller);
                    if *signal > 0 && !is_discarded(by, &target, *signal, Disposition::Default) {
                        target.threads().iter().for_each(exit);
                        exit(&target);
                    }
                }
            }
            Op::Wait(t, whom, kind) => {
                let caller = self.pick(*t);
                if let Ok(Some(waited)) = wait(&caller, *whom, *kind) {
                    assert!(waited.number > 0);
                    let task = waited.task.unwrap();
                    assert!(task.has_exited() && task.thread_count() == 0);
                    assert_eq!(task.number_in(&self.system.init_pid()), None);
                    self.tasks.retain(|known| !Arc::ptr_eq(known, &task));
                }
            }
            Op::Forget(t) => {
                // Whom the end of an init kills is for the embedder to say, so it ends first.
                let task = self.pick(*t);
                if task.is_init() {
                    task.threads().iter().for_each(exit);
                }
                self.tasks.retain(|known| !Arc::ptr_eq(known, &task));
            }
            Op::Exec(t) => drop(exec(&self.pick(*t), &ExecFile::default())),
            Op::Subreaper(t, on) => self.pick(*t).set_child_subreaper(*on),
            Op::Ignore(t, on) => self.pick(*t).set_ignores_children(*on),
            Op::Setsid(t) => drop(setsid(&self.pick(*t))),
            Op::Setpgid(t, number, group) => drop(setpgid(&self.pick(*t), *number, *group)),
            Op::LastPid(t, last) => {
                drop(set_last_pid(&self.pick(*t), 0, last.to_string().as_bytes()));
            }
        }
        if self.tasks.is_empty() {
            self.tasks.push(root(&self.system));
        }
    }

    fn check(&self) {
        let initial = self.system.init_pid();
        let mut numbers = BTreeSet::from([1]);
        for task in &self.tasks {
            let mut at = task.pid_ns();
            let own = task.pid_ns().unwrap();
            let Some(number) = task.number_in(&initial) else {
                // Reaped, or a thread that has exited: no number anywhere, and no process or one
                // that others are.
                assert!(task.has_exited() && task.number_in(&own).is_none());
                continue;
            };
            let called = initial.find(number).unwrap();
            assert!(numbers.insert(number), "{number} twice");
            while let Some(ns) = at {
                let number = task.number_in(&ns).unwrap();
                let found = ns.find(number).unwrap();
                assert!(Arc::ptr_eq(&found, &called), "{task:?} is not {number} in {ns:?}");
                at = ns.parent();
            }
            assert_eq!(task.is_init(), task.process_number_in(&own) == Some(1));
            // A parent that can be seen has a number, and is alive, or an init that lingers.
            if let Some(parent) = task.parent() {
                let known = parent.process_number_in(&parent.pid_ns().unwrap());
                assert!(known.is_some(), "{task:?} has a parent that was reaped");
                assert!(parent.thread_count() > 0 || parent.is_init(), "{task:?} is an orphan");
            }
            if !task.has_exited() && own.has_init() {
                let orphaned = own.is_dead() && !own.is_initial();
                assert!(!orphaned || task.is_init(), "{task:?} outlives its init");
            }
        }
    }

    /// Everybody lets go.
    fn end(self) {
        let World { system, tasks } = self;
        drop(tasks);
        assert_eq!((system.numbers_in_use(), system.namespaces_alive()), (1, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_number_leads_to_its_task_and_nothing_is_left(ops in vec(op(), 1..60)) {
        let mut world = World::new();
        for op in &ops {
            world.run(op);
            world.check();
        }
        world.end();
    }
}
