//! mount_setattr(2): flags and propagation of a mount, or of a whole tree of them at once.
//!
//! Not here: `MOUNT_ATTR_IDMAP`, which is unknown as before 5.12; whether files are open for
//! writing (EBUSY).

use super::{
    MountChange, MountFlags, Mounter, MsFlags, Place, Propagation, change::Step, lock::MountTurn,
    modify::asked_for, tree::Tree,
};
use crate::{
    rule::{Refusal, Refuse, Rule},
    task::Task,
};
use alloc::{sync::Arc as StdArc, vec::Vec};

/// `AT_SYMLINK_NOFOLLOW`, `AT_NO_AUTOMOUNT`, `AT_EMPTY_PATH`.
pub(super) const AT_LOOKUP: u32 = 0x100 | 0x800 | 0x1000;
/// `AT_RECURSIVE`: with everything mounted below.
pub(super) const AT_RECURSIVE: u32 = 0x8000;
const PAGE: u64 = 4096;
/// The size of the first version of `struct mount_attr`, and of the last so far.
const BLOCK: usize = 32;
/// Values of the access time field: relative (0), none, strict.
const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;

/// The other attributes, and what they are here.
const ATTRIBUTES: [(u64, MountFlags); 6] = [
    (0x1, MountFlags::READONLY),
    (0x2, MountFlags::NOSUID),
    (0x4, MountFlags::NODEV),
    (0x8, MountFlags::NOEXEC),
    (0x80, MountFlags::NODIRATIME),
    (0x20_0000, MountFlags::NOSYMFOLLOW),
];

/// What mount_setattr(2) is asked to change, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MountAttr {
    set: MountFlags,
    clear: MountFlags,
    propagation: Option<Propagation>,
}

/// Checks the flags of mount_setattr(2), the first thing it looks at; says whether the whole tree
/// is meant.
pub fn setattr_flags(task: &Task, flags: u32) -> Result<bool, Refusal> {
    let known = match flags & !(AT_LOOKUP | AT_RECURSIVE) {
        0 => Ok(flags & AT_RECURSIVE != 0),
        _ => Err(Rule::SetattrFlagUnknown.refuse()),
    };
    task.reported("mount_setattr", known)
}

impl MountAttr {
    /// Checks the size given for the attributes and whether `task` may change them, before they
    /// are read; returns how many bytes to read.
    pub fn block_len(task: &StdArc<Task>, size: u64) -> Result<(Mounter, usize), Refusal> {
        task.reported("mount_setattr", MountAttr::check_len(task, size))
    }

    fn check_len(task: &StdArc<Task>, size: u64) -> Result<(Mounter, usize), Refusal> {
        if size > PAGE {
            return Err(Rule::SetattrBlockTooLarge.refuse().with("size", size));
        }
        let len = size as usize;
        if len < BLOCK {
            return Err(Rule::SetattrBlockTooSmall.refuse().with("size", size));
        }
        Ok((Mounter::check(task, "mount_setattr")?, len))
    }

    /// Reads the attributes, `block` being as long as [`block_len`](MountAttr::block_len) allowed;
    /// `None` if nothing is to be changed: the path is not even looked up then.
    pub fn from_block(mounter: &Mounter, block: &[u8]) -> Result<Option<MountAttr>, Refusal> {
        mounter.task.reported("mount_setattr", MountAttr::read(block))
    }

    fn read(block: &[u8]) -> Result<Option<MountAttr>, Refusal> {
        let (known, tail) = block.split_at(block.len().min(BLOCK));
        if tail.iter().any(|byte| *byte != 0) {
            return Err(Rule::SetattrTailUsed.refuse());
        }
        let mut fields = [0; 4];
        for (field, bytes) in fields.iter_mut().zip(known.chunks_exact(8)) {
            *field = bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
        }
        let [set, clear, propagation, _] = fields;
        if (set, clear, propagation) == (0, 0, 0) {
            return Ok(None);
        }
        let all = MsFlags::from_bits_retain(propagation);
        let propagation = match propagation {
            0 => None,
            _ if MsFlags::PROPAGATION.contains(all) && asked_for(all).is_some() => asked_for(all),
            _ => return Err(Rule::SetattrPropagation.refuse()),
        };
        let unknown = ATTRIBUTES.iter().fold(!ATIME, |rest, (bit, _)| rest & !bit);
        if (set | clear) & unknown != 0 {
            return Err(Rule::SetattrUnknown.refuse());
        }
        let flags = |bits: u64| {
            let given = ATTRIBUTES.iter().filter(|(bit, _)| bits & bit != 0);
            given.fold(MountFlags::empty(), |all, (_, flag)| all | *flag)
        };
        let mut attr = MountAttr { set: flags(set), clear: flags(clear), propagation };
        attr.set |= match (clear & ATIME, set & ATIME) {
            (0, 0) => MountFlags::empty(),
            (ATIME, 0) => MountFlags::RELATIME,
            (ATIME, NOATIME) => MountFlags::NOATIME,
            (ATIME, STRICTATIME) => MountFlags::empty(),
            _ => return Err(Rule::SetattrAtime.refuse()),
        };
        if clear & ATIME != 0 {
            attr.clear |= MountFlags::RELATIME | MountFlags::NOATIME;
        }
        Ok(Some(attr))
    }
}

impl Mounter {
    /// Prepares new attributes for the mount at `target`, `recursive` for all below it: for all of
    /// them or for none.
    pub fn setattr(
        &self,
        target: &Place,
        attr: &MountAttr,
        recursive: bool,
    ) -> Result<MountChange, Refusal> {
        let turn = MountTurn::take(self.kernel());
        let result = turn.with(|tree| self.setattr_step(tree, target, attr, recursive));
        self.changed(turn, result)
    }

    fn setattr_step(
        &self,
        tree: &Tree,
        target: &Place,
        attr: &MountAttr,
        recursive: bool,
    ) -> Result<Step, Refusal> {
        tree.is_mount_root(target, "target")?;
        if !tree.is_detached_top(target.mount()) {
            tree.is_in(target.mount(), self.key(), "target")?;
        }
        let ids = match recursive {
            true => tree.subtree(target.mount()),
            false => alloc::vec![target.mount()],
        };
        let mut flags = Vec::with_capacity(ids.len());
        for id in &ids {
            let new = (tree.get(*id).flags - attr.clear) | attr.set;
            tree.keeps_locks(*id, new)?;
            flags.push((*id, new));
        }
        let propagation = attr.propagation.map(|to| (ids, to));
        Ok(Step::Modify { flags, readonly: None, propagation })
    }
}
