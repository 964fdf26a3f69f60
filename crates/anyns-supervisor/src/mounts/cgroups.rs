//! Mounts of cgroups: the host's own file systems, from where the mounter's namespace begins.
//!
//! Here: which of them, and which directory of it.
//! Not here: what may be done in it, which is the host's, and who may mount, which is the model's.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use nsproxy::{Dentry, Hierarchy, Super};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Mounts;
use super::options::Given;
use super::spots::{ROOT, below, trimmed};

/// What a mount can be told besides what it shows. Outside of the initial namespace it is not heard.
const UNHEARD: [&str; 5] = ["all", "none", "clone_children", "noprefix", "xattr"];

/// The same of version 2.
const UNHEARD_2: [&str; 6] = [
    "nsdelegate",
    "favordynmods",
    "memory_localevents",
    "memory_recursiveprot",
    "memory_hugetlb_accounting",
    "pids_localevents",
];

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

const WITHIN: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

impl Mounts {
    /// The hierarchies of version 1.
    fn hierarchies(&self) -> impl Iterator<Item = &Hierarchy> {
        let all = self.told.get().map(|told| told.hierarchies.as_slice()).unwrap_or_default();
        all.iter().filter(|one| !one.is_unified())
    }

    /// The hierarchy that a mount shows, by its type and the options of its file system.
    pub(crate) fn hierarchy(&self, kind: &str, options: impl FnOnce() -> String) -> Option<u32> {
        match kind {
            "cgroup2" => Some(Hierarchy::UNIFIED.id),
            "cgroup" => {
                let options = options();
                let given: Vec<&str> = options.split(',').collect();
                let all_given = |one: &&Hierarchy| words(one).all(|word| given.contains(&word));
                self.hierarchies().find(all_given).map(|one| one.id)
            }
            _ => None,
        }
    }

    /// Checks the options of a mount, and gives those that name what it is to show: controllers, and
    /// a hierarchy (`name=x`).
    ///
    /// # Errors
    /// EINVAL for what is no option, and no controller's name.
    pub(super) fn cgroup_options(&self, kind: &str, given: &Given) -> Result<Vec<String>, Errno> {
        let unheard: &[&str] = if kind == "cgroup2" { &UNHEARD_2 } else { &UNHEARD };
        let named: Vec<String> = given
            .words()
            .map(|(word, value)| value.map_or(word.to_owned(), |value| format!("{word}={value}")))
            .filter(|word| !unheard.contains(&word.as_str()))
            .collect();
        let is_known = |named: &String| {
            kind == "cgroup"
                && (named.starts_with("name=")
                    || self.hierarchies().any(|one| words(one).any(|word| word == named)))
        };
        if named.iter().all(is_known) { Ok(named) } else { Err(Errno::INVAL) }
    }

    /// The file system of a hierarchy, and in it the cgroup of which `begins` tells the path.
    ///
    /// # Errors
    /// EINVAL for options that there are not; EPERM for a hierarchy that there is not, which only the
    /// initial namespace makes; ENODEV if the host shows that cgroup nowhere.
    pub(crate) fn make_cgroups(
        &self,
        kind: &str,
        given: &Given,
        begins: impl FnOnce(u32) -> Option<Vec<u8>>,
    ) -> Result<(Arc<Super>, Dentry), Errno> {
        let named = self.cgroup_options(kind, given)?;
        let is_named = |one: &&Hierarchy| {
            words(one).count() == named.len()
                && words(one).all(|word| named.iter().any(|n| n == word))
        };
        let hierarchy = match kind {
            "cgroup2" => Hierarchy::UNIFIED.id,
            _ => self.hierarchies().find(is_named).ok_or(Errno::PERM)?.id,
        };
        let from = begins(hierarchy).ok_or(Errno::NODEV)?;
        let (sb, fd) = self.cgroup(hierarchy, &from)?;
        let root = self.enter(sb.id(), fd, None)?;
        Ok((sb, root))
    }

    /// The directory of a cgroup, wherever the host shows it, and the file system it is in.
    ///
    /// # Errors
    /// ENODEV if the host shows it nowhere; those of openat2(2).
    pub(crate) fn cgroup(
        &self,
        hierarchy: u32,
        path: &[u8],
    ) -> Result<(Arc<Super>, OwnedFd), Errno> {
        let told = self.told.get().ok_or(Errno::NODEV)?;
        let shows_it = |sb: &Super| self.hierarchy(sb.kind(), || sb.options()) == Some(hierarchy);
        for mount in told.table.iter().filter(|mount| shows_it(&mount.sb)) {
            let top = Dentry { super_id: mount.sb.id(), id: ROOT };
            let shows = nsproxy::Files::path(&self.files(), mount.root, top);
            let Some(spot) = self.spot(mount.root).filter(|spot| !spot.covered) else { continue };
            let Some(names) = below(trimmed(path), &shows) else { continue };
            let fd = match names.is_empty() {
                true => rustix::io::fcntl_dupfd_cloexec(&spot.fd, 0)?,
                false => rustix::fs::openat2(&spot.fd, names, DIRECTORY, Mode::empty(), WITHIN)?,
            };
            return Ok((Arc::clone(&mount.sb), fd));
        }
        Err(Errno::NODEV)
    }
}

/// The controllers of a hierarchy, or its name.
fn words(hierarchy: &Hierarchy) -> impl Iterator<Item = &str> {
    hierarchy.controllers.split(',')
}
