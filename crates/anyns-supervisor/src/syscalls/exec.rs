//! execve(2), execveat(2): what a new program does to the credentials of a task we know.
//!
//! The kernel runs the program. A process with one thread keeps its number, so whether the program
//! started may be found out when its credentials are next looked at; stopping it at its start would
//! cost more than all its other calls until then. Otherwise the task is stopped there, since it
//! takes over the leader's number.
//! Not decided here: which capabilities remain; that is `nsproxy::exec`.

use std::sync::Arc;

use anyns_trap::Failed;
use nsproxy::{ExecFile, Kgid, Kuid, Task};

use crate::cx::{Cx, Met, Served, Verdict};
use crate::guests::Guest;
use crate::procfs;
use crate::trouble::Trouble;

/// Serves `execve` and `execveat`.
pub(crate) fn exec(cx: &mut Cx<'_>) -> Served {
    let Some(mut met) = concerned(cx)? else { return Ok(Verdict::Continue) };
    let guest = met.keep()?;
    if guest.is_alone() {
        guest.expect_exec(mark(guest.tgid));
        return Ok(Verdict::Continue);
    }
    cx.sup.guests.moves(&guest);
    let done = cx.take().let_exec();
    if done.is_err() {
        cx.sup.guests.stays(&guest);
    }
    match done {
        Ok(execed) => {
            cx.sup.after_exec(met.tid, met.tgid, &met.task);
            Ok(Verdict::Answered(execed.release()))
        }
        Err(Failed::Untraceable(call)) => {
            // Another guest traces it. Only the leader can be recognised afterwards.
            cx.put_back(call);
            cx.sup.guests.mark_traced(&guest);
            guest.expect_exec(mark(guest.tgid));
            Ok(Verdict::Continue)
        }
        Err(failed) => Ok(Verdict::Answered(failed.settle())),
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
    if cx.guest().is_some() {
        return cx.meet().map(Some);
    }
    if cx.sup.guests.len() == 0 {
        return Ok(None);
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
    fn after_exec(&self, tid: i32, tgid: i32, task: &Arc<Task>) {
        follow(task, tgid);
        if let Err(errno) = self.guests.rename(tid, tgid, task) {
            nsproxy::exit(task);
            let trouble = Trouble::Host { doing: "keeping a task across exec", errno };
            self.note_host(tgid, "execve", &trouble);
        }
    }
}

fn follow(task: &Arc<Task>, tgid: i32) {
    if nsproxy::exec(task, &program_of(tgid)).is_err() {
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
