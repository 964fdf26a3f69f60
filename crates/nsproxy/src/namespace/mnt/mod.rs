//! Mount: what is mounted where.
//!
//! State: a tree of mounts for each namespace; rings of peers and lists of slaves that run across
//! namespaces ([`tree`]); root and working directory of every task.
//! Calls: mount, umount2, pivot_root, chroot, chdir, mount_setattr, open_tree, move_mount;
//! `/proc/PID/{mountinfo,mounts}`.
//! Rules: in `rule/table/mnt.rs`.
//! Not here: files. What a directory is and what lies below what is told by [`Files`]; walking a
//! path, with the mounts that are met, is the embedder's, on a [`Table`] that needs no lock. Nor
//! what a file system does when it is mounted or reconfigured, or whether files are open for
//! writing.
//!
//! Every operation is prepared (it may be refused, and nothing has changed), then committed, which
//! cannot fail. From one to the other it holds the one turn that there is for mounts; another
//! preparation waits. Namespaces that die, and mounts that lose their last user meanwhile, are
//! cleaned up when the turn is given back.

mod attach;
mod attributes;
mod beneath;
mod bind;
mod boot;
mod change;
mod copy;
mod detach;
mod detached;
mod files;
mod flags;
mod idmap;
mod ioctl;
mod lock;
mod modify;
mod mount;
mod peers;
mod pivot;
mod place;
mod places;
mod remove;
mod reveal;
mod set_group;
mod setattr;
mod shift;
mod slots;
mod status;
mod table;
mod text;
mod tree;
mod umount;

pub use beneath::Onto;
pub use change::MountChange;
pub use detached::{DetachedTree, OpenTree, open_tree, open_tree_flags};
pub use files::{Dentry, Files, Super};
pub use flags::{MountFlags, MsFlags, Propagation, UmountFlags};
pub use idmap::IdmapFile;
pub use ioctl::{MountsInfo, ioctl_mnt_id, ioctl_mnt_info, ioctl_mnt_neighbour};
pub use mount::{FsType, MountMode, Mounter, Scope, begin_mount};
pub use place::Place;
pub use places::chroot;
pub use remove::{Removal, prepare_remove};
pub use setattr::{MountAttr, setattr_flags};
pub use status::{MountList, MountStatus, mount_list, mount_status};
pub use table::{Mounted, Table};
pub use text::{mountinfo, mounts};
pub use tree::MountId;
pub use umount::{prepare_umount, umount_flags};

pub(crate) use lock::Mounts;
pub(crate) use places::{Everybody, Places};

use super::{Draft, Identity, Maker, Namespace, Number};
use crate::{
    KernelVersion, Kind,
    capability::Cap,
    namespace::user::UserNs,
    rcu::Published,
    rule::{Refusal, Refuse, Rule, Value},
    sync::{Arc, Weak},
};
use alloc::sync::Arc as StdArc;
use copy::{Kinship, Without};
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use lock::{MountTurn, reap};
use tree::{MountId as Id, NsKey, Space, Tree};

/// The file system that a system begins with, before anything is mounted.
const ROOTFS: u64 = 0;

/// A mount namespace (`struct mnt_namespace`).
pub struct MntNs {
    /// Rises with every change of its mounts.
    generation: StdArc<AtomicU64>,
    /// The table of its mounts, as of some generation.
    table: Published<Table>,
    identity: Identity,
}

impl MntNs {
    pub(crate) fn initial(user: &Arc<UserNs>) -> Arc<MntNs> {
        let identity = Identity::initial(user, Kind::Mnt);
        let root = Dentry { super_id: ROOTFS, id: 0 };
        let sb = StdArc::new(Super::new(ROOTFS, "rootfs", (0, 1), user));
        let source: StdArc<[u8]> = StdArc::from(&b"rootfs"[..]);
        MntNs::settle(identity, |tree| tree.create(&sb, root, &source, MountFlags::empty()))
    }

    /// A namespace around the tree of mounts that `build` makes.
    fn settle(identity: Identity, build: impl FnOnce(&mut Tree) -> Id) -> Arc<MntNs> {
        let key = identity.id();
        let generation = StdArc::new(AtomicU64::new(0));
        identity.kernel().mounts.with(|tree| {
            let root = build(tree);
            tree.found(key, root, identity.owner(), &generation);
        });
        // Many a namespace goes without anybody having looked at all of it.
        let table = Published::new(Arc::new(Table::of_nothing()));
        let new = Arc::new(MntNs { generation, table, identity });
        new.mounts().with(|tree| {
            if let Some(space) = tree.spaces.get_mut(&key) {
                space.namespace = Weak::of(&new);
            }
        });
        new
    }

    /// Its inode number.
    pub fn inode(&self) -> u32 {
        self.identity.inode()
    }

    /// The user namespace that owns it.
    pub fn owner(&self) -> Arc<UserNs> {
        Arc::clone(self.identity.owner())
    }

    /// Its mounts now: a table that never changes. Takes no lock, unless it is the first to ask
    /// after a change.
    pub fn table(&self) -> Arc<Table> {
        let now = self.generation.load(Ordering::Acquire);
        let known = self.table.read();
        if known.generation() == now {
            return known;
        }
        let new = Arc::new(self.mounts().with(|tree| tree.table(self.key())));
        drop(self.table.assign(Arc::clone(&new)));
        new
    }

    /// How often its mounts have changed: a [`Table`] with this number is the present one.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// How many mounts it holds.
    pub fn mount_count(&self) -> usize {
        self.mounts().with(|tree| tree.spaces.get(&self.key()).map_or(0, |space| space.count))
    }

    /// Its root directory, with everything mounted over it: where a task that joins it begins.
    pub fn root(&self) -> Option<Place> {
        let hold = self.mounts().with(|tree| {
            let root = tree.spaces.get(&self.key())?.root;
            let top = tree.get(tree.top(root));
            Some((StdArc::clone(&top.hold), top.root))
        });
        hold.map(|(hold, dentry)| Place::new(self.identity.kernel(), &hold, dentry))
    }

    fn key(&self) -> NsKey {
        self.identity.id()
    }

    fn mounts(&self) -> &Mounts {
        &self.identity.kernel().mounts
    }

    /// Refuses those who may not change what is mounted.
    fn needs_admin(&self, by: &crate::Cred) -> Result<(), Refusal> {
        if by.has(self.identity.owner(), Cap::SYS_ADMIN) {
            return Ok(());
        }
        let owner = Value::Namespace(Kind::User, self.identity.owner().inode());
        Err(Rule::MountNeedsAdmin.refuse().with("owner", owner))
    }
}

impl Tree {
    /// Makes a tree of mounts a namespace.
    fn found(&mut self, key: NsKey, root: Id, owner: &Arc<UserNs>, generation: &StdArc<AtomicU64>) {
        let (owner, generation) = (Arc::clone(owner), StdArc::clone(generation));
        let namespace = Weak::new();
        let space =
            Space { root, count: 0, owner, namespace, origin: None, generation, charge: None };
        self.spaces.insert(key, space);
        self.enter(root, key);
    }
}

impl Namespace for MntNs {
    const KIND: Kind = Kind::Mnt;

    fn number(&self) -> &Number {
        self.identity.number()
    }

    fn belongs_to(&self) -> Option<&Arc<UserNs>> {
        Some(self.identity.owner())
    }

    /// Copies the whole tree. The copy takes part in propagation from now on, though nobody is in
    /// it: what is mounted meanwhile will be there.
    fn copy(old: &Arc<MntNs>, maker: &Maker<'_>) -> Result<Arc<MntNs>, Refusal> {
        let identity = Identity::new(maker, &**old)?;
        let turn = MountTurn::take(maker.kernel);
        let foreign = **old.identity.owner() != **maker.owner;
        let kinship = if foreign { Kinship::Slave } else { Kinship::Same };
        // 6.17 moved the mark of unbindable mounts to where copies do not get it.
        let keep = !maker.kernel.config.version.since(KernelVersion::new(6, 17));
        let without = Without { unbindable: false, namespaces: true };
        let new = MntNs::settle(identity, |tree| {
            let root = tree.spaces.get(&old.key()).map_or(Id(0), |space| space.root);
            let originals = tree.copied(None, root, tree.get(root).root, without);
            let copies = tree.copy_tree(&originals, tree.get(root).root, kinship, keep);
            if foreign {
                tree.lock_tree(copies[0]);
            }
            if let Some(places) = maker.places {
                places.follow(|id| {
                    let place = originals.iter().position(|(original, _)| *original == id)?;
                    Some(StdArc::clone(&tree.get(copies[place]).hold))
                });
            }
            copies[0]
        });
        drop(turn);
        Ok(new)
    }

    fn install(this: &Arc<MntNs>, draft: &mut Draft<'_>) -> Result<(), Refusal> {
        draft.joiner_is_admin(this.identity.owner())?;
        if !draft.by.has(draft.user(), Cap::SYS_CHROOT) {
            let own = Value::Namespace(Kind::User, draft.user().inode());
            return Err(Rule::JoinMntNeedsChroot.refuse().with("in", own));
        }
        let sharers = draft.left_behind(|shares| &shares.fs);
        if sharers > 0 && !draft.directories_copied {
            return Err(Rule::JoinMntSharesRoot.refuse().with("sharers", sharers));
        }
        draft.places = this.root().map(|root| Places::new(root.clone(), root));
        draft.proxy.mnt = Arc::clone(this);
        Ok(())
    }
}

impl Drop for MntNs {
    /// The whole tree is detached, without telling peers in other namespaces.
    fn drop(&mut self) {
        self.mounts().note_dead(Some(self.key()));
        reap(self.identity.kernel());
    }
}

impl fmt::Debug for MntNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MntNs")
            .field("inode", &self.inode())
            .field("owner", &self.identity.owner().inode())
            .field("mounts", &self.mount_count())
            .finish()
    }
}
