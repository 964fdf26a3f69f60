//! execve(2), execveat(2): what running a program does to credentials, memory, threads and to the
//! time namespace that waits for the task.
//!
//! The capability transformation is that of capabilities(7), "Transformation of capabilities
//! during execve()".
//!
//! Not here: finding, opening and reading the file; the embedder says what it is.

use crate::{
    KernelVersion,
    capability::{Cap, CapSet},
    cred::{self, Cred, SecureBits},
    events::Way,
    group::{Memory, Shares},
    id::{Kgid, Kuid},
    namespace::user::UserNs,
    nsproxy::{NsProxy, report_switch, switch_task_namespaces, watched_ids},
    rule::{Refusal, Refuse, Rule},
    sync::Arc,
    task::{OwnedTurn, Task},
};
use alloc::sync::Arc as StdArc;

/// Capabilities of a file (`security.capability`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileCaps {
    /// Given to everybody, within the bounding set.
    pub permitted: CapSet,
    /// Given to those who have them inheritable.
    pub inheritable: CapSet,
    /// What is given is made effective.
    pub effective: bool,
    /// They count only where this user is root, or below (version 3). `Kuid::ROOT` for version 2.
    pub root: Kuid,
}

/// The program file, as far as credentials depend on it. The default is an ordinary program of
/// the initial root's.
#[derive(Clone, Debug)]
pub struct ExecFile {
    /// The file's user.
    pub owner: Kuid,
    /// The file's group.
    pub group: Kgid,
    /// Its set-user-ID bit.
    pub setuid: bool,
    /// Its set-group-ID bit, if its group may execute it.
    pub setgid: bool,
    /// Its capabilities.
    pub caps: Option<FileCaps>,
    /// Its mount gives no privileges: nosuid, or not in the caller's mount namespace.
    pub nosuid: bool,
    /// The user namespace that its file system belongs to; `None` for the initial one.
    pub user: Option<Arc<UserNs>>,
    /// The caller may not read it, so nobody may read its memory.
    pub unreadable: bool,
    /// The caller is traced by someone without CAP_SYS_PTRACE in the caller's user namespace.
    pub traced: bool,
}

impl Default for ExecFile {
    fn default() -> ExecFile {
        ExecFile {
            owner: Kuid::ROOT,
            group: Kgid::ROOT,
            setuid: false,
            setgid: false,
            caps: None,
            nosuid: false,
            user: None,
            unreadable: false,
            traced: false,
        }
    }
}

/// A prepared execve(2). Dropping it changes nothing.
#[must_use = "an exec that is dropped does not happen"]
pub struct Exec {
    cred: Cred,
    /// With the time namespace that waited, if one did.
    nsproxy: Option<Arc<NsProxy>>,
    memory: StdArc<Memory>,
    turn: OwnedTurn,
}

/// Checks that `task` may execute `file`, and works out its credentials.
pub fn prepare_exec(task: &StdArc<Task>, file: &ExecFile) -> Result<Exec, Refusal> {
    task.reported("execve", prepare(task, file))
}

/// [`prepare_exec`] and commit in one.
///
/// ```
/// use nsproxy::{Config, Cred, ExecFile, Kgid, Kuid, System, exec};
///
/// let system = System::new(Config::default());
/// let task = system.adopt(None, Cred::user(&system.init_user(), Kuid(1000), Kgid(1000)));
/// exec(&task, &ExecFile { setuid: true, ..ExecFile::default() })?; // root's, set-user-ID
/// assert_eq!((task.cred().uid, task.cred().euid), (Kuid(1000), Kuid(0)));
/// assert_eq!(task.cred().effective, nsproxy::CapSet::FULL);
/// assert!(!task.dumpable());
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
pub fn exec(task: &StdArc<Task>, file: &ExecFile) -> Result<(), Refusal> {
    prepare_exec(task, file).map(Exec::commit)
}

fn prepare(task: &StdArc<Task>, file: &ExecFile) -> Result<Exec, Refusal> {
    let turn = task.own_turn();
    let moves = task.kernel.config.version.since(KernelVersion::new(6, 2));
    let nsproxy = task.alive()?.in_pending_time().filter(|_| moves).map(Arc::new);
    let old = task.cred();
    let unsafe_to_gain = old.no_new_privs || file.traced || shares_root_outside(task);
    let cred = credentials(&old, file, unsafe_to_gain)?;
    let plain = old.uid == old.euid && old.gid == old.egid;
    let memory = Memory::new(&memory_user(&old, file), plain && !file.unreadable);
    Ok(Exec { cred, nsproxy, memory, turn })
}

impl Exec {
    /// The credentials that the program will run with.
    pub fn cred(&self) -> &Cred {
        &self.cred
    }

    /// The namespaces that the program will run in; `None` if they stay as they are.
    pub fn nsproxy(&self) -> Option<&Arc<NsProxy>> {
        self.nsproxy.as_ref()
    }

    /// Makes it so: a memory image and signal handlers of the task's own, the time namespace that
    /// waited, the new credentials; every other thread of the process exits, and the task becomes
    /// the first.
    pub fn commit(self) {
        let Exec { cred, nsproxy, memory, turn } = self;
        let task = turn.task();
        // The others have their own change locks; ours is given back first, because nobody may
        // hold two. The shares are replaced at once, so what comes in between sees the new image.
        let old = task.with_shares(|shares| {
            shares.as_mut().map(|held| {
                let fs = StdArc::clone(&held.fs);
                let handlers = held.handlers.copy();
                core::mem::replace(held, Shares { fs, handlers, memory })
            })
        });
        task.show_handlers();
        drop(old);
        if let Some(new) = nsproxy {
            let before = watched_ids(task);
            let old = switch_task_namespaces(task, Some(new));
            report_switch(task, Way::Exec, before);
            drop(old);
        }
        cred::commit(task, cred);
        let task = StdArc::clone(task);
        drop(turn);
        for thread in task.threads() {
            if !StdArc::ptr_eq(&thread, &task) {
                super::exit(&thread);
            }
        }
        task.set_leader(true);
        task.group().forget_dead_leader();
        task.lead_family();
    }
}

/// Says whether another process shares the root directory: it could change it under the program.
fn shares_root_outside(task: &Task) -> bool {
    let threads = task.threads();
    let fs = task.with_shares(|shares| shares.as_ref().map(|held| StdArc::as_ptr(&held.fs)));
    let inside = threads
        .iter()
        .filter(|thread| {
            let theirs =
                thread.with_shares(|shares| shares.as_ref().map(|held| StdArc::as_ptr(&held.fs)));
            theirs == fs
        })
        .count();
    let all =
        task.with_shares(|shares| shares.as_ref().map_or(0, |held| StdArc::strong_count(&held.fs)));
    all > inside
}

/// Who may look into the new memory when it is not dumpable: those privileged in the user
/// namespace of the exec, or, for an unreadable file, in the nearest above that maps its owner.
fn memory_user(by: &Cred, file: &ExecFile) -> Arc<UserNs> {
    let mut user = Arc::clone(&by.user);
    if file.unreadable {
        while user.find_uid(file.owner).is_none() || user.find_gid(file.group).is_none() {
            match user.parent() {
                Some(parent) => user = parent,
                None => break,
            }
        }
    }
    user
}

/// The credentials after executing `file` with `old`.
///
/// `unsafe_to_gain`: someone without the right to could profit from what the program gains, so
/// it gains nothing.
fn credentials(old: &Cred, file: &ExecFile, unsafe_to_gain: bool) -> Result<Cred, Refusal> {
    let mut new = old.clone();
    let trusted = !file.nosuid && file.user.as_ref().is_none_or(|user| old.user.is_within(user));
    set_ids(&mut new, file, trusted);

    let caps = file.caps.filter(|caps| trusted && is_root_here_or_above(caps.root, &old.user));
    let mut effective = caps.is_some_and(|caps| caps.effective);
    new.permitted = caps.map_or(CapSet::EMPTY, |caps| {
        new.bounding
            .intersection(caps.permitted)
            .union(new.inheritable.intersection(caps.inheritable))
    });
    let missing = caps.map_or(CapSet::EMPTY, |caps| caps.permitted.difference(new.permitted));
    if let Some(cap) = missing.first()
        && effective
    {
        return Err(Rule::ExecCapabilitiesMissing.refuse().with("missing", cap));
    }

    // User 0 has all capabilities, as if every file gave them.
    let root = old.user.map_uid(0).unwrap_or(Kuid::INVALID);
    let becomes_root = new.euid == root && new.uid != root;
    let root_is_special = !new.securebits.contains(SecureBits::NOROOT);
    if root_is_special && !(caps.is_some() && becomes_root) {
        if new.euid == root || new.uid == root {
            new.permitted = old.bounding.union(old.inheritable);
        }
        effective |= new.euid == root;
    }

    // Since 6.17 it is the change that counts; before, a real and an effective id that differed
    // were taken for one.
    let other_ids = match old.user.kernel_since(6, 17) {
        true => new.euid != old.euid || !old.in_group(new.egid),
        false => new.euid != old.uid || new.egid != old.gid,
    };
    let gains = !new.permitted.is_subset(old.permitted);
    if (other_ids || gains) && unsafe_to_gain {
        if !old.has_own(Cap::SETUID) || old.no_new_privs {
            (new.euid, new.egid) = (new.uid, new.gid);
        }
        new.permitted = new.permitted.intersection(old.permitted);
    }
    (new.suid, new.fsuid) = (new.euid, new.euid);
    (new.sgid, new.fsgid) = (new.egid, new.egid);

    if caps.is_some() || other_ids {
        new.ambient = CapSet::EMPTY;
    }
    new.permitted = new.permitted.union(new.ambient);
    new.effective = if effective { new.permitted } else { new.ambient };
    new.securebits.remove(SecureBits::KEEP_CAPS);
    Ok(new)
}

/// The set-user-ID and set-group-ID bits: ignored where the file is not trusted, under
/// `no_new_privs`, and where either of the file's ids has no mapping.
fn set_ids(new: &mut Cred, file: &ExecFile, trusted: bool) {
    let mapped = new.user.find_uid(file.owner).is_some() && new.user.find_gid(file.group).is_some();
    if !trusted || new.no_new_privs || !mapped {
        return;
    }
    if file.setuid {
        new.euid = file.owner;
    }
    if file.setgid {
        new.egid = file.group;
    }
}

/// Says whether `root` is user 0 of `user` or of one above it.
fn is_root_here_or_above(root: Kuid, user: &Arc<UserNs>) -> bool {
    let mut at: &UserNs = user;
    loop {
        if at.find_uid(root) == Some(0) {
            return true;
        }
        match at.parent_ref() {
            Some(parent) => at = parent,
            None => return false,
        }
    }
}
