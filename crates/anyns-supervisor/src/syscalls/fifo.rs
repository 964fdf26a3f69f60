//! Opening a FIFO waits for its other side, for which no worker of ours has the time: a thread waits.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use anyns_trap::Call;
use anyns_trap::record::record;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::deliver::signals;
use crate::cx::{Cx, Served, Verdict};

/// How often it is looked whether the caller still waits.
const LOOK: Duration = Duration::from_millis(20);

/// So many wait at once.
const MAX: usize = 256;

static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Whether opening one with these flags waits.
pub(super) fn may_wait(flags: OFlags) -> bool {
    !flags.intersects(OFlags::NONBLOCK | OFlags::RDWR | OFlags::PATH)
}

/// Opens one, and answers when its other side is open, too.
///
/// # Errors
/// Those of open(2); ENOMEM where too many wait already, or there is no room for a thread of ours.
pub(super) fn open(cx: &mut Cx<'_>, fd: &OwnedFd, flags: OFlags) -> Served {
    let not = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::TRUNC;
    let flags = (flags - not) | OFlags::CLOEXEC;
    let cloexec = flags.contains(OFlags::CLOEXEC);
    // Permissions first, and who is there already need not be waited for.
    let fd = rustix::io::fcntl_dupfd_cloexec(fd, 0)?;
    let counted = Counted::new().ok_or(Errno::NOMEM)?;
    let (give, taken) = mpsc::channel();
    let wait = move || {
        let _counted = counted;
        if let Ok(call) = taken.recv() {
            serve(call, fd, flags, cloexec);
        }
    };
    // Its caller is answered here if there is no thread.
    anyns_trap::spawn("anyns-fifo", wait).map_err(|_| Errno::NOMEM)?;
    let (call, answered) = cx.take().keep();
    let _ = give.send(call);
    Ok(Verdict::Answered(answered))
}

/// One of those who wait.
struct Counted;

impl Counted {
    fn new() -> Option<Counted> {
        let counted = Counted;
        (WAITING.fetch_add(1, Ordering::Relaxed) < MAX).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a signal has come that would end the caller's wait: it waits for the caller to go on, but for
/// one that kills, which the kernel sees to.
pub(super) fn is_interrupted(call: &Call) -> bool {
    const IGNORED: u64 = 1 << (libc::SIGCHLD - 1)
        | 1 << (libc::SIGCONT - 1)
        | 1 << (libc::SIGURG - 1)
        | 1 << (libc::SIGWINCH - 1);
    let text = record(&format!("/proc/{}/status", call.tid().0)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let set = |name| signals(&text, name);
    let pending = (set("SigPnd:") | set("ShdPnd:")) & !set("SigBlk:");
    pending & (set("SigCgt:") | !(set("SigIgn:") | IGNORED)) != 0
}

fn serve(call: Call, fd: OwnedFd, flags: OFlags, cloexec: bool) {
    let open = move || {
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        rustix::fs::open(path, flags, Mode::empty())
    };
    let Ok(opening) = anyns_trap::wait("anyns-fifo", open) else {
        drop(call.errno(libc::ENOMEM));
        return;
    };
    loop {
        match opening.result(LOOK) {
            Some(opened) => return answer(call, opened, cloexec),
            None if call.is_alive() && !is_interrupted(&call) => {}
            None => break,
        }
    }
    // As in the kernel: whoever comes to the other side after this has met nobody.
    match opening.call_off() {
        Some(opened) => answer(call, opened, cloexec),
        None => drop(call.errno(Call::interruption(true))),
    }
}

fn answer(call: Call, opened: Result<OwnedFd, Errno>, cloexec: bool) {
    match opened {
        Ok(opened) => drop(call.install_fd(opened.as_fd(), cloexec)),
        Err(errno) => drop(call.errno(errno.raw_os_error())),
    }
}
