//! What the calls that take paths have in common where the caller sees other mounts than the host's:
//! they are served on what was found, never let through.

use std::ffi::CString;

use nsproxy::MountFlags;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::overlay::overlay;
use crate::cx::Cx;
use crate::mounts::Identity;
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

    /// Checks that a name can be made in a directory.
    ///
    /// # Errors
    /// EEXIST if it is there, ENOENT if the directory shows what nobody can see, EROFS.
    pub(crate) fn can_make(&self, at: &Parent) -> Result<(), Errno> {
        let there = match overlay(self, &at.place) {
            Some(overlay) => overlay.step(&at.place.fd, trimmed(at).as_bytes()).map(drop),
            None => rustix::fs::accessat(
                &at.place.fd,
                trimmed(at).as_c_str(),
                rustix::fs::Access::EXISTS,
                rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
            ),
        };
        match (writable(&at.place), there) {
            (Err(errno), Err(Errno::NOENT)) => Err(errno),
            // What is there is told before where it cannot be.
            (Err(_), Ok(())) => Err(Errno::EXIST),
            (Err(_), Err(errno)) => Err(errno),
            (Ok(()), _) => Ok(()),
        }
    }

    /// Checks that a name can be taken out of its directory.
    ///
    /// # Errors
    /// EROFS, and EBUSY if something is mounted on it.
    pub(crate) fn can_remove(&self, at: &Parent, directory: bool) -> Result<(), Errno> {
        writable(&at.place)?;
        // What is of the wrong sort the host refuses first.
        self.is_no_point(at, |is_directory| is_directory == directory).map(drop)
    }

    /// Checks that nothing is mounted on a name, seen through whichever mount of the namespace, if
    /// what has the name `fits`; says whether that is a directory, if anything is there.
    ///
    /// # Errors
    /// EBUSY.
    pub(crate) fn is_no_point(
        &self,
        at: &Parent,
        fits: impl Fn(bool) -> bool,
    ) -> Result<Option<bool>, Errno> {
        let name = trimmed(at);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let overlay = overlay(self, &at.place);
        let object = match &overlay {
            Some(overlay) => overlay.step(&at.place.fd, name.as_bytes()),
            None => rustix::fs::openat(&at.place.fd, &*name, flags, Mode::empty()),
        };
        let Ok(object) = object else { return Ok(None) };
        let seen = Identity::of(&object)?;
        let is_directory = seen.is_directory();
        let Some((view, mount)) = at.place.view.as_ref().zip(at.place.seen_through()) else {
            return Ok(Some(is_directory));
        };
        if !fits(is_directory) || !view.may_be_point(name.as_bytes()) {
            return Ok(Some(is_directory));
        }
        let above = Identity::of(&at.place.fd)?;
        let above = overlay.is_none().then_some(above.mnt);
        let key = self.sup.mounts.key(&object, &seen, above);
        let known = self.sup.mounts.known(mount.sb.id(), &key);
        match known.is_some_and(|dentry| view.is_point(dentry)) {
            true => Err(Errno::BUSY),
            false => Ok(Some(is_directory)),
        }
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
