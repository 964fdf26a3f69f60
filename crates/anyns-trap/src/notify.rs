//! The listener: notifications in, answers out.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::held::HeldMap;
use crate::stop::minder::Minder;
use crate::{Tid, sys};

/// ERESTARTNOINTR: the kernel makes the call anew after every signal, with or without SA_RESTART.
pub(crate) const RESTART: i32 = 513;
/// The same, but EINTR after a signal with a handler without SA_RESTART. A call interrupted by a signal
/// (or by us) shows this until the kernel decides what to do.
pub(crate) const ERESTARTSYS: i32 = 512;

/// One call that was received, by notification or at a stop.
#[derive(Clone, Copy)]
pub(crate) struct Told {
    /// Of the notification, or counted.
    pub(crate) id: u64,
    pub(crate) tid: Tid,
    pub(crate) nr: i64,
    pub(crate) args: [u64; 6],
    pub(crate) ip: u64,
}

/// What receiving may give.
pub(crate) enum Received {
    Call(Told),
    /// Nothing this time (a signal, or the caller died first): ask again.
    Nothing,
    /// Nobody with the filter is left.
    End,
}

/// The supervisor's end of all told calls.
pub(crate) struct Port {
    fd: OwnedFd,
    /// The threads that workers are tracing.
    pub(crate) held: HeldMap,
    /// Sees to those whom signals interrupt, where all calls are told.
    pub(crate) minder: Option<Minder>,
    /// Hears of exits that a worker's wait took.
    reaped: Box<dyn Fn(Tid, i32) + Send + Sync>,
    /// Sees to it that somebody receives calls.
    stand_in: Box<dyn Fn() + Send + Sync>,
}

impl Port {
    pub(crate) fn new(
        fd: OwnedFd,
        minder: Option<Minder>,
        reaped: Box<dyn Fn(Tid, i32) + Send + Sync>,
        stand_in: Box<dyn Fn() + Send + Sync>,
    ) -> Port {
        let port = Port { fd, held: HeldMap::default(), minder, reaped, stand_in };
        port.keep_together(true);
        port
    }

    /// Says whether callers and those who serve them are woken on one processor, which is cheap, or where
    /// there is room.
    pub(crate) fn keep_together(&self, together: bool) {
        // Only speed is lost on kernels that refuse.
        let _ = sys::notif_sync_wake_up(self.fd(), together);
    }

    /// Passes on an exit that a worker's wait took.
    pub(crate) fn reaped(&self, tid: i32, status: i32) {
        (self.reaped)(Tid(tid), status);
    }

    /// Before a worker waits for what another call may bring.
    pub(crate) fn stand_in(&self) {
        (self.stand_in)();
    }

    /// Waits for the next call.
    pub(crate) fn receive(&self) -> Received {
        match sys::notif_recv(self.fd()) {
            Ok(n) => Received::Call(Told {
                id: n.id,
                tid: Tid(n.pid as i32),
                nr: i64::from(n.data.nr),
                args: n.data.args,
                ip: n.data.instruction_pointer,
            }),
            Err(e) => match e.raw_os_error() {
                Some(libc::EINTR | libc::ENOENT) if !self.hung_up() => Received::Nothing,
                _ => Received::End,
            },
        }
    }

    /// Whether no task uses the filter any more.
    pub(crate) fn hung_up(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok_and(|n| n > 0) && fds[0].revents().contains(PollFlags::HUP)
    }

    /// Waits until no task uses the filter any more.
    pub(crate) fn wait_hangup(&self) {
        loop {
            let mut fds = [PollFd::new(&self.fd, PollFlags::empty())];
            match poll(&mut fds, None) {
                Ok(n) if n > 0 => return,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Answers with a result; false when the caller is gone.
    pub(crate) fn ret(&self, id: u64, value: i64) -> bool {
        sys::notif_send(self.fd(), id, value, 0, 0).is_ok()
    }

    /// Answers with a (positive) error number; false when the caller is gone.
    pub(crate) fn errno(&self, id: u64, errno: i32) -> bool {
        sys::notif_send(self.fd(), id, 0, -errno, 0).is_ok()
    }

    /// Makes the caller begin its call anew, whatever signals wait for it; false when it is gone.
    pub(crate) fn restart(&self, id: u64) -> bool {
        self.errno(id, RESTART)
    }

    /// Lets the kernel serve the call; false when the caller is gone.
    pub(crate) fn resume(&self, id: u64) -> bool {
        let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        sys::notif_send(self.fd(), id, 0, 0, flags).is_ok()
    }

    /// Whether the call still waits for its answer.
    pub(crate) fn is_waiting(&self, id: u64) -> bool {
        sys::notif_id_valid(self.fd(), id)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
