//! setuid(2) and its relatives.
//!
//! The rules are the same for users and groups but for one thing: a change of user ids can take
//! capabilities away or make them effective (capabilities(7), "Effect of user ID changes on
//! capabilities").

use super::change;
use crate::{
    capability::{Cap, CapSet},
    cred::{Cred, SecureBits},
    id::{Kgid, Kuid},
    rule::{Refusal, Refuse, Rule},
    task::Task,
};
use alloc::sync::Arc as StdArc;

/// "Leave as it is".
const KEEP: u32 = u32::MAX;

/// The refusal for an id that is not mapped in the caller's user namespace.
pub(super) fn unmapped(id: u32) -> Refusal {
    Rule::IdUnmapped.refuse().with("id", id)
}

fn user(cred: &Cred, uid: u32) -> Result<Kuid, Refusal> {
    cred.user.map_uid(uid).ok_or_else(|| unmapped(uid))
}

fn group(cred: &Cred, gid: u32) -> Result<Kgid, Refusal> {
    cred.user.map_gid(gid).ok_or_else(|| unmapped(gid))
}

/// Translates an id that may be "leave".
fn optional<T>(id: u32, map: impl FnOnce(u32) -> Result<T, Refusal>) -> Result<Option<T>, Refusal> {
    if id == KEEP { Ok(None) } else { map(id).map(Some) }
}

/// Refuses user ids that are not among the caller's, unless it has CAP_SETUID.
fn may_be_user(old: &Cred, wanted: &[Option<Kuid>], among: &[Kuid]) -> Result<(), Refusal> {
    match wanted.iter().flatten().find(|id| !among.contains(id)) {
        Some(id) if !old.has_own(Cap::SETUID) => {
            Err(Rule::SetuidNeedsCap.refuse().with("wanted", *id).with("effective", old.euid))
        }
        _ => Ok(()),
    }
}

/// Refuses group ids that are not among the caller's, unless it has CAP_SETGID.
fn may_be_group(old: &Cred, wanted: &[Option<Kgid>], among: &[Kgid]) -> Result<(), Refusal> {
    match wanted.iter().flatten().find(|id| !among.contains(id)) {
        Some(id) if !old.has_own(Cap::SETGID) => {
            Err(Rule::SetgidNeedsCap.refuse().with("wanted", *id).with("effective", old.egid))
        }
        _ => Ok(()),
    }
}

/// setuid(2).
pub fn setuid(task: &StdArc<Task>, uid: u32) -> Result<(), Refusal> {
    change(task, "setuid", |old, new| {
        let uid = user(old, uid)?;
        may_be_user(old, &[Some(uid)], &[old.uid, old.suid])?;
        if old.has_own(Cap::SETUID) {
            (new.uid, new.suid) = (uid, uid);
        }
        (new.euid, new.fsuid) = (uid, uid);
        adjust_for_users(old, new);
        Ok(())
    })
}

/// setgid(2).
pub fn setgid(task: &StdArc<Task>, gid: u32) -> Result<(), Refusal> {
    change(task, "setgid", |old, new| {
        let gid = group(old, gid)?;
        may_be_group(old, &[Some(gid)], &[old.gid, old.sgid])?;
        if old.has_own(Cap::SETGID) {
            (new.gid, new.sgid) = (gid, gid);
        }
        (new.egid, new.fsgid) = (gid, gid);
        Ok(())
    })
}

/// setreuid(2).
pub fn setreuid(task: &StdArc<Task>, ruid: u32, euid: u32) -> Result<(), Refusal> {
    change(task, "setreuid", |old, new| {
        let ruid = optional(ruid, |id| user(old, id))?;
        let euid = optional(euid, |id| user(old, id))?;
        may_be_user(old, &[ruid], &[old.uid, old.euid])?;
        may_be_user(old, &[euid], &[old.uid, old.euid, old.suid])?;
        new.uid = ruid.unwrap_or(old.uid);
        new.euid = euid.unwrap_or(old.euid);
        if ruid.is_some() || euid.is_some_and(|euid| euid != old.uid) {
            new.suid = new.euid;
        }
        new.fsuid = new.euid;
        adjust_for_users(old, new);
        Ok(())
    })
}

/// setregid(2).
pub fn setregid(task: &StdArc<Task>, rgid: u32, egid: u32) -> Result<(), Refusal> {
    change(task, "setregid", |old, new| {
        let rgid = optional(rgid, |id| group(old, id))?;
        let egid = optional(egid, |id| group(old, id))?;
        may_be_group(old, &[rgid], &[old.gid, old.egid])?;
        may_be_group(old, &[egid], &[old.gid, old.egid, old.sgid])?;
        new.gid = rgid.unwrap_or(old.gid);
        new.egid = egid.unwrap_or(old.egid);
        if rgid.is_some() || egid.is_some_and(|egid| egid != old.gid) {
            new.sgid = new.egid;
        }
        new.fsgid = new.egid;
        Ok(())
    })
}

/// setresuid(2).
pub fn setresuid(task: &StdArc<Task>, ruid: u32, euid: u32, suid: u32) -> Result<(), Refusal> {
    change(task, "setresuid", |old, new| {
        let ruid = optional(ruid, |id| user(old, id))?;
        let euid = optional(euid, |id| user(old, id))?;
        let suid = optional(suid, |id| user(old, id))?;
        may_be_user(old, &[ruid, euid, suid], &[old.uid, old.euid, old.suid])?;
        // When nothing would change, the file-system id is left alone as well.
        let same = ruid.is_none_or(|id| id == old.uid)
            && euid.is_none_or(|id| id == old.euid && id == old.fsuid)
            && suid.is_none_or(|id| id == old.suid);
        if !same {
            new.uid = ruid.unwrap_or(old.uid);
            new.euid = euid.unwrap_or(old.euid);
            new.suid = suid.unwrap_or(old.suid);
            new.fsuid = new.euid;
            adjust_for_users(old, new);
        }
        Ok(())
    })
}

/// setresgid(2).
pub fn setresgid(task: &StdArc<Task>, rgid: u32, egid: u32, sgid: u32) -> Result<(), Refusal> {
    change(task, "setresgid", |old, new| {
        let rgid = optional(rgid, |id| group(old, id))?;
        let egid = optional(egid, |id| group(old, id))?;
        let sgid = optional(sgid, |id| group(old, id))?;
        may_be_group(old, &[rgid, egid, sgid], &[old.gid, old.egid, old.sgid])?;
        let same = rgid.is_none_or(|id| id == old.gid)
            && egid.is_none_or(|id| id == old.egid && id == old.fsgid)
            && sgid.is_none_or(|id| id == old.sgid);
        if !same {
            new.gid = rgid.unwrap_or(old.gid);
            new.egid = egid.unwrap_or(old.egid);
            new.sgid = sgid.unwrap_or(old.sgid);
            new.fsgid = new.egid;
        }
        Ok(())
    })
}

/// setfsuid(2): never refuses; returns the old id as the caller sees it.
pub fn setfsuid(task: &StdArc<Task>, uid: u32) -> u32 {
    let result = change(task, "setfsuid", |old, new| {
        if let Some(uid) = old.user.map_uid(uid)
            && ([old.uid, old.euid, old.suid, old.fsuid].contains(&uid) || old.has_own(Cap::SETUID))
        {
            new.fsuid = uid;
            adjust_for_files(old, new);
        }
        Ok(old.user.uid_in(old.fsuid))
    });
    result.unwrap_or_default()
}

/// setfsgid(2): never refuses; returns the old id as the caller sees it.
pub fn setfsgid(task: &StdArc<Task>, gid: u32) -> u32 {
    let result = change(task, "setfsgid", |old, new| {
        if let Some(gid) = old.user.map_gid(gid)
            && ([old.gid, old.egid, old.sgid, old.fsgid].contains(&gid) || old.has_own(Cap::SETGID))
        {
            new.fsgid = gid;
        }
        Ok(old.user.gid_in(old.fsgid))
    });
    result.unwrap_or_default()
}

/// User 0 of the caller's user namespace; no id at all if that is not mapped.
fn root(cred: &Cred) -> Kuid {
    cred.user.map_uid(0).unwrap_or(Kuid::INVALID)
}

/// Ceasing to be root in every id takes all capabilities; ceasing in the effective id takes the
/// effective ones; becoming root in the effective id makes the permitted ones effective.
fn adjust_for_users(old: &Cred, new: &mut Cred) {
    if old.securebits.contains(SecureBits::NO_SETUID_FIXUP) {
        return;
    }
    let root = root(old);
    let was_root = [old.uid, old.euid, old.suid].contains(&root);
    let is_root = [new.uid, new.euid, new.suid].contains(&root);
    if was_root && !is_root {
        if !old.securebits.contains(SecureBits::KEEP_CAPS) {
            new.permitted = CapSet::EMPTY;
            new.effective = CapSet::EMPTY;
        }
        new.ambient = CapSet::EMPTY;
    }
    if old.euid == root && new.euid != root {
        new.effective = CapSet::EMPTY;
    }
    if old.euid != root && new.euid == root {
        new.effective = new.permitted;
    }
}

/// The same for the file-system id and the capabilities about files.
fn adjust_for_files(old: &Cred, new: &mut Cred) {
    if old.securebits.contains(SecureBits::NO_SETUID_FIXUP) {
        return;
    }
    let root = root(old);
    if old.fsuid == root && new.fsuid != root {
        new.effective = new.effective.difference(CapSet::FILES);
    }
    if old.fsuid != root && new.fsuid == root {
        new.effective = new.effective.union(new.permitted.intersection(CapSet::FILES));
    }
}
