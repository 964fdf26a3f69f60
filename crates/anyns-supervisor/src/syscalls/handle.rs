//! name_to_handle_at(2), open_by_handle_at(2): a way to files past their paths.
//!
//! For namespace files and pidfds the kernel has handles (since 6.18 and 6.14); what one of its
//! own namespaces or processes is called so is nothing for a guest that is not in the one and
//! cannot see the other. Guests that have left the initial namespaces get the answers of a kernel
//! without such handles.

use anyns_trap::raw::{self, Handle};
use nsproxy::Cap;
use rustix::io::Errno;

use super::opened::bound_namespace;
use super::seen::own_path;
use crate::cx::{Cx, Served, Verdict};
use crate::mounts::unique;
use crate::procfs::Node;
use crate::vfs;

/// Flags that there are.
const FLAGS: i32 = libc::AT_SYMLINK_FOLLOW
    | libc::AT_EMPTY_PATH
    | libc::AT_HANDLE_FID
    | libc::AT_HANDLE_MNT_ID_UNIQUE
    | libc::AT_HANDLE_CONNECTABLE;
/// File systems whose files have no handles.
const WITHOUT: [&str; 4] = ["ramfs", "mqueue", "devpts", "overlay"];

/// Serves `name_to_handle_at(dirfd, path, handle, mount_id, flags)`.
pub(crate) fn name(cx: &mut Cx<'_>) -> Served {
    if cx.guest().is_none() {
        return Ok(Verdict::Continue);
    }
    if cx.tree().is_some() {
        return in_view(cx);
    }
    let (dirfd, flags) = (cx.int(0), cx.int(4));
    let Some(path) = cx.readable_path(cx.arg(1))? else { return Ok(Verdict::Continue) };
    if path.is_empty() {
        return Ok(Verdict::Continue);
    }
    let follow = flags & libc::AT_SYMLINK_FOLLOW != 0;
    match cx.look_up(dirfd, &path, follow) {
        Ok(place) => match (place.node, place.moved) {
            (Some(Node::Namespace { .. }), _) if follow => Err(Errno::OPNOTSUPP.into()),
            (_, Some(moved)) => cx.run_moved(&moved, 1),
            _ => Ok(Verdict::Continue),
        },
        Err(lost) => cx.go_lost(lost, 1),
    }
}

/// The same for who sees other mounts than the host's. Nothing is opened by a handle, so that it leads
/// past nothing that is mounted.
fn in_view(cx: &mut Cx<'_>) -> Served {
    let (dirfd, at, mount_at, flags) = (cx.int(0), cx.arg(2), cx.arg(3), cx.int(4));
    if flags & !FLAGS != 0 {
        return Err(Errno::INVAL.into());
    }
    let path = cx.path(cx.arg(1))?;
    let place = match path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
        true => vfs::find_descriptor(cx.seeker(), dirfd).map_err(|lost| lost.errno)?,
        false => cx.find(dirfd, &path, flags & libc::AT_SYMLINK_FOLLOW != 0)?,
    };
    // What only tells files apart is to be had of every file system.
    let identifies = flags & libc::AT_HANDLE_FID != 0;
    let is_namespace = place.given(cx).is_some() || bound_namespace(cx, &place).is_some();
    let kind = place.seen_through().map_or("", |mount| mount.sb.kind());
    if is_namespace || WITHOUT.contains(&kind) && !identifies {
        return Err(Errno::OPNOTSUPP.into());
    }
    let room = cx.mem().read_value::<u32>(at)?;
    // What this kernel does not know it refuses.
    let asked = flags & !(libc::AT_SYMLINK_FOLLOW | libc::AT_EMPTY_PATH);
    let handle = raw::handle_of(&own_path(&place.fd), room, asked)?;
    let (unique, shown) = match place.seen_through() {
        Some(mount) => (unique(mount.id), mount.shown),
        None => (0, 0),
    };
    match flags & libc::AT_HANDLE_MNT_ID_UNIQUE {
        0 => cx.mem().write_value(mount_at, shown)?,
        _ => cx.mem().write_value(mount_at, unique)?,
    }
    match handle {
        Handle::Whole(kind, bytes) => {
            let head = [(bytes.len() as u32).to_ne_bytes(), kind.to_ne_bytes()].concat();
            cx.mem().write(at, &[head, bytes].concat())?;
            Ok(Verdict::Return(0))
        }
        Handle::Longer(kind, length) => {
            cx.mem().write_values(at, &[length, kind as u32])?;
            Err(Errno::OVERFLOW.into())
        }
    }
}

/// Serves `open_by_handle_at(mount_fd, handle, flags)`.
pub(crate) fn open(cx: &mut Cx<'_>) -> Served {
    if cx.guest().is_none() || nsproxy::capable(&*cx.cred()?, Cap::DAC_READ_SEARCH) {
        return Ok(Verdict::Continue);
    }
    Err(Errno::PERM.into())
}
