//! Signals: whom a number reaches, and what an init does not let itself be told.
//!
//! Not here: queues, handlers, masks, stops. The embedder delivers.

use super::family::{Family, PidKey, ProcessKey};
use crate::{
    access::may_signal,
    rule::{Refusal, Refuse, Rule},
    task::Task,
};
use alloc::{sync::Arc as StdArc, vec::Vec};

const SIGKILL: i32 = 9;
const SIGCONT: i32 = 18;
const SIGSTOP: i32 = 19;
/// The number of the last signal.
const SIGNAL_MAX: i32 = 64;

/// What a process has arranged for a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// Nothing: what the signal does by itself happens.
    Default,
    /// It is ignored.
    Ignored,
    /// A handler runs.
    Handled,
}

/// Says whether `target` is the init of a pid namespace and `signal` will not reach it.
///
/// What an init has no handler for is thrown away; from a namespace above SIGKILL and SIGSTOP get
/// through. `sender` is `None` for the kernel itself, whose signals always do. A blocked signal is
/// kept first, and judged when it is unblocked; a traced init is not protected but from SIGKILL.
pub fn is_discarded(
    sender: Option<&Task>,
    target: &Task,
    signal: i32,
    disposition: Disposition,
) -> bool {
    if disposition != Disposition::Default || !target.is_init() {
        return false;
    }
    let seen =
        |sender: &Task| target.pid_ns().is_some_and(|ns| sender.process_number_in(&ns).is_some());
    match sender {
        None => false,
        Some(sender) => seen(sender) || !matches!(signal, SIGKILL | SIGSTOP),
    }
}

/// What a signal of `sender`'s tells `target` of who sent it (`si_pid`, and the number in
/// `SCM_CREDENTIALS`): the process's number in the target's pid namespace, 0 for somebody who has
/// none there.
pub fn sender_number(sender: &Task, target: &Task) -> u32 {
    target.pid_ns().and_then(|ns| sender.process_number_in(&ns)).unwrap_or(0)
}

/// Finds the processes that kill(`number`, `signal`) by `caller` reaches, as their first threads:
/// one for a number above 0, a group for 0 and those below -1, and for -1 everybody the caller can
/// see but its own process and number 1. Those that it may not send the signal to are left out;
/// the refusal is for when nobody is left, as the kernel counts it.
///
/// Whether a signal then does anything is another question ([`is_discarded`]).
pub fn kill_targets(
    caller: &StdArc<Task>,
    number: i32,
    signal: i32,
) -> Result<Vec<StdArc<Task>>, Refusal> {
    caller.reported("kill", targets(caller, number, signal))
}

fn targets(caller: &Task, number: i32, signal: i32) -> Result<Vec<StdArc<Task>>, Refusal> {
    let found = match caller.member() {
        Some(_) if number == i32::MIN => Vec::new(),
        Some(member) => {
            let family = caller.kernel.family.lock();
            let (space, own) = (member.ns().space(), member.process());
            match number {
                1.. => one(&family, family.number(space, number as u32)),
                -1 => everybody(&family, space, own),
                0 => group(&family, family.process(own).map(|own| own.group)),
                _ => group(&family, family.number(space, number.unsigned_abs())),
            }
        }
        None => Vec::new(),
    };
    if found.is_empty() {
        return Err(Rule::KillNobody.refuse().with("number", number));
    }
    if !(0..=SIGNAL_MAX).contains(&signal) {
        return Err(Rule::KillSignalUnknown.refuse().with("signal", signal));
    }
    let mut refusal = None;
    let mut reached = Vec::new();
    for target in found {
        let same_session = signal == SIGCONT && caller.same_session(&target);
        let permitted = match caller.same_process(&target) {
            true => Ok(()),
            false => may_signal(&caller.cred(), &target.cred(), same_session),
        };
        match permitted {
            Ok(()) => reached.push(target),
            Err(refused) => refusal = Some(refused),
        }
    }
    match refusal {
        // Telling everybody succeeds if there is anybody.
        Some(refusal) if reached.is_empty() && number != -1 => Err(refusal),
        _ => Ok(reached),
    }
}

/// The task of a number: a thread is judged by its own credentials, though the signal is its
/// process's.
fn one(family: &Family, pid: Option<PidKey>) -> Vec<StdArc<Task>> {
    let pid = pid.and_then(|pid| family.pids.get(pid));
    pid.and_then(|pid| pid.task.upgrade()).into_iter().collect()
}

fn group(family: &Family, pid: Option<PidKey>) -> Vec<StdArc<Task>> {
    let members = family.processes.iter().filter(|(_, process)| Some(process.group) == pid);
    members.filter_map(|(key, _)| family.leader(key)).collect()
}

fn everybody(
    family: &Family,
    space: super::family::SpaceKey,
    own: ProcessKey,
) -> Vec<StdArc<Task>> {
    let Some(space) = family.spaces.get(space) else { return Vec::new() };
    let numbers = space.numbers.range(2..).filter(|(number, _)| Some(**number) != space.alias);
    let others = numbers.filter_map(|(_, pid)| {
        let process = family.pids.get(*pid)?.process;
        let leads = family.process(process)?.pid == *pid;
        (leads && process != own).then_some(process)
    });
    others.filter_map(|process| family.leader(process)).collect()
}
