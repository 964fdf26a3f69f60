//! Numbers, processes and the ends of pid namespaces, as an embedder drives them.
#![cfg(not(loom))]

mod common;

use common::*;
use nsproxy::{CloneFlags as F, *};
use std::sync::Arc;

fn born(parent: &Arc<Task>, flags: F) -> Arc<Task> {
    prepare_clone(parent, &CloneArgs::legacy(flags.bits() | 17)).unwrap().commit()
}

fn thread(of: &Arc<Task>) -> Arc<Task> {
    let flags = F::THREAD | F::SIGHAND | F::VM;
    prepare_clone(of, &CloneArgs::legacy(flags.bits())).unwrap().commit()
}

/// The thread's number in its own namespace.
fn own(task: &Task) -> Option<u32> {
    task.pid_ns().and_then(|ns| task.number_in(&ns))
}

fn pid(task: &Task) -> AnyNamespace {
    task.namespace(Link::Pid).unwrap()
}

fn children_in(task: &Arc<Task>, ns: &AnyNamespace) {
    setns(task, JoinTarget::Namespace(ns), 0).unwrap();
}

#[test]
fn a_failed_birth_gives_every_number_back() {
    let system = boot();
    let parent = root(&system);
    let before = system.numbers_in_use();
    for flags in [F::empty(), F::NEWPID, F::NEWUSER | F::NEWPID, F::THREAD | F::SIGHAND | F::VM] {
        let args = CloneArgs::legacy(flags.bits() | 17);
        let newborn = prepare_clone(&parent, &args).unwrap();
        assert!(newborn.task().number_in(&system.init_pid()).is_some());
        drop(newborn);
        assert_eq!((system.numbers_in_use(), system.namespaces_alive()), (before, 0), "{flags}");
    }
    // The level below refuses; what the inner one gave is free, and its next try begins anew.
    unshare(&parent, F::NEWPID).unwrap();
    let args = CloneArgs::clone3(F::empty(), 17);
    let taken = own(&parent).unwrap() as i32;
    let facts = Facts { set_tid: &[1, taken], ..Facts::default() };
    assert_eq!(refused(prepare_clone_with(&parent, &args, facts)), Rule::CloneSetTidTaken);
    assert_eq!(own(&born(&parent, F::empty())), Some(1));
}

#[test]
fn the_end_of_an_init_names_the_processes_to_kill() {
    let system = boot();
    let outside = root(&system);
    let init = born(&outside, F::NEWPID);
    let (a, b) = (born(&init, F::empty()), born(&init, F::NEWPID));
    let (inner, worker) = (born(&b, F::empty()), thread(&a));
    let unborn = prepare_clone(&a, &CloneArgs::fork()).unwrap();

    let mut killed = exit_with(&init, Status::Exited(3));
    killed.sort_by_key(|task| task.id());
    assert_eq!(killed.len(), 4);
    for (one, other) in killed.iter().zip([&a, &b, &inner, unborn.task()]) {
        assert!(Arc::ptr_eq(one, other), "{one:?} {other:?}");
    }
    assert_eq!(refused(prepare_clone(&a, &CloneArgs::fork())), Rule::CloneNamespaceDead);
    assert!(wait(&outside, WaitFor::Any, WaitKind::All).unwrap().is_none());

    drop(unborn);
    for task in [&worker, &a, &inner] {
        assert_eq!(exit_with(task, Status::Killed(9)).len(), 0);
    }
    assert!(wait(&outside, WaitFor::Any, WaitKind::All).unwrap().is_none());
    // The init's children leave no zombies, and with the last of them it can be waited for.
    exit_with(&b, Status::Killed(9));
    let waited = wait(&outside, WaitFor::Any, WaitKind::All).unwrap().unwrap();
    assert_eq!(waited.status, Status::Exited(3));
    assert!(Arc::ptr_eq(&waited.task.unwrap(), &init));
    assert_eq!(own(&init), None);
    assert_eq!(system.numbers_in_use(), 2);
}

#[test]
fn exit_without_an_embedder_ends_everybody() {
    let system = boot();
    let outside = root(&system);
    let init = born(&outside, F::NEWPID);
    let deep = born(&born(&init, F::NEWPID), F::empty());
    exit(&init);
    assert!(deep.has_exited());
    assert_eq!(wait(&outside, WaitFor::Any, WaitKind::All).unwrap().unwrap().number, 3);
}

#[test]
fn an_init_lives_as_long_as_one_of_its_threads() {
    let system = boot();
    let outside = root(&system);
    let init = born(&outside, F::NEWPID);
    let (second, child) = (thread(&init), born(&init, F::empty()));
    assert_eq!(exit_with(&init, Status::Exited(1)).len(), 0);
    assert!(second.is_init());
    assert_eq!(child.parent_number_in(&child.pid_ns().unwrap()), Some(1));
    assert_eq!(exit_with(&second, Status::Exited(2)).len(), 1);
    exit(&child);
    // The status is the first thread's.
    let waited = wait(&outside, WaitFor::Any, WaitKind::All).unwrap().unwrap();
    assert_eq!(waited.status, Status::Exited(1));
}

#[test]
fn what_the_embedder_lets_go_of_is_reaped() {
    let system = boot();
    let parent = root(&system);
    let child = born(&parent, F::NEWPID);
    let orphan = born(&child, F::empty());
    let zombie = born(&parent, F::empty());
    exit(&zombie);
    assert_eq!(system.numbers_in_use(), 5);
    drop(zombie);
    assert_eq!(system.numbers_in_use(), 4);
    // Dropping without exit is an exit first; an init lingers for those inside.
    drop(child);
    assert_eq!((system.numbers_in_use(), system.namespaces_alive()), (4, 1));
    drop(orphan);
    assert_eq!((system.numbers_in_use(), system.namespaces_alive()), (2, 0));
    assert_eq!(refused(wait(&parent, WaitFor::Any, WaitKind::All)), Rule::WaitNoChild);
}

#[test]
fn a_parent_that_does_not_want_to_know_has_no_zombies() {
    let system = boot();
    let parent = root(&system);
    parent.set_ignores_children(true);
    let ordinary = born(&parent, F::empty());
    let other = prepare_clone(&parent, &CloneArgs::legacy(0)).unwrap().commit();
    exit(&ordinary);
    assert_eq!(own(&ordinary), None);
    exit(&other);
    assert_eq!(refused(wait(&parent, WaitFor::Any, WaitKind::Ordinary)), Rule::WaitNoChild);
    assert!(wait(&parent, WaitFor::Any, WaitKind::Clone).unwrap().is_some());
}

#[test]
fn a_thread_that_executes_a_program_gets_the_first_ones_numbers() {
    let system = boot();
    let outside = root(&system);
    let init = born(&outside, F::NEWPID);
    let (second, child) = (thread(&init), born(&init, F::empty()));
    assert_eq!(own(&second), Some(2));
    exec(&second, &ExecFile::default()).unwrap();
    assert_eq!((own(&second), own(&init)), (Some(1), None));
    let ns = second.pid_ns().unwrap();
    assert!(Arc::ptr_eq(&ns.find(1).unwrap(), &second) && ns.find(2).is_none());
    drop(init); // the first thread's leftovers are nobody's zombie
    assert!(Arc::ptr_eq(&ns.find(1).unwrap(), &second));
    assert_eq!(exit_with(&second, Status::Exited(0)).len(), 1);
    drop(child);
    assert_eq!(wait(&outside, WaitFor::Any, WaitKind::All).unwrap().unwrap().number, 3);
}

#[test]
fn a_number_is_taken_while_a_session_or_group_is_called_by_it() {
    let system = boot();
    let outside = root(&system);
    let init = born(&outside, F::NEWPID);
    let leader = born(&init, F::empty());
    setsid(&leader).unwrap();
    let member = born(&leader, F::empty());
    exit(&leader);
    wait(&init, WaitFor::Number(2), WaitKind::All).unwrap().unwrap();
    let ns = init.pid_ns().unwrap();
    assert!(ns.find(2).is_none());
    assert_eq!(member.session_number_in(&ns), Some(2));
    let args = CloneArgs::clone3(F::empty(), 17);
    let again = || prepare_clone_with(&init, &args, Facts { set_tid: &[2], ..Facts::default() });
    assert_eq!(refused(again()), Rule::CloneSetTidTaken);
    exit(&member);
    wait(&init, WaitFor::Number(3), WaitKind::All).unwrap().unwrap();
    assert_eq!(own(&again().unwrap().commit()), Some(2));
}

#[test]
fn the_numbers_of_a_status_are_those_from_the_procfs_inwards() {
    let system = boot();
    let outside = root(&system);
    let init = born(&outside, F::NEWPID);
    let task = born(&born(&init, F::empty()), F::NEWPID);
    let from = |ns: &PidNs| task.numbers_from(ns, Task::number_in);
    assert_eq!(from(&system.init_pid()), [5, 3, 1]);
    assert_eq!(from(&init.pid_ns().unwrap()), [3, 1]);
    assert_eq!(from(&task.pid_ns().unwrap()), [1]);
    let other = born(&outside, F::NEWPID);
    assert_eq!(from(&other.pid_ns().unwrap()), []);
    let groups = task.numbers_from(&system.init_pid(), Task::group_number_in);
    assert_eq!(groups, [1, 0, 0]); // the outside's
}

#[test]
fn what_an_init_hears() {
    let system = boot();
    let outside = root(&system);
    let init = born(&outside, F::NEWPID);
    let inside = born(&init, F::empty());
    let discarded = |sender, signal, disposition| is_discarded(sender, &init, signal, disposition);
    for signal in [9, 15, 19] {
        assert!(discarded(Some(&*inside), signal, Disposition::Default));
        assert!(discarded(Some(&*init), signal, Disposition::Default));
        assert!(!discarded(Some(&*inside), signal, Disposition::Handled));
        assert!(!discarded(None, signal, Disposition::Default));
        assert!(!is_discarded(Some(&outside), &inside, signal, Disposition::Default));
    }
    assert!(discarded(Some(&*outside), 15, Disposition::Default));
    assert!(discarded(Some(&*outside), 11, Disposition::Default));
    assert!(!discarded(Some(&*outside), 9, Disposition::Default));
    assert!(!discarded(Some(&*outside), 19, Disposition::Default));
}

#[test]
fn a_kernel_before_6_14_has_one_limit_for_all() {
    let config = Config { version: KernelVersion::new(6, 13), pid_max: 302, ..Config::default() };
    let system = System::new(config);
    let outside = root(&system);
    set_last_pid(&outside, 0, b"299").unwrap();
    let init = born(&outside, F::NEWPID);
    let ns = init.pid_ns().unwrap();
    assert_eq!(read_pid_max(&ns), "302\n");
    // In the namespace there is room, above there is one number left.
    let _last = born(&init, F::empty());
    assert_eq!(refused(prepare_clone(&init, &CloneArgs::fork())), Rule::CloneNumbersUsedUp);
    set_pid_max(&ns, &outside.cred(), 0, b"400").unwrap();
    assert_eq!(read_pid_max(&system.init_pid()), "400\n");
    born(&init, F::empty());
}

#[test]
fn children_are_born_where_their_maker_said() {
    let system = boot();
    let outside = root(&system);
    let inner = born(&outside, F::NEWPID);
    let above = pid(&outside);
    children_in(&outside, &pid(&inner));
    assert_eq!(outside.namespace(Link::PidForChildren), Some(pid(&inner)));
    assert_eq!(own(&born(&outside, F::empty())), Some(2));
    children_in(&outside, &above);
    unshare(&outside, F::NEWPID).unwrap();
    assert_eq!(outside.namespace(Link::PidForChildren), None); // not before it has an init
    let init = born(&outside, F::empty());
    assert_eq!(outside.namespace(Link::PidForChildren), Some(pid(&init)));
}

/// In Linux such an init never ends: it waits until it is the last that has a number, and its group
/// has one.
#[test]
fn an_init_in_a_group_from_inside_ends_when_the_embedder_lets_go_of_it() {
    let system = boot();
    let outside = root(&system);
    let init = born(&outside, F::NEWPID);
    let child = born(&init, F::empty());
    setpgid(&child, 0, 0).unwrap();
    setpgid(&init, 0, 2).unwrap();
    exit(&child);
    exit(&init);
    assert!(wait(&outside, WaitFor::Any, WaitKind::All).unwrap().is_none());
    drop(child);
    assert_eq!(system.namespaces_alive(), 1);
    drop(init);
    assert_eq!(system.namespaces_alive(), 0);
}
