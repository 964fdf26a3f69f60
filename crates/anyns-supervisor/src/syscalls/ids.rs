//! The calls that read and change user and group ids.
//!
//! In the initial user namespace the kernel's own ids are the truth, so it serves them; in a user
//! namespace of ours the model's are, seen through the caller's maps.
//! Not decided here: which change is allowed; that is `nsproxy::creds`.

use std::sync::Arc;

use nsproxy::{Cred, Refusal, Task, creds};
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};

/// Serves one of the calls that return an id.
fn get(cx: &mut Cx<'_>, id: impl FnOnce(&Cred) -> u32) -> Served {
    let Some(guest) = cx.inside() else { return Ok(Verdict::Continue) };
    Ok(Verdict::Return(i64::from(id(&guest.task.cred()))))
}

/// Serves `getuid()`.
pub(crate) fn getuid(cx: &mut Cx<'_>) -> Served {
    get(cx, |cred| cred.user.uid_in(cred.uid))
}

/// Serves `geteuid()`.
pub(crate) fn geteuid(cx: &mut Cx<'_>) -> Served {
    get(cx, |cred| cred.user.uid_in(cred.euid))
}

/// Serves `getgid()`.
pub(crate) fn getgid(cx: &mut Cx<'_>) -> Served {
    get(cx, |cred| cred.user.gid_in(cred.gid))
}

/// Serves `getegid()`.
pub(crate) fn getegid(cx: &mut Cx<'_>) -> Served {
    get(cx, |cred| cred.user.gid_in(cred.egid))
}

/// Serves `getresuid(r, e, s)`.
pub(crate) fn getresuid(cx: &mut Cx<'_>) -> Served {
    get_three(cx, |cred| [cred.uid, cred.euid, cred.suid].map(|id| cred.user.uid_in(id)))
}

/// Serves `getresgid(r, e, s)`.
pub(crate) fn getresgid(cx: &mut Cx<'_>) -> Served {
    get_three(cx, |cred| [cred.gid, cred.egid, cred.sgid].map(|id| cred.user.gid_in(id)))
}

fn get_three(cx: &mut Cx<'_>, ids: impl FnOnce(&Cred) -> [u32; 3]) -> Served {
    let Some(guest) = cx.inside() else { return Ok(Verdict::Continue) };
    // One after the other, as the kernel stores them: a bad second pointer leaves the first set.
    for (index, id) in ids(&guest.task.cred()).into_iter().enumerate() {
        cx.mem().write(cx.arg(index), &id.to_ne_bytes())?;
    }
    Ok(Verdict::Return(0))
}

/// Serves a call that changes ids and returns 0.
fn set(cx: &mut Cx<'_>, change: impl FnOnce(&Arc<Task>) -> Result<(), Refusal>) -> Served {
    let Some(guest) = cx.changing() else { return Ok(Verdict::Continue) };
    change(&guest.task)?;
    Ok(Verdict::Return(0))
}

/// Serves `setuid(uid)`.
pub(crate) fn setuid(cx: &mut Cx<'_>) -> Served {
    let id = cx.arg(0) as u32;
    set(cx, |task| creds::setuid(task, id))
}

/// Serves `setgid(gid)`.
pub(crate) fn setgid(cx: &mut Cx<'_>) -> Served {
    let id = cx.arg(0) as u32;
    set(cx, |task| creds::setgid(task, id))
}

/// Serves `setreuid(ruid, euid)`.
pub(crate) fn setreuid(cx: &mut Cx<'_>) -> Served {
    let [real, effective, ..] = cx.args().map(|id| id as u32);
    set(cx, |task| creds::setreuid(task, real, effective))
}

/// Serves `setregid(rgid, egid)`.
pub(crate) fn setregid(cx: &mut Cx<'_>) -> Served {
    let [real, effective, ..] = cx.args().map(|id| id as u32);
    set(cx, |task| creds::setregid(task, real, effective))
}

/// Serves `setresuid(ruid, euid, suid)`.
pub(crate) fn setresuid(cx: &mut Cx<'_>) -> Served {
    let [real, effective, saved, ..] = cx.args().map(|id| id as u32);
    set(cx, |task| creds::setresuid(task, real, effective, saved))
}

/// Serves `setresgid(rgid, egid, sgid)`.
pub(crate) fn setresgid(cx: &mut Cx<'_>) -> Served {
    let [real, effective, saved, ..] = cx.args().map(|id| id as u32);
    set(cx, |task| creds::setresgid(task, real, effective, saved))
}

/// Serves `setfsuid(uid)`, which returns the old id and never fails.
pub(crate) fn setfsuid(cx: &mut Cx<'_>) -> Served {
    let Some(guest) = cx.changing() else { return Ok(Verdict::Continue) };
    Ok(Verdict::Return(i64::from(creds::setfsuid(&guest.task, cx.arg(0) as u32))))
}

/// Serves `setfsgid(gid)`, which returns the old id and never fails.
pub(crate) fn setfsgid(cx: &mut Cx<'_>) -> Served {
    let Some(guest) = cx.changing() else { return Ok(Verdict::Continue) };
    Ok(Verdict::Return(i64::from(creds::setfsgid(&guest.task, cx.arg(0) as u32))))
}

/// Serves `getgroups(size, list)`.
pub(crate) fn getgroups(cx: &mut Cx<'_>) -> Served {
    let Some(guest) = cx.inside() else { return Ok(Verdict::Continue) };
    let room = cx.int(0);
    let groups = creds::getgroups(&guest.task);
    let Ok(room) = usize::try_from(room) else { return Err(Errno::INVAL.into()) };
    if room != 0 {
        if room < groups.len() {
            return Err(Errno::INVAL.into());
        }
        let list: Vec<u8> = groups.iter().flat_map(|id| id.to_ne_bytes()).collect();
        if !list.is_empty() {
            cx.mem().write(cx.arg(1), &list)?;
        }
    }
    Ok(Verdict::Return(groups.len() as i64))
}

/// Serves `setgroups(size, list)`.
pub(crate) fn setgroups(cx: &mut Cx<'_>) -> Served {
    let Some(guest) = cx.changing() else { return Ok(Verdict::Continue) };
    let change = creds::prepare_setgroups(&guest.task, i64::from(cx.int(0)))?;
    let mut list = vec![0; change.len() * 4];
    if !list.is_empty() {
        cx.mem().read(cx.arg(1), &mut list)?;
    }
    let groups: Vec<u32> = list
        .chunks_exact(4)
        .map(|word| u32::from_ne_bytes(word.try_into().expect("four bytes")))
        .collect();
    change.commit(&groups)?;
    Ok(Verdict::Return(0))
}
