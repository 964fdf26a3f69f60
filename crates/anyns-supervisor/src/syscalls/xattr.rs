//! getxattr(2), setxattr(2), listxattr(2), removexattr(2) and their like that do not follow a link at the
//! end: by a path that leads elsewhere than on the host.
//!
//! fsetxattr(2), fremovexattr(2): by a descriptor, which may be of a mount that is read-only.
//!
//! Where a guest sees what the host shows they are the kernel's, and so is looking by a descriptor.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::{FileType, XattrFlags};
use rustix::io::Errno;

use super::by_descriptor::found_to_change;
use super::overlay::{overlay, to_change};
use super::seen::{kind, own_path, writable};
use crate::cx::{Cx, Served, Verdict};
use crate::mounts::Overlay;
use crate::rights::Need;
use crate::trouble::Trouble;
use crate::vfs::{self, Place};

/// Longest name of an attribute (xattr(7)).
const NAME_MAX: usize = 255;
/// Longest value, and longest list.
const VALUE_MAX: usize = 65536;

/// Serves `setxattr(path, name, value, size, flags)`.
pub(crate) fn set(cx: &mut Cx<'_>) -> Served {
    change(cx, Named::Followed, false)
}

/// Serves `lsetxattr(path, name, value, size, flags)`.
pub(crate) fn lset(cx: &mut Cx<'_>) -> Served {
    change(cx, Named::Itself, false)
}

/// Serves `removexattr(path, name)`.
pub(crate) fn remove(cx: &mut Cx<'_>) -> Served {
    change(cx, Named::Followed, true)
}

/// Serves `lremovexattr(path, name)`.
pub(crate) fn lremove(cx: &mut Cx<'_>) -> Served {
    change(cx, Named::Itself, true)
}

/// Serves `fsetxattr(fd, name, value, size, flags)`.
pub(crate) fn fset(cx: &mut Cx<'_>) -> Served {
    change(cx, Named::Open, false)
}

/// Serves `fremovexattr(fd, name)`.
pub(crate) fn fremove(cx: &mut Cx<'_>) -> Served {
    change(cx, Named::Open, true)
}

/// Serves `getxattr(path, name, value, size)`.
pub(crate) fn get(cx: &mut Cx<'_>) -> Served {
    look(cx, Named::Followed)
}

/// Serves `lgetxattr(path, name, value, size)`.
pub(crate) fn lget(cx: &mut Cx<'_>) -> Served {
    look(cx, Named::Itself)
}

/// Serves `listxattr(path, list, size)`.
pub(crate) fn list(cx: &mut Cx<'_>) -> Served {
    all(cx, Named::Followed)
}

/// Serves `llistxattr(path, list, size)`.
pub(crate) fn llist(cx: &mut Cx<'_>) -> Served {
    all(cx, Named::Itself)
}

/// How an object is named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    /// By a path.
    Followed,
    /// By a path that does not follow a link at its end.
    Itself,
    /// By a descriptor.
    Open,
}

/// An object, by a path of ours.
struct Object {
    place: Place,
    path: CString,
    overlay: Option<Arc<Overlay>>,
}

/// Finds the object.
fn object(cx: &Cx<'_>, named: Named) -> Result<Object, Trouble> {
    let place = match named {
        Named::Open => {
            let fd = cx.int(0);
            cx.sup.descriptors.look(cx.tid(), fd)?;
            vfs::find_descriptor(cx.seeker(), fd).map_err(|lost| lost.errno)?
        }
        _ => cx.find(libc::AT_FDCWD, &cx.path(cx.arg(0))?, named == Named::Followed)?,
    };
    let path = own_path(place.object());
    let overlay = overlay(cx, &place);
    Ok(Object { place, path, overlay })
}

impl Object {
    /// Whether an attribute is a mark of the overlay that it is in.
    fn marks(&self, name: &[u8]) -> bool {
        self.overlay.as_ref().is_some_and(|overlay| overlay.is_mark(name))
    }

    /// Whether it is a symbolic link, which has no attributes that a user could give it.
    fn is_link(&self) -> bool {
        FileType::from_raw_mode(self.place.stat.st_mode) == FileType::Symlink
    }
}

fn change(cx: &mut Cx<'_>, named: Named, removes: bool) -> Served {
    if cx.tree().is_none() {
        return Ok(Verdict::Continue);
    }
    // What is given is looked at before the object (since Linux 6.13).
    let flags = if removes { 0 } else { cx.arg(4) as u32 };
    if flags & !(libc::XATTR_CREATE | libc::XATTR_REPLACE) as u32 != 0 {
        return Err(Errno::INVAL.into());
    }
    let name = name(cx)?;
    let mut value = Vec::new();
    if !removes {
        let size = cx.arg(3) as usize;
        if size > VALUE_MAX {
            return Err(Errno::TOOBIG.into());
        }
        value.resize(size, 0);
        cx.mem().read(cx.arg(2), &mut value)?;
    }
    let object = object(cx, named)?;
    if named != Named::Open {
        writable(&object.place)?;
    }
    if object.is_link() {
        return Err(Errno::PERM.into());
    }
    if object.marks(name.as_bytes()) {
        return Err(Errno::OPNOTSUPP.into());
    }
    // Only these have attributes of users' (xattr(7)): nothing is copied up for others.
    let has = matches!(kind(&object.place), FileType::RegularFile | FileType::Directory);
    if !has && name.as_bytes().starts_with(b"user.") {
        return Err(Errno::PERM.into());
    }
    let place = match named {
        Named::Open => found_to_change(cx, cx.int(0), object.place)?,
        _ => to_change(cx, object.place)?,
    };
    let path = own_path(place.object());
    let flags = XattrFlags::from_bits_retain(flags);
    cx.lifting(&[(place.object(), Need::WRITE)], || match removes {
        true => rustix::fs::removexattr(&path, &name),
        false => rustix::fs::setxattr(&path, &name, &value, flags),
    })?;
    Ok(Verdict::Return(0))
}

fn look(cx: &mut Cx<'_>, named: Named) -> Served {
    if cx.tree().is_none() {
        return Ok(Verdict::Continue);
    }
    let name = name(cx)?;
    let object = object(cx, named)?;
    if object.is_link() {
        return Err(Errno::NODATA.into());
    }
    if object.marks(name.as_bytes()) {
        return Err(Errno::OPNOTSUPP.into());
    }
    let mut room = vec![0; (cx.arg(3) as usize).min(VALUE_MAX)];
    let got = cx.lifting(&[(object.place.object(), Need::READ)], || {
        rustix::fs::getxattr(&object.path, &name, &mut room)
    })?;
    give(cx, cx.arg(2), &room, got)
}

fn all(cx: &mut Cx<'_>, named: Named) -> Served {
    if cx.tree().is_none() {
        return Ok(Verdict::Continue);
    }
    let object = object(cx, named)?;
    if object.is_link() {
        return Ok(Verdict::Return(0));
    }
    let mut room = vec![0; (cx.arg(2) as usize).min(VALUE_MAX)];
    if object.overlay.is_some() {
        let size = room.len();
        room.resize(VALUE_MAX, 0);
        let got = rustix::fs::listxattr(&object.path, &mut room)?;
        let names = room[..got].split_inclusive(|byte| *byte == 0);
        let shown: Vec<u8> = names.filter(|name| !object.marks(name)).flatten().copied().collect();
        if size > 0 && shown.len() > size {
            return Err(Errno::RANGE.into());
        }
        if size > 0 {
            cx.mem().write(cx.arg(1), &shown)?;
        }
        return Ok(Verdict::Return(shown.len() as i64));
    }
    let got = rustix::fs::listxattr(&object.path, &mut room)?;
    give(cx, cx.arg(1), &room, got)
}

/// Gives the caller what was got; without room for it only its length.
fn give(cx: &Cx<'_>, to: u64, room: &[u8], got: usize) -> Served {
    if !room.is_empty() {
        cx.mem().write(to, &room[..got])?;
    }
    Ok(Verdict::Return(got as i64))
}

fn name(cx: &Cx<'_>) -> Result<std::ffi::OsString, Trouble> {
    let name = match cx.mem().read_cstr(cx.arg(1), NAME_MAX + 1) {
        Err(anyns_trap::MemError::TooLong) => return Err(Errno::RANGE.into()),
        other => other?,
    };
    match name.is_empty() {
        true => Err(Errno::RANGE.into()),
        false => Ok(OsStr::from_bytes(name.as_bytes()).to_owned()),
    }
}
