//! The ioctls of namespace descriptors (ioctl_ns(2)), and their file handles.

use super::user::UserNs;
use crate::{
    Kind,
    capability::Cap,
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

/// NS_GET_ID (since 6.18): an id that no other namespace ever has, of whatever type.
pub fn ioctl_id(of: &AnyNamespace) -> u64 {
    of.id()
}

/// NS_GET_OWNER_UID: the owner of a user namespace, as `task` sees it.
pub fn ioctl_owner_uid(task: &StdArc<Task>, of: &AnyNamespace) -> Result<u32, Refusal> {
    let uid = match of {
        AnyNamespace::User(user) => Ok(task.with_cred(|cred| cred.user.uid_in(user.owner().0))),
        other => Err(Rule::IoctlNoOwnerUid.refuse().with("type", other.kind())),
    };
    task.reported("ioctl", uid)
}

/// open_by_handle_at(2) on the file system of namespaces (since 6.18): whether `task` may open `of`,
/// which a file handle names. Which namespace that is, and whether it still lives, the embedder knows.
pub fn open_handle(task: &StdArc<Task>, of: &AnyNamespace) -> Result<(), Refusal> {
    let own = task.namespace(of.kind()).is_some_and(|own| own == *of);
    let in_charge = || of.owner().is_some_and(|owner| task.cred().has(&owner, Cap::SYS_ADMIN));
    let checked = match own || in_charge() {
        true => Ok(()),
        false => {
            let named = Value::Namespace(of.kind(), of.inode());
            Err(Rule::HandleNeedsAdmin.refuse().with("of", named))
        }
    };
    task.reported("open_by_handle_at", checked)
}

/// The refusal of what lies above the caller.
fn out_of_sight(task: &Task, of: &AnyNamespace) -> Refusal {
    Rule::IoctlOutOfSight
        .refuse()
        .with("of", Value::Namespace(of.kind(), of.inode()))
        .with("caller", Value::Namespace(Kind::User, task.user_ns().inode()))
}
