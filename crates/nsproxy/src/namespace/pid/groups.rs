//! Process groups and sessions: getpgid(2), getsid(2), setpgid(2), setsid(2).
//!
//! Not here: terminals, and who is stopped when a group is orphaned.

use super::{
    PidNs,
    family::{Family, Parent, PidKey, ProcessKey, Waste},
    member::with_family,
};
use crate::{
    rule::{Refusal, Refuse, Rule},
    task::Task,
};
use alloc::{sync::Arc as StdArc, vec::Vec};

/// Gives the number of the process group of the process `number`, 0 being the caller's own. It is 0
/// if the group is called by no number that the caller's pid namespace knows.
pub fn getpgid(caller: &StdArc<Task>, number: i32) -> Result<u32, Refusal> {
    caller.reported("getpgid", look(caller, number, Task::group_number_in))
}

/// Gives the number of the session of the process `number`, as [`getpgid`] does.
pub fn getsid(caller: &StdArc<Task>, number: i32) -> Result<u32, Refusal> {
    caller.reported("getsid", look(caller, number, Task::session_number_in))
}

fn look(
    caller: &StdArc<Task>,
    number: i32,
    which: fn(&Task, &PidNs) -> Option<u32>,
) -> Result<u32, Refusal> {
    let ns = caller.pid_ns();
    let of = match (number, &ns) {
        (0, _) => Some(StdArc::clone(caller)),
        (number, Some(ns)) => u32::try_from(number).ok().and_then(|number| ns.find(number)),
        (_, None) => None,
    };
    let of = of.ok_or_else(|| Rule::GroupOfNobody.refuse().with("number", number))?;
    Ok(ns.and_then(|ns| which(&of, &ns)).unwrap_or(0))
}

/// Makes the caller's process lead a new session, and a group of the same number; returns that
/// number, as the caller sees it.
pub fn setsid(caller: &StdArc<Task>) -> Result<u32, Refusal> {
    caller.reported("setsid", new_session(caller))?;
    Ok(caller.pid_ns().and_then(|ns| caller.session_number_in(&ns)).unwrap_or(0))
}

fn new_session(caller: &Task) -> Result<(), Refusal> {
    let Some(member) = caller.member() else { return Ok(()) };
    with_family(&caller.kernel, |family, waste| {
        let own = member.process();
        let Some(process) = family.processes.get_mut(own) else { return Ok(()) };
        if process.leads_session {
            return Err(Rule::SessionLedAlready.refuse());
        }
        let pid = process.pid;
        if family.has_group(pid) {
            return Err(Rule::SessionGroupTaken.refuse());
        }
        if let Some(process) = family.processes.get_mut(own) {
            process.leads_session = true;
        }
        family.regroup(own, pid, Some(pid), waste);
        Ok(())
    })
}

/// Puts the process `number`, the caller's own or a child of it, into the group `group` of the same
/// session. 0 is the caller's number, or the number of the process.
pub fn setpgid(caller: &StdArc<Task>, number: i32, group: i32) -> Result<(), Refusal> {
    caller.reported("setpgid", change_group(caller, number, group))
}

fn change_group(caller: &Task, number: i32, group: i32) -> Result<(), Refusal> {
    let Some(member) = caller.member() else { return Ok(()) };
    let group = if group == 0 { number } else { group };
    if group < 0 {
        return Err(Rule::GroupNegative.refuse().with("group", group));
    }
    let (own, space) = (member.process(), member.ns().space());
    with_family(&caller.kernel, |family, waste| {
        let own_pid = family.process(own).map(|process| process.pid);
        let pid = match u32::try_from(number) {
            Ok(0) => own_pid,
            Ok(number) => family.number(space, number),
            Err(_) => None,
        };
        let there = pid.and_then(|pid| Some((pid, family.pids.get(pid)?)));
        let Some((pid, target)) = there.filter(|(_, there)| there.task.strong_count() > 0) else {
            return Err(Rule::GroupNoProcess.refuse().with("number", number));
        };
        let target = target.process;
        let (Some(process), Some(caller)) = (family.process(target), family.process(own)) else {
            return Ok(());
        };
        if process.pid != pid {
            return Err(Rule::GroupOfThread.refuse().with("number", number));
        }
        if process.parent == Parent::Process(own) {
            if process.session != caller.session {
                return Err(Rule::GroupChildElsewhere.refuse().with("number", number));
            }
            if process.executed {
                return Err(Rule::GroupChildExecuted.refuse().with("number", number));
            }
        } else if target != own {
            return Err(Rule::GroupNotChild.refuse().with("number", number));
        }
        if process.leads_session {
            return Err(Rule::GroupSessionLeader.refuse());
        }
        let wanted = match group as u32 {
            0 => Some(pid),
            group => family.number(space, group),
        };
        let member = |key: PidKey| {
            family.processes.values().find(|process| process.group == key).map(|it| it.session)
        };
        let fits = |key: &PidKey| {
            *key == pid || (*key != PidKey::default() && member(*key) == Some(caller.session))
        };
        let Some(wanted) = wanted.filter(fits) else {
            return Err(Rule::GroupUnknown.refuse().with("group", group));
        };
        family.regroup(target, wanted, None, waste);
        Ok(())
    })
}

impl Task {
    /// Tells the model that its process has been put into the group of this number, where numbers
    /// are [`Numbers::Given`](crate::Numbers) and somebody else judges. A group that no task here
    /// leads, or led, is the outside's.
    pub fn note_group(&self, number: u32) {
        let Some(member) = self.member() else { return };
        with_family(&self.kernel, |family, waste| {
            let group = family.number(member.ns().initial_space(), number).unwrap_or_default();
            family.regroup(member.process(), group, None, waste);
        });
    }

    /// The same of a new session, and a group of the same number.
    pub fn note_session(&self) {
        let Some(member) = self.member() else { return };
        with_family(&self.kernel, |family, waste| {
            let Some(process) = family.processes.get_mut(member.process()) else { return };
            process.leads_session = true;
            let pid = process.pid;
            family.regroup(member.process(), pid, Some(pid), waste);
        });
    }
}

impl Family {
    fn has_group(&self, pid: PidKey) -> bool {
        self.processes.values().any(|process| process.group == pid)
    }

    /// Puts a process into another group, and into another session if one is given.
    fn regroup(
        &mut self,
        key: ProcessKey,
        group: PidKey,
        session: Option<PidKey>,
        waste: &mut Waste,
    ) {
        self.use_(group);
        session.into_iter().for_each(|session| self.use_(session));
        let Some(process) = self.processes.get_mut(key) else { return };
        let mut left = Vec::from([core::mem::replace(&mut process.group, group)]);
        if let Some(session) = session {
            left.push(core::mem::replace(&mut process.session, session));
        }
        let mut alone = Vec::new();
        for pid in left {
            self.unuse(pid, waste, &mut alone);
        }
        self.let_go(alone, waste);
    }
}
