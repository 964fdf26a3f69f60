//! mount(2) of mounts that exist: their flags, their file system's, how they propagate.

use super::{
    MountChange, Mounter, MsFlags, Place, Propagation, Super, change::Step, lock::MountTurn,
    tree::Tree,
};
use crate::{
    Kind,
    capability::Cap,
    rule::{Refusal, Refuse, Rule, Value},
};
use alloc::{sync::Arc as StdArc, vec::Vec};

impl Mounter {
    /// Prepares new flags for the mount at `target` (`MS_REMOUNT | MS_BIND`).
    ///
    /// Not here: whether files are open for writing through it (EBUSY).
    pub fn remount(&self, target: &Place, flags: u64) -> Result<MountChange, Refusal> {
        let turn = MountTurn::take(self.kernel());
        let result = turn.with(|tree| self.remounted(tree, target, flags)).map(|(step, _)| step);
        self.changed(turn, result)
    }

    /// Prepares new flags for the mount at `target` and for its file system (`MS_REMOUNT`). The
    /// embedder hands the file system its options between this and the commit.
    pub fn remount_super(&self, target: &Place, flags: u64) -> Result<MountChange, Refusal> {
        let turn = MountTurn::take(self.kernel());
        let result = turn.with(|tree| {
            let (step, sb) = self.remounted(tree, target, flags)?;
            if !self.cred.has(sb.owner_ref(), Cap::SYS_ADMIN) {
                let owner = Value::Namespace(Kind::User, sb.owner_ref().inode());
                return Err(Rule::RemountNeedsAdmin.refuse().with("owner", owner));
            }
            let Step::Modify { flags: mounts, .. } = step else { return Ok(step) };
            let readonly = MsFlags::from_argument(flags).contains(MsFlags::RDONLY);
            let readonly = Some((sb, readonly));
            Ok(Step::Modify { flags: mounts, readonly, propagation: None, idmap: None })
        });
        self.changed(turn, result)
    }

    fn remounted(
        &self,
        tree: &Tree,
        target: &Place,
        flags: u64,
    ) -> Result<(Step, StdArc<Super>), Refusal> {
        tree.is_in(target.mount(), self.key(), "target")?;
        tree.is_mount_root(target, "target")?;
        let mount = tree.get(target.mount());
        let new = MsFlags::from_argument(flags).of_mount(Some(mount.flags));
        tree.keeps_locks(target.mount(), new)?;
        let flags = alloc::vec![(target.mount(), new)];
        let step = Step::Modify { flags, readonly: None, propagation: None, idmap: None };
        Ok((step, StdArc::clone(&mount.sb)))
    }

    /// Prepares another propagation of the mount at `target`, with `MS_REC` of all below it.
    pub fn propagation(&self, target: &Place, flags: u64) -> Result<MountChange, Refusal> {
        let turn = MountTurn::take(self.kernel());
        let result = turn.with(|tree| {
            tree.is_mount_root(target, "target")?;
            let flags = MsFlags::from_argument(flags);
            let Some(to) = asked_for(flags) else { return Err(Rule::PropagationFlags.refuse()) };
            self.may_change_propagation(tree, target)?;
            let ids: Vec<_> = match flags.contains(MsFlags::REC) {
                true => tree.subtree(target.mount()),
                false => alloc::vec![target.mount()],
            };
            let propagation = Some((ids, to));
            Ok(Step::Modify { flags: Vec::new(), readonly: None, propagation, idmap: None })
        });
        self.changed(turn, result)
    }

    /// Refuses to change how a mount propagates. This goes by the namespace of the mount, which need not be the caller's.
    pub(super) fn may_change_propagation(
        &self,
        tree: &Tree,
        target: &Place,
    ) -> Result<(), Refusal> {
        let space = tree.get(target.mount()).ns.and_then(|ns| tree.spaces.get(&ns));
        let Some(space) = space else { return Err(Rule::PropagationUnmounted.refuse()) };
        match self.cred.has(&space.owner, Cap::SYS_ADMIN) {
            true => Ok(()),
            false => Err(Rule::PropagationNeedsAdmin
                .refuse()
                .with("owner", Value::Namespace(Kind::User, space.owner.inode()))),
        }
    }
}

/// The one type of propagation that flags ask for; nothing else may be asked for with it but
/// `MS_REC` and `MS_SILENT`.
pub(super) fn asked_for(flags: MsFlags) -> Option<Propagation> {
    // The kernel takes the flags as an `unsigned long`, and looks at the lower half as an `int`.
    match flags - (MsFlags::REC | MsFlags::SILENT) {
        MsFlags::SHARED => Some(Propagation::Shared),
        MsFlags::PRIVATE => Some(Propagation::Private),
        MsFlags::SLAVE => Some(Propagation::Slave),
        MsFlags::UNBINDABLE => Some(Propagation::Unbindable),
        _ => None,
    }
}

impl Tree {
    /// Refuses flags that relax what came locked into the namespace.
    pub(super) fn keeps_locks(
        &self,
        id: super::MountId,
        new: super::MountFlags,
    ) -> Result<(), Refusal> {
        match self.get(id).flags.allow(new) {
            true => Ok(()),
            false => Err(Rule::RemountRelaxesLocked.refuse()),
        }
    }
}
