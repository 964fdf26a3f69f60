//! What is mounted, and the lives of namespaces, mounts and places. What each call does is told by
//! the scenarios of the conformance crate, which also run on the kernel.
#![cfg(not(loom))]

mod common;

use common::mounts::Machine;
use nsproxy::*;
use std::sync::{Arc, Barrier};

const NEWNS: CloneFlags = CloneFlags::NEWNS;

#[test]
fn an_operation_that_is_dropped_leaves_nothing() {
    let machine = Machine::new();
    let (task, peer) = (machine.root(), machine.root());
    machine.change(&task, "/", MsFlags::SHARED).unwrap();
    unshare(&peer, NEWNS).unwrap();
    let ns = task.nsproxy().unwrap().mnt.clone();
    let (count, info) = (ns.mount_count(), machine.info(&task));
    let target = machine.at(&task, "/a");
    let (sb, root) = machine.super_of(&machine.system.init_user());
    let mounter = Mounter::of(&task, "mount").unwrap();
    drop(mounter.mount(&machine.dirs, &sb, root, b"", &target, 0).unwrap());
    drop(mounter.bind(&machine.dirs, &target, &target, true).unwrap());
    drop(mounter.propagation(&machine.at(&task, "/"), MsFlags::PRIVATE.bits()).unwrap());
    assert_eq!((ns.mount_count(), machine.info(&task)), (count, info));
    assert_eq!(Arc::strong_count(&sb), 1);
    // Nor was a group's number lost.
    machine.mount(&task, "/a", MsFlags::empty()).unwrap();
    assert_eq!(machine.info(&peer).last().unwrap(), "/a rw,relatime shared:2");
}

#[test]
fn a_table_is_of_one_moment_and_known_by_its_generation() {
    let machine = Machine::new();
    let task = machine.root();
    let ns = task.nsproxy().unwrap().mnt.clone();
    let before = ns.table();
    assert!(nsproxy::Arc::ptr_eq(&before, &ns.table()));
    machine.mount(&task, "/a", MsFlags::empty()).unwrap();
    let after = ns.table();
    assert_eq!((before.iter().count(), after.iter().count()), (2, 3));
    assert!(before.generation() < after.generation() && after.generation() == ns.generation());
    let root = task.root().unwrap();
    let point = machine.dirs.at(root.dentry().super_id, "a");
    let (mount, dentry) = after.covered(root.mount(), point);
    assert_eq!(after.place(&ns, mount, dentry).unwrap(), machine.at(&task, "/a"));
    assert_eq!(before.covered(root.mount(), point), (root.mount(), point));
}

#[test]
fn a_namespace_dies_with_its_last_task_and_its_mounts_with_their_last_user() {
    let machine = Machine::new();
    let task = machine.root();
    unshare(&task, NEWNS).unwrap();
    let (sb, root) = machine.super_of(&machine.system.init_user());
    let mounter = Mounter::of(&task, "mount").unwrap();
    let target = machine.at(&task, "/a");
    mounter.mount(&machine.dirs, &sb, root, b"", &target, 0).unwrap().commit();
    drop((mounter, target));
    let open = machine.at(&task, "/a");
    exit(&task);
    assert_eq!(machine.system.namespaces_alive(), 0);
    assert_eq!(Arc::strong_count(&sb), 2); // the open file's mount
    drop(open);
    assert_eq!(Arc::strong_count(&sb), 1);
}

#[test]
fn a_system_that_is_dropped_keeps_no_file_system() {
    let machine = Machine::new();
    let (sb, root) = machine.super_of(&machine.system.init_user());
    machine.system.mount_at_boot(None, &sb, root, b"", MountFlags::empty()).unwrap();
    let nowhere = machine.system.mount_nowhere(&sb, root);
    let inside = machine.inside();
    machine.mount(&inside, "/a", MsFlags::empty()).unwrap();
    assert!(Arc::strong_count(&sb) > 3);
    drop((machine, nowhere, inside));
    assert_eq!(Arc::strong_count(&sb), 1);
}

#[test]
fn a_detached_tree_lives_as_long_as_its_descriptor_or_its_place() {
    let machine = Machine::new();
    let task = machine.root();
    let user = machine.system.init_user();
    machine.mount(&task, "/a", MsFlags::empty()).unwrap();
    let charged = || namespaces_charged(&user, Kuid(0), Kind::Mnt);
    let source = machine.at(&task, "/a");
    let tree = || open_tree(&task, &machine.dirs, &source, true).unwrap();
    let (kept, dropped) = (tree(), tree());
    assert_eq!(charged(), 2);
    drop(dropped);
    assert_eq!(charged(), 1);
    let (mounter, onto) = Mounter::of_move_mount(&task, 0).unwrap();
    let target = machine.at(&task, "/b");
    drop(mounter.move_mount(&machine.dirs, &kept.root(), &target, onto).unwrap());
    assert_eq!((charged(), machine.info(&task).len()), (1, 2));
    mounter.move_mount(&machine.dirs, &kept.root(), &target, onto).unwrap().commit();
    drop(kept);
    assert_eq!((charged(), machine.info(&task).len()), (0, 3));
}

#[test]
fn a_failed_unshare_leaves_the_directories_where_they_are() {
    let machine = Machine::new();
    let task = machine.root();
    let user = machine.system.init_user();
    set_max_namespaces(&user, Kind::Uts, &task.cred(), 0, b"0").unwrap();
    let before = (task.root().unwrap(), task.pwd().unwrap());
    let refusal = unshare(&task, NEWNS | CloneFlags::NEWUTS).unwrap_err();
    assert_eq!(refusal.rule, Rule::LimitReached);
    assert_eq!((task.root().unwrap(), task.pwd().unwrap()), before);
    assert_eq!(machine.system.namespaces_alive(), 0);
}

#[test]
fn where_mount_namespaces_are_not_built_nothing_is_known_of_directories() {
    let built = KindSet::of(&[Kind::User, Kind::Uts]);
    let system = System::new(Config { built, ..Config::default() });
    let task = common::root(&system);
    assert!(task.root().is_none() && !task.chrooted());
    assert_eq!(unshare(&task, NEWNS).unwrap_err().rule, Rule::KindNotBuilt);
    task.set_chrooted(true);
    assert!(task.chrooted());
}

#[test]
fn mounts_and_deaths_from_many_threads_end_in_a_whole_tree() {
    const THREADS: usize = 4;
    let system = System::new(Config::default());
    let machine = Machine::new();
    let first = machine.root();
    machine.change(&first, "/", MsFlags::SHARED).unwrap();
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let task = machine.root();
            scope.spawn(|| {
                let task = task;
                start.wait();
                for _ in 0..200 {
                    unshare(&task, NEWNS).unwrap();
                    let ns = task.nsproxy().unwrap().mnt.clone();
                    assert_eq!(ns.table().iter().count(), ns.mount_count());
                }
                exit(&task);
            });
        }
    });
    drop(system);
    assert_eq!(machine.system.namespaces_alive(), 0);
    assert_eq!(machine.info(&first), ["/ rw,relatime shared:1"]);
    machine.change(&first, "/", MsFlags::SLAVE).unwrap();
    assert_eq!(machine.info(&first), ["/ rw,relatime"]);
}

#[test]
fn what_becomes_readonly_is_known_before_it_does() {
    let machine = Machine::new();
    let task = machine.root();
    for path in ["/a", "/a/e"] {
        machine.mount(&task, path, MsFlags::empty()).unwrap();
    }
    machine.bind(&task, "/a", "/b").unwrap();
    let [top, below, bound] = ["/a", "/a/e", "/b"].map(|path| machine.at(&task, path));
    let ids = |change: &MountChange| {
        let made = change.made_readonly();
        made.iter().for_each(|(id, sb)| {
            let table = task.nsproxy().unwrap().mnt.table();
            assert!(Arc::ptr_eq(sb, &table.get(*id).unwrap().sb));
        });
        made.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    let mounter = Mounter::of(&task, "mount").unwrap();
    let readonly = MsFlags::RDONLY.bits();
    assert_eq!(ids(&mounter.remount(&top, readonly).unwrap()), [top.mount()]);
    assert_eq!(ids(&mounter.remount(&top, 0).unwrap()), []);
    assert_eq!(ids(&mounter.propagation(&top, MsFlags::SHARED.bits()).unwrap()), []);
    mounter.remount(&top, readonly).unwrap().commit();
    assert_eq!(ids(&mounter.remount(&top, readonly).unwrap()), []);

    let mut block = [0; 32];
    block[0] = 1;
    let attr = MountAttr::from_block(&mounter, &block, |_| IdmapFile::Closed).unwrap().unwrap();
    assert_eq!(ids(&mounter.setattr(&top, &attr, true).unwrap()), [below.mount()]);

    // The file system itself, through whichever of its mounts.
    let all = [bound.mount(), top.mount(), bound.mount()];
    assert_eq!(ids(&mounter.remount_super(&bound, readonly).unwrap()), all);
    mounter.remount_super(&bound, readonly).unwrap().commit();
    assert_eq!(ids(&mounter.remount_super(&bound, readonly).unwrap()), []);
}
