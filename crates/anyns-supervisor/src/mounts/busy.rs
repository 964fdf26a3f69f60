//! Whether something in a file system of a guest's is open: umount(2) says EBUSY then.
//!
//! The model knows roots and working directories; what is open only the host does, and only by where
//! it lies. So this is asked of file systems that lie in a directory of ours and are mounted once: of
//! what is open in another it cannot be told through which mount.

use std::os::unix::ffi::OsStrExt;

use nsproxy::{Dentry, Place};
use rustix::fs::{AtFlags, CWD};

use super::spots::ROOT;
use super::{Identity, Mounts, What};
use crate::procfs;

impl Mounts {
    /// Tells whether one of these processes has something open that an unmount at `target` would
    /// take out of sight.
    pub(crate) fn is_open(&self, ns: &nsproxy::MntNs, target: &Place, processes: &[i32]) -> bool {
        let table = ns.table();
        let Some(mount) = table.get(target.mount()) else { return false };
        let super_id = mount.sb.id();
        match self.made(super_id).as_deref() {
            Some(What::Tmpfs(..) | What::Ramfs | What::Mqueue(_) | What::Overlay(_)) => {}
            _ => return false,
        }
        let overlay = self.overlay(super_id);
        if table.iter().filter(|other| other.sb.id() == super_id).count() > 1 {
            return false;
        }
        let Some(root) = self.spot(Dentry { super_id, id: ROOT }) else { return false };
        let Ok(root) = procfs::descriptor_path(&root.fd) else { return false };
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
}

/// The descriptors of a process.
fn numbers(process: i32) -> impl Iterator<Item = i32> {
    let all = std::fs::read_dir(format!("/proc/{process}/fd")).ok().into_iter().flatten();
    all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn has_open(process: i32, root: &[u8]) -> bool {
    let lies_there = |link: std::path::PathBuf| {
        let Ok(text) = std::fs::read_link(link) else { return false };
        let below = text.as_os_str().as_bytes().strip_prefix(root);
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    if lies_there(format!("/proc/{process}/exe").into()) {
        return true;
    }
    let Ok(all) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    all.flatten().any(|entry| lies_there(entry.path()))
}
