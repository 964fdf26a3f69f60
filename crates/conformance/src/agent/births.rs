//! Bringing actors to life: fork, vfork, clone, clone3, threads, exec.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyns_trap::raw::{self, Birth};

use super::{Actor, Sort, Turn, cast, done, refused};
use crate::lang::{Call, Child};

/// Flags with which a child cannot go on in this program's code.
const NEEDS_IDLE: u64 = 0x100 | 0x1_0000 | 0x8_0000 | 0x10_0000 | 0x20_0000 | 0x100_0000;
const VM: u64 = 0x100;
const VFORK: u64 = 0x4000;
const THREAD: u64 = 0x1_0000;
const PARENT: u64 = 0x8000;
const SIGCHLD: u64 = 17;

impl Actor {
    /// Makes a call that creates a task. The child never returns from here.
    pub(super) fn give_birth(&self, call: &Call, turn: &mut Turn) -> String {
        match call {
            Call::Fork { child } => self.child_process(child, turn, raw::fork),
            Call::Vfork { child } => vforked(child, turn, SIGCHLD),
            Call::Clone { child, flags } if child.0.is_none() => {
                idle(raw::clone_idle(flags.0), flags.0)
            }
            Call::Clone { child, flags } if flags.0 & (VM | VFORK) == VM | VFORK => {
                vforked(child, turn, flags.0 & !(VM | VFORK))
            }
            Call::Clone { child, flags } if flags.0 & NEEDS_IDLE == 0 => {
                self.child_process(child, turn, || raw::clone_process(flags.0))
            }
            Call::Clone3 { child, block } if child.0.is_none() => {
                idle(patiently(|| raw::clone3_idle(&block.0)), block.0.flags)
            }
            Call::Clone3 { child, block }
                if block.0.flags & NEEDS_IDLE == 0 && block.0.stack.is_none() =>
            {
                self.child_process(child, turn, || patiently(|| raw::clone3_process(&block.0)))
            }
            Call::Thread { .. } if self.sort == Sort::Vforked => {
                "!a vfork child makes no threads here".into()
            }
            Call::Thread { child } => thread(child),
            _ => "!with these flags the child must be `-`".into(),
        }
    }

    fn child_process(
        &self,
        child: &Child,
        turn: &mut Turn,
        call: impl FnOnce() -> Result<Birth, raw::Errno>,
    ) -> String {
        let Some(actor) = child.0.as_deref().and_then(|name| Actor::new(name, Sort::Process))
        else {
            return "!the child needs a name".into();
        };
        match call() {
            // The copied turn is the child's: it is the only thread there.
            Ok(Birth::Child) => actor.obey(Turn(turn.0.take())),
            Ok(Birth::Parent { pidfd, .. }) => {
                if pidfd >= 0 {
                    let _ = raw::close(pidfd);
                }
                "0".into()
            }
            Err(errno) => refused(errno),
        }
    }

    /// Replaces the program by another copy of the agent, which goes on as this actor.
    ///
    /// It is nobody's turn meanwhile: a vfork child would take the lock, which lies in its
    /// parent's memory, along into nothing.
    pub(super) fn execute(&self, path: Option<&str>, turn: &mut Turn) -> String {
        turn.pause();
        let error = Command::new(path.unwrap_or(&cast().program))
            .arg0(&cast().program)
            .arg("resume")
            .arg(self.name())
            .args(&cast().names)
            .exec();
        turn.again();
        crate::lang::errno_text(error.raw_os_error().unwrap_or(5))
    }
}

/// Makes a birth anew for some milliseconds while its chosen number is taken: the kernel gives the
/// number of one who has ended back a moment after nobody can see it any more.
fn patiently<T>(birth: impl Fn() -> Result<T, raw::Errno>) -> Result<T, raw::Errno> {
    for _ in 0..10 {
        match birth() {
            Err(raw::Errno::EXIST) => std::thread::sleep(std::time::Duration::from_micros(500)),
            other => return other,
        }
    }
    birth()
}

/// The result of a birth whose child has exited already; it has gone when this returns, if that
/// can be brought about from here.
fn idle(result: Result<i32, raw::Errno>, flags: u64) -> String {
    match result {
        Ok(thread) if flags & THREAD != 0 => {
            // By its number here: `/proc` may be that of another pid namespace.
            while raw::tgkill(std::process::id() as i32, thread, 0).is_ok() {
                std::thread::yield_now();
            }
        }
        Ok(child) if flags & PARENT == 0 => drop(raw::wait(child)),
        _ => {}
    }
    done(result)
}

/// A child that runs in this process's memory while the caller sleeps, and takes turns like any
/// thread of it.
fn vforked(child: &Child, turn: &mut Turn, flags: u64) -> String {
    let Some(actor) = child.0.as_deref().and_then(|name| Actor::new(name, Sort::Vforked)) else {
        return "!the child needs a name".into();
    };
    turn.pause();
    let result = raw::vfork_with(flags, &mut || actor.follow(Turn::take()));
    turn.again();
    done(result)
}

fn thread(child: &Child) -> String {
    let Some(actor) = child.0.as_deref().and_then(|name| Actor::new(name, Sort::Thread)) else {
        return "!the thread needs a name".into();
    };
    let started = std::thread::Builder::new().spawn(move || actor.obey(Turn::take()));
    started.map_or_else(
        |error| crate::lang::errno_text(error.raw_os_error().unwrap_or(5)),
        |_| "0".into(),
    )
}
