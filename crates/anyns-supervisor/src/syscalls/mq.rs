//! mq_open(2), mq_unlink(2): POSIX queues by name. What is done with a descriptor is the kernel's.
//! Not decided here: names, owners, limits; that is `nsproxy::ipc`'s.

use std::os::fd::OwnedFd;

use nsproxy::Refusal;
use nsproxy::ipc::{self, MqOpen, OpenMq};

use crate::cx::{Cx, Served, Verdict};
use crate::procfs::{read_limit, umask};
use crate::trouble::Trouble;

/// Serves `mq_open(name, oflag, mode, attr)`.
pub(crate) fn mq_open(cx: &mut Cx<'_>) -> Served {
    let Some(inside) = cx.in_ipc()? else { return Ok(Verdict::Continue) };
    let (flags, mode, at) = (cx.int(1), cx.arg(2) as u32, cx.arg(3));
    let attributes = match at {
        0 => None,
        at => {
            let [_flags, messages, size, ..] = cx.mem().read_value::<[i64; 8]>(at)?;
            Some((messages, size))
        }
    };
    let name = cx.path(cx.arg(0))?;
    let how = MqOpen {
        access: (flags & libc::O_ACCMODE) as u8,
        create: flags & libc::O_CREAT != 0,
        exclusive: flags & libc::O_EXCL != 0,
        mode: mode & 0o777 & !umask(cx.tid()).unwrap_or(0),
        attributes,
        limit: limit(cx),
    };
    let open = || ipc::mq_open(&inside.task, name.to_bytes(), &how);
    let unlink = || ipc::mq_unlink(&inside.task, name.to_bytes());
    Ok(Verdict::Install { fd: open_whole(cx, flags, open, unlink)?, cloexec: true })
}

/// The caller's RLIMIT_MSGQUEUE, in bytes; none where it is infinite.
pub(super) fn limit(cx: &Cx<'_>) -> Option<u64> {
    read_limit(cx.tid(), "Max msgqueue size").filter(|limit| *limit != u64::MAX)
}

/// Opens a queue by `open`, and the host's queue that is behind it. What the host refuses to make has
/// never been: `unlink` takes it away.
pub(super) fn open_whole(
    cx: &Cx<'_>,
    flags: i32,
    open: impl FnOnce() -> Result<OpenMq, Refusal>,
    unlink: impl FnOnce() -> Result<(), Refusal>,
) -> Result<OwnedFd, Trouble> {
    let mut queues = cx.sup.ipc.queues.lock();
    queues.settle();
    let open = open()?;
    let opened = queues.open(&open.queue, flags);
    if opened.is_err() && open.made {
        let _ = unlink();
    }
    Ok(opened?)
}

/// Serves `mq_unlink(name)`.
pub(crate) fn mq_unlink(cx: &mut Cx<'_>) -> Served {
    let Some(inside) = cx.in_ipc()? else { return Ok(Verdict::Continue) };
    let name = cx.path(cx.arg(0))?;
    let mut queues = cx.sup.ipc.queues.lock();
    ipc::mq_unlink(&inside.task, name.to_bytes())?;
    queues.settle();
    Ok(Verdict::Return(0))
}
