//! `/proc/sys/vm/memfd_noexec`: whether files of memfd_create(2) may be executed.
//!
//! Each pid namespace has a value of its own, and what counts is the highest from it upwards: a
//! namespace can only be stricter than those above. The file is root's, whoever owns the
//! namespace. Since Linux 6.3, and for those below since 6.6.

use super::PidNs;
use crate::{
    Kind,
    capability::Cap,
    cred::Cred,
    id::Kuid,
    limits::parse_sysctl,
    rule::{Refusal, Refuse, Rule, Value},
    sync::Ordering,
    task::Task,
};
use alloc::{format, string::String, sync::Arc as StdArc};

/// The strictest value: who asks for a file that can be executed is refused. From 1 on a file cannot be
/// executed unless that is asked for.
const ENFORCED: u32 = 2;

/// `MFD_NOEXEC_SEAL`: the file can never be made executable.
const NOEXEC_SEAL: u32 = 0x8;
/// `MFD_EXEC`: the file can be executed.
const EXEC: u32 = 0x10;

/// The text that reading `/proc/sys/vm/memfd_noexec` gives `task`. `None` where pid namespaces are not
/// built in.
pub fn read_memfd_noexec(task: &Task) -> Option<String> {
    Some(format!("{}\n", task.member()?.ns().memfd_noexec()))
}

/// Says whether `cred` may open `/proc/sys/vm/memfd_noexec` for writing.
pub fn may_write_memfd_noexec(cred: &Cred) -> Result<(), Refusal> {
    let overrides = cred.user.is_initial() && cred.effective.has(Cap::DAC_OVERRIDE);
    if cred.euid == Kuid::ROOT || overrides {
        return Ok(());
    }
    Err(Rule::MemfdNoexecNeedsRoot.refuse())
}

/// Writes `/proc/sys/vm/memfd_noexec`, which is about the writer's pid namespace. Returns how many
/// bytes were taken.
pub fn set_memfd_noexec(writer: &StdArc<Task>, offset: u64, text: &[u8]) -> Result<usize, Refusal> {
    writer.reported("memfd_noexec", set(writer, offset, text))
}

fn set(writer: &Task, offset: u64, text: &[u8]) -> Result<usize, Refusal> {
    writer.kernel.built(Kind::Pid)?;
    let Some(member) = writer.member() else { return Ok(text.len()) };
    let ns = member.ns();
    if !writer.with_cred(|cred| cred.has(ns.owner_ref(), Cap::SYS_ADMIN)) {
        let owner = Value::Namespace(Kind::User, ns.owner_ref().inode());
        return Err(Rule::MemfdNoexecWriterNeedsAdmin.refuse().with("owner", owner));
    }
    if offset != 0 || text.is_empty() {
        return Ok(text.len());
    }
    let least = ns.parent_ref().map_or(0, |parent| parent.memfd_noexec());
    let Some((value, taken)) =
        parse_sysctl(text).filter(|(value, _)| (least..=ENFORCED).contains(value))
    else {
        return Err(Rule::MemfdNoexecOutOfRange.refuse().with("least", least));
    };
    ns.memfd_noexec.store(value, Ordering::Release);
    Ok(taken)
}

/// Says whether memfd_create(2) with these flags is let by the task's pid namespace. Names, sizes and the
/// other flags stay outside.
pub fn may_create_memfd(task: &StdArc<Task>, flags: u32) -> Result<(), Refusal> {
    let may = || {
        if flags & EXEC != 0 && flags & NOEXEC_SEAL != 0 {
            return Err(Rule::MemfdFlagsContradict.refuse().with("flags", flags));
        }
        let Some(member) = task.member() else { return Ok(()) };
        let enforced = member.ns().memfd_noexec() >= ENFORCED;
        if enforced && flags & EXEC != 0 {
            let ns = member.ns();
            return Err(Rule::MemfdExecForbidden.refuse().with("pid namespace", ns.value()));
        }
        Ok(())
    };
    task.reported("memfd_create", may())
}

impl PidNs {
    /// What counts in it: the highest value from here upwards.
    pub(super) fn memfd_noexec(&self) -> u32 {
        let (mut highest, mut at) = (0, Some(self));
        while let Some(ns) = at {
            highest = highest.max(ns.memfd_noexec.load(Ordering::Acquire));
            at = ns.parent.as_deref();
        }
        highest
    }
}
