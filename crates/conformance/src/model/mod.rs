//! The executor that asks `nsproxy` and nothing else: no process, no kernel.
//!
//! What surrounds the model is made up here as far as scenarios can see it: processes with
//! numbers, parents and exit states (`world`), descriptors and the few files of `/proc`
//! (`files`, `paths`). The rules are the model's; the only errors decided here are those of
//! things it does not know (a closed descriptor, a bad address, a dead process's path).

mod attributes;
mod audit;
mod births;
mod calls;
mod cgroup;
mod files;
mod forest;
mod ipc;
mod mnt;
mod net;
mod open;
mod paths;
mod pid;
mod signal;
mod time;
mod world;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nsproxy::{Config, Event, Events, KindSet};

use crate::lang::{Entry, Identities, Scenario, Start, Step, Transcript};
pub use audit::audited;
use world::{Life, World};

/// The inode number of the first namespace that is made.
const FIRST_MADE: u32 = 0xf000_0000;

/// What a run on the model gives.
#[derive(Clone, Debug)]
pub struct Run {
    /// What every call gave.
    pub transcript: Transcript,
    /// The names of the rules that refused something.
    pub fired: BTreeSet<&'static str>,
}

/// Collects the rules that refuse, and counts namespaces.
#[derive(Debug, Default)]
struct Fired {
    rules: Mutex<BTreeSet<&'static str>>,
    /// How many were made and have not been freed.
    alive: AtomicI64,
}

impl Fired {
    fn add(&self, rule: &'static str) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).insert(rule);
    }
}

impl Events for Fired {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Refused { refusal, .. } => self.add(refusal.rule.name()),
            Event::Created { .. } => drop(self.alive.fetch_add(1, Ordering::Relaxed)),
            // The initial namespaces, whose numbers are lower, were made by nobody.
            Event::Freed { inode, .. } if *inode >= FIRST_MADE => {
                self.alive.fetch_sub(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

/// Runs a scenario on the model, with every type that it has a room for.
pub fn run(scenario: &Scenario) -> Run {
    run_with(scenario, KindSet::ROOMS)
}

/// Runs a scenario on a model that has only these types built in.
pub fn run_with(scenario: &Scenario, built: KindSet) -> Run {
    run_on(scenario, with_types(built))
}

/// Runs a scenario on a model of another kernel.
pub fn run_on(scenario: &Scenario, config: Config) -> Run {
    let fired = Arc::new(Fired::default());
    let (actors, descriptors) = (scenario.actors(), scenario.descriptors());
    let mut world = World::new(scenario.start, config, &actors, &descriptors, Arc::clone(&fired));
    let mut identities = Identities::default();
    let mut transcript = Transcript::default();
    for step in &scenario.steps {
        match world.step(step) {
            Ok(result) => {
                let result = identities.rename(&result);
                transcript.entries.push(Entry { step: step.to_string(), result });
            }
            Err(reason) => {
                transcript.broken = Some(format!("line {}: {step}: {reason}", step.line));
                break;
            }
        }
    }
    let fired = fired.rules.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Run { transcript, fired }
}

fn with_types(built: KindSet) -> Config {
    Config { built, ..Config::default() }
}

/// The model, one step at a time: for programs that are made up while they run.
pub(crate) struct Live(World);

impl Live {
    /// A world with these actors, of whom the first is alive, and these descriptor names.
    pub(crate) fn new(start: Start, actors: &[&str], descriptors: &[&str]) -> Live {
        Live(World::new(start, with_types(KindSet::ROOMS), actors, descriptors, Arc::default()))
    }

    /// The same with other types built in.
    pub(crate) fn with(
        start: Start,
        built: KindSet,
        actors: &[&str],
        descriptors: &[&str],
    ) -> Live {
        Live(World::new(start, with_types(built), actors, descriptors, Arc::default()))
    }

    /// How many mounts are in an actor's namespace; 0 if it does not live.
    pub(crate) fn mounts_seen(&self, name: &str) -> usize {
        let actor = self.0.actors.iter().find(|actor| actor.name == name);
        let proxy = actor.and_then(|actor| actor.task.as_ref()?.nsproxy());
        proxy.map_or(0, |proxy| proxy.mnt.mount_count())
    }

    /// Whether an actor is in another ipc namespace than the first one.
    pub(crate) fn has_own_ipc(&self, name: &str) -> bool {
        let actor = self.0.actors.iter().find(|actor| actor.name == name);
        let proxy = actor.and_then(|actor| actor.task.as_ref()?.nsproxy());
        proxy.is_some_and(|proxy| !proxy.ipc.is_initial())
    }

    /// Makes one step. After an error nothing has changed.
    pub(crate) fn step(&mut self, step: &Step) -> Result<String, String> {
        self.0.step(step)
    }

    /// Whether an actor takes steps now.
    pub(crate) fn obeys(&self, name: &str) -> bool {
        self.life(name) == Some(Life::Obeying)
    }

    /// Whether an actor is alive, suspended or not.
    pub(crate) fn lives(&self, name: &str) -> bool {
        matches!(self.life(name), Some(Life::Obeying | Life::Suspended { .. }))
    }

    /// Whether an actor is a zombie, and of whom the child.
    pub(crate) fn zombie_of(&self, name: &str) -> Option<&str> {
        let world = &self.0;
        let actor = world.actors.iter().find(|actor| actor.name == name)?;
        let process = &world.processes[actor.process];
        if actor.life != Life::Gone || process.leader.is_none() || process.number != actor.number {
            return None;
        }
        let parent = process.parent?;
        let of = world
            .actors
            .iter()
            .find(|actor| actor.process == parent && matches!(actor.life, Life::Obeying))?;
        Some(&of.name)
    }

    /// Whether an actor is a thread that does not lead its process.
    pub(crate) fn is_thread(&self, name: &str) -> bool {
        let actor = self.0.actors.iter().find(|actor| actor.name == name);
        actor.is_some_and(|actor| self.0.processes[actor.process].number != actor.number)
    }

    /// Whether an actor has ever lived.
    pub(crate) fn was_born(&self, name: &str) -> bool {
        self.life(name) != Some(Life::Unborn)
    }

    /// Whether an actor's process has ended and nobody has waited for it.
    pub(crate) fn is_zombie(&self, name: &str) -> bool {
        let actor = self.0.actors.iter().find(|actor| actor.name == name);
        actor.is_some_and(|actor| {
            let process = &self.0.processes[actor.process];
            actor.life == Life::Gone && process.ended.is_some() && process.leader.is_some()
        })
    }

    /// Whether an actor's process never had another thread that the scenario knows.
    pub(crate) fn was_always_alone(&self, name: &str) -> bool {
        let of = |actor: &&world::Actor| actor.life != Life::Unborn;
        let Some(own) = self.0.actors.iter().find(|actor| actor.name == name) else {
            return false;
        };
        self.0.actors.iter().filter(of).filter(|other| other.process == own.process).count() == 1
    }

    /// Whether an actor's process is the init of a pid namespace.
    pub(crate) fn is_init(&self, name: &str) -> bool {
        let actor = self.0.actors.iter().find(|actor| actor.name == name);
        actor.and_then(|actor| actor.task.as_ref()).is_some_and(|task| task.is_init())
    }

    /// An actor's numbers, from the initial pid namespace inwards, each namespace by its id.
    pub(crate) fn numbers(&self, name: &str) -> Vec<(u64, i32)> {
        let actor = self.0.actors.iter().find(|actor| actor.name == name);
        actor.map(|actor| actor.seen.iter().rev().copied().collect()).unwrap_or_default()
    }

    /// Whether an actor's process is an init that has ended and cannot be waited for yet.
    pub(crate) fn lingers(&self, name: &str) -> bool {
        let actor = self.0.actors.iter().find(|actor| actor.name == name);
        let leader = actor.and_then(|actor| self.0.processes[actor.process].leader.as_ref());
        leader.is_some_and(|leader| leader.lingers())
    }

    /// Whether an actor was put into its pid namespace by somebody outside, and is not its init.
    pub(crate) fn came_from_outside(&self, name: &str) -> bool {
        let actor = self.0.actors.iter().find(|actor| actor.name == name);
        let task = actor.and_then(|actor| actor.task.as_ref());
        task.is_some_and(|task| {
            let parent = task.parent().and_then(|parent| parent.pid_ns());
            !task.is_init() && parent.is_some_and(|parent| task.pid_ns() != Some(parent))
        })
    }

    /// How many levels of pid namespaces an actor is below the initial one.
    pub(crate) fn depth(&self, name: &str) -> usize {
        let actor = self.0.actors.iter().find(|actor| actor.name == name);
        actor.map_or(0, |actor| actor.seen.len().saturating_sub(1))
    }

    /// Whether an actor is of the first process.
    pub(crate) fn is_of_first(&self, name: &str) -> bool {
        self.0.actors.iter().any(|actor| actor.name == name && actor.process == 0)
    }

    /// Whether an actor is the init of a pid namespace with others in it, who would die with it.
    pub(crate) fn is_init_of_others(&self, name: &str) -> bool {
        let tasks = |actor: &world::Actor| actor.task.clone();
        let actor = self.0.actors.iter().find(|actor| actor.name == name);
        let Some(task) = actor.and_then(tasks) else { return false };
        let Some(ns) = task.pid_ns() else { return false };
        task.number_in(&ns) == Some(1)
            && self.0.actors.iter().filter_map(tasks).any(|other| {
                !other.same_process(&task) && !other.has_exited() && other.number_in(&ns).is_some()
            })
    }

    /// Whether an actor's process has children that were not waited for.
    pub(crate) fn has_children(&self, name: &str) -> bool {
        let Some(actor) = self.0.actors.iter().find(|actor| actor.name == name) else {
            return false;
        };
        self.0.processes.iter().any(|p| p.parent == Some(actor.process) && p.leader.is_some())
    }

    fn life(&self, name: &str) -> Option<Life> {
        self.0.actors.iter().find(|actor| actor.name == name).map(|actor| actor.life)
    }
}
