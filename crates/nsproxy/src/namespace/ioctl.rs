//! The ioctls of namespace descriptors (ioctl_ns(2)).

use super::user::UserNs;
use crate::{
    Kind,
    nsproxy::AnyNamespace,
    rule::{Refusal, Refuse, Rule, Value},
    sync::Arc,
    task::Task,
};
use alloc::sync::Arc as StdArc;

/// NS_GET_USERNS: the user namespace that owns `of`; a user namespace's parent.
pub fn ioctl_userns(task: &StdArc<Task>, of: &AnyNamespace) -> Result<Arc<UserNs>, Refusal> {
    let own = task.user_ns();
    let owner = of.owner().filter(|owner| owner.is_within(&own));
    task.reported("ioctl", owner.ok_or_else(|| out_of_sight(task, of)))
}

/// NS_GET_PARENT: the namespace above `of`.
pub fn ioctl_parent(task: &StdArc<Task>, of: &AnyNamespace) -> Result<AnyNamespace, Refusal> {
    let parent = of.above(task).and_then(|above| above.ok_or_else(|| out_of_sight(task, of)));
    task.reported("ioctl", parent)
}

/// NS_GET_NSTYPE: the flag of `of`'s type.
pub fn ioctl_nstype(of: &AnyNamespace) -> u64 {
    of.kind().flag().bits()
}

/// NS_GET_OWNER_UID: the owner of a user namespace, as `task` sees it.
pub fn ioctl_owner_uid(task: &StdArc<Task>, of: &AnyNamespace) -> Result<u32, Refusal> {
    let uid = match of {
        AnyNamespace::User(user) => Ok(task.with_cred(|cred| cred.user.uid_in(user.owner().0))),
        other => Err(Rule::IoctlNoOwnerUid.refuse().with("type", other.kind())),
    };
    task.reported("ioctl", uid)
}

/// The refusal of what lies above the caller.
fn out_of_sight(task: &Task, of: &AnyNamespace) -> Refusal {
    Rule::IoctlOutOfSight
        .refuse()
        .with("of", Value::Namespace(of.kind(), of.inode()))
        .with("caller", Value::Namespace(Kind::User, task.user_ns().inode()))
}
