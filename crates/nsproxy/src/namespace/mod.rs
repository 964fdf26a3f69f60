//! The types of namespaces, and what each must be able to do.
//!
//! Adding a type: a room (one file or directory beside this one) that implements [`Namespace`],
//! and one row in the table of [`crate::nsproxy`], which says where in an `NsProxy` it stands.

pub(crate) mod cgroup;
pub(crate) mod ioctl;
pub mod ipc;
pub(crate) mod kind;
pub(crate) mod mnt;
pub mod net;
pub(crate) mod pid;
pub(crate) mod pidfd;
pub(crate) mod time;
pub(crate) mod user;
pub(crate) mod uts;

use crate::{
    Kind,
    cred::Cred,
    events::Event,
    group::Shares,
    limits::Charge,
    nsproxy::NsProxy,
    rule::{Refusal, Refuse, Rule},
    sync::Arc,
    system::Kernel,
    task::Task,
};
use alloc::sync::Arc as StdArc;
use user::UserNs;

/// What makes an object a namespace (`struct ns_common`): its number while it lives, and an id
/// that is never used again.
pub(crate) struct Number {
    kind: Kind,
    inode: u32,
    id: u64,
}

impl Number {
    /// Of an initial namespace.
    pub(crate) fn initial(kernel: &Kernel, kind: Kind) -> Number {
        let inode = kernel.config.initial_inodes[kind as usize];
        Number { kind, inode, id: kernel.next_id() }
    }

    /// Of a new namespace that is made from one with the number `near`.
    pub(crate) fn take(kernel: &Kernel, kind: Kind, owner: &UserNs, near: u32) -> Number {
        let (inode, id) = kernel.take_inode(near);
        kernel.tell(&Event::Created { kind, inode, owner: owner.inode() });
        Number { kind, inode, id }
    }

    /// The namespace is no more: tells the onlooker, and frees the number.
    pub(crate) fn give_back(&self, kernel: &Kernel) {
        kernel.tell(&Event::Freed { kind: self.kind, inode: self.inode });
        kernel.free_inode(self.inode);
    }

    pub(crate) fn inode(&self) -> u32 {
        self.inode
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

/// Which namespace it is, whose, and what it costs: of every type but user, which belongs to
/// nobody. Dropping it frees the number and what it cost.
pub(crate) struct Identity {
    charge: Charge,
    number: Number,
}

impl Identity {
    /// Of an initial namespace, which costs nothing.
    pub(crate) fn initial(owner: &Arc<UserNs>, kind: Kind) -> Identity {
        let number = Number::initial(owner.kernel(), kind);
        Identity { charge: Charge::nothing(owner, kind), number }
    }

    /// Of a new namespace that is made from `old`; refused where that would be one too many.
    pub(crate) fn new<N: Namespace>(maker: &Maker<'_>, old: &N) -> Result<Identity, Refusal> {
        let near = old.number().inode();
        let charge = Charge::take(maker.owner, maker.cred.euid, N::KIND, near)?;
        Ok(Identity { charge, number: Number::take(maker.kernel, N::KIND, maker.owner, near) })
    }

    /// The user namespace that owns it.
    pub(crate) fn owner(&self) -> &Arc<UserNs> {
        self.charge.user()
    }

    pub(crate) fn kernel(&self) -> &Arc<Kernel> {
        self.owner().kernel()
    }

    pub(crate) fn number(&self) -> &Number {
        &self.number
    }

    pub(crate) fn inode(&self) -> u32 {
        self.number.inode
    }

    pub(crate) fn id(&self) -> u64 {
        self.number.id
    }

    /// Says whether it is the one that was there first.
    pub(crate) fn is_initial(&self) -> bool {
        self.charge.is_nothing()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.number.give_back(self.kernel());
    }
}

/// Who makes namespaces, and for whom.
pub(crate) struct Maker<'a> {
    pub(crate) kernel: &'a Arc<Kernel>,
    /// The caller.
    pub(crate) task: &'a Task,
    /// The caller's present credentials: its effective user is charged.
    pub(crate) cred: &'a Cred,
    /// The user namespace that will own what is made.
    pub(crate) owner: &'a Arc<UserNs>,
    /// The directories of the task to be, which nobody sees yet: a new mount namespace moves them
    /// to its copies of their mounts.
    pub(crate) places: Option<&'a mnt::Places>,
}

/// A task's namespaces and credentials as they will be if setns(2) succeeds. Private until then.
pub(crate) struct Draft<'a> {
    /// Who joins.
    pub(crate) task: &'a Task,
    /// Its present credentials.
    pub(crate) own: &'a Cred,
    /// The caller's, by whose rights it joins. They are the same in setns(2).
    pub(crate) by: &'a Cred,
    /// All threads of its process join at once, so that what they share stays among them.
    pub(crate) whole: bool,
    /// What is looked at is a copy of its root and working directory, which nobody shares: so it is
    /// when setns(2) joins a mount namespace and others at once.
    pub(crate) directories_copied: bool,
    /// The credentials to come, if a user namespace is joined.
    pub(crate) cred: Option<Cred>,
    /// The namespaces to come.
    pub(crate) proxy: NsProxy,
    /// The directories to come, if a mount namespace is joined.
    pub(crate) places: Option<alloc::sync::Arc<mnt::Places>>,
}

impl Draft<'_> {
    /// The user namespace that the task will be in.
    pub(crate) fn user(&self) -> &Arc<UserNs> {
        self.cred.as_ref().map_or(&self.own.user, |cred| &cred.user)
    }

    /// How many tasks that stay behind share a part of the task's with it.
    pub(crate) fn left_behind<T>(&self, part: impl Fn(&Shares) -> &StdArc<T>) -> usize {
        let place = |task: &Task| {
            task.with_shares(|held| {
                let part = part(held.as_ref()?);
                Some((StdArc::as_ptr(part), StdArc::strong_count(part)))
            })
        };
        let Some((own, sharers)) = place(self.task) else { return 0 };
        let along = match self.whole {
            false => 1,
            true => {
                let shares = |thread: &StdArc<Task>| place(thread).is_some_and(|(at, _)| at == own);
                self.task.threads().iter().filter(|thread| shares(thread)).count()
            }
        };
        sharers.saturating_sub(along)
    }

    /// What every type but user asks of whoever joins: the administrator's capability in the
    /// namespace's owner, and in the user namespace that the task will be in.
    pub(crate) fn joiner_is_admin(&self, owner: &UserNs) -> Result<(), Refusal> {
        let admin = crate::capability::Cap::SYS_ADMIN;
        if !self.by.has(owner, admin) {
            return Err(Rule::JoinNeedsAdminInOwner
                .refuse()
                .with("owner", crate::rule::Value::Namespace(Kind::User, owner.inode())));
        }
        if !self.by.has(self.user(), admin) {
            return Err(Rule::JoinNeedsAdminInOwn
                .refuse()
                .with("in", crate::rule::Value::Namespace(Kind::User, self.user().inode())));
        }
        Ok(())
    }
}

/// What each type can do (`proc_ns_operations`).
pub(crate) trait Namespace: Sized {
    /// Which type it is.
    const KIND: Kind;

    /// Its number and id.
    fn number(&self) -> &Number;

    /// The user namespace that it belongs to: the owner, or a user namespace's parent.
    fn belongs_to(&self) -> Option<&Arc<UserNs>>;

    /// The namespace above it, for the types that have one; `None` if there is none, or if it is
    /// none that `by` may get hold of.
    fn above(&self, _by: &Task) -> Result<Option<Arc<Self>>, Refusal> {
        Err(Rule::IoctlNoParent.refuse().with("type", Self::KIND))
    }

    /// Makes a new one out of the one the caller is in. Charged, numbered, seen by nobody.
    fn copy(old: &Arc<Self>, maker: &Maker<'_>) -> Result<Arc<Self>, Refusal>;

    /// Checks that the caller may join it, and puts it into the draft.
    fn install(this: &Arc<Self>, draft: &mut Draft<'_>) -> Result<(), Refusal>;

    /// A task is about to be in it that was not: by setns(2), by execve(2) or by its birth. Part of
    /// a commit, so it cannot refuse; the slots for children do not count.
    fn entered(&self) {}
}
