//! What a task costs in memory. A program of its own, so that nothing else is counted.
#![cfg(all(not(loom), feature = "std", target_os = "linux"))]

mod common;

use common::*;
use nsproxy::{CloneFlags as F, *};
use std::sync::Arc;

/// Bytes of memory in use by this process.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn a_task_with_namespaces_of_its_own_costs_less_than_a_kibibyte() {
    const MANY: usize = 100_000;
    let config = Config { max_namespaces: i32::MAX as u32, ..Config::default() };
    let system = System::new(config);
    let first = root(&system);
    let per_task = |make: &dyn Fn() -> Arc<Task>| {
        let before = resident();
        let tasks: Vec<_> = (0..MANY).map(|_| make()).collect();
        (resident().saturating_sub(before) / MANY, tasks)
    };
    let clone = |flags: F| {
        let args = CloneArgs::legacy(flags.bits() | 17);
        prepare_clone(&first, &args).unwrap().commit()
    };
    let (plain, _kept) = per_task(&|| clone(F::empty()));
    assert!(plain < 640, "{plain} bytes a task");
    let (own, others) = per_task(&|| clone(NEWUTS));
    assert!(own < 1024, "{own} bytes a task with a uts namespace");
    drop(others);
    assert_eq!(system.namespaces_alive(), 0);
}
