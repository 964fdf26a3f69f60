//! Through which mount of its namespace a directory was opened, where that cannot be seen from the
//! directory itself: one may be mounted in several places. Known of the descriptor as which it was
//! opened; a copy of that, in another process or under another number, is taken to be of the mount
//! through which somebody has opened the directory last.
//!
//! What is forgotten costs a guess, so there is a limit to what is remembered.

use std::sync::Arc;

use nsproxy::MountId;
use parking_lot::RwLock;

use super::Identity;
use crate::maps::{HashMap, HashSet};
use crate::vfs::Backed;

/// So many directories are remembered.
const MAX: usize = 1 << 14;

/// From so many forks before a descriptor is known.
const GENERATIONS: usize = 32;

/// Namespace, device, number, and when it was made.
type Of = (u64, u64, u64, Option<(i64, u32)>);

/// A descriptor: process, and number.
pub(crate) type Number = (i32, i32);

#[derive(Debug, Default)]
pub(super) struct Seen {
    last: RwLock<HashMap<Of, MountId>>,
    numbers: RwLock<HashMap<Number, (Of, Arc<Backed>)>>,
    /// The processes that others were forked from.
    parents: RwLock<HashMap<i32, i32>>,
    pivoted: RwLock<HashSet<Of>>,
}

fn of(namespace: u64, identity: &Identity) -> Of {
    (namespace, identity.dev, identity.ino, identity.born)
}

impl Seen {
    pub(super) fn note(&self, namespace: u64, identity: &Identity, mount: MountId) {
        let of = of(namespace, identity);
        if self.last.read().get(&of) == Some(&mount) {
            return;
        }
        let mut last = self.last.write();
        if last.len() >= MAX {
            last.clear();
        }
        last.insert(of, mount);
    }

    pub(super) fn last(&self, namespace: u64, identity: &Identity) -> Option<MountId> {
        self.last.read().get(&of(namespace, identity)).copied()
    }

    pub(super) fn note_number(
        &self,
        number: Number,
        namespace: u64,
        identity: &Identity,
        mount: Arc<Backed>,
    ) {
        let mut numbers = self.numbers.write();
        if numbers.len() >= MAX {
            numbers.clear();
        }
        numbers.insert(number, (of(namespace, identity), mount));
    }

    /// The namespace in which a directory was opened as a certain descriptor, by the process or by
    /// one that it was forked from, and the mount.
    pub(super) fn of_number(
        &self,
        (mut process, fd): Number,
        identity: &Identity,
    ) -> Option<(u64, Arc<Backed>)> {
        let numbers = self.numbers.read();
        if numbers.is_empty() {
            return None;
        }
        for _ in 0..GENERATIONS {
            if let Some((known, mount)) = numbers.get(&(process, fd)) {
                let namespace = known.0;
                return (*known == of(namespace, identity)).then(|| (namespace, mount.clone()));
            }
            process = *self.parents.read().get(&process)?;
        }
        None
    }

    pub(super) fn note_fork(&self, parent: i32, child: i32) {
        let mut numbers = self.numbers.write();
        if numbers.is_empty() {
            return;
        }
        // What had this number before is dead.
        numbers.retain(|(process, _), _| *process != child);
        drop(numbers);
        let mut parents = self.parents.write();
        if parents.len() >= MAX {
            parents.clear();
        }
        parents.insert(child, parent);
    }

    pub(super) fn note_pivot(&self, namespace: u64, old_root: &Identity) {
        let mut pivoted = self.pivoted.write();
        if pivoted.len() >= MAX {
            pivoted.clear();
        }
        pivoted.insert(of(namespace, old_root));
    }

    pub(super) fn has_pivoted(&self, namespace: u64, identity: &Identity) -> bool {
        self.pivoted.read().contains(&of(namespace, identity))
    }
}
