//! A host that refuses namespaces, and one that does not: where scenarios are run.
//!
//! A *host* is the surroundings that a program is started in. All kinds give it a host name
//! of their own (`host`, domain `domain`), so that no test can rename the machine, and start it
//! either as uid 1000 without capabilities or as root.
//!
//! * `plain`: the machine as it is. Namespaces are granted.
//! * `max0`: a user namespace with an identity map whose limits of all types are 0. They are
//!   refused with ENOSPC. Limits belong to the user namespace, so nothing global changes.
//! * `docker`: a seccomp filter that answers as Docker's default profile does. They are refused
//!   with EPERM.
//! * `open`: that filter with permission in the place of every refusal, to measure what a filter
//!   costs where it refuses nothing.
//!
//! What the host says is *proved* before the program starts: a throw-away child asks for a user
//! namespace, and if the answer is not the promised one, nothing is started.

mod docker;
mod identity;
mod max0;

use anyns_trap::raw::{self, Birth, Errno};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

use identity::become_who;
pub(crate) use identity::{ROOT_CAPS, USER, USER_BOUNDING};

const NEWUSER: u64 = 0x1000_0000;
const NEWIPC: u64 = 0x0800_0000;
const NEWUTS: u64 = 0x0400_0000;
const NEWNS: u64 = 0x2_0000;
const MS_REC: u64 = 1 << 14;
const MS_PRIVATE: u64 = 1 << 18;

/// What the surroundings do with requests for namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Grant them.
    Plain,
    /// Refuse them by limits of 0.
    Max0,
    /// Refuse them as Docker's default profile does.
    Docker,
    /// Grant them, behind a filter as long as Docker's.
    Open,
}

/// Who the program is started as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Uid 0 with every capability but SYS_RESOURCE.
    Root,
    /// Uid and gid 1000, no groups, no capabilities, `no_new_privs`.
    User,
}

impl Mode {
    /// The mode of a name.
    pub fn named(name: &str) -> Option<Mode> {
        match name {
            "plain" => Some(Mode::Plain),
            "max0" => Some(Mode::Max0),
            "docker" => Some(Mode::Docker),
            "open" => Some(Mode::Open),
            _ => None,
        }
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Plain => "plain",
            Mode::Max0 => "max0",
            Mode::Docker => "docker",
            Mode::Open => "open",
        }
    }

    /// What `unshare(CLONE_NEWUSER)` must give there.
    fn promise(self) -> Result<(), Errno> {
        match self {
            Mode::Plain | Mode::Open => Ok(()),
            Mode::Max0 => Err(Errno::NOSPC),
            Mode::Docker => Err(Errno::PERM),
        }
    }
}

/// Puts the calling process into the surroundings. It must be root and have a single thread.
///
/// An error is one sentence; the process is then in an unknown state and should exit.
pub fn enter(mode: Mode, who: Who) -> Result<(), String> {
    if raw::get_ids().map(|(uid, _)| uid.effective) != Ok(0) {
        return Err("making a host for tests needs root".into());
    }
    match mode {
        Mode::Max0 => max0::enter()?,
        Mode::Plain | Mode::Docker | Mode::Open => {
            // Of objects and limits of ipc that tests make and forget, the machine must not hear either.
            raw::unshare(NEWUTS | NEWIPC).map_err(|errno| {
                format!("making a host for tests needs a kernel that grants root uts and ipc namespaces: {errno}")
            })?;
            // Root's scenarios mount; whatever they forget, the machine must not hear of it.
            let apart =
                raw::unshare(NEWNS).and_then(|()| raw::mount(None, "/", None, MS_REC | MS_PRIVATE));
            apart.map_err(|errno| format!("cannot keep mounts apart: {errno}"))?;
        }
    }
    let unnamed = |errno: Errno| format!("cannot name the host: {errno}");
    raw::sethostname(b"host", 4, None).map_err(unnamed)?;
    raw::setdomainname(b"domain", 6, None).map_err(unnamed)?;
    become_who(who)?;
    if matches!(mode, Mode::Docker | Mode::Open) {
        docker::enter(mode == Mode::Docker)?;
    }
    prove(mode)
}

/// Stays on the processor that this process runs on now, with all its descendants.
pub fn stay_on_one_processor() -> Result<(), String> {
    let mut here = CpuSet::new();
    here.set(sched_getcpu());
    sched_setaffinity(None, &here).map_err(|errno| format!("cannot stay on one processor: {errno}"))
}

/// Goes on in a child; this process stays and reaps whatever is left to it, until all have ended.
/// Then it ends as the child did: with its status, or 128 and its signal.
///
/// The session is this process's own, so that the child always sees one. Ours may have begun outside
/// this pid namespace, where its number reads 0.
pub fn stay_behind() -> Result<(), String> {
    let failed = |errno: Errno| format!("cannot stay behind: {errno}");
    // The leader of a process group cannot begin a session. A shell with job control made it one,
    // and that shell's session is visible from here.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(failed)?;
    let main = match raw::fork().map_err(failed)? {
        // It shall not outlive the one who reaps.
        Birth::Child => return raw::set_death_signal(9).map_err(failed),
        Birth::Parent { child, .. } => child,
    };
    let mut status = 125;
    loop {
        match raw::wait_any() {
            Ok((pid, raw::Ended::Exited(code))) if pid == main => status = code,
            Ok((pid, raw::Ended::Killed(signal))) if pid == main => status = 128 + signal,
            Ok(_) => {}
            Err(_) => raw::exit_now(status),
        }
    }
}

/// Asks for a user namespace in a child and compares the answer with what the mode promises.
fn prove(mode: Mode) -> Result<(), String> {
    let status = match raw::fork().map_err(|errno| format!("cannot fork: {errno}"))? {
        Birth::Child => match raw::unshare(NEWUSER) {
            Ok(()) => raw::exit_now(0),
            Err(errno) => raw::exit_now(errno.raw_os_error()),
        },
        Birth::Parent { child, .. } => raw::wait(child),
    };
    let answer = match status {
        Ok(raw::Ended::Exited(0)) => Ok(()),
        Ok(raw::Ended::Exited(errno)) => Err(Errno::from_raw_os_error(errno)),
        other => return Err(format!("the proof's child did not end as it should: {other:?}")),
    };
    if answer == mode.promise() {
        return Ok(());
    }
    let text = |answer: Result<(), Errno>| match answer {
        Ok(()) => "0".to_owned(),
        Err(errno) => crate::lang::errno_text(errno.raw_os_error()),
    };
    Err(format!(
        "on the {} host unshare(CLONE_NEWUSER) must give {}, but it gives {}",
        mode.name(),
        text(mode.promise()),
        text(answer)
    ))
}
