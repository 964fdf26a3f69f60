//! Credentials: who a task is, what it may do, and the user namespace in which that counts.
//!
//! A credential is never edited: a task's pointer moves to a new one (`struct cred`,
//! `commit_creds`). The user namespace is part of it and not of the `nsproxy`.

use crate::{
    capability::{Cap, CapSet, ns_capable},
    id::{Kgid, Kuid},
    namespace::user::UserNs,
    sync::Arc,
    task::Task,
};
use core::fmt;

bitflags::bitflags! {
    /// The securebits (capabilities(7)): how far user 0 is special. Each has a lock beside it.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct SecureBits: u32 {
        /// execve(2) gives user 0 no capabilities.
        const NOROOT = 1 << 0;
        /// `NOROOT` is locked.
        const NOROOT_LOCKED = 1 << 1;
        /// Changing user ids leaves the capability sets alone.
        const NO_SETUID_FIXUP = 1 << 2;
        /// `NO_SETUID_FIXUP` is locked.
        const NO_SETUID_FIXUP_LOCKED = 1 << 3;
        /// Ceasing to be user 0 keeps the permitted set. Cleared by execve(2).
        const KEEP_CAPS = 1 << 4;
        /// `KEEP_CAPS` is locked.
        const KEEP_CAPS_LOCKED = 1 << 5;
        /// The ambient set cannot grow.
        const NO_CAP_AMBIENT_RAISE = 1 << 6;
        /// `NO_CAP_AMBIENT_RAISE` is locked.
        const NO_CAP_AMBIENT_RAISE_LOCKED = 1 << 7;
        /// Interpreters should execute only what execve(2) would.
        const EXEC_RESTRICT_FILE = 1 << 8;
        /// `EXEC_RESTRICT_FILE` is locked.
        const EXEC_RESTRICT_FILE_LOCKED = 1 << 9;
        /// Interpreters should refuse interactive input.
        const EXEC_DENY_INTERACTIVE = 1 << 10;
        /// `EXEC_DENY_INTERACTIVE` is locked.
        const EXEC_DENY_INTERACTIVE_LOCKED = 1 << 11;
    }
}

impl SecureBits {
    /// Every lock bit: each guards the bit below it.
    pub const LOCKS: SecureBits = SecureBits::NOROOT_LOCKED
        .union(SecureBits::NO_SETUID_FIXUP_LOCKED)
        .union(SecureBits::KEEP_CAPS_LOCKED)
        .union(SecureBits::NO_CAP_AMBIENT_RAISE_LOCKED)
        .union(SecureBits::EXEC_RESTRICT_FILE_LOCKED)
        .union(SecureBits::EXEC_DENY_INTERACTIVE_LOCKED);

    /// The bits, locks included, that anybody may change.
    pub const UNPRIVILEGED: SecureBits = SecureBits::EXEC_RESTRICT_FILE
        .union(SecureBits::EXEC_RESTRICT_FILE_LOCKED)
        .union(SecureBits::EXEC_DENY_INTERACTIVE)
        .union(SecureBits::EXEC_DENY_INTERACTIVE_LOCKED);
}

/// A task's credentials (`struct cred`). Ids are the kernel's, not what the task reads.
#[derive(Clone)]
pub struct Cred {
    /// Real user id.
    pub uid: Kuid,
    /// Effective user id: what permission checks and ownership of new namespaces go by.
    pub euid: Kuid,
    /// Saved user id.
    pub suid: Kuid,
    /// File-system user id.
    pub fsuid: Kuid,
    /// Real group id.
    pub gid: Kgid,
    /// Effective group id.
    pub egid: Kgid,
    /// Saved group id.
    pub sgid: Kgid,
    /// File-system group id.
    pub fsgid: Kgid,
    /// Supplementary groups, sorted, as the kernel keeps them.
    pub groups: alloc::sync::Arc<[Kgid]>,
    /// Capabilities that execve(2) may pass on through a file's inheritable set.
    pub inheritable: CapSet,
    /// Capabilities that may be made effective.
    pub permitted: CapSet,
    /// Capabilities in use.
    pub effective: CapSet,
    /// What execve(2) may give at most.
    pub bounding: CapSet,
    /// Capabilities that execve(2) passes to programs without any of their own.
    pub ambient: CapSet,
    /// How far user 0 is special.
    pub securebits: SecureBits,
    /// execve(2) gives nothing the task does not have. (The kernel keeps it in the task.)
    pub no_new_privs: bool,
    /// The user namespace in which all of this counts.
    pub user: Arc<UserNs>,
}

impl Cred {
    /// The credentials of an initial user namespace's root: every id 0, every capability.
    pub fn root(user: &Arc<UserNs>) -> Cred {
        let caps = CapSet::FULL;
        Cred { permitted: caps, effective: caps, ..Cred::user(user, Kuid::ROOT, Kgid::ROOT) }
    }

    /// The credentials of an ordinary user: its ids, no capability, a full bounding set.
    pub fn user(user: &Arc<UserNs>, uid: Kuid, gid: Kgid) -> Cred {
        Cred {
            uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
            groups: alloc::sync::Arc::from([]),
            inheritable: CapSet::EMPTY,
            permitted: CapSet::EMPTY,
            effective: CapSet::EMPTY,
            bounding: CapSet::FULL,
            ambient: CapSet::EMPTY,
            securebits: SecureBits::empty(),
            no_new_privs: false,
            user: Arc::clone(user),
        }
    }

    /// Says whether it holds `cap` in `ns`: [`ns_capable`].
    pub fn has(&self, ns: &UserNs, cap: Cap) -> bool {
        ns_capable(self, ns, cap)
    }

    /// Says whether it holds `cap` in its own user namespace.
    pub(crate) fn has_own(&self, cap: Cap) -> bool {
        self.effective.has(cap)
    }

    /// Says whether `gid` is the file-system group or a supplementary one.
    pub fn in_group(&self, gid: Kgid) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }

    /// The same person in another user namespace, as made or joined: every capability there is,
    /// nothing inherited, nothing locked. Ids and `no_new_privs` stay.
    pub(crate) fn moved_to(&self, user: Arc<UserNs>) -> Cred {
        Cred {
            inheritable: CapSet::EMPTY,
            permitted: CapSet::FULL,
            effective: CapSet::FULL,
            bounding: CapSet::FULL,
            ambient: CapSet::EMPTY,
            securebits: SecureBits::empty(),
            user,
            ..self.clone()
        }
    }

    /// Says whether `new` can do nothing that `self` could not.
    fn covers(&self, new: &Cred) -> bool {
        if *self.user == *new.user {
            return new.permitted.is_subset(self.permitted);
        }
        // A user namespace of one's own making, and all below it, gives nothing new.
        let mut at: &UserNs = &new.user;
        while let Some(parent) = at.parent_ref() {
            if **parent == *self.user && at.owner().0 == self.euid {
                return true;
            }
            at = parent;
        }
        false
    }

    /// Says whether going from `self` to `new` makes the memory image non-dumpable and cancels
    /// the parent-death signal, as `commit_creds` does.
    pub fn change_hides_memory(&self, new: &Cred) -> bool {
        self.euid != new.euid
            || self.egid != new.egid
            || self.fsuid != new.fsuid
            || self.fsgid != new.fsgid
            || !self.covers(new)
    }
}

impl PartialEq for Cred {
    fn eq(&self, other: &Cred) -> bool {
        *self.user == *other.user
            && (self.uid, self.euid, self.suid, self.fsuid)
                == (other.uid, other.euid, other.suid, other.fsuid)
            && (self.gid, self.egid, self.sgid, self.fsgid)
                == (other.gid, other.egid, other.sgid, other.fsgid)
            && self.groups == other.groups
            && (self.inheritable, self.permitted, self.effective)
                == (other.inheritable, other.permitted, other.effective)
            && (self.bounding, self.ambient) == (other.bounding, other.ambient)
            && (self.securebits, self.no_new_privs) == (other.securebits, other.no_new_privs)
    }
}

impl fmt::Debug for Cred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cred")
            .field("uids", &[self.uid.0, self.euid.0, self.suid.0, self.fsuid.0])
            .field("gids", &[self.gid.0, self.egid.0, self.sgid.0, self.fsgid.0])
            .field("groups", &self.groups)
            .field("inheritable", &self.inheritable)
            .field("permitted", &self.permitted)
            .field("effective", &self.effective)
            .field("bounding", &self.bounding)
            .field("ambient", &self.ambient)
            .field("securebits", &self.securebits)
            .field("no_new_privs", &self.no_new_privs)
            .field("user", &self.user)
            .finish()
    }
}

/// Makes `new` the credentials of `task` (`commit_creds`). The caller holds the change lock.
pub(crate) fn commit(task: &Task, new: Cred) {
    let hides = task.with_cred(|old| old.change_hides_memory(&new));
    if hides {
        task.set_dumpable(false);
    }
    drop(task.assign_cred(Arc::new(new)));
}
