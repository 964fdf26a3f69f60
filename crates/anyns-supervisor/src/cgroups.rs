//! Cgroups, as far as cgroup namespaces need them (cgroup_namespaces(7)): where guests are, by the
//! host's word, and by which paths somebody in a namespace reads that.
//!
//! State: the cgroups that were met, so that one is the same object each time it is.
//! Not here: who is in which cgroup, and who may change it. That is the host's.

use std::sync::{Arc as StdArc, Weak};

use anyns_trap::record::record;
use nsproxy::{Arc, Cgroup, CgroupNs, CgroupTarget, Hierarchy, Newborn, System, Task};
use parking_lot::Mutex;

use crate::Supervisor;
use crate::maps::HashMap;

/// So many are remembered before those in which nothing begins and nobody is are forgotten.
const MANY: usize = 256;

/// What the kernel adds to the path of a cgroup of version 2 that has been removed.
const DELETED: &[u8] = b" (deleted)";

/// A hierarchy, and a path in it.
type Way = (u32, Vec<u8>);

/// A cgroup, and the inode number of its directory, as far as the host shows it.
type Met = (Option<u64>, Weak<Cgroup>);

/// The cgroups that were met.
#[derive(Default)]
pub(crate) struct Cgroups(Mutex<HashMap<Way, Met>>);

/// One line of `/proc/PID/cgroup`.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    hierarchy: u32,
    controllers: &'a [u8],
    path: &'a [u8],
    deleted: bool,
}

fn lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let hierarchy = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let (controllers, path) = (fields.next()?, fields.next()?);
        // Nobody else's names end like that: version 1 does not say it.
        let kept = path.strip_suffix(DELETED).filter(|_| hierarchy == 0);
        Some(Line { hierarchy, controllers, path: kept.unwrap_or(path), deleted: kept.is_some() })
    })
}

/// The hierarchies of this host, in its order.
pub(crate) fn hierarchies() -> Vec<Hierarchy> {
    let text = record("/proc/self/cgroup").unwrap_or_default();
    let hierarchy = |line: Line<'_>| Hierarchy {
        id: line.hierarchy,
        controllers: String::from_utf8_lossy(line.controllers).into_owned(),
    };
    lines(&text).map(hierarchy).collect()
}

impl Cgroups {
    /// The cgroup of a path as the host has it; none of a hierarchy that there was not at the start.
    /// `inode` tells what is there now: another than before had the path is another cgroup.
    fn at(
        &self,
        system: &System,
        hierarchy: u32,
        path: &[u8],
        inode: impl Fn(&[u8]) -> Option<u64>,
    ) -> Option<StdArc<Cgroup>> {
        let mut at = system.cgroup_root(hierarchy)?;
        let mut met = self.0.lock();
        let mut way = Vec::with_capacity(path.len());
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            way.push(b'/');
            way.extend_from_slice(name);
            let there = inode(&way);
            let known = met.get(&(hierarchy, way.clone()));
            let same = known.filter(|(was, _)| there.is_none() || there == *was);
            at = same.and_then(|(_, cgroup)| cgroup.upgrade()).unwrap_or_else(|| {
                if met.len() >= MANY && met.len().is_power_of_two() {
                    met.retain(|_, (_, cgroup)| cgroup.strong_count() > 0);
                }
                let new = at.make(name);
                met.insert((hierarchy, way.clone()), (there, StdArc::downgrade(&new)));
                new
            });
        }
        Some(at)
    }
}

impl Supervisor {
    /// The cgroup of a path of the host's.
    fn cgroup(&self, hierarchy: u32, path: &[u8]) -> Option<StdArc<Cgroup>> {
        let inode = |path: &[u8]| {
            let (_, fd) = self.mounts.cgroup(hierarchy, path).ok()?;
            Some(rustix::fs::fstat(fd).ok()?.st_ino)
        };
        self.cgroups.at(&self.system, hierarchy, path, inode)
    }

    /// Tells the model in which cgroups a thread is, of all hierarchies.
    pub(crate) fn note_cgroups(&self, tid: i32, task: &Task) {
        // Who is gone meanwhile makes no namespace.
        let text = record(&format!("/proc/{tid}/cgroup")).unwrap_or_default();
        for line in lines(&text) {
            if let Some(cgroup) = self.cgroup(line.hierarchy, line.path) {
                task.set_cgroup(&cgroup);
            }
        }
    }

    /// Lets the cgroup namespace of a child begin where the kernel has put it (CLONE_INTO_CGROUP).
    pub(crate) fn note_birth_in_cgroup(&self, child: i32, newborn: &Newborn) {
        let text = record(&format!("/proc/{child}/cgroup")).unwrap_or_default();
        let unified = lines(&text).find(|line| line.hierarchy == 0);
        let cgroup = unified.and_then(|line| self.cgroup(0, line.path));
        if let Some(cgroup) = cgroup {
            // Whether it might the kernel has said.
            let _ = newborn.enter_cgroup(CgroupTarget::Cgroup(&cgroup), |_| true);
        }
    }

    /// The path of a cgroup, given by the host's, as it is read in a namespace.
    pub(crate) fn cgroup_path(&self, hierarchy: u32, path: &[u8], ns: &CgroupNs) -> Vec<u8> {
        match self.cgroup(hierarchy, path) {
            Some(cgroup) => ns.path(&cgroup),
            None => path.to_vec(),
        }
    }

    /// Where a namespace begins in a hierarchy, by the host's path.
    pub(crate) fn cgroup_root(&self, hierarchy: u32, ns: &CgroupNs) -> Option<Vec<u8>> {
        Some(self.system.init_nsproxy().cgroup.path(&*ns.root(hierarchy)?))
    }

    /// The text of a `/proc/PID/cgroup` as it is read in a namespace; `exited` if that is of a process
    /// that has, which version 1 lets go of.
    pub(crate) fn cgroups_seen(&self, text: &[u8], exited: bool, ns: &CgroupNs) -> Vec<u8> {
        let mut seen = Vec::with_capacity(text.len());
        for line in lines(text) {
            seen.extend_from_slice(format!("{}:", line.hierarchy).as_bytes());
            seen.extend_from_slice(line.controllers);
            seen.push(b':');
            match exited && line.hierarchy != 0 {
                true => seen.push(b'/'),
                false => seen.extend(self.cgroup_path(line.hierarchy, line.path, ns)),
            }
            if line.deleted {
                seen.extend_from_slice(DELETED);
            }
            seen.push(b'\n');
        }
        seen
    }
}

/// Whether somebody reads paths of cgroups as the host does.
pub(crate) fn is_hosts(system: &System, ns: &Arc<CgroupNs>) -> bool {
    Arc::ptr_eq(ns, &system.init_nsproxy().cgroup)
}
