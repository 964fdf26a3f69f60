//! What one task may do to another: send it a signal, look at it, tell it who one is.

use crate::{
    Kind,
    capability::Cap,
    cred::Cred,
    id::{Kgid, Kuid},
    namespace::user::UserNs,
    rule::{Refusal, Refuse, Rule, Value},
    task::Task,
};

/// Checks that a signal from `caller` may reach `target`, another process
/// (`kill_ok_by_cred`). Within one process every signal may be sent; do not ask.
///
/// `sigcont_same_session`: the signal is SIGCONT and both are in one session.
pub fn may_signal(caller: &Cred, target: &Cred, sigcont_same_session: bool) -> Result<(), Refusal> {
    let same = [caller.euid, caller.uid].iter().any(|id| [target.suid, target.uid].contains(id));
    if same || sigcont_same_session || caller.has(&target.user, Cap::KILL) {
        return Ok(());
    }
    Err(Rule::SignalNeedsKill
        .refuse()
        .with("sender", caller.euid)
        .with("target", target.uid)
        .with("in", Value::Namespace(Kind::User, target.user.inode())))
}

/// Whose number a sender of credentials gives as its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// Its own process's.
    Own,
    /// Another's.
    Another,
    /// Nobody's.
    Nobody,
}

/// Checks that `sender` may give itself out as this process with these ids, as its user namespace
/// has them, and says whose they are (`scm_check_creds`, unix(7), SCM_CREDENTIALS). `owner` owns its
/// pid namespace.
pub fn may_claim(
    sender: &Cred,
    owner: &UserNs,
    whose: Whose,
    uid: u32,
    gid: u32,
) -> Result<(Kuid, Kgid), Refusal> {
    let ids = sender.user.map_uid(uid).zip(sender.user.map_gid(gid));
    let Some((user, group)) = ids else {
        return Err(Rule::ClaimUnmapped.refuse().with("user", uid).with("group", gid));
    };
    if whose != Whose::Own && !sender.has(owner, Cap::SYS_ADMIN) {
        let owner = Value::Namespace(Kind::User, owner.inode());
        return Err(Rule::ClaimNumberNeedsAdmin.refuse().with("in", owner));
    }
    if ![sender.uid, sender.euid, sender.suid].contains(&user) && !sender.has_own(Cap::SETUID) {
        return Err(Rule::ClaimUserNeedsCap.refuse().with("claimed", user));
    }
    if ![sender.gid, sender.egid, sender.sgid].contains(&group) && !sender.has_own(Cap::SETGID) {
        return Err(Rule::ClaimGroupNeedsCap.refuse().with("claimed", group));
    }
    match whose {
        Whose::Nobody => Err(Rule::ClaimNobody.refuse()),
        Whose::Own | Whose::Another => Ok((user, group)),
    }
}

/// Who owns a task's files in `/proc`, as the host's ids: its effective ids. If its memory image is
/// not dumpable, user 0 of the user namespace the image was made in, and the initial user 0 where
/// that has none or the task has exited (`task_dump_owner`, proc(5)).
pub fn proc_owner(task: &Task) -> (Kuid, Kgid) {
    if task.has_exited() {
        return (Kuid::ROOT, Kgid::ROOT);
    }
    let (user, dumpable) = task.memory_access();
    if dumpable {
        let cred = task.cred();
        return (cred.euid, cred.egid);
    }
    (user.map_uid(0).unwrap_or(Kuid::ROOT), user.map_gid(0).unwrap_or(Kgid::ROOT))
}

/// Checks that `caller` may look at `target`'s `/proc/PID/ns`: a ptrace read check with
/// file-system ids. `dumpable` is what the embedder knows, `true` for nothing.
pub fn may_read(caller: &Task, target: &Task, dumpable: bool) -> Result<(), Refusal> {
    let (by, theirs) = (caller.cred(), target.cred());
    match ptrace_read(caller, &by, target, &theirs, dumpable, By::FileSystemIds) {
        Ok(()) => Ok(()),
        Err(why) => Err(Rule::ReadNeedsAccess.refuse().with("because", why)),
    }
}

/// Which of the caller's ids and capabilities a ptrace check goes by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// File-system ids and effective capabilities: for files in `/proc`.
    FileSystemIds,
    /// Real ids and permitted capabilities: for system calls.
    RealIds,
}

/// PTRACE_MODE_READ (ptrace(2), "Ptrace access mode checking"). On refusal says what is missing.
/// A zombie is as open as it was when it exited.
pub(crate) fn ptrace_read(
    caller: &Task,
    by: &Cred,
    target: &Task,
    theirs: &Cred,
    dumpable: bool,
    mode: By,
) -> Result<(), &'static str> {
    if caller.same_process(target) {
        return Ok(());
    }
    let (uid, gid, caps): (Kuid, Kgid, _) = match mode {
        By::FileSystemIds => (by.fsuid, by.fsgid, by.effective),
        By::RealIds => (by.uid, by.gid, by.permitted),
    };
    let may_trace = || by.has(&theirs.user, Cap::SYS_PTRACE);
    let same = [theirs.uid, theirs.euid, theirs.suid] == [uid; 3]
        && [theirs.gid, theirs.egid, theirs.sgid] == [gid; 3];
    if !same && !may_trace() {
        return Err("other ids");
    }
    let (owner, own) = target.memory_access();
    let open = own && dumpable;
    if !open && !by.has(&owner, Cap::SYS_PTRACE) {
        return Err("not dumpable");
    }
    let no_more = *by.user == *theirs.user && theirs.permitted.is_subset(caps);
    if !no_more && !may_trace() {
        return Err("more capabilities");
    }
    Ok(())
}
