//! The ioctls of mount namespaces' descriptors (ioctl_nsfs(2); since 6.11 and 6.12, older kernels
//! know no such request).

use super::MntNs;
use crate::{
    capability::Cap,
    nsproxy::AnyNamespace,
    rule::{Refusal, Refuse, Rule},
    sync::Arc,
    task::Task,
};
use alloc::sync::Arc as StdArc;

/// What NS_MNT_GET_INFO tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MountsInfo {
    /// How many mounts the namespace holds, without the hidden one at its very root.
    pub mounts: u32,
    /// Its id.
    pub id: u64,
}

/// NS_GET_MNTNS_ID: the id of a mount namespace.
pub fn ioctl_mnt_id(task: &StdArc<Task>, of: &AnyNamespace) -> Result<u64, Refusal> {
    task.reported("ioctl", mnt(of).map(|ns| ns.key()))
}

/// NS_MNT_GET_INFO.
pub fn ioctl_mnt_info(task: &StdArc<Task>, of: &AnyNamespace) -> Result<MountsInfo, Refusal> {
    let info = mnt(of).map(|ns| {
        let mounts = ns.mount_count().saturating_sub(1);
        MountsInfo { mounts: u32::try_from(mounts).unwrap_or(u32::MAX), id: ns.key() }
    });
    task.reported("ioctl", info)
}

/// NS_MNT_GET_NEXT or, not `forward`, NS_MNT_GET_PREV: the mount namespace with the next higher or
/// lower id. `None` at the end: ENOENT.
pub fn ioctl_mnt_neighbour(
    task: &StdArc<Task>,
    of: &AnyNamespace,
    forward: bool,
) -> Result<Option<AnyNamespace>, Refusal> {
    let found = neighbour(task, of, forward);
    task.reported("ioctl", found.map(|found| found.map(AnyNamespace::Mnt)))
}

fn neighbour(task: &Task, of: &AnyNamespace, forward: bool) -> Result<Option<Arc<MntNs>>, Refusal> {
    let in_charge =
        |ns: &crate::PidNs| ns.parent().is_none() && task.cred().has(&ns.owner(), Cap::SYS_ADMIN);
    if !task.pid_ns().is_some_and(|ns| in_charge(&ns)) {
        return Err(Rule::IoctlNeighboursNeedAdmin.refuse());
    }
    let ns = mnt(of)?;
    let own = ns.key();
    Ok(ns.mounts().with(|tree| {
        // One may be dying.
        let mut lower = tree.spaces.range(..own).rev();
        let mut higher = tree.spaces.range(own + 1..);
        match forward {
            true => higher.find_map(|(_, space)| space.namespace.upgrade()),
            false => lower.find_map(|(_, space)| space.namespace.upgrade()),
        }
    }))
}

fn mnt(of: &AnyNamespace) -> Result<&Arc<MntNs>, Refusal> {
    match of {
        AnyNamespace::Mnt(ns) => Ok(ns),
        other => Err(Rule::IoctlNoMounts.refuse().with("type", other.kind())),
    }
}
