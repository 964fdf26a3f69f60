//! chdir(2), fchdir(2), getcwd(2): the working directory, where the caller sees other mounts than the
//! host's. The caller itself goes to the directory that backs the one it means; through which mount it
//! is there, the model remembers.

use std::os::fd::{AsFd, OwnedFd};

use anyns_trap::Failed;
use nsproxy::Task;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::seen::kind;
use crate::cx::{Cx, Served, Verdict};
use crate::mounts::Identity;
use crate::rights::Need;
use crate::trouble::Trouble;
use crate::vfs::{self, Place};

/// Serves `chdir(path)`.
pub(crate) fn chdir(cx: &mut Cx<'_>) -> Served {
    if cx.tree().is_none() {
        return super::path::followed(cx);
    }
    let path = cx.path(cx.arg(0))?;
    let place = cx.find(libc::AT_FDCWD, &path, true)?;
    if kind(&place) != FileType::Directory {
        return Err(Errno::NOTDIR.into());
    }
    may_be_in(cx, &place)?;
    go(cx, place)
}

/// Checks that the caller may search a directory, since only who may can be in it: the host says so.
fn may_be_in(cx: &Cx<'_>, place: &Place) -> Result<(), Errno> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    drop(cx.lifting(&[(&place.fd, Need::SEARCH)], || {
        rustix::fs::openat(&place.fd, c".", flags, rustix::fs::Mode::empty())
    })?);
    Ok(())
}

/// Brings what the model knows of the caller's working directory up to date, and says whether it is in a
/// mount of its namespace.
pub(super) fn know_own(cx: &Cx<'_>, task: &Task) -> Result<bool, Trouble> {
    let tree = cx.sup.any_tree_of(task).ok_or(Trouble::Gone)?;
    let scene = Some(vfs::Scene { mounts: &cx.sup.mounts, tree: &tree, task });
    let seeker = vfs::Seeker { scene, ..cx.seeker() };
    let place = vfs::find_descriptor(seeker, libc::AT_FDCWD).map_err(|lost| lost.errno)?;
    let to = in_model(cx, task, &place)?;
    to.iter().for_each(|to| task.set_pwd(to));
    Ok(to.is_some())
}

/// Makes the caller's working directory what was found.
pub(crate) fn go(cx: &mut Cx<'_>, place: Place) -> Served {
    let task = cx.guest().ok_or(Trouble::Gone)?.task.clone();
    let to = in_model(cx, &task, &place)?;
    if task.has_virtual_directories() {
        task.set_pwd(&to.ok_or(Errno::NOENT)?);
        let _ = note(cx, &place);
        return Ok(Verdict::Return(0));
    }
    let only = |argument: u64| [argument, 0, 0, 0, 0, 0];
    let done = cx.take().give(place.fd.as_fd(), true).and_then(|(number, held)| {
        let number = match number {
            Ok(number) => number as u64,
            Err(errno) => return Ok((-i64::from(errno), held)),
        };
        let (done, held) = held.inject(libc::SYS_fchdir, only(number))?;
        Ok((done, held.inject(libc::SYS_close, only(number))?.1))
    });
    match done {
        Ok((done, held)) => {
            cx.lifts.lower();
            if done == 0 {
                // Should another thread have exchanged the descriptor, the directory that the caller
                // is in is not this one, and what it is will be looked at.
                to.iter().for_each(|to| task.set_pwd(to));
                // What is not remembered is guessed.
                let _ = note(cx, &place);
            }
            Ok(Verdict::Answered(held.ret(done)))
        }
        Err(Failed::Untraceable(call)) => {
            cx.put_back(call);
            Err(Errno::ACCESS.into())
        }
        Err(failed) => Ok(Verdict::Answered(failed.settle())),
    }
}

/// Serves `fchdir(fd)`. Unless a descriptor of ours stands for it, the directory is the kernel's to find;
/// what is noted here is through which mount, and means nothing if the caller turns out to be elsewhere.
pub(crate) fn fchdir(cx: &mut Cx<'_>) -> Served {
    if cx.tree().is_none() {
        return Ok(Verdict::Continue);
    }
    let fd = cx.int(0);
    let place = vfs::find_descriptor(cx.seeker(), fd).map_err(|lost| lost.errno)?;
    if fd < 0 {
        return Err(Errno::BADF.into());
    }
    if kind(&place) != FileType::Directory {
        return Err(Errno::NOTDIR.into());
    }
    let task = cx.guest().ok_or(Trouble::Gone)?.task.clone();
    let is_virtual = task.has_virtual_directories();
    if is_virtual {
        may_be_in(cx, &place)?;
    }
    if is_virtual || cx.tree_of(&vfs::start(cx.seeker(), fd)?).is_some() {
        return go(cx, place);
    }
    if let Some(to) = in_model(cx, &task, &place)? {
        task.set_pwd(&to);
        note(cx, &place)?;
    }
    Ok(Verdict::Continue)
}

/// Remembers through which mount the working directory was reached, should that go.
fn note(cx: &Cx<'_>, place: &Place) -> Result<(), Errno> {
    if let Some((reached, guest)) = place.reached().zip(cx.guest()) {
        let number = (guest.tgid, vfs::CWD_NUMBER);
        cx.sup.mounts.note_place(number, &reached, &Identity::of(&place.fd)?);
    }
    Ok(())
}

/// What a task has found, as the model knows it; none if it is in no mount.
fn in_model(cx: &Cx<'_>, task: &Task, place: &Place) -> Result<Option<nsproxy::Place>, Trouble> {
    if place.mount.is_none() {
        return Ok(None);
    }
    cx.sup.mounts.sweep(&cx.sup.system);
    let proxy = task.nsproxy().ok_or(Trouble::Gone)?;
    Ok(cx.sup.mounts.in_model(&proxy.mnt, place).ok())
}

/// Serves `getcwd(buffer, size)`.
pub(crate) fn getcwd(cx: &mut Cx<'_>) -> Served {
    let Some(tree) = cx.tree().cloned() else { return super::path::getcwd(cx) };
    let place = vfs::find_descriptor(cx.seeker(), libc::AT_FDCWD).map_err(|lost| lost.errno)?;
    if is_gone(&place.fd)? {
        return Err(Errno::NOENT.into());
    }
    let (mut text, reached) =
        vfs::shown(&cx.sup.mounts, &tree, &place.fd, place.mount, place.dentry)?;
    if text.is_empty() {
        text.push(b'/');
    }
    let mut shown = if reached { Vec::new() } else { b"(unreachable)".to_vec() };
    shown.extend_from_slice(&text);
    shown.push(0);
    if shown.len() > libc::PATH_MAX as usize {
        return Err(Errno::NAMETOOLONG.into());
    }
    if shown.len() as u64 > cx.arg(1) {
        return Err(Errno::RANGE.into());
    }
    cx.mem().write(cx.arg(0), &shown)?;
    Ok(Verdict::Return(shown.len() as i64))
}

fn is_gone(fd: &OwnedFd) -> Result<bool, Errno> {
    Ok(rustix::fs::fstat(fd)?.st_nlink == 0)
}
