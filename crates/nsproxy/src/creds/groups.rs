//! getgroups(2) and setgroups(2).

use super::{change, ids::unmapped};
use crate::{
    capability::Cap,
    cred::Cred,
    id::Kgid,
    rule::{Refusal, Refuse, Rule},
    task::Task,
};
use alloc::{sync::Arc as StdArc, vec::Vec};

/// The most supplementary groups that a task can have.
pub const NGROUPS_MAX: u32 = 65_536;

/// A permitted setgroups(2), waiting for the list from the caller's memory.
#[must_use]
pub struct SetGroups {
    task: StdArc<Task>,
    len: usize,
}

/// Checks setgroups(2) before its list is read. `size` is the argument as given; the kernel takes
/// it as an `int`.
pub fn prepare_setgroups(task: &StdArc<Task>, size: i64) -> Result<SetGroups, Refusal> {
    let checked = task.with_cred(|cred| check(cred, size as i32));
    task.reported("setgroups", checked.map(|len| SetGroups { task: StdArc::clone(task), len }))
}

fn check(cred: &Cred, size: i32) -> Result<usize, Refusal> {
    if !cred.has_own(Cap::SETGID) {
        return Err(Rule::SetgroupsNeedsCap.refuse());
    }
    if !cred.user.may_setgroups() {
        return Err(Rule::SetgroupsDenied.refuse());
    }
    match u32::try_from(size) {
        Ok(len) if len <= NGROUPS_MAX => Ok(len as usize),
        _ => Err(Rule::SetgroupsTooMany.refuse().with("size", size)),
    }
}

impl SetGroups {
    /// How many ids to read from the caller's memory.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Sets the groups; ids beyond [`len`](SetGroups::len) are not looked at. Refuses the list as
    /// a whole if one id is not mapped.
    pub fn commit(self, gids: &[u32]) -> Result<(), Refusal> {
        change(&self.task, "setgroups", |old, new| {
            let wanted = gids.iter().take(self.len);
            let mapped = wanted.map(|gid| old.user.map_gid(*gid).ok_or_else(|| unmapped(*gid)));
            let mut groups = mapped.collect::<Result<Vec<Kgid>, Refusal>>()?;
            groups.sort_unstable();
            new.groups = groups.into();
            Ok(())
        })
    }
}

/// setgroups(2), with the list at hand.
pub fn setgroups(task: &StdArc<Task>, gids: &[u32]) -> Result<(), Refusal> {
    prepare_setgroups(task, gids.len() as i64)?.commit(gids)
}

/// getgroups(2): the supplementary groups as the task sees them.
pub fn getgroups(task: &Task) -> Vec<u32> {
    task.with_cred(|cred| cred.groups.iter().map(|gid| cred.user.gid_in(*gid)).collect())
}
