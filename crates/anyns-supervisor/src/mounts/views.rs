//! What mount namespaces show, remembered by the generation of their tables.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use nsproxy::{AnyNamespace, MntNs};
use parking_lot::RwLock;

use super::Mounts;
use crate::maps::HashMap;
use crate::vfs::View;

/// So many mount namespaces are remembered with what they show.
const VIEWS_MAX: usize = 1024;

/// So many namespaces that have changed are looked at again at once.
const LOOKED_AT_AGAIN: usize = 2;

/// A namespace, and what it showed when that was last asked.
pub(super) type Shown = (Weak<MntNs>, Arc<View>);

/// Namespaces that once showed something else than the host does. What was opened then stays open when
/// that is unmounted, so that their paths are never the kernel's again.
#[derive(Debug, Default)]
pub(super) struct Strayed(RwLock<HashMap<u64, Weak<MntNs>>>);

impl Strayed {
    fn has(&self, id: u64) -> bool {
        self.0.read().contains_key(&id)
    }

    fn note(&self, id: u64, ns: &nsproxy::Arc<MntNs>) {
        if self.has(id) {
            return;
        }
        let mut all = self.0.write();
        all.retain(|_, ns| ns.strong_count() > 0);
        all.insert(id, nsproxy::Arc::downgrade(ns));
    }
}

impl Mounts {
    /// What the host's own namespace shows.
    pub(crate) fn hosts_view(&self) -> Option<Arc<View>> {
        let told = self.told.get()?;
        Some(
            told.view
                .get_or_init(|| {
                    Arc::new(View::new(self, told.namespace, &told.table, Some(&told.table), None))
                })
                .clone(),
        )
    }

    /// What a namespace shows now.
    pub(crate) fn view(&self, ns: &nsproxy::Arc<MntNs>) -> Arc<View> {
        let id = AnyNamespace::Mnt(ns.clone()).id();
        let now = ns.generation();
        let before = {
            let views = self.views.read();
            let known = views.get(&id).map(|(_, view)| view);
            match known {
                Some(view) if view.generation() == now && view.is_right(self.renames()) => {
                    return view.clone();
                }
                known => known.cloned(),
            }
        };
        let table = ns.table();
        let boot = self.told.get().map(|told| &*told.table).filter(|_| !self.strayed.has(id));
        let view = Arc::new(View::new(self, id, &table, boot, before.as_deref()));
        if !view.is_hosts() {
            self.strayed.note(id, ns);
        }
        let mut views = self.views.write();
        if views.len() >= VIEWS_MAX {
            views.clear();
        }
        let old = views.insert(id, (nsproxy::Arc::downgrade(ns), view.clone()));
        drop(views);
        drop(old);
        view
    }

    /// Has a namespace count as one that shows something else than the host does.
    pub(crate) fn stray(&self, ns: &nsproxy::Arc<MntNs>) {
        let id = AnyNamespace::Mnt(ns.clone()).id();
        self.strayed.note(id, ns);
        let mut views = self.views.write();
        let old = views.get(&id).is_some_and(|(_, view)| view.is_hosts());
        let old = old.then(|| views.remove(&id));
        drop(views);
        drop(old);
    }

    /// Whether some namespace shows, or showed, something else than the host does.
    pub(crate) fn has_strayed(&self) -> bool {
        !self.strayed.0.read().is_empty()
    }

    /// How many renames of mount points are known of.
    pub(crate) fn renames(&self) -> u64 {
        self.renames.load(Ordering::Acquire)
    }

    /// Notes that something of a name that mount points have has been renamed.
    pub(crate) fn note_rename(&self) {
        self.renames.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether a rename of something of these names may be one of a mount point of some namespace.
    pub(crate) fn may_be_points(&self, names: [&[u8]; 2]) -> bool {
        let views = self.views.read();
        let mut views = views.values().filter(|(_, view)| !view.is_hosts());
        views.any(|(_, view)| names.iter().any(|name| view.may_be_point(name)))
    }

    /// Lets go of what namespaces showed before their last change, and with it of mounts. Of a few that
    /// is looked at again, since they will be asked for next, and most of it is as it was.
    pub(super) fn drop_old_views(&self) {
        let mut changed = Vec::new();
        let mut old = Vec::new();
        self.views.write().retain(|_, (ns, view)| {
            let ns = ns.upgrade();
            let is_now = ns.as_ref().is_some_and(|ns| ns.generation() == view.generation());
            let stays = is_now || ns.is_some() && changed.len() < LOOKED_AT_AGAIN;
            if !is_now {
                changed.extend(ns);
            }
            if !stays {
                old.push(view.clone());
            }
            stays
        });
        // The last of a file system may go with them.
        drop(old);
        for (index, ns) in changed.iter().enumerate() {
            if index < LOOKED_AT_AGAIN {
                drop(self.view(ns));
            }
            drop(ns.table());
        }
    }
}
