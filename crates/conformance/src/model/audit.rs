//! Whether the model's books balance: what is alive is what something leads to, each user namespace
//! is charged with what is owned in and below it, nothing outlives its last holder.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nsproxy::{AnyNamespace, Config, Kind, Link, Task, UserNs, namespaces_charged_to_all};

use super::open::What;
use super::world::World;
use super::{FIRST_MADE, Fired};
use crate::lang::{Scenario, Step};

/// After how many steps the books are looked at.
const EVERY: usize = 6;
/// Calls after which something may hold a namespace that cannot be asked: mounts, sockets, groups
/// that are called by the number of somebody dead.
const HOLDERS: [&str; 11] = [
    "setpgid",
    "setsid",
    "mount",
    "umount",
    "pivot_root",
    "open_tree",
    "move_mount",
    "mount_setattr",
    "idmap",
    "socket",
    "mq_open",
];

/// Runs a program whose steps need not make sense: those that the model cannot take are left out.
/// Says how many were taken.
///
/// # Errors
/// What does not balance, and after which step.
pub fn audited(program: &Scenario) -> Result<u64, String> {
    let fired = Arc::new(Fired::default());
    let (actors, descriptors) = (program.actors(), program.descriptors());
    // To unmount thousands of peers takes a time that grows with their square, as in the kernel.
    let config = Config { mount_max: 500, ..Config::default() };
    let mut world = World::new(program.start, config, &actors, &descriptors, Arc::clone(&fired));
    let mut calls = 0;
    let mut exact = true;
    for (place, step) in program.steps.iter().enumerate() {
        exact &= !HOLDERS.contains(&step.call.word());
        if world.step(step).is_ok() {
            calls += 1;
        }
        if place % EVERY == EVERY - 1 || place + 1 == program.steps.len() {
            world.audit(exact).map_err(|reason| after(step, &reason))?;
        }
    }
    drop(world);
    match fired.alive.load(Ordering::Relaxed) {
        0 => Ok(calls),
        left => Err(format!("{left} namespaces outlive everything")),
    }
}

fn after(step: &Step, reason: &str) -> String {
    format!("after {step}: {reason}")
}

/// Namespaces by id, each once.
#[derive(Default)]
struct Found(BTreeMap<u64, AnyNamespace>);

impl Found {
    /// Adds one, and what it keeps alive: its owner, and all above it.
    fn add(&mut self, namespace: AnyNamespace) -> Result<(), String> {
        let mut open = vec![(namespace, 0)];
        while let Some((namespace, depth)) = open.pop() {
            if depth > 80 {
                return Err(format!("there is no end above {namespace}"));
            }
            if self.0.contains_key(&namespace.id()) {
                continue;
            }
            let above = match &namespace {
                AnyNamespace::User(user) => user.parent().map(AnyNamespace::User),
                AnyNamespace::Pid(pid) => pid.parent().map(AnyNamespace::Pid),
                _ => None,
            };
            let owner = namespace.owner().map(AnyNamespace::User);
            open.extend(above.into_iter().chain(owner).map(|next| (next, depth + 1)));
            self.0.insert(namespace.id(), namespace);
        }
        Ok(())
    }

    fn add_all(&mut self, all: impl IntoIterator<Item = AnyNamespace>) -> Result<(), String> {
        all.into_iter().try_for_each(|namespace| self.add(namespace))
    }

    /// Those that were made.
    fn made(&self) -> impl Iterator<Item = &AnyNamespace> {
        self.0.values().filter(|namespace| namespace.inode() >= FIRST_MADE)
    }
}

/// What a task leads to.
fn held_by(task: &Task) -> Vec<AnyNamespace> {
    let proxy = task.nsproxy();
    let links = Link::ALL.iter().filter_map(|link| proxy.as_ref()?.get(*link));
    let pid = task.pid_ns().map(AnyNamespace::Pid);
    links.chain(pid).chain([AnyNamespace::User(task.user_ns())]).collect()
}

/// What an open file leads to.
fn held_by_file(what: &What) -> Option<AnyNamespace> {
    match what {
        What::Namespace(namespace) => Some(namespace.clone()),
        What::PathOnly { _keeps } => _keeps.clone(),
        What::Map { of, .. } | What::Setgroups { of } | What::Limit { of, .. } => {
            Some(AnyNamespace::User(of.clone()))
        }
        What::PidMax(of) => Some(AnyNamespace::Pid(of.clone())),
        What::Ipc { of, .. } => Some(AnyNamespace::Ipc(of.clone())),
        What::PortStart(of) => Some(AnyNamespace::Net(of.clone())),
        _ => None,
    }
}

impl World {
    fn audit(&self, exact: bool) -> Result<(), String> {
        let mut found = Found::default();
        let tasks = self.actors.iter().filter_map(|actor| actor.task.as_ref());
        let leaders = self.processes.iter().filter_map(|process| process.leader.as_ref());
        for task in tasks.chain(leaders).chain(&self.credentials) {
            found.add_all(held_by(task))?;
            let cred = task.cred();
            if !cred.effective.is_subset(cred.permitted)
                || !cred.ambient.is_subset(cred.permitted.intersection(cred.inheritable))
            {
                return Err(format!("{task:?} has capabilities that it cannot have"));
            }
        }
        for actor in &self.actors {
            for file in actor.table.files() {
                found.add(AnyNamespace::User(file.opener.user.clone()))?;
                found.add_all(held_by_file(&file.what))?;
            }
        }
        for (sb, _) in self.shared_supers.values() {
            found.add(AnyNamespace::User(sb.owner()))?;
        }
        let (alive, reached) = (self.system.namespaces_alive(), found.made().count());
        if alive < reached || (exact && alive != reached) {
            let names: Vec<String> = found.made().map(ToString::to_string).collect();
            return Err(format!("{alive} namespaces are alive, reached are {}", names.join(" ")));
        }
        if exact { charges(&found) } else { Ok(()) }
    }
}

/// Every user namespace is charged with what it owns and what those below it own.
fn charges(found: &Found) -> Result<(), String> {
    let users = found.0.values().filter_map(|namespace| match namespace {
        AnyNamespace::User(user) => Some(user),
        _ => None,
    });
    for ns in users {
        for kind in Kind::ALL.iter().copied() {
            let within = |owner: Option<nsproxy::Arc<UserNs>>| {
                owner.is_some_and(|owner| owner.is_within(ns))
            };
            let owned = found.made().filter(|made| {
                let owner = match made {
                    AnyNamespace::User(user) => user.parent(),
                    other => other.owner(),
                };
                made.kind() == kind && within(owner)
            });
            let expected = owned.count() as u32;
            let charged = namespaces_charged_to_all(ns, kind);
            if charged != expected {
                return Err(format!("{ns:?} is charged with {charged} {kind}, not {expected}"));
            }
        }
    }
    Ok(())
}
