//! name_to_handle_at(2), open_by_handle_at(2): a way to files past their paths.
//!
//! For namespace files and pidfds the kernel has handles (since 6.18 and 6.14); what one of its
//! own namespaces or processes is called so is nothing for a guest that is not in the one and
//! cannot see the other. Guests that have left the initial namespaces get the answers of a kernel
//! without such handles.

use nsproxy::Cap;
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};
use crate::procfs::Node;

/// Serves `name_to_handle_at(dirfd, path, handle, mount_id, flags)`.
pub(crate) fn name(cx: &mut Cx<'_>) -> Served {
    if cx.guest().is_none() {
        return Ok(Verdict::Continue);
    }
    if cx.tree().is_some() {
        // A handle would lead past all that is mounted.
        return Err(Errno::OPNOTSUPP.into());
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

/// Serves `open_by_handle_at(mount_fd, handle, flags)`.
pub(crate) fn open(cx: &mut Cx<'_>) -> Served {
    if cx.guest().is_none() || nsproxy::capable(&*cx.cred()?, Cap::DAC_READ_SEARCH) {
        return Ok(Verdict::Continue);
    }
    Err(Errno::PERM.into())
}
