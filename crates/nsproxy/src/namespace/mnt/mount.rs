//! mount(2): what is asked for, who may, and new file systems.

use super::{
    Dentry, Files, MntNs, MountChange, MsFlags, Place, Super,
    attach::Unfit,
    change::Step,
    lock::MountTurn,
    tree::{MountId, NsKey, Tree},
};
use crate::{
    Cred, Kind,
    capability::{Cap, capable},
    namespace::user::UserNs,
    rule::{Refusal, Refuse, Rule},
    sync::Arc,
    task::Task,
};
use alloc::sync::Arc as StdArc;

/// What one call of mount(2) does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MountMode {
    /// Change the flags of a mount: [`Mounter::remount`].
    Remount,
    /// Change flags and file system: [`Mounter::remount_super`].
    RemountSuper,
    /// Make a directory visible elsewhere: [`Mounter::bind`].
    Bind {
        /// With everything mounted below.
        recursive: bool,
    },
    /// Change how mounts propagate: [`Mounter::propagation`].
    Propagation,
    /// Move a mount: [`Mounter::shift`].
    Move,
    /// Mount a file system: [`Mounter::may_make`], then [`Mounter::mount`].
    New,
}

/// Somebody who may change what is mounted.
///
/// Paths are looked up when this is known, except the target of mount(2) and umount2(2): those
/// that do not exist are reported to everybody.
#[derive(Debug)]
pub struct Mounter {
    pub(super) task: StdArc<Task>,
    pub(super) ns: Arc<MntNs>,
    pub(super) cred: Arc<Cred>,
    pub(super) call: &'static str,
}

/// A type of file system, for the question who may mount it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FsType {
    /// Its name.
    pub name: &'static str,
    /// Whose administrator may mount it.
    pub scope: Scope,
}

/// Whose administrator may mount a type of file system (`FS_USERNS_MOUNT`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// The initial user namespace's: it shows the machine.
    Machine,
    /// The mounter's own user namespace's.
    Own,
    /// That of the owner of one of the mounter's namespaces, whose contents it shows: ipc for
    /// mqueue, net for sysfs, pid for proc, cgroup for cgroup2.
    Of(Kind),
}

/// Decides what mount(2) with `flags` does, and whether `task` may; the target exists.
pub fn begin_mount(task: &StdArc<Task>, flags: u64) -> Result<(Mounter, MountMode), Refusal> {
    task.reported("mount", begin(task, flags))
}

fn begin(task: &StdArc<Task>, flags: u64) -> Result<(Mounter, MountMode), Refusal> {
    let flags = MsFlags::from_argument(flags);
    if flags.contains(MsFlags::NOUSER) {
        return Err(Rule::MountFlagInternal.refuse());
    }
    let mounter = Mounter::check(task, "mount")?;
    let mode = if flags.contains(MsFlags::REMOUNT | MsFlags::BIND) {
        MountMode::Remount
    } else if flags.contains(MsFlags::REMOUNT) {
        MountMode::RemountSuper
    } else if flags.contains(MsFlags::BIND) {
        MountMode::Bind { recursive: flags.contains(MsFlags::REC) }
    } else if flags.intersects(MsFlags::PROPAGATION) {
        MountMode::Propagation
    } else if flags.contains(MsFlags::MOVE) {
        MountMode::Move
    } else {
        MountMode::New
    };
    Ok((mounter, mode))
}

impl Mounter {
    /// Checks that `task` may change what is mounted in its namespace; `call` is for the onlooker.
    pub fn of(task: &StdArc<Task>, call: &'static str) -> Result<Mounter, Refusal> {
        task.reported(call, Mounter::check(task, call))
    }

    pub(super) fn check(task: &StdArc<Task>, call: &'static str) -> Result<Mounter, Refusal> {
        let ns = Arc::clone(&task.alive()?.mnt);
        let cred = task.cred();
        ns.needs_admin(&cred)?;
        Ok(Mounter { task: StdArc::clone(task), ns, cred, call })
    }

    /// Refuses a bind or move without a source; it is looked up after this.
    pub fn source_given(&self, name: &[u8]) -> Result<(), Refusal> {
        let given = match name.is_empty() {
            true => Err(Rule::MountSourceMissing.refuse()),
            false => Ok(()),
        };
        self.task.reported(self.call, given)
    }

    /// Checks that a file system of this type may be mounted, before it is made. `None`: no name
    /// was given; a type the kernel does not know has no [`FsType`].
    pub fn may_make(&self, given: bool, fs: Option<&FsType>) -> Result<(), Refusal> {
        self.task.reported(self.call, self.check_type(given, fs))
    }

    fn check_type(&self, given: bool, fs: Option<&FsType>) -> Result<(), Refusal> {
        if !given {
            return Err(Rule::MountTypeMissing.refuse());
        }
        let Some(fs) = fs else { return Err(Rule::MountTypeUnknown.refuse()) };
        let may = match fs.scope {
            Scope::Machine => capable(&self.cred, Cap::SYS_ADMIN),
            Scope::Own => self.cred.has(&self.cred.user, Cap::SYS_ADMIN),
            Scope::Of(kind) => {
                let owner = self.task.namespace(kind.link()).and_then(|ns| ns.owner());
                // Where there is one for all, it is the machine's.
                let owner = owner.unwrap_or_else(|| initial(&self.cred.user));
                self.cred.has(&owner, Cap::SYS_ADMIN)
            }
        };
        match may {
            true => Ok(()),
            false => Err(Rule::MountTypeNeedsAdmin.refuse().with("type", fs.name)),
        }
    }

    /// Prepares the mount of a file system that was made, with mount(2)'s flags.
    pub fn mount(
        &self,
        files: &dyn Files,
        sb: &StdArc<Super>,
        root: Dentry,
        source: &[u8],
        target: &Place,
        flags: u64,
    ) -> Result<MountChange, Refusal> {
        let turn = MountTurn::take(self.kernel());
        let flags = MsFlags::from_argument(flags).of_mount(None);
        let result = turn.with(|tree| {
            let locks = tree.may_show(files, self.key(), sb, flags)?;
            let (onto, point) = tree.target(files, target)?;
            tree.is_in(onto, self.key(), "target")?;
            let below = tree.get(onto);
            if below.sb.id() == sb.id() && below.root == point {
                return Err(Rule::MountTwice.refuse());
            }
            if sb.is_internal() {
                return Err(Rule::MountInternal.refuse());
            }
            same_sort(files, root, point)?;
            let top = tree.create(sb, root, &StdArc::from(source), flags | locks);
            self.stage(tree, files, top, true, (onto, point))
        });
        self.changed(turn, result)
    }

    // ---- for every operation ----------------------------------------------------------------

    pub(super) fn kernel(&self) -> &Arc<crate::system::Kernel> {
        &self.task.kernel
    }

    pub(super) fn key(&self) -> NsKey {
        self.ns.key()
    }

    /// A change out of what was staged, or the refusal, reported.
    pub(super) fn changed(
        &self,
        turn: MountTurn,
        step: Result<Step, Refusal>,
    ) -> Result<MountChange, Refusal> {
        let by = self.ns.owner();
        self.task.reported(self.call, step.map(|step| MountChange { step, by, turn }))
    }

    /// Stages the attachment of `top`; if it was built for that, it goes when that is refused.
    pub(super) fn stage(
        &self,
        tree: &mut Tree,
        files: &dyn Files,
        top: MountId,
        built: bool,
        (onto, point): (MountId, Dentry),
    ) -> Result<Step, Refusal> {
        let max = self.kernel().config.mount_max as usize;
        match tree.stage(files, top, onto, point, max) {
            Ok(staged) => Ok(Step::Attach { staged, top, built }),
            Err(unfit) => {
                if built {
                    tree.destroy(top);
                }
                Err(match unfit {
                    Unfit::Full => Rule::MountsTooMany.refuse().with("limit", max),
                    Unfit::Namespace => Rule::MountNamespacePropagated.refuse(),
                    Unfit::Removed => Rule::MountRootRemoved.refuse(),
                })
            }
        }
    }
}

fn initial(user: &Arc<UserNs>) -> Arc<UserNs> {
    let mut at = user;
    while let Some(parent) = at.parent_ref() {
        at = parent;
    }
    Arc::clone(at)
}

/// Directories are mounted on directories, files on files.
pub(super) fn same_sort(files: &dyn Files, root: Dentry, point: Dentry) -> Result<(), Refusal> {
    match files.is_directory(root) == files.is_directory(point) {
        true => Ok(()),
        false => Err(Rule::MountShapesDiffer.refuse()),
    }
}

impl Tree {
    /// Where a mount on `target` goes: there, or on the last of the mounts over it.
    pub(super) fn target(
        &self,
        files: &dyn Files,
        target: &Place,
    ) -> Result<(MountId, Dentry), Refusal> {
        let covered = self.mounted_at(target.mount(), target.dentry()).map(|id| self.top(id));
        let (onto, point) = match covered {
            Some(top) => (top, self.get(top).root),
            None => (target.mount(), target.dentry()),
        };
        self.can_hold(files, onto, point)?;
        Ok((onto, point))
    }

    /// Refuses a place that is gone.
    pub(super) fn can_hold(
        &self,
        files: &dyn Files,
        onto: MountId,
        point: Dentry,
    ) -> Result<(), Refusal> {
        let there = self.mounts.get(&onto).is_some_and(|mount| mount.ns.is_some());
        match there && !files.is_unlinked(point) {
            true => Ok(()),
            false => Err(Rule::MountpointRemoved.refuse()),
        }
    }

    /// Refuses a mount that is not in the namespace `ns`.
    pub(super) fn is_in(&self, id: MountId, ns: NsKey, which: &'static str) -> Result<(), Refusal> {
        match self.mounts.get(&id).and_then(|mount| mount.ns) {
            Some(of) if of == ns => Ok(()),
            _ => Err(Rule::MountElsewhere.refuse().with("which", which)),
        }
    }

    /// Refuses a directory that is not the root of a mount.
    pub(super) fn is_mount_root(&self, place: &Place, which: &'static str) -> Result<(), Refusal> {
        match self.mounts.get(&place.mount()).map(|mount| mount.root) {
            Some(root) if root == place.dentry() => Ok(()),
            _ => Err(Rule::NotAMountRoot.refuse().with("which", which)),
        }
    }
}
