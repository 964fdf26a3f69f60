//! A task's root and working directory, and chroot(2).

use super::{MntNs, Place, place::Hold, tree::MountId};
use crate::{
    Kind,
    capability::Cap,
    rule::{Refusal, Refuse, Rule, Value},
    sync::{Arc, Mutex},
    system::Kernel,
    task::Task,
};
use alloc::{
    sync::{Arc as StdArc, Weak},
    vec::Vec,
};

/// Root and working directory (the paths of `struct fs_struct`). A child begins with its parent's
/// very object, until one of them moves.
pub(crate) struct Places {
    kernel: Arc<Kernel>,
    /// Where everybody's are known.
    seat: usize,
    held: Mutex<(Place, Place)>,
}

/// The directories of every task, for pivot_root(2), which moves them all.
#[derive(Default)]
pub(crate) struct Everybody {
    known: Mutex<Seats>,
    /// Held while somebody moves.
    moving: Mutex<()>,
}

/// Numbered places in a row, given again when they are free.
#[derive(Default)]
struct Seats {
    taken: Vec<Option<Weak<Places>>>,
    free: Vec<usize>,
}

impl Seats {
    fn take(&mut self, of: Weak<Places>) -> usize {
        match self.free.pop() {
            Some(seat) => {
                self.taken[seat] = Some(of);
                seat
            }
            None => {
                self.taken.push(Some(of));
                self.taken.len() - 1
            }
        }
    }

    fn leave(&mut self, seat: usize) -> Option<Weak<Places>> {
        self.free.push(seat);
        self.taken[seat].take()
    }
}

impl Everybody {
    pub(super) fn all(&self) -> Vec<StdArc<Places>> {
        let known: Vec<Weak<Places>> = self.known.lock().taken.iter().flatten().cloned().collect();
        // Not under the lock: the last of these may end one.
        known.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Places {
    pub(crate) fn new(root: Place, pwd: Place) -> StdArc<Places> {
        let kernel = Arc::clone(root.kernel());
        StdArc::new_cyclic(|this| {
            let seat = kernel.everybody.known.lock().take(Weak::clone(this));
            Places { kernel, seat, held: Mutex::new((root, pwd)) }
        })
    }

    /// Those of a task that was there before the system: the root of its namespace. `None` where
    /// mount namespaces are not built in.
    pub(crate) fn at_root(kernel: &Kernel, ns: &MntNs) -> Option<StdArc<Places>> {
        let built = kernel.config.built.contains(Kind::Mnt);
        let root = ns.root().filter(|_| built)?;
        Some(Places::new(root.clone(), root))
    }

    /// Does something while nobody else moves.
    pub(crate) fn one_at_a_time<R>(kernel: &Kernel, act: impl FnOnce() -> R) -> R {
        let _moving = kernel.everybody.moving.lock();
        act()
    }

    pub(crate) fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// The root directory.
    pub(crate) fn root(&self) -> Place {
        self.held.lock().0.clone()
    }

    /// The working directory.
    pub(crate) fn pwd(&self) -> Place {
        self.held.lock().1.clone()
    }

    pub(crate) fn copy(&self) -> StdArc<Places> {
        Places::new(self.root(), self.pwd())
    }

    fn set(&self, root: Option<Place>, pwd: Option<Place>) {
        let mut held = self.held.lock();
        let old = (
            root.map(|root| core::mem::replace(&mut held.0, root)),
            pwd.map(|pwd| core::mem::replace(&mut held.1, pwd)),
        );
        drop(held);
        drop(old);
    }

    /// Moves both to copies of their mounts, where there are any. Called with the tree locked: a
    /// place's end takes the turn only if it is free, which it is not.
    pub(super) fn follow(&self, copy_of: impl Fn(MountId) -> Option<StdArc<Hold>>) {
        let moved = |place: &Place| {
            let hold = copy_of(place.mount())?;
            Some(Place::new(place.kernel(), &hold, place.dentry()))
        };
        let (root, pwd) = (self.root(), self.pwd());
        self.set(moved(&root), moved(&pwd));
    }

    /// Moves what is exactly `from` to `to`.
    pub(super) fn replace(&self, from: &Place, to: &Place) {
        let (root, pwd) = (self.root(), self.pwd());
        let moved = |place: &Place| (place == from).then(|| to.clone());
        self.set(moved(&root), moved(&pwd));
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let left = self.kernel.everybody.known.lock().leave(self.seat);
        drop(left);
    }
}

/// chroot(2) by `task`: `to` is a directory that it found and may search.
pub fn chroot(task: &StdArc<Task>, to: &Place) -> Result<(), Refusal> {
    task.reported("chroot", set_root(task, to))
}

fn set_root(task: &Task, to: &Place) -> Result<(), Refusal> {
    let cred = task.cred();
    if !cred.has(&cred.user, Cap::SYS_CHROOT) {
        let own = Value::Namespace(Kind::User, cred.user.inode());
        return Err(Rule::ChrootNeedsChroot.refuse().with("in", own));
    }
    task.move_places(|places| Places::new(to.clone(), places.pwd()));
    Ok(())
}

impl Task {
    fn move_places(&self, new: impl FnOnce(&Places) -> StdArc<Places>) {
        drop(self.with_shares(|shares| shares.as_ref()?.fs.set_places(new)));
    }

    /// Moves its working directory, and that of all who share it: chdir(2) or fchdir(2) to a
    /// directory that it found and may search. Nothing here refuses that.
    pub fn set_pwd(&self, to: &Place) {
        self.move_places(|places| Places::new(places.root(), to.clone()));
    }

    /// Its root directory, if mount namespaces are built in and it has not exited.
    pub fn root(&self) -> Option<Place> {
        self.with_places(Places::root)
    }

    /// Its working directory, if mount namespaces are built in and it has not exited.
    pub fn pwd(&self) -> Option<Place> {
        self.with_places(Places::pwd)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::{CloneFlags, Config, Cred, System, exit, unshare};

    #[test]
    fn nothing_is_kept_of_those_who_have_ended() {
        let system = System::new(Config::default());
        let known = || system.kernel().everybody.known.lock().taken.iter().flatten().count();
        let before = known();
        for _ in 0..3 {
            let task = system.adopt(None, Cred::root(&system.init_user()));
            unshare(&task, CloneFlags::NEWNS).unwrap();
            assert!(known() > before);
            exit(&task);
        }
        assert_eq!(known(), before);
    }
}
