//! open_tree(2) and move_mount(2): trees of mounts that are in nobody's namespace.

use super::{
    Dentry, Files, MountFlags, Mounter, Onto, Place, Super, Table,
    lock::{MountTurn, reap},
    setattr::{AT_LOOKUP, AT_RECURSIVE},
    tree::{MountId, NsKey, Space, Tree},
};
use crate::{
    KernelVersion, Kind,
    limits::Charge,
    rule::{Refusal, Refuse, Rule},
    sync::{Arc, Weak},
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
const MOVE_MOUNT_SET_GROUP: u32 = 0x100;
const MOVE_MOUNT_BENEATH: u32 = 0x200;

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

    /// Its mounts now; empty once it was moved to a namespace.
    pub fn table(&self) -> Table {
        self.kernel.mounts.with(|tree| tree.table(self.key))
    }

    /// Names it, as [`AnyNamespace::id`](crate::AnyNamespace::id) does a namespace.
    pub fn id(&self) -> u64 {
        self.key
    }

    /// A file or directory seen through one of the mounts of its table.
    pub fn place(&self, table: &Table, on: MountId, dentry: Dentry) -> Option<Place> {
        table.place_of(&self.kernel, on, dentry)
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
    mounter.detached(source.dentry(), |tree| {
        mounter.may_copy(tree, files, source, recursive)?;
        Ok(mounter.copy(tree, files, source, recursive))
    })
}

impl Mounter {
    /// Mounts a file system that was made in no namespace: fsmount(2).
    pub fn mount_detached(
        &self,
        files: &dyn Files,
        sb: &StdArc<Super>,
        root: Dentry,
        source: &[u8],
        flags: MountFlags,
    ) -> Result<DetachedTree, Refusal> {
        let made = self.detached(root, |tree| {
            let locks = tree.may_show(files, self.key(), sb, flags)?;
            Ok(tree.create(sb, root, &StdArc::from(source), flags | locks))
        });
        self.task.reported(self.call, made)
    }

    /// A tree in no namespace, of what `build` makes; `root` is what its top shows.
    fn detached(
        &self,
        root: Dentry,
        build: impl FnOnce(&mut Tree) -> Result<MountId, Refusal>,
    ) -> Result<DetachedTree, Refusal> {
        let kernel = self.kernel();
        let owner = self.ns.owner();
        let charge = Charge::take(&owner, self.cred.euid, Kind::Mnt, self.ns.inode())?;
        let turn = MountTurn::take(kernel);
        let key = kernel.next_id();
        let hold = turn.with(|tree| {
            let top = build(tree)?;
            let space = Space {
                root: top,
                count: 0,
                owner,
                namespace: Weak::new(),
                origin: Some(self.key()),
                generation: StdArc::new(AtomicU64::new(0)),
                charge: Some(charge),
            };
            tree.spaces.insert(key, space);
            tree.enter(top, key);
            Ok(StdArc::clone(&tree.get(top).hold))
        })?;
        let root = Place::new(kernel, &hold, root);
        Ok(DetachedTree { kernel: Arc::clone(kernel), key, root })
    }
}

impl Mounter {
    /// Checks who calls move_mount(2), and its flags, before the paths are looked up. Says which side
    /// of the target is meant.
    pub fn of_move_mount(task: &StdArc<Task>, flags: u32) -> Result<(Mounter, Onto), Refusal> {
        let mounter = Mounter::of(task, "move_mount")?;
        let since =
            |major, minor| task.kernel.config.version.since(KernelVersion::new(major, minor));
        let known = match flags & !MOVE_MOUNT_LOOKUP {
            0 => Ok((mounter, Onto::Top)),
            MOVE_MOUNT_SET_GROUP if since(5, 15) => Ok((mounter, Onto::Group)),
            MOVE_MOUNT_BENEATH if since(6, 5) => Ok((mounter, Onto::Beneath)),
            _ => Err(Rule::MoveMountFlagUnknown.refuse()),
        };
        task.reported("move_mount", known)
    }
}

impl Tree {
    /// Says whether a mount is the top of a tree in no namespace.
    pub(super) fn is_detached_top(&self, id: MountId) -> bool {
        let space = self.mounts.get(&id).and_then(|mount| self.spaces.get(&mount.ns?));
        space.is_some_and(|space| space.origin.is_some() && space.root == id)
    }

    /// Says whether a mount is in a tree in no namespace: nobody can have met it on a path.
    pub(super) fn is_detached(&self, id: MountId) -> bool {
        let space = self.mounts.get(&id).and_then(|mount| self.spaces.get(&mount.ns?));
        space.is_some_and(|space| space.origin.is_some())
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
