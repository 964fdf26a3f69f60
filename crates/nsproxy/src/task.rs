//! Tasks: the threads that calls are made by (`task_struct`).
//!
//! # Locks, in the order in which they may be taken
//!
//! 1. a task's *change lock*: one change of its namespaces or credentials at a time. It is held
//!    by a prepared [`Change`](crate::Change) until that is committed or dropped. Nobody holds two
//!    tasks', but for a [`Switch`](crate::Switch), which takes those of one process's threads in
//!    the order of their ids; whoever else holds one waits for no other.
//! 2. the turn for mounts: held by a prepared [`MountChange`](crate::MountChange), and while a
//!    mount namespace is copied
//! 3. a thread group's list of members
//! 4. a task's shares (root directory, handlers, memory), also held while its cgroup changes; then
//!    the right to move, the places of one, the list of everybody's
//! 5. an ipc namespace's, in the order that heads `namespace/ipc/mod.rs`
//! 6. a user namespace's state (maps and setgroups being written)
//! 7. where a user namespace's counts are, one level at a time
//! 8. the inode numbers above the first few hundred
//! 9. the family: numbers, processes, who descends from whom
//! 10. the tree of mounts
//!
//! Namespaces and credentials are dropped, and so perhaps freed, only under the change lock or
//! under none. Reading a task's `nsproxy` or credentials takes no lock at all.

use crate::{
    Kind, Link,
    cred::Cred,
    events::{Event, Ids, Way},
    group::{Fs, Shares, ThreadGroup},
    namespace::{
        cgroup::{Cgroup, Cgroups},
        ipc::{TaskIpc, disown},
        mnt::Places,
        pid::{self, Member, Status},
        user::UserNs,
    },
    nsproxy::{AnyNamespace, NsProxy, exit_task_namespaces},
    rcu::{Published, PublishedOption},
    rule::{Refusal, Refuse, Rule},
    sync::{Arc, Mutex, Turn},
    system::Kernel,
};
use alloc::{boxed::Box, sync::Arc as StdArc};
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A number that no other task of the same system ever has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TaskId(pub u64);

/// A task: one thread of a process.
pub struct Task {
    id: TaskId,
    tag: AtomicU64,
    leader: AtomicBool,
    group: StdArc<ThreadGroup>,
    cred: Published<Cred>,
    nsproxy: PublishedOption<NsProxy>,
    shares: Mutex<Option<Shares>>,
    /// Outlives the exit: a zombie is still in its cgroup.
    cgroups: Mutex<Arc<Cgroups>>,
    /// Few tasks have any; a box keeps the others small.
    ipc: Mutex<Option<Box<TaskIpc>>>,
    /// It has exited, and could not be looked into then.
    hidden: AtomicBool,
    change: Turn,
    /// Its numbers and its place among the processes; none where pid namespaces are not built in.
    member: Option<Member>,
    pub(crate) kernel: Arc<Kernel>,
}

impl Task {
    /// A task of its own group, or of `thread_of`'s, in the namespaces given.
    pub(crate) fn adopted(
        kernel: &Arc<Kernel>,
        thread_of: Option<&StdArc<Task>>,
        cred: Cred,
        nsproxy: Arc<NsProxy>,
    ) -> StdArc<Task> {
        let shares = thread_of
            .and_then(|peer| peer.shares.lock().clone())
            .unwrap_or_else(|| Shares::alone(&cred.user, Places::at_root(kernel, &nsproxy.mnt)));
        let group = thread_of.map(|peer| StdArc::clone(&peer.group));
        let cgroups = thread_of.map_or_else(|| Arc::clone(&kernel.cgroups), |peer| peer.cgroups());
        let initial = &nsproxy.pid_for_children;
        let member = pid::adopt(kernel, initial, thread_of.map(|peer| &**peer), &cred);
        let cred = Arc::new(cred);
        let task = Task::unborn(kernel, group, cred, Some(nsproxy), shares, cgroups, member);
        task.group.join(&task);
        task
    }

    /// A task that its thread group does not know yet. Without `group` it will lead one.
    pub(crate) fn unborn(
        kernel: &Arc<Kernel>,
        group: Option<StdArc<ThreadGroup>>,
        cred: Arc<Cred>,
        nsproxy: Option<Arc<NsProxy>>,
        shares: Shares,
        cgroups: Arc<Cgroups>,
        member: Option<Member>,
    ) -> StdArc<Task> {
        let task = StdArc::new(Task {
            id: TaskId(kernel.next_id()),
            tag: AtomicU64::new(0),
            leader: AtomicBool::new(group.is_none()),
            group: group.unwrap_or_default(),
            cred: Published::new(cred),
            nsproxy: PublishedOption::new(nsproxy),
            shares: Mutex::new(Some(shares)),
            cgroups: Mutex::new(cgroups),
            ipc: Mutex::default(),
            hidden: AtomicBool::new(false),
            change: Turn::default(),
            member,
            kernel: Arc::clone(kernel),
        });
        task.take_place();
        task
    }

    /// A number that no other task of the system ever has.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// What the embedder calls the task (a host's thread number, say). Never interpreted.
    pub fn tag(&self) -> u64 {
        self.tag.load(Ordering::Relaxed)
    }

    /// Sets what the embedder calls the task.
    pub fn set_tag(&self, tag: u64) {
        self.tag.store(tag, Ordering::Relaxed);
    }

    /// Its credentials now. Takes no lock.
    pub fn cred(&self) -> Arc<Cred> {
        self.cred.read()
    }

    /// Looks at its credentials without taking a reference.
    pub fn with_cred<R>(&self, look: impl FnOnce(&Cred) -> R) -> R {
        self.cred.with(look)
    }

    /// The user namespace of its credentials.
    pub fn user_ns(&self) -> Arc<UserNs> {
        self.cred.with(|cred| Arc::clone(&cred.user))
    }

    /// Its other namespaces now, `None` once it has exited. Takes no lock: a reader gets the
    /// complete old set, the complete new set or nothing.
    pub fn nsproxy(&self) -> Option<Arc<NsProxy>> {
        self.nsproxy.read()
    }

    /// Says whether it has exited (a zombie, in the kernel's words).
    pub fn has_exited(&self) -> bool {
        self.nsproxy.read().is_none()
    }

    /// How many threads its process has: the live ones, and the first one if it exited early.
    pub fn thread_count(&self) -> usize {
        self.group.count()
    }

    /// The live threads of its process.
    pub fn threads(&self) -> alloc::vec::Vec<StdArc<Task>> {
        self.group.live()
    }

    /// Says whether it is its process's first thread, the one `/proc/PID` shows.
    pub fn is_leader(&self) -> bool {
        self.leader.load(Ordering::Relaxed)
    }

    /// Tells the model whether it is its process's first thread, for an embedder that meets the
    /// threads of a process in another order.
    pub fn set_leader(&self, leads: bool) {
        self.leader.store(leads, Ordering::Relaxed);
    }

    /// Says whether both are threads of one process.
    pub fn same_process(&self, other: &Task) -> bool {
        StdArc::ptr_eq(&self.group, &other.group)
    }

    /// Says whether its root directory is not the root of its mount namespace, with everything
    /// that is mounted there.
    pub fn chrooted(&self) -> bool {
        let told = self.shares.lock().as_ref().is_some_and(|shares| shares.fs.chrooted());
        told || self.root().is_some_and(|root| {
            self.nsproxy().and_then(|proxy| proxy.mnt.root()).is_some_and(|top| top != root)
        })
    }

    /// Says whether others share its root and working directory (`CLONE_FS`), threads included.
    pub fn shares_directories(&self) -> bool {
        self.shares.lock().as_ref().is_some_and(|shares| StdArc::strong_count(&shares.fs) > 1)
    }

    /// Tells the model that a chroot(2) succeeded that it did not see, for the task and all who
    /// share its root: where mount namespaces are not built in. Otherwise use
    /// [`chroot`](crate::chroot).
    pub fn set_chrooted(&self, chrooted: bool) {
        if let Some(shares) = &*self.shares.lock() {
            shares.fs.set_chrooted(chrooted);
        }
    }

    /// Says whether its working directory is only what the model says of it
    /// ([`set_virtual_directories`](Task::set_virtual_directories)).
    pub fn has_virtual_directories(&self) -> bool {
        self.shares.lock().as_ref().is_some_and(|shares| shares.fs.is_virtual())
    }

    /// Tells the model that an embedder's task still is in the directories of those that it has parted
    /// from (`CLONE_FS`), because its host would not part them. It is never interpreted; children, and
    /// all who share its directories, have it from it.
    pub fn set_virtual_directories(&self) {
        if let Some(shares) = &*self.shares.lock() {
            shares.fs.make_virtual();
        }
    }

    /// Says whether others may look into its memory (`PR_GET_DUMPABLE` is 1).
    pub fn dumpable(&self) -> bool {
        self.shares.lock().as_ref().is_none_or(|shares| shares.memory.dumpable())
    }

    /// Sets whether others may look into its memory (`PR_SET_DUMPABLE`).
    pub fn set_dumpable(&self, dumpable: bool) {
        if let Some(shares) = &*self.shares.lock() {
            shares.memory.set_dumpable(dumpable);
        }
    }

    /// Tells the model that the task's native credentials have changed. The user namespace must
    /// be the one it is in.
    pub fn set_cred(&self, cred: Cred) {
        let _turn = self.turn();
        drop(self.cred.assign(Arc::new(cred)));
    }

    /// The namespace that a link in its `/proc/PID/ns` leads to now; `None` if it has given it up,
    /// or if the type is not built in.
    pub fn namespace(&self, link: impl Into<Link>) -> Option<AnyNamespace> {
        self.namespace_among(link.into(), &self.cred(), self.nsproxy().as_deref())
    }

    /// The cgroup it is in, of one hierarchy.
    pub fn cgroup(&self, hierarchy: u32) -> Option<StdArc<Cgroup>> {
        self.cgroups.lock().of(hierarchy).cloned()
    }

    /// Tells the model that the task has been moved to another cgroup of one hierarchy.
    pub fn set_cgroup(&self, to: &StdArc<Cgroup>) {
        let one_at_a_time = self.shares.lock();
        let new = Arc::new(self.cgroups().with(to));
        let old = core::mem::replace(&mut *self.cgroups.lock(), new);
        drop(one_at_a_time);
        drop(old);
    }

    /// The numbers of its namespaces now.
    pub fn ids(&self) -> Ids {
        let mut ids = self.nsproxy().map(|proxy| proxy.ids()).unwrap_or_default();
        for link in [Link::User, Link::Pid] {
            if let Some(namespace) = self.namespace(link) {
                ids.set(link, namespace.inode());
            }
        }
        ids
    }

    // ---- for the calls ----------------------------------------------------------------------

    pub(crate) fn cgroups(&self) -> Arc<Cgroups> {
        Arc::clone(&self.cgroups.lock())
    }

    pub(crate) fn member(&self) -> Option<&Member> {
        self.member.as_ref()
    }

    pub(crate) fn group(&self) -> &StdArc<ThreadGroup> {
        &self.group
    }

    /// Publishes credentials; the caller holds the change lock and drops the old ones.
    pub(crate) fn assign_cred(&self, new: Arc<Cred>) -> Arc<Cred> {
        self.cred.assign(new)
    }

    /// Publishes namespaces. Only `switch_task_namespaces` calls it.
    pub(crate) fn assign_nsproxy(&self, new: Option<Arc<NsProxy>>) -> Option<Arc<NsProxy>> {
        self.nsproxy.assign(new)
    }

    /// Looks at its root and working directory, if they are known.
    pub(crate) fn with_places<R>(&self, look: impl FnOnce(&Places) -> R) -> Option<R> {
        let places = self.shares.lock().as_ref().and_then(|shares| shares.fs.places());
        places.map(|places| look(&places))
    }

    pub(crate) fn with_shares<R>(&self, look: impl FnOnce(&mut Option<Shares>) -> R) -> R {
        look(&mut self.shares.lock())
    }

    /// Looks at its part in System V IPC. Nothing is dropped under the lock.
    pub(crate) fn with_ipc<R>(&self, look: impl FnOnce(&mut TaskIpc) -> R) -> R {
        look(self.ipc.lock().get_or_insert_default())
    }

    /// Leaves its list of semaphore undos: they are carried out if nobody else shares it
    /// (`exit_sem`).
    pub(crate) fn leave_undo(&self) {
        let list = self.ipc.lock().as_mut().and_then(|ipc| ipc.leave_undo());
        drop(list);
    }

    /// Is no more the maker of the segments it made (`exit_shm`).
    pub(crate) fn leave_segments(&self) {
        let places = self.ipc.lock().as_mut().map(|ipc| ipc.leave_segments());
        disown(self.id, places.unwrap_or_default());
    }

    /// Gives it another root directory of its own, and hands back its share of the old one.
    pub(crate) fn replace_fs(&self, fs: StdArc<Fs>) -> Option<StdArc<Fs>> {
        self.shares.lock().as_mut().map(|shares| core::mem::replace(&mut shares.fs, fs))
    }

    /// Moves its root and working directory, for all who share them.
    pub(crate) fn move_fs(&self, places: StdArc<Places>) {
        let fs = self.with_shares(|held| held.as_ref().map(|held| StdArc::clone(&held.fs)));
        if let Some(fs) = fs {
            fs.move_to(places);
        }
    }

    /// The same with credentials and namespaces that were looked at before.
    pub(crate) fn namespace_among(
        &self,
        link: Link,
        cred: &Cred,
        proxy: Option<&NsProxy>,
    ) -> Option<AnyNamespace> {
        match link {
            Link::User => {
                let user = AnyNamespace::User(Arc::clone(&cred.user));
                self.kernel.config.built.contains(Kind::User).then_some(user)
            }
            // What a zombie has given up with its nsproxy is not among these.
            Link::Pid => self.pid_ns().map(AnyNamespace::Pid),
            Link::PidForChildren => {
                proxy?.get(link).filter(|_| proxy.is_some_and(|it| it.pid_for_children.has_init()))
            }
            link => proxy?.get(link),
        }
    }

    /// Its namespaces, or the refusal for a caller that is already dead.
    pub(crate) fn alive(&self) -> Result<Arc<NsProxy>, Refusal> {
        self.nsproxy.read().ok_or_else(|| self.gone())
    }

    /// The refusal for a caller that is already dead.
    pub(crate) fn gone(&self) -> Refusal {
        Rule::CallerExited.refuse().with("task", self.id.0)
    }

    /// For a ptrace check: the user namespace its memory was made in, and whether it is dumpable.
    /// Once it has exited the first is the initial one, and the second what it was then.
    pub(crate) fn memory_access(&self) -> (Arc<UserNs>, bool) {
        if let Some(shares) = &*self.shares.lock() {
            return (Arc::clone(&shares.memory.user), shares.memory.dumpable());
        }
        let mut user = self.user_ns();
        while let Some(parent) = user.parent() {
            user = parent;
        }
        (user, !self.hidden.load(Ordering::Relaxed))
    }

    /// Gives up its root directory, handlers and memory when it exits.
    pub(crate) fn give_up_shares(&self) {
        let shares = self.shares.lock().take();
        if let Some(shares) = shares {
            self.hidden.store(!shares.memory.dumpable(), Ordering::Relaxed);
        }
    }

    /// Waits for the change lock, for the time of a borrow.
    pub(crate) fn turn(&self) -> BorrowedTurn<'_> {
        self.change.take();
        BorrowedTurn(self)
    }

    /// The change lock, if nobody has it.
    pub(crate) fn free_turn(&self) -> Option<BorrowedTurn<'_>> {
        self.change.try_take().then(|| BorrowedTurn(self))
    }

    /// Waits for the change lock and owns it.
    pub(crate) fn own_turn(self: &StdArc<Task>) -> OwnedTurn {
        self.change.take();
        OwnedTurn(StdArc::clone(self))
    }

    /// Reports a refusal to the onlooker and passes it on.
    pub(crate) fn reported<T>(
        &self,
        call: &'static str,
        result: Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if let Err(refusal) = &result {
            let (task, tag) = (self.id, self.tag());
            self.kernel.tell(&Event::Refused { task, tag, call, refusal });
        }
        result
    }
}

impl Drop for Task {
    /// A task dropped without exit gives up what it has, as exit would. Whom the end of an init
    /// kills is not known to anybody then: [`exit_with`](crate::exit_with) would have told.
    fn drop(&mut self) {
        self.group.leave(self, self.is_leader());
        self.leave_undo();
        self.leave_segments();
        exit_task_namespaces(self, Way::Exit);
        drop(self.leave_family(Status::default()));
        self.be_forgotten();
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({}, {})", self.id.0, self.ids())
    }
}

/// The change lock, held for the time of a borrow.
pub(crate) struct BorrowedTurn<'a>(&'a Task);

impl Drop for BorrowedTurn<'_> {
    fn drop(&mut self) {
        self.0.change.give();
    }
}

/// The change lock, held by a value that can be kept.
pub(crate) struct OwnedTurn(StdArc<Task>);

impl OwnedTurn {
    pub(crate) fn task(&self) -> &StdArc<Task> {
        &self.0
    }
}

impl Drop for OwnedTurn {
    fn drop(&mut self) {
        self.0.change.give();
    }
}
