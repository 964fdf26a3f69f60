//! What tasks share with each other beside namespaces: the thread group, the root directory, the
//! memory image and the signal handlers.
//!
//! The model needs only *who shares with whom*, because rules ask for it. Sharing is identity of
//! an `Arc`; the number of sharers is its reference count, so nothing here is ever cloned except
//! into another task.

use crate::{
    namespace::{mnt::Places, user::UserNs},
    sync::{Arc, Mutex},
    task::Task,
};
use alloc::{
    sync::{Arc as StdArc, Weak},
    vec::Vec,
};
use core::sync::atomic::{AtomicBool, Ordering};
use smallvec::SmallVec;

/// Root and working directory (`fs_struct`): who shares them, and where they are.
///
/// What the pointer leads to is shared by all who were forked and have not moved since.
pub(crate) struct Fs {
    /// The embedder told that the root was changed.
    chrooted: AtomicBool,
    /// The embedder told that they are nowhere but here.
    virtual_: AtomicBool,
    /// Nothing where mount namespaces are not built in.
    places: Mutex<Option<StdArc<Places>>>,
}

impl Fs {
    pub(crate) fn new(places: Option<StdArc<Places>>) -> StdArc<Fs> {
        let (chrooted, virtual_) = (false.into(), false.into());
        StdArc::new(Fs { chrooted, virtual_, places: Mutex::new(places) })
    }

    pub(crate) fn copy(&self) -> StdArc<Fs> {
        let (chrooted, virtual_) = (self.chrooted().into(), self.is_virtual().into());
        StdArc::new(Fs { chrooted, virtual_, places: Mutex::new(self.places()) })
    }

    pub(crate) fn places(&self) -> Option<StdArc<Places>> {
        self.places.lock().clone()
    }

    /// Puts others in the place of those it has, if they are known. Returns both, the new ones
    /// first: the old ones are dropped outside of locks.
    pub(crate) fn set_places(
        &self,
        new: impl FnOnce(&Places) -> StdArc<Places>,
    ) -> Option<(StdArc<Places>, StdArc<Places>)> {
        // Two who share it may move at once, one its root and the other its working directory.
        let kernel = Arc::clone(self.places()?.kernel());
        Places::one_at_a_time(&kernel, || {
            let new = new(&*self.places()?);
            let old = self.places.lock().replace(StdArc::clone(&new))?;
            Some((new, old))
        })
    }

    /// Puts others in the place of those it has, known or not.
    pub(crate) fn move_to(&self, places: StdArc<Places>) {
        let kernel = Arc::clone(places.kernel());
        // Not between another's look and the change it makes.
        let old = Places::one_at_a_time(&kernel, || {
            self.set_chrooted(false);
            self.places.lock().replace(places)
        });
        drop(old);
    }

    pub(crate) fn chrooted(&self) -> bool {
        self.chrooted.load(Ordering::Relaxed)
    }

    pub(crate) fn set_chrooted(&self, chrooted: bool) {
        self.chrooted.store(chrooted, Ordering::Relaxed);
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.virtual_.load(Ordering::Relaxed)
    }

    pub(crate) fn make_virtual(&self) {
        self.virtual_.store(true, Ordering::Relaxed);
    }
}

/// Signal handlers (`sighand_struct`): who shares them, and the one thing in them that decides what
/// becomes of children.
#[derive(Default)]
pub(crate) struct Handlers {
    /// SIGCHLD is ignored, or has `SA_NOCLDWAIT`.
    ignores_children: AtomicBool,
}

impl Handlers {
    /// Those of a child that does not share them, and of a new program: what is ignored stays so.
    pub(crate) fn copy(&self) -> StdArc<Handlers> {
        StdArc::new(Handlers { ignores_children: self.ignores_children().into() })
    }

    pub(crate) fn ignores_children(&self) -> bool {
        self.ignores_children.load(Ordering::Relaxed)
    }

    pub(crate) fn set_ignores_children(&self, ignores: bool) {
        self.ignores_children.store(ignores, Ordering::Relaxed);
    }
}

/// A memory image (`mm_struct`): who shares it, whether others may look into it, and the user
/// namespace of the exec that made it, which decides who may when it is not dumpable.
pub(crate) struct Memory {
    pub(crate) user: Arc<UserNs>,
    dumpable: AtomicBool,
}

impl Memory {
    pub(crate) fn new(user: &Arc<UserNs>, dumpable: bool) -> StdArc<Memory> {
        StdArc::new(Memory { user: Arc::clone(user), dumpable: AtomicBool::new(dumpable) })
    }

    pub(crate) fn copy(&self) -> StdArc<Memory> {
        Memory::new(&self.user, self.dumpable())
    }

    pub(crate) fn dumpable(&self) -> bool {
        self.dumpable.load(Ordering::Relaxed)
    }

    pub(crate) fn set_dumpable(&self, dumpable: bool) {
        self.dumpable.store(dumpable, Ordering::Relaxed);
    }
}

/// What one task holds a share of. Given up when it exits.
#[derive(Clone)]
pub(crate) struct Shares {
    pub(crate) fs: StdArc<Fs>,
    pub(crate) handlers: StdArc<Handlers>,
    pub(crate) memory: StdArc<Memory>,
}

impl Shares {
    /// A process that shares nothing.
    pub(crate) fn alone(user: &Arc<UserNs>, places: Option<StdArc<Places>>) -> Shares {
        Shares { fs: Fs::new(places), handlers: StdArc::default(), memory: Memory::new(user, true) }
    }
}

/// The threads of a process.
#[derive(Default)]
pub(crate) struct ThreadGroup(Mutex<Members>);

#[derive(Default)]
struct Members {
    /// Most processes have one.
    threads: SmallVec<[Weak<Task>; 2]>,
    /// The first thread has exited before the others: a zombie that still counts as a member.
    dead_leader: bool,
    /// Threads that are complete and not born yet.
    births: u32,
    /// All threads are about to be switched at once.
    switching: bool,
}

/// Why a thread group cannot be switched as a whole now.
pub(crate) enum Unsettled {
    /// It has threads that the switch does not know.
    Grown,
    /// A thread is being made.
    Births,
}

impl ThreadGroup {
    pub(crate) fn join(&self, task: &StdArc<Task>) {
        self.0.lock().threads.push(StdArc::downgrade(task));
    }

    /// Takes `task` off the list. The leader keeps its place until the last thread has gone.
    pub(crate) fn leave(&self, task: &Task, leader: bool) {
        let mut members = self.0.lock();
        let before = members.threads.len();
        members.threads.retain(|thread| !core::ptr::eq(thread.as_ptr(), task));
        if members.threads.len() < before {
            members.dead_leader |= leader;
        }
        if members.threads.is_empty() {
            members.dead_leader = false;
        }
    }

    /// Announces a thread that is being made; false while the group is being switched.
    pub(crate) fn begin_birth(&self) -> bool {
        let mut members = self.0.lock();
        if !members.switching {
            members.births += 1;
        }
        !members.switching
    }

    /// The thread has been born, or never will be.
    pub(crate) fn end_birth(&self) {
        let mut members = self.0.lock();
        members.births = members.births.saturating_sub(1);
    }

    /// Keeps threads from being made until [`ThreadGroup::end_switch`], if these are all there
    /// are. Whoever asks holds the change locks of all of them.
    pub(crate) fn begin_switch(&self, held: &[StdArc<Task>]) -> Result<(), Unsettled> {
        let mut members = self.0.lock();
        let known = |thread: &Weak<Task>| {
            held.iter().any(|task| core::ptr::eq(StdArc::as_ptr(task), thread.as_ptr()))
        };
        if !members.threads.iter().all(known) {
            return Err(Unsettled::Grown);
        }
        if members.births > 0 {
            return Err(Unsettled::Births);
        }
        members.switching = true;
        Ok(())
    }

    /// The switch is over.
    pub(crate) fn end_switch(&self) {
        self.0.lock().switching = false;
    }

    /// Live threads, and the dead leader.
    pub(crate) fn count(&self) -> usize {
        let members = self.0.lock();
        members.threads.len() + usize::from(members.dead_leader)
    }

    /// Live threads only.
    pub(crate) fn live(&self) -> Vec<StdArc<Task>> {
        self.0.lock().threads.iter().filter_map(Weak::upgrade).collect()
    }

    /// The dead leader's place is taken over by the thread that executes a program.
    pub(crate) fn forget_dead_leader(&self) {
        self.0.lock().dead_leader = false;
    }
}
