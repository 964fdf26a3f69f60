//! What statmount(2) and listmount(2) tell of the mounts of a namespace.
//!
//! Not decided here: who may ask about another namespace, or about what it cannot reach.

use super::{
    Dentry, Files, MntNs, MountFlags, Super,
    text::Reader,
    tree::{MountId, Tree},
};
use crate::{namespace::Namespace, task::Task};
use alloc::{sync::Arc as StdArc, vec::Vec};

/// A mount, as statmount(2) tells of it.
pub struct MountStatus {
    /// The number that no other mount ever has.
    pub id: MountId,
    /// The number that `mountinfo` shows.
    pub shown: u32,
    /// The same two of what it is mounted on; its own for the very root of a namespace.
    pub parent: (MountId, u32),
    /// The file or directory that it shows.
    pub dentry: Dentry,
    /// Its file system.
    pub sb: StdArc<Super>,
    /// Its flags.
    pub flags: MountFlags,
    /// Its peer group, if it is shared.
    pub group: Option<u32>,
    /// The group whose slave it is.
    pub master: Option<u32>,
    /// The nearest group above it with a member that the asker can reach.
    pub propagates_from: Option<u32>,
    /// It cannot be bound.
    pub unbindable: bool,
    /// It has a map of ids.
    pub idmapped: bool,
    /// The name that was given for the device.
    pub source: Vec<u8>,
    /// The path of what it shows within its file system.
    pub root: Vec<u8>,
    /// Its own path; `None` if the asker cannot reach it.
    pub point: Option<Vec<u8>>,
}

/// Mounts, as listmount(2) tells of them.
pub struct MountList {
    /// Whether the asker can reach the mount that it asked about.
    pub reachable: bool,
    /// Those below it, in the order in which they were made.
    pub mounts: Vec<MountId>,
}

/// What statmount(2) by `task` tells of a mount of `ns`; `None` if the namespace has no such mount.
pub fn mount_status(
    task: &Task,
    ns: &MntNs,
    files: &dyn Files,
    id: MountId,
) -> Option<MountStatus> {
    let reader = Reader::of(task, ns, files)?;
    ns.mounts().with(|tree| {
        let mount = tree.mounts.get(&id).filter(|mount| mount.ns == Some(ns.number().id()))?;
        let parent = mount.parent.map_or(id, |(parent, _)| parent);
        let master = mount.peers.master;
        Some(MountStatus {
            id,
            shown: mount.shown,
            parent: (parent, tree.get(parent).shown),
            dentry: mount.root,
            sb: StdArc::clone(&mount.sb),
            flags: mount.flags,
            group: mount.peers.shared.then_some(mount.peers.group),
            master: master.map(|master| tree.get(master).peers.group),
            propagates_from: master.and_then(|_| tree.dominating(&reader, mount)),
            unbindable: mount.peers.unbindable,
            idmapped: mount.idmap.is_some(),
            source: match mount.source.is_empty() {
                true => b"none".to_vec(),
                false => mount.source.to_vec(),
            },
            root: tree.root_text(&reader, mount),
            point: tree.path(&reader, id),
        })
    })
}

/// What listmount(2) by `task` tells of the mounts of `ns`: of those below a mount, or of all that are
/// to be reached from the root directory, that of the root among them. `None` if the namespace has no
/// such mount.
pub fn mount_list(
    task: &Task,
    ns: &MntNs,
    files: &dyn Files,
    below: Option<MountId>,
) -> Option<MountList> {
    let reader = Reader::of(task, ns, files)?;
    ns.mounts().with(|tree: &mut Tree| {
        let own = ns.number().id();
        let from = match below {
            None => reader.root,
            Some(id) => {
                let mount = tree.mounts.get(&id).filter(|mount| mount.ns == Some(own))?;
                (id, mount.root)
            }
        };
        let space = tree.spaces.get(&own)?;
        let mut mounts = tree.subtree(space.root);
        mounts.sort_unstable();
        mounts.retain(|id| {
            Some(*id) != below && tree.is_reachable(files, (*id, tree.get(*id).root), from)
        });
        Some(MountList { reachable: tree.is_reachable(files, from, reader.root), mounts })
    })
}
