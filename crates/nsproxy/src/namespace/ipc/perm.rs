//! Who may do what with a System V object (`struct kern_ipc_perm`, `ipcperms`).

use crate::{
    Kind,
    capability::Cap,
    cred::Cred,
    id::{Kgid, Kuid},
    namespace::user::UserNs,
    rule::{Refusal, Refuse, Rule, Value},
};

/// The bits of an object's mode that say who may read and write it.
const MODE_BITS: u32 = 0o777;
/// Reading, for everybody: what most `*_STAT` commands ask for.
pub(super) const READ: u32 = 0o444;
/// Writing, for everybody.
pub(super) const WRITE: u32 = 0o222;
/// Executing, for everybody: shmat(2) with `SHM_EXEC`.
pub(super) const EXECUTE: u32 = 0o111;

/// Owner, maker and mode of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Perm {
    /// The key it is found by; `IPC_PRIVATE` (0) for none.
    pub key: i32,
    /// The owner: the maker, until `IPC_SET` names another.
    pub uid: Kuid,
    /// The owning group.
    pub gid: Kgid,
    /// The maker.
    pub cuid: Kuid,
    /// The maker's group.
    pub cgid: Kgid,
    /// Nine permission bits.
    pub mode: u32,
}

impl Perm {
    pub(super) fn new(key: i32, flags: i32, maker: &Cred) -> Perm {
        Perm {
            key,
            uid: maker.euid,
            gid: maker.egid,
            cuid: maker.euid,
            cgid: maker.egid,
            mode: flags as u32 & MODE_BITS,
        }
    }

    /// Checks that `cred` may do what `wanted` asks for, in any of its three places.
    ///
    /// `owner` is the user namespace that owns the ipc namespace; only there does `CAP_IPC_OWNER`
    /// help.
    pub(super) fn permits(&self, cred: &Cred, owner: &UserNs, wanted: u32) -> Result<(), Refusal> {
        let wanted = (wanted >> 6 | wanted >> 3 | wanted) & 7;
        let granted = if [self.uid, self.cuid].contains(&cred.euid) {
            self.mode >> 6
        } else if cred.in_group(self.gid) || cred.in_group(self.cgid) {
            self.mode >> 3
        } else {
            self.mode
        };
        if wanted & !granted == 0 || cred.has(owner, Cap::IPC_OWNER) {
            return Ok(());
        }
        Err(Rule::IpcModeForbids
            .refuse()
            .with("owner", self.uid)
            .with("wanted", wanted)
            .with("granted", granted & 7))
    }

    /// Checks that `cred` may remove the object or change its owner and mode.
    pub(super) fn is_theirs(&self, cred: &Cred, owner: &UserNs) -> Result<(), Refusal> {
        if [self.uid, self.cuid].contains(&cred.euid) || cred.has(owner, Cap::SYS_ADMIN) {
            return Ok(());
        }
        Err(Rule::IpcNotTheirs
            .refuse()
            .with("caller", cred.euid)
            .with("owner", self.uid)
            .with("maker", self.cuid)
            .with("in", Value::Namespace(Kind::User, owner.inode())))
    }

    /// Takes the owner and mode that `IPC_SET` gives, the ids as the caller sees them.
    pub(super) fn set(&mut self, to: &SetPerm, caller: &Cred) -> Result<(), Refusal> {
        let (uid, gid) = (caller.user.map_uid(to.uid), caller.user.map_gid(to.gid));
        let (Some(uid), Some(gid)) = (uid, gid) else {
            return Err(Rule::IpcOwnerUnmapped.refuse().with("uid", to.uid).with("gid", to.gid));
        };
        (self.uid, self.gid) = (uid, gid);
        self.mode = (self.mode & !MODE_BITS) | (to.mode & MODE_BITS);
        Ok(())
    }
}

/// What `IPC_SET` is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SetPerm {
    /// The new owner, as the caller sees it.
    pub uid: u32,
    /// The new owning group, as the caller sees it.
    pub gid: u32,
    /// The new mode; bits beyond the nine are ignored.
    pub mode: u32,
}
