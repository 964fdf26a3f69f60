//! readlink(2), readlinkat(2): namespace links show the caller's numbers.

use std::ffi::CStr;

use crate::cx::{Cx, Served, Verdict};
use crate::descriptors::Given;
use crate::procfs::{self, Node};
use crate::syscalls::stat::concerns_us;

/// Serves `readlink(path, buf, size)`.
pub(crate) fn readlink(cx: &mut Cx<'_>) -> Served {
    let Some(path) = cx.readable_path(cx.arg(0))? else { return Ok(Verdict::Continue) };
    link(cx, libc::AT_FDCWD, &path, 1)
}

/// Serves `readlinkat(dirfd, path, buf, size)`.
pub(crate) fn readlinkat(cx: &mut Cx<'_>) -> Served {
    let Some(path) = cx.readable_path(cx.arg(1))? else { return Ok(Verdict::Continue) };
    link(cx, cx.int(0), &path, 2)
}

fn link(cx: &mut Cx<'_>, dirfd: i32, path: &CStr, buffer_arg: usize) -> Served {
    let size = cx.int(buffer_arg + 1);
    // Other links of /proc show host names that are right for every guest.
    if path.is_empty() || size <= 0 || !may_be_ours(cx, path) {
        return Ok(Verdict::Continue);
    }
    let place = cx.find(dirfd, path, false)?;
    let text = match place.node {
        Some(Node::Namespace { tid, kind, for_children }) => {
            procfs::namespace(cx, tid, kind, for_children)?.map(|namespace| namespace.to_string())
        }
        Some(Node::Descriptor { tid, fd }) => descriptor(cx, tid, fd),
        _ => None,
    };
    let Some(text) = text else { return Ok(Verdict::Continue) };
    let shown = &text.as_bytes()[..text.len().min(size as usize)];
    cx.mem().write(cx.arg(buffer_arg), shown)?;
    Ok(Verdict::Return(shown.len() as i64))
}

/// Tells, by its last name, whether a path may be a link of ours.
fn may_be_ours(cx: &Cx<'_>, path: &CStr) -> bool {
    let last = path.to_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let is_number = last.iter().all(u8::is_ascii_digit);
    match is_number {
        true => cx.sup.descriptors.len() > 0,
        false => !cx.sup.guests.none_known() && concerns_us(path),
    }
}

/// What the link of a descriptor of ours shows.
fn descriptor(cx: &Cx<'_>, tid: i32, fd: i32) -> Option<String> {
    let stat = crate::vfs::stat_descriptor(tid, fd).ok()?;
    Some(match cx.sup.descriptors.given(&stat)? {
        Given::Namespace(namespace) | Given::Path(namespace) => namespace.to_string(),
        Given::Control(file) => file.path(),
    })
}
