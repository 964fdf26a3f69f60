//! mount_setattr(2): flags and propagation of a mount, or of a whole tree of them at once.
//!
//! Not here: whether files are open for writing (EBUSY).

use super::{
    IdmapFile, MountChange, MountFlags, Mounter, MsFlags, Place, Propagation,
    attributes::{self, ATIME},
    change::Step,
    idmap::{Asked, IDMAP},
    lock::MountTurn,
    modify::asked_for,
    tree::Tree,
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
/// What mount_setattr(2) is asked to change, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountAttr {
    set: MountFlags,
    clear: MountFlags,
    propagation: Option<Propagation>,
    idmap: Option<Asked>,
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
    /// `None` if nothing is to be changed: the path is not even looked up then. `file` says what a
    /// descriptor is, and is asked if the mount is to get an id map.
    pub fn from_block(
        mounter: &Mounter,
        block: &[u8],
        file: impl FnOnce(i32) -> IdmapFile,
    ) -> Result<Option<MountAttr>, Refusal> {
        mounter.task.reported("mount_setattr", MountAttr::read(mounter, block, file))
    }

    fn read(
        mounter: &Mounter,
        block: &[u8],
        file: impl FnOnce(i32) -> IdmapFile,
    ) -> Result<Option<MountAttr>, Refusal> {
        let (known, tail) = block.split_at(block.len().min(BLOCK));
        if tail.iter().any(|byte| *byte != 0) {
            return Err(Rule::SetattrTailUsed.refuse());
        }
        let mut fields = [0; 4];
        for (field, bytes) in fields.iter_mut().zip(known.chunks_exact(8)) {
            *field = bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
        }
        let [set, clear, propagation, user] = fields;
        if (set, clear, propagation) == (0, 0, 0) {
            return Ok(None);
        }
        let all = MsFlags::from_bits_retain(propagation);
        let propagation = match propagation {
            0 => None,
            _ if MsFlags::PROPAGATION.contains(all) && asked_for(all).is_some() => asked_for(all),
            _ => return Err(Rule::SetattrPropagation.refuse()),
        };
        if !attributes::are_known((set | clear) & !IDMAP) {
            return Err(Rule::SetattrUnknown.refuse());
        }
        let (now, gone) = (attributes::plain(set), attributes::plain(clear));
        let mut attr = MountAttr { set: now, clear: gone, propagation, idmap: None };
        // The field of access times as a whole is exchanged, or not at all.
        let times = match (clear & ATIME, set & ATIME) {
            (0, 0) => Some(MountFlags::empty()),
            (ATIME, times) => attributes::times(times),
            _ => None,
        };
        attr.set |= times.ok_or(Rule::SetattrAtime.refuse())?;
        if clear & ATIME != 0 {
            attr.clear |= MountFlags::RELATIME | MountFlags::NOATIME;
        }
        if clear & IDMAP != 0 {
            return Err(Rule::IdmapStays.refuse());
        }
        if set & IDMAP != 0 {
            attr.idmap = Some(mounter.idmap_asked(user, file)?);
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
            if let Some(asked) = &attr.idmap {
                self.may_get_idmap(tree, *id, asked)?;
            }
            flags.push((*id, new));
        }
        let idmap = attr.idmap.as_ref().map(Asked::maps);
        let propagation = attr.propagation.map(|to| (ids, to));
        Ok(Step::Modify { flags, readonly: None, propagation, idmap })
    }
}
