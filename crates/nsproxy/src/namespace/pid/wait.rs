//! wait4(2), waitid(2): a parent learns how its child ended, and the child's number is free.
//!
//! Not here: children that stopped or were continued, `__WNOTHREAD`, tracers.

use super::{
    family::{Family, Life, PidKey, Process, ProcessKey, Status},
    member::with_family,
};
use crate::{
    rule::{Refusal, Refuse, Rule},
    task::Task,
};
use alloc::{sync::Arc as StdArc, vec::Vec};

/// The exit signal of an ordinary child.
const SIGCHLD: u8 = 17;

/// Which children are meant. Numbers are those of the caller's pid namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitFor {
    /// Any of them.
    Any,
    /// The one of this number.
    Number(u32),
    /// Those in the process group of this number; 0 is the caller's own.
    Group(u32),
}

/// Which sorts of children are meant.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum WaitKind {
    /// Those that send SIGCHLD.
    #[default]
    Ordinary,
    /// Those that send another signal or none (`__WCLONE`).
    Clone,
    /// Both (`__WALL`).
    All,
}

/// A child that had ended. It has been reaped.
#[derive(Clone, Debug)]
pub struct Waited {
    /// Its number in the caller's pid namespace.
    pub number: u32,
    /// How it ended.
    pub status: Status,
    /// Its first thread, if the embedder still has it.
    pub task: Option<StdArc<Task>>,
}

/// Reaps one child of the caller's process that has ended: of several, the oldest. (The kernel
/// begins with the children of the calling thread.)
///
/// `Ok(None)`: there are such children, but
/// none has ended; the caller would sleep. The init of a pid namespace has not ended before it is
/// the last in it.
pub fn wait(
    caller: &StdArc<Task>,
    whom: WaitFor,
    kind: WaitKind,
) -> Result<Option<Waited>, Refusal> {
    caller.reported("wait", find_and_reap(caller, whom, kind))
}

fn find_and_reap(caller: &Task, whom: WaitFor, kind: WaitKind) -> Result<Option<Waited>, Refusal> {
    let found = caller.member().and_then(|member| {
        with_family(&caller.kernel, |family, waste| {
            let named = match whom {
                WaitFor::Any => None,
                WaitFor::Group(0) => family.process(member.process()).map(|own| own.group),
                WaitFor::Number(number) | WaitFor::Group(number) => {
                    family.number(member.ns().space(), number)
                }
            };
            let eligible = children(family, member.process(), whom, named, kind);
            let ended = |key: &&ProcessKey| {
                family.process(**key).is_some_and(|child| child.life == Life::Zombie)
            };
            let Some((key, child)) =
                eligible.iter().find(ended).and_then(|key| Some((*key, family.process(*key)?)))
            else {
                return (!eligible.is_empty()).then_some(None);
            };
            let number = family.number_in(child.pid, member.ns()).unwrap_or(0);
            let waited = Waited { number, status: child.status, task: family.leader(key) };
            family.reap(key, waste);
            Some(Some(waited))
        })
    });
    found.ok_or_else(|| Rule::WaitNoChild.refuse())
}

fn children(
    family: &Family,
    of: ProcessKey,
    whom: WaitFor,
    named: Option<PidKey>,
    kind: WaitKind,
) -> Vec<ProcessKey> {
    let meant = |child: &Process| {
        let by_name = match whom {
            WaitFor::Any => true,
            WaitFor::Number(_) => Some(child.pid) == named,
            WaitFor::Group(_) => Some(child.group) == named,
        };
        let ordinary = child.exit_signal == SIGCHLD;
        by_name
            && match kind {
                WaitKind::Ordinary => ordinary,
                WaitKind::Clone => !ordinary,
                WaitKind::All => true,
            }
    };
    family.children(of).filter(|key| family.process(*key).is_some_and(meant)).collect()
}
