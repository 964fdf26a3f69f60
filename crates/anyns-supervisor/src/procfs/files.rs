//! The files of `/proc` whose text has numbers, ids or mounts in it, as a reader sees them.
//!
//! Each is the kernel's text with some words exchanged, or the model's where the kernel knows
//! nothing of the namespace. The copy is made when the file is opened.

use std::fmt::Write as _;
use std::sync::Arc as StdArc;

use nsproxy::{Arc, Cred};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::control::cannot_open;
use super::copies::copy_of;
use super::{ThreadFile, cgroups, may_look, paths, read_file, status, text};
use crate::cx::{Cx, Served, Verdict};
use crate::guests::Guest;
use crate::numbers::View;
use crate::trouble::Trouble;

/// Opens a file of thread `tid` for a reader.
pub(crate) fn open_file(cx: &mut Cx<'_>, tid: i32, file: ThreadFile, flags: OFlags) -> Served {
    let subject = cx.find_subject(tid);
    let view = cx.proc_view().having_met(subject.as_ref());
    let concerned = subject.is_some() || cx.inside().is_some() || !view.is_hosts();
    if !concerned || cannot_open(flags) {
        return Ok(Verdict::Continue);
    }
    if file.is_guarded() {
        may_look(cx, tid)?;
    }
    if flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
        return Ok(Verdict::Continue);
    }
    let text = match file {
        ThreadFile::Guarded => None,
        ThreadFile::Maps | ThreadFile::Smaps | ThreadFile::NumaMaps => {
            return match mapped_of(cx, tid, file)? {
                Some(text) => copy_of(cx, &text, flags),
                None => Ok(Verdict::Continue),
            };
        }
        ThreadFile::Status => Some(status_of(cx, tid, subject.as_ref())?),
        ThreadFile::Cgroup => {
            return match cgroups::of(cx, tid)? {
                Some(text) => copy_of(cx, &text, flags),
                None => Ok(Verdict::Continue),
            };
        }
        ThreadFile::Mountinfo => {
            let own = subject.as_ref().and_then(|subject| mounts_of(cx, subject, file));
            cgroups::roots(cx, tid, own)?
        }
        ThreadFile::Mounts | ThreadFile::Mountstats => {
            subject.as_ref().and_then(|subject| mounts_of(cx, subject, file))
        }
        _ if view.is_hosts() => None,
        ThreadFile::Stat => {
            let text = cx.sup.last.read(format!("/proc/{tid}/stat"))?;
            Some(stat(&text::read(&text), tid, tid == cx.tid(), &view))
        }
        ThreadFile::Children => Some(children(&read_of(tid, "children")?, &view)),
        ThreadFile::Sched => Some(sched(&read_of(tid, "sched")?, tid, &view)),
        ThreadFile::Fdinfo(fd) => fdinfo(cx, &read_of(tid, &format!("fdinfo/{fd}"))?),
    };
    match text {
        Some(text) => copy_of(cx, &text::written(text), flags),
        None => Ok(Verdict::Continue),
    }
}

/// What a process has mapped, if it would find that by other paths than the host.
fn mapped_of(cx: &Cx<'_>, tid: i32, file: ThreadFile) -> Result<Option<Vec<u8>>, Trouble> {
    cx.may_wait()?;
    let name = match file {
        ThreadFile::Smaps => "smaps",
        ThreadFile::NumaMaps => "numa_maps",
        _ => "maps",
    };
    if cx.sup.find_subject(tid).and_then(|subject| cx.sup.tree_of(&subject.task)).is_none() {
        return Ok(None);
    }
    Ok(paths::mapped(cx, tid, file, &read_file(&format!("/proc/{tid}/{name}"))?))
}

/// Reads a file of a thread, which a process has of its leader.
fn read_of(tid: i32, name: &str) -> Result<String, Errno> {
    // The name in the process's directory is about the process: the sums of all its threads.
    let text = read_file(&format!("/proc/{tid}/{name}"))
        .or_else(|_| read_file(&format!("/proc/{tid}/task/{tid}/{name}")))?;
    Ok(text::read(&text).into_owned())
}

/// Opens `loadavg`.
pub(crate) fn open_loadavg(cx: &mut Cx<'_>, flags: OFlags) -> Served {
    edited(cx, "/proc/loadavg", flags, |text, view| {
        let (averages, last) = text.trim_end().rsplit_once(' ')?;
        let last: i32 = last.parse().ok()?;
        Some(format!("{averages} {}\n", view.number_seen(last).unwrap_or(0)))
    })
}

/// Opens `locks`.
pub(crate) fn open_locks(cx: &mut Cx<'_>, flags: OFlags) -> Served {
    edited(cx, "/proc/locks", flags, |text, view| {
        let mut out = String::with_capacity(text.len());
        for line in text.lines() {
            out.extend(lock(line, view));
        }
        Some(out)
    })
}

/// One line of `locks`; nothing if its holder is not shown.
fn lock(line: &str, view: &View<'_>) -> Option<String> {
    let place = ["READ  ", "WRITE ", "RW    "].iter().find_map(|mode| line.find(mode))? + 6;
    let (before, rest) = line.split_at(place);
    let (holder, after) = rest.trim_start().split_once(' ')?;
    // A lock of an open file has no holder.
    let holder = match holder.parse().ok()? {
        -1 => -1,
        tid => view.number_seen(tid)?,
    };
    Some(format!("{before}{holder} {after}\n"))
}

fn edited(
    cx: &mut Cx<'_>,
    path: &str,
    flags: OFlags,
    edit: impl FnOnce(&str, &View<'_>) -> Option<String>,
) -> Served {
    let view = cx.proc_view();
    if view.is_hosts() || cannot_open(flags) || flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
        return Ok(Verdict::Continue);
    }
    let text = read_file(path)?;
    match edit(&text::read(&text), &view) {
        Some(text) => copy_of(cx, &text::written(text), flags),
        None => Ok(Verdict::Continue),
    }
}

fn status_of(cx: &Cx<'_>, tid: i32, subject: Option<&StdArc<Guest>>) -> Result<String, Trouble> {
    let text = cx.sup.last.read(format!("/proc/{tid}/status"))?;
    let text = text::read(&text);
    let reader = cx.cred()?;
    let cred: Arc<Cred> = match cx.sup.cred_of(tid, subject.map(|subject| &**subject)) {
        Ok(cred) => cred,
        Err(Trouble::Gone) => return Err(Errno::SRCH.into()),
        Err(other) => return Err(other),
    };
    let levels = levels(cx, subject);
    Ok(status::shown(&text, &cred, &reader.user, tid, &levels, tid == cx.tid()))
}

/// The numbers as they are read in the namespaces from the one that `/proc` shows down to a task's
/// own.
fn levels<'a>(cx: &Cx<'a>, of: Option<&StdArc<Guest>>) -> Vec<View<'a>> {
    let shown = cx.proc_shows();
    let mut levels = Vec::new();
    let mut at = of.and_then(|of| of.task.pid_ns());
    while let Some(ns) = at.filter(|ns| *ns != shown) {
        at = ns.parent();
        levels.push(cx.sup.view_of(ns).having_met(of));
    }
    levels.push(cx.proc_view().having_met(of));
    levels.reverse();
    levels
}

/// `stat`: its own number, its parent's, its group's, its session's, and that of its terminal's
/// foreground group. The kernel finds the reader at rest while it waits for this.
fn stat(text: &str, tid: i32, is_reader: bool, view: &View<'_>) -> String {
    // The name is in parentheses and may hold anything.
    let Some((before, after)) = text.rfind(')').map(|end| text.split_at(end + 1)) else {
        return text.to_owned();
    };
    let name = before.split_once(' ').map_or(before, |(_, name)| name);
    let mut out = format!("{} {name}", view.number_seen(tid).unwrap_or(0));
    for (place, word) in after.trim_start().split(' ').enumerate() {
        out.push(' ');
        let number = word.trim_end().parse::<i32>().unwrap_or(-1);
        match place {
            0 if is_reader => out += "R",
            1 => {
                let parent = view.number_seen(number);
                out += &parent.unwrap_or_else(|| view.parent_seen(tid)).to_string();
            }
            2 | 3 | 5 if number > 0 => out += &view.led_seen(number).to_string(),
            _ => out += word,
        }
    }
    out
}

fn children(text: &str, view: &View<'_>) -> String {
    let numbers = text.split_whitespace().filter_map(|word| view.number_seen(word.parse().ok()?));
    numbers.map(|number| format!("{number} ")).collect()
}

/// `sched` begins with the name and the number: `sh (12, #threads: 1)`.
fn sched(text: &str, tid: i32, view: &View<'_>) -> String {
    let old = format!(" ({tid}, #threads: ");
    let new = format!(" ({}, #threads: ", view.number_seen(tid).unwrap_or(0));
    text.replacen(&old, &new, 1)
}

/// `fdinfo/N` of a pidfd.
fn fdinfo(cx: &Cx<'_>, text: &str) -> Option<String> {
    let tid: i32 = status::field(text, "Pid")?.parse().ok()?;
    if tid <= 0 {
        return None;
    }
    let subject = cx.find_subject(tid);
    let numbers: Vec<i32> = levels(cx, subject.as_ref())
        .iter()
        .map(|level| level.number_seen(tid).unwrap_or(0))
        .collect();
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        match line.split(':').next() {
            Some("Pid") => {
                let _ = writeln!(out, "Pid:\t{}", numbers[0]);
            }
            Some("NSpid") => {
                out.push_str("NSpid:");
                for number in &numbers {
                    let _ = write!(out, "\t{number}");
                }
                out.push('\n');
            }
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    Some(out)
}

/// The mounts of a task's namespace, if that is not the host's.
fn mounts_of(cx: &Cx<'_>, subject: &Guest, file: ThreadFile) -> Option<String> {
    let proxy = subject.task.nsproxy()?;
    if Arc::ptr_eq(&proxy.mnt, &cx.sup.system.init_nsproxy().mnt) {
        return None;
    }
    let files = &cx.sup.mounts.files();
    let text = match file {
        ThreadFile::Mountinfo => nsproxy::mountinfo(&subject.task, files),
        _ => nsproxy::mounts(&subject.task, files),
    };
    let text = text::read(&text).into_owned();
    match file {
        ThreadFile::Mountstats => Some(text.lines().filter_map(mountstat).collect()),
        _ => Some(text),
    }
}

fn mountstat(line: &str) -> Option<String> {
    let mut words = line.split(' ');
    let (device, at, kind) = (words.next()?, words.next()?, words.next()?);
    Some(format!("device {device} mounted on {at} with fstype {kind}\n"))
}
