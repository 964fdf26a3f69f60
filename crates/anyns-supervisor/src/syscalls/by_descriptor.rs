//! fchmod(2), and the requests of ioctl(2) that set flags of a file: what changes a file that is named by
//! a descriptor. It may have been opened for reading through a mount that is read-only.
//!
//! They are done by us, on the very object that was looked at: another thread could exchange the
//! descriptor.
//! Not here: the times, owners and extended attributes of a descriptor's file, which are with those of a
//! path's (`attrs`, `chown`, `xattr`).

use std::os::fd::AsFd;

use anyns_trap::raw;
use rustix::fs::Mode;
use rustix::io::Errno;

use super::overlay::{overlay, to_change};
use super::seen::{own_path, writable};
use crate::cx::{Cx, Served, Verdict};
use crate::descriptors::is_open_for_writing;
use crate::mounts::Identity;
use crate::trouble::Trouble;
use crate::vfs::{self, Place};

/// How often a descriptor may have become another's while it was looked at.
const TRIES: usize = 100;

/// What a descriptor is of, as what is to be changed.
///
/// # Errors
/// EBADF if there is none, or if it was opened with O_PATH; EROFS; those of copying up.
pub(super) fn changeable(cx: &Cx<'_>, fd: i32) -> Result<Place, Trouble> {
    cx.sup.descriptors.look(cx.tid(), fd)?;
    changeable_at(cx, fd)
}

/// The same of one that may have been opened with O_PATH.
///
/// # Errors
/// As [`changeable`].
pub(super) fn changeable_at(cx: &Cx<'_>, fd: i32) -> Result<Place, Trouble> {
    let place = vfs::find_descriptor(cx.seeker(), fd).map_err(|lost| lost.errno)?;
    Ok(found_to_change(cx, fd, place)?)
}

/// The same, of which the place has been found.
///
/// # Errors
/// EROFS; those of copying up.
pub(super) fn found_to_change(cx: &Cx<'_>, fd: i32, place: Place) -> Result<Place, Errno> {
    // Through which of several mounts it was opened is a guess; what is writable through one of them the
    // caller may change, by that.
    let passes = writable(&place).is_err()
        && overlay(cx, &place).is_none()
        && (is_open_for_writing(cx.tid(), fd) || is_writable_elsewhere(cx, &place)?);
    if passes { Ok(place) } else { to_change(cx, place) }
}

fn is_writable_elsewhere(cx: &Cx<'_>, place: &Place) -> Result<bool, Errno> {
    let Some(view) = &place.view else { return Ok(false) };
    let identity = Identity::of(&place.fd)?;
    vfs::shows_writable(&cx.sup.mounts, view, &place.fd, &identity)
}

/// Serves `fchmod(fd, mode)`.
pub(crate) fn fchmod(cx: &mut Cx<'_>) -> Served {
    if cx.tree().is_none() {
        return Ok(Verdict::Continue);
    }
    let place = changeable(cx, cx.int(0))?;
    let mode = Mode::from_raw_mode(cx.arg(1) as u32 & 0o7777);
    rustix::fs::chmod(own_path(place.object()), mode)?;
    Ok(Verdict::Return(0))
}

/// Serves `ioctl(fd, command, argument)` for the requests of above.
pub(super) fn ioctl(cx: &mut Cx<'_>, command: u32) -> Served {
    if cx.tree().is_none() {
        return Ok(Verdict::Continue);
    }
    let fd = cx.int(0);
    cx.sup.descriptors.look(cx.tid(), fd)?;
    let mut argument = [0; raw::FSXATTR];
    let size = if command == raw::FS_IOC_FSSETXATTR { argument.len() } else { size_of::<i32>() };
    cx.mem().read(cx.arg(2), &mut argument[..size])?;
    for _ in 0..TRIES {
        let place = vfs::find_descriptor(cx.seeker(), fd).map_err(|lost| lost.errno)?;
        if overlay(cx, &place).is_some() {
            return Err(Errno::NOTTY.into());
        }
        let place = found_to_change(cx, fd, place)?;
        let file = cx.borrow(fd)?;
        if Identity::of(&file)?.is_same(&Identity::of(&place.fd)?) {
            raw::change_file(file.as_fd(), command, &mut argument)?;
            return Ok(Verdict::Return(0));
        }
    }
    Err(Errno::BADF.into())
}
