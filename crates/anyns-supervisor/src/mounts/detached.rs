//! Trees of mounts that are in no namespace: what a descriptor of open_tree(2) or fsmount(2) stands for,
//! and what is seen by paths that begin there.

use std::sync::{Arc, Weak};

use nsproxy::{Dentry, DetachedTree, MountId, Place, Table};
use parking_lot::{Mutex, RwLock};

use super::Mounts;
use crate::maps::HashMap;
use crate::vfs::View;

/// A tree, with what it shows.
#[derive(Debug)]
pub(crate) struct Detached {
    tree: DetachedTree,
    /// As of some generation; once it was moved to a namespace, as it was last.
    view: Mutex<Arc<View>>,
}

impl Detached {
    /// Its top.
    pub(crate) fn root(&self) -> Place {
        self.tree.root()
    }

    /// Its mounts now.
    pub(super) fn table(&self) -> Table {
        self.tree.table()
    }

    /// A file or directory seen through one of the mounts of its table.
    pub(super) fn place(&self, table: &Table, on: MountId, dentry: Dentry) -> Option<Place> {
        self.tree.place(table, on, dentry)
    }

    /// What it shows, and whether it still is in no namespace.
    pub(crate) fn view(&self, mounts: &Mounts) -> (Arc<View>, bool) {
        let table = self.tree.table();
        let known = self.view.lock().clone();
        if table.get(table.root()).is_none() {
            return (known, false);
        }
        if view_is_now(&known, &table, mounts) {
            return (known, true);
        }
        let now = Arc::new(View::new(mounts, self.tree.id(), &table, None, Some(&known)));
        // The last of a file system may go with the old one.
        let old = std::mem::replace(&mut *self.view.lock(), now.clone());
        drop(old);
        (now, true)
    }
}

fn view_is_now(view: &View, table: &Table, mounts: &Mounts) -> bool {
    view.generation() == table.generation() && view.is_right(mounts.renames())
}

/// The trees whose descriptors are open.
#[derive(Debug, Default)]
pub(super) struct All(RwLock<HashMap<u64, Weak<Detached>>>);

impl Mounts {
    /// Keeps a tree that a descriptor is to stand for.
    pub(crate) fn keep_detached(&self, tree: DetachedTree) -> Arc<Detached> {
        let id = tree.id();
        let view = Arc::new(View::new(self, id, &tree.table(), None, None));
        let new = Arc::new(Detached { tree, view: Mutex::new(view) });
        let mut all = self.detached.0.write();
        all.retain(|_, tree| tree.strong_count() > 0);
        all.insert(id, Arc::downgrade(&new));
        new
    }

    /// The tree with this id, if a descriptor stands for it.
    pub(super) fn detached(&self, id: u64) -> Option<Arc<Detached>> {
        let all = self.detached.0.read();
        all.get(&id)?.upgrade()
    }

    /// What the tree shows, of those in no namespace, that a mount is in.
    pub(crate) fn detached_with(&self, mount: MountId) -> Option<Arc<View>> {
        let all: Vec<_> = self.detached.0.read().values().filter_map(Weak::upgrade).collect();
        let views = all.iter().map(|tree| tree.view(self));
        let mut views = views.filter_map(|(view, is_detached)| is_detached.then_some(view));
        views.find(|view| view.get(mount).is_some())
    }
}
