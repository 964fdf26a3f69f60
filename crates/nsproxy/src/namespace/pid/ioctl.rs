//! The ioctls of pid namespaces' descriptors that translate numbers (ioctl_ns(2), since 6.11;
//! older kernels know no such request).

use super::PidNs;
use crate::{
    nsproxy::AnyNamespace,
    rule::{Refusal, Refuse, Rule},
    sync::Arc,
    task::Task,
};
use alloc::sync::Arc as StdArc;

/// NS_GET_PID_FROM_PIDNS and, for `process`, NS_GET_TGID_FROM_PIDNS: what `task` calls the thread,
/// or its process, that is called `number` in `of`.
pub fn ioctl_number_here(
    task: &StdArc<Task>,
    of: &AnyNamespace,
    number: i32,
    process: bool,
) -> Result<u32, Refusal> {
    task.reported("ioctl", translate(of, task.pid_ns(), number, process, |of, own| (of, own)))
}

/// NS_GET_PID_IN_PIDNS and, for `process`, NS_GET_TGID_IN_PIDNS: what the thread, or its process,
/// that `task` calls `number` is called in `of`.
pub fn ioctl_number_there(
    task: &StdArc<Task>,
    of: &AnyNamespace,
    number: i32,
    process: bool,
) -> Result<u32, Refusal> {
    task.reported("ioctl", translate(of, task.pid_ns(), number, process, |of, own| (own, of)))
}

fn translate<'a>(
    of: &'a AnyNamespace,
    own: Option<Arc<PidNs>>,
    number: i32,
    process: bool,
    direction: impl for<'b> FnOnce(&'b PidNs, &'b PidNs) -> (&'b PidNs, &'b PidNs),
) -> Result<u32, Refusal> {
    let AnyNamespace::Pid(of) = of else {
        return Err(Rule::IoctlNoNumbers.refuse().with("type", of.kind()));
    };
    let nobody = || Rule::IoctlNobody.refuse().with("number", number);
    let own = own.ok_or_else(nobody)?;
    let (from, to) = direction(of, &own);
    let found = u32::try_from(number).ok().and_then(|number| from.find(number));
    let found = found.ok_or_else(nobody)?;
    let translated = if process { found.process_number_in(to) } else { found.number_in(to) };
    translated.ok_or_else(nobody)
}
