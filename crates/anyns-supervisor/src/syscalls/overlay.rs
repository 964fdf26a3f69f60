//! Overlays, as the calls that take paths meet them: one is made of directories that the caller names, and
//! what is to be changed in one is copied up first.
//!
//! Not here: what an overlay is; that is `mounts/overlay`.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nsproxy::{Dentry, Super};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::mount::in_model;
use super::seen::{is_name, kind, names_change, own_path, trimmed, writable};
use super::taken::is_there;
use crate::cx::{Cx, Met};
use crate::mounts::{Asked, Given, Options, Overlay, below};
use crate::procfs;
use crate::trouble::Trouble;
use crate::vfs::{Parent, Place};

/// The overlay that something was found in.
pub(super) fn overlay(cx: &Cx<'_>, place: &Place) -> Option<Arc<Overlay>> {
    let mount = place.seen_through().filter(|mount| mount.is_choosy)?;
    cx.sup.mounts.overlay(mount.sb.id())
}

/// What was found, as what is to be changed: in an overlay it is copied up.
///
/// # Errors
/// EROFS; those of copying.
pub(crate) fn to_change(cx: &Cx<'_>, place: Place) -> Result<Place, Errno> {
    writable(&place)?;
    let Some(overlay) = overlay(cx, &place) else { return Ok(place) };
    let up = match overlay.raised(&place) {
        // It would be refused to change it, whoever's the copy is.
        Err(Errno::OVERFLOW) => return Err(Errno::PERM),
        up => up?,
    };
    Ok(as_raised(place, up))
}

/// The same for what is to be written to.
///
/// # Errors
/// EACCES, EROFS; EOVERFLOW if its owner has no number in the user namespace of the overlay.
pub(crate) fn to_write(cx: &Cx<'_>, place: Place) -> Result<Place, Errno> {
    let Some(overlay) = overlay(cx, &place) else { return writable(&place).map(|()| place) };
    let path = own_path(&place.fd);
    let wanted = rustix::fs::Access::WRITE_OK;
    rustix::fs::accessat(rustix::fs::CWD, path, wanted, rustix::fs::AtFlags::EACCESS)?;
    writable(&place)?;
    let up = overlay.raised(&place)?;
    Ok(as_raised(place, up))
}

fn as_raised(place: Place, up: OwnedFd) -> Place {
    match kind(&place) {
        FileType::Directory => Place { real: Some(up), ..place },
        _ => Place { fd: up, ..place },
    }
}

/// Makes something under a name of a directory: `make` does in the directory that it is given.
///
/// # Errors
/// Those of `make`, and of an overlay's changes.
pub(crate) fn put<T>(
    cx: &Cx<'_>,
    at: &Parent,
    sort: FileType,
    make: impl Fn(&OwnedFd, &CStr) -> Result<T, Errno>,
) -> Result<T, Errno> {
    match overlay(cx, &at.place) {
        None => {
            // What is there is told before where nothing can be.
            names_change(&at.place).map_err(|errno| match is_there(at) {
                Ok(()) => Errno::EXIST,
                Err(_) => errno,
            })?;
            cx.make_in(at, make)
        }
        Some(_) if !is_name(at) => Err(Errno::EXIST),
        Some(overlay) if at.slash && sort != FileType::Directory => {
            let there = overlay.step(&at.place.fd, trimmed(at).as_bytes());
            Err(there.err().unwrap_or(Errno::EXIST))
        }
        Some(overlay) => overlay.put(&at.place.fd, &trimmed(at), sort, make),
    }
}

/// Makes an overlay of directories that the caller names.
pub(super) fn make(
    cx: &Cx<'_>,
    met: &Met<'_>,
    given: &Given,
) -> Result<(Arc<Super>, Dentry), Trouble> {
    let mut supers = Vec::new();
    let asked = Asked::read(given)?;
    asked.check()?;
    let layer = |path: &Vec<u8>, takes_changes: bool| {
        let path = CString::new(path.as_slice()).map_err(|_| Errno::INVAL)?;
        let place = cx.find(libc::AT_FDCWD, &path, true)?;
        // A layer of processes, or of another overlay's, is none.
        let odd = place.node.is_some() || overlay(cx, &place).is_some();
        if odd || kind(&place) != FileType::Directory {
            return Err(Trouble::from(Errno::INVAL));
        }
        if takes_changes && writable(&place).is_err() {
            return Err(Errno::INVAL.into());
        }
        Ok(place)
    };
    let upper = asked.upper.as_ref().map(|path| layer(path, true)).transpose()?;
    let work = upper.as_ref().and(asked.work.as_ref()).map(|path| layer(path, true)).transpose()?;
    let lower = asked.lower.iter().map(|path| layer(path, false)).collect::<Result<Vec<_>, _>>()?;
    if let (Some(upper), Some(work)) = (&upper, &work) {
        let apart = !lies_in(&upper.fd, &work.fd)? && !lies_in(&work.fd, &upper.fd)?;
        if !apart || upper.mount != work.mount {
            return Err(Errno::INVAL.into());
        }
    }
    for place in upper.iter().chain(&lower) {
        // A layer is a copy of its mount, which shows what is mounted on that: only who could take it
        // away may have such a copy.
        let place = in_model(cx, met, place)?;
        drop(nsproxy::open_tree(&met.task, &cx.sup.mounts.files(), &place, false)?);
        supers.extend(place.super_block());
    }
    // No layer may lie in one that was given before.
    let changed = upper.iter().chain(&work);
    let mut before: Vec<&OwnedFd> = changed.map(|place| &place.fd).collect();
    for place in &lower {
        for other in &before {
            if lies_in(&place.fd, other)? {
                return Err(Errno::LOOP.into());
            }
        }
        before.push(&place.fd);
    }
    let layers = upper.into_iter().chain(lower).map(|place| place.fd).collect();
    let work = work.map(|place| place.fd);
    let options = Options { layers, supers, work, marks: asked.marks };
    Ok(cx.sup.mounts.make_overlay(given, &asked, options, &met.task.cred())?)
}

/// Whether a directory is another, or lies in it.
///
/// # Errors
/// Those of readlink(2).
fn lies_in(directory: &OwnedFd, above: &OwnedFd) -> Result<bool, Errno> {
    let (text, above) = (procfs::descriptor_path(directory)?, procfs::descriptor_path(above)?);
    Ok(below(&text, &above).is_some())
}
