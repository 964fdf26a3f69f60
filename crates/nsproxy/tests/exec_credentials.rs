//! What execve(2) makes of credentials. Every row was observed on Linux 6.18 (with the bounding
//! set of that machine replaced by a full one).
#![cfg(not(loom))]

mod common;

use common::*;
use nsproxy::{creds::*, *};
use std::sync::Arc;

const RAW: CapSet = CapSet::EMPTY.with(Cap::NET_BIND_SERVICE);

fn plain() -> ExecFile {
    ExecFile::default()
}

fn setuid_root() -> ExecFile {
    ExecFile { setuid: true, ..plain() }
}

fn setgid_5() -> ExecFile {
    ExecFile { group: Kgid(5), setgid: true, ..plain() }
}

fn with_caps(effective: bool, root: u32) -> ExecFile {
    let caps = FileCaps { permitted: RAW, inheritable: CapSet::EMPTY, effective, root: Kuid(root) };
    ExecFile { caps: Some(caps), ..plain() }
}

/// (real, effective) user and group, permitted, effective and ambient sets after the exec.
type After = ((u32, u32), (u32, u32), CapSet, CapSet, CapSet);

fn after(task: &Arc<Task>, file: &ExecFile) -> After {
    exec(task, file).unwrap();
    let cred = task.cred();
    assert_eq!((cred.suid, cred.fsuid), (cred.euid, cred.euid));
    assert_eq!((cred.sgid, cred.fsgid), (cred.egid, cred.egid));
    (
        (cred.uid.0, cred.euid.0),
        (cred.gid.0, cred.egid.0),
        cred.permitted,
        cred.effective,
        cred.ambient,
    )
}

fn none() -> CapSet {
    CapSet::EMPTY
}

fn full() -> CapSet {
    CapSet::FULL
}

#[test]
fn an_ordinary_user_gets_what_the_file_gives() {
    let system = &boot();
    let nobody = || user(system, 1000);
    for (file, expected) in [
        (plain(), ((1000, 1000), (1000, 1000), none(), none(), none())),
        (setuid_root(), ((1000, 0), (1000, 1000), full(), full(), none())),
        (setgid_5(), ((1000, 1000), (1000, 5), none(), none(), none())),
        (with_caps(true, 0), ((1000, 1000), (1000, 1000), RAW, RAW, none())),
        (with_caps(false, 0), ((1000, 1000), (1000, 1000), RAW, none(), none())),
        // Set-user-ID root and capabilities: only the capabilities.
        (
            ExecFile { setuid: true, ..with_caps(true, 0) },
            ((1000, 0), (1000, 1000), RAW, RAW, none()),
        ),
        // nosuid.
        (
            ExecFile { nosuid: true, setuid: true, setgid: true, ..with_caps(true, 0) },
            ((1000, 1000), (1000, 1000), none(), none(), none()),
        ),
    ] {
        assert_eq!(after(&nobody(), &file), expected, "{file:?}");
    }
}

#[test]
fn no_new_privs_gives_nothing() {
    let system = &boot();
    for file in [setuid_root(), setgid_5(), with_caps(true, 0)] {
        let task = user(system, 1000);
        set_no_new_privs(&task, 1).unwrap();
        let expected = ((1000, 1000), (1000, 1000), none(), none(), none());
        assert_eq!(after(&task, &file), expected, "{file:?}");
    }
}

#[test]
fn root_gets_everything_unless_told_otherwise() {
    let system = &boot();
    let task = |prepare: &dyn Fn(&Arc<Task>)| {
        let task = root(system);
        prepare(&task);
        after(&task, &plain())
    };
    let drop_all = |task: &Arc<Task>| capset(task, none(), none(), none()).unwrap();
    assert_eq!(task(&|task| drop_all(task)), ((0, 0), (0, 0), full(), full(), none()));
    assert_eq!(
        task(&|task| setresuid(task, 0, 1000, 1000).unwrap()),
        ((0, 1000), (0, 0), full(), none(), none())
    );
    assert_eq!(
        task(&|task| set_securebits(task, 1).unwrap()),
        ((0, 0), (0, 0), none(), none(), none())
    );
    assert_eq!(
        task(&|task| {
            drop_all(task);
            set_no_new_privs(task, 1).unwrap();
        }),
        ((0, 0), (0, 0), none(), none(), none())
    );
    // The effective root under no_new_privs keeps its id only with capabilities to lose.
    assert_eq!(
        task(&|task| {
            setresuid(task, 1000, 0, 0).unwrap();
            set_no_new_privs(task, 1).unwrap();
        }),
        ((1000, 0), (0, 0), full(), full(), none())
    );
    assert_eq!(
        task(&|task| {
            setresuid(task, 1000, 0, 0).unwrap();
            drop_all(task);
            set_no_new_privs(task, 1).unwrap();
        }),
        ((1000, 1000), (0, 0), none(), none(), none())
    );
    // File capabilities do not hold root back.
    let both = ExecFile { setuid: true, ..with_caps(true, 0) };
    assert_eq!(after(&root(system), &both), ((0, 0), (0, 0), full(), full(), none()));
}

#[test]
fn ambient_capabilities_survive_unless_ids_change() {
    let system = &boot();
    let ambient = || {
        let task = user_with(system, 1000, &[Cap::NET_BIND_SERVICE, Cap::SETUID, Cap::SETGID]);
        let held = task.cred().permitted;
        capset(&task, held, held, RAW).unwrap();
        ambient_raise(&task, Cap::NET_BIND_SERVICE.number().into()).unwrap();
        task
    };
    let task = ambient();
    assert_eq!(after(&task, &plain()), ((1000, 1000), (1000, 1000), RAW, RAW, RAW));

    // Real and effective ids that differ already do not count as a change (since 6.17).
    let task = ambient();
    setresuid(&task, 1001, 1000, 1000).unwrap();
    assert_eq!(after(&task, &plain()).4, RAW);
    let task = ambient();
    setresgid(&task, 1000, 1001, 1000).unwrap();
    assert_eq!(after(&task, &plain()).4, RAW);
    // But an effective group that is neither the file-system group nor supplementary does.
    setresgid(&task, 1000, 1001, 1000).ok();
    let task = ambient();
    setresgid(&task, 1000, 1001, 1000).unwrap();
    assert_eq!(setfsgid(&task, 1000), 1001);
    assert_eq!(after(&task, &plain()), ((1000, 1000), (1000, 1001), none(), none(), none()));

    for file in [setuid_root(), setgid_5(), with_caps(true, 0)] {
        let task = ambient();
        assert_eq!(after(&task, &file).4, none(), "{file:?}");
    }
}

#[test]
fn in_a_user_namespace_only_its_own_root_counts() {
    let system = &boot();
    let inside = |map: &str| {
        let task = unmapped(system, 1000);
        if !map.is_empty() {
            map_as_root(system, &task, MapKind::Uid, map);
            map_as_root(system, &task, MapKind::Gid, "0 0 100000");
        }
        task
    };
    let ids = ((1000, 1000), (1000, 1000));
    let of = |caps: CapSet| (ids.0, ids.1, caps, caps, none());
    assert_eq!(after(&inside(""), &plain()), of(none()));
    assert_eq!(after(&inside("0 1000 1"), &plain()), of(full()));
    assert_eq!(after(&inside("5 1000 1"), &plain()), of(none()));
    // The initial root's set-user-ID file, unmapped: no effect.
    assert_eq!(after(&inside("5 1000 1"), &setuid_root()), of(none()));
    // The same where the file's ids are mapped.
    let mapped = inside("5 1000 1\n0 0 1");
    assert_eq!(after(&mapped, &setuid_root()), ((1000, 0), (1000, 1000), full(), full(), none()));
    // Version 2 file capabilities belong to the initial root, an ancestor's.
    assert_eq!(after(&inside("5 1000 1"), &with_caps(true, 0)), of(RAW));
    // Version 3 ones to the root they name, if he is root here or above.
    assert_eq!(after(&inside("5 1000 1"), &with_caps(true, 1000)), of(none()));
    assert_eq!(after(&inside("0 2000 1\n5 1000 1"), &with_caps(true, 2000)), of(RAW));
    // A file system of a user namespace that is not ours or above gives nothing.
    let other = inside("0 1000 1").user_ns();
    let foreign = ExecFile { user: Some(other), ..setuid_root() };
    assert_eq!(after(&user(system, 1000), &foreign), of(none()));
}

#[test]
fn a_dumb_program_must_get_all_that_its_file_permits() {
    let system = &boot();
    let bounded = || {
        let task = root(system);
        bounding_drop(&task, Cap::NET_BIND_SERVICE.number().into()).unwrap();
        setresuid(&task, 1000, 1000, 1000).unwrap();
        task
    };
    let before = bounded();
    assert_eq!(refused(exec(&before, &with_caps(true, 0))), Rule::ExecCapabilitiesMissing);
    assert_eq!(*before.cred(), *bounded().cred());
    assert_eq!(after(&bounded(), &with_caps(false, 0)).2, none());
}

#[test]
fn memory_becomes_dumpable_unless_something_was_gained() {
    let system = &boot();
    let dumpable = |task: Arc<Task>, file: ExecFile| {
        task.set_dumpable(false);
        exec(&task, &file).unwrap();
        task.dumpable()
    };
    assert!(dumpable(user(system, 1000), plain()));
    assert!(!dumpable(user(system, 1000), setuid_root()));
    assert!(!dumpable(user(system, 1000), setgid_5()));
    assert!(!dumpable(user(system, 1000), with_caps(false, 0)));
    assert!(!dumpable(user(system, 1000), ExecFile { unreadable: true, ..plain() }));
    let split = root(system);
    setresuid(&split, 0, 1000, 1000).unwrap();
    assert!(!dumpable(split, plain()));
}

#[test]
fn only_the_executing_thread_survives_and_leads() {
    let system = &boot();
    let leader = root(system);
    let thread = system.adopt(Some(&leader), Cred::clone(&leader.cred()));
    assert_eq!((leader.thread_count(), thread.is_leader()), (2, false));
    exit(&leader);
    assert_eq!(thread.thread_count(), 2, "a dead leader is still counted");
    assert_eq!(refused(unshare(&thread, NEWUSER)), Rule::UnshareHasThreads);
    exec(&thread, &plain()).unwrap();
    assert_eq!((thread.thread_count(), thread.is_leader()), (1, true));
    unshare(&thread, NEWUSER).unwrap();

    let leader = root(system);
    let thread = system.adopt(Some(&leader), Cred::clone(&leader.cred()));
    exec(&leader, &plain()).unwrap();
    assert!(thread.has_exited() && !leader.has_exited());
    assert_eq!(leader.thread_count(), 1);
}

#[test]
fn exec_clears_keep_caps_even_when_locked() {
    let system = &boot();
    let task = root(system);
    set_securebits(&task, 0x30).unwrap();
    exec(&task, &plain()).unwrap();
    assert_eq!(securebits(&task), SecureBits::KEEP_CAPS_LOCKED);
}

#[test]
fn what_is_gained_is_lost_again_when_others_could_profit() {
    let system = &boot();
    // A tracer without rights over the program.
    let task = user(system, 1000);
    let file = ExecFile { traced: true, ..setuid_root() };
    assert_eq!(after(&task, &file), ((1000, 1000), (1000, 1000), none(), none(), none()));
    // Another process that shares the root directory.
    let task = user(system, 1000);
    let child = prepare_clone(&task, &CloneArgs::legacy(CloneFlags::FS.bits() | 17)).unwrap();
    let child = child.commit();
    assert_eq!(after(&task, &setuid_root()).0, (1000, 1000));
    exit(&child);
    assert_eq!(after(&task, &setuid_root()).0, (1000, 0));
    // Threads of the same process do not count: they die.
    let task = user(system, 1000);
    let _thread = system.adopt(Some(&task), Cred::clone(&task.cred()));
    assert_eq!(after(&task, &setuid_root()).0, (1000, 0));
}

#[test]
fn before_6_17_real_and_effective_ids_that_differ_cost_the_ambient_set() {
    let v = KernelVersion::new;
    for (version, expected) in [(v(6, 17), RAW), (v(6, 16), none()), (v(6, 1), none())] {
        let system = &System::new(Config { version, ..Config::default() });
        let task = user_with(system, 1000, &[Cap::NET_BIND_SERVICE, Cap::SETUID]);
        let held = task.cred().permitted;
        capset(&task, held, held, RAW).unwrap();
        ambient_raise(&task, Cap::NET_BIND_SERVICE.number().into()).unwrap();
        setresuid(&task, 1001, 1000, 1000).unwrap();
        assert_eq!(after(&task, &plain()).4, expected, "{version}");
        // The securebits about scripts came with 6.14.
        let nobody = user(system, 65534);
        assert_eq!(set_securebits(&nobody, 256).is_ok(), version.since(v(6, 14)));
    }
}
