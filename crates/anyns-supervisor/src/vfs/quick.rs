//! The usual paths into `/proc`, found in two calls: absolute, without links but `self`.
//!
//! What is found here is what the walk would find; everything else is left to it.

use std::ffi::CStr;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Lost, Place, Seeker};
use crate::procfs::{Node, number};

/// No path of interest has more names below `/proc`.
const NAMES: usize = 4;

/// Finds what `path` names, if it is of the usual kind and is there.
pub(super) fn find(who: Seeker<'_>, path: &CStr, follow: bool) -> Result<Option<Place>, Lost> {
    let Some(names) = names(path) else { return Ok(None) };
    let Some(Named { trail, moved }) = translated(who, &names, follow)? else { return Ok(None) };
    let proc = who.sight.proc();
    let on_host = format!("{}/{}", proc.mounted_at(), trail.join("/"));
    let nofollow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let found = rustix::fs::openat2(
        CWD,
        &*on_host,
        OFlags::PATH | OFlags::CLOEXEC | nofollow,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS,
    );
    // Links and errors are the walk's.
    let Ok(fd) = found else { return Ok(None) };
    let stat = rustix::fs::fstat(&fd)?;
    if stat.st_dev != proc.device() {
        return Ok(None);
    }
    let node = Some(Node::from_trail(&trail));
    let moved = moved.then(|| on_host.into_bytes());
    Ok(Some(Place { moved, ..Place::on_host(fd, stat, node) }))
}

/// What `path` names by its text alone, and its path on the host where that is another; whether it
/// is there is not looked at. Nothing for paths of another kind, or to what is not shown.
pub(crate) fn node(who: Seeker<'_>, path: &CStr) -> Option<(Node, Option<Vec<u8>>)> {
    let Named { trail, moved } = translated(who, &names(path)?, true).ok()??;
    let on_host = || format!("{}/{}", who.sight.proc().mounted_at(), trail.join("/")).into_bytes();
    Some((Node::from_trail(&trail), moved.then(on_host)))
}

/// The names of a path below `/proc`.
fn names(path: &CStr) -> Option<Vec<&str>> {
    let below = path.to_str().ok()?.strip_prefix("/proc/")?;
    let names: Vec<&str> = below.split('/').collect();
    let plain = |name: &&str| !matches!(*name, "" | "." | ".." | "fdinfo");
    (names.len() <= NAMES && names.iter().all(plain)).then_some(names)
}

/// A path by the host's numbers.
struct Named {
    trail: Vec<String>,
    /// One of them was given otherwise.
    moved: bool,
}

fn translated(who: Seeker<'_>, names: &[&str], follow: bool) -> Result<Option<Named>, Lost> {
    let mut named = Named { trail: Vec::with_capacity(NAMES + 2), moved: false };
    for (place, name) in names.iter().enumerate() {
        match (place, *name) {
            (0, "self" | "thread-self") if names.len() == 1 && !follow => return Ok(None),
            (0, own @ ("self" | "thread-self")) => {
                let process = who.sight.own_process().ok_or(Errno::NOENT)?;
                if who.sight.number(process).is_none() {
                    return Err(Lost::by_us(Errno::NOENT));
                }
                named.trail.push(process.to_string());
                if own == "thread-self" {
                    named.trail.extend(["task".to_owned(), who.tid.to_string()]);
                }
            }
            (0, name) => named.push(who, name)?,
            (2, name) if names[1] == "task" => named.push(who, name)?,
            (_, name) => named.trail.push(name.to_owned()),
        }
    }
    Ok(Some(named))
}

impl Named {
    /// Adds the name of a process or thread, or another.
    fn push(&mut self, who: Seeker<'_>, name: &str) -> Result<(), Lost> {
        let Some(asked) = number(name).filter(|_| who.sight.is_partial()) else {
            self.trail.push(name.to_owned());
            return Ok(());
        };
        let tid = who.sight.thread(asked).ok_or(Lost::by_us(Errno::NOENT))?;
        self.moved |= tid != asked;
        self.trail.push(tid.to_string());
        Ok(())
    }
}
