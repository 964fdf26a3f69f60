//! What the directories of `/proc` list: the processes that the reader can see, by its numbers.
//!
//! A listing is the kernel's, some names of which are left out or exchanged. Places in the directory
//! stay the kernel's, so seekdir(3) and rewinddir(3) need nothing. They are in the order of numbers,
//! so an init, which is 1, is listed in the place of the host's.

use std::collections::BTreeSet;

use super::Node;
use crate::abi::dirent::{self, Dirent};
use crate::numbers::View;

/// A directory whose listing depends on who reads it.
pub(crate) struct Listed<'a> {
    view: View<'a>,
    /// The processes that are shown; `None` in a directory of threads, all of which are.
    processes: Option<BTreeSet<i32>>,
    /// The init that is listed in the place of the host's, and its directory's inode number.
    first: Option<(i32, u64)>,
}

/// The listing of a directory; `None` if the kernel's is right.
pub(crate) fn listed<'a>(node: &Node, view: View<'a>) -> Option<Listed<'a>> {
    match node {
        Node::Root => {
            let processes = Some(view.processes().into_iter().collect());
            Some(Listed { view, processes, first: None })
        }
        Node::Tasks { .. } => Some(Listed { view, processes: None, first: None }),
        _ => None,
    }
}

impl Listed<'_> {
    /// Has the init listed first, if the host lists its own. `inode` gives the inode number of what
    /// the directory has by a number of the host's.
    pub(crate) fn put_first(&mut self, inode: impl Fn(i32) -> Option<u64>) {
        let Some(processes) = &self.processes else { return };
        let init = self.view.init().filter(|init| processes.contains(init));
        // Where the host hides its own there is no such place.
        if let Some(init) = init
            && !processes.contains(&1)
            && inode(1).is_some()
        {
            self.first = inode(init).map(|inode| (init, inode));
        }
    }

    /// The entries that are shown, of those that getdents64(2), or getdents(2) if `legacy`, gave.
    pub(crate) fn entries(&self, all: &[u8], legacy: bool) -> Vec<u8> {
        dirent::chosen(all, legacy, |entry, shown| self.entry(entry, shown))
    }

    fn entry(&self, entry: &Dirent<'_>, shown: &mut Vec<u8>) {
        let Some(tid) = entry.number() else { return entry.append(shown) };
        if let Some((init, inode)) = self.first {
            if tid == 1 {
                entry.append_of(inode, shown);
            }
            if tid == 1 || tid == init {
                return;
            }
        }
        if self.processes.as_ref().is_some_and(|processes| !processes.contains(&tid)) {
            return;
        }
        match self.view.number_seen(tid) {
            Some(number) if number == tid => entry.append(shown),
            // It is the init, whose name is no longer than any other.
            Some(number) => entry.append_as(number, shown),
            None => {}
        }
    }
}
