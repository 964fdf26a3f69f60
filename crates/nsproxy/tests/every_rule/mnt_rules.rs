//! An example of each rule about mounts.

use crate::common::{self, mounts::Machine};
use nsproxy::*;
use std::sync::Arc;

const NONE: MsFlags = MsFlags::empty();

/// A refusal of the rule; `None` if it is of another room.
pub(crate) fn provoke(rule: Rule) -> Option<Refusal> {
    let machine = &Machine::new();
    let task = &machine.root();
    let refused = |result: Result<(), Refusal>| result.unwrap_err();
    let mounter = || Mounter::of(task, "mount").unwrap();
    let sub = |path: &str| machine.mount(task, path, NONE).unwrap();
    // A less privileged namespace in which /l is mounted, locked, with /l/m on it.
    let locked = || {
        sub("/l");
        sub("/l/m");
        machine.inside()
    };
    // A mount of another namespace.
    let foreign = || {
        sub("/e");
        let place = machine.at(task, "/e");
        let other = machine.root();
        unshare(&other, CloneFlags::NEWNS).unwrap();
        (place, other)
    };
    let machine_type = FsType { name: "ext4", scope: Scope::Machine };
    Some(match rule {
        Rule::JoinMntNeedsChroot => {
            let admin = common::user_with(&machine.system, 1000, &[Cap::SYS_ADMIN]);
            let ns = task.namespace(Kind::Mnt).unwrap();
            refused(setns(&admin, JoinTarget::Namespace(&ns), 0))
        }
        Rule::JoinMntSharesRoot => {
            let thread = machine.system.adopt(Some(task), Cred::clone(&task.cred()));
            let ns = task.namespace(Kind::Mnt).unwrap();
            refused(setns(&thread, JoinTarget::Namespace(&ns), 0))
        }
        Rule::ChrootNeedsChroot => {
            let user = common::user(&machine.system, 1000);
            refused(chroot(&user, &machine.at(&user, "/a")))
        }
        Rule::MountNeedsAdmin => {
            refused(machine.mount(&common::user(&machine.system, 1), "/a", NONE))
        }
        Rule::MountElsewhere => {
            let (place, other) = foreign();
            prepare_umount(&other, place, UmountFlags::empty()).unwrap_err()
        }
        Rule::NotAMountRoot => refused(machine.umount(task, "/a", UmountFlags::empty())),
        Rule::MountFlagInternal => begin_mount(task, MsFlags::NOUSER.bits()).unwrap_err(),
        Rule::MountSourceMissing => refused(mounter().source_given(b"")),
        Rule::MountpointRemoved => {
            let place = machine.at(task, "/a");
            machine.dirs.remove(place.dentry());
            refused(machine.mount(task, "/a", NONE))
        }
        Rule::MountRootRemoved => {
            machine.dirs.remove(machine.at(task, "/a").dentry());
            refused(machine.bind(task, "/a", "/b"))
        }
        Rule::MountShapesDiffer => refused(machine.bind(task, "/f", "/a")),
        Rule::MountsTooMany => {
            let machine = Machine::with(Config { mount_max: 3, ..Config::default() });
            let task = machine.root();
            machine.mount(&task, "/a", NONE).unwrap();
            refused(machine.mount(&task, "/b", NONE))
        }
        Rule::MountNamespacePropagated => {
            let peer = machine.root();
            machine.change(task, "/", MsFlags::SHARED).unwrap();
            unshare(&peer, CloneFlags::NEWNS).unwrap();
            *machine.dirs.namespace.borrow_mut() = peer.namespace(Kind::Mnt);
            refused(machine.bind(task, "/fnamespace", "/f"))
        }
        Rule::MountTypeMissing => refused(mounter().may_make(false, None)),
        Rule::MountTypeUnknown => refused(mounter().may_make(true, None)),
        Rule::MountTypeNeedsAdmin => {
            let inside = machine.inside();
            let mounter = Mounter::of(&inside, "mount").unwrap();
            refused(mounter.may_make(true, Some(&machine_type)))
        }
        Rule::MountReveals => {
            let inside = machine.inside();
            let sb = Arc::new(Super::new(9, "proc", (0, 9), &inside.user_ns()).revealing());
            let root = Dentry { super_id: 9, id: 0 };
            let target = machine.at(&inside, "/a");
            let (mounter, _) = begin_mount(&inside, 0).unwrap();
            mounter.mount(&machine.dirs, &sb, root, b"", &target, 0).unwrap_err()
        }
        Rule::MountTwice | Rule::MountInternal => {
            let (sb, root) = machine.super_of(&machine.system.init_user());
            let target = machine.at(task, "/a");
            let mount = |sb: &Arc<Super>, at: &Place| {
                mounter().mount(&machine.dirs, sb, root, b"", at, 0).map(MountChange::commit)
            };
            if rule == Rule::MountInternal {
                let internal = Super::new(9, "pipefs", (0, 9), &sb.owner()).internal();
                return Some(refused(mount(&Arc::new(internal), &target)));
            }
            mount(&sb, &target).unwrap();
            refused(mount(&sb, &target.covered()))
        }
        Rule::BindUnbindable => {
            machine.change(task, "/", MsFlags::UNBINDABLE).unwrap();
            refused(machine.bind(task, "/a", "/b"))
        }
        Rule::BindRevealsLocked => refused(machine.bind(&locked(), "/l", "/b")),
        Rule::BindLockedUnbindable => {
            let inside = locked();
            machine.change(&inside, "/l/m", MsFlags::UNBINDABLE).unwrap();
            refused(machine.rbind(&inside, "/l", "/b"))
        }
        Rule::BindNamespaceLoop => {
            *machine.dirs.namespace.borrow_mut() = task.namespace(Kind::Mnt);
            refused(machine.bind(task, "/fnamespace", "/f"))
        }
        Rule::MoveShapesDiffer => {
            sub("/a");
            refused(machine.shift(task, "/a", "/f"))
        }
        Rule::MoveRoot => {
            let root = task.nsproxy().unwrap().mnt.table().root();
            let ns = task.nsproxy().unwrap().mnt.clone();
            let first = ns.table().get(root).unwrap().root;
            let place = ns.table().place(&ns, root, first).unwrap();
            mounter().shift(&machine.dirs, &place, &machine.at(task, "/a")).unwrap_err()
        }
        Rule::MoveLocked => refused(machine.shift(&locked(), "/l", "/a")),
        Rule::MoveFromShared => {
            machine.change(task, "/", MsFlags::SHARED).unwrap();
            sub("/a");
            refused(machine.shift(task, "/a", "/b"))
        }
        Rule::MoveSourceElsewhere => {
            let (place, other) = foreign();
            let mounter = Mounter::of(&other, "mount").unwrap();
            mounter.shift(&machine.dirs, &place, &machine.at(&other, "/a")).unwrap_err()
        }
        Rule::MoveUnbindableToShared => {
            sub("/a");
            sub("/b");
            machine.change(task, "/a", MsFlags::UNBINDABLE).unwrap();
            machine.change(task, "/b", MsFlags::SHARED).unwrap();
            refused(machine.shift(task, "/a", "/b/c"))
        }
        Rule::MoveIntoItself => {
            sub("/a");
            refused(machine.shift(task, "/a", "/a/b"))
        }
        Rule::BeneathRoot => refused(machine.beneath(task, "/", "/")),
        Rule::BeneathLocked => {
            let inside = locked();
            machine.mount(&inside, "/b", MsFlags::empty()).unwrap();
            refused(machine.beneath(&inside, "/b", "/l"))
        }
        Rule::BeneathWhatHoldsIt => {
            sub("/a");
            refused(machine.beneath(task, "/a", "/a"))
        }
        Rule::BeneathCovered => {
            sub("/a");
            sub("/b");
            let under = machine.at(task, "/a");
            machine.mount(task, "/a", MsFlags::empty()).unwrap();
            let target = machine.at(task, "/b");
            let (mounter, onto) = Mounter::of_move_mount(task, 0x200).unwrap();
            mounter.move_mount(&machine.dirs, &under, &target, onto).unwrap_err()
        }
        Rule::BeneathPropagates => {
            machine.change(task, "/", MsFlags::SHARED).unwrap();
            machine.bind(task, "/a", "/a").unwrap();
            let tree = open_tree(task, &machine.dirs, &machine.at(task, "/b"), false).unwrap();
            let target = machine.at(task, "/a");
            let (mounter, onto) = Mounter::of_move_mount(task, 0x200).unwrap();
            mounter.move_mount(&machine.dirs, &tree.root(), &target, onto).unwrap_err()
        }
        Rule::RemountRelaxesLocked => {
            machine.mount(task, "/a", MsFlags::NOSUID).unwrap();
            let inside = machine.inside();
            let mounter = Mounter::of(&inside, "mount").unwrap();
            mounter.remount(&machine.at(&inside, "/a"), 0).unwrap_err()
        }
        Rule::RemountNeedsAdmin => {
            let inside = machine.inside();
            let mounter = Mounter::of(&inside, "mount").unwrap();
            mounter.remount_super(&machine.at(&inside, "/"), 0).unwrap_err()
        }
        Rule::PropagationFlags => {
            refused(machine.change(task, "/", MsFlags::SHARED | MsFlags::PRIVATE))
        }
        Rule::PropagationUnmounted => {
            sub("/a");
            let place = machine.at(task, "/a");
            machine.umount(task, "/a", UmountFlags::DETACH).unwrap();
            mounter().propagation(&place, MsFlags::PRIVATE.bits()).unwrap_err()
        }
        Rule::PropagationNeedsAdmin => {
            let (inside, place) = (machine.inside(), machine.at(task, "/"));
            let mounter = Mounter::of(&inside, "mount").unwrap();
            mounter.propagation(&place, MsFlags::PRIVATE.bits()).unwrap_err()
        }
        Rule::SetattrFlagUnknown => setattr_flags(task, 1).unwrap_err(),
        Rule::SetattrBlockTooLarge => MountAttr::block_len(task, 4097).unwrap_err(),
        Rule::SetattrBlockTooSmall => MountAttr::block_len(task, 31).unwrap_err(),
        Rule::SetattrTailUsed
        | Rule::SetattrPropagation
        | Rule::SetattrUnknown
        | Rule::SetattrAtime => {
            let mut block = [0; 40];
            match rule {
                Rule::SetattrTailUsed => block[39] = 1,
                Rule::SetattrPropagation => block[16] = 1,
                Rule::SetattrUnknown => block[5] = 1,
                _ => block[0] = 0x10,
            }
            MountAttr::from_block(&mounter(), &block, |_| IdmapFile::Closed).unwrap_err()
        }
        Rule::OpenTreeFlagUnknown => open_tree_flags(task, 2).unwrap_err(),
        Rule::OpenTreeRecursive => open_tree_flags(task, 0x8000).unwrap_err(),
        Rule::MoveMountFlagUnknown => Mounter::of_move_mount(task, 8).unwrap_err(),
        Rule::GroupOtherFileSystem => {
            sub("/a");
            refused(machine.set_group(task, "/", "/a"))
        }
        Rule::GroupShowsMore => {
            machine.bind(task, "/a", "/b").unwrap();
            refused(machine.set_group(task, "/b", "/"))
        }
        Rule::GroupRevealsLocked => {
            machine.bind(task, "/a", "/b").unwrap();
            machine.mount(task, "/a/c", NONE).unwrap();
            refused(machine.set_group(&machine.inside(), "/", "/b"))
        }
        Rule::GroupLeavesOther => {
            machine.change(task, "/", MsFlags::SHARED).unwrap();
            refused(machine.set_group(task, "/", "/"))
        }
        Rule::GroupOfNone => refused(machine.set_group(task, "/", "/")),
        Rule::UmountFlagUnknown => umount_flags(task, 16).unwrap_err(),
        Rule::UmountLocked => refused(machine.umount(&locked(), "/l", UmountFlags::DETACH)),
        Rule::UmountForceNeedsAdmin => {
            let inside = machine.inside();
            machine.bind(&inside, "/a", "/b").unwrap();
            refused(machine.umount(&inside, "/b", UmountFlags::FORCE))
        }
        Rule::UmountExpireCombined => {
            refused(machine.umount(task, "/", UmountFlags::EXPIRE | UmountFlags::DETACH))
        }
        Rule::UmountExpireBusy => {
            sub("/a");
            let _open = machine.at(task, "/a");
            refused(machine.umount(task, "/a", UmountFlags::EXPIRE))
        }
        Rule::UmountExpireMarked => {
            sub("/a");
            let first = refused(machine.umount(task, "/a", UmountFlags::EXPIRE));
            machine.umount(task, "/a", UmountFlags::EXPIRE).unwrap();
            first
        }
        Rule::UmountRootNeedsAdmin => {
            let inside = machine.inside();
            machine.bind(&inside, "/a", "/b").unwrap();
            chroot(&inside, &machine.at(&inside, "/b")).unwrap();
            refused(machine.umount(&inside, "/", UmountFlags::empty()))
        }
        Rule::UmountRoot => {
            machine.umount(task, "/", UmountFlags::DETACH).unwrap();
            let ns = task.namespace(Kind::Mnt).unwrap();
            setns(task, JoinTarget::Namespace(&ns), 0).unwrap();
            refused(machine.umount(task, "/", UmountFlags::DETACH))
        }
        Rule::UmountBusy => {
            sub("/a");
            sub("/a/b");
            refused(machine.umount(task, "/a", UmountFlags::empty()))
        }
        Rule::RemoveMountpoint => {
            let at = machine.at(task, "/a").dentry();
            sub("/a");
            prepare_remove(task, at).unwrap_err()
        }
        Rule::PivotShared => {
            sub("/a");
            machine.change(task, "/a", MsFlags::SHARED).unwrap();
            refused(machine.pivot(task, "/a", "/a/b"))
        }
        Rule::PivotLocked => refused(machine.pivot(&locked(), "/l", "/l/a")),
        Rule::PivotRemoved => {
            sub("/a");
            let new = machine.at(task, "/a/b");
            let old = machine.at(task, "/a/c");
            machine.dirs.remove(new.dentry());
            mounter().pivot_root(&machine.dirs, &new, &old).unwrap_err()
        }
        Rule::PivotSameMount => refused(machine.pivot(task, "/a", "/a")),
        Rule::PivotNoParent => {
            machine.umount(task, "/", UmountFlags::DETACH).unwrap();
            let ns = task.namespace(Kind::Mnt).unwrap();
            setns(task, JoinTarget::Namespace(&ns), 0).unwrap();
            sub("/a");
            refused(machine.pivot(task, "/a", "/a"))
        }
        Rule::PivotOldOutside => {
            sub("/a");
            sub("/b");
            refused(machine.pivot(task, "/a", "/b"))
        }
        Rule::PivotNewOutside => {
            sub("/a");
            sub("/b");
            let new = machine.at(task, "/a");
            chroot(task, &machine.at(task, "/b")).unwrap();
            mounter().pivot_root(&machine.dirs, &new, &new).unwrap_err()
        }
        _ => return None,
    })
}
