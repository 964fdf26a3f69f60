//! open_tree(2) and move_mount(2): trees of mounts that are in nobody's namespace.

use super::{
    Files, MountChange, Mounter, Place,
    lock::{MountTurn, reap},
    setattr::{AT_LOOKUP, AT_RECURSIVE},
    tree::{MountId, NsKey, Space, Tree},
};
use crate::{
    Kind,
    limits::Charge,
    rule::{Refusal, Refuse, Rule},
    sync::Arc,
    system::Kernel,
    task::Task,
};
use alloc::sync::Arc as StdArc;
use core::fmt;
use core::sync::atomic::AtomicU64;

const OPEN_TREE_CLONE: u32 = 1;
/// `O_CLOEXEC`.
const OPEN_TREE_CLOEXEC: u32 = 0o2_000_000;
/// `MOVE_MOUNT_F_*` and `MOVE_MOUNT_T_*`: how the two paths are looked up.
const MOVE_MOUNT_LOOKUP: u32 = 0x77;

/// What open_tree(2) is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenTree {
    /// A descriptor for the path, as by `O_PATH`.
    Path,
    /// A copy of what is mounted there.
    Clone {
        /// With everything mounted below.
        recursive: bool,
    },
}

/// A tree of mounts that a descriptor of open_tree(2) stands for. Unless it was moved to a
/// namespace, it goes with this.
pub struct DetachedTree {
    kernel: Arc<Kernel>,
    key: NsKey,
    root: Place,
}

impl DetachedTree {
    /// Its top.
    pub fn root(&self) -> Place {
        self.root.clone()
    }
}

impl Drop for DetachedTree {
    fn drop(&mut self) {
        self.kernel.mounts.note_dead(Some(self.key));
        reap(&self.kernel);
    }
}

impl fmt::Debug for DetachedTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DetachedTree({:?})", self.root)
    }
}

/// Checks the flags of open_tree(2), and whether `task` may have a copy, before the path is looked
/// up.
pub fn open_tree_flags(task: &StdArc<Task>, flags: u32) -> Result<OpenTree, Refusal> {
    task.reported("open_tree", check_flags(task, flags))
}

fn check_flags(task: &StdArc<Task>, flags: u32) -> Result<OpenTree, Refusal> {
    let known = AT_LOOKUP | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    if flags & !known != 0 {
        return Err(Rule::OpenTreeFlagUnknown.refuse());
    }
    let recursive = flags & AT_RECURSIVE != 0;
    if flags & OPEN_TREE_CLONE == 0 {
        return match recursive {
            true => Err(Rule::OpenTreeRecursive.refuse()),
            false => Ok(OpenTree::Path),
        };
    }
    Mounter::check(task, "open_tree")?;
    Ok(OpenTree::Clone { recursive })
}

/// Copies what is mounted at `source`, which [`open_tree_flags`] allowed, to be in no namespace.
pub fn open_tree(
    task: &StdArc<Task>,
    files: &dyn Files,
    source: &Place,
    recursive: bool,
) -> Result<DetachedTree, Refusal> {
    task.reported("open_tree", copy(task, files, source, recursive))
}

fn copy(
    task: &StdArc<Task>,
    files: &dyn Files,
    source: &Place,
    recursive: bool,
) -> Result<DetachedTree, Refusal> {
    let mounter = Mounter::check(task, "open_tree")?;
    let owner = mounter.ns.owner();
    let charge = Charge::take(&owner, mounter.cred.euid, Kind::Mnt)?;
    let turn = MountTurn::take(&task.kernel);
    let key = task.kernel.next_id();
    let hold = turn.with(|tree| {
        mounter.may_copy(tree, files, source, recursive)?;
        let root = mounter.copy(tree, files, source, recursive);
        let space = Space {
            root,
            count: 0,
            owner,
            origin: Some(mounter.key()),
            generation: StdArc::new(AtomicU64::new(0)),
            charge: Some(charge),
        };
        tree.spaces.insert(key, space);
        tree.enter(root, key);
        Ok(StdArc::clone(&tree.get(root).hold))
    })?;
    let root = Place::new(&task.kernel, &hold, source.dentry());
    Ok(DetachedTree { kernel: Arc::clone(&task.kernel), key, root })
}

impl Mounter {
    /// Checks who calls move_mount(2), and its flags, before the paths are looked up.
    ///
    /// `MOVE_MOUNT_SET_GROUP` and `MOVE_MOUNT_BENEATH` are unknown, as before 5.15 and 6.5.
    pub fn of_move_mount(task: &StdArc<Task>, flags: u32) -> Result<Mounter, Refusal> {
        let mounter = Mounter::of(task, "move_mount")?;
        let known = match flags & !MOVE_MOUNT_LOOKUP {
            0 => Ok(mounter),
            _ => Err(Rule::MoveMountFlagUnknown.refuse()),
        };
        task.reported("move_mount", known)
    }

    /// Prepares move_mount(2): the mount at `source`, or the tree of a [`DetachedTree`], goes to
    /// `target`.
    pub fn move_mount(
        &self,
        files: &dyn Files,
        source: &Place,
        target: &Place,
    ) -> Result<MountChange, Refusal> {
        self.shift(files, source, target)
    }
}

impl Tree {
    /// Says whether a mount is the top of a tree in no namespace.
    pub(super) fn is_detached_top(&self, id: MountId) -> bool {
        let space = self.mounts.get(&id).and_then(|mount| self.spaces.get(&mount.ns?));
        space.is_some_and(|space| space.origin.is_some() && space.root == id)
    }

    /// Says whether a mount is in a tree that was copied from the namespace `ns`, by a member of
    /// it.
    pub(super) fn is_detached_from(&self, id: MountId, ns: NsKey) -> bool {
        let space = self.mounts.get(&id).and_then(|mount| self.spaces.get(&mount.ns?));
        space.is_some_and(|space| space.origin == Some(ns))
    }

    /// Takes a tree out of the namespace it is in; the namespace of a detached tree goes.
    pub(super) fn uproot(&mut self, top: MountId) {
        let emptied = self.get(top).ns.filter(|_| self.is_detached_top(top));
        for id in self.subtree(top) {
            self.leave(id);
        }
        if let Some(space) = emptied.and_then(|ns| self.spaces.remove(&ns)) {
            self.garbage.push(super::tree::Garbage::Space(space));
        }
    }
}
