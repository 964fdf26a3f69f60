//! What the links of `/proc/PID/ns` stand for, and what pidfds tell of the same (ioctl_pidfd(2)).
//! Not decided here: who may look; that is `nsproxy`'s.

use nsproxy::{AnyNamespace, Link};
use rustix::io::Errno;

use crate::cx::{Cx, Met};
use crate::trouble::Trouble;

/// The namespace that a link of `/proc/TID/ns` stands for; `None` if the kernel's own answer is
/// right.
///
/// # Errors
/// EACCES if the caller may not look at the thread (ptrace(2), read check); ENOENT if it is gone, or
/// has no such namespace any more, or not yet.
pub(crate) fn namespace(
    cx: &Cx<'_>,
    tid: i32,
    link: Link,
) -> Result<Option<AnyNamespace>, Trouble> {
    let Some(Looked { me, target, open }) = look(cx, tid)? else { return Ok(None) };
    let Some(target) = target else { return Err(Errno::NOENT.into()) };
    if nsproxy::may_read(&me.task, &target.task, open).is_err() {
        return Err(Errno::ACCESS.into());
    }
    if !cx.sup.serves(link.kind()) {
        return Ok(None);
    }
    match target.task.namespace(link) {
        Some(namespace) => Ok(Some(namespace)),
        None => Err(Errno::NOENT.into()),
    }
}

/// The same for PIDFD_GET_UTS_NAMESPACE and its like, with the argument of the ioctl.
///
/// # Errors
/// ESRCH if the process has been reaped, EINVAL if there is an argument, EACCES.
pub(crate) fn namespace_of_pidfd(
    cx: &Cx<'_>,
    pid: i32,
    link: Link,
    argument: u64,
) -> Result<Option<AnyNamespace>, Trouble> {
    let Some(Looked { me, target, open }) = look(cx, pid)? else { return Ok(None) };
    let task = target.as_ref().map(|target| &*target.task);
    if !cx.sup.serves(link.kind()) {
        // The kernel knows the namespace, but not who may look.
        if let Some(task) = task.filter(|_| argument == 0) {
            nsproxy::may_read(&me.task, task, open)?;
        }
        return Ok(None);
    }
    Ok(nsproxy::ioctl_pidfd(&me.task, task, link, argument, open)?)
}

/// Says whether the caller may look into a thread: its magic links, memory, environment.
///
/// # Errors
/// EACCES if it may not (ptrace(2), read check); ENOENT if the thread is gone.
pub(crate) fn may_look(cx: &Cx<'_>, tid: i32) -> Result<(), Trouble> {
    let own = cx.guest().is_some_and(|guest| guest.tid == tid || guest.tgid == tid);
    if own {
        return Ok(());
    }
    let Some(Looked { me, target, open }) = look(cx, tid)? else { return Ok(()) };
    let target = target.ok_or(Errno::NOENT)?;
    match nsproxy::may_read(&me.task, &target.task, open) {
        Ok(()) => Ok(()),
        Err(_) => Err(Errno::ACCESS.into()),
    }
}

/// Both sides of a look.
struct Looked<'a> {
    me: Met<'a>,
    /// Nobody, if it is gone.
    target: Option<Met<'a>>,
    /// It lets itself be looked into, as far as the model cannot know.
    open: bool,
}

/// Finds both sides; `None` if neither is known, so that both are the kernel's.
fn look<'a>(cx: &Cx<'a>, tid: i32) -> Result<Option<Looked<'a>>, Trouble> {
    let subject = cx.sup.find_subject(tid);
    if subject.is_none() && cx.guest().is_none() {
        return Ok(None);
    }
    let target = match cx.sup.meet(tid, subject.clone()) {
        Ok(target) => Some(target),
        Err(Trouble::Gone) => None,
        Err(other) => return Err(other),
    };
    // Only now is it known whether it has started another program.
    let open = subject.is_none_or(|subject| subject.dumpable());
    let open = open && target.as_ref().is_none_or(|target| target.task.dumpable());
    Ok(Some(Looked { me: cx.meet()?, target, open }))
}
