//! Every rule of the table is raised in exactly one place, and can be reached.
#![cfg(not(loom))]

mod common;
#[path = "every_rule/idmap_rules.rs"]
mod idmap_rules;
#[path = "every_rule/ipc_rules.rs"]
mod ipc_rules;
#[path = "every_rule/mnt_rules.rs"]
mod mnt_rules;
#[path = "every_rule/net_rules.rs"]
mod net_rules;
#[path = "every_rule/pid_rules.rs"]
mod pid_rules;

use common::*;
use nsproxy::{creds::*, *};
use std::{collections::BTreeMap, fs, path::Path};

/// Finds every `Rule::Name` followed by `.refuse()` outside tests.
fn raised() -> BTreeMap<String, Vec<String>> {
    fn walk(dir: &Path, found: &mut BTreeMap<String, Vec<String>>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let dense: String = code.chars().filter(|c| !c.is_whitespace()).collect();
            for after in dense.split("Rule::").skip(1) {
                let end = after.find(|c: char| !c.is_alphanumeric()).unwrap_or(after.len());
                let (name, rest) = after.split_at(end);
                if rest.starts_with(".refuse()") {
                    found.entry(name.into()).or_default().push(path.display().to_string());
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
}

#[test]
fn every_rule_is_raised_in_exactly_one_place() {
    let raised = raised();
    for rule in Rule::ALL {
        let places = raised.get(&format!("{rule:?}")).map_or(&[][..], Vec::as_slice);
        assert_eq!(places.len(), 1, "{rule:?} is raised in {places:?}");
    }
    assert_eq!(raised.len(), Rule::ALL.len());
}

#[test]
fn every_rule_has_its_texts_and_a_name_of_its_own() {
    let mut names = std::collections::BTreeSet::new();
    for rule in Rule::ALL.iter().copied() {
        assert!(names.insert(rule.name()), "{} twice", rule.name());
        assert_eq!(Rule::by_name(rule.name()), Some(rule));
        assert!(!rule.sentence().ends_with('.') && rule.sentence().len() > 10, "{rule}");
        assert!(rule.why().ends_with('.'), "{rule}: {}", rule.why());
        assert!(rule.errno().name().is_some() && !rule.calls().is_empty(), "{rule}");
        let ours = [Rule::CallerExited, Rule::SwitchTargetExited, Rule::SwitchThreadBeingMade];
        assert!(ours.contains(&rule) || !rule.manual().is_empty(), "{rule}");
    }
    assert_eq!(Rule::MapGidNeedsDeny.name(), "map-gid-needs-deny");
    assert_eq!(Rule::by_name("no-such-rule"), None);
}

#[test]
fn every_rule_can_be_reached() {
    for rule in Rule::ALL.iter().copied() {
        let refusal = provoke(rule);
        assert_eq!(refusal.rule, rule, "{refusal}");
        let text = refusal.to_string();
        assert!(text.starts_with(&format!("{} ({}): ", rule.name(), rule.errno())), "{text}");
    }
}

/// Writes a uid map of a fresh child of an ordinary user's, as the initial root.
fn map_text(text: &[u8]) -> Refusal {
    let system = boot();
    let child = unmapped(&system, 1000);
    let root = Cred::root(&system.init_user());
    let ns = child.user_ns();
    let refusal = write_map(MapKind::Uid, &ns, &root, &root, 0, text).unwrap_err();
    assert_eq!(read_map(MapKind::Uid, &ns, &system.init_user()), "");
    refusal
}

/// Clones into a cgroup, by one who may write to it or to none.
fn born_into(target: CgroupTarget<'_>, may_write: bool) -> Refusal {
    let system = boot();
    let args = CloneArgs::clone3(CloneFlags::INTO_CGROUP, 17);
    let newborn = prepare_clone(&root(&system), &args).unwrap();
    newborn.enter_cgroup(target, |_| may_write).unwrap_err()
}

/// Writes a task's timens_offsets a thousand seconds after the host was started.
fn time_offsets(of: &Task, opener: &Cred, offset: u64, text: &str) -> Refusal {
    let up = TimeSpec { seconds: 1000, nanoseconds: 0 };
    let now = Clocks { monotonic: up, boottime: up };
    write_time_offsets(Some(of), opener, &now, offset, text.as_bytes()).unwrap_err()
}

/// Clones by the initial root with these flags, as clone(2).
fn clone_with(flags: CloneFlags) -> Refusal {
    let system = boot();
    prepare_clone(&root(&system), &CloneArgs::legacy(flags.bits() | 17)).unwrap_err()
}

/// Sends credentials, in the initial pid namespace.
fn claim(sender: &Task, whose: Whose, uid: u32, gid: u32) -> Refusal {
    let cred = sender.cred();
    let mut owner = sender.user_ns();
    while let Some(parent) = owner.parent() {
        owner = parent;
    }
    may_claim(&cred, &owner, whose, uid, gid).unwrap_err()
}

/// A block of clone3(2) with one field set.
fn block(field: usize, value: u64, len: usize) -> Vec<u8> {
    let mut block = vec![0; len];
    block[field * 8..field * 8 + 8].copy_from_slice(&value.to_ne_bytes());
    block
}

fn set_securebits_of(cred: impl FnOnce(&mut Cred), bits: u64) -> Refusal {
    let system = boot();
    let mut given = Cred::root(&system.init_user());
    cred(&mut given);
    set_securebits(&system.adopt(None, given), bits).unwrap_err()
}

/// One example of each rule.
fn provoke(rule: Rule) -> Refusal {
    use CloneFlags as F;
    let system = &boot();
    let init = &system.init_user();
    let root_cred = &Cred::root(init);
    let uts = |task: &Task| task.nsproxy().unwrap().get(Kind::Uts).unwrap();
    match rule {
        Rule::CallerExited => {
            let task = root(system);
            exit(&task);
            unshare(&task, NEWUTS).unwrap_err()
        }
        Rule::SwitchTargetExited => {
            let (caller, target) = (root(system), root(system));
            exit(&target);
            let place = uts(&caller);
            switch(&caller, &target, JoinTarget::Namespace(&place), 0).unwrap_err()
        }
        Rule::SwitchNeedsTrace => {
            let (caller, target) = (user(system, 1000), user(system, 1001));
            let place = uts(&caller);
            switch(&caller, &target, JoinTarget::Namespace(&place), 0).unwrap_err()
        }
        Rule::SwitchThreadBeingMade => {
            let (caller, target) = (root(system), root(system));
            let place = uts(&caller);
            let flags = F::VM | F::SIGHAND | F::THREAD;
            let _thread = prepare_clone(&target, &CloneArgs::legacy(flags.bits())).unwrap();
            switch(&caller, &target, JoinTarget::Namespace(&place), 0).unwrap_err()
        }
        Rule::NamespaceNeedsAdmin => unshare(&user(system, 1000), NEWUTS).unwrap_err(),
        Rule::KindNotBuilt => {
            let built = KindSet::of(&[Kind::User]);
            let system = &System::new(Config { built, ..Config::default() });
            assert_eq!(root(system).ids().to_string(), "user:[4026531837]");
            unshare(&root(system), NEWUTS).unwrap_err()
        }
        Rule::LimitReached => {
            let task = root(system);
            set_max_namespaces(init, Kind::Uts, root_cred, 0, b"0").unwrap();
            unshare(&task, NEWUTS).unwrap_err()
        }
        Rule::UserNestedTooDeep => {
            let task = root(system);
            for _ in 0..33 {
                unshare(&task, NEWUSER).unwrap();
                let (ns, opener) = (task.user_ns(), task.cred());
                for kind in [MapKind::Uid, MapKind::Gid] {
                    write_map(kind, &ns, root_cred, root_cred, 0, b"0 0 1")
                        .or_else(|_| {
                            write_setgroups(&ns, 0, b"deny")?;
                            write_map(kind, &ns, &opener, &opener, 0, b"0 0 1")
                        })
                        .unwrap();
                }
            }
            unshare(&task, NEWUSER).unwrap_err()
        }
        Rule::UserRootChanged => {
            let task = user(system, 1000);
            task.set_chrooted(true);
            unshare(&task, NEWUSER).unwrap_err()
        }
        Rule::UserIdsUnmapped => unshare(&unmapped(system, 1000), NEWUSER).unwrap_err(),

        Rule::CloneBlockTooLarge => CloneArgs::block_len(4097).unwrap_err(),
        Rule::CloneBlockTooSmall => CloneArgs::block_len(63).unwrap_err(),
        Rule::CloneBlockTailUsed => CloneArgs::from_block(&block(11, 1, 96)).unwrap_err(),
        Rule::CloneSetTidTooMany => CloneArgs::from_block(&block(9, 33, 88)).unwrap_err(),
        Rule::CloneSetTidHalfGiven => CloneArgs::from_block(&block(8, 1, 88)).unwrap_err(),
        Rule::CloneExitSignalInvalid => CloneArgs::from_block(&block(4, 65, 64)).unwrap_err(),
        Rule::CloneCgroupInvalid => {
            CloneArgs::from_block(&block(0, F::INTO_CGROUP.bits(), 80)).unwrap_err()
        }
        Rule::CloneFlagUnknown => {
            let args = CloneArgs::clone3(F::DETACHED, 0);
            prepare_clone(&root(system), &args).unwrap_err()
        }
        Rule::CloneHandlersBothWays => {
            let args = CloneArgs::clone3(F::SIGHAND | F::VM | F::CLEAR_SIGHAND, 0);
            prepare_clone(&root(system), &args).unwrap_err()
        }
        Rule::CloneExitSignalUnwanted => {
            prepare_clone(&root(system), &CloneArgs::clone3(F::PARENT, 17)).unwrap_err()
        }
        Rule::CloneStackHalfGiven => {
            let args = CloneArgs { stack: 4096, ..CloneArgs::clone3(F::empty(), 0) };
            prepare_clone(&root(system), &args).unwrap_err()
        }
        Rule::ClonePidfdOverwritten => clone_with(F::PIDFD | F::PARENT_SETTID),
        Rule::CloneMountsShareRoot => clone_with(F::NEWNS | F::FS),
        Rule::CloneUserSharesRoot => clone_with(NEWUSER | F::FS),
        Rule::CloneThreadKeepsHandlers => clone_with(F::THREAD | F::VM),
        Rule::CloneHandlersKeepMemory => clone_with(F::SIGHAND),
        Rule::CloneThreadElsewhere => clone_with(F::THREAD | F::SIGHAND | F::VM | F::NEWPID),
        Rule::ClonePidfdDetached => clone_with(F::PIDFD | F::DETACHED),
        Rule::CloneIpcKeepsUndo => clone_with(F::NEWIPC | F::SYSVSEM),

        Rule::UnshareFlagUnknown => unshare(&root(system), F::PARENT).unwrap_err(),
        Rule::UnshareHasThreads => {
            let task = root(system);
            let _thread = system.adopt(Some(&task), Cred::clone(root_cred));
            unshare(&task, NEWUSER).unwrap_err()
        }
        Rule::UnshareSharesHandlers => {
            let task = root(system);
            let args = CloneArgs::legacy((F::SIGHAND | F::VM).bits());
            let _child = prepare_clone(&task, &args).unwrap().commit();
            unshare(&task, F::SIGHAND).unwrap_err()
        }
        Rule::UnshareSharesMemory => {
            let task = root(system);
            let _child = prepare_clone(&task, &CloneArgs::vfork()).unwrap().commit();
            unshare(&task, F::VM).unwrap_err()
        }

        Rule::JoinNotANamespace => setns(&root(system), JoinTarget::Other, 0).unwrap_err(),
        Rule::JoinOtherKind => {
            let task = user(system, 1000);
            setns(&task, JoinTarget::Namespace(&uts(&task)), F::NEWIPC.bits()).unwrap_err()
        }
        Rule::JoinFlagsOfProcess => {
            let task = root(system);
            setns(&task, JoinTarget::Pidfd(&task, Dumpable(true)), 0).unwrap_err()
        }
        Rule::JoinProcessGone => {
            setns(&root(system), JoinTarget::Reaped, NEWUTS.bits()).unwrap_err()
        }
        Rule::JoinProcessHidden => {
            let target = root(system);
            let pidfd = JoinTarget::Pidfd(&target, Dumpable(true));
            setns(&user(system, 1000), pidfd, NEWUTS.bits()).unwrap_err()
        }
        Rule::JoinProcessExited => {
            let target = root(system);
            exit(&target);
            let pidfd = JoinTarget::Pidfd(&target, Dumpable(true));
            setns(&root(system), pidfd, NEWUTS.bits()).unwrap_err()
        }
        Rule::JoinNeedsAdminInOwner => {
            let task = user(system, 1000);
            setns(&task, JoinTarget::Namespace(&uts(&task)), 0).unwrap_err()
        }
        Rule::JoinNeedsAdminInOwn => {
            // The owner of a user namespace holds everything in it, but nothing in its own.
            let inside = user(system, 1000);
            unshare(&inside, NEWUSER | NEWUTS).unwrap();
            let task = user(system, 1000);
            setns(&task, JoinTarget::Namespace(&uts(&inside)), 0).unwrap_err()
        }
        Rule::JoinUserOwn => {
            let own = AnyNamespace::User(system.init_user());
            setns(&root(system), JoinTarget::Namespace(&own), 0).unwrap_err()
        }
        Rule::JoinUserHasThreads => {
            let target = AnyNamespace::User(unmapped(system, 1000).user_ns());
            let task = root(system);
            let _thread = system.adopt(Some(&task), Cred::clone(root_cred));
            setns(&task, JoinTarget::Namespace(&target), 0).unwrap_err()
        }
        Rule::JoinUserSharesRoot => {
            let target = AnyNamespace::User(unmapped(system, 1000).user_ns());
            let task = root(system);
            let args = CloneArgs::legacy(F::FS.bits());
            let _child = prepare_clone(&task, &args).unwrap().commit();
            setns(&task, JoinTarget::Namespace(&target), 0).unwrap_err()
        }
        Rule::JoinUserNeedsAdmin => {
            let target = AnyNamespace::User(unmapped(system, 1000).user_ns());
            setns(&user(system, 1001), JoinTarget::Namespace(&target), 0).unwrap_err()
        }

        Rule::IoctlOutOfSight => {
            let task = root(system);
            ioctl_userns(&task, &AnyNamespace::User(task.user_ns())).unwrap_err()
        }
        Rule::IoctlNoParent => {
            let task = root(system);
            ioctl_parent(&task, &uts(&task)).unwrap_err()
        }
        Rule::IoctlNoOwnerUid => {
            let task = root(system);
            ioctl_owner_uid(&task, &uts(&task)).unwrap_err()
        }

        Rule::HandleNeedsAdmin => {
            let task = unmapped(system, 1000);
            open_handle(&task, &uts(&task)).unwrap();
            unshare(&task, NEWUTS).unwrap();
            open_handle(&task, &uts(&root(system))).unwrap_err()
        }
        Rule::IoctlNoMounts => {
            let task = root(system);
            ioctl_mnt_id(&task, &uts(&task)).unwrap_err()
        }
        Rule::IoctlNeighboursNeedAdmin => {
            let task = user(system, 1000);
            ioctl_mnt_neighbour(&task, &uts(&task), true).unwrap_err()
        }
        Rule::PidfdProcessGone => ioctl_pidfd(&root(system), None, Link::Uts, 1, true).unwrap_err(),
        Rule::PidfdArgument => {
            let task = root(system);
            ioctl_pidfd(&task, Some(&task), Link::Uts, 1, true).unwrap_err()
        }

        Rule::UtsNeedsAdmin => prepare_set_name(&user(system, 1000), Name::Host, 70).err().unwrap(),
        Rule::UtsNameLength => prepare_set_name(&root(system), Name::Domain, 65).err().unwrap(),
        Rule::UtsFileNeedsRoot => may_write_name_file(&user(system, 1000).cred()).unwrap_err(),
        Rule::UtsFileWriterNeedsRoot => {
            let writer = user(system, 1000).cred();
            set_name_sysctl(&system.init_uts(), Name::Host, &writer, 0, b"x").unwrap_err()
        }

        Rule::CloneCgroupOther => born_into(CgroupTarget::Other, true),
        Rule::CloneCgroupRemoved => {
            let cgroup = system.cgroup_root(0).unwrap().make(b"a");
            cgroup.set_removed();
            born_into(CgroupTarget::Cgroup(&cgroup), false)
        }
        Rule::CloneCgroupNeedsWrite => {
            let cgroup = system.cgroup_root(0).unwrap().make(b"a");
            born_into(CgroupTarget::Cgroup(&cgroup), false)
        }

        Rule::JoinTimeHasThreads => {
            let target = root(system).namespace(Link::Time).unwrap();
            let task = user(system, 1000);
            let args = CloneArgs::legacy(F::VM.bits());
            let _child = prepare_clone(&task, &args).unwrap().commit();
            setns(&task, JoinTarget::Namespace(&target), 0).unwrap_err()
        }
        Rule::TimeOffsetsNotAtStart => time_offsets(&root(system), root_cred, 1, "junk"),
        Rule::TimeOffsetsTooLong => time_offsets(&root(system), root_cred, 0, &" ".repeat(4096)),
        Rule::TimeOffsetsText => time_offsets(&root(system), root_cred, 0, "realtime 1 0"),
        Rule::TimeOffsetsProcessGone => {
            let task = root(system);
            exit(&task);
            time_offsets(&task, root_cred, 0, "monotonic 1 0")
        }
        Rule::TimeOffsetsNeedTime => {
            let opener = user(system, 1000).cred();
            time_offsets(&root(system), &opener, 0, "monotonic 99999999999 0")
        }
        Rule::TimeOffsetsRange => time_offsets(&root(system), root_cred, 0, "7 -1001 0"),
        Rule::TimeOffsetsFrozen => time_offsets(&root(system), root_cred, 0, "7 -1000 0"),

        Rule::MapOfInitial => {
            write_map(MapKind::Uid, init, root_cred, root_cred, 0, b"0 0 1").unwrap_err()
        }
        Rule::MapOpenerElsewhere => {
            let task = unmapped(system, 1000);
            map_self(&task, 1000);
            unshare(&task, NEWUSER).unwrap();
            let ns = task.user_ns();
            write_map(MapKind::Uid, &ns, root_cred, root_cred, 0, b"0 0 1").unwrap_err()
        }
        Rule::MapNotAtStart => {
            let ns = unmapped(system, 1000).user_ns();
            write_map(MapKind::Uid, &ns, root_cred, root_cred, 1, b"0 0 1").unwrap_err()
        }
        Rule::MapTooLong => map_text(&[b' '; 4096]),
        Rule::MapAlreadySet => {
            let task = inner_root(system, 1000);
            let ns = task.user_ns();
            write_map(MapKind::Uid, &ns, root_cred, root_cred, 0, b"junk").unwrap_err()
        }
        Rule::MapNeedsAdmin => {
            let ns = unmapped(system, 1000).user_ns();
            let other = user(system, 1001).cred();
            write_map(MapKind::Uid, &ns, &other, root_cred, 0, b"junk").unwrap_err()
        }
        Rule::MapFieldMissing => map_text(b"0 0"),
        Rule::MapTrailingText => map_text(b"0 0 1 1"),
        Rule::MapStartInvalid => map_text(b"4294967295 0 1"),
        Rule::MapRangeEmpty => map_text(b"0 0 0"),
        Rule::MapOverlap => map_text(b"0 0 5\n4 5 1"),
        Rule::MapTooManyLines => {
            map_text((0..341).map(|n| format!("{n} {n} 1\n")).collect::<String>().as_bytes())
        }
        Rule::MapRootNeedsSetfcap => {
            // Root, but without CAP_SETFCAP when it made the namespace.
            let mut cred = Cred::root(init);
            cred.effective = cred.effective.without(Cap::SETFCAP);
            let task = system.adopt(None, cred);
            unshare(&task, NEWUSER).unwrap();
            let (ns, cred) = (task.user_ns(), task.cred());
            write_map(MapKind::Uid, &ns, &cred, &cred, 0, b"0 0 1").unwrap_err()
        }
        Rule::MapGidNeedsDeny => {
            let task = unmapped(system, 1000);
            let (ns, cred) = (task.user_ns(), task.cred());
            write_map(MapKind::Gid, &ns, &cred, &cred, 0, b"0 1000 1").unwrap_err()
        }
        Rule::MapNeedsSetid => {
            let task = unmapped(system, 1000);
            let (ns, cred) = (task.user_ns(), task.cred());
            write_map(MapKind::Uid, &ns, &cred, &cred, 0, b"0 1000 2").unwrap_err()
        }
        Rule::MapOutsideUnmapped => {
            // Ten ids are mapped; twenty are asked for by one who may.
            let task = inner_root(system, 1000);
            let parent = task.cred();
            unshare(&task, NEWUSER).unwrap();
            let ns = task.user_ns();
            write_map(MapKind::Uid, &ns, &parent, &parent, 0, b"0 0 20").unwrap_err()
        }

        Rule::SetgroupsFileNeedsAdmin => {
            open_setgroups_for_write(init, &user(system, 1000).cred()).unwrap_err()
        }
        Rule::SetgroupsFileText => write_setgroups(init, 0, b"maybe").unwrap_err(),
        Rule::SetgroupsAllowTooLate => {
            let ns = unmapped(system, 1000).user_ns();
            write_setgroups(&ns, 0, b"deny").unwrap();
            write_setgroups(&ns, 0, b"allow").unwrap_err()
        }
        Rule::SetgroupsDenyTooLate => write_setgroups(init, 0, b"deny\n").unwrap_err(),

        Rule::LimitNeedsResource => {
            may_set_max_namespaces(init, &user(system, 1000).cred()).unwrap_err()
        }
        Rule::LimitWriterNeedsResource => {
            let writer = user(system, 1000).cred();
            set_max_namespaces(init, Kind::Uts, &writer, 0, b"1").unwrap_err()
        }
        Rule::LimitText => {
            set_max_namespaces(init, Kind::Uts, root_cred, 0, b"2147483648").unwrap_err()
        }

        Rule::IdUnmapped => setuid(&unmapped(system, 1000), 0).unwrap_err(),
        Rule::SetuidNeedsCap => setuid(&user(system, 1000), 0).unwrap_err(),
        Rule::SetgidNeedsCap => setgid(&user(system, 1000), 0).unwrap_err(),
        Rule::SetgroupsNeedsCap => setgroups(&user(system, 1000), &[]).unwrap_err(),
        Rule::SetgroupsDenied => setgroups(&unmapped(system, 1000), &[]).unwrap_err(),
        Rule::SetgroupsTooMany => prepare_setgroups(&root(system), 65537).err().unwrap(),

        Rule::CapsetInheritableUnheld => {
            let kill = CapSet::EMPTY.with(Cap::KILL);
            capset(&user(system, 1000), CapSet::EMPTY, CapSet::EMPTY, kill).unwrap_err()
        }
        Rule::CapsetInheritableUnbounded => {
            let task = root(system);
            bounding_drop(&task, Cap::KILL.number().into()).unwrap();
            capset(&task, CapSet::FULL, CapSet::FULL, CapSet::EMPTY.with(Cap::KILL)).unwrap_err()
        }
        Rule::CapsetPermittedRaised => {
            let kill = CapSet::EMPTY.with(Cap::KILL);
            capset(&user(system, 1000), CapSet::EMPTY, kill, CapSet::EMPTY).unwrap_err()
        }
        Rule::CapsetEffectiveUnpermitted => {
            let kill = CapSet::EMPTY.with(Cap::KILL);
            capset(&root(system), kill, CapSet::EMPTY, CapSet::EMPTY).unwrap_err()
        }

        Rule::CapabilityUnknown => bounding_read(&root(system), 41).unwrap_err(),
        Rule::BoundingNeedsSetpcap => bounding_drop(&user(system, 1000), 41).unwrap_err(),
        Rule::SecurebitsLocked => {
            set_securebits_of(|cred| cred.securebits = SecureBits::NOROOT_LOCKED, 0)
        }
        Rule::SecurebitsUnknown => set_securebits_of(|_| (), 1 << 12),
        Rule::SecurebitsNeedSetpcap => set_securebits_of(|cred| cred.effective = CapSet::EMPTY, 1),
        Rule::KeepcapsArgument => set_keepcaps(&root(system), 2).unwrap_err(),
        Rule::KeepcapsLocked => {
            let task = root(system);
            set_securebits(&task, SecureBits::KEEP_CAPS_LOCKED.bits().into()).unwrap();
            set_keepcaps(&task, 1).unwrap_err()
        }
        Rule::PrctlArgumentUnused => prctl(&root(system), 39, [0, 0, 0, 1]).unwrap().unwrap_err(),
        Rule::AmbientNotHeld => ambient_raise(&root(system), 1).unwrap_err(),
        Rule::AmbientForbidden => {
            let task = root(system);
            capset(&task, CapSet::FULL, CapSet::FULL, CapSet::FULL).unwrap();
            set_securebits(&task, SecureBits::NO_CAP_AMBIENT_RAISE.bits().into()).unwrap();
            ambient_raise(&task, 1).unwrap_err()
        }
        Rule::AmbientUnknown => prctl(&root(system), 47, [9, 1, 0, 0]).unwrap().unwrap_err(),
        Rule::NoNewPrivsArgument => set_no_new_privs(&root(system), 0).unwrap_err(),

        Rule::ExecCapabilitiesMissing => {
            let mut cred = Cred::user(init, Kuid(1000), Kgid(1000));
            cred.bounding = CapSet::EMPTY;
            let caps = FileCaps {
                permitted: CapSet::EMPTY.with(Cap::NET_RAW),
                inheritable: CapSet::EMPTY,
                effective: true,
                root: Kuid::ROOT,
            };
            let file = ExecFile { caps: Some(caps), ..ExecFile::default() };
            exec(&system.adopt(None, cred), &file).unwrap_err()
        }

        Rule::ClaimUnmapped => claim(&unmapped(system, 1000), Whose::Own, 0, 0),
        Rule::ClaimNumberNeedsAdmin => claim(&user(system, 1000), Whose::Another, 1000, 1000),
        Rule::ClaimUserNeedsCap => claim(&user(system, 1000), Whose::Own, 0, 1000),
        Rule::ClaimGroupNeedsCap => claim(&user(system, 1000), Whose::Own, 1000, 0),
        Rule::ClaimNobody => claim(&root(system), Whose::Nobody, 7, 7),
        Rule::SignalNeedsKill => {
            let (a, b) = (user(system, 1000).cred(), user(system, 1001).cred());
            may_signal(&a, &b, false).unwrap_err()
        }
        Rule::ReadNeedsAccess => may_read(&user(system, 1000), &root(system), true).unwrap_err(),
        rule => pid_rules::provoke(rule)
            .or_else(|| ipc_rules::provoke(rule))
            .or_else(|| net_rules::provoke(rule))
            .or_else(|| mnt_rules::provoke(rule))
            .or_else(|| idmap_rules::provoke(rule))
            .unwrap_or_else(|| panic!("{rule} has no example")),
    }
}
