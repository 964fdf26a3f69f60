//! What the engine asks of a supervisor: to serve calls, and what it must know of them beforehand.

use anyns_trap::{Answered, Call, Sender, Serve, Tid};
use nsproxy::Kind;
use rustix::io::Errno;

use crate::cx::{Cx, Verdict};
use crate::trouble::Trouble;
use crate::{Supervisor, disguise, numbers, syscalls, table};

impl Supervisor {
    /// Tells whether a call is told for the numbers that it names and these do not matter: nobody is in a
    /// pid namespace of ours, and nobody keeps others from looking into it; or it is about the caller
    /// itself, who is not known yet, and so no init. (Whoever was seen to wait for a semaphore has to be
    /// seen to call again.)
    fn is_the_kernels(&self, call: &Call) -> bool {
        let (nr, tid) = (call.nr(), call.tid().0);
        let numbers_matter = self.guests.any_numbered() || self.guests.any_closed();
        let by_host = table::is_about_numbers(nr) && !numbers_matter
            || table::is_about_itself(nr, call.args()[0], tid) && self.guests.peek(tid).is_none();
        by_host && !self.ipc.waiters.any()
    }
}

impl Serve for Supervisor {
    fn serve(&self, call: Call) -> Answered {
        if self.is_the_kernels(&call) {
            return call.resume();
        }
        let mut cx = Cx::new(self, call);
        // What is made for a program to start from is ours; who may find it is judged there.
        let is_exec = matches!(cx.nr(), libc::SYS_execve | libc::SYS_execveat);
        let disguise = match is_exec {
            true => Ok(disguise::Disguise::none()),
            false => disguise::Disguise::of(&cx),
        };
        let served = match (table::handler(cx.nr()), &disguise) {
            (_, Err(_)) => disguise.map(|_| Verdict::Continue),
            (Some(handler), Ok(_)) => match handler(&mut cx) {
                Ok(Verdict::Continue) if cx.is_kept_out() => {
                    cx.look_itself();
                    handler(&mut cx)
                }
                served => served,
            },
            (None, Ok(_)) => Ok(Verdict::Continue),
        };
        cx.finish(served)
    }

    fn reaped(&self, tid: Tid, _status: i32) {
        self.guests.note_death(tid.0);
    }

    fn serve_at_once(&self, call: Call) -> Result<Answered, Call> {
        let handler = table::handler_at_once(call.nr()).filter(|_| !self.writes());
        let Some(handler) = handler else { return Err(call) };
        let mut cx = Cx::at_once(self, call)?;
        match handler(&mut cx) {
            Err(Trouble::Later) => Err(cx.take()),
            served => Ok(cx.finish(served)),
        }
    }

    fn never_waits(&self, nr: i64) -> bool {
        table::never_waits(nr)
    }

    fn is_brief(&self, nr: i64) -> bool {
        table::is_brief(nr)
    }

    fn hears_of_births(&self) -> bool {
        true
    }

    fn refuses_filter(&self, call: &Call) -> Option<i32> {
        syscalls::seccomp::refusal(self, call).map(Errno::raw_os_error)
    }

    fn filter_shared(&self, caller: Tid) {
        syscalls::seccomp::shared(self, caller.0);
    }

    fn serves_numbers(&self) -> bool {
        self.serves(Kind::Pid)
    }

    fn renames_senders(&self) -> bool {
        self.guests.any_numbered()
    }

    fn shields(&self, to: Tid, signal: i32) -> bool {
        let unstoppable = matches!(signal, libc::SIGKILL | libc::SIGSTOP);
        let init = || {
            self.guests.peek(to.0).is_some_and(|guest| {
                guest.is_numbered() && guest.task.is_init() && !guest.task.has_exited()
            })
        };
        !unstoppable && init() && syscalls::deliver::has_default(to.0, signal)
    }

    fn sender(&self, to: Tid, from: i32) -> Option<Sender> {
        let target = self.guests.peek(to.0).filter(|guest| guest.is_numbered())?;
        let ns = target.task.pid_ns()?;
        let sender = self.guests.peek(from);
        let pid = numbers::sender_seen(sender.as_deref(), &ns);
        // All ids of a tree are its owner's on the host.
        let uid = sender.map_or_else(own_uid, |sender| sender.task.cred().uid);
        Some(Sender { pid, uid: target.task.cred().user.uid_in(uid) })
    }
}

fn own_uid() -> nsproxy::Kuid {
    nsproxy::Kuid(rustix::process::getuid().as_raw())
}
