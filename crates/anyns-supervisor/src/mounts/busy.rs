//! Whether something in a file system of a guest's is open: umount(2) says EBUSY then, and what would
//! make it read-only, if it is open for writing.
//!
//! The model knows roots and working directories; what is open only the host does, and only by where
//! it lies. So this is asked of file systems that lie in a directory of ours and are mounted once: of
//! what is open in another it cannot be told through which mount.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use nsproxy::{Dentry, MountId, Place, Super, Table};
use rustix::fs::{AtFlags, CWD};

use super::spots::{ROOT, below};
use super::{Identity, Mounts, What};
use crate::descriptors::is_open_for_writing;
use crate::procfs;

impl Mounts {
    /// Tells whether one of these processes has something open that an unmount at `target` would
    /// take out of sight.
    pub(crate) fn is_open(&self, ns: &nsproxy::MntNs, target: &Place, processes: &[i32]) -> bool {
        let table = ns.table();
        let Some(mount) = table.get(target.mount()) else { return false };
        let super_id = mount.sb.id();
        if !self.tells_of_open(super_id) {
            return false;
        }
        let overlay = self.overlay(super_id);
        if table.iter().filter(|other| other.sb.id() == super_id).count() > 1 {
            return false;
        }
        let Some(root) = self.root_path(super_id) else { return false };
        let of_layer = |process: i32, number: i32| {
            let link = format!("/proc/{process}/fd/{number}");
            let seen = Identity::at(CWD, link, AtFlags::empty());
            let through = seen.ok().and_then(|seen| self.opened_through(&seen, (process, number)));
            through.is_some_and(|(_, through)| through.id == target.mount())
        };
        processes.iter().any(|process| {
            has_open(*process, &root)
                || overlay.is_some() && numbers(*process).any(|number| of_layer(*process, number))
        })
    }

    /// Tells whether one of these processes has something open for writing that lies in the file system of
    /// one of these mounts, all of whose mounts in the table are among them.
    pub(crate) fn is_written(
        &self,
        table: &Table,
        mounts: &[(MountId, Arc<Super>)],
        processes: &[i32],
    ) -> bool {
        let asked = |id: MountId| mounts.iter().any(|(mount, _)| *mount == id);
        let all_of = |sb: &Super| {
            table.iter().filter(|mount| mount.sb.id() == sb.id()).all(|mount| asked(mount.id))
        };
        let roots = mounts.iter().filter(|(_, sb)| self.tells_of_open(sb.id()) && all_of(sb));
        let roots: Vec<Vec<u8>> = roots.filter_map(|(_, sb)| self.root_path(sb.id())).collect();
        let lies_there = |process: i32, number: i32| {
            let text = std::fs::read_link(format!("/proc/{process}/fd/{number}"));
            text.is_ok_and(|text| roots.iter().any(|root| is_below(&text, root)))
        };
        !roots.is_empty()
            && processes.iter().any(|process| {
                numbers(*process).any(|number| {
                    lies_there(*process, number) && is_open_for_writing(*process, number)
                })
            })
    }

    /// Whether what is open in a file system can be told by where it lies.
    pub(crate) fn tells_of_open(&self, super_id: u64) -> bool {
        let what = self.made(super_id);
        let what = what.as_deref();
        matches!(what, Some(What::Tmpfs(..) | What::Ramfs | What::Mqueue(_) | What::Overlay(_)))
    }

    /// Where the host has the root of a file system.
    fn root_path(&self, super_id: u64) -> Option<Vec<u8>> {
        let root = self.spot(Dentry { super_id, id: ROOT })?;
        procfs::descriptor_path(&root.fd).ok()
    }
}

/// The descriptors of a process.
fn numbers(process: i32) -> impl Iterator<Item = i32> {
    let all = std::fs::read_dir(format!("/proc/{process}/fd")).ok().into_iter().flatten();
    all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn is_below(path: &Path, root: &[u8]) -> bool {
    below(path.as_os_str().as_bytes(), root).is_some()
}

fn has_open(process: i32, root: &[u8]) -> bool {
    let lies_there =
        |link: std::path::PathBuf| std::fs::read_link(link).is_ok_and(|text| is_below(&text, root));
    if lies_there(format!("/proc/{process}/exe").into()) {
        return true;
    }
    let Ok(all) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    all.flatten().any(|entry| lies_there(entry.path()))
}
