//! open(2), openat(2), openat2(2), creat(2): files of `/proc` whose contents are ours.
//!
//! Everything else is opened by the kernel. Until mount namespaces are served a guest that wins a
//! race against the look at its path gains the host's own file, which it may open anyway.

use std::ffi::CStr;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};
use crate::descriptors::Given;
use crate::procfs::{self, Node};
use crate::syscalls::stat::concerns_us;

/// Where `flags` and `resolve` are in `struct open_how`.
const HOW_SIZE: usize = 24;
/// The longest that openat2(2) takes: a page.
const HOW_MAX: usize = 4096;

/// Serves `open(path, flags, mode)`.
pub(crate) fn open(cx: &mut Cx<'_>) -> Served {
    let flags = cx.int(1);
    any(cx, libc::AT_FDCWD, 0, flags)
}

/// Serves `creat(path, mode)`.
pub(crate) fn creat(cx: &mut Cx<'_>) -> Served {
    any(cx, libc::AT_FDCWD, 0, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC)
}

/// Serves `openat(dirfd, path, flags, mode)`.
pub(crate) fn openat(cx: &mut Cx<'_>) -> Served {
    let (dirfd, flags) = (cx.int(0), cx.int(2));
    any(cx, dirfd, 1, flags)
}

/// Serves `openat2(dirfd, path, how, size)`.
pub(crate) fn openat2(cx: &mut Cx<'_>) -> Served {
    // What is too short, too long or unreadable, or asks for what we do not know, the kernel refuses.
    let size = cx.arg(3) as usize;
    if !(HOW_SIZE..=HOW_MAX).contains(&size) {
        return Ok(Verdict::Continue);
    }
    let mut how = vec![0; size];
    let readable = cx.mem().read(cx.arg(2), &mut how).is_ok();
    if !readable || how[HOW_SIZE..].iter().any(|byte| *byte != 0) {
        return Ok(Verdict::Continue);
    }
    let [flags, _mode, resolve] =
        [0, 8, 16].map(|at| u64::from_ne_bytes(how[at..at + 8].try_into().expect("eight bytes")));
    // A lookup that is confined or may not follow links cannot reach a file of ours by a way the
    // kernel would not refuse or serve itself.
    match i32::try_from(flags) {
        Ok(flags) if resolve == 0 => any(cx, cx.int(0), 1, flags),
        _ => Ok(Verdict::Continue),
    }
}

fn any(cx: &mut Cx<'_>, dirfd: i32, path_arg: usize, flags: i32) -> Served {
    let Some(path) = cx.readable_path(cx.arg(path_arg))? else { return Ok(Verdict::Continue) };
    let flags = OFlags::from_bits_retain(flags as u32);
    if !may_be_ours(cx, dirfd, &path) {
        return Ok(Verdict::Continue);
    }
    let Ok(place) = cx.find(dirfd, &path, !flags.contains(OFlags::NOFOLLOW)) else {
        // What cannot be found now the kernel refuses, or creates.
        return Ok(Verdict::Continue);
    };
    match place.node {
        Some(Node::Namespace { tid, kind, for_children }) => {
            open_namespace(cx, tid, kind, for_children, flags)
        }
        // For their paths the kernel's own files are as good.
        _ if flags.contains(OFlags::PATH) => Ok(Verdict::Continue),
        Some(Node::Status { tid }) => procfs::open_status(cx, tid, flags),
        Some(Node::Control { tid, file }) => procfs::open_control(cx, Some(tid), file, flags),
        Some(Node::Sysctl(file)) => procfs::open_control(cx, None, file, flags),
        _ => Ok(Verdict::Continue),
    }
}

/// Tells, as cheaply as can be, whether a path may lead to a file of ours: by its last name, or by
/// a symbolic link of another name.
fn may_be_ours(cx: &Cx<'_>, dirfd: i32, path: &CStr) -> bool {
    if concerns_us(path) {
        return true;
    }
    if cx.sup.guests.none_known() {
        return false;
    }
    let base = match path.to_bytes().starts_with(b"/") {
        true => None,
        false => match crate::vfs::start(cx.seeker(), dirfd) {
            Ok(base) => Some(base),
            Err(_) => return false,
        },
    };
    let at = base.as_ref().map_or(rustix::fs::CWD, std::os::fd::AsFd::as_fd);
    rustix::fs::readlinkat(at, path, Vec::new()).is_ok()
}

fn open_namespace(
    cx: &mut Cx<'_>,
    tid: i32,
    kind: nsproxy::Kind,
    for_children: bool,
    flags: OFlags,
) -> Served {
    let creates = OFlags::CREATE | OFlags::EXCL;
    if flags.intersects(OFlags::NOFOLLOW | OFlags::DIRECTORY) || flags.contains(creates) {
        return Ok(Verdict::Continue);
    }
    let Some(namespace) = procfs::namespace(cx, tid, kind, for_children)? else {
        return Ok(Verdict::Continue);
    };
    let given = match flags.contains(OFlags::PATH) {
        true => Given::Path(namespace),
        false if flags.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::TRUNC) => {
            return Err(Errno::PERM.into());
        }
        false => Given::Namespace(namespace),
    };
    let fd = cx.sup.open_namespace(given)?;
    Ok(Verdict::Install { fd, cloexec: flags.contains(OFlags::CLOEXEC) })
}
