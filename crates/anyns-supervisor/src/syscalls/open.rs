//! open(2), openat(2), openat2(2), creat(2): files of `/proc` whose contents are ours.
//!
//! Everything else is opened by the kernel. Until mount namespaces are served a guest that wins a
//! race against the look at its path gains the host's own file, which it may open anyway.

use std::ffi::CStr;

use rustix::fs::{OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::abi::LegacyPathCalls as Legacy;
use crate::cx::{Cx, Served, Verdict};
use crate::descriptors::Given;
use crate::procfs::{self, Node, ThreadFile};
use crate::syscalls::opened::{self, How};
use crate::syscalls::stat::concerns_us;
use crate::vfs;

/// Where `flags` and `resolve` are in `struct open_how`.
const HOW_SIZE: usize = 24;
/// The longest that openat2(2) takes: a page.
const HOW_MAX: usize = 4096;

/// What creat(2) opens with. Its mode is its second argument.
const CREAT: i32 = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;

/// All flags of open(2): those of the access mode, and `O_CREAT` up to `O_TMPFILE`.
const KNOWN_FLAGS: u32 = 0o3 | 0o37_777_700;

/// Serves `open(path, flags, mode)`.
pub(crate) fn open(cx: &mut Cx<'_>) -> Served {
    let flags = cx.int(1);
    any(cx, libc::AT_FDCWD, 0, flags)
}

/// Serves `creat(path, mode)`.
pub(crate) fn creat(cx: &mut Cx<'_>) -> Served {
    any(cx, libc::AT_FDCWD, 0, CREAT)
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
        return match cx.tree() {
            None => Ok(Verdict::Continue),
            Some(_) if readable => Err(Errno::TOOBIG.into()),
            Some(_) => Err(Errno::FAULT.into()),
        };
    }
    let [flags, mode, resolve] =
        [0, 8, 16].map(|at| u64::from_ne_bytes(how[at..at + 8].try_into().expect("eight bytes")));
    if cx.tree().is_some() {
        return openat2_seen(cx, flags, mode, resolve);
    }
    // A lookup that is confined or may not follow links cannot reach a file of ours by a way the
    // kernel would not refuse or serve itself.
    match i32::try_from(flags) {
        Ok(flags) if resolve == 0 => any(cx, cx.int(0), 1, flags),
        _ => Ok(Verdict::Continue),
    }
}

/// The same for who sees other mounts than the host's.
fn openat2_seen(cx: &mut Cx<'_>, flags: u64, mode: u64, resolve: u64) -> Served {
    let resolve = u32::try_from(resolve).map_err(|_| Errno::INVAL)?;
    let flags = u32::try_from(flags).map_err(|_| Errno::INVAL)?;
    let resolve = ResolveFlags::from_bits_retain(resolve.into());
    let scopes = ResolveFlags::BENEATH | ResolveFlags::IN_ROOT;
    let creates = flags & (libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY) as u32 != 0;
    let with_path = flags & libc::O_PATH as u32 != 0
        && flags & !(libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC) as u32
            != 0;
    if flags & !KNOWN_FLAGS != 0
        || resolve.bits() & !0x3f != 0
        || resolve.contains(scopes)
        || mode & !0o7777 != 0
        || mode != 0 && !creates
        || with_path
    {
        return Err(Errno::INVAL.into());
    }
    let path = cx.path(cx.arg(1))?;
    let flags = OFlags::from_bits_retain(flags);
    opened::open(cx, cx.int(0), &path, How { flags, mode: mode as u32, resolve })
}

fn any(cx: &mut Cx<'_>, dirfd: i32, path_arg: usize, flags: i32) -> Served {
    if cx.tree().is_some() {
        let path = cx.path(cx.arg(path_arg))?;
        let mode_arg = if cx.nr() == Legacy::CREAT { path_arg + 1 } else { path_arg + 2 };
        // What open(2) does not know it ignores.
        let flags = OFlags::from_bits_retain(flags as u32 & KNOWN_FLAGS);
        let mode = cx.arg(mode_arg) as u32;
        return opened::open(cx, dirfd, &path, How { flags, mode, resolve: ResolveFlags::empty() });
    }
    let Some(path) = cx.readable_path(cx.arg(path_arg))? else { return Ok(Verdict::Continue) };
    let flags = OFlags::from_bits_retain(flags as u32);
    if !cx.looks_from_inside() && !may_be_ours(cx, dirfd, &path) {
        return Ok(Verdict::Continue);
    }
    // The files that are read most need not be found before they are read.
    if let Some((Node::File { tid, file }, moved)) = vfs::node_by_name(cx.seeker(), &path)
        && matches!(file, ThreadFile::Status | ThreadFile::Stat)
        && !flags.intersects(OFlags::PATH | OFlags::WRONLY | OFlags::RDWR)
    {
        return match (procfs::open_file(cx, tid, file, flags)?, moved) {
            (Verdict::Continue, Some(moved)) => cx.run_moved(&moved, path_arg),
            (verdict, _) => Ok(verdict),
        };
    }
    let place = match cx.look_up(dirfd, &path, !flags.contains(OFlags::NOFOLLOW)) {
        Ok(place) => place,
        // What cannot be found now the kernel refuses, or creates.
        Err(lost) => return cx.go_lost(lost, path_arg),
    };
    let verdict = match place.node {
        Some(Node::Namespace { tid, link }) => open_namespace(cx, tid, link, flags)?,
        // For their paths the kernel's own files are as good.
        _ if flags.contains(OFlags::PATH) => Verdict::Continue,
        Some(node) => open_node(cx, node, flags)?,
        None => Verdict::Continue,
    };
    match (verdict, place.moved) {
        (Verdict::Continue, Some(moved)) => cx.run_moved(&moved, path_arg),
        (verdict, _) => Ok(verdict),
    }
}

/// Opens a file of `/proc` whose contents are ours; any other is the kernel's own.
pub(super) fn open_node(cx: &mut Cx<'_>, node: Node, flags: OFlags) -> Served {
    match node {
        Node::File { tid, file } => procfs::open_file(cx, tid, file, flags),
        Node::Control { tid, file } => procfs::open_control(cx, Some(tid), file, flags),
        Node::SysvIpc(sort) => procfs::open_sysvipc(cx, sort, flags),
        Node::Sysctl(file) => procfs::open_control(cx, None, file, flags),
        Node::Loadavg => procfs::open_loadavg(cx, flags),
        Node::Locks => procfs::open_locks(cx, flags),
        _ => Ok(Verdict::Continue),
    }
}

/// Tells, as cheaply as can be, whether a path may lead to a file of ours: by its last name, or by
/// a symbolic link of another name.
fn may_be_ours(cx: &Cx<'_>, dirfd: i32, path: &CStr) -> bool {
    if cx.sup.guests.none_known() {
        // Nobody has left the initial namespaces: only their limits are not the kernel's.
        return procfs::is_limit(path.to_bytes());
    }
    if concerns_us(path) {
        return true;
    }
    let base = match path.to_bytes().starts_with(b"/") {
        true => None,
        false => match vfs::start(cx.seeker(), dirfd) {
            Ok(base) => Some(base),
            Err(_) => return false,
        },
    };
    let at = base.as_ref().map_or(rustix::fs::CWD, std::os::fd::AsFd::as_fd);
    rustix::fs::readlinkat(at, path, Vec::new()).is_ok()
}

pub(super) fn open_namespace(
    cx: &mut Cx<'_>,
    tid: i32,
    link: nsproxy::Link,
    flags: OFlags,
) -> Served {
    let creates = OFlags::CREATE | OFlags::EXCL;
    if flags.intersects(OFlags::NOFOLLOW | OFlags::DIRECTORY) || flags.contains(creates) {
        return Ok(Verdict::Continue);
    }
    let Some(namespace) = procfs::namespace(cx, tid, link)? else {
        return Ok(Verdict::Continue);
    };
    hand_namespace(cx, namespace, None, flags)
}

/// Gives the caller a descriptor of a namespace, whose file it has reached through a mount of it.
pub(super) fn hand_namespace(
    cx: &Cx<'_>,
    namespace: nsproxy::AnyNamespace,
    through: Option<vfs::Reached>,
    flags: OFlags,
) -> Served {
    let given = match flags.contains(OFlags::PATH) {
        true => Given::Path(namespace, through),
        false if flags.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::TRUNC) => {
            return Err(Errno::PERM.into());
        }
        false => Given::Namespace(namespace, through),
    };
    let fd = cx.sup.open_namespace(given)?;
    Ok(Verdict::Install { fd, cloexec: flags.contains(OFlags::CLOEXEC) })
}
