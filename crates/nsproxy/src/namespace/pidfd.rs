//! The ioctls of pidfds that give a process's namespaces (ioctl_pidfd(2), since 6.11).

use crate::{
    Link,
    access::may_read,
    nsproxy::AnyNamespace,
    rule::{Refusal, Refuse, Rule},
    task::Task,
};
use alloc::sync::Arc;

/// PIDFD_GET_UTS_NAMESPACE and its like: what `link` in the `/proc/PID/ns` of `of` leads to.
///
/// `of` is `None` once the process has been reaped. `dumpable` is what the embedder knows of the
/// process, `true` for nothing. Unlike the link, `pid_for_children` leads to a namespace that
/// nobody has been born in yet, too, so that somebody else can join it and give it its init.
///
/// `None` if the type is not built in: EOPNOTSUPP.
pub fn ioctl_pidfd(
    task: &Arc<Task>,
    of: Option<&Task>,
    link: Link,
    argument: u64,
    dumpable: bool,
) -> Result<Option<AnyNamespace>, Refusal> {
    task.reported("ioctl", look(task, of, link, argument, dumpable))
}

fn look(
    task: &Task,
    of: Option<&Task>,
    link: Link,
    argument: u64,
    dumpable: bool,
) -> Result<Option<AnyNamespace>, Refusal> {
    let alive = of.filter(|of| argument != 0 || !of.has_exited());
    let Some(of) = alive else { return Err(Rule::PidfdProcessGone.refuse()) };
    if argument != 0 {
        return Err(Rule::PidfdArgument.refuse().with("argument", argument));
    }
    may_read(task, of, dumpable)?;
    Ok(match link {
        Link::PidForChildren => of.nsproxy().and_then(|proxy| proxy.get(link)),
        link => of.namespace(link),
    })
}
