//! Mounts of cgroups: the host's own file systems, from where the mounter's namespace begins.
//!
//! Here: which of them, and which directory of it.
//! Not here: what may be done in it, which is the host's, and who may mount, which is the model's.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use nsproxy::{Dentry, Super};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Mounts;
use super::options::Given;
use super::spots::{ROOT, below, trimmed};
use crate::cgroups::Cgroups;

/// What version 2 can be told at a mount. Outside of the initial namespace it is not heard.
const UNHEARD: [&str; 6] = [
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

/// Checks the options of a mount of version 2.
///
/// # Errors
/// EINVAL.
pub(super) fn check(given: &Given) -> Result<(), Errno> {
    match given.words().all(|(word, _)| UNHEARD.contains(&word)) {
        true => Ok(()),
        false => Err(Errno::INVAL),
    }
}

impl Mounts {
    /// The file system of a hierarchy, and in it the cgroup of which `begins` tells the path.
    ///
    /// # Errors
    /// EINVAL for options that there are not; EPERM for a hierarchy that there is not; ENODEV if the
    /// host shows that cgroup nowhere.
    pub(crate) fn make_cgroups(
        &self,
        cgroups: &Cgroups,
        kind: &str,
        given: &Given,
        begins: impl FnOnce(u32) -> Option<Vec<u8>>,
    ) -> Result<(Arc<Super>, Dentry), Errno> {
        let hierarchy = match kind {
            "cgroup2" => {
                check(given)?;
                0
            }
            _ => cgroups.asked(given)?,
        };
        let from = begins(hierarchy).ok_or(Errno::NODEV)?;
        let (sb, fd) = self.cgroup(cgroups, hierarchy, &from)?;
        let root = self.enter(sb.id(), fd, None)?;
        Ok((sb, root))
    }

    /// The directory of a cgroup, wherever the host shows it, and the file system it is in.
    ///
    /// # Errors
    /// ENODEV if the host shows it nowhere; those of openat2(2).
    pub(crate) fn cgroup(
        &self,
        cgroups: &Cgroups,
        hierarchy: u32,
        path: &[u8],
    ) -> Result<(Arc<Super>, OwnedFd), Errno> {
        let told = self.told.get().ok_or(Errno::NODEV)?;
        for mount in told.table.iter() {
            if cgroups.shown(mount.sb.kind(), &mount.sb.options()) != Some(hierarchy) {
                continue;
            }
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
