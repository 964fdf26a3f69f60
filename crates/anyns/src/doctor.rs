//! `anyns doctor`: what this host allows, one line each, and what would help.
//!
//! A line begins with `ok`, with `no` if nothing can be run because of it, or with `--` if it is
//! only good to know.

use std::fmt::Write;

use anyns_trap::objects;
use anyns_trap::placeholder::SelfTest;
use anyns_trap::probe::{self, Facts, Notify, Obstacle, Outer, Status, Wish};
use anyns_trap::{BackEnd, Plan};
use rustix::io::Errno;

use crate::error::Error;
use crate::obstacle::{Hindrance, list, understood};
use crate::print;

/// Prints the report; the status says whether commands can be run.
pub(crate) fn doctor() -> Result<u8, Error> {
    let facts = probe::gather(&anyns_supervisor::rows());
    let choice = facts.choose(Wish::Auto).map_err(understood);
    let mut text = report(&facts, &choice);
    match objects::sweep() {
        0 => {}
        1 => text += "--  an ipc object that a killed anyns had left is removed\n",
        count => {
            let _ =
                writeln!(text, "--  {count} ipc objects that a killed anyns had left are removed");
        }
    }
    print(&text);
    Ok(if choice.is_ok() { 0 } else { 1 })
}

struct Report(String);

impl Report {
    fn line(&mut self, mark: &str, words: &str) {
        let _ = writeln!(self.0, "{mark:2}  {words}");
    }

    fn ok(&mut self, words: &str) {
        self.line("ok", words);
    }

    fn note(&mut self, words: &str) {
        self.line("--", words);
    }

    fn obstacle(&mut self, obstacle: &Obstacle) {
        self.line("no", &Hindrance(obstacle).what());
        let _ = writeln!(self.0, "      try {}", Hindrance(obstacle).help());
    }
}

fn report(facts: &Facts, choice: &Result<Plan, Vec<Obstacle>>) -> String {
    let mut report = Report(String::new());
    let obstacles = choice.as_ref().err().map_or(&[][..], Vec::as_slice);
    let stands = |which: fn(&Obstacle) -> bool| obstacles.iter().find(|found| which(found));

    match stands(|o| matches!(o, Obstacle::OldKernel(_))) {
        Some(old) => report.obstacle(old),
        None => report.ok(&format!("kernel {}", facts.kernel.release)),
    }
    match stands(|o| matches!(o, Obstacle::NoProc)) {
        Some(missing) => report.obstacle(missing),
        None => report.ok("/proc is mounted"),
    }
    match stands(|o| matches!(o, Obstacle::NoProcess(_))) {
        Some(none) => report.obstacle(none),
        None => report.ok("processes can be started"),
    }
    filters(&mut report, facts, obstacles);
    let mut may_trace = facts.outer.is_ok();
    for found in obstacles {
        if matches!(
            found,
            Obstacle::Yama(_)
                | Obstacle::TraceFiltered(_)
                | Obstacle::TracedAlready
                | Obstacle::TraceRefused(..)
                | Obstacle::MemoryRefused(_)
        ) {
            report.obstacle(found);
            may_trace = false;
        }
    }
    if may_trace {
        report.ok(&match facts.yama {
            Some(scope) => format!("own children can be traced (Yama scope {scope})"),
            None => "own children can be traced (no Yama)".to_owned(),
        });
    }
    if let Some(label) = &facts.label {
        report.note(&format!("a security module confines anyns as '{label}'"));
    }
    kernel_parts(&mut report, facts);
    native(&mut report, facts);
    match (choice, &facts.outer) {
        (Ok(plan), Ok(outer)) => report.ok(&back_end(plan.back_end(), outer)),
        _ => report.line("no", "commands cannot be run here by either back end"),
    }
    report.0
}

/// Which back end serves, and why that one.
fn back_end(back_end: BackEnd, outer: &Outer) -> String {
    match back_end {
        BackEnd::Notify => {
            "commands are served by the notify back end: it hears of every call".to_owned()
        }
        BackEnd::Stop if outer.notify == Notify::ListenerExists => {
            "commands are served by the stop back end: another supervisor has the only listener"
                .to_owned()
        }
        BackEnd::Stop => format!(
            "commands are served by the stop back end: a seccomp filter from outside answers {}",
            list(&outer.denied)
        ),
    }
}

fn filters(report: &mut Report, facts: &Facts, obstacles: &[Obstacle]) {
    for found in obstacles {
        if matches!(
            found,
            Obstacle::NoSeccomp | Obstacle::NotifyRefused(_) | Obstacle::CallsKill(_)
        ) {
            report.obstacle(found);
        }
    }
    let Ok(outer) = &facts.outer else { return };
    match outer.notify {
        Notify::Works if facts.sync_wake_up => report.ok("seccomp notification"),
        Notify::Works => {
            report.ok("seccomp notification, slower than on Linux 6.6 or later");
        }
        Notify::ListenerExists => {
            report
                .note("no seccomp notification: another supervisor has the only listener (EBUSY)");
        }
        _ => {}
    }
    match facts.status.and_then(outer_filters) {
        Some(count) if !outer.denied.is_empty() => {
            report.note(&format!("{count} from outside: {}", list(&outer.denied)));
        }
        Some(count) if outer.notify == Notify::Works => {
            report.ok(&format!("{count} from outside, which hide no call that is served"));
        }
        Some(count) => report.note(&format!("{count} from outside")),
        None if facts.status.is_some() => report.ok("no seccomp filter from outside"),
        None => {}
    }
}

fn outer_filters(status: Status) -> Option<String> {
    match (status.seccomp_mode?, status.filters) {
        (0, _) => None,
        (_, Some(1)) => Some("1 seccomp filter".to_owned()),
        (_, Some(count)) => Some(format!("{count} seccomp filters")),
        (_, None) => Some("seccomp filters".to_owned()),
    }
}

fn kernel_parts(report: &mut Report, facts: &Facts) {
    let parts = [
        ("pidfd_open", facts.pidfd, "anyns cannot watch processes"),
        ("pidfd_open of threads", facts.pidfd_thread, "ends of threads are noticed late"),
        ("openat2", facts.openat2, "paths are walked in more steps"),
    ];
    for (name, tried, without) in parts {
        match tried {
            Ok(()) => report.ok(name),
            Err(errno) => report.note(&format!("no {name} ({}): {without}", errno_words(errno))),
        }
    }
    if !facts.proc_children {
        report.note("no /proc/PID/task/TID/children: an interrupted tree is cleaned up slower");
    }
    match &facts.placeholder {
        Ok(SelfTest::Signalled) => report.ok("written control files are answered at once"),
        Ok(SelfTest::Polled) => report.note("written control files are answered within 1 ms"),
        Err(error) => report.note(&format!("written control files cannot be served: {error}")),
    }
    if facts.status.is_some_and(|status| status.no_new_privs) {
        report.note("no_new_privs is set already; anyns sets it for every command");
    }
}

/// What the kernel would do without us. It does not matter: the call is always ours.
fn native(report: &mut Report, facts: &Facts) {
    let by_itself = match facts.native_userns {
        Ok(()) => "the kernel itself would make user namespaces".to_owned(),
        Err(errno) => format!("the kernel itself refuses user namespaces ({})", errno_words(errno)),
    };
    let mut settings = Vec::new();
    let sysctls = [
        ("user.max_user_namespaces", facts.max_user_namespaces),
        ("kernel.unprivileged_userns_clone", facts.unprivileged_userns_clone),
        ("kernel.apparmor_restrict_unprivileged_userns", facts.apparmor_restricts),
    ];
    for (name, value) in sysctls {
        settings.extend(value.map(|value| format!("{name} is {value}")));
    }
    if settings.is_empty() {
        report.note(&by_itself);
    } else {
        report.note(&format!("{by_itself}: {}", settings.join(", ")));
    }
}

fn errno_words(errno: Errno) -> String {
    match errno {
        Errno::PERM => "EPERM".to_owned(),
        Errno::NOSPC => "ENOSPC".to_owned(),
        Errno::NOSYS => "ENOSYS".to_owned(),
        Errno::INVAL => "EINVAL".to_owned(),
        Errno::ACCESS => "EACCES".to_owned(),
        Errno::USERS => "EUSERS".to_owned(),
        other => format!("errno {}", other.raw_os_error()),
    }
}
