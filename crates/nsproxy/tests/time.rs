//! Time namespaces: two slots, and who moves from one to the other when.
#![cfg(not(loom))]

mod common;

use common::*;
use nsproxy::{CloneFlags as F, *};
use std::sync::Arc;

const NEWTIME: F = F::NEWTIME;

fn clone(parent: &Arc<Task>, flags: F) -> Arc<Task> {
    prepare_clone(parent, &CloneArgs::clone3(flags, 17)).unwrap().commit()
}

/// The numbers of the namespace the task is in, and of the one that waits.
fn both(task: &Task) -> (u32, u32) {
    let number = |link| task.namespace(link).unwrap().inode();
    (number(Link::Time), number(Link::TimeForChildren))
}

fn ahead(task: &Task) -> i64 {
    task.nsproxy().unwrap().time.offsets().monotonic.seconds
}

/// Sets the offset of the monotonic clock for `task`'s children, as root.
fn set(task: &Task, seconds: i64) -> Result<usize, Refusal> {
    let system = boot();
    let root = Cred::root(&system.init_user());
    let up = TimeSpec { seconds: 1000, nanoseconds: 0 };
    let now = Clocks { monotonic: up, boottime: up };
    let opener = Cred { user: task.user_ns(), ..root };
    write_time_offsets(Some(task), &opener, &now, 0, format!("monotonic {seconds} 0").as_bytes())
}

#[test]
fn unshare_moves_children_and_exec_the_task_itself() {
    let system = &boot();
    let task = root(system);
    let first = both(&task).0;
    unshare(&task, NEWTIME).unwrap();
    let new = both(&task).1;
    assert_eq!(both(&task), (first, new));
    assert!(first != new && !task.nsproxy().unwrap().time_for_children.is_frozen());
    set(&task, 50).unwrap();
    set(&task, 60).unwrap();
    assert_eq!(task.ids().to_string().matches("time").count(), 2);

    let sharer = clone(&task, F::VM);
    assert_eq!(both(&sharer), (first, new));
    set(&task, 70).unwrap();
    let child = clone(&task, F::empty());
    assert_eq!((both(&child), ahead(&child)), ((new, new), 70));
    assert_eq!(refused(set(&task, 80)), Rule::TimeOffsetsFrozen);
    assert_eq!(ahead(&task), 0);

    exec(&sharer, &ExecFile::default()).unwrap();
    assert_eq!((both(&sharer), ahead(&sharer)), ((new, new), 70));
    let proxy = task.nsproxy().unwrap();
    drop(prepare_exec(&task, &ExecFile::default()).unwrap());
    assert!(Arc::ptr_eq(&proxy, &task.nsproxy().unwrap()), "nothing has happened");
    exec(&task, &ExecFile::default()).unwrap();
    assert_eq!(both(&task), (new, new));
    assert_eq!(task.ids().to_string().matches("time").count(), 1);
}

#[test]
fn a_clone_that_makes_one_puts_the_child_in_it_unless_memory_is_shared() {
    let system = &boot();
    let task = root(system);
    let first = both(&task).0;
    let child = clone(&task, NEWTIME);
    let (now, later) = both(&child);
    assert!(now == later && now != first && child.nsproxy().unwrap().time.is_frozen());
    let sharer = clone(&task, NEWTIME | F::VM);
    assert_eq!(both(&sharer).0, first);
    assert_ne!(both(&sharer).1, first);
    assert_eq!(both(&task), (first, first));
    // Without anything that waits, the child shares its parent's object.
    assert!(Arc::ptr_eq(&clone(&task, F::empty()).nsproxy().unwrap(), &task.nsproxy().unwrap()));
}

#[test]
fn a_birth_that_is_undone_has_frozen_the_offsets() {
    let system = &boot();
    let task = root(system);
    unshare(&task, NEWTIME).unwrap();
    drop(prepare_clone(&task, &CloneArgs::vfork()).unwrap());
    set(&task, 5).unwrap();
    drop(prepare_clone(&task, &CloneArgs::fork()).unwrap());
    assert_eq!(refused(set(&task, 6)), Rule::TimeOffsetsFrozen);
}

#[test]
fn a_copy_starts_with_the_offsets_of_the_one_that_waits() {
    let system = &boot();
    let task = root(system);
    unshare(&task, NEWTIME).unwrap();
    set(&task, 5).unwrap();
    unshare(&task, NEWTIME).unwrap();
    let waiting = task.nsproxy().unwrap().time_for_children.offsets();
    assert_eq!(waiting.monotonic.seconds, 5);
    assert_eq!(system.namespaces_alive(), 1, "the first was in nobody's use");
}

#[test]
fn joining_sets_both_slots_and_freezes() {
    let system = &boot();
    let (task, other) = (root(system), root(system));
    unshare(&other, NEWTIME).unwrap();
    let waits = other.namespace(Link::TimeForChildren).unwrap();
    let second = system.adopt(Some(&task), Cred::clone(&task.cred()));
    let join = || setns(&task, JoinTarget::Namespace(&waits), 0);
    assert_eq!(refused(join()), Rule::JoinTimeHasThreads);
    exit(&second);
    join().unwrap();
    assert_eq!(both(&task), (waits.inode(), waits.inode()));
    assert_eq!(refused(set(&other, 5)), Rule::TimeOffsetsFrozen);

    // By a process descriptor it is the one the process is in.
    let third = root(system);
    let pidfd = JoinTarget::Pidfd(&other, Dumpable(true));
    setns(&third, pidfd, NEWTIME.bits()).unwrap();
    assert_eq!(both(&third).0, both(&other).0);
    assert_ne!(both(&third).0, waits.inode());
}

#[test]
fn a_leader_that_has_exited_does_not_keep_its_last_thread_out() {
    let system = &boot();
    let leader = root(system);
    let thread = system.adopt(Some(&leader), Cred::clone(&leader.cred()));
    exit(&leader);
    assert_eq!(thread.thread_count(), 2);
    let own = thread.namespace(Link::Time).unwrap();
    setns(&thread, JoinTarget::Namespace(&own), 0).unwrap();
}

/// As `timens_on_fork` and clone(2) were from 5.6 to 6.1 (read, not observed).
#[test]
fn before_6_2_a_program_does_not_enter_what_waits_and_memory_is_not_shared_meanwhile() {
    let system = &System::new(Config { version: KernelVersion::new(6, 1), ..Config::default() });
    let task = root(system);
    let (first, _) = both(&task);
    assert_ne!(both(&clone(&task, NEWTIME | F::VM)).0, first, "asked for, it is entered at birth");
    unshare(&task, NEWTIME).unwrap();
    exec(&task, &ExecFile::default()).unwrap();
    assert_eq!(both(&task).0, first);
    let thread = CloneArgs::legacy((F::VM | F::SIGHAND | F::THREAD).bits());
    for args in [CloneArgs::vfork(), thread] {
        assert_eq!(refused(prepare_clone(&task, &args)), Rule::CloneTimeElsewhere);
    }
    let child = prepare_clone(&task, &CloneArgs::fork()).unwrap().commit();
    assert_eq!(both(&child).0, both(&task).1);
}
