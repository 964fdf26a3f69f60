//! The walk where it is in `/proc`: by whose numbers names are, what may be looked into, and where magic
//! links lead.
//!
//! The walk knows its *trail* there, the names from the root of `/proc` on, by the host's numbers.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::{FileType, ResolveFlags};
use rustix::io::Errno;

use super::walk::{MAX_LINKS, Walk, open_path};
use super::{Lost, Seeker};
use crate::mounts::Identity;
use crate::procfs::{self, Node, ThreadFile, number};

impl Walk<'_> {
    /// Follows a magic link of `/proc`.
    pub(super) fn follow_magic(
        &mut self,
        link: OwnedFd,
        name: &[u8],
        trail: Vec<String>,
    ) -> Result<(), Lost> {
        let node = Node::from_trail(&trail);
        let is_namespace = matches!(node, Node::Namespace { .. });
        if let Some(tid) = node.thread().filter(|_| !is_namespace) {
            self.who.sight.may_look(tid).map_err(Lost::by_us)?;
        }
        let forbidden = ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        if self.resolve.intersects(forbidden) {
            return Err(Errno::LOOP.into());
        }
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::LOOP.into());
        }
        let is_end = is_namespace && self.left.is_empty();
        let target = match open_path(self.here.as_fd(), name, true) {
            Err(errno) if is_end => {
                self.barred = Some(errno);
                link
            }
            other => other?,
        };
        if self.among.is_some() && !is_namespace {
            return self.jump(target, &node, name);
        }
        if self.scope.is_some() {
            return Err(Errno::XDEV.into());
        }
        self.here = Arc::new(target);
        match is_namespace {
            true => self.trail = Some(trail),
            false => self.find_trail()?,
        }
        Ok(())
    }

    /// Checks that names can be looked up in this directory of `/proc` by whoever may list it.
    pub(super) fn may_enter(&self) -> Result<(), Lost> {
        let Some(trail) = &self.trail else { return Ok(()) };
        match Node::from_trail(trail) {
            Node::File { tid, file: ThreadFile::Guarded } => {
                self.who.sight.may_look(tid).map_err(Lost::by_us)
            }
            _ => Ok(()),
        }
    }

    /// The host's name for a process or thread, where the reader calls it otherwise.
    ///
    /// # Errors
    /// ENOENT if the reader's `/proc` does not show it.
    pub(super) fn translated(&mut self, name: &[u8]) -> Result<Option<Vec<u8>>, Lost> {
        let Some(trail) = self.trail.as_ref().filter(|_| self.who.sight.is_partial()) else {
            return Ok(None);
        };
        let above = match trail.as_slice() {
            [] => String::new(),
            [process, task] if task == "task" => format!("{process}/task/"),
            _ => return Ok(None),
        };
        let Some(asked) = std::str::from_utf8(name).ok().and_then(number) else { return Ok(None) };
        let Some(tid) = self.who.sight.thread(asked) else {
            return Err(Lost::by_us(Errno::NOENT));
        };
        if tid == asked {
            return Ok(None);
        }
        let mut moved = format!("/proc/{above}{tid}").into_bytes();
        for name in &self.left {
            moved.push(b'/');
            moved.extend_from_slice(name);
        }
        if self.wants_directory {
            moved.push(b'/');
        }
        self.moved = Some(moved);
        Ok(Some(tid.to_string().into_bytes()))
    }

    /// Goes where `self` or `thread-self` leads the guest.
    pub(super) fn enter_own(&mut self, thread: bool) -> Result<(), Lost> {
        let (tid, sight) = (self.who.tid, self.who.sight);
        if self.resolve.contains(ResolveFlags::NO_SYMLINKS) {
            return Err(Errno::LOOP.into());
        }
        let process = sight.own_process().ok_or(Errno::NOENT)?;
        if sight.number(process).is_none() {
            return Err(Lost::by_us(Errno::NOENT));
        }
        let mut trail = vec![process.to_string()];
        if thread {
            trail.extend(["task".to_owned(), tid.to_string()]);
        }
        self.links += 1;
        let own = open_path(self.here.as_fd(), trail.join("/"), true)?;
        self.arrive(own, None);
        self.trail = Some(trail);
        Ok(())
    }

    /// The same as [`find_trail`](Self::find_trail) where it is known what the walk stands at.
    pub(super) fn find_trail_of(&mut self, here: &Identity) -> Result<(), Lost> {
        if here.dev == self.who.sight.proc().device() {
            return self.find_trail();
        }
        self.trail = None;
        Ok(())
    }

    /// Finds out where in `/proc` the walk stands, if there.
    ///
    /// # Errors
    /// ENOENT if that is the directory of a process that the reader's `/proc` does not show.
    pub(super) fn find_trail(&mut self) -> Result<(), Lost> {
        self.trail = trail_of(self.who, &self.here)?;
        let process = self.trail.as_ref().and_then(|trail| number(trail.first()?));
        match process {
            Some(process) if self.who.sight.number(process).is_none() => {
                Err(Lost::by_us(Errno::NOENT))
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn child(trail: &[String], name: &[u8]) -> Vec<String> {
    let mut child = trail.to_vec();
    child.push(String::from_utf8_lossy(name).into_owned());
    child
}

/// Names from the root of `/proc` down to `at`; `None` if `at` lies elsewhere.
pub(super) fn trail_of(who: Seeker<'_>, at: &OwnedFd) -> Result<Option<Vec<String>>, Errno> {
    let proc = who.sight.proc();
    let stat = rustix::fs::fstat(at)?;
    if stat.st_dev != proc.device() {
        return Ok(None);
    }
    if proc.is_root(&stat) {
        return Ok(Some(Vec::new()));
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
    while !proc.is_root(&rustix::fs::fstat(&here)?) {
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
    let below = path.strip_prefix(who.sight.proc().mounted_at()).unwrap_or(path);
    below.components().map(|name| name.as_os_str().to_string_lossy().into_owned()).collect()
}
