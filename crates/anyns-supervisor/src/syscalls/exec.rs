//! execve(2), execveat(2): what a new program does to the credentials of a task we know.
//!
//! The kernel runs the program. A process with one thread keeps its number, so whether the program
//! started may be found out when its credentials are next looked at; stopping it at its start would
//! cost more than all its other calls until then. Otherwise the task is stopped there, since it
//! takes over the leader's number.
//! One that sees other mounts than the host is stopped there, too: what it runs was found for it
//! (`crate::exec`) and has to be that.
//! Not decided here: which capabilities remain; that is `nsproxy::exec`.

use std::cell::RefCell;
use std::ffi::CString;
use std::os::fd::AsFd;
use std::sync::Arc;

use anyns_trap::store::Room;
use anyns_trap::{Answered, Call, Failed};
use nsproxy::{ExecFile, Kgid, Kuid, MountFlags, Task};
use rustix::fs::{Access, AtFlags, CWD, FileType, OFlags};
use rustix::io::Errno;

use crate::cx::{Cx, Met, Served, Verdict};
use crate::exec::{Argv, Found, Lookup, Start, Strange, Wanted};
use crate::guests::Guest;
use crate::procfs;
use crate::trouble::Trouble;

/// Flags of execveat(2) that there are, the last of which asks only.
const FLAGS: i32 = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH | EXECVE_CHECK;
/// `AT_EXECVE_CHECK` (6.14).
const EXECVE_CHECK: i32 = 0x1_0000;
/// The limit of descriptors in `/proc/PID/limits`.
const DESCRIPTORS: &str = "Max open files";

/// Serves `execve` and `execveat`.
pub(crate) fn exec(cx: &mut Cx<'_>) -> Served {
    let asked = Asked::read(cx);
    let (start, edit) = match program(cx, &asked)? {
        Program::AsNamed => (None, None),
        Program::Moved(edit) => (None, Some(edit)),
        Program::Checked => return Ok(Verdict::Return(0)),
        Program::Found(start) => (Some(start), None),
    };
    let Some(mut met) = concerned(cx)? else { return Ok(Verdict::Continue) };
    let guest = met.keep()?;
    if guest.is_alone() && edit.is_none() && start.is_none() {
        guest.expect_exec(mark(guest.tgid));
        return Ok(Verdict::Continue);
    }
    let edit = match &start {
        Some(start) => given(cx, &asked, start)?,
        None => edit,
    };
    cx.sup.guests.moves(&guest);
    let done = cx.take().let_exec(edit);
    if done.is_err() {
        cx.sup.guests.stays(&guest);
    }
    match done {
        Ok(execed) => {
            cx.lifts.lower();
            let right = start.as_ref().map_or(Ok(()), |start| start.settle(&execed));
            cx.sup.after_exec(
                met.tid,
                met.tgid,
                &met.task,
                start.as_ref().map(|start| &start.file),
            );
            if let Some(guest) = cx.sup.find_guest(met.tgid) {
                guest.runs(start.as_ref().and_then(|start| start.program.clone()));
            }
            match right {
                Ok(()) => Ok(Verdict::Answered(execed.release())),
                Err(Strange) => Ok(Verdict::Answered(killed(cx, execed))),
            }
        }
        Err(Failed::Untraceable(call)) => {
            // Another guest traces it. Only the leader can be recognised afterwards.
            cx.put_back(call);
            if edit.is_some() || start.is_some() {
                let doing = "executing a program of another view for one that is traced";
                cx.sup.note(cx, &Trouble::Host { doing, errno: Errno::PERM });
                return Err(Errno::ACCESS.into());
            }
            cx.sup.guests.mark_traced(&guest);
            guest.expect_exec(mark(guest.tgid));
            Ok(Verdict::Continue)
        }
        Err(failed) => Ok(Verdict::Answered(failed.settle())),
    }
}

/// What was started is not what was found for the guest: somebody exchanged one for the other.
fn killed(cx: &Cx<'_>, execed: anyns_trap::Execed) -> Answered {
    let doing = "executing what was looked up: another program has started";
    cx.sup.note(cx, &Trouble::Host { doing, errno: Errno::ACCESS });
    execed.kill()
}

/// The arguments of either call.
struct Asked {
    dirfd: i32,
    /// Which argument the path is; the other arguments' vectors come behind it.
    path_arg: usize,
    flags: i32,
}

impl Asked {
    fn read(cx: &Cx<'_>) -> Asked {
        match cx.nr() {
            libc::SYS_execveat => Asked { dirfd: cx.int(0), path_arg: 1, flags: cx.int(4) },
            _ => Asked { dirfd: libc::AT_FDCWD, path_arg: 0, flags: 0 },
        }
    }

    fn follows(&self) -> bool {
        self.flags & libc::AT_SYMLINK_NOFOLLOW == 0
    }
}

/// Which program a call means.
enum Program {
    /// The one that the kernel finds by its path.
    AsNamed,
    /// One in a process's directory in `/proc`, which the kernel finds with these arguments.
    Moved([u64; 6]),
    /// One that was found in the caller's view.
    Found(Box<Start>),
    /// The same, which is not to be run.
    Checked,
}

fn program(cx: &Cx<'_>, asked: &Asked) -> Result<Program, Trouble> {
    if cx.tree().is_some() {
        cx.may_wait()?;
        return in_view(cx, &Eyes { cx, taken: RefCell::default() }, asked);
    }
    if !cx.looks_from_inside() {
        return Ok(Program::AsNamed);
    }
    cx.may_wait()?;
    let path_arg = asked.path_arg;
    let Some(path) = cx.readable_path(cx.arg(path_arg))? else { return Ok(Program::AsNamed) };
    if path.is_empty() {
        return Ok(Program::AsNamed);
    }
    let moved = match cx.look_up(asked.dirfd, &path, asked.follows()) {
        Ok(place) => place.moved,
        Err(lost) if lost.by_us => return Err(lost.errno.into()),
        Err(lost) => lost.moved,
    };
    let Some(mut moved) = moved else { return Ok(Program::AsNamed) };
    moved.push(0);
    let mut args = cx.args();
    args[path_arg] = cx.held().scratch(&moved)?;
    Ok(Program::Moved(args))
}

/// Finds a program in the mounts that the caller sees.
fn in_view(cx: &Cx<'_>, eyes: &Eyes<'_, '_>, asked: &Asked) -> Result<Program, Trouble> {
    if asked.flags & !FLAGS != 0 {
        return Err(Errno::INVAL.into());
    }
    let path = cx.path(cx.arg(asked.path_arg))?;
    let by_descriptor = path.is_empty() && asked.flags & libc::AT_EMPTY_PATH != 0;
    let relative = !path.to_bytes().starts_with(b"/") && asked.dirfd != libc::AT_FDCWD;
    let found = match by_descriptor {
        true => eyes.behind(asked.dirfd)?,
        false => eyes.look(asked.dirfd, &path, asked.follows())?,
    };
    if asked.flags & EXECVE_CHECK != 0 {
        return found.judge().map(|()| Program::Checked).map_err(Into::into);
    }
    let named = match (by_descriptor, relative) {
        (true, _) => format!("/dev/fd/{}", asked.dirfd).into_bytes(),
        (_, true) => [format!("/dev/fd/{}/", asked.dirfd).as_bytes(), path.to_bytes()].concat(),
        _ => path.to_bytes().to_vec(),
    };
    let vanishes = (by_descriptor || relative) && eyes.closes(asked.dirfd);
    let wanted = Wanted { found, named, by_descriptor, vanishes };
    cx.sup.programs.prepare(eyes, wanted).map(|start| Program::Found(Box::new(start)))
}

/// Gives the caller what it needs to execute the program, and says by which arguments it does.
fn given(cx: &mut Cx<'_>, asked: &Asked, start: &Start) -> Result<Option<[u64; 6]>, Trouble> {
    for (number, fd) in &start.gifts {
        let mut call: Call = cx.take();
        let added = call.add_fd(fd.as_fd(), Some(*number), true);
        cx.put_back(call);
        added.map_err(|error| match error.raw_os_error() {
            Some(libc::ENOENT) | None => Trouble::Gone,
            Some(other) => Errno::from_raw_os_error(other).into(),
        })?;
    }
    let Some(path) = &start.path else { return Ok(None) };
    let mut args = cx.args();
    let put = Argv::put(cx.held(), start, path, args[asked.path_arg + 1])?;
    (args[asked.path_arg], args[asked.path_arg + 1]) = (put.path, put.argv);
    if asked.path_arg == 1 {
        args[4] = 0;
    }
    Ok(Some(args))
}

/// How the caller finds programs.
struct Eyes<'a, 'b> {
    cx: &'a Cx<'b>,
    /// Numbers of descriptors that are spoken for.
    taken: RefCell<Vec<i32>>,
}

/// This thread is to files what the caller is, as long as this lives.
fn disguised(cx: &Cx<'_>) -> Result<crate::disguise::Disguise, Errno> {
    crate::disguise::Disguise::of(cx).map_err(|_| Errno::ACCESS)
}

impl Eyes<'_, '_> {
    fn look(&self, dirfd: i32, path: &std::ffi::CStr, follow: bool) -> Result<Found, Errno> {
        let _as_caller = disguised(self.cx)?;
        let place = self.cx.look_up(dirfd, path, follow).map_err(|lost| lost.errno)?;
        self.found(place)
    }

    /// What an open descriptor stands for.
    fn behind(&self, dirfd: i32) -> Result<Found, Errno> {
        let _as_caller = disguised(self.cx)?;
        let place = crate::vfs::find_descriptor(self.cx.seeker(), dirfd);
        self.found(place.map_err(|lost| lost.errno)?)
    }

    fn found(&self, place: crate::vfs::Place) -> Result<Found, Errno> {
        if super::seen::kind(&place) == FileType::RegularFile {
            // Whoever makes a copy of it may be somebody else.
            let path = super::seen::own_path(&place.fd);
            rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?;
        }
        let flags = place.seen_through().map(|mount| mount.flags);
        let through = place.reached();
        let (fd, stat) = (place.fd, place.stat);
        let has = |flag| flags.is_some_and(|flags: MountFlags| flags.contains(flag));
        let (noexec, nosuid) = (has(MountFlags::NOEXEC), has(MountFlags::NOSUID));
        let found = Found { fd, stat, noexec, nosuid, through };
        // A program that runs from a copy executes what it is.
        match self.cx.sup.programs.original((found.stat.st_dev, found.stat.st_ino)) {
            Some(original) => {
                let fd = original.try_clone().map_err(|_| Errno::MFILE)?;
                let stat = rustix::fs::fstat(&fd)?;
                Ok(Found { fd, stat, ..found })
            }
            None => Ok(found),
        }
    }

    /// Whether a descriptor is closed at exec.
    fn closes(&self, fd: i32) -> bool {
        let text = procfs::read_file(&format!("/proc/{}/fdinfo/{fd}", self.cx.tid()));
        let text = text.unwrap_or_default();
        let flags = String::from_utf8_lossy(&text);
        let flags = flags.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
        flags.is_some_and(|flags| OFlags::from_bits_retain(flags).contains(OFlags::CLOEXEC))
    }
}

impl Lookup for Eyes<'_, '_> {
    fn find(&self, path: &[u8]) -> Result<Found, Errno> {
        let path = CString::new(path).map_err(|_| Errno::NOENT)?;
        self.look(libc::AT_FDCWD, &path, true)
    }

    fn free_descriptor(&self, unless: (u64, u64)) -> Result<i32, Errno> {
        /// The highest that has three digits: a path that names it has room in most programs.
        const HIGHEST: u64 = 999;
        const ATTEMPTS: i32 = 16;
        let tid = self.cx.tid();
        let limit = procfs::read_limit(tid, DESCRIPTORS).unwrap_or(0).min(HIGHEST + 1) as i32;
        let mut taken = self.taken.borrow_mut();
        let is_free = |number: &i32| {
            !taken.contains(number)
                && match crate::vfs::stat_descriptor(tid, *number) {
                    Err(errno) => errno == Errno::BADF,
                    Ok(stat) => (stat.st_dev, stat.st_ino) == unless,
                }
        };
        let number = (0.max(limit - ATTEMPTS)..limit).rev().find(is_free).ok_or(Errno::MFILE)?;
        taken.push(number);
        Ok(number)
    }

    fn room(&self) -> Result<Room, Errno> {
        self.cx.sup.mounts.room()
    }
}

/// What marks the program that runs now. One that may not be read has no mark that we can see; the
/// next one, if it can be read, is then marked otherwise.
fn mark(tgid: i32) -> [u8; 16] {
    procfs::program_mark(tgid).unwrap_or_default()
}

/// The caller, if the model knows it or another thread of its group: exec ends the other threads,
/// and the caller takes over the leader's number, so a stranger must not inherit its entry.
fn concerned<'a>(cx: &Cx<'a>) -> Result<Option<Met<'a>>, Trouble> {
    if cx.guest().is_none() && cx.sup.guests.len() == 0 {
        return Ok(None);
    }
    cx.may_wait()?;
    if cx.guest().is_some() {
        return cx.meet().map(Some);
    }
    let met = cx.meet()?;
    Ok((!cx.sup.guests.group(met.tgid).is_empty()).then_some(met))
}

impl crate::Supervisor {
    /// Finds out whether a program that `guest` was about to start has started. `called` tells that
    /// the guest has made another call, so that it has either started or failed to.
    pub(crate) fn settle_exec(&self, guest: &Guest, called: bool) {
        guest.settle_exec(|before| {
            let started = procfs::program_mark(guest.tgid).is_ok_and(|now| now != before);
            if started {
                follow(&guest.task, guest.tgid);
            }
            started || called
        });
    }

    /// Brings the model and the table up to date after thread `tid` has started a new program,
    /// which runs under the leader's number.
    fn after_exec(&self, tid: i32, tgid: i32, task: &Arc<Task>, file: Option<&ExecFile>) {
        match file {
            Some(file) => follow_to(task, file),
            None => follow(task, tgid),
        }
        if let Err(errno) = self.guests.rename(tid, tgid, task) {
            nsproxy::exit(task);
            let trouble = Trouble::Host { doing: "keeping a task across exec", errno };
            self.note_host(tgid, "execve", &trouble);
        }
    }
}

fn follow(task: &Arc<Task>, tgid: i32) {
    follow_to(task, &program_of(tgid));
}

fn follow_to(task: &Arc<Task>, file: &ExecFile) {
    if nsproxy::exec(task, file).is_err() {
        // The kernel has started the program, so the model has to follow, without its gifts.
        let _ = nsproxy::exec(task, &ExecFile::default());
    }
}

/// What matters of the file that the process runs now. A script's interpreter is the program.
fn program_of(tgid: i32) -> ExecFile {
    let mut file = ExecFile::default();
    if let Ok(stat) = rustix::fs::stat(format!("/proc/{tgid}/exe")) {
        (file.owner, file.group) = (Kuid(stat.st_uid), Kgid(stat.st_gid));
        file.setuid = stat.st_mode & libc::S_ISUID != 0;
        let by_group = libc::S_ISGID | libc::S_IXGRP;
        file.setgid = stat.st_mode & by_group == by_group;
    }
    file
}
