//! Id maps of mounts (mount_setattr(2), `MOUNT_ATTR_IDMAP`): files seen through the mount belong to
//! others than on their file system.
//!
//! The maps are a user namespace's, taken when they are given: the namespace itself is not kept
//! alive. A mount gets them while nobody can have seen it, and then keeps them; so do its copies.

use super::{
    Mounter, Place,
    tree::{Mount, MountId, Tree},
};
use crate::{
    AnyNamespace, Kgid, Kind, Kuid,
    capability::Cap,
    namespace::user::{IdMap, UserNs},
    rule::{Refusal, Refuse, Rule, Value},
    sync::Arc,
};
use alloc::sync::Arc as StdArc;

/// `MOUNT_ATTR_IDMAP`.
pub(super) const IDMAP: u64 = 0x10_0000;

/// What a descriptor is that names the user namespace whose maps a mount is to have.
#[derive(Clone, Debug)]
pub enum IdmapFile {
    /// One of a namespace, of whatever type.
    Namespace(AnyNamespace),
    /// It is not open, or was opened for its path only.
    Closed,
    /// One of something else.
    Other,
}

/// The maps of a mount.
pub(super) struct Idmap {
    uid: IdMap,
    gid: IdMap,
}

/// A user namespace whose maps a mount is to have. They are written, and so will not change.
#[derive(Clone, Debug)]
pub(super) struct Asked(Arc<UserNs>);

impl PartialEq for Asked {
    fn eq(&self, other: &Asked) -> bool {
        *self.0 == *other.0 // loom's references cannot be compared
    }
}

impl Eq for Asked {}

impl Asked {
    pub(super) fn maps(&self) -> StdArc<Idmap> {
        let (uid, gid) = self.0.with_mappings(|maps| (maps.uid.clone(), maps.gid.clone()));
        StdArc::new(Idmap { uid, gid })
    }
}

impl Mounter {
    /// Checks the user namespace that attributes name by the descriptor `fd`.
    pub(super) fn idmap_asked(
        &self,
        fd: u64,
        file: impl FnOnce(i32) -> IdmapFile,
    ) -> Result<Asked, Refusal> {
        let Ok(number) = i32::try_from(fd) else {
            return Err(Rule::IdmapDescriptorRange.refuse().with("descriptor", fd));
        };
        let user = match file(number) {
            IdmapFile::Namespace(AnyNamespace::User(user)) => user,
            IdmapFile::Closed => return Err(Rule::IdmapDescriptorClosed.refuse()),
            _ => return Err(Rule::IdmapNotAUserNamespace.refuse()),
        };
        if user.is_initial() {
            return Err(Rule::IdmapOfInitial.refuse());
        }
        if !self.cred.has(&user, Cap::SYS_ADMIN) {
            let named = Value::Namespace(Kind::User, user.inode());
            return Err(Rule::IdmapUserNeedsAdmin.refuse().with("user", named));
        }
        match user.with_mappings(|maps| maps.uid.is_empty() || maps.gid.is_empty()) {
            true => Err(Rule::IdmapUnmapped.refuse()),
            false => Ok(Asked(user)),
        }
    }

    /// Checks that a mount can get maps.
    pub(super) fn may_get_idmap(
        &self,
        tree: &Tree,
        id: MountId,
        asked: &Asked,
    ) -> Result<(), Refusal> {
        let mount = tree.get(id);
        let owner = mount.sb.owner_ref();
        if *asked.0 == *owner {
            return Err(Rule::IdmapOfFileSystem.refuse());
        }
        if mount.idmap.is_some() {
            return Err(Rule::IdmapGivenAlready.refuse());
        }
        if !mount.sb.can_be_idmapped() {
            return Err(Rule::IdmapUnsupported.refuse());
        }
        if !self.cred.has(owner, Cap::SYS_ADMIN) {
            let owner = Value::Namespace(Kind::User, owner.inode());
            return Err(Rule::IdmapNeedsAdmin.refuse().with("owner", owner));
        }
        match tree.is_detached(id) {
            true => Ok(()),
            false => Err(Rule::IdmapOfMounted.refuse()),
        }
    }
}

impl Mount {
    /// Who owns a file as seen through this mount.
    fn owner_seen(&self, uid: Kuid, gid: Kgid) -> (Option<Kuid>, Option<Kgid>) {
        let Some(idmap) = &self.idmap else { return (Some(uid), Some(gid)) };
        let on_disk = self.sb.owner_ref();
        let uid = on_disk.find_uid(uid).and_then(|uid| idmap.uid.outside_of(uid));
        let gid = on_disk.find_gid(gid).and_then(|gid| idmap.gid.outside_of(gid));
        (uid.map(Kuid), gid.map(Kgid))
    }
}

impl Place {
    /// Whom a file seen through the mount belongs to, if it belongs to `uid` and `gid` on its file
    /// system: others than those if the mount has an id map, and nobody if they are not in it.
    pub fn owner_seen(&self, uid: Kuid, gid: Kgid) -> (Option<Kuid>, Option<Kgid>) {
        self.mounts().with(|tree| match tree.mounts.get(&self.mount()) {
            Some(mount) => mount.owner_seen(uid, gid),
            None => (Some(uid), Some(gid)),
        })
    }
}
