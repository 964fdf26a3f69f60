//! readlink(2), readlinkat(2): namespace links show the caller's numbers.

use std::ffi::CStr;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};
use crate::descriptors::Given;
use crate::procfs::{self, Node};
use crate::syscalls::stat::concerns_us;

/// Serves `readlink(path, buf, size)`.
pub(crate) fn readlink(cx: &mut Cx<'_>) -> Served {
    let Some(path) = cx.readable_path(cx.arg(0))? else { return Ok(Verdict::Continue) };
    link(cx, libc::AT_FDCWD, &path, 0)
}

/// Serves `readlinkat(dirfd, path, buf, size)`.
pub(crate) fn readlinkat(cx: &mut Cx<'_>) -> Served {
    let Some(path) = cx.readable_path(cx.arg(1))? else { return Ok(Verdict::Continue) };
    link(cx, cx.int(0), &path, 1)
}

fn link(cx: &mut Cx<'_>, dirfd: i32, path: &CStr, path_arg: usize) -> Served {
    let (buffer, size) = (cx.arg(path_arg + 1), cx.int(path_arg + 2));
    if cx.tree().is_some() && (path.is_empty() || size <= 0) {
        return link_itself(cx, dirfd, path, buffer, size);
    }
    // Links of /proc show host names that are right for whoever sees the host's mounts.
    if path.is_empty()
        || size <= 0
        || cx.tree().is_none() && !cx.looks_from_inside() && !may_be_ours(cx, path)
    {
        return Ok(Verdict::Continue);
    }
    let in_view = cx.tree().is_some();
    let place = match cx.look_up(dirfd, path, false) {
        Ok(place) => place,
        Err(lost) if in_view => return Err(lost.errno.into()),
        Err(lost) => return cx.go_lost(lost, path_arg),
    };
    let text = match place.node {
        Some(Node::Namespace { tid, link }) => {
            procfs::namespace(cx, tid, link)?.map(|namespace| namespace.to_string().into_bytes())
        }
        Some(Node::Own { thread }) => own(cx, thread)?.map(String::into_bytes),
        Some(node) if is_link(&place.stat) => match node.thread() {
            Some(tid) => {
                procfs::may_look(cx, tid)?;
                let ours = match node {
                    Node::Descriptor { tid, fd } => descriptor(cx, tid, fd),
                    _ => None,
                };
                match ours {
                    Some(ours) => Some(ours),
                    None => procfs::link_text(cx, tid, &procfs::descriptor_path(&place.fd)?)?,
                }
            }
            None => None,
        },
        _ => None,
    };
    let text = match text {
        None if in_view && is_link(&place.stat) => {
            Some(rustix::fs::readlinkat(&place.fd, "", Vec::new())?.into_bytes())
        }
        None if in_view => return Err(Errno::INVAL.into()),
        text => text,
    };
    let Some(text) = text else {
        return match place.moved {
            Some(moved) => cx.run_moved(&moved, path_arg),
            None => Ok(Verdict::Continue),
        };
    };
    let shown = shown(&text, size)?;
    cx.mem().write(buffer, shown)?;
    Ok(Verdict::Return(shown.len() as i64))
}

/// What a descriptor of a link shows, where the kernel could be made to read another path.
fn link_itself(cx: &Cx<'_>, dirfd: i32, path: &CStr, buffer: u64, size: i32) -> Served {
    if size <= 0 {
        return Err(Errno::INVAL.into());
    }
    if dirfd == libc::AT_FDCWD || !path.is_empty() {
        return Err(Errno::NOENT.into());
    }
    let place = crate::vfs::find_descriptor(cx.seeker(), dirfd).map_err(|lost| lost.errno)?;
    if !is_link(&place.stat) {
        return Err(Errno::NOENT.into());
    }
    let text = match place.node.as_ref().and_then(Node::thread) {
        Some(tid) => {
            procfs::may_look(cx, tid)?;
            procfs::link_text(cx, tid, &procfs::descriptor_path(&place.fd)?)?
        }
        None => None,
    };
    let text = match text {
        Some(text) => text,
        None => rustix::fs::readlinkat(&place.fd, "", Vec::new())?.into_bytes(),
    };
    let shown = shown(&text, size)?;
    cx.mem().write(buffer, shown)?;
    Ok(Verdict::Return(shown.len() as i64))
}

/// As much of a link's text as the caller has room for.
fn shown(text: &[u8], size: i32) -> Result<&[u8], Errno> {
    match text.len() < libc::PATH_MAX as usize {
        true => Ok(&text[..text.len().min(size as usize)]),
        false => Err(Errno::NAMETOOLONG),
    }
}

fn is_link(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
}

/// What `self` and `thread-self` show, where the kernel's text is not right.
fn own(cx: &Cx<'_>, thread: bool) -> Result<Option<String>, Errno> {
    let view = cx.proc_view();
    // The kernel's text is for who reads it, which in another view is us.
    if view.is_hosts() && cx.tree().is_none() {
        return Ok(None);
    }
    let process = view.number_seen(cx.thread_group()).ok_or(Errno::NOENT)?;
    match (thread, view.number_seen(cx.tid())) {
        (true, Some(tid)) => Ok(Some(format!("{process}/task/{tid}"))),
        (true, None) => Err(Errno::NOENT),
        (false, _) => Ok(Some(process.to_string())),
    }
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
fn descriptor(cx: &Cx<'_>, tid: i32, fd: i32) -> Option<Vec<u8>> {
    let stat = crate::vfs::stat_descriptor(tid, fd).ok()?;
    let text = match cx.sup.descriptors.given(&stat)? {
        // A file that is mounted has a path.
        Given::Namespace(namespace, through) | Given::Path(namespace, through) => {
            let path = through.and_then(|through| procfs::mounted_text(cx, tid, &through));
            match path {
                Some(path) => return Some(path),
                None => namespace.to_string(),
            }
        }
        Given::Control(file) => file.path(),
        // A directory has a path where it is mounted, and this is mounted nowhere.
        Given::Tree(_) => "/".to_owned(),
        Given::Context(_) => "anon_inode:[fscontext]".to_owned(),
    };
    Some(text.into_bytes())
}
