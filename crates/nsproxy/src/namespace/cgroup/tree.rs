//! Cgroups as far as namespaces need them: who is below whom, and what each is called.

use alloc::{string::String, sync::Arc as StdArc, vec::Vec};
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

/// One tree of cgroups: version 2 has one, version 1 one for each set of controllers that is
/// mounted by itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Hierarchy {
    /// The first field of `/proc/PID/cgroup`: 0 for version 2.
    pub id: u32,
    /// The second one: the controllers, `name=systemd` and the like; empty for version 2.
    pub controllers: String,
}

impl Hierarchy {
    /// The tree of version 2.
    pub const UNIFIED: Hierarchy = Hierarchy { id: 0, controllers: String::new() };

    /// Says whether it is the tree of version 2.
    pub fn is_unified(&self) -> bool {
        self.id == 0
    }
}

/// A cgroup: a directory of one hierarchy. It is the same cgroup as long as it is the same object.
pub struct Cgroup {
    hierarchy: StdArc<Hierarchy>,
    parent: Option<StdArc<Cgroup>>,
    name: Vec<u8>,
    depth: usize,
    removed: AtomicBool,
}

impl Cgroup {
    /// The root of a hierarchy.
    pub(crate) fn root(hierarchy: Hierarchy) -> StdArc<Cgroup> {
        StdArc::new(Cgroup {
            hierarchy: StdArc::new(hierarchy),
            parent: None,
            name: Vec::new(),
            depth: 0,
            removed: AtomicBool::new(false),
        })
    }

    /// Makes a cgroup below this one. That names differ is the file system's to see to.
    pub fn make(self: &StdArc<Cgroup>, name: &[u8]) -> StdArc<Cgroup> {
        StdArc::new(Cgroup {
            hierarchy: StdArc::clone(&self.hierarchy),
            parent: Some(StdArc::clone(self)),
            name: Vec::from(name),
            depth: self.depth + 1,
            removed: AtomicBool::new(false),
        })
    }

    /// Its hierarchy.
    pub fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// The cgroup above it; `None` for a root.
    pub fn parent(&self) -> Option<&StdArc<Cgroup>> {
        self.parent.as_ref()
    }

    /// Notes that its directory was removed. Zombies may still be in it, and namespaces begin there.
    pub fn set_removed(&self) {
        self.removed.store(true, Ordering::Relaxed);
    }

    /// Says whether its directory was removed.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }

    /// The nearest cgroup that both are, or are below; `None` if they are of different hierarchies.
    pub fn common_ancestor<'a>(&'a self, other: &'a Cgroup) -> Option<&'a Cgroup> {
        let (mut one, mut two) = (self, other);
        while !core::ptr::eq(one, two) {
            if one.depth >= two.depth {
                one = one.parent.as_deref()?;
            } else {
                two = two.parent.as_deref()?;
            }
        }
        Some(one)
    }

    /// Its path as seen from `from`: `/` for itself, `/a/b` below it, `/..` above, `/../b` beside.
    pub(super) fn path_from(&self, from: &Cgroup) -> Vec<u8> {
        let Some(common) = self.common_ancestor(from) else { return Vec::from(b"/") };
        let mut path = b"/..".repeat(from.depth - common.depth);
        let mut names = Vec::new();
        let mut at = self;
        while let (false, Some(parent)) = (core::ptr::eq(at, common), &at.parent) {
            names.push(&at.name);
            at = parent;
        }
        for name in names.into_iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() { Vec::from(b"/") } else { path }
    }
}

impl Drop for Cgroup {
    /// Lets go of the cgroups above one by one: a tree may be deeper than the stack.
    fn drop(&mut self) {
        let mut above = self.parent.take();
        while let Some(mut last) = above.and_then(StdArc::into_inner) {
            above = last.parent.take();
        }
    }
}

impl fmt::Debug for Cgroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut root = self;
        while let Some(parent) = &root.parent {
            root = parent;
        }
        write!(f, "{}:{}", self.hierarchy.id, self.path_from(root).escape_ascii())
    }
}

/// A cgroup of every hierarchy (`struct css_set`): where a task is, or where a namespace begins.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups(Vec<StdArc<Cgroup>>);

impl Cgroups {
    /// The roots of these hierarchies, and of version 2 if it is not among them.
    pub(crate) fn roots(hierarchies: &[Hierarchy]) -> Cgroups {
        let unified = hierarchies.iter().all(|one| !one.is_unified());
        let all = hierarchies.iter().cloned().chain(unified.then_some(Hierarchy::UNIFIED));
        Cgroups(all.map(Cgroup::root).collect())
    }

    /// That of one hierarchy.
    pub(crate) fn of(&self, hierarchy: u32) -> Option<&StdArc<Cgroup>> {
        self.0.iter().find(|cgroup| cgroup.hierarchy.id == hierarchy)
    }

    /// The same with another one in the hierarchy of `new`.
    pub(crate) fn with(&self, new: &StdArc<Cgroup>) -> Cgroups {
        let place = |old: &StdArc<Cgroup>| match old.hierarchy.id == new.hierarchy.id {
            true => StdArc::clone(new),
            false => StdArc::clone(old),
        };
        Cgroups(self.0.iter().map(place).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &StdArc<Cgroup>> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_up_to_the_common_ancestor_and_down_again() {
        let root = Cgroup::root(Hierarchy::UNIFIED);
        let kf = root.make(b"kf");
        let (a, b) = (kf.make(b"a"), kf.make(b"b"));
        let c = a.make(b"c");
        for (of, from, path) in [
            (&root, &root, "/"),
            (&a, &a, "/"),
            (&c, &a, "/c"),
            (&c, &kf, "/a/c"),
            (&c, &root, "/kf/a/c"),
            (&kf, &a, "/.."),
            (&root, &a, "/../.."),
            (&b, &a, "/../b"),
            (&b, &c, "/../../b"),
        ] {
            assert_eq!(of.path_from(from), path.as_bytes(), "{of:?} from {from:?}");
        }
        let other = Cgroup::root(Hierarchy { id: 4, controllers: "memory".into() });
        assert!(other.common_ancestor(&a).is_none());
    }

    #[test]
    fn a_very_deep_tree_can_be_dropped() {
        // Miri would take an hour for what overflows a stack elsewhere.
        let deep = if cfg!(miri) { 300 } else { 200_000 };
        let mut at = Cgroup::root(Hierarchy::UNIFIED);
        for _ in 0..deep {
            at = at.make(b"x");
        }
        assert_eq!(at.depth, deep);
    }
}
