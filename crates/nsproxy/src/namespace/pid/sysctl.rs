//! `/proc/sys/kernel/ns_last_pid` and `/proc/sys/kernel/pid_max`.
//!
//! The first acts on the pid namespace of whoever reads or writes, the second on that of whoever
//! opened it. Both can be written by the privileged of the namespace's owner; the first has mode
//! 0666, and says no to the writer.

use super::{
    PidNs,
    numbers::{LIMIT, RESERVED, may_choose},
};
use crate::{
    Kind,
    capability::Cap,
    cred::Cred,
    id::Kuid,
    limits::parse_sysctl,
    rule::{Refusal, Refuse, Rule, Value},
    task::Task,
};
use alloc::{format, string::String, sync::Arc as StdArc};

/// The text that reading `/proc/sys/kernel/ns_last_pid` gives `task`: the number given out last in
/// its pid namespace. `None` where pid namespaces are not built in.
pub fn read_last_pid(task: &Task) -> Option<String> {
    let member = task.member()?;
    let family = task.kernel.family.lock();
    let cursor = family.spaces.get(member.ns().space())?.cursor;
    Some(format!("{}\n", i64::from(cursor) - 1))
}

/// Writes `/proc/sys/kernel/ns_last_pid`: the search for the next number in the writer's pid
/// namespace goes on behind this one. Returns how many bytes were taken.
pub fn set_last_pid(writer: &StdArc<Task>, offset: u64, text: &[u8]) -> Result<usize, Refusal> {
    writer.reported("ns_last_pid", last_pid(writer, offset, text))
}

fn last_pid(writer: &Task, offset: u64, text: &[u8]) -> Result<usize, Refusal> {
    writer.kernel.built(Kind::Pid)?;
    let Some(member) = writer.member() else { return Ok(text.len()) };
    let ns = member.ns();
    if !writer.with_cred(|cred| may_choose(cred, ns)) {
        let owner = Value::Namespace(Kind::User, ns.owner_ref().inode());
        return Err(Rule::LastPidNeedsCheckpoint.refuse().with("owner", owner));
    }
    if offset != 0 || text.is_empty() {
        return Ok(text.len());
    }
    let mut family = writer.kernel.family.lock();
    let max = family.max_of(ns);
    let Some((last, taken)) = parse_sysctl(text).filter(|(last, _)| *last <= max) else {
        return Err(Rule::LastPidOutOfRange.refuse().with("pid_max", max));
    };
    if let Some(space) = family.spaces.get_mut(ns.space()) {
        space.cursor = last + 1;
    }
    Ok(taken)
}

/// The text that reading `/proc/sys/kernel/pid_max` of `ns` gives.
pub fn read_pid_max(ns: &PidNs) -> String {
    format!("{}\n", ns.kernel().family.lock().max_of(ns))
}

/// Says whether `cred` may open `/proc/sys/kernel/pid_max` of `ns` for writing.
pub fn may_write_pid_max(ns: &PidNs, cred: &Cred) -> Result<(), Refusal> {
    if rules_over(ns, cred) {
        return Ok(());
    }
    let owner = Value::Namespace(Kind::User, ns.owner_ref().inode());
    Err(Rule::PidMaxNeedsOwner.refuse().with("owner", owner))
}

/// Writes `/proc/sys/kernel/pid_max` of `ns`: numbers from now on will be below it, and those in
/// use stay. Returns how many bytes were taken.
///
/// Before Linux 6.14 there is one limit for all.
pub fn set_pid_max(ns: &PidNs, writer: &Cred, offset: u64, text: &[u8]) -> Result<usize, Refusal> {
    if !rules_over(ns, writer) {
        let owner = Value::Namespace(Kind::User, ns.owner_ref().inode());
        return Err(Rule::PidMaxWriterNeedsOwner.refuse().with("owner", owner));
    }
    if offset != 0 || text.is_empty() {
        return Ok(text.len());
    }
    let in_range = |(max, _): &(u32, usize)| (RESERVED + 1..=LIMIT).contains(max);
    let Some((max, taken)) = parse_sysctl(text).filter(in_range) else {
        return Err(Rule::PidMaxOutOfRange.refuse());
    };
    let space = if ns.has_own_max() { ns.space() } else { ns.initial_space() };
    if let Some(space) = ns.kernel().family.lock().spaces.get_mut(space) {
        space.max = max;
    }
    Ok(taken)
}

/// The file belongs to user 0 of the namespace's owner, or to the initial one where there is one
/// limit for all.
fn rules_over(ns: &PidNs, cred: &Cred) -> bool {
    if !ns.has_own_max() {
        return cred.euid == Kuid::ROOT;
    }
    cred.has(ns.owner_ref(), Cap::SYS_ADMIN) || ns.owner_ref().map_uid(0) == Some(cred.euid)
}
