//! set*id(2), setgroups(2), capset(2) and prctl(2). Results were observed on Linux 6.18.
#![cfg(not(loom))]

mod common;

use common::*;
use nsproxy::{creds::*, *};
use std::sync::Arc;

const KEEP: u32 = u32::MAX;

fn uids(task: &Task) -> [u32; 4] {
    task.with_cred(|cred| [cred.uid.0, cred.euid.0, cred.suid.0, cred.fsuid.0])
}

fn gids(task: &Task) -> [u32; 4] {
    task.with_cred(|cred| [cred.gid.0, cred.egid.0, cred.sgid.0, cred.fsgid.0])
}

#[test]
fn root_ceasing_to_be_root_loses_its_capabilities() {
    let system = &boot();
    let task = root(system);
    setuid(&task, 1000).unwrap();
    assert_eq!(uids(&task), [1000; 4]);
    assert!(task.cred().permitted.is_empty() && !task.dumpable());
    assert_eq!(refused(setuid(&task, 0)), Rule::SetuidNeedsCap);

    // Only the effective id: effective capabilities go, and come back.
    let task = root(system);
    setresuid(&task, KEEP, 1000, KEEP).unwrap();
    assert_eq!((task.cred().permitted, task.cred().effective), (CapSet::FULL, CapSet::EMPTY));
    setresuid(&task, KEEP, 0, KEEP).unwrap();
    assert_eq!(task.cred().effective, CapSet::FULL);
}

#[test]
fn keep_caps_keeps_the_permitted_set_and_no_fixup_keeps_all() {
    let system = &boot();
    let task = root(system);
    set_keepcaps(&task, 1).unwrap();
    setresuid(&task, 1000, 1000, 1000).unwrap();
    assert_eq!((task.cred().permitted, task.cred().effective), (CapSet::FULL, CapSet::EMPTY));

    let task = root(system);
    set_securebits(&task, SecureBits::NO_SETUID_FIXUP.bits().into()).unwrap();
    setresuid(&task, 1000, 1000, 1000).unwrap();
    assert_eq!(task.cred().effective, CapSet::FULL);
}

#[test]
fn ids_move_among_real_effective_and_saved() {
    let system = &boot();
    let task = root(system);
    setresuid(&task, 1, 2, 3).unwrap();
    setresuid(&task, 3, 1, 2).unwrap();
    assert_eq!(uids(&task), [3, 1, 2, 1]);
    assert_eq!(refused(setresuid(&task, 4, KEEP, KEEP)), Rule::SetuidNeedsCap);
    assert_eq!(refused(setreuid(&task, 2, KEEP)), Rule::SetuidNeedsCap, "the saved id will not do");
    setreuid(&task, 1, KEEP).unwrap();
    assert_eq!(uids(&task), [1, 1, 1, 1]);

    let task = root(system);
    setresgid(&task, 1, 2, 3).unwrap();
    setreuid(&task, 5, 5).unwrap();
    assert_eq!(refused(setregid(&task, 3, KEEP)), Rule::SetgidNeedsCap);
    setregid(&task, KEEP, 3).unwrap();
    assert_eq!(gids(&task), [1, 3, 3, 3]);
    setgid(&task, 1).unwrap();
    assert_eq!(gids(&task), [1, 1, 3, 1]);
}

#[test]
fn a_call_that_changes_nothing_leaves_the_file_system_id() {
    let system = &boot();
    let task = root(system);
    assert_eq!(setfsuid(&task, 77), 0);
    setresuid(&task, KEEP, KEEP, KEEP).unwrap();
    setresuid(&task, 0, KEEP, KEEP).unwrap();
    assert_eq!(setfsuid(&task, KEEP), 77);
    setresuid(&task, KEEP, 0, KEEP).unwrap();
    assert_eq!(setfsuid(&task, KEEP), 0);
    setfsuid(&task, 77);
    setreuid(&task, KEEP, KEEP).unwrap();
    assert_eq!(setfsuid(&task, KEEP), 0);

    assert_eq!(setfsgid(&task, 77), 0);
    setresgid(&task, KEEP, KEEP, KEEP).unwrap();
    assert_eq!(setfsgid(&task, KEEP), 77);
    setresgid(&task, KEEP, 0, KEEP).unwrap();
    assert_eq!(setfsgid(&task, KEEP), 0);
}

#[test]
fn capabilities_about_files_follow_the_file_system_id() {
    let system = &boot();
    let task = root(system);
    setfsuid(&task, 5);
    assert_eq!(task.cred().effective, CapSet::FULL.difference(CapSet::FILES));
    assert_eq!(CapSet::FILES.0, 0x1_0800_021f);
    setfsuid(&task, 0);
    assert_eq!(task.cred().effective, CapSet::FULL);
}

#[test]
fn in_an_unmapped_user_namespace_no_id_can_be_named() {
    let system = &boot();
    let task = unmapped(system, 1000);
    assert_eq!((setfsuid(&task, KEEP), setfsgid(&task, KEEP)), (65534, 65534));
    setresuid(&task, KEEP, KEEP, KEEP).unwrap();
    setreuid(&task, KEEP, KEEP).unwrap();
    for id in [0, 65534, KEEP] {
        assert_eq!(refused(setuid(&task, id)), Rule::IdUnmapped);
        assert_eq!(refused(setgid(&task, id)), Rule::IdUnmapped);
    }
}

#[test]
fn an_inner_root_becomes_whom_its_map_holds() {
    let system = &boot();
    let task = inner_root(system, 1000);
    setresuid(&task, 3, 3, 3).unwrap();
    assert_eq!(uids(&task), [1003; 4]);
    assert!(task.cred().permitted.is_empty(), "it was root inside");
    let task = inner_root(system, 1000);
    assert_eq!(refused(setuid(&task, 10)), Rule::IdUnmapped);
    setgroups(&task, &[9, 3, 9, 1]).unwrap();
    assert_eq!(getgroups(&task), [1, 3, 9, 9]);
    assert_eq!(refused(setgroups(&task, &[1, 10])), Rule::IdUnmapped);
    assert_eq!(getgroups(&task), [1, 3, 9, 9]);
}

#[test]
fn setgroups_is_judged_before_its_list_is_read() {
    let system = &boot();
    let nobody = user(system, 65534);
    for size in [-1, 65537, 0] {
        assert_eq!(refused(prepare_setgroups(&nobody, size)), Rule::SetgroupsNeedsCap);
    }
    let task = root(system);
    for size in [-1, 65537, 1 << 31] {
        assert_eq!(refused(prepare_setgroups(&task, size)), Rule::SetgroupsTooMany);
    }
    assert_eq!(prepare_setgroups(&task, (1 << 32) | 1).unwrap().len(), 1);

    let inside = unmapped(system, 1000);
    assert_eq!(refused(setgroups(&inside, &[])), Rule::SetgroupsDenied);
    map_self(&inside, 1000);
    assert_eq!(refused(setgroups(&inside, &[])), Rule::SetgroupsDenied, "denied for good");
}

#[test]
fn capset_obeys_its_four_rules_and_trims_the_ambient_set() {
    let system = &boot();
    let task = user_with(system, 1000, &[Cap::KILL, Cap::SETUID]);
    let set = |caps: &[Cap]| caps.iter().copied().collect::<CapSet>();
    let all = set(&[Cap::KILL, Cap::SETUID]);
    capset(&task, all, all, all).unwrap();
    for cap in all.iter() {
        ambient_raise(&task, cap.number().into()).unwrap();
    }
    capset(&task, CapSet::EMPTY, set(&[Cap::KILL]), all).unwrap();
    assert_eq!(task.cred().ambient, set(&[Cap::KILL]));
    assert_eq!(capget(&task).inheritable, all);
    assert_eq!(refused(capset(&task, all, all, all)), Rule::CapsetPermittedRaised);
    // Unknown bits are ignored.
    let task = root(system);
    capset(&task, CapSet(u64::MAX), CapSet(u64::MAX), CapSet(1 << 60)).unwrap();
    assert_eq!(task.cred().permitted, CapSet::FULL);
}

#[test]
fn securebits_change_as_observed() {
    let system = &boot();
    let run = |task: &Arc<Task>, calls: &[(u64, Option<Rule>)]| {
        for (bits, expected) in calls {
            let result = set_securebits(task, *bits).err().map(|refusal| refusal.rule);
            assert_eq!(result, *expected, "{bits:#x}");
        }
    };
    let privileged = Some(Rule::SecurebitsNeedSetpcap);
    let locked = Some(Rule::SecurebitsLocked);
    let unknown = Some(Rule::SecurebitsUnknown);
    run(
        &user(system, 65534),
        &[
            (0, privileged),
            (256, None),
            (256, privileged),
            (0, None),
            (0x300, None),
            (0, locked),
            (1 << 20, locked),
        ],
    );
    run(
        &root(system),
        &[(2, None), (3, locked), (0, locked), (1 << 40, locked), ((1 << 40) | 2, unknown)],
    );
    run(&user(system, 65534), &[(1 << 12, unknown), (1 << 40, unknown)]);
}

#[test]
fn prctl_judges_its_arguments_as_observed() {
    let system = &boot();
    let call = |task: &Arc<Task>, option: u64, args: [u64; 4]| {
        prctl(task, option, args).expect("a credential option").map_err(|refusal| refusal.errno)
    };
    let (inval, perm) = (Err(Errno::EINVAL), Err(Errno::EPERM));
    let task = &root(system);
    for (option, args, expected) in [
        (8, [2, 0, 0, 0], inval),
        (8, [1, 0, 0, 0], Ok(0)),
        ((1 << 32) | 7, [0; 4], Ok(1)),
        (28, [0x30, 0, 0, 0], Ok(0)),
        (8, [2, 0, 0, 0], inval),
        (8, [1, 0, 0, 0], perm),
        (39, [0; 4], Ok(0)),
        (39, [1, 0, 0, 0], inval),
        (39, [0, 0, 0, 1], inval),
        (38, [1, 1, 0, 0], inval),
        (38, [2, 0, 0, 0], inval),
        (38, [1, 0, 0, 0], Ok(0)),
        (39, [0; 4], Ok(1)),
        (47, [1, 41, 0, 0], inval),
        (47, [9, 1, 0, 0], inval),
        (47, [1, 1, 1, 0], inval),
        (47, [2, 1, 0, 0], perm),
        (47, [4, 1, 0, 0], inval),
        (47, [4, 0, 1, 0], inval),
        (47, [4, 0, 0, 0], Ok(0)),
        (47, [3, 1, 0, 0], Ok(0)),
        (47, [0, 0, 0, 0], inval),
        (23, [40, 0, 0, 0], Ok(1)),
        (23, [41, 0, 0, 0], inval),
        (23, [(1 << 32) | 1, 0, 0, 0], inval),
        (24, [41, 0, 0, 0], inval),
        (24, [40, 0, 0, 0], Ok(0)),
        (23, [40, 0, 0, 0], Ok(0)),
        (27, [0; 4], Ok(0x30)),
    ] {
        assert_eq!(call(task, option, args), expected, "prctl({option}, {args:?})");
    }
    let nobody = &user(system, 65534);
    assert_eq!(call(nobody, 24, [41, 0, 0, 0]), perm);
    assert_eq!(prctl(nobody, 15, [0; 4]), None, "PR_SET_NAME is not about credentials");
}
