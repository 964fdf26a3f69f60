//! User: who is who. Ids, and the capabilities that count among them.
//!
//! State: three maps (uids, gids, project ids), each written once; whether setgroups(2) is
//! allowed; owner, parent and level; limits and counts.
//! Calls: everything that takes or shows an id; `/proc/PID/{uid_map,gid_map,projid_map,setgroups}`.
//! Rules: `User*`, `JoinUser*`, `Map*`, `SetgroupsFile*`, `SetgroupsAllowTooLate`,
//! `SetgroupsDenyTooLate`.
//! Not here: the calls that change ids and capabilities ([`crate::creds`]); the ceilings for
//! processes, queues, signals and locked memory, which are the host's.

mod map;
mod parse;
mod setgroups;

pub use map::{MapKind, Range, read_map, write_map};
pub use setgroups::{open_setgroups_for_write, read_setgroups, write_setgroups};

pub(crate) use map::IdMap;
pub(crate) use parse::is_blank;

use super::{Draft, Maker, Namespace, Number};
use crate::{
    KernelVersion, Kind,
    capability::Cap,
    id::{Kgid, Kuid},
    limits::{Charge, Counts, UNLIMITED},
    rcu::Published,
    rule::{Refusal, Refuse, Rule, Value},
    sync::{Arc, Mutex},
    system::Kernel,
    task::Task,
};
use core::fmt;

/// The deepest level below the initial user namespace at which one can be made.
const LEVEL_MAX: u32 = 33;

/// What can still change in a user namespace, published whole.
#[derive(Clone)]
pub(crate) struct Mappings {
    pub(crate) uid: IdMap,
    pub(crate) gid: IdMap,
    pub(crate) projid: IdMap,
    pub(crate) setgroups: bool,
}

/// A user namespace (`struct user_namespace`).
pub struct UserNs {
    mappings: Published<Mappings>,
    /// Held while a map or setgroups is being written.
    writing: Mutex<()>,
    counts: Counts,
    level: u32,
    owner: (Kuid, Kgid),
    /// The maker had CAP_SETFCAP in its effective set: it may map user 0 from inside.
    maker_had_setfcap: bool,
    /// Charged to the parent, and so keeps it alive. `None` for the initial one.
    charge: Option<Charge>,
    number: Number,
    kernel: Arc<Kernel>,
}

impl UserNs {
    pub(crate) fn initial(kernel: &Arc<Kernel>) -> Arc<UserNs> {
        let all = IdMap::identity();
        let maps = Mappings { uid: all.clone(), gid: all.clone(), projid: all, setgroups: true };
        Arc::new(UserNs {
            mappings: Published::new(Arc::new(maps)),
            writing: Mutex::new(()),
            counts: Counts::new(kernel.config.max_namespaces),
            level: 0,
            owner: (Kuid::ROOT, Kgid::ROOT),
            maker_had_setfcap: false,
            charge: None,
            number: Number::initial(kernel, Kind::User),
            kernel: Arc::clone(kernel),
        })
    }

    /// Its inode number.
    pub fn inode(&self) -> u32 {
        self.number.inode()
    }

    /// The user namespace above it; `None` for the initial one.
    pub fn parent(&self) -> Option<Arc<UserNs>> {
        self.parent_ref().cloned()
    }

    /// What it costs its maker; nothing for the initial one.
    pub(crate) fn charge(&self) -> Option<&Charge> {
        self.charge.as_ref()
    }

    pub(crate) fn parent_ref(&self) -> Option<&Arc<UserNs>> {
        self.charge.as_ref().map(Charge::user)
    }

    /// The effective user and group of its maker.
    pub fn owner(&self) -> (Kuid, Kgid) {
        self.owner
    }

    /// How many levels it is below the initial one.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// Says whether it is the initial one.
    pub fn is_initial(&self) -> bool {
        self.charge.is_none()
    }

    /// Says whether it is `other` or anywhere below it.
    pub fn is_within(&self, other: &UserNs) -> bool {
        let mut at = self;
        loop {
            if *at == *other {
                return true;
            }
            match at.parent_ref() {
                Some(parent) if at.level > other.level => at = parent,
                _ => return false,
            }
        }
    }

    /// What `uid` reads as in here, if it is mapped.
    pub fn find_uid(&self, uid: Kuid) -> Option<u32> {
        self.mappings.with(|maps| maps.uid.inside_of(uid.0))
    }

    /// What `gid` reads as in here, if it is mapped.
    pub fn find_gid(&self, gid: Kgid) -> Option<u32> {
        self.mappings.with(|maps| maps.gid.inside_of(gid.0))
    }

    /// What `uid` reads as in here: the overflow uid (65534) if it is not mapped.
    pub fn uid_in(&self, uid: Kuid) -> u32 {
        self.find_uid(uid).unwrap_or(self.kernel.config.overflow_uid)
    }

    /// What `gid` reads as in here: the overflow gid (65534) if it is not mapped.
    pub fn gid_in(&self, gid: Kgid) -> u32 {
        self.find_gid(gid).unwrap_or(self.kernel.config.overflow_gid)
    }

    /// Which user `uid` means in here.
    pub fn map_uid(&self, uid: u32) -> Option<Kuid> {
        self.mappings.with(|maps| maps.uid.outside_of(uid)).map(Kuid)
    }

    /// Which group `gid` means in here.
    pub fn map_gid(&self, gid: u32) -> Option<Kgid> {
        self.mappings.with(|maps| maps.gid.outside_of(gid)).map(Kgid)
    }

    /// Says whether setgroups(2) can succeed in here at all: a group map is set, and the
    /// `setgroups` file does not say deny.
    pub fn may_setgroups(&self) -> bool {
        self.mappings.with(|maps| maps.setgroups && !maps.gid.is_empty())
    }

    /// Says whether the kernel that is modelled is this version or a later one.
    pub(crate) fn kernel_since(&self, major: u16, minor: u16) -> bool {
        self.kernel.config.version.since(KernelVersion::new(major, minor))
    }

    pub(crate) fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Looks at its maps and setgroups as they are now.
    pub(crate) fn with_mappings<R>(&self, look: impl FnOnce(&Mappings) -> R) -> R {
        self.mappings.with(look)
    }

    /// Replaces its maps and setgroups by what `change` makes of them; one change at a time.
    pub(crate) fn change_mappings<R>(
        &self,
        change: impl FnOnce(&mut Mappings) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let writing = self.writing.lock();
        let mut new = self.mappings.with(Mappings::clone);
        let result = change(&mut new)?;
        let old = self.mappings.assign(Arc::new(new));
        drop(writing);
        drop(old);
        Ok(result)
    }
}

impl Namespace for UserNs {
    const KIND: Kind = Kind::User;

    fn number(&self) -> &Number {
        &self.number
    }

    fn belongs_to(&self) -> Option<&Arc<UserNs>> {
        self.parent_ref()
    }

    fn above(&self, by: &Task) -> Result<Option<Arc<UserNs>>, Refusal> {
        let own = by.user_ns();
        Ok(self.parent().filter(|parent| parent.is_within(&own)))
    }

    /// Makes a child of `parent` (`create_user_ns`). The checks stand in the kernel's order.
    fn copy(parent: &Arc<UserNs>, maker: &Maker<'_>) -> Result<Arc<UserNs>, Refusal> {
        let by = maker.cred;
        if parent.level >= LEVEL_MAX {
            return Err(Rule::UserNestedTooDeep.refuse().with("level", parent.level + 1));
        }
        let charge = Charge::take(parent, by.euid, Kind::User, parent.inode())?;
        if maker.task.chrooted() {
            return Err(Rule::UserRootChanged.refuse());
        }
        if parent.find_uid(by.euid).is_none() || parent.find_gid(by.egid).is_none() {
            return Err(Rule::UserIdsUnmapped
                .refuse()
                .with("user", by.euid)
                .with("group", by.egid));
        }
        let setgroups = parent.with_mappings(|maps| maps.setgroups);
        let none = IdMap::default();
        let maps = Mappings { uid: none.clone(), gid: none.clone(), projid: none, setgroups };
        Ok(Arc::new(UserNs {
            mappings: Published::new(Arc::new(maps)),
            writing: Mutex::new(()),
            counts: Counts::new(UNLIMITED),
            level: parent.level + 1,
            owner: (by.euid, by.egid),
            maker_had_setfcap: by.effective.has(Cap::SETFCAP),
            charge: Some(charge),
            number: Number::take(maker.kernel, Kind::User, parent, parent.inode()),
            kernel: Arc::clone(maker.kernel),
        }))
    }

    fn install(this: &Arc<UserNs>, draft: &mut Draft<'_>) -> Result<(), Refusal> {
        let inode = Value::Namespace(Kind::User, this.inode());
        if **this == *draft.own.user {
            return Err(Rule::JoinUserOwn.refuse().with("target", inode));
        }
        let threads = draft.task.thread_count();
        if threads > 1 && !draft.whole {
            return Err(Rule::JoinUserHasThreads.refuse().with("threads", threads));
        }
        let sharers = draft.left_behind(|shares| &shares.fs);
        if sharers > 0 {
            return Err(Rule::JoinUserSharesRoot.refuse().with("sharers", sharers));
        }
        if !draft.by.has(this, Cap::SYS_ADMIN) {
            return Err(Rule::JoinUserNeedsAdmin.refuse().with("target", inode));
        }
        draft.cred = Some(draft.own.moved_to(Arc::clone(this)));
        Ok(())
    }
}

impl Drop for UserNs {
    fn drop(&mut self) {
        self.number.give_back(&self.kernel);
    }
}

/// The same object, not equal contents.
impl PartialEq for UserNs {
    fn eq(&self, other: &UserNs) -> bool {
        core::ptr::eq(self, other)
    }
}

impl Eq for UserNs {}

impl fmt::Debug for UserNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserNs({}, level {}, of {})", self.inode(), self.level, self.owner.0)
    }
}
