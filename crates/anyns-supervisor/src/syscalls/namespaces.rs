//! unshare(2), setns(2): the caller changes its own namespaces.
//! Not decided here: whether it may; that is `nsproxy`'s.

use anyns_trap::Failed;
use nsproxy::{CloneFlags, Dumpable, JoinTarget};
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};
use crate::descriptors::Thing;
use crate::trouble::Trouble;

/// What unshare(2) can only agree to, when it is not shared. The kernel also knows what is shared with
/// tasks that we do not know.
const SHARED: CloneFlags = CloneFlags::THREAD.union(CloneFlags::SIGHAND).union(CloneFlags::VM);

/// What unshare(2) may be asked to separate that is not a namespace.
const PLAIN: CloneFlags =
    CloneFlags::FS.union(CloneFlags::FILES).union(CloneFlags::SYSVSEM).union(SHARED);

/// Serves `unshare(flags)`. Unknown bits pass through: refusing them is a rule.
pub(crate) fn unshare(cx: &mut Cx<'_>) -> Served {
    let flags = CloneFlags::from_bits_retain(cx.arg(0));
    if !flags.intersects(CloneFlags::NAMESPACES) && cx.guest().is_none() {
        return Ok(Verdict::Continue);
    }
    let mut met = cx.meet()?.with_siblings();
    cx.sup.settle();
    let change = match nsproxy::prepare_unshare(&met.task, flags) {
        Ok(change) => change, // invisible so far
        // Whether something is shared comes before whether one may.
        Err(refusal) if flags.intersects(SHARED) => {
            return separate(cx, flags & SHARED, |done| match done {
                0 => -i64::from(refusal.errno.raw()),
                errno => errno,
            });
        }
        Err(refusal) => return Err(refusal.into()),
    };
    met.keep()?;
    let plain = flags & PLAIN;
    if plain.is_empty() {
        change.commit();
        return Ok(Verdict::Return(0));
    }
    // What is not a namespace is the kernel's to separate, and it may refuse (EMFILE, ENOMEM): the
    // caller does that first, while it is held.
    separate(cx, plain, |done| {
        if done == 0 {
            change.commit();
        }
        done
    })
}

/// Lets the caller unshare what is not a namespace; `settle` makes the answer of the kernel's.
fn separate(cx: &mut Cx<'_>, what: CloneFlags, settle: impl FnOnce(i64) -> i64) -> Served {
    let done = cx
        .take()
        .stop()
        .and_then(|held| held.inject(libc::SYS_unshare, [what.bits(), 0, 0, 0, 0, 0]));
    match done {
        Ok((done, held)) => Ok(Verdict::Answered(held.ret(settle(done)))),
        Err(Failed::Untraceable(call)) => {
            // Another guest traces the caller, so nothing can be separated for it.
            cx.put_back(call);
            Err(Trouble::Errno(Errno::PERM))
        }
        Err(failed) => Ok(Verdict::Answered(failed.settle())),
    }
}

/// Serves `setns(fd, nstype)`.
pub(crate) fn setns(cx: &mut Cx<'_>) -> Served {
    let thing = cx.sup.descriptors.look(cx.tid(), cx.int(0))?;
    // `nstype` is an `int`.
    let wanted = u64::from(cx.int(1) as u32);
    let mut met = cx.meet()?.with_siblings();
    cx.sup.settle();
    let change = match thing {
        Thing::Namespace(namespace) => {
            nsproxy::prepare_setns(&met.task, JoinTarget::Namespace(&namespace), wanted)?
        }
        Thing::Process(pid) => {
            let target = match cx.sup.meet(pid, cx.sup.find_subject(pid)) {
                Ok(target) => Some(target),
                Err(Trouble::Gone) => None,
                Err(other) => return Err(other),
            };
            let target = match &target {
                Some(met) => JoinTarget::Pidfd(&met.task, Dumpable(met.task.dumpable())),
                None => JoinTarget::Reaped,
            };
            nsproxy::prepare_setns(&met.task, target, wanted)?
        }
        Thing::Other => nsproxy::prepare_setns(&met.task, JoinTarget::Other, wanted)?,
    };
    met.keep()?;
    change.commit();
    Ok(Verdict::Return(0))
}
