//! Cgroup: where the tree of cgroups seems to begin.
//!
//! State: one cgroup of each hierarchy, fixed at creation: where the maker was, or, if it is made
//! for a child that begins in another cgroup, where the child is.
//! Calls: reading `/proc/PID/cgroup` and the roots of cgroup mounts in `/proc/PID/mountinfo`;
//! clone3 with INTO_CGROUP.
//! Rules: `CloneCgroup*`; beyond them those of every type.
//! Not here: who may make, remove and enter cgroups. That goes by the modes of their files, and
//! joining a namespace moves nobody. Cgroups that the kernel does not let processes into
//! (EOPNOTSUPP, EBUSY) are the file system's to refuse.

mod birth;
mod tree;

pub use birth::CgroupTarget;
pub use tree::{Cgroup, Hierarchy};

pub(crate) use tree::Cgroups;

use super::{Draft, Identity, Maker, Namespace, Number};
use crate::{Kind, namespace::user::UserNs, rcu::Published, rule::Refusal, sync::Arc, task::Task};
use alloc::{format, sync::Arc as StdArc, vec::Vec};
use core::fmt;

/// A cgroup namespace (`struct cgroup_namespace`).
pub struct CgroupNs {
    /// Changes only before anybody is in it.
    root: Published<Cgroups>,
    identity: Identity,
}

impl CgroupNs {
    pub(crate) fn initial(user: &Arc<UserNs>) -> Arc<CgroupNs> {
        Arc::new(CgroupNs {
            root: Published::new(Arc::clone(&user.kernel().cgroups)),
            identity: Identity::initial(user, Kind::Cgroup),
        })
    }

    /// Its inode number.
    pub fn inode(&self) -> u32 {
        self.identity.inode()
    }

    /// The user namespace that owns it. Mounting a cgroup file system asks for its capability.
    pub fn owner(&self) -> Arc<UserNs> {
        Arc::clone(self.identity.owner())
    }

    /// Where one hierarchy begins: what a new mount of it shows as its root.
    pub fn root(&self, hierarchy: u32) -> Option<StdArc<Cgroup>> {
        self.root.with(|root| root.of(hierarchy).cloned())
    }

    /// The path of `cgroup` as a task in this namespace reads it: of another task, or of the root
    /// of a mount. What lies outside begins with `/..`.
    ///
    /// ```
    /// use nsproxy::{CloneFlags, Config, Cred, System, unshare};
    ///
    /// let system = System::new(Config::default());
    /// let task = system.adopt(None, Cred::root(&system.init_user()));
    /// let (a, b) = (system.cgroup_root(0).unwrap().make(b"a"), system.cgroup_root(0).unwrap().make(b"b"));
    /// task.set_cgroup(&a);
    /// unshare(&task, CloneFlags::NEWCGROUP)?;
    /// assert_eq!(task.nsproxy().unwrap().cgroup.path(&a), b"/");
    /// assert_eq!(task.nsproxy().unwrap().cgroup.path(&b), b"/../b");
    /// assert_eq!(system.init_nsproxy().cgroup.path(&b), b"/b");
    /// # Ok::<(), nsproxy::Refusal>(())
    /// ```
    pub fn path(&self, cgroup: &Cgroup) -> Vec<u8> {
        self.root.with(|root| match root.of(cgroup.hierarchy().id) {
            Some(root) => cgroup.path_from(root),
            None => Vec::from(b"/"),
        })
    }

    /// Lets it begin elsewhere, before anybody is in it.
    fn begin_at(&self, root: Arc<Cgroups>) {
        drop(self.root.assign(root));
    }
}

impl Namespace for CgroupNs {
    const KIND: Kind = Kind::Cgroup;

    fn number(&self) -> &Number {
        self.identity.number()
    }

    fn belongs_to(&self) -> Option<&Arc<UserNs>> {
        Some(self.identity.owner())
    }

    fn copy(old: &Arc<CgroupNs>, maker: &Maker<'_>) -> Result<Arc<CgroupNs>, Refusal> {
        let identity = Identity::new(maker, &**old)?;
        Ok(Arc::new(CgroupNs { root: Published::new(maker.task.cgroups()), identity }))
    }

    fn install(this: &Arc<CgroupNs>, draft: &mut Draft<'_>) -> Result<(), Refusal> {
        draft.joiner_is_admin(this.identity.owner())?;
        draft.proxy.cgroup = Arc::clone(this);
        Ok(())
    }
}

/// The text that reading `/proc/PID/cgroup` of `of` gives to a reader in `seen_from`: a line for
/// each hierarchy, in the order of [`Config::hierarchies`](crate::Config::hierarchies).
pub fn read_cgroups(of: &Task, seen_from: &CgroupNs) -> Vec<u8> {
    let mut text = Vec::new();
    for cgroup in of.cgroups().iter() {
        let hierarchy = cgroup.hierarchy();
        text.extend_from_slice(format!("{}:{}:", hierarchy.id, hierarchy.controllers).as_bytes());
        match hierarchy.is_unified() {
            true => text.append(&mut seen_from.path(cgroup)),
            // Version 1 lets go of a task when it exits.
            false if of.has_exited() => text.push(b'/'),
            false => text.append(&mut seen_from.path(cgroup)),
        }
        if hierarchy.is_unified() && cgroup.is_removed() {
            text.extend_from_slice(b" (deleted)");
        }
        text.push(b'\n');
    }
    text
}

impl fmt::Debug for CgroupNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CgroupNs")
            .field("inode", &self.inode())
            .field("owner", &self.identity.owner().inode())
            .field("root", &self.root.read())
            .finish()
    }
}
