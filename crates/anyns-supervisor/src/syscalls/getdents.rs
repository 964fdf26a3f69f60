//! getdents64(2), getdents(2): what `/proc`, `/proc/PID/task` and the root of a guest's devpts list.
//! Not here: which processes are left out and how the rest is called; that is `procfs::listing`.
//!
//! The listing moves the place in the directory, which belongs to the guest's open file. So it is
//! read through that very file, borrowed (pidfd_getfd(2)); where the host does not lend it, the guest
//! reads itself while it is held.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use anyns_trap::Failed;
use rustix::fs::{RawDir, SeekFrom};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

use crate::abi::dirent;
use crate::cx::{Cx, Served, Verdict};
use crate::mounts::Pts;
use crate::procfs::{self, Listed, Node};
use crate::trouble::Trouble;
use crate::vfs::{self, Sight};

/// `DEVPTS_SUPER_MAGIC`.
const DEVPTS: rustix::fs::FsWord = 0x1cd1;

/// No listing is read into more than this at a time.
const MOST: usize = 64 << 10;

/// Serves `getdents64(fd, buffer, size)`.
pub(crate) fn getdents64(cx: &mut Cx<'_>) -> Served {
    list(cx, false)
}

/// Serves `getdents(fd, buffer, size)`.
pub(crate) fn getdents(cx: &mut Cx<'_>) -> Served {
    list(cx, true)
}

/// A directory that does not list all that the host has there.
enum Choice<'a> {
    Processes(Listed<'a>),
    Terminals(Arc<Pts>),
}

impl Choice<'_> {
    /// The entries that are shown, of those that the host gave.
    fn entries(&self, all: &[u8], legacy: bool) -> Vec<u8> {
        match self {
            Choice::Processes(listed) => listed.entries(all, legacy),
            Choice::Terminals(pts) => dirent::chosen(all, legacy, |entry, shown| {
                let number = entry.number().and_then(|number| u32::try_from(number).ok());
                if number.is_none_or(|number| pts.has(number)) {
                    entry.append(shown);
                }
            }),
        }
    }
}

fn list(cx: &mut Cx<'_>, legacy: bool) -> Served {
    let fd = cx.int(0);
    let Some(choice) = choice(cx, fd)? else { return Ok(Verdict::Continue) };
    match borrow(cx.tid(), fd) {
        Ok(directory) if !legacy => read(cx, &directory, &choice),
        _ => let_read(cx, &choice, legacy),
    }
}

/// What a directory shows; none where that is all.
fn choice<'a>(cx: &Cx<'a>, fd: i32) -> Result<Option<Choice<'a>>, Trouble> {
    let (is_partial, has_mounts) = (cx.is_partial(), cx.tree().is_some());
    if !is_partial && !has_mounts {
        return Ok(None);
    }
    // What is not open, or cannot be looked at, is the kernel's to judge.
    let Ok(at) = vfs::start(cx.seeker(), fd) else { return Ok(None) };
    if has_mounts && cx.tree_of(&at).is_some() {
        return Err(Errno::BADF.into());
    }
    if has_mounts && rustix::fs::fstatfs(&at).is_ok_and(|fs| fs.f_type == DEVPTS) {
        return Ok(terminals(cx, fd).map(Choice::Terminals));
    }
    let trail = if is_partial { vfs::trail(cx.seeker(), &at)? } else { None };
    let listed = trail.and_then(|trail| procfs::listed(&Node::from_trail(&trail), cx.proc_view()));
    Ok(listed.map(|mut listed| {
        let tid = cx.tid();
        listed.put_first(|number| {
            let found = std::fs::metadata(format!("/proc/{tid}/fd/{fd}/{number}"));
            found.ok().map(|found| found.ino())
        });
        Choice::Processes(listed)
    }))
}

/// The devpts of a guest's that a descriptor is of.
fn terminals(cx: &Cx<'_>, fd: i32) -> Option<Arc<Pts>> {
    let place = vfs::find_descriptor(cx.seeker(), fd).ok()?;
    cx.sup.mounts.terminals(place.seen_through()?.sb.id())
}

/// The open file behind a guest's descriptor.
pub(crate) fn borrow(tid: i32, fd: i32) -> Result<OwnedFd, Errno> {
    let process = procfs::thread_group(tid).and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    let pidfd = rustix::process::pidfd_open(process, PidfdFlags::empty())?;
    rustix::process::pidfd_getfd(&pidfd, fd, PidfdGetfdFlags::empty())
}

fn read(cx: &Cx<'_>, directory: &OwnedFd, choice: &Choice<'_>) -> Served {
    let (buffer, size) = (cx.arg(1), (cx.arg(2) as u32 as usize).min(MOST));
    let before = rustix::fs::tell(directory)?;
    loop {
        let all = batch(directory, size)?;
        let shown = choice.entries(&all, false);
        if shown.is_empty() && !all.is_empty() {
            continue;
        }
        if let Err(error) = cx.mem().write(buffer, &shown) {
            // As if nothing had been read.
            let _ = rustix::fs::seek(directory, SeekFrom::Start(before));
            return Err(error.into());
        }
        return Ok(Verdict::Return(shown.len() as i64));
    }
}

/// What one call of getdents64(2) gives.
fn batch(directory: &OwnedFd, size: usize) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![MaybeUninit::uninit(); size];
    let mut raw = RawDir::new(directory, &mut buffer);
    let mut all = Vec::with_capacity(size);
    while let Some(entry) = raw.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes_with_nul();
        let length = (HEAD + name.len()).next_multiple_of(8);
        all.extend_from_slice(&entry.ino().to_ne_bytes());
        all.extend_from_slice(&entry.next_entry_cookie().to_ne_bytes());
        all.extend_from_slice(&(length as u16).to_ne_bytes());
        all.push(kind(entry.file_type()));
        all.extend_from_slice(name);
        all.resize(all.len() + length - HEAD - name.len(), 0);
        if raw.is_buffer_empty() {
            break;
        }
    }
    Ok(all)
}

/// Bytes of an entry before its name.
const HEAD: usize = 19;

fn kind(kind: rustix::fs::FileType) -> u8 {
    match kind {
        rustix::fs::FileType::Directory => libc::DT_DIR,
        rustix::fs::FileType::Symlink => libc::DT_LNK,
        rustix::fs::FileType::RegularFile => libc::DT_REG,
        rustix::fs::FileType::CharacterDevice => libc::DT_CHR,
        rustix::fs::FileType::BlockDevice => libc::DT_BLK,
        rustix::fs::FileType::Fifo => libc::DT_FIFO,
        rustix::fs::FileType::Socket => libc::DT_SOCK,
        rustix::fs::FileType::Unknown => libc::DT_UNKNOWN,
    }
}

/// Lets the guest read, and leaves out afterwards what it should not see.
fn let_read(cx: &mut Cx<'_>, choice: &Choice<'_>, legacy: bool) -> Served {
    let (nr, args) = (cx.nr(), cx.args());
    let mut held = match cx.take().stop() {
        Ok(held) => held,
        Err(Failed::Untraceable(call)) => {
            cx.put_back(call);
            return Err(Errno::ACCESS.into());
        }
        Err(failed) => return Ok(Verdict::Answered(failed.settle())),
    };
    loop {
        let (done, next) = match held.inject(nr, args) {
            Ok(done) => done,
            Err(failed) => return Ok(Verdict::Answered(failed.settle())),
        };
        held = next;
        let Ok(length @ 1..) = usize::try_from(done) else {
            return Ok(Verdict::Answered(held.ret(done)));
        };
        let mut all = vec![0; length];
        let edited = held.mem().read(args[1], &mut all).and_then(|()| {
            let shown = choice.entries(&all, legacy);
            held.mem().write(args[1], &shown).map(|()| shown.len())
        });
        match edited {
            // All of these were others.
            Ok(0) => {}
            Ok(length) => return Ok(Verdict::Answered(held.ret(length as i64))),
            Err(_) => return Ok(Verdict::Answered(held.ret(-i64::from(libc::EFAULT)))),
        }
    }
}
