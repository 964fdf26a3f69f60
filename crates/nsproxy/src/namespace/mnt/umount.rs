//! umount2(2).

use super::{
    MountChange, MountFlags, Mounter, Place, UmountFlags, change::Step, detach::End,
    lock::MountTurn, tree::Tree,
};
use crate::{
    Kind,
    capability::Cap,
    rule::{Refusal, Refuse, Rule, Value},
    task::Task,
};
use alloc::{sync::Arc as StdArc, vec::Vec};

/// Checks the flags of umount2(2), before the path is looked up.
pub fn umount_flags(task: &Task, flags: u32) -> Result<UmountFlags, Refusal> {
    let flags = UmountFlags::from_bits_retain(flags);
    let known = match (flags - UmountFlags::all()).is_empty() {
        true => Ok(flags),
        false => Err(Rule::UmountFlagUnknown.refuse()),
    };
    task.reported("umount2", known)
}

/// Prepares the unmount of the mount at `target` by `task`: of the last one, if several are mounted
/// over one another there. `target` counts as the one use that
/// the call makes of the mount: the embedder holds no other of its own.
pub fn prepare_umount(
    task: &StdArc<Task>,
    target: Place,
    flags: UmountFlags,
) -> Result<MountChange, Refusal> {
    let target = target.last();
    let mounter = Mounter::of(task, "umount2")?;
    let turn = MountTurn::take(&task.kernel);
    let result = turn.with(|tree| step(&mounter, tree, &target, flags));
    mounter.changed(turn, result)
}

fn step(
    mounter: &Mounter,
    tree: &mut Tree,
    target: &Place,
    flags: UmountFlags,
) -> Result<Step, Refusal> {
    let has = |flag| flags.contains(flag);
    tree.is_mount_root(target, "target")?;
    tree.is_in(target.mount(), mounter.key(), "target")?;
    let mount = tree.get(target.mount());
    if mount.flags.contains(MountFlags::LOCKED) {
        return Err(Rule::UmountLocked.refuse());
    }
    let sb = StdArc::clone(&mount.sb);
    let may_manage = mounter.cred.has(sb.owner_ref(), Cap::SYS_ADMIN);
    let owner = Value::Namespace(Kind::User, sb.owner_ref().inode());
    if has(UmountFlags::FORCE) && !may_manage {
        return Err(Rule::UmountForceNeedsAdmin.refuse().with("owner", owner));
    }
    let is_own_root =
        mounter.task.root().is_some_and(|root| root.hushed().mount() == target.mount());
    if has(UmountFlags::EXPIRE) {
        expire(tree, target, flags, is_own_root)?;
    }
    if is_own_root && !has(UmountFlags::DETACH) {
        // What a system does when it shuts down: the file system becomes read-only instead.
        if !may_manage {
            return Err(Rule::UmountRootNeedsAdmin.refuse().with("owner", owner));
        }
        let readonly = Some((sb, true));
        let flags = Vec::new();
        return Ok(Step::Modify { flags, readonly, propagation: None, idmap: None });
    }
    if tree.get(target.mount()).parent.is_none() {
        return Err(Rule::UmountRoot.refuse());
    }
    let top = target.mount();
    if has(UmountFlags::DETACH) {
        return Ok(Step::Unmount { top, end: End::Lazy });
    }
    match tree.is_busy(top, 1) {
        true => Err(Rule::UmountBusy.refuse()),
        false => Ok(Step::Unmount { top, end: End::Unused }),
    }
}

/// The first time marks the mount; it is unmounted the second time if nobody used it since.
fn expire(
    tree: &Tree,
    target: &Place,
    flags: UmountFlags,
    is_own_root: bool,
) -> Result<(), Refusal> {
    if is_own_root || flags.intersects(UmountFlags::FORCE | UmountFlags::DETACH) {
        return Err(Rule::UmountExpireCombined.refuse());
    }
    let mount = tree.get(target.mount());
    if !mount.children.is_empty() || mount.hold.users() > 1 {
        return Err(Rule::UmountExpireBusy.refuse());
    }
    match target.hold().mark() {
        true => Ok(()),
        false => Err(Rule::UmountExpireMarked.refuse()),
    }
}
