//! uid_map, gid_map, projid_map, setgroups and the limits. Results were observed on Linux 6.18.
#![cfg(not(loom))]

mod common;

use common::*;
use nsproxy::*;
use std::sync::Arc;

fn write(kind: MapKind, ns: &Arc<UserNs>, by: &Cred, text: &str) -> Result<usize, Rule> {
    write_map(kind, ns, by, by, 0, text.as_bytes()).map_err(|refusal| refusal.rule)
}

fn as_root(system: &System) -> Cred {
    Cred::root(&system.init_user())
}

#[test]
fn up_to_five_lines_are_shown_as_written_and_more_are_sorted() {
    let system = &boot();
    let shown = |ids: &[u32]| {
        let task = unmapped(system, 1000);
        let text: String = ids.iter().map(|id| format!("{id} {} 1\n", 100 + id)).collect();
        let ns = task.user_ns();
        assert_eq!(write(MapKind::Uid, &ns, &as_root(system), &text), Ok(text.len()));
        for id in ids {
            assert_eq!(ns.map_uid(*id), Some(Kuid(100 + id)));
            assert_eq!(ns.find_uid(Kuid(100 + id)), Some(*id));
        }
        assert_eq!((ns.map_uid(4), ns.find_uid(Kuid(4))), (None, None));
        assert_eq!((ns.map_uid(10), ns.uid_in(Kuid(111))), (None, 65534));
        read_map(MapKind::Uid, &ns, &system.init_user())
    };
    assert_eq!(
        shown(&[5, 3, 9, 1, 7]),
        "         5        105          1\n\
         \x20        3        103          1\n\
         \x20        9        109          1\n\
         \x20        1        101          1\n\
         \x20        7        107          1\n"
    );
    let sorted = shown(&[5, 3, 9, 1, 7, 2]);
    assert!(sorted.starts_with("         1        101          1\n         2        102"));
}

#[test]
fn the_initial_map_is_everything() {
    let system = &boot();
    let init = system.init_user();
    for kind in [MapKind::Uid, MapKind::Gid, MapKind::Projid] {
        assert_eq!(read_map(kind, &init, &init), "         0          0 4294967295\n");
    }
    assert_eq!(init.map_uid(4_294_967_294), Some(Kuid(4_294_967_294)));
    assert_eq!(init.map_uid(u32::MAX), None);
}

#[test]
fn an_ordinary_user_maps_itself_alone() {
    let system = &boot();
    for text in ["0 1001 1", "0 1000 2", "0 0 1", "0 1000 1\n5 1001 1"] {
        let task = unmapped(system, 1000);
        let refused = write(MapKind::Uid, &task.user_ns(), &task.cred(), text);
        assert!(
            matches!(refused, Err(Rule::MapNeedsSetid | Rule::MapRootNeedsSetfcap)),
            "{text}: {refused:?}"
        );
    }
    let task = unmapped(system, 1000);
    let (ns, cred) = (task.user_ns(), task.cred());
    assert_eq!(write(MapKind::Uid, &ns, &cred, "nonsense"), Err(Rule::MapFieldMissing));
    assert_eq!(write(MapKind::Uid, &ns, &cred, "0 1000 1\n"), Ok(9));
    assert_eq!(write(MapKind::Uid, &ns, &cred, "0 1000 1\n"), Err(Rule::MapAlreadySet));
    assert_eq!((ns.uid_in(Kuid(1000)), ns.uid_in(Kuid(0))), (0, 65534));
}

#[test]
fn the_group_map_wants_setgroups_denied_first() {
    let system = &boot();
    let task = unmapped(system, 1000);
    let (ns, cred) = (task.user_ns(), task.cred());
    assert_eq!(write(MapKind::Gid, &ns, &cred, "0 1000 1"), Err(Rule::MapGidNeedsDeny));
    assert_eq!(write(MapKind::Gid, &ns, &cred, "0 1001 1"), Err(Rule::MapNeedsSetid));
    open_setgroups_for_write(&ns, &cred).unwrap();
    assert_eq!(write_setgroups(&ns, 0, b"deny"), Ok(4));
    assert_eq!(write(MapKind::Gid, &ns, &cred, "0 1000 1"), Ok(8));
    assert_eq!(refused(write_setgroups(&ns, 0, b"deny")), Rule::SetgroupsDenyTooLate);
    assert_eq!(refused(write_setgroups(&ns, 0, b"allow")), Rule::SetgroupsAllowTooLate);
    assert_eq!(read_setgroups(&ns), "deny\n");
    // It is inherited, and mapped by the parent's root it stays denied.
    assert_eq!(refused(unshare(&task, NEWUSER)), Rule::UserIdsUnmapped);
    write(MapKind::Uid, &ns, &cred, "0 1000 1").unwrap();
    unshare(&task, NEWUSER).unwrap();
    assert_eq!(read_setgroups(&task.user_ns()), "deny\n");
}

#[test]
fn the_setgroups_file_reads_its_words_as_observed() {
    let system = &boot();
    let ns = unmapped(system, 1000).user_ns();
    for (text, expected) in [
        ("", None),
        ("allow", Some(5)),
        ("allow\n ", Some(7)),
        ("allow x", None),
        ("deny", Some(4)),
        ("deny\0xx", Some(7)),
        ("denyx", None),
        ("deny   ", Some(7)),
        ("deny    ", None),
    ] {
        assert_eq!(write_setgroups(&ns, 0, text.as_bytes()).ok(), expected, "{text:?}");
    }
    assert_eq!(refused(write_setgroups(&ns, 1, b"deny")), Rule::SetgroupsFileText);
    assert_eq!(write_setgroups(&system.init_user(), 0, b"allow"), Ok(5));
}

#[test]
fn a_map_is_written_with_the_authority_of_opener_and_writer() {
    let system = &boot();
    let root = as_root(system);
    let nobody = Cred::user(&system.init_user(), Kuid(1000), Kgid(1000));
    for (opener, writer) in [(&root, &nobody), (&nobody, &root)] {
        let ns = unmapped(system, 1000).user_ns();
        let result = write_map(MapKind::Uid, &ns, opener, writer, 0, b"0 5 10");
        assert_eq!(refused(result), Rule::MapNeedsSetid);
    }
    let ns = unmapped(system, 1000).user_ns();
    write_map(MapKind::Uid, &ns, &root, &root, 0, b"0 5 10").unwrap();
}

#[test]
fn user_0_can_be_passed_on_only_by_those_who_could_give_file_capabilities() {
    let system = &boot();
    let init = &system.init_user();
    let caps = |without: Option<Cap>| {
        let mut cred = Cred::root(init);
        if let Some(cap) = without {
            (cred.permitted, cred.effective) =
                (cred.permitted.without(cap), cred.effective.without(cap));
        }
        cred
    };
    // From inside: the maker's capability counts, at the time of making.
    for (without, text, expected) in [
        (None, "0 0 1", Ok(5)),
        (Some(Cap::SETFCAP), "0 0 1", Err(Rule::MapRootNeedsSetfcap)),
        (Some(Cap::SETFCAP), "1 0 1", Err(Rule::MapRootNeedsSetfcap)),
    ] {
        let task = system.adopt(None, caps(without));
        unshare(&task, NEWUSER).unwrap();
        assert_eq!(write(MapKind::Uid, &task.user_ns(), &task.cred(), text), expected, "{text}");
    }
    // From the parent: the opener's. Another id than 0 is free of it.
    let ns = unmapped(system, 1000).user_ns();
    let weak = caps(Some(Cap::SETFCAP));
    assert_eq!(write(MapKind::Uid, &ns, &weak, "0 0 1"), Err(Rule::MapRootNeedsSetfcap));
    assert_eq!(write(MapKind::Gid, &ns, &weak, "0 0 1"), Ok(5));
    assert_eq!(write(MapKind::Uid, &ns, &weak, "0 1 10"), Ok(6));
}

#[test]
fn outside_ids_are_the_parents_and_fit_one_of_its_lines() {
    let system = &boot();
    let task = unmapped(system, 1000);
    let outer = task.user_ns();
    map_as_root(system, &task, MapKind::Uid, "0 1000 10\n10 2000 10");
    map_as_root(system, &task, MapKind::Gid, "0 1000 10");
    let parent = task.cred();
    unshare(&task, NEWUSER).unwrap();
    let inner = task.user_ns();
    assert_eq!(write(MapKind::Uid, &inner, &parent, "0 5 10"), Err(Rule::MapOutsideUnmapped));
    assert_eq!(write(MapKind::Uid, &inner, &parent, "0 15 6"), Err(Rule::MapOutsideUnmapped));
    assert_eq!(write(MapKind::Uid, &inner, &parent, "0 15 5\n5 0 1"), Ok(12));
    assert_eq!((inner.map_uid(2), inner.map_uid(5)), (Some(Kuid(2007)), Some(Kuid(1000))));
    // Every reader sees the outside ids in its own numbering; one inside sees its parent's.
    let seen = |reader: &Arc<UserNs>| read_map(MapKind::Uid, &inner, reader);
    let lines = |a: &str, b: &str| {
        format!("         0 {a:>10}          5\n         5 {b:>10}          1\n")
    };
    assert_eq!(seen(&inner), lines("15", "0"));
    assert_eq!(seen(&outer), lines("15", "0"));
    assert_eq!(seen(&system.init_user()), lines("2005", "1000"));
    let stranger = unmapped(system, 1).user_ns();
    assert_eq!(seen(&stranger), lines("4294967295", "4294967295"));
    // The grandparent has no say in it.
    let root = as_root(system);
    assert_eq!(write(MapKind::Gid, &inner, &root, "0 0 1"), Err(Rule::MapOpenerElsewhere));
}

#[test]
fn project_ids_need_no_privilege() {
    let system = &boot();
    let task = unmapped(system, 1000);
    let stranger = Cred::user(&system.init_user(), Kuid(7), Kgid(7));
    assert_eq!(write(MapKind::Projid, &task.user_ns(), &stranger, "0 0 100000"), Ok(10));
}

#[test]
fn place_is_judged_before_state_and_state_before_text() {
    let system = &boot();
    let root = as_root(system);
    let ns = inner_root(system, 1000).user_ns();
    let at =
        |offset, text: &[u8]| refused(write_map(MapKind::Uid, &ns, &root, &root, offset, text));
    assert_eq!(at(1, b"junk"), Rule::MapNotAtStart);
    assert_eq!(at(0, &[b'x'; 4096]), Rule::MapTooLong);
    assert_eq!(at(0, &[b'x'; 4095]), Rule::MapAlreadySet);
}

#[test]
fn the_limits_of_a_user_namespace_are_its_own() {
    let system = &boot();
    let task = unmapped(system, 1000);
    let (ns, cred) = (task.user_ns(), task.cred());
    assert_eq!(read_max_namespaces(&ns, Kind::Net), "2147483647\n");
    may_set_max_namespaces(&ns, &cred).unwrap();
    assert_eq!(set_max_namespaces(&ns, Kind::Uts, &cred, 0, b"5 6"), Ok(2));
    assert_eq!(set_max_namespaces(&ns, Kind::Uts, &cred, 1, b"12"), Ok(2), "ignored");
    assert_eq!(set_max_namespaces(&ns, Kind::Uts, &cred, 0, b""), Ok(0));
    assert_eq!(refused(set_max_namespaces(&ns, Kind::Uts, &cred, 0, b"-1")), Rule::LimitText);
    assert_eq!((max_namespaces(&ns, Kind::Uts), max_namespaces(&ns, Kind::Net)), (5, 2147483647));
    assert_eq!(max_namespaces(&system.init_user(), Kind::Uts), 15_500);
    // The parent's administrator is one here, another user is not.
    may_set_max_namespaces(&ns, &as_root(system)).unwrap();
    let stranger = user(system, 1001).cred();
    assert_eq!(refused(may_set_max_namespaces(&ns, &stranger)), Rule::LimitNeedsResource);
}
