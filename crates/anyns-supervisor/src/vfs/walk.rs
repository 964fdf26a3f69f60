//! The walk of a path, one component at a time, with the guest's `/proc/self`.
//!
//! Needed only where the kernel's own lookup would answer for *us*: in `/proc`. Elsewhere
//! [`super::find`] lets `openat2(2)` do it in one call.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{Place, Seeker};
use crate::procfs::{self, Node};

/// Symbolic links followed before ELOOP, as in path_resolution(7).
const MAX_LINKS: usize = 40;

struct Walk<'a> {
    who: Seeker<'a>,
    here: OwnedFd,
    /// The names between the root of `/proc` and `here`, if `here` lies there.
    trail: Option<Vec<String>>,
    left: VecDeque<Vec<u8>>,
    links: usize,
    /// The path ended in a slash: the last component must be a directory, links followed.
    wants_directory: bool,
    barred: Option<Errno>,
}

/// Walks `path` from `base` (the root directory if it is absolute).
pub(super) fn walk(
    who: Seeker<'_>,
    base: Option<OwnedFd>,
    path: &[u8],
    follow: bool,
) -> Result<Place, Errno> {
    let here = match base {
        Some(base) => base,
        None => open_path(CWD, &b"/"[..], true)?,
    };
    let trail = trail_of(who, &here)?;
    let mut walk = Walk {
        who,
        here,
        trail,
        left: VecDeque::new(),
        links: 0,
        wants_directory: path.ends_with(b"/"),
        barred: None,
    };
    walk.push(path);
    while let Some(name) = walk.left.pop_front() {
        let last = walk.left.is_empty();
        walk.step(&name, !last || follow || walk.wants_directory)?;
    }
    let stat = rustix::fs::fstat(&walk.here)?;
    if walk.wants_directory && FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(Errno::NOTDIR);
    }
    let node = walk.trail.as_deref().map(Node::from_trail);
    Ok(Place { fd: walk.here, stat, node, barred: walk.barred })
}

impl Walk<'_> {
    /// Puts the components of `path` in front of what is left.
    fn push(&mut self, path: &[u8]) {
        let names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        for name in names.rev() {
            self.left.push_front(name.to_vec());
        }
    }

    fn step(&mut self, name: &[u8], follow: bool) -> Result<(), Errno> {
        if name == b"." {
            return self.enter_same();
        }
        if name == b".." {
            return self.up();
        }
        if let Some(target) = self.own_link(name)
            && follow
        {
            return self.link(target.as_bytes());
        }
        let next = open_path(self.here.as_fd(), name, false)?;
        let stat = rustix::fs::fstat(&next)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink && follow {
            return match &self.trail {
                // Below the root of /proc every link is a magic one: the kernel follows it to the
                // object itself. A namespace link is the end of the way.
                Some(trail) if !trail.is_empty() => {
                    let node = Node::from_trail(&child(trail, name));
                    let is_end = matches!(node, Node::Namespace { .. }) && self.left.is_empty();
                    let target = match open_path(self.here.as_fd(), name, true) {
                        Err(errno) if is_end => {
                            self.barred = Some(errno);
                            next
                        }
                        other => other?,
                    };
                    self.trail = match node {
                        Node::Namespace { .. } => Some(child(trail, name)),
                        _ => trail_of(self.who, &target)?,
                    };
                    self.here = target;
                    Ok(())
                }
                _ => {
                    let text = rustix::fs::readlinkat(&self.here, name, Vec::new())?;
                    self.link(text.as_bytes())
                }
            };
        }
        let on_proc = stat.st_dev == self.who.proc.device();
        self.trail = match self.trail.take() {
            Some(trail) if on_proc => Some(child(&trail, name)),
            None if on_proc => trail_of(self.who, &next)?,
            _ => None,
        };
        self.here = next;
        Ok(())
    }

    /// What `self` and `thread-self` mean to the guest.
    fn own_link(&self, name: &[u8]) -> Option<String> {
        if !self.trail.as_ref().is_some_and(Vec::is_empty) {
            return None;
        }
        let tid = self.who.tid;
        match name {
            b"self" => Some(procfs::thread_group(tid)?.to_string()),
            b"thread-self" => Some(format!("{}/task/{tid}", procfs::thread_group(tid)?)),
            _ => None,
        }
    }

    fn link(&mut self, target: &[u8]) -> Result<(), Errno> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::LOOP);
        }
        if self.left.is_empty() && target.ends_with(b"/") {
            self.wants_directory = true;
        }
        if target.starts_with(b"/") {
            self.here = open_path(CWD, &b"/"[..], true)?;
            self.trail = None;
        }
        self.push(target);
        Ok(())
    }

    fn up(&mut self) -> Result<(), Errno> {
        let next = open_path(self.here.as_fd(), &b".."[..], true)?;
        self.trail = match self.trail.take() {
            Some(mut trail) if !trail.is_empty() => {
                trail.pop();
                Some(trail)
            }
            _ => trail_of(self.who, &next)?,
        };
        self.here = next;
        Ok(())
    }

    /// `.` is the same directory, but only a directory has it.
    fn enter_same(&mut self) -> Result<(), Errno> {
        open_path(self.here.as_fd(), &b"."[..], true).map(drop)
    }
}

fn child(trail: &[String], name: &[u8]) -> Vec<String> {
    let mut child = trail.to_vec();
    child.push(String::from_utf8_lossy(name).into_owned());
    child
}

/// Names from the root of `/proc` down to `at`; `None` if `at` lies elsewhere.
fn trail_of(who: Seeker<'_>, at: &OwnedFd) -> Result<Option<Vec<String>>, Errno> {
    let stat = rustix::fs::fstat(at)?;
    if stat.st_dev != who.proc.device() {
        return Ok(None);
    }
    // The text of the descriptor ends in the trail; how much of it belongs to /proc is found by
    // climbing, since the file system may be mounted anywhere.
    let mut names = Vec::new();
    let text = procfs::descriptor_path(at)?;
    let mut rest = std::path::Path::new(std::ffi::OsStr::from_bytes(&text));
    let mut here = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => at.try_clone().map_err(|_| Errno::MFILE)?,
        _ => return Ok(Some(trail_by_text(who, rest))),
    };
    while !who.proc.is_root(&rustix::fs::fstat(&here)?) {
        let Some(name) = rest.file_name() else { return Ok(Some(vec!["?".into()])) };
        names.push(name.to_string_lossy().into_owned());
        rest = rest.parent().unwrap_or(rest);
        here = open_path(here.as_fd(), &b".."[..], true)?;
    }
    names.reverse();
    Ok(Some(names))
}

/// The trail of a file that is not a directory, by the usual mount point.
fn trail_by_text(who: Seeker<'_>, path: &std::path::Path) -> Vec<String> {
    let below = path.strip_prefix(who.proc.mounted_at()).unwrap_or(path);
    below.components().map(|name| name.as_os_str().to_string_lossy().into_owned()).collect()
}

fn open_path(at: impl AsFd, name: impl rustix::path::Arg, follow: bool) -> Result<OwnedFd, Errno> {
    let nofollow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    rustix::fs::openat(at, name, OFlags::PATH | OFlags::CLOEXEC | nofollow, Mode::empty())
}
