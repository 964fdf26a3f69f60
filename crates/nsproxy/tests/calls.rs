//! clone(2), unshare(2), setns(2), exit(2): what they do and in which order they refuse.
#![cfg(not(loom))]

mod common;

use common::*;
use nsproxy::{CloneFlags as F, *};
use std::sync::Arc;

fn uts(task: &Task) -> AnyNamespace {
    task.nsproxy().unwrap().get(Kind::Uts).unwrap()
}

fn clone(parent: &Arc<Task>, flags: F) -> Result<Arc<Task>, Refusal> {
    prepare_clone(parent, &CloneArgs::legacy(flags.bits() | 17)).map(Newborn::commit)
}

fn set_limit(ns: &Arc<UserNs>, kind: Kind, limit: u32) {
    set_max_namespaces(ns, kind, &Cred::root(ns), 0, limit.to_string().as_bytes()).unwrap();
}

#[test]
fn flag_combinations_are_refused_before_permissions() {
    let system = &boot();
    let nobody = user(system, 1000);
    for (flags, rule) in [
        (F::NEWNS | F::FS, Rule::CloneMountsShareRoot),
        (F::NEWUSER | F::FS, Rule::CloneUserSharesRoot),
        (F::NEWPID | F::THREAD | F::SIGHAND | F::VM, Rule::CloneThreadElsewhere),
        (F::THREAD | F::NEWUTS, Rule::CloneThreadKeepsHandlers),
        (F::SIGHAND | F::NEWUTS, Rule::CloneHandlersKeepMemory),
    ] {
        assert_eq!(refused(clone(&nobody, flags)), rule);
        assert_eq!(refused(clone(&root(system), flags)), rule);
    }
}

#[test]
fn newipc_with_sysvsem_is_judged_between_permission_and_creation() {
    let system = &boot();
    let flags = F::NEWIPC | F::SYSVSEM;
    assert_eq!(refused(clone(&root(system), flags)), Rule::CloneIpcKeepsUndo);
    let nobody = user(system, 1000);
    assert_eq!(refused(clone(&nobody, flags)), Rule::NamespaceNeedsAdmin);
    assert_eq!(refused(clone(&nobody, flags | NEWUSER)), Rule::CloneIpcKeepsUndo);
}

#[test]
fn a_type_that_is_not_built_is_refused_where_it_would_be_made() {
    let built = KindSet::of(&[Kind::User, Kind::Uts]);
    let system = &System::new(Config { built, ..Config::default() });
    for kind in KindSet::ALL.difference(built).iter() {
        let nobody = user(system, 1000);
        assert_eq!(refused(unshare(&nobody, kind.flag())), Rule::NamespaceNeedsAdmin);
        assert_eq!(refused(unshare(&nobody, kind.flag() | NEWUSER)), Rule::KindNotBuilt);
        assert_eq!(refused(unshare(&root(system), kind.flag())), Rule::KindNotBuilt);
        let target = root(system);
        let pidfd = JoinTarget::Pidfd(&target, Dumpable(true));
        // With a pidfd the flags are judged before anything else.
        assert_eq!(refused(setns(&nobody, pidfd, kind.flag().bits())), Rule::KindNotBuilt);
        assert_eq!(refused(setns(&nobody, pidfd, NEWUTS.bits())), Rule::JoinProcessHidden);
    }
    // mnt is made before uts, ipc after it.
    set_limit(&system.init_user(), Kind::Uts, 0);
    assert_eq!(refused(unshare(&root(system), F::NEWNS | NEWUTS)), Rule::KindNotBuilt);
    assert_eq!(refused(unshare(&root(system), F::NEWIPC | NEWUTS)), Rule::LimitReached);
    assert_eq!(system.namespaces_alive(), 0);
}

#[test]
fn clone_cannot_ask_for_a_time_namespace() {
    let built = KindSet::of(&[Kind::User, Kind::Uts]);
    let system = &System::new(Config { built, ..Config::default() });
    let args = CloneArgs::legacy(0x80 | 17);
    assert!(args.flags.is_empty());
    assert_eq!(args.exit_signal, 0x91);
    prepare_clone(&root(system), &args).unwrap().commit();
    let args = CloneArgs::clone3(F::NEWTIME, 17);
    assert_eq!(refused(prepare_clone(&root(system), &args)), Rule::KindNotBuilt);
}

#[test]
fn clone3_blocks_of_all_sizes() {
    let system = &boot();
    let len = |size| CloneArgs::block_len(size).map_err(|refusal| refusal.errno);
    assert_eq!(len(63), Err(Errno::EINVAL));
    assert_eq!((len(64), len(96), len(4096)), (Ok(64), Ok(96), Ok(4096)));
    assert_eq!((len(4097), len(u64::MAX)), (Err(Errno::E2BIG), Err(Errno::E2BIG)));
    let args = CloneArgs::from_block(&[0; 96]).unwrap();
    assert_eq!(args, CloneArgs::clone3(F::empty(), 0));
    prepare_clone(&root(system), &args).unwrap().commit();
    // A block that ends within a field.
    let mut block = [0; 66];
    block[64] = 1;
    assert_eq!(refused(CloneArgs::from_block(&block)), Rule::CloneSetTidHalfGiven);
    // The exit signal is a number of its own; the low byte of the flags is not.
    assert_eq!(
        refused(prepare_clone(&root(system), &CloneArgs::clone3(F::from_bits_retain(17), 17))),
        Rule::CloneFlagUnknown
    );
    let newest = F::from_bits_retain(1 << 34);
    assert_eq!(
        refused(prepare_clone(&root(system), &CloneArgs::clone3(newest, 0))),
        Rule::CloneFlagUnknown
    );
}

#[test]
fn a_plain_child_shares_its_parents_object_and_a_thread_its_group() {
    let system = &boot();
    let parent = root(system);
    let child = clone(&parent, F::empty()).unwrap();
    assert!(Arc::ptr_eq(&child.nsproxy().unwrap(), &parent.nsproxy().unwrap()));
    assert!(!child.same_process(&parent) && child.is_leader());
    let thread = clone(&parent, F::THREAD | F::SIGHAND | F::VM | NEWUTS).unwrap();
    assert!(thread.same_process(&parent) && parent.thread_count() == 2);
    assert_ne!(uts(&thread), uts(&parent), "threads may differ in namespaces");
}

#[test]
fn a_failed_clone_leaves_nothing() {
    let system = &boot();
    let parent = user(system, 1000);
    let newborn = prepare_clone(&parent, &CloneArgs::clone3(NEWUSER | NEWUTS, 17)).unwrap();
    assert!(newborn.is_elsewhere());
    assert_eq!(newborn.cred().user.level(), 1);
    assert_eq!(system.namespaces_alive(), 2);
    drop(newborn);
    assert_eq!(system.namespaces_alive(), 0);
    assert_eq!(namespaces_charged(&system.init_user(), Kuid(1000), Kind::User), 0);
}

#[test]
fn unshare_accepts_its_flags_and_no_other() {
    let system = &boot();
    let task = root(system);
    let before = task.nsproxy().unwrap();
    for flags in [F::empty(), F::FS | F::FILES | F::SYSVSEM, F::THREAD | F::SIGHAND | F::VM] {
        unshare(&task, flags).unwrap();
    }
    assert!(Arc::ptr_eq(&before, &task.nsproxy().unwrap()), "no namespace, no new object");
    let nobody = user(system, 1000);
    for bits in [1, 17, 1 << 33, 1 << 63, F::SETTLS.bits(), F::VFORK.bits(), F::IO.bits()] {
        let flags = F::from_bits_retain(bits) | NEWUTS;
        assert_eq!(refused(unshare(&nobody, flags)), Rule::UnshareFlagUnknown);
    }
}

#[test]
fn threads_stop_what_concerns_the_whole_process() {
    let system = &boot();
    let task = root(system);
    let thread = clone(&task, F::THREAD | F::SIGHAND | F::VM | F::FS).unwrap();
    for flags in [NEWUSER, F::THREAD, F::SIGHAND, F::VM] {
        assert_eq!(refused(unshare(&thread, flags)), Rule::UnshareHasThreads);
    }
    unshare(&thread, NEWUTS | F::FS | F::FILES | F::SYSVSEM).unwrap();
    assert_eq!(uts(&task).inode(), system.init_uts().inode(), "only the caller moves");
    exit(&thread);
    unshare(&task, NEWUSER).unwrap();
}

#[test]
fn a_foreign_sharer_of_the_memory_stops_only_vm() {
    let system = &boot();
    let task = user(system, 1000);
    let child = prepare_clone(&task, &CloneArgs::vfork()).unwrap().commit();
    assert_eq!(refused(unshare(&task, F::VM)), Rule::UnshareSharesMemory);
    unshare(&task, NEWUSER).unwrap();
    exit(&child);
    unshare(&task, F::VM).unwrap();
}

#[test]
fn newuser_gives_every_capability_and_keeps_every_id() {
    let system = &boot();
    let mut cred = Cred::user(&system.init_user(), Kuid(1000), Kgid(1000));
    cred.groups = [Kgid(5)].into();
    cred.bounding = CapSet::EMPTY;
    cred.securebits = SecureBits::NOROOT | SecureBits::NOROOT_LOCKED;
    cred.no_new_privs = true;
    let task = system.adopt(None, cred.clone());
    unshare(&task, NEWUSER).unwrap();
    let new = task.cred();
    let expected = Cred {
        permitted: CapSet::FULL,
        effective: CapSet::FULL,
        bounding: CapSet::FULL,
        securebits: SecureBits::empty(),
        user: new.user.clone(),
        ..cred
    };
    assert_eq!(*new, expected);
    let ns = &new.user;
    assert_eq!((ns.level(), ns.owner()), (1, (Kuid(1000), Kgid(1000))));
    assert_eq!((ns.uid_in(Kuid(1000)), ns.gid_in(Kgid(5))), (65534, 65534));
    assert!(task.dumpable(), "one's own child gives nothing new");
    assert_eq!(max_namespaces(ns, Kind::Uts), i32::MAX as u32);
}

#[test]
fn what_one_call_makes_belongs_to_its_user_namespace_and_what_is_older_does_not() {
    let system = &boot();
    let task = root(system);
    unshare(&task, NEWUTS).unwrap();
    unshare(&task, NEWUSER).unwrap();
    assert_eq!(uts(&task).owner(), Some(system.init_user()));
    assert_eq!(refused(ioctl_userns(&task, &uts(&task))), Rule::IoctlOutOfSight);

    let task = user(system, 1000);
    unshare(&task, NEWUSER | NEWUTS).unwrap();
    assert_eq!(ioctl_userns(&task, &uts(&task)).unwrap(), task.user_ns());
    assert_eq!(ioctl_nstype(&uts(&task)), NEWUTS.bits());
}

#[test]
fn nothing_happens_when_a_later_step_refuses() {
    let system = &boot();
    let task = user(system, 1000);
    set_limit(&system.init_user(), Kind::Uts, 0);
    let (cred, proxy) = (task.cred(), task.nsproxy().unwrap());
    assert_eq!(refused(unshare(&task, NEWUSER | NEWUTS)), Rule::LimitReached);
    assert!(Arc::ptr_eq(&cred, &task.cred()));
    assert!(Arc::ptr_eq(&proxy, &task.nsproxy().unwrap()));
    assert_eq!(system.namespaces_alive(), 0);
    assert_eq!(namespaces_charged(&system.init_user(), Kuid(1000), Kind::User), 0);
}

#[test]
fn the_limit_wins_over_chroot_and_unmapped_ids() {
    let system = &boot();
    let task = user(system, 1000);
    task.set_chrooted(true);
    set_limit(&system.init_user(), Kind::User, 0);
    assert_eq!(refused(unshare(&task, NEWUSER)), Rule::LimitReached);
    set_limit(&system.init_user(), Kind::User, 1);
    assert_eq!(refused(unshare(&task, NEWUSER)), Rule::UserRootChanged);
    assert_eq!(namespaces_charged(&system.init_user(), Kuid(1000), Kind::User), 0);
}

#[test]
fn only_one_id_mapped_is_not_enough_to_make_a_user_namespace() {
    let system = &boot();
    for kind in [MapKind::Uid, MapKind::Gid] {
        let task = unmapped(system, 1000);
        map_as_root(system, &task, kind, "0 1000 1");
        assert_eq!(refused(unshare(&task, NEWUSER)), Rule::UserIdsUnmapped);
    }
}

#[test]
fn limits_count_per_user_at_every_level_and_before_the_old_is_released() {
    let system = &boot();
    let init = system.init_user();
    set_limit(&init, Kind::Uts, 1);
    let (zero, one) = (root(system), user_with(system, 1, &[Cap::SYS_ADMIN]));
    unshare(&zero, NEWUTS).unwrap();
    unshare(&one, NEWUTS).unwrap();
    assert_eq!(refused(unshare(&zero, NEWUTS)), Rule::LimitReached);
    exit(&zero);
    assert_eq!(namespaces_charged(&init, Kuid(0), Kind::Uts), 0);

    // Inside, uid 1000's namespaces are charged to the maker of the user namespace outside.
    let inner = user(system, 1000);
    unshare(&inner, NEWUSER | NEWUTS).unwrap();
    assert_eq!(namespaces_charged(&inner.user_ns(), Kuid(1000), Kind::Uts), 1);
    assert_eq!(namespaces_charged(&init, Kuid(1000), Kind::Uts), 1);
    assert_eq!(refused(unshare(&inner, NEWUTS)), Rule::LimitReached);
    assert_eq!(namespaces_charged(&inner.user_ns(), Kuid(1000), Kind::Uts), 1, "taken back");
}

#[test]
fn setns_needs_the_administrator_on_both_sides() {
    let system = &boot();
    let owner = user(system, 1000);
    let inside = clone(&owner, NEWUSER | NEWUTS).unwrap();
    let (user_ns, uts_ns) = (AnyNamespace::User(inside.user_ns()), uts(&inside));
    // The unprivileged owner must join the user namespace first ...
    assert_eq!(
        refused(setns(&owner, JoinTarget::Namespace(&uts_ns), 0)),
        Rule::JoinNeedsAdminInOwn
    );
    setns(&owner, JoinTarget::Namespace(&user_ns), NEWUSER.bits()).unwrap();
    setns(&owner, JoinTarget::Namespace(&uts_ns), NEWUTS.bits()).unwrap();
    assert_eq!(owner.ids(), inside.ids());
    assert!(owner.dumpable());
    // ... or in the same call.
    let owner = user(system, 1000);
    let pidfd = JoinTarget::Pidfd(&inside, Dumpable(true));
    setns(&owner, pidfd, (NEWUSER | NEWUTS).bits()).unwrap();
    assert_eq!(owner.ids(), inside.ids());
    // No way back, and none to what an ancestor owns.
    let init = AnyNamespace::User(system.init_user());
    assert_eq!(refused(setns(&owner, JoinTarget::Namespace(&init), 0)), Rule::JoinUserNeedsAdmin);
    let first = uts(&root(system));
    assert_eq!(
        refused(setns(&owner, JoinTarget::Namespace(&first), 0)),
        Rule::JoinNeedsAdminInOwner
    );
}

#[test]
fn the_owner_is_known_by_its_effective_user() {
    let system = &boot();
    let target = AnyNamespace::User(unmapped(system, 1000).user_ns());
    let join = |uid: u32, euid: u32| {
        let cred = Cred { euid: Kuid(euid), ..Cred::user(&system.init_user(), Kuid(uid), Kgid(1)) };
        setns(&system.adopt(None, cred), JoinTarget::Namespace(&target), 0)
    };
    join(1001, 1000).unwrap();
    assert_eq!(refused(join(1000, 1001)), Rule::JoinUserNeedsAdmin);
}

#[test]
fn joining_somebody_elses_user_namespace_hides_the_memory() {
    let system = &boot();
    let target = unmapped(system, 1000);
    let task = root(system);
    setns(&task, JoinTarget::Namespace(&AnyNamespace::User(target.user_ns())), 0).unwrap();
    assert!(!task.dumpable());
}

#[test]
fn a_refused_member_of_a_pidfd_set_refuses_all() {
    let system = &boot();
    let owner = user(system, 1000);
    // The child left its owner's user namespace, but its uts namespace is the first one.
    let inside = clone(&owner, NEWUSER).unwrap();
    let before = owner.cred();
    let pidfd = JoinTarget::Pidfd(&inside, Dumpable(true));
    assert_eq!(
        refused(setns(&owner, pidfd, (NEWUSER | NEWUTS).bits())),
        Rule::JoinNeedsAdminInOwner
    );
    assert!(Arc::ptr_eq(&before, &owner.cred()));
}

#[test]
fn arguments_of_setns_are_judged_first_and_as_an_int() {
    let system = &boot();
    let nobody = user(system, 1000);
    let own = uts(&nobody);
    let fd = JoinTarget::Namespace(&own);
    assert_eq!(refused(setns(&nobody, fd, F::NEWIPC.bits())), Rule::JoinOtherKind);
    let task = root(system);
    setns(&task, fd, 1 << 33).unwrap();
    setns(&task, fd, (1 << 33) | NEWUTS.bits()).unwrap();
    assert_eq!(refused(setns(&task, fd, NEWUTS.bits() | 1)), Rule::JoinOtherKind);
    for bits in [0, F::FS.bits(), 1] {
        assert_eq!(refused(setns(&nobody, JoinTarget::Reaped, bits)), Rule::JoinFlagsOfProcess);
    }
    assert_eq!(refused(setns(&nobody, JoinTarget::Reaped, NEWUTS.bits())), Rule::JoinProcessGone);
}

#[test]
fn every_setns_makes_a_new_object_even_to_where_one_is() {
    let system = &boot();
    let task = root(system);
    let before = task.nsproxy().unwrap();
    setns(&task, JoinTarget::Namespace(&uts(&task)), 0).unwrap();
    let after = task.nsproxy().unwrap();
    assert!(!Arc::ptr_eq(&before, &after));
    assert_eq!(before.ids(), after.ids());
}

#[test]
fn a_zombie_has_no_namespaces_but_a_user_namespace() {
    let system = &boot();
    let task = user(system, 1000);
    unshare(&task, NEWUSER | NEWUTS).unwrap();
    let pinned = uts(&task);
    exit(&task);
    exit(&task);
    assert!(task.nsproxy().is_none() && task.ids().get(Kind::Uts).is_none());
    assert!(task.ids().get(Kind::User).is_some());
    assert_eq!(task.thread_count(), 0);
    // What somebody holds lives on, with its owner and can be entered.
    assert_eq!(system.namespaces_alive(), 2);
    let root = root(system);
    setns(&root, JoinTarget::Namespace(&pinned), 0).unwrap();
    drop((task, pinned));
    assert_eq!(system.namespaces_alive(), 2);
    drop(root);
    assert_eq!(system.namespaces_alive(), 0);
}

#[test]
fn a_task_dropped_without_exit_gives_up_everything() {
    let system = &boot();
    let task = root(system);
    let thread = clone(&task, F::THREAD | F::SIGHAND | F::VM | NEWUTS).unwrap();
    drop(thread);
    assert_eq!((task.thread_count(), system.namespaces_alive()), (1, 0));
}

#[test]
fn who_may_look_at_whom() {
    let system = &boot();
    let (a, b) = (user(system, 1000), user(system, 1000));
    may_read(&a, &b, true).unwrap();
    assert_eq!(refused(may_read(&a, &b, false)), Rule::ReadNeedsAccess);
    b.set_dumpable(false);
    assert_eq!(refused(may_read(&a, &b, true)), Rule::ReadNeedsAccess);
    may_read(&b, &b, false).unwrap();
    may_read(&user_with(system, 5, &[Cap::SYS_PTRACE]), &b, true).unwrap();
    // A child of one's own user namespace can be seen from the parent, not the other way round.
    let child = clone(&a, NEWUSER).unwrap();
    may_read(&a, &child, true).unwrap();
    assert_eq!(refused(may_read(&child, &a, true)), Rule::ReadNeedsAccess);
    // More capabilities than one's own: effective ones for files, permitted ones for setns.
    let strong = user_with(system, 1000, &[Cap::NET_RAW]);
    assert_eq!(refused(may_read(&a, &strong, true)), Rule::ReadNeedsAccess);
    let same = user_with(system, 1000, &[Cap::NET_RAW]);
    may_read(&same, &strong, true).unwrap();
    creds::capset(&same, CapSet::EMPTY, same.cred().permitted, CapSet::EMPTY).unwrap();
    assert_eq!(refused(may_read(&same, &strong, true)), Rule::ReadNeedsAccess);
    let pidfd = JoinTarget::Pidfd(&strong, Dumpable(true));
    assert_eq!(refused(setns(&same, pidfd, NEWUTS.bits())), Rule::JoinNeedsAdminInOwner);
}

#[test]
fn who_may_signal_whom() {
    let system = &boot();
    let of = |task: &Arc<Task>| task.cred();
    let (a, b) = (user(system, 1000), user(system, 1001));
    may_signal(&of(&a), &of(&user(system, 1000)), false).unwrap();
    assert_eq!(refused(may_signal(&of(&a), &of(&b), false)), Rule::SignalNeedsKill);
    may_signal(&of(&a), &of(&b), true).unwrap();
    // A user namespace's root may signal the same kid outside, and everybody inside.
    let inside = inner_root(system, 1000);
    may_signal(&of(&inside), &of(&a), false).unwrap();
    assert_eq!(refused(may_signal(&of(&inside), &of(&b), false)), Rule::SignalNeedsKill);
    let other = clone(&inside, F::empty()).unwrap();
    creds::setresuid(&other, 1, 1, 1).unwrap();
    may_signal(&of(&inside), &of(&other), false).unwrap();
    assert_eq!(refused(may_signal(&of(&other), &of(&inside), false)), Rule::SignalNeedsKill);
}

#[test]
fn parents_and_owners_are_shown_downwards_only() {
    let system = &boot();
    let outer = inner_root(system, 1000);
    let inner = clone(&outer, NEWUSER).unwrap();
    let of = |task: &Task| AnyNamespace::User(task.user_ns());
    assert_eq!(ioctl_parent(&outer, &of(&inner)).unwrap(), of(&outer));
    assert_eq!(ioctl_userns(&outer, &of(&inner)).unwrap(), outer.user_ns());
    assert_eq!(refused(ioctl_parent(&inner, &of(&inner))), Rule::IoctlOutOfSight);
    assert_eq!(refused(ioctl_parent(&outer, &of(&outer))), Rule::IoctlOutOfSight);
    let first = root(system);
    assert_eq!(refused(ioctl_parent(&first, &of(&first))), Rule::IoctlOutOfSight);
    assert_eq!(ioctl_owner_uid(&first, &of(&inner)), Ok(1000));
    assert_eq!(ioctl_owner_uid(&outer, &of(&inner)), Ok(0));
    assert_eq!(ioctl_owner_uid(&inner, &of(&inner)), Ok(65534));
}
