//! Every interleaving of the switches that are feared most.
//!
//! Run: `RUSTFLAGS="--cfg loom" cargo test -p nsproxy --test loom --release`
//!
//! Under `--cfg loom` every `Arc` of a namespace, an `NsProxy` and a credential is loom's, as is
//! every lock, so loom itself reports a leak, a use after free or a deadlock. The published pointer
//! itself is explored in `src/rcu.rs`; here it is the protocol around it.
#![cfg(loom)]

use loom::thread;
use nsproxy::{
    CloneArgs, CloneFlags, Config, Cred, Dumpable, Event, Events, JoinTarget, Kind, KindSet, Rule,
    System, Task, exit, prepare_clone, prepare_setns, prepare_unshare,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Counts how often each UTS namespace number was made and freed.
#[derive(Default)]
struct Ledger(Mutex<HashMap<u32, (u32, u32)>>);

impl Events for Ledger {
    fn event(&self, event: &Event<'_>) {
        let mut counts = self.0.lock().unwrap();
        match *event {
            Event::Created { kind: Kind::Uts, inode, .. } => {
                counts.entry(inode).or_default().0 += 1
            }
            Event::Freed { kind: Kind::Uts, inode } => counts.entry(inode).or_default().1 += 1,
            _ => {}
        }
    }
}

impl Ledger {
    /// Is the namespace of that number alive?
    fn alive(&self, inode: u32) -> bool {
        let counts = self.0.lock().unwrap();
        counts.get(&inode).is_some_and(|(made, freed)| made == &(freed + 1))
    }

    /// Was everything that was made freed, each once?
    fn all_freed_once(&self) -> bool {
        self.0.lock().unwrap().iter().all(|(inode, (made, freed))| {
            made == freed || (*made == 0 && *freed == 1 && *inode == INIT_UTS)
        })
    }
}

const INIT_UTS: u32 = 4026531838;

/// The two types that are watched here. Numbers and processes would only add one more lock, which
/// nobody else holds, to every birth and death.
fn config() -> Config {
    Config { built: KindSet::of(&[Kind::Uts, Kind::User]), ..Config::default() }
}

struct World {
    ledger: Arc<Ledger>,
    system: System,
}

impl World {
    fn new() -> World {
        let ledger = Arc::new(Ledger::default());
        World { system: System::with_events(config(), ledger.clone()), ledger }
    }

    fn root(&self) -> Arc<Task> {
        self.system.adopt(None, Cred::root(&self.system.init_user()))
    }

    /// A task in a UTS namespace of its own.
    fn alone(&self) -> Arc<Task> {
        let task = self.root();
        prepare_unshare(&task, CloneFlags::NEWUTS).unwrap().commit();
        task
    }

    /// Everything is gone: no namespace but the initial ones, nothing freed twice.
    fn end(self) {
        assert_eq!(self.system.namespaces_alive(), 0);
        let World { ledger, system } = self;
        drop(system);
        assert!(ledger.all_freed_once(), "{:?}", ledger.0.lock().unwrap());
    }
}

/// Every interleaving, or those of at most `LOOM_MAX_PREEMPTIONS` preemptions. A test that
/// `LOOM_MAX_DURATION` cut short has not seen them all, and says so.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 100_000;
    let (start, limit) = (std::time::Instant::now(), builder.max_duration);
    let bound = builder.preemption_bound;
    builder.check(model);
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let took = start.elapsed();
    match limit.is_some_and(|limit| took >= limit) {
        true => println!("{test}: CUT SHORT after {} s, not exhaustive", took.as_secs()),
        false => println!("{test}: exhaustive to {bound:?} preemptions, {} ms", took.as_millis()),
    }
}

/// Feared: a reader takes the pointer, the writer's drop frees the object, the reader uses it.
#[test]
fn a_reader_never_holds_a_freed_namespace() {
    explore(|| {
        let world = World::new();
        let task = world.alone();
        let old = task.nsproxy().unwrap().uts.inode();
        let change = prepare_unshare(&task, CloneFlags::NEWUTS).unwrap();
        let new = change.nsproxy().unwrap().uts.inode();
        let reader = {
            let (task, ledger) = (task.clone(), world.ledger.clone());
            thread::spawn(move || {
                let seen = task.nsproxy().unwrap();
                let inode = seen.uts.inode();
                assert!(inode == old || inode == new);
                assert!(ledger.alive(inode));
                // Whoever reads later never sees the older one again.
                if inode == new {
                    assert_eq!(task.nsproxy().unwrap().uts.inode(), new);
                }
            })
        };
        change.commit();
        reader.join().unwrap();
        assert!(!world.ledger.alive(old));
        drop(task);
        world.end();
    });
}

/// Feared: reader and writer both think they are the last to let go of the old object.
#[test]
fn the_last_to_let_go_frees_exactly_once() {
    explore(|| {
        let world = World::new();
        let task = world.alone();
        let held = task.nsproxy().unwrap();
        let inode = held.uts.inode();
        let change = prepare_unshare(&task, CloneFlags::NEWUTS).unwrap();
        let reader = thread::spawn(move || drop(held));
        change.commit();
        reader.join().unwrap();
        assert_eq!(world.ledger.0.lock().unwrap()[&inode], (1, 1));
        drop(task);
        world.end();
    });
}

/// Feared: two changes of one task both start from the same old object, and one is lost.
#[test]
fn two_switches_of_one_task_come_one_after_the_other() {
    explore(|| {
        let world = World::new();
        let task = world.root();
        let other = {
            let task = task.clone();
            thread::spawn(move || {
                prepare_unshare(&task, CloneFlags::NEWUTS).unwrap().commit();
            })
        };
        prepare_unshare(&task, CloneFlags::NEWUTS).unwrap().commit();
        other.join().unwrap();
        assert_eq!(world.system.namespaces_alive(), 1);
        assert!(world.ledger.alive(task.nsproxy().unwrap().uts.inode()));
        drop(task);
        world.end();
    });
}

/// Feared: joining by pidfd a process that exits takes a namespace that is already freed.
#[test]
fn joining_an_exiting_process_gets_its_live_namespace_or_esrch() {
    explore(|| {
        let world = World::new();
        let (target, joiner) = (world.alone(), world.root());
        let inode = target.nsproxy().unwrap().uts.inode();
        let dying = {
            let target = target.clone();
            thread::spawn(move || exit(&target))
        };
        let pidfd = JoinTarget::Pidfd(&target, Dumpable(true));
        match prepare_setns(&joiner, pidfd, CloneFlags::NEWUTS.bits()) {
            Ok(change) => {
                change.commit();
                assert_eq!(joiner.nsproxy().unwrap().uts.inode(), inode);
                assert!(world.ledger.alive(inode));
            }
            Err(refusal) => assert_eq!(refusal.rule, Rule::JoinProcessExited),
        }
        dying.join().unwrap();
        drop((target, joiner));
        world.end();
    });
}

/// Feared: a clone that fails and the exit of its parent both drop the object they share.
#[test]
fn a_failed_clone_and_the_parents_exit_free_once() {
    explore(|| {
        let world = World::new();
        let parent = world.alone();
        let newborn = prepare_clone(&parent, &CloneArgs::fork()).unwrap();
        let fails = thread::spawn(move || drop(newborn));
        exit(&parent);
        fails.join().unwrap();
        drop(parent);
        world.end();
    });
}

/// Feared: a failed clone undoes its own new namespace, not what its parent switched to.
#[test]
fn a_failed_clone_undoes_only_its_own() {
    explore(|| {
        let world = World::new();
        let parent = world.root();
        let newborn = prepare_clone(&parent, &CloneArgs::clone3(CloneFlags::NEWUTS, 17)).unwrap();
        let change = prepare_unshare(&parent, CloneFlags::NEWUTS).unwrap();
        let fails = thread::spawn(move || drop(newborn));
        change.commit();
        fails.join().unwrap();
        assert_eq!(world.system.namespaces_alive(), 1);
        assert!(world.ledger.alive(parent.nsproxy().unwrap().uts.inode()));
        drop(parent);
        world.end();
    });
}

/// Feared: an exit comes between prepare and commit, and the dead task gets namespaces again.
#[test]
fn an_exit_waits_for_a_prepared_change() {
    explore(|| {
        let world = World::new();
        let task = world.root();
        let dying = {
            let task = task.clone();
            thread::spawn(move || exit(&task))
        };
        match prepare_unshare(&task, CloneFlags::NEWUTS) {
            Ok(change) => change.commit(),
            Err(refusal) => assert_eq!(refusal.rule, Rule::CallerExited),
        }
        dying.join().unwrap();
        assert!(task.nsproxy().is_none());
        assert_eq!(world.system.namespaces_alive(), 0);
        drop(task);
        world.end();
    });
}

/// Feared: a credential reader sees the user namespace of one change and the ids of another.
#[test]
fn credentials_are_seen_whole() {
    explore(|| {
        let world = World::new();
        let task = world.root();
        let change = prepare_unshare(&task, CloneFlags::NEWUSER).unwrap();
        let reader = {
            let task = task.clone();
            thread::spawn(move || {
                let cred = task.cred();
                let inside = cred.user.level() == 1;
                assert_eq!(cred.user.map_uid(0).is_none(), inside);
                assert_eq!(cred.user.parent().is_some(), inside);
            })
        };
        change.commit();
        reader.join().unwrap();
        drop(task);
        world.end();
    });
}

/// Feared: two makers both find the last place below the limit free, or both give it back.
#[test]
fn one_of_two_makers_gets_the_last_place() {
    explore(|| {
        let config = Config { max_namespaces: 1, ..config() };
        let world = World { system: System::new(config), ledger: Arc::default() };
        let (a, b) = (world.root(), world.root());
        let other = {
            let b = b.clone();
            thread::spawn(move || {
                prepare_unshare(&b, CloneFlags::NEWUTS).map(|change| change.commit())
            })
        };
        let first = prepare_unshare(&a, CloneFlags::NEWUTS).map(|change| change.commit());
        let second = other.join().unwrap();
        assert!(first.is_ok() != second.is_ok());
        let refused = first.err().or(second.err()).unwrap();
        assert_eq!(refused.rule, Rule::LimitReached);
        drop((a, b));
        world.end();
    });
}

/// Feared: of two readers and one writer, one reader keeps the old object alive for the other.
#[test]
fn two_readers_and_a_dying_task() {
    explore(|| {
        let world = World::new();
        let task = world.alone();
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (task, ledger) = (task.clone(), world.ledger.clone());
                thread::spawn(move || {
                    if let Some(seen) = task.nsproxy() {
                        assert!(ledger.alive(seen.uts.inode()));
                    }
                })
            })
            .collect();
        exit(&task);
        for reader in readers {
            reader.join().unwrap();
        }
        drop(task);
        world.end();
    });
}
