//! Signals that arrive, ends of one's own doing, credentials over a socket.

use std::collections::BTreeSet;
use std::sync::Arc;

use nsproxy::{
    Disposition, Reboot, Status, Task, Whose, is_discarded, may_claim, reboot, sender_number,
};

use super::world::{Life, World, refused};
use crate::agent::handled_text;
use crate::lang::Call;
use crate::lang::names::REBOOTS;

const ABRT: i32 = 6;
const SEGV: i32 = 11;
const CHLD: i32 = 17;
/// reboot(2)'s magic numbers.
const MAGIC: (u32, u32) = (0xfee1_dead, 0x2812_1969);

/// What a process has arranged for signals, and what came.
#[derive(Clone, Default)]
pub(super) struct Signals {
    handled: BTreeSet<i32>,
    ignored: BTreeSet<i32>,
    /// The last one whose handler ran, and the sender's number.
    last: Option<(i32, i32)>,
}

impl Signals {
    pub(super) fn disposition(&self, signal: i32) -> Disposition {
        match (self.handled.contains(&signal), self.ignored.contains(&signal)) {
            (true, _) => Disposition::Handled,
            (_, true) => Disposition::Ignored,
            _ => Disposition::Default,
        }
    }

    /// What is left after execve(2), or `CLONE_CLEAR_SIGHAND`: what is ignored.
    pub(super) fn of_new_program(&self) -> Signals {
        Signals { ignored: self.ignored.clone(), ..Signals::default() }
    }
}

impl World {
    /// Makes the call if it is one of these.
    pub(super) fn signal_call(
        &mut self,
        who: usize,
        call: &Call,
    ) -> Result<Option<String>, String> {
        let task = self.task(who)?;
        let process = self.actors[who].process;
        Ok(Some(match call {
            Call::Handle { signal, how } => {
                let how = how.as_ref().map(|word| word.0.as_str());
                self.handle(&task, process, signal.0, how)?
            }
            Call::Handled {} => {
                let last = self.processes[process].signals.last.take();
                last.map_or_else(|| "none".into(), handled_text)
            }
            Call::Fault {} => {
                if self.processes[process].signals.disposition(SEGV) == Disposition::Handled {
                    return Err("the handler would run for ever".into());
                }
                self.end(process, Status::Killed(SEGV as u8));
                "gone".into()
            }
            Call::Abort {} => {
                // abort(3) restores the default, and at last makes a fault.
                let stays = is_discarded(Some(&task), &task, ABRT, Disposition::Default);
                self.end(process, Status::Killed(if stays { SEGV } else { ABRT } as u8));
                "gone".into()
            }
            Call::Reboot { command, wrong } => {
                self.reboot(&task, process, &command.0, wrong.is_some())?
            }
            Call::SendCreds {} => {
                self.credentials.push_back(task);
                "0".into()
            }
            Call::RecvCreds {} => match self.credentials.pop_front() {
                Some(sender) => format!("%{}", sender_number(&sender, &task)),
                None => "EAGAIN".into(),
            },
            Call::Claim { who: claimed, uid, gid } => {
                self.claim(&task, process, claimed.number(), [*uid, *gid].map(|id| id as u32))
            }
            _ => return Ok(None),
        }))
    }

    fn claim(&self, task: &Task, process: usize, number: i32, [uid, gid]: [u32; 2]) -> String {
        let (owner, own, known) = match task.pid_ns() {
            Some(ns) => {
                let own = task.process_number_in(&ns).map(|own| own as i32);
                (ns.owner(), own, number > 0 && ns.find(number as u32).is_some())
            }
            None => {
                let own = self.processes[process].number;
                (self.system.init_user(), Some(own), self.find(number).is_some())
            }
        };
        let whose = match known {
            _ if own == Some(number) => Whose::Own,
            true => Whose::Another,
            false => Whose::Nobody,
        };
        match may_claim(&task.cred(), &owner, whose, uid, gid) {
            Ok(_) => "0".into(),
            Err(refusal) => {
                self.fired.add(refusal.rule.name());
                refused(&refusal)
            }
        }
    }

    fn handle(
        &mut self,
        task: &Task,
        process: usize,
        signal: i32,
        how: Option<&str>,
    ) -> Result<String, String> {
        if !(1..=64).contains(&signal) || [9, 19].contains(&signal) {
            return Ok("EINVAL".into());
        }
        let signals = &mut self.processes[process].signals;
        signals.handled.remove(&signal);
        signals.ignored.remove(&signal);
        match how {
            None => drop(signals.handled.insert(signal)),
            Some("ignore") => drop(signals.ignored.insert(signal)),
            Some("default") => {}
            Some(other) => return Err(format!("signals are not handled {other}")),
        }
        if signal == CHLD {
            task.set_ignores_children(how == Some("ignore"));
        }
        Ok("0".into())
    }

    /// A signal reaches a process whose handler runs.
    pub(super) fn run_handler(&mut self, process: usize, sender: &Task, signal: i32) {
        if let Some(leader) = self.processes[process].leader.clone() {
            let number = sender_number(sender, &leader) as i32;
            self.processes[process].signals.last = Some((signal, number));
        }
    }

    fn reboot(
        &mut self,
        task: &Arc<Task>,
        process: usize,
        command: &str,
        wrong: bool,
    ) -> Result<String, String> {
        let Some((_, number)) = REBOOTS.iter().find(|(name, _)| *name == command) else {
            return Err(format!("there is no command {command}"));
        };
        if task.pid_ns().is_none_or(|ns| ns.is_initial()) {
            return Err("only in a pid namespace below".into());
        }
        let magic = if wrong { (MAGIC.0, 1) } else { MAGIC };
        match reboot(task, magic, *number) {
            Err(refusal) => Ok(refused(&refusal)),
            Ok(Reboot::Machine) => Err("that would be the machine's".into()),
            Ok(Reboot::Namespace { init, status }) => {
                let init = self.process_of(&init).ok_or("the init is not known")?;
                if init != process {
                    self.end(process, Status::Exited(0));
                }
                self.end(init, status);
                Ok("gone".into())
            }
        }
    }

    /// Whether an actor has ended by what it just did.
    pub(super) fn or_gone(&self, who: usize, result: &str) -> String {
        match self.actors[who].life {
            Life::Gone => "gone".into(),
            _ => result.into(),
        }
    }
}
