//! The files of a mqueue: to open one opens its queue, to make and to remove one makes and removes a queue
//! (mq_overview(7)). In the namespace that is mounted, be the caller in another.
//!
//! Not decided here: who may; that is `nsproxy::ipc`'s.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nsproxy::ipc::MqOpen;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::cx::Cx;
use crate::mounts::{Mqueue, What};
use crate::procfs::descriptor_path;
use crate::syscalls::mq;
use crate::trouble::Trouble;
use crate::vfs::Place;

/// The mqueue in which something lies.
pub(crate) fn queues(cx: &Cx<'_>, place: &Place) -> Option<Arc<Mqueue>> {
    let mount = place.seen_through().filter(|mount| mount.is_choosy)?;
    match &*cx.sup.mounts.made(mount.sb.id())? {
        What::Mqueue(queues) => Some(Arc::clone(queues)),
        _ => None,
    }
}

/// The name of a queue whose file was found.
pub(crate) fn name_of(place: &Place) -> Result<Vec<u8>, Errno> {
    let path = descriptor_path(&place.fd)?;
    Ok(path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec())
}

/// Opens the queue of a name; `mode`, as the caller's umask leaves it, is of one that may be made.
///
/// # Errors
/// Those of mq_open(3).
pub(crate) fn open(
    cx: &Cx<'_>,
    queues: &Mqueue,
    name: &[u8],
    flags: OFlags,
    mode: Option<u32>,
) -> Result<OwnedFd, Trouble> {
    let task = &cx.guest().ok_or(Errno::SRCH)?.task;
    let how = MqOpen {
        access: (flags.bits() & libc::O_ACCMODE as u32) as u8,
        create: mode.is_some(),
        exclusive: flags.contains(OFlags::EXCL),
        mode: mode.unwrap_or(0),
        attributes: None,
        limit: mode.and_then(|_| mq::limit(cx)),
    };
    let open = || queues.mount.open(task, name, &how);
    mq::open_whole(cx, flags.bits() as i32, open, || queues.mount.unlink(task, name))
}

/// Removes the queue of a name.
///
/// # Errors
/// Those of mq_unlink(3).
pub(crate) fn unlink(cx: &Cx<'_>, queues: &Mqueue, name: &CStr) -> Result<(), Trouble> {
    let task = &cx.guest().ok_or(Errno::SRCH)?.task;
    let mut ours = cx.sup.ipc.queues.lock();
    queues.mount.unlink(task, name.to_bytes())?;
    ours.settle();
    Ok(())
}
