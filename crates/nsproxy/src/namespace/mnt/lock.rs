//! The lock around the tree of mounts (`namespace_sem`), and the end of what nobody uses.
//!
//! The *turn* is held from the preparation of an operation to its commit or drop: what was checked
//! stays true. The tree's own mutex is held only while it is looked at or changed, so that readers
//! need not wait for a prepared operation. Dropping a namespace or a place never waits for the
//! turn: what died is noted, and buried by whoever has the turn, at the latest when giving it back.

use super::tree::{NsKey, Tree};
use crate::{
    sync::{Arc, Mutex, Turn},
    system::Kernel,
};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

/// The mounts of a system, behind their locks.
#[derive(Default)]
pub(crate) struct Mounts {
    turn: Turn,
    tree: Mutex<Tree>,
    dead: Mutex<Vec<NsKey>>,
    /// Something died since the last burial.
    unburied: AtomicBool,
}

impl Mounts {
    /// Looks at the tree, or changes it, and drops what that removed after letting go of it.
    pub(super) fn with<R>(&self, look: impl FnOnce(&mut Tree) -> R) -> R {
        let mut tree = self.tree.lock();
        let result = look(&mut tree);
        let garbage = core::mem::take(&mut tree.garbage);
        drop(tree);
        drop(garbage);
        result
    }

    /// Notes that a namespace has died, or the last user of a mount.
    pub(super) fn note_dead(&self, ns: Option<NsKey>) {
        self.dead.lock().extend(ns);
        self.unburied.store(true, Ordering::SeqCst);
    }

    fn bury(&self) {
        let dead = core::mem::take(&mut *self.dead.lock());
        self.with(|tree| {
            for ns in dead {
                tree.dissolve(ns);
            }
            tree.sweep();
        });
    }
}

/// The turn, held by a value that can be kept.
pub(super) struct MountTurn(Arc<Kernel>);

impl MountTurn {
    /// Waits for it.
    pub(super) fn take(kernel: &Arc<Kernel>) -> MountTurn {
        kernel.mounts.turn.take();
        MountTurn(Arc::clone(kernel))
    }

    pub(super) fn with<R>(&self, look: impl FnOnce(&mut Tree) -> R) -> R {
        self.0.mounts.with(look)
    }
}

impl Drop for MountTurn {
    fn drop(&mut self) {
        self.0.mounts.turn.give();
        reap(&self.0);
    }
}

/// Buries what has died, unless somebody has the turn: they will.
pub(super) fn reap(kernel: &Arc<Kernel>) {
    let mounts = &kernel.mounts;
    while mounts.unburied.load(Ordering::SeqCst) && mounts.turn.try_take() {
        if mounts.unburied.swap(false, Ordering::SeqCst) {
            mounts.bury();
        }
        mounts.turn.give();
    }
}
