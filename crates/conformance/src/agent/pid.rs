//! Numbers of processes: who the caller is, whom it reaches, how its children ended.
//!
//! A number of the caller's own pid namespace is written `%N`, one that `/proc` shows `^N`: the
//! driver says whose it is, if it is of the initial namespace, where numbers come by chance.

use anyns_trap::raw;

use super::{done, refused};
use crate::lang::Call;

pub(super) fn number(call: &Call) -> String {
    let number = match call {
        Call::Getpid {} => rustix::process::getpid().as_raw_nonzero().get(),
        Call::Gettid {} => raw::thread_id(),
        _ => rustix::process::getppid().map_or(0, |parent| parent.as_raw_nonzero().get()),
    };
    format!("%{number}")
}

pub(super) fn wait(who: i32, no_hang: bool) -> String {
    let found = match no_hang {
        true => raw::wait_now(who),
        false => raw::wait_for(who).map(Some),
    };
    match found {
        Ok(None) => "running".into(),
        Ok(Some((child, ended))) => {
            let how = match ended {
                raw::Ended::Exited(status) => format!("exited {status}"),
                raw::Ended::Killed(signal) => format!("killed {signal}"),
            };
            if who == -1 { format!("%{child} {how}") } else { how }
        }
        Err(errno) => refused(errno),
    }
}

/// The calls about process groups and sessions.
pub(super) fn group(call: &Call) -> String {
    let number = match call {
        Call::Setsid {} => raw::setsid(),
        Call::Setpgid { who, group } => return done(raw::setpgid(who.number(), group.number())),
        Call::Getpgid { who } => raw::getpgid(who.number()),
        Call::Getsid { who } => raw::getsid(who.number()),
        _ => return "!not about groups".into(),
    };
    number.map_or_else(refused, |number| format!("%{number}"))
}

/// kill(2). Groups and everybody are the scenario's own only where those outside have no number.
pub(super) fn kill(who: i32, signal: i32) -> String {
    let own_group = || raw::getpgid(0).is_ok_and(|group| group > 0);
    if who < 0 && !nested() || who == 0 && !(nested() && own_group()) {
        return "!only single processes can be signalled there".into();
    }
    done(raw::kill(who, signal))
}

/// memfd_create(2): whether it is let, which is all that is asked of the file.
pub(super) fn memfd(flags: u32) -> String {
    let flags = rustix::fs::MemfdFlags::from_bits_retain(flags);
    done(rustix::fs::memfd_create("agent", flags))
}

pub(super) fn subreaper(on: bool) -> String {
    let who = on.then(rustix::process::getpid);
    done(rustix::process::set_child_subreaper(who))
}

pub(super) fn translate(fd: i32, request: &str, number: i32) -> String {
    let (request, here) = match request {
        "PID_FROM" => (raw::NsNumber::PidFrom, true),
        "TGID_FROM" => (raw::NsNumber::TgidFrom, true),
        "PID_IN" => (raw::NsNumber::PidIn, false),
        "TGID_IN" => (raw::NsNumber::TgidIn, false),
        other => return format!("!there is no request {other}"),
    };
    match raw::ns_number(fd, request, number) {
        Ok(number) if here => format!("%{number}"),
        Ok(number) => format!("~{number}"),
        Err(errno) => refused(errno),
    }
}

/// In the environment: the link to the driver's pid namespace.
pub(crate) const OUTSIDE: &str = "CONFORMANCE_PID_NAMESPACE";

/// Whether the caller is in a pid namespace below the driver's.
pub(super) fn nested() -> bool {
    let own = std::fs::read_link("/proc/self/ns/pid").ok();
    own.is_some_and(|own| std::env::var_os(OUTSIDE).is_some_and(|outside| outside != own))
}

/// The process and the thread as `/proc` shows them: in the driver's pid namespace, unless another
/// procfs was mounted. Where the root has none it is the `/proc` of the beginning that is asked.
pub(super) fn shown() -> (i32, i32) {
    let link = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    let mut words = link.to_str().unwrap_or_default().split("/task/").map(str::parse);
    match (words.next(), words.next()) {
        (Some(Ok(process)), Some(Ok(thread))) => (process, thread),
        _ => kept().unwrap_or_else(|| (std::process::id() as i32, raw::thread_id())),
    }
}

/// The numbers from the `/proc` of the beginning.
fn kept() -> Option<(i32, i32)> {
    let text = super::mnt::read_proc("status").ok()?;
    let number = |name: &str| -> Option<i32> {
        text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
    };
    Some((number("Tgid:")?, number("Pid:")?))
}
