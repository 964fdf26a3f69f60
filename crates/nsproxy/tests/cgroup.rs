//! Cgroup namespaces: what a path looks like from where, and where a child begins.
#![cfg(not(loom))]

mod common;

use common::*;
use nsproxy::{CloneFlags as F, *};
use std::sync::Arc;

/// A system with two hierarchies of version 1 and, last as the kernel lists it, that of version 2.
fn boot_with_three() -> System {
    let one = |id, controllers: &str| Hierarchy { id, controllers: controllers.into() };
    let hierarchies = vec![one(9, "name=systemd"), one(4, "cpu,cpuacct"), Hierarchy::UNIFIED];
    System::new(Config { hierarchies, ..Config::default() })
}

fn shown(of: &Task, reader: &Task) -> String {
    let text = read_cgroups(of, &reader.nsproxy().unwrap().cgroup);
    String::from_utf8(text).unwrap()
}

#[test]
fn a_namespace_begins_where_its_maker_is() {
    let system = &boot_with_three();
    let (a, b) = (root(system), root(system));
    let unified = system.cgroup_root(0).unwrap();
    let (kf, other) = (unified.make(b"kf"), unified.make(b"other"));
    let cpu = system.cgroup_root(4).unwrap().make(b"cpu");
    a.set_cgroup(&kf.make(b"a"));
    a.set_cgroup(&cpu);
    assert_eq!(shown(&a, &b), "9:name=systemd:/\n4:cpu,cpuacct:/cpu\n0::/kf/a\n");
    unshare(&a, F::NEWCGROUP).unwrap();
    assert_eq!(shown(&a, &a), "9:name=systemd:/\n4:cpu,cpuacct:/\n0::/\n");
    assert_eq!(shown(&a, &b), "9:name=systemd:/\n4:cpu,cpuacct:/cpu\n0::/kf/a\n");
    assert_eq!(shown(&b, &a), "9:name=systemd:/\n4:cpu,cpuacct:/..\n0::/../..\n");
    b.set_cgroup(&other);
    assert_eq!(shown(&b, &a), "9:name=systemd:/\n4:cpu,cpuacct:/..\n0::/../../other\n");

    // Joining changes the view and moves nobody.
    let ns = a.namespace(Link::Cgroup).unwrap();
    setns(&b, JoinTarget::Namespace(&ns), 0).unwrap();
    assert_eq!(shown(&b, &b), "9:name=systemd:/\n4:cpu,cpuacct:/..\n0::/../../other\n");
    assert_eq!(shown(&a, &b), "9:name=systemd:/\n4:cpu,cpuacct:/\n0::/\n");
}

#[test]
fn a_namespace_made_for_a_child_begins_where_the_child_is() {
    let system = &boot();
    let parent = root(system);
    let unified = system.cgroup_root(0).unwrap();
    let (here, there) = (unified.make(b"here"), unified.make(b"there"));
    parent.set_cgroup(&here);
    let args = CloneArgs::clone3(F::NEWCGROUP | F::INTO_CGROUP, 17);
    let newborn = prepare_clone(&parent, &args).unwrap();
    newborn.enter_cgroup(CgroupTarget::Cgroup(&there), |_| true).unwrap();
    let child = newborn.commit();
    assert_eq!(shown(&child, &child), "0::/\n");
    assert_eq!(shown(&child, &parent), "0::/there\n");
    assert_eq!(shown(&parent, &child), "0::/../here\n");
}

#[test]
fn a_child_moves_only_where_its_parent_could_move_it() {
    let system = &boot_with_three();
    let parent = root(system);
    let top = system.cgroup_root(0).unwrap().make(b"top");
    let (from, to) = (top.make(b"from"), top.make(b"to"));
    parent.set_cgroup(&from);
    let newborn = || prepare_clone(&parent, &CloneArgs::clone3(F::INTO_CGROUP, 17)).unwrap();
    let enter = |target: &Arc<Cgroup>, allowed: &[&Arc<Cgroup>]| {
        let may = |one: &Cgroup| allowed.iter().any(|may| std::ptr::eq(&***may, one));
        newborn().enter_cgroup(CgroupTarget::Cgroup(target), may)
    };
    assert_eq!(refused(enter(&to, &[&to])), Rule::CloneCgroupNeedsWrite);
    assert_eq!(refused(enter(&to, &[&top])), Rule::CloneCgroupNeedsWrite);
    enter(&to, &[&top, &to]).unwrap();
    assert_eq!(refused(enter(&from.make(b"x"), &[&from])), Rule::CloneCgroupNeedsWrite);
    let v1 = system.cgroup_root(4).unwrap();
    assert_eq!(refused(enter(&v1, &[&v1])), Rule::CloneCgroupOther);
    assert!(Arc::ptr_eq(&parent.cgroup(0).unwrap(), &from), "nobody else moves");
}

#[test]
fn a_zombie_stays_in_its_cgroup_of_version_2() {
    let system = &boot_with_three();
    let (a, b) = (root(system), root(system));
    let gone = system.cgroup_root(0).unwrap().make(b"gone");
    a.set_cgroup(&gone);
    a.set_cgroup(&system.cgroup_root(4).unwrap().make(b"cpu"));
    exit(&a);
    assert_eq!(shown(&a, &b), "9:name=systemd:/\n4:cpu,cpuacct:/\n0::/gone\n");
    gone.set_removed();
    assert_eq!(shown(&a, &b), "9:name=systemd:/\n4:cpu,cpuacct:/\n0::/gone (deleted)\n");
}
