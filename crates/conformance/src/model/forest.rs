//! The directories of the model: trees in memory, one a file system, that answer `nsproxy`.

use std::collections::HashMap;
use std::sync::Arc;

use nsproxy::{AnyNamespace, Dentry, Files, Super, UserNs};

/// The file system that is there from the beginning.
pub(super) const HOST: u64 = 1;
/// That of the files in `/proc/PID/ns`.
pub(super) const NSFS: u64 = 2;

/// A file or directory.
struct Node {
    directory: bool,
    /// Its name and directory; none for a root, and once it was removed.
    place: Option<(Dentry, String)>,
    removed: bool,
    entries: HashMap<String, Dentry>,
    namespace: Option<AnyNamespace>,
}

/// Every file system, by number, and what is in it. The root of each has the number 0.
pub(super) struct Forest {
    nodes: HashMap<Dentry, Node>,
    next_super: u64,
    next_node: u64,
    device: u32,
}

impl Forest {
    pub(super) fn new() -> Forest {
        let mut forest =
            Forest { nodes: HashMap::new(), next_super: NSFS, next_node: 0, device: 40 };
        forest.plant(0); // what a system begins with
        forest.plant(HOST);
        forest.plant(NSFS);
        forest
    }

    fn plant(&mut self, super_id: u64) {
        let root = Dentry { super_id, id: 0 };
        self.nodes.insert(root, Node::new(true, None));
    }

    /// A new file system of a type, and its root.
    pub(super) fn make(&mut self, kind: &str, owner: &Arc<UserNs>) -> (Arc<Super>, Dentry) {
        self.next_super += 1;
        self.device += 1;
        let id = self.next_super;
        self.plant(id);
        let made = Super::new(id, kind, (0, self.device), owner);
        let made = match kind {
            "pipefs" => made.internal(),
            "proc" | "sysfs" => made.revealing(),
            "tmpfs" => made.idmappable(),
            _ => made,
        };
        (Arc::new(made), Dentry { super_id: id, id: 0 })
    }

    pub(super) fn entry(&self, directory: Dentry, name: &str) -> Option<Dentry> {
        self.nodes.get(&directory)?.entries.get(name).copied()
    }

    /// The names in a directory.
    pub(super) fn names(&self, directory: Dentry) -> Vec<String> {
        self.nodes
            .get(&directory)
            .map_or_else(Vec::new, |node| node.entries.keys().cloned().collect())
    }

    /// The directory that something is in.
    pub(super) fn above(&self, at: Dentry) -> Option<Dentry> {
        Some(self.nodes.get(&at)?.place.as_ref()?.0)
    }

    /// Makes a file or directory.
    pub(super) fn add(&mut self, directory: Dentry, name: &str, is_directory: bool) -> Dentry {
        self.next_node += 1;
        let at = Dentry { super_id: directory.super_id, id: self.next_node };
        self.nodes.insert(at, Node::new(is_directory, Some((directory, name.to_owned()))));
        if let Some(above) = self.nodes.get_mut(&directory) {
            above.entries.insert(name.to_owned(), at);
        }
        at
    }

    /// Makes a directory with all above it; for the beginning.
    pub(super) fn add_path(&mut self, path: &str) {
        let mut at = Dentry { super_id: HOST, id: 0 };
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = match self.entry(at, name) {
                Some(known) => known,
                None => self.add(at, name, true),
            };
        }
    }

    pub(super) fn is_empty(&self, directory: Dentry) -> bool {
        self.nodes.get(&directory).is_none_or(|node| node.entries.is_empty())
    }

    /// Whether something was removed itself.
    pub(super) fn is_removed(&self, at: Dentry) -> bool {
        self.nodes.get(&at).is_some_and(|node| node.removed)
    }

    /// Removes it from its directory.
    pub(super) fn remove(&mut self, at: Dentry) {
        let Some(node) = self.nodes.get_mut(&at) else { return };
        node.removed = true;
        if let Some((above, name)) = node.place.clone()
            && let Some(above) = self.nodes.get_mut(&above)
        {
            above.entries.remove(&name);
        }
    }

    /// The file of a namespace.
    pub(super) fn namespace_file(&mut self, namespace: &AnyNamespace) -> Dentry {
        let at = Dentry { super_id: NSFS, id: namespace.id() };
        let node = Node { namespace: Some(namespace.clone()), ..Node::new(false, None) };
        self.nodes.entry(at).or_insert(node);
        at
    }
}

impl Node {
    fn new(directory: bool, place: Option<(Dentry, String)>) -> Node {
        Node { directory, place, removed: false, entries: HashMap::new(), namespace: None }
    }
}

impl Files for Forest {
    fn is_directory(&self, at: Dentry) -> bool {
        self.nodes.get(&at).is_some_and(|node| node.directory)
    }

    fn is_below(&self, at: Dentry, above: Dentry) -> bool {
        let mut here = Some(at);
        while let Some(dentry) = here {
            if dentry == above {
                return true;
            }
            here = self.above(dentry);
        }
        false
    }

    fn is_unlinked(&self, at: Dentry) -> bool {
        self.is_removed(at)
    }

    fn path(&self, at: Dentry, above: Dentry) -> Vec<u8> {
        let mut names: Vec<&str> = Vec::new();
        let mut here = at;
        while here != above {
            let Some((up, name)) = self.nodes.get(&here).and_then(|node| node.place.as_ref())
            else {
                break;
            };
            names.push(name);
            here = *up;
        }
        names.reverse();
        names.join("/").into_bytes()
    }

    fn namespace(&self, at: Dentry) -> Option<AnyNamespace> {
        self.nodes.get(&at)?.namespace.clone()
    }
}
