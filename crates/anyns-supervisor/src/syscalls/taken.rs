//! Whether a name may be made in a directory or taken out of it, as far as the mounts have a say.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{Access, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::overlay::overlay;
use super::seen::{names_change, takes_names, trimmed, writable};
use crate::cx::Cx;
use crate::mounts::Identity;
use crate::rights::Need;
use crate::vfs::Parent;

impl Cx<'_> {
    /// Checks that a name can be made in a directory.
    ///
    /// # Errors
    /// EEXIST if it is there, ENOENT if the directory shows what nobody can see, EROFS.
    pub(crate) fn can_make(&self, at: &Parent) -> Result<(), Errno> {
        let there = match overlay(self, &at.place) {
            Some(overlay) => overlay.step(&at.place.fd, trimmed(at).as_bytes()).map(drop),
            None => is_there(at),
        };
        match (takes_names(&at.place), there) {
            (Err(errno), Err(Errno::NOENT)) => Err(errno),
            // What is there is told before where it cannot be.
            (Err(_), Ok(())) => Err(Errno::EXIST),
            (Err(_), Err(errno)) => Err(errno),
            (Ok(()), _) => Ok(()),
        }
    }

    /// Makes something under a name of a directory, if its file system has room for one file more.
    ///
    /// # Errors
    /// ENOSPC, and those of `make`.
    pub(crate) fn make_in<T>(
        &self,
        at: &Parent,
        make: impl Fn(&OwnedFd, &CStr) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mounts = &self.sup.mounts;
        let sb = at.place.seen_through().map(|mount| mount.sb.id());
        let has_room = sb.is_none_or(|sb| mounts.take_room(sb));
        // What cannot be made for another reason is refused for that.
        if !has_room && may_be_made(at) {
            return Err(Errno::NOSPC);
        }
        let directory = &at.place.fd;
        let made = self.lifting(&[(directory, Need::CHANGE)], || make(directory, &at.name));
        if let Some(sb) = sb.filter(|_| has_room && made.is_err()) {
            mounts.give_room_back(sb);
        }
        made
    }

    /// Checks that a name can be taken out of its directory.
    ///
    /// # Errors
    /// EROFS, EBUSY if something is mounted on it, EPERM in a devpts.
    pub(crate) fn can_remove(&self, at: &Parent, directory: bool) -> Result<(), Errno> {
        writable(&at.place)?;
        // What is of the wrong sort the host refuses first.
        match self.is_no_point(at, |is_directory| is_directory == directory)? {
            Some(is_directory) => names_change(&at.place).map_err(|errno| match errno {
                Errno::PERM if directory && !is_directory => Errno::NOTDIR,
                other => other,
            }),
            None => Ok(()),
        }
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
        // Wherever the directory is seen from, the caller's own namespace counts.
        let view = self.tree().map(|tree| &tree.view);
        let Some((view, mount)) = view.zip(at.place.seen_through()) else {
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
}

/// Looks whether the host has a name in a directory.
pub(super) fn is_there(at: &Parent) -> Result<(), Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::accessat(&at.place.fd, &*trimmed(at), Access::EXISTS, flags)
}

/// Whether a name is free in a directory in which the caller may make one.
fn may_be_made(at: &Parent) -> bool {
    let directory = &at.place.fd;
    let writes = Access::WRITE_OK | Access::EXEC_OK;
    is_there(at).is_err() && rustix::fs::accessat(directory, c".", writes, AtFlags::EACCESS).is_ok()
}
