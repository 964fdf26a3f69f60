//! The ways in: one file per system call that changes a task's namespaces.
//!
//! Each is split in two. `prepare_*` checks everything, builds what will be needed where nobody
//! can see it, and changes nothing; the value it returns is committed, which cannot fail, or
//! dropped, which undoes it. Between the two an embedder does its own part, which can fail.

mod change;
mod clone;
mod clone_args;
mod exec;
mod exit;
mod setns;
mod switch;
mod unshare;

pub use change::Change;
pub use clone::{Facts, Newborn, prepare_clone, prepare_clone_with};
pub use clone_args::CloneArgs;
pub use exec::{Exec, ExecFile, FileCaps, exec, prepare_exec};
pub use exit::{exit, exit_with, try_exit_with};
pub use setns::{Dumpable, JoinTarget, prepare_setns, setns};
pub use switch::{Switch, prepare_switch, switch};
pub use unshare::{prepare_unshare, unshare};

use crate::{
    CloneFlags, Kind,
    capability::Cap,
    cred::Cred,
    namespace::{Maker, Namespace, mnt::Places, user::UserNs},
    nsproxy::NsProxy,
    rule::{Refusal, Refuse, Rule, Value},
    sync::Arc,
    task::Task,
};

/// The new user namespace that `flags` ask for, as credentials in it; `None` if they do not.
fn new_credentials(
    flags: CloneFlags,
    task: &Task,
    by: &Arc<Cred>,
) -> Result<Option<Cred>, Refusal> {
    if !flags.contains(CloneFlags::NEWUSER) {
        return Ok(None);
    }
    task.kernel.built(Kind::User)?;
    let maker = Maker { kernel: &task.kernel, task, cred: by, owner: &by.user, places: None };
    let user = UserNs::copy(&by.user, &maker)?;
    Ok(Some(by.moved_to(user)))
}

/// The other new namespaces that `flags` ask for, owned by `owner`; `None` if they ask for none.
/// `by` are the caller's present credentials, `places` the directories that follow a new mount
/// namespace.
fn new_namespaces(
    flags: CloneFlags,
    task: &Task,
    old: &NsProxy,
    by: &Cred,
    owner: &Arc<UserNs>,
    places: Option<&Places>,
    check: impl FnOnce() -> Result<(), Refusal>,
) -> Result<Option<NsProxy>, Refusal> {
    let asked = flags & CloneFlags::PROXIED;
    if asked.is_empty() {
        return Ok(None);
    }
    if !by.has(owner, Cap::SYS_ADMIN) {
        return Err(Rule::NamespaceNeedsAdmin
            .refuse()
            .with("flags", asked)
            .with("owner", Value::Namespace(Kind::User, owner.inode())));
    }
    check()?;
    let maker = Maker { kernel: &task.kernel, task, cred: by, owner, places };
    NsProxy::create(old, asked, &maker).map(Some)
}
