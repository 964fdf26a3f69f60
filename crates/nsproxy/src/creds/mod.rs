//! The calls that change a task's credentials: ids, groups, capabilities, and the options of
//! prctl(2) about them.
//!
//! Ids are numbers as the caller wrote them, in its user namespace's numbering; `u32::MAX` (-1)
//! means "leave as it is" where the manual says so. Each call is whole: it checks, then publishes
//! new credentials under the task's change lock.

mod caps;
mod groups;
mod ids;
mod prctl;

pub use caps::{Capabilities, capget, capset};
pub use groups::{NGROUPS_MAX, SetGroups, getgroups, prepare_setgroups, setgroups};
pub use ids::{setfsgid, setfsuid, setgid, setregid, setresgid, setresuid, setreuid, setuid};
pub use prctl::{
    ambient_clear, ambient_is_set, ambient_lower, ambient_raise, bounding_drop, bounding_read,
    keepcaps, no_new_privs, prctl, securebits, set_keepcaps, set_no_new_privs, set_securebits,
};

use crate::{
    cred::{self, Cred},
    rule::Refusal,
    task::Task,
};
use alloc::sync::Arc as StdArc;

/// Changes the credentials of `task` to what `change` makes of them, or not at all.
fn change<R>(
    task: &StdArc<Task>,
    call: &'static str,
    change: impl FnOnce(&Cred, &mut Cred) -> Result<R, Refusal>,
) -> Result<R, Refusal> {
    let result = {
        let _turn = task.turn();
        let old = task.cred();
        let mut new = Cred::clone(&old);
        change(&old, &mut new).inspect(|_| {
            if new != *old {
                cred::commit(task, new);
            }
        })
    };
    task.reported(call, result)
}
