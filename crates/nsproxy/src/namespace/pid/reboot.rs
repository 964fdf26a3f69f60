//! reboot(2) in a pid namespace: it ends the namespace's init instead of the machine (since 3.4).

use super::family::Status;
use crate::{
    capability::Cap,
    rule::{Refusal, Refuse, Rule},
    task::Task,
};
use alloc::sync::Arc as StdArc;

/// `LINUX_REBOOT_MAGIC1`.
const MAGIC: u32 = 0xfee1_dead;
/// `LINUX_REBOOT_MAGIC2` and its like.
const BIRTHDAYS: [u32; 4] = [672_274_793, 85_072_278, 369_367_448, 537_993_216];

const RESTART: u32 = 0x0123_4567;
const RESTART2: u32 = 0xa1b2_c3d4;
const HALT: u32 = 0xcdef_0123;
const POWER_OFF: u32 = 0x4321_fedc;

/// What a reboot means.
#[derive(Clone, Debug)]
pub enum Reboot {
    /// The machine's, which is the embedder's business, its command included.
    Machine,
    /// The end of a namespace: the caller exits with status 0, and `init` with all inside is
    /// killed, though wait(2) tells `status` of it.
    Namespace {
        /// The init of the caller's pid namespace, which may be the caller.
        init: StdArc<Task>,
        /// SIGHUP for a restart, SIGINT for a halt.
        status: Status,
    },
}

/// Checks reboot(2) by `task`.
pub fn reboot(task: &StdArc<Task>, magic: (u32, u32), command: u32) -> Result<Reboot, Refusal> {
    task.reported("reboot", check(task, magic, command))
}

fn check(task: &Task, magic: (u32, u32), command: u32) -> Result<Reboot, Refusal> {
    let ns = task.pid_ns();
    let mut owner = ns.as_ref().map_or_else(|| task.user_ns(), |ns| ns.owner());
    while let (None, Some(parent)) = (&ns, owner.parent()) {
        owner = parent;
    }
    if !task.cred().has(&owner, Cap::SYS_BOOT) {
        return Err(Rule::RebootNeedsBoot.refuse());
    }
    if magic.0 != MAGIC || !BIRTHDAYS.contains(&magic.1) {
        return Err(Rule::RebootMagic.refuse());
    }
    let Some(ns) = ns.filter(|ns| !ns.is_initial()) else { return Ok(Reboot::Machine) };
    let signal = match command {
        RESTART | RESTART2 => 1,
        HALT | POWER_OFF => 2,
        _ => return Err(Rule::RebootCommand.refuse().with("command", u64::from(command))),
    };
    // Whoever calls is inside, so there is one.
    let init = ns.find(1).ok_or_else(|| task.gone())?;
    Ok(Reboot::Namespace { init, status: Status::Killed(signal) })
}
