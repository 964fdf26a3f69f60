//! What scenarios cannot see of the rules: what a refusal says, what can be asked of objects, and
//! what older kernels did. Most of it was found by changing the code and seeing that nobody minded.
#![cfg(not(loom))]

mod common;

use CloneFlags as F;
use common::{mounts::Machine, *};
use nsproxy::{creds::*, ipc::*, *};
use std::sync::Arc;

fn old(major: u16, minor: u16) -> System {
    System::new(Config { version: KernelVersion::new(major, minor), ..Config::default() })
}

fn says<T>(result: Result<T, Refusal>, end: &str) {
    let text = result.err().unwrap().to_string();
    assert!(text.ends_with(end), "{text} does not end in {end}");
}

#[test]
fn a_refusal_names_what_broke_the_rule() {
    let system = &boot();
    let task = &root(system);
    let clone3 = |flags, signal| prepare_clone(task, &CloneArgs::clone3(flags, signal));
    says(clone3(F::PARENT | F::FS, 17), "; flags PARENT, exit_signal 17");
    let args = CloneArgs::clone3(F::empty(), 17);
    let facts = Facts { set_tid: &[5, 6, 7], ..Facts::default() };
    says(prepare_clone_with(task, &args, facts), "; numbers 3, levels 1");

    set_securebits(task, 0b11).unwrap();
    says(set_securebits(task, 0b100), "; bits 3");

    let deep = user(system, 1000);
    for _ in 0..33 {
        unshare(&deep, NEWUSER).unwrap();
        map_self(&deep, if deep.user_ns().level() == 1 { 1000 } else { 0 });
    }
    says(unshare(&deep, NEWUSER), "; level 34");
    semget(task, 7, 1, 0o1000 | 0o604).unwrap();
    says(semget(&user(system, 1000), 7, 1, 0o600), "wanted 6, granted 4");

    let map = |text: &[u8]| {
        let child = unmapped(system, 1000);
        let root = task.cred();
        write_map(MapKind::Uid, &child.user_ns(), &root, &root, 0, text)
    };
    says(map(b"0 0 1\n1 1"), "; line 2, field outside");
    says(map(b"0 0 3\n5 5 3\n7 10 1"), "; line 3, with 2");

    unshare(task, F::NEWTIME).unwrap();
    let offsets = b"monotonic 1 0\nboottime 1";
    let written = write_time_offsets(Some(task), &task.cred(), &Clocks::default(), 0, offsets);
    says(written, "; line 2");
}

#[test]
fn a_namespace_knows_its_number() {
    let system = &boot();
    let task = root(system);
    unshare(&task, F::NAMESPACES - F::NEWUSER - F::NEWPID).unwrap();
    let proxy = task.nsproxy().unwrap();
    let ids = task.ids();
    let own = [
        (Link::Mnt, proxy.mnt.inode()),
        (Link::Uts, proxy.uts.inode()),
        (Link::Ipc, proxy.ipc.inode()),
        (Link::Pid, proxy.pid_for_children.inode()),
        (Link::Cgroup, proxy.cgroup.inode()),
        (Link::Net, proxy.net.inode()),
        (Link::TimeForChildren, proxy.time_for_children.inode()),
        (Link::Time, proxy.time.inode()),
        (Link::User, task.user_ns().inode()),
    ];
    for (link, inode) in own {
        assert_eq!(ids.get(link), Some(inode), "{link}");
    }
    for kind in Kind::ALL.iter().copied() {
        let owner = task.namespace(kind).unwrap().owner();
        assert_eq!(owner, (kind != Kind::User).then(|| system.init_user()), "{kind}");
    }
}

#[test]
fn what_the_embedder_is_told() {
    let config = Config { pid_max: 77, hostname: "seven".into(), ..Config::default() };
    let system = System::new(config);
    assert_eq!((system.config().pid_max, &*system.config().hostname), (77, "seven"));

    let task = root(&system);
    assert_eq!(task.tag(), 0);
    task.set_tag(4711);
    assert_eq!(task.tag(), 4711);

    let here = prepare_clone(&task, &CloneArgs::fork()).unwrap();
    assert!(!here.is_elsewhere());
    assert!(nsproxy::Arc::ptr_eq(&here.namespaces().unwrap(), &task.nsproxy().unwrap()));
    drop(here);
    let there = prepare_clone(&task, &CloneArgs::legacy(F::NEWUTS.bits() | 17)).unwrap();
    assert!(there.is_elsewhere());
    assert_ne!(there.namespaces().unwrap().uts.inode(), task.nsproxy().unwrap().uts.inode());
    drop(there);

    assert!(prepare_exec(&task, &ExecFile::default()).unwrap().nsproxy().is_none());
    unshare(&task, F::NEWTIME).unwrap();
    let exec = prepare_exec(&task, &ExecFile::default()).unwrap();
    let waiting = task.nsproxy().unwrap().time_for_children.inode();
    assert_eq!(exec.nsproxy().unwrap().time.inode(), waiting);
    drop(exec);

    assert_eq!(prepare_setgroups(&task, 5).unwrap().len(), 5);
    unshare(&task, NEWUSER | F::NEWUTS).unwrap();
    unshare(&task, F::NEWUTS).unwrap();
    let init = system.init_user();
    assert_eq!(namespaces_charged_to_all(&init, Kind::Uts), 1);
    assert_eq!(namespaces_charged_to_all(&init, Kind::User), 1);
    let other = user(&system, 1000);
    unshare(&other, NEWUSER).unwrap();
    assert_eq!(namespaces_charged_to_all(&init, Kind::User), 2);
}

#[test]
fn a_pid_namespace_is_dead_when_its_init_is() {
    let system = boot();
    let init = prepare_clone(&root(&system), &CloneArgs::legacy(F::NEWPID.bits() | 17));
    let init = init.unwrap().commit();
    let ns = init.pid_ns().unwrap();
    assert!(!ns.is_dead() && !system.init_pid().is_dead());
    exit(&init);
    assert!(ns.is_dead());
}

#[test]
fn commands_are_numbers() {
    use Command as C;
    let all = |sort| (0..=21).map(move |number| Command::of(sort, 0, number).ok());
    let common = [C::Rmid, C::Set, C::Stat, C::Info].map(Some);
    let sem = [C::GetPid, C::GetVal, C::GetAll, C::GetNcnt, C::GetZcnt, C::SetVal, C::SetAll];
    let stat = [C::IndexStat, C::Usage, C::IndexStatAny].map(Some);
    let shm = [C::Lock, C::Unlock].map(Some);
    let row = |parts: &[&[Option<Command>]]| parts.concat();
    let none = [None; 7];
    let sem = row(&[&common, &none, &sem.map(Some), &stat, &none[..1]]);
    assert_eq!(all(Sort::Sem).collect::<Vec<_>>(), sem);
    let shm = row(&[&common, &none, &shm, &stat, &none[..6]]);
    assert_eq!(all(Sort::Shm).collect::<Vec<_>>(), shm);
    let msg = row(&[&common, &none, &stat, &none, &none[..1]]);
    assert_eq!(all(Sort::Msg).collect::<Vec<_>>(), msg);
}

#[test]
fn a_file_is_out_of_sight_where_its_owner_or_its_group_is_not_mapped() {
    let system = boot();
    // Ids 0 to 9 are 1000 to 1009 inside.
    let hidden = |owner: u32, group: u32| {
        let task = inner_root(&system, 1000);
        let (owner, group) = (Kuid(owner), Kgid(group));
        let file = ExecFile { unreadable: true, owner, group, ..ExecFile::default() };
        exec(&task, &file).unwrap();
        // Root inside looks at it.
        let looker = prepare_clone(&task, &CloneArgs::fork()).unwrap().commit();
        exec(&looker, &ExecFile::default()).unwrap();
        may_read(&looker, &task, true).is_err()
    };
    assert!(!hidden(1001, 1002));
    assert!(hidden(2000, 1002) && hidden(1001, 2000) && hidden(0, 0));
}

#[test]
fn before_6_17_ids_that_differ_were_ids_that_change() {
    let caps = |system: &System, gid: u32| {
        let mut cred = Cred::root(&system.init_user());
        let raw = CapSet::EMPTY.with(Cap::NET_RAW);
        (cred.uid, cred.euid, cred.suid, cred.fsuid) = (Kuid(5), Kuid(5), Kuid(5), Kuid(5));
        (cred.gid, cred.egid, cred.sgid, cred.fsgid) = (Kgid(gid), Kgid(7), Kgid(7), Kgid(7));
        (cred.permitted, cred.effective, cred.inheritable, cred.ambient) = (raw, raw, raw, raw);
        let task = system.adopt(None, cred);
        exec(&task, &ExecFile::default()).unwrap();
        task.cred().ambient
    };
    let raw = CapSet::EMPTY.with(Cap::NET_RAW);
    assert_eq!((caps(&old(6, 16), 7), caps(&old(6, 16), 8)), (raw, CapSet::EMPTY));
    assert_eq!((caps(&old(6, 17), 7), caps(&old(6, 17), 8)), (raw, raw));
}

#[test]
fn older_kernels_know_fewer_flags_of_move_mount() {
    let system = old(6, 4);
    assert_eq!(refused(Mounter::of_move_mount(&root(&system), 0x200)), Rule::MoveMountFlagUnknown);
    assert!(matches!(Mounter::of_move_mount(&root(&boot()), 0x200), Ok((_, Onto::Beneath))));
    let system = old(5, 14);
    assert_eq!(refused(Mounter::of_move_mount(&root(&system), 0x100)), Rule::MoveMountFlagUnknown);
    assert!(Mounter::of_move_mount(&root(&old(5, 15)), 0x100).is_ok());
}

#[test]
fn mount_namespaces_have_neighbours() {
    let machine = Machine::new();
    let looker = machine.root();
    let spaces: Vec<AnyNamespace> = (0..3)
        .map(|_| {
            let task = machine.root();
            unshare(&task, F::NEWNS).unwrap();
            task.namespace(Kind::Mnt).unwrap()
        })
        .collect();
    let next = |of: &AnyNamespace, forward| ioctl_mnt_neighbour(&looker, of, forward).unwrap();
    assert_eq!(next(&spaces[0], true).as_ref(), Some(&spaces[1]));
    assert_eq!(next(&spaces[1], true).as_ref(), Some(&spaces[2]));
    assert_eq!(next(&spaces[2], true), None);
    assert_eq!(next(&spaces[2], false).as_ref(), Some(&spaces[1]));
    let first = looker.namespace(Kind::Mnt);
    assert_eq!(next(&spaces[0], false), first);
    assert_eq!(next(&first.unwrap(), false), None);
}

#[test]
fn a_fork_s_end_is_told_by_the_ordinary_signal() {
    assert_eq!((CloneArgs::fork().exit_signal, CloneArgs::vfork().exit_signal), (17, 17));
    let args = CloneArgs::legacy(F::NEWUTS.bits() | 10);
    assert_eq!((args.flags, args.exit_signal, args.clone3), (F::NEWUTS, 10, false));
    let args = CloneArgs::clone3(F::NEWUTS, 10);
    assert_eq!((args.flags, args.exit_signal, args.clone3), (F::NEWUTS, 10, true));
}

#[test]
fn a_group_is_waited_for() {
    let system = boot();
    let parent = root(&system);
    let fork = || prepare_clone(&parent, &CloneArgs::fork()).unwrap().commit();
    let (one, two) = (fork(), fork());
    setpgid(&two, 0, 0).unwrap();
    let number = two.number_in(&system.init_pid()).unwrap();
    exit(&one);
    assert!(wait(&parent, WaitFor::Group(number), WaitKind::All).unwrap().is_none());
    exit(&two);
    let waited = wait(&parent, WaitFor::Group(number), WaitKind::All).unwrap().unwrap();
    assert_eq!(waited.number, number);
    assert_eq!(refused(wait(&parent, WaitFor::Group(number), WaitKind::All)), Rule::WaitNoChild);
}

#[test]
fn one_s_own_id_is_mapped_by_the_owner_only() {
    let system = boot();
    let owner = unmapped(&system, 1000);
    let ns = owner.user_ns();
    // Another user, with every capability inside, and none in the parent.
    let mut cred = Cred::user(&ns, Kuid(1001), Kgid(1001));
    (cred.permitted, cred.effective) = (CapSet::FULL, CapSet::FULL);
    let refusal = write_map(MapKind::Uid, &ns, &cred, &cred, 0, b"0 1001 1");
    assert_eq!(refused(refusal), Rule::MapNeedsSetid);
    let cred = owner.cred();
    write_map(MapKind::Uid, &ns, &cred, &cred, 0, b"0 1000 1").unwrap();
}

#[test]
fn a_queue_belongs_to_its_maker() {
    let system = boot();
    let task: Arc<Task> = user(&system, 1000);
    let how = MqOpen {
        access: 2,
        create: true,
        exclusive: false,
        mode: 0o640,
        attributes: Some((1, 1)),
        limit: None,
    };
    let open = mq_open(&task, b"q", &how).unwrap();
    assert_eq!(open.queue.owner(), (Kuid(1000), Kgid(1000), 0o640));
}

#[test]
fn the_pidfd_and_the_number_need_two_places() {
    let task = root(&boot());
    let both = CloneArgs::clone3(F::PIDFD | F::PARENT_SETTID, 17);
    let at = |pidfd, parent_tid| {
        let args = CloneArgs { pidfd, parent_tid, ..both };
        prepare_clone(&task, &args).map(drop)
    };
    assert!(at(16, 20).is_ok());
    assert_eq!(refused(at(16, 16)), Rule::ClonePidfdOverwritten);
    let one = CloneArgs { pidfd: 16, parent_tid: 16, ..CloneArgs::clone3(F::PIDFD, 17) };
    assert!(prepare_clone(&task, &one).is_ok());
}

#[test]
fn limits_are_files_of_root() {
    for file in IpcFile::ALL.iter().copied() {
        let mode = if file.path().ends_with("next_id") { 0o444 } else { 0o644 };
        assert_eq!(file.mode(), mode, "{}", file.path());
    }
}

#[test]
fn calls_and_files_have_their_names() {
    assert_eq!([Name::Host.call(), Name::Domain.call()], ["sethostname", "setdomainname"]);
    let names = [MapKind::Uid, MapKind::Gid, MapKind::Projid].map(MapKind::name);
    assert_eq!(names, ["uid_map", "gid_map", "projid_map"]);
}
