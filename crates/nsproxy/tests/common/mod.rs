//! What the tests of this crate share.
#![cfg(not(loom))]
#![allow(dead_code)] // each test program uses its own part

pub(crate) mod mounts;

use nsproxy::{
    Cap, CapSet, CloneFlags, Config, Cred, Kgid, Kuid, MapKind, Refusal, Rule, System, Task,
    UserNs, unshare, write_map, write_setgroups,
};
use std::sync::Arc;

pub(crate) const NEWUSER: CloneFlags = CloneFlags::NEWUSER;
pub(crate) const NEWUTS: CloneFlags = CloneFlags::NEWUTS;

/// A system as booted, with a limit that tests will not reach by accident.
pub(crate) fn boot() -> System {
    System::new(Config { hostname: "first".into(), ..Config::default() })
}

/// A process of the initial root.
pub(crate) fn root(system: &System) -> Arc<Task> {
    system.adopt(None, Cred::root(&system.init_user()))
}

/// A process of an ordinary user without capabilities; its group has the same number.
pub(crate) fn user(system: &System, id: u32) -> Arc<Task> {
    system.adopt(None, Cred::user(&system.init_user(), Kuid(id), Kgid(id)))
}

/// A process of an ordinary user that holds some capabilities, effective.
pub(crate) fn user_with(system: &System, id: u32, caps: &[Cap]) -> Arc<Task> {
    let caps: CapSet = caps.iter().copied().collect();
    let cred = Cred::user(&system.init_user(), Kuid(id), Kgid(id));
    system.adopt(None, Cred { permitted: caps, effective: caps, ..cred })
}

/// A process of an ordinary user in a user namespace that it has just made: nothing mapped.
pub(crate) fn unmapped(system: &System, id: u32) -> Arc<Task> {
    let task = user(system, id);
    unshare(&task, NEWUSER).unwrap();
    task
}

/// Writes a map of the task's user namespace from its parent, as that one's root would.
pub(crate) fn map_as_root(system: &System, task: &Task, kind: MapKind, text: &str) {
    let root = Cred::root(&system.init_user());
    write_map(kind, &task.user_ns(), &root, &root, 0, text.as_bytes()).unwrap();
}

/// A process that is root in a user namespace of its own: ids 0 to 9 are `id` to `id + 9`.
pub(crate) fn inner_root(system: &System, id: u32) -> Arc<Task> {
    let task = unmapped(system, id);
    map_as_root(system, &task, MapKind::Uid, &format!("0 {id} 10"));
    map_as_root(system, &task, MapKind::Gid, &format!("0 {id} 10"));
    task
}

/// Maps the task's own user and group to 0 with its own authority, as `unshare -r` does.
pub(crate) fn map_self(task: &Arc<Task>, outside: u32) {
    let (ns, cred): (Arc<UserNs>, _) = (task.user_ns(), task.cred());
    write_setgroups(&ns, 0, b"deny").unwrap();
    let line = format!("0 {outside} 1");
    write_map(MapKind::Uid, &ns, &cred, &cred, 0, line.as_bytes()).unwrap();
    write_map(MapKind::Gid, &ns, &cred, &cred, 0, line.as_bytes()).unwrap();
}

/// The rule that refused.
pub(crate) fn refused<T>(result: Result<T, Refusal>) -> Rule {
    match result {
        Ok(_) => panic!("was not refused"),
        Err(refusal) => {
            assert_eq!(refusal.errno, refusal.rule.errno());
            refusal.rule
        }
    }
}
