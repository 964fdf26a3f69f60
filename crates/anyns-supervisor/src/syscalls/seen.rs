//! What the calls that take paths have in common where the caller sees other mounts than the host's:
//! they are served on what was found, never let through.

use std::ffi::CString;

use nsproxy::MountFlags;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, ResolveFlags};
use rustix::io::Errno;

use crate::cx::Cx;
use crate::procfs;
pub(crate) use crate::procfs::own_path;
use crate::trouble::Trouble;
use crate::vfs::{self, Parent, Place};

/// Checks that something may be written through the mount that it was reached through.
///
/// # Errors
/// EROFS.
pub(crate) fn writable(place: &Place) -> Result<(), Errno> {
    match place.seen_through() {
        Some(mount) if mount.is_readonly() => Err(Errno::ROFS),
        _ => Ok(()),
    }
}

/// The same of a directory in which a name is to be made. In `/proc` none can be, whatever the mount; the
/// host says so.
///
/// # Errors
/// EROFS.
pub(crate) fn takes_names(directory: &Place) -> Result<(), Errno> {
    if directory.node.is_some() { Ok(()) } else { writable(directory) }
}

/// Checks that a directory is none of a devpts, whose names come and go with the terminals, nor of a
/// mqueue, where all that can be made is a queue.
///
/// # Errors
/// EPERM, or EACCES for who could not write there.
pub(crate) fn names_change(directory: &Place) -> Result<(), Errno> {
    let kind = directory.seen_through().map(|mount| mount.sb.kind());
    if !matches!(kind, Some("devpts" | "mqueue")) {
        return Ok(());
    }
    let writes = Access::WRITE_OK | Access::EXEC_OK;
    rustix::fs::accessat(CWD, own_path(directory.object()), writes, AtFlags::EACCESS)?;
    Err(Errno::PERM)
}

/// Whether the end of a path is a name, rather than `.`, `..` or the root directory.
pub(crate) fn is_name(at: &Parent) -> bool {
    !matches!(at.name.to_bytes(), b"/" | b"." | b".." | b"./" | b"../")
}

/// Whether a mount has a flag.
pub(crate) fn has(place: &Place, flag: MountFlags) -> bool {
    place.seen_through().is_some_and(|mount| mount.flags.contains(flag))
}

/// The type of what was found.
pub(crate) fn kind(place: &Place) -> FileType {
    FileType::from_raw_mode(place.stat.st_mode)
}

impl Cx<'_> {
    /// Finds the directory of the name at the end of a path, and the name.
    pub(crate) fn parent(&self, dirfd: i32, path_arg: usize) -> Result<Parent, Trouble> {
        let path = self.path(self.arg(path_arg))?;
        let found = vfs::find_parent(self.seeker(), dirfd, &path, ResolveFlags::empty());
        Ok(found.map_err(|lost| lost.errno)?)
    }

    /// The mode of something new: without what the caller's umask takes away.
    pub(crate) fn masked(&self, mode: u32) -> u32 {
        static OURS: std::sync::Once = std::sync::Once::new();
        OURS.call_once(|| {
            rustix::process::umask(Mode::empty());
        });
        mode & !procfs::umask(self.tid()).unwrap_or(0)
    }
}

/// The name without the slash behind it.
pub(crate) fn trimmed(at: &Parent) -> CString {
    let bytes = at.name.as_bytes();
    let bytes = if bytes.len() > 1 { bytes.strip_suffix(b"/").unwrap_or(bytes) } else { bytes };
    CString::new(bytes).unwrap_or_default()
}
