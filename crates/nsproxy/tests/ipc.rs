//! The ipc room: what outlives a call. Results were observed on Linux 6.18.
#![cfg(not(loom))]

mod common;

use common::*;
use nsproxy::{ipc::*, *};
use std::sync::Arc;

const NEWIPC: CloneFlags = CloneFlags::NEWIPC;

fn undo(add: i16) -> SemOp {
    SemOp { number: 0, add, undo: true, nowait: true }
}

fn fork(parent: &Arc<Task>, flags: u64) -> Arc<Task> {
    prepare_clone(parent, &CloneArgs::legacy(flags | 17)).unwrap().commit()
}

#[test]
fn a_namespace_goes_with_its_last_task_whatever_refers_to_its_objects() {
    let system = &boot();
    let task = root(system);
    unshare(&task, NEWIPC).unwrap();
    let sem = semget(&task, 0, 1, 0o600).unwrap();
    semop(&task, sem, &[undo(3)]).unwrap();
    let shm = shmget(&task, 0, 10, 0o600).unwrap();
    let attached = shmat(&task, shm, Attach::default()).unwrap();
    let queue = mq_open(&task, b"q", &MqOpen { create: true, ..MqOpen::default() }).unwrap();
    assert!(attached.is_known());
    unshare(&task, NEWIPC).unwrap();
    assert_eq!(system.namespaces_alive(), 1);
    assert!(!attached.is_known());
    assert_eq!(queue.queue.attributes(), (10, 8192));
    drop(attached.clone());
    exit(&task);
    assert_eq!(system.namespaces_alive(), 0);
}

#[test]
fn undos_wait_for_the_last_who_shares_them() {
    let system = &boot();
    let task = root(system);
    let sem = semget(&task, 0, 1, 0o600).unwrap();
    let child = fork(&task, CloneFlags::SYSVSEM.bits());
    semop(&child, sem, &[undo(3)]).unwrap();
    exit(&child);
    assert_eq!(sem_value(&task, sem, 0), Ok(3));
    unshare(&task, CloneFlags::SYSVSEM).unwrap();
    assert_eq!(sem_value(&task, sem, 0), Ok(0));
}

#[test]
fn a_clone_that_fails_leaves_the_undos_alone() {
    let system = &boot();
    let task = root(system);
    let sem = semget(&task, 0, 1, 0o600).unwrap();
    semop(&task, sem, &[undo(3)]).unwrap();
    drop(prepare_clone(&task, &CloneArgs::legacy(CloneFlags::SYSVSEM.bits() | 17)).unwrap());
    drop(prepare_unshare(&task, NEWIPC).unwrap());
    assert_eq!(sem_value(&task, sem, 0), Ok(3));
    exit(&task);
    assert_eq!(sem_value(&root(system), sem, 0), Ok(0));
}

#[test]
fn many_sets_used_with_undo_leave_no_trace_in_the_list() {
    let system = &boot();
    let task = root(system);
    let kept = semget(&task, 0, 1, 0o600).unwrap();
    semop(&task, kept, &[undo(7)]).unwrap();
    for _ in 0..1000 {
        let sem = semget(&task, 0, 1, 0o600).unwrap();
        semop(&task, sem, &[undo(1)]).unwrap();
        sem_remove(&task, sem).unwrap();
    }
    exit(&task);
    assert_eq!(sem_value(&root(system), kept, 0), Ok(0));
    assert_eq!(system.init_nsproxy().ipc.usage().semaphores, 1);
}

#[test]
fn an_operation_that_cannot_be_done_now_changes_nothing_and_says_so() {
    let system = &boot();
    let task = root(system);
    let sem = semget(&task, 0, 2, 0o600).unwrap();
    let (up, wait) = (undo(2), SemOp { number: 1, add: -1, undo: false, nowait: false });
    assert_eq!(semop(&task, sem, &[up, wait]), Ok(Semop::Waits(1)));
    assert_eq!(sem_get_all(&task, sem), Ok(vec![0, 0]));
    let other = root(system);
    semop(&other, sem, &[SemOp { add: 1, ..wait }]).unwrap();
    assert_eq!(semop(&task, sem, &[up, wait]), Ok(Semop::Done));
    exit(&task);
    assert_eq!(sem_get_all(&other, sem), Ok(vec![0, 0]));
}

#[test]
fn the_hard_limits_of_posix_queues_are_for_the_initial_root() {
    let system = &boot();
    let make = |messages, size| MqOpen {
        create: true,
        attributes: Some((messages, size)),
        ..MqOpen::default()
    };
    let task = root(system);
    mq_open(&task, b"a", &make(65_536, 1)).unwrap();
    assert_eq!(refused(mq_open(&task, b"b", &make(65_537, 1))), Rule::MqAttributeRange);
    mq_open(&task, b"b", &make(1, 16_777_216)).unwrap();
    assert_eq!(refused(mq_open(&task, b"c", &make(1, 16_777_217))), Rule::MqAttributeRange);
    let inner = inner_root(system, 1000);
    unshare(&inner, NEWIPC).unwrap();
    assert_eq!(refused(mq_open(&inner, b"a", &make(11, 1))), Rule::MqAttributeRange);
}

#[test]
fn queues_are_counted_until_the_last_descriptor_goes() {
    let system = &boot();
    let task = root(system);
    let ns = Arc::clone(&system.init_nsproxy().ipc);
    let open = mq_open(&task, b"q", &MqOpen { create: true, ..MqOpen::default() }).unwrap();
    mq_unlink(&task, b"q").unwrap();
    assert_eq!(ns.posix_queues(), 1);
    drop(open);
    assert_eq!(ns.posix_queues(), 0);
}

#[test]
fn threads_that_use_leave_and_die_leave_every_value_as_it_was() {
    let system = &boot();
    let keeper = root(system);
    let sets: Vec<i32> = (0..3).map(|_| semget(&keeper, 0, 2, 0o600).unwrap()).collect();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let sets = &sets;
            scope.spawn(move || {
                for round in 0..300 {
                    let task = root(system);
                    let child = fork(&task, CloneFlags::SYSVSEM.bits());
                    for set in sets {
                        semop(&task, *set, &[undo(3), SemOp { number: 1, ..undo(1) }]).unwrap();
                        semop(&child, *set, &[undo(-1)]).unwrap();
                    }
                    let shm = shmget(&task, 0, 10, 0o600).unwrap();
                    let attached = shmat(&child, shm, Attach::default()).unwrap();
                    shm_remove(&task, shm).unwrap();
                    if (worker + round) % 2 == 0 {
                        unshare(&task, NEWIPC).unwrap();
                    }
                    exit(&child);
                    drop(attached);
                    exit(&task);
                }
            });
        }
    });
    for set in sets {
        assert_eq!(sem_get_all(&keeper, set), Ok(vec![0, 0]));
    }
    let usage = system.init_nsproxy().ipc.usage();
    assert_eq!((usage.segments.0, usage.pages, system.namespaces_alive()), (0, 0, 0));
}
