//! The switch of another process: what the kernel cannot do, under its rules.
#![cfg(not(loom))]

mod common;

use common::*;
use nsproxy::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

const THREAD: CloneFlags =
    CloneFlags::VM.union(CloneFlags::FS).union(CloneFlags::SIGHAND).union(CloneFlags::THREAD);
const BOTH: u64 = NEWUSER.union(NEWUTS).bits();

fn clone(parent: &Arc<Task>, flags: CloneFlags) -> Arc<Task> {
    prepare_clone(parent, &CloneArgs::legacy(flags.bits())).unwrap().commit()
}

fn uts_of(task: &Task) -> AnyNamespace {
    task.namespace(Kind::Uts).unwrap()
}

fn process(task: &Arc<Task>) -> JoinTarget<'_> {
    JoinTarget::Pidfd(task, Dumpable(true))
}

#[test]
fn all_threads_move_at_once() {
    let system = boot();
    let (caller, target, place) = (root(&system), root(&system), root(&system));
    let second = clone(&target, THREAD);
    unshare(&second, NEWUTS).unwrap(); // threads may differ, and no longer do
    unshare(&place, NEWUTS).unwrap();
    let change = prepare_switch(&caller, &target, process(&place), NEWUTS.bits()).unwrap();
    assert_eq!(change.threads().count(), 2);
    assert_ne!(uts_of(&target), uts_of(&place));
    change.commit();
    assert_eq!([uts_of(&target), uts_of(&second)], [uts_of(&place), uts_of(&place)]);
    assert_eq!(uts_of(&caller), AnyNamespace::Uts(system.init_uts()));
    assert_eq!(system.namespaces_alive(), 1);
}

/// setns(2) refuses this to a process with threads: one of them would be elsewhere.
#[test]
fn a_process_with_threads_enters_a_user_namespace() {
    let system = boot();
    let (target, place) = (user(&system, 1000), user(&system, 1000));
    let second = clone(&target, THREAD);
    unshare(&place, NEWUSER | NEWUTS).unwrap();
    assert_eq!(refused(setns(&target, process(&place), BOTH)), Rule::JoinUserHasThreads);
    switch(&user(&system, 1000), &target, process(&place), BOTH).unwrap();
    for task in [&target, &second] {
        assert_eq!(task.ids(), place.ids());
        assert_eq!((task.cred().effective, task.cred().uid), (CapSet::FULL, Kuid(1000)));
    }
}

#[test]
fn a_process_switches_itself() {
    let system = boot();
    let (leader, place) = (user(&system, 1000), user(&system, 1000));
    let second = clone(&leader, THREAD);
    unshare(&place, NEWUSER).unwrap();
    switch(&second, &leader, process(&place), NEWUSER.bits()).unwrap();
    assert_eq!([leader.user_ns(), second.user_ns()], [place.user_ns(), place.user_ns()]);
}

#[test]
fn it_goes_by_the_callers_rights() {
    let system = boot();
    let (caller, target, place) = (user(&system, 1000), user(&system, 1000), user(&system, 1000));
    unshare(&place, NEWUSER | NEWUTS).unwrap();
    // Its maker's user is the namespace's administrator, but not where the target would be.
    let uts = uts_of(&place);
    let uts = JoinTarget::Namespace(&uts);
    assert_eq!(refused(switch(&caller, &target, uts, 0)), Rule::JoinNeedsAdminInOwn);
    // The target has no rights at all, and needs none.
    assert_eq!(target.cred().permitted, CapSet::EMPTY);
    switch(&root(&system), &target, uts, 0).unwrap();
    assert_eq!(uts_of(&target), uts_of(&place));
    // Somebody else's process is not one's own to move, wherever it would go.
    let other = user(&system, 1001);
    assert_eq!(refused(switch(&caller, &other, process(&place), BOTH)), Rule::SwitchNeedsTrace);
    // One thread that may not be traced is enough.
    let mixed = user_with(&system, 1000, &[]);
    let second = clone(&mixed, THREAD);
    second.set_cred(Cred::user(&system.init_user(), Kuid(7), Kgid(7)));
    assert_eq!(refused(switch(&caller, &mixed, process(&place), BOTH)), Rule::SwitchNeedsTrace);
}

#[test]
fn what_is_refused_changes_nothing() {
    let system = boot();
    let (caller, target, place) = (user(&system, 1000), user(&system, 1000), user(&system, 1000));
    unshare(&place, NEWUSER | NEWUTS).unwrap();
    let before = (target.ids(), target.cred());
    // Who shares its root directory stays behind, and would see it from outside.
    let sharer = clone(&target, CloneFlags::FS);
    assert_eq!(refused(switch(&caller, &target, process(&place), BOTH)), Rule::JoinUserSharesRoot);
    assert_eq!(target.ids(), before.0);
    assert!(Arc::ptr_eq(&target.cred(), &before.1));
    exit(&sharer);
    drop(prepare_switch(&caller, &target, process(&place), BOTH).unwrap());
    assert_eq!(target.ids(), before.0);
    // No lock is left behind.
    unshare(&target, NEWUSER).unwrap();
    drop(target);
    drop(place);
    assert_eq!(system.namespaces_alive(), 0);
}

#[test]
fn the_arguments_are_those_of_setns() {
    let system = boot();
    let (caller, target, place) = (root(&system), root(&system), root(&system));
    let uts = uts_of(&place);
    let uts = JoinTarget::Namespace(&uts);
    let switch = |to, nstype| refused(switch(&caller, &target, to, nstype));
    assert_eq!(switch(uts, NEWUSER.bits()), Rule::JoinOtherKind);
    assert_eq!(switch(process(&place), 0), Rule::JoinFlagsOfProcess);
    assert_eq!(switch(JoinTarget::Other, 0), Rule::JoinNotANamespace);
    assert_eq!(switch(JoinTarget::Reaped, NEWUTS.bits()), Rule::JoinProcessGone);
    exit(&place);
    assert_eq!(switch(process(&place), NEWUTS.bits()), Rule::JoinProcessExited);
    exit(&target);
    assert_eq!(switch(uts, 0), Rule::SwitchTargetExited);
    exit(&caller);
    assert_eq!(switch(uts, 0), Rule::CallerExited);
}

#[test]
fn a_thread_is_born_before_or_after() {
    let system = boot();
    let (caller, target, place) = (root(&system), root(&system), root(&system));
    unshare(&place, NEWUTS).unwrap();
    let uts = uts_of(&place);
    let uts = JoinTarget::Namespace(&uts);
    let args = CloneArgs::legacy(THREAD.bits());
    let newborn = prepare_clone(&target, &args).unwrap();
    assert_eq!(refused(switch(&caller, &target, uts, 0)), Rule::SwitchThreadBeingMade);
    drop(newborn);

    let change = prepare_switch(&caller, &target, uts, 0).unwrap();
    let born = AtomicBool::new(false);
    thread::scope(|scope| {
        let maker = scope.spawn(|| {
            let task = prepare_clone(&target, &args).unwrap().commit();
            born.store(true, SeqCst);
            task
        });
        thread::sleep(Duration::from_millis(20));
        assert!(!born.load(SeqCst), "a thread was made in the middle of a switch");
        change.commit();
        assert_eq!(uts_of(&maker.join().unwrap()), uts_of(&place));
    });
}

/// Switches against switches, births, exits and changes of single threads: nobody waits for ever,
/// and a process that is left alone at the end is in one place.
#[test]
fn everything_at_the_same_time() {
    const ROUNDS: usize = 300;
    let system = boot();
    let (target, caller) = (root(&system), root(&system));
    let places: Vec<_> = (0..2).map(|_| root(&system)).collect();
    places.iter().for_each(|place| unshare(place, NEWUTS).unwrap());
    thread::scope(|scope| {
        for place in &places {
            let (caller, target) = (&caller, &target);
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    match switch(caller, target, process(place), NEWUTS.bits()) {
                        Ok(()) => {}
                        Err(refusal) => assert_eq!(refusal.rule, Rule::SwitchThreadBeingMade),
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                let second = clone(&target, THREAD);
                unshare(&second, NEWUTS).unwrap();
                exit(&second);
            }
        });
        scope.spawn(|| {
            (0..ROUNDS).for_each(|_| drop(setns(&target, process(&places[0]), NEWUTS.bits())))
        });
    });
    let second = clone(&target, THREAD);
    switch(&caller, &target, process(&places[1]), NEWUTS.bits()).unwrap();
    assert_eq!([uts_of(&target), uts_of(&second)], [uts_of(&places[1]), uts_of(&places[1])]);
    assert_eq!(system.namespaces_alive(), 2);
}

/// setns(2) refuses this too: threads share their root directory, which goes along.
#[test]
fn a_process_with_threads_enters_a_mount_namespace() {
    let system = boot();
    let (caller, target, place) = (root(&system), root(&system), root(&system));
    let second = clone(&target, THREAD);
    unshare(&place, CloneFlags::NEWNS).unwrap();
    let to = process(&place);
    let mnt = CloneFlags::NEWNS.bits();
    assert_eq!(refused(setns(&target, to, mnt)), Rule::JoinMntSharesRoot);
    let sharer = clone(&target, CloneFlags::FS);
    assert_eq!(refused(switch(&caller, &target, to, mnt)), Rule::JoinMntSharesRoot);
    exit(&sharer);
    switch(&caller, &target, to, mnt).unwrap();
    assert_eq!([target.ids(), second.ids()], [place.ids(), place.ids()]);
    // They share it still.
    assert_eq!(refused(setns(&second, to, mnt)), Rule::JoinMntSharesRoot);
}
