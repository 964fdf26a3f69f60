//! Pid: who is called by which number, and who can be called at all.
//!
//! State: the numbers in use, the last one given out, `pid_max`, the init; and for the whole system
//! the processes: who descends from whom, groups, sessions, zombies.
//! Calls: clone, fork, vfork, unshare, setns, exit, wait, kill and everything else that takes or
//! gives a process number; setsid, setpgid; `PR_SET_CHILD_SUBREAPER`;
//! `/proc/sys/kernel/{pid_max,ns_last_pid}`, `/proc/sys/vm/memfd_noexec`; the numbers in `/proc/PID/status`.
//! Rules: `Pid*`, `JoinPid*`, `CloneSetTid*`, `CloneNumbersUsedUp`, `CloneNamespaceDead`,
//! `CloneSiblingOfInit`, `CloneThreadPidElsewhere`, `Memfd*`, `Signal*`, `Group*`, `Session*`, `Wait*`.
//! Not here: whether a signal is blocked or handled, stops and continues, terminals, tracers;
//! reboot(2).
//!
//! A task has one number in its own namespace and one in each above, up to the initial one. Its
//! namespace is the one it was born in and never changes; what unshare(2) and setns(2) change is
//! where its *children* will be born.

mod family;
mod groups;
mod ioctl;
mod member;
mod memfd;
mod numbers;
mod reboot;
mod signal;
mod sysctl;
mod tree;
mod wait;

pub use family::Status;
pub use groups::{getpgid, getsid, setpgid, setsid};
pub use ioctl::{ioctl_number_here, ioctl_number_there};
pub use memfd::{may_create_memfd, may_write_memfd_noexec, read_memfd_noexec, set_memfd_noexec};
pub use reboot::{Reboot, reboot};
pub use signal::{Disposition, is_discarded, kill_targets, sender_number};
pub use sysctl::{may_write_pid_max, read_last_pid, read_pid_max, set_last_pid, set_pid_max};
pub use wait::{WaitFor, WaitKind, Waited, wait};

pub(crate) use family::Family;
pub(crate) use member::{Member, adopt, conceive};

use super::{Draft, Identity, Kind, Maker, Namespace, Number};
use crate::{
    KernelVersion,
    namespace::user::UserNs,
    rule::{Refusal, Refuse, Rule, Value},
    sync::{Arc, AtomicU32},
    system::Kernel,
    task::Task,
};
use alloc::sync::Arc as StdArc;
use core::fmt;
use family::SpaceKey;

/// The deepest level below the initial pid namespace at which one can be made.
const LEVEL_MAX: u32 = 32;

/// A pid namespace (`struct pid_namespace`).
pub struct PidNs {
    parent: Option<Arc<PidNs>>,
    level: u32,
    /// Its books, which lie with everybody's under the family's lock.
    space: SpaceKey,
    initial_space: SpaceKey,
    memfd_noexec: AtomicU32,
    identity: Identity,
}

impl PidNs {
    pub(crate) fn initial(user: &Arc<UserNs>) -> Arc<PidNs> {
        let kernel = user.kernel();
        let space = kernel.family.lock().open(kernel.config.pid_max, true);
        Arc::new(PidNs {
            parent: None,
            level: 0,
            space,
            initial_space: space,
            memfd_noexec: AtomicU32::new(0),
            identity: Identity::initial(user, Kind::Pid),
        })
    }

    /// Its inode number.
    pub fn inode(&self) -> u32 {
        self.identity.inode()
    }

    /// The user namespace that owns it.
    pub fn owner(&self) -> Arc<UserNs> {
        Arc::clone(self.identity.owner())
    }

    /// The pid namespace above it; `None` for the initial one.
    pub fn parent(&self) -> Option<Arc<PidNs>> {
        self.parent.clone()
    }

    /// How many levels it is below the initial one.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// Says whether it is the initial one.
    pub fn is_initial(&self) -> bool {
        self.parent.is_none()
    }

    /// Says whether it is `other` or anywhere below it.
    pub fn is_within(&self, other: &PidNs) -> bool {
        let mut at = self;
        loop {
            if *at == *other {
                return true;
            }
            match &at.parent {
                Some(parent) if at.level > other.level => at = parent,
                _ => return false,
            }
        }
    }

    /// Says whether it has, or had, an init. Before that `/proc/PID/ns/pid_for_children` is not
    /// there, and only number 1 can be chosen in it.
    pub fn has_init(&self) -> bool {
        let family = self.identity.kernel().family.lock();
        self.is_initial() || family.spaces.get(self.space).is_some_and(|space| space.init.is_some())
    }

    /// Says whether its init has ended: nobody can be born in it any more.
    pub fn is_dead(&self) -> bool {
        let family = self.identity.kernel().family.lock();
        family.spaces.get(self.space).is_none_or(|space| space.closed)
    }

    /// The task of a number in it: a thread, or a process that has not been reaped.
    pub fn find(&self, number: u32) -> Option<StdArc<Task>> {
        let family = self.identity.kernel().family.lock();
        family.find(self.space, number)?.task.upgrade()
    }

    /// Tells the model that the birth of its init failed when number 1 had been taken, where numbers
    /// are [`Numbers::Given`](crate::Numbers): nobody can be born in it any more.
    pub fn spoil(&self) {
        let mut family = self.identity.kernel().family.lock();
        if let Some(space) = family.spaces.get_mut(self.space).filter(|it| it.init.is_none())
            && !self.is_initial()
        {
            space.closed = true;
        }
    }

    /// Says whether anything is called by a number in it: a task, or a group or session that has
    /// outlived its leader.
    pub fn is_taken(&self, number: u32) -> bool {
        let family = self.identity.kernel().family.lock();
        family.find(self.space, number).is_some()
    }

    fn kernel(&self) -> &Arc<Kernel> {
        self.identity.kernel()
    }

    fn parent_ref(&self) -> Option<&Arc<PidNs>> {
        self.parent.as_ref()
    }

    fn owner_ref(&self) -> &UserNs {
        self.identity.owner()
    }

    fn space(&self) -> SpaceKey {
        self.space
    }

    fn initial_space(&self) -> SpaceKey {
        self.initial_space
    }

    /// Says whether every namespace has a limit of its own on this kernel.
    fn has_own_max(&self) -> bool {
        self.kernel().config.version.since(KernelVersion::new(6, 14))
    }

    fn value(&self) -> Value {
        Value::Namespace(Kind::Pid, self.inode())
    }
}

impl Namespace for PidNs {
    const KIND: Kind = Kind::Pid;

    fn number(&self) -> &Number {
        self.identity.number()
    }

    fn belongs_to(&self) -> Option<&Arc<UserNs>> {
        Some(self.identity.owner())
    }

    fn above(&self, by: &Task) -> Result<Option<Arc<PidNs>>, Refusal> {
        let own = by.pid_ns();
        let seen = |parent: &&Arc<PidNs>| own.as_ref().is_some_and(|own| parent.is_within(own));
        Ok(self.parent.as_ref().filter(seen).cloned())
    }

    /// Makes a child of `old` (`create_pid_namespace`). The checks stand in the kernel's order.
    fn copy(old: &Arc<PidNs>, maker: &Maker<'_>) -> Result<Arc<PidNs>, Refusal> {
        if maker.task.pid_ns().is_none_or(|own| *own != **old) {
            return Err(Rule::PidChildrenElsewhere.refuse().with("children in", old.value()));
        }
        if !maker.owner.is_within(old.identity.owner()) {
            return Err(Rule::PidOwnerAbove
                .refuse()
                .with("owner", Value::Namespace(Kind::User, maker.owner.inode()))
                .with(
                    "parent's owner",
                    Value::Namespace(Kind::User, old.identity.owner().inode()),
                ));
        }
        let level = old.level + 1;
        if level > LEVEL_MAX {
            return Err(Rule::PidNestedTooDeep.refuse().with("level", level));
        }
        let identity = Identity::new(maker, &**old)?;
        let space = maker.kernel.family.lock().open(numbers::LIMIT, false);
        Ok(Arc::new(PidNs {
            parent: Some(Arc::clone(old)),
            level,
            space,
            initial_space: old.initial_space,
            memfd_noexec: AtomicU32::new(old.memfd_noexec()),
            identity,
        }))
    }

    fn install(this: &Arc<PidNs>, draft: &mut Draft<'_>) -> Result<(), Refusal> {
        draft.joiner_is_admin(this.identity.owner())?;
        if draft.task.pid_ns().is_none_or(|own| !this.is_within(&own)) {
            return Err(Rule::JoinPidNotBelow.refuse().with("target", this.value()));
        }
        draft.proxy.pid_for_children = Arc::clone(this);
        Ok(())
    }
}

impl Drop for PidNs {
    fn drop(&mut self) {
        let closed = self.identity.kernel().family.lock().spaces.remove(self.space);
        drop(closed);
    }
}

/// The same object, not equal contents.
impl PartialEq for PidNs {
    fn eq(&self, other: &PidNs) -> bool {
        core::ptr::eq(self, other)
    }
}

impl Eq for PidNs {}

impl fmt::Debug for PidNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PidNs({}, level {})", self.inode(), self.level)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::{CloneFlags, Config, Cred, System, exit, unshare};

    #[test]
    fn nothing_is_kept_of_a_namespace_that_has_ended() {
        let system = System::new(Config::default());
        let spaces = || system.kernel().family.lock().spaces.len();
        let before = spaces();
        let task = system.adopt(None, Cred::root(&system.init_user()));
        unshare(&task, CloneFlags::NEWPID).unwrap();
        assert_eq!(spaces(), before + 1);
        exit(&task);
        drop(task);
        assert_eq!(spaces(), before);
    }
}
