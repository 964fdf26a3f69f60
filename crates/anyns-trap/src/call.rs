//! One held call and the ways to end it.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

use crate::memory::{MemError, Memory};
use crate::notify::{ERESTARTSYS, Port, Told};
use crate::stop::{Keeper, Shared, Slot, gift, minder};
use crate::trace::{
    Birth, Execed, Failed, Forked, Frozen, Held, Ran, Sender, Standing, Steer, stay,
};
use crate::{Tid, arch, record, sys};

/// Proof that a call was answered. Only ending a [`Call`] makes one.
#[derive(Debug)]
#[must_use]
pub struct Answered {
    reached: bool,
}

impl Answered {
    pub(crate) fn new(reached: bool) -> Answered {
        Answered { reached }
    }

    /// Whether the answer reached the caller; false when it died meanwhile.
    pub fn reached(&self) -> bool {
        self.reached
    }
}

/// A system call that a guest thread waits in. Dropped unanswered, it says ENOSYS.
pub struct Call {
    told: Told,
    /// None once it has been answered.
    door: Option<Door>,
}

/// How the caller waits.
enum Door {
    /// In its call, for the answer to a notification.
    Told(Arc<Port>),
    /// Before its call, stopped by its tracer.
    Stands(Box<Standing>),
}

impl Call {
    pub(crate) fn told(port: Arc<Port>, told: Told) -> Call {
        Call { told, door: Some(Door::Told(port)) }
    }

    pub(crate) fn stopped(told: Told, at: Standing) -> Call {
        Call { told, door: Some(Door::Stands(Box::new(at))) }
    }

    /// Whether the call was stopped, and not told: one with six arguments cannot be resumed then.
    pub fn is_stopped(&self) -> bool {
        self.stands()
    }

    /// Whether the caller stands before its call, and does not wait in it.
    pub(crate) fn stands(&self) -> bool {
        matches!(self.door, Some(Door::Stands(_)))
    }

    /// What was received.
    pub(crate) fn as_told(&self) -> Told {
        self.told
    }

    /// Who has seized the caller that stands before this call.
    pub(crate) fn keeper(&self) -> Option<&Arc<Keeper>> {
        match &self.door {
            Some(Door::Stands(at)) => Some(at.keeper()),
            _ => None,
        }
    }

    /// What is known of the caller that stands before this call.
    pub(crate) fn slot(&self) -> Option<Arc<Slot>> {
        match &self.door {
            Some(Door::Stands(at)) => Some(at.shared_slot()),
            _ => None,
        }
    }

    /// What the caller that stands before this call has set for SIGSYS.
    pub(crate) fn handlers(&self) -> Option<Shared> {
        match &self.door {
            Some(Door::Stands(at)) => Some(at.slot().handlers()),
            _ => None,
        }
    }

    /// The signals that the caller that stands before this call blocks.
    pub(crate) fn signal_mask(&self) -> u64 {
        match &self.door {
            Some(Door::Stands(at)) => at.mask(),
            _ => 0,
        }
    }

    /// Where it was told.
    pub(crate) fn port(&self) -> Option<&Arc<Port>> {
        match &self.door {
            Some(Door::Told(port)) => Some(port),
            _ => None,
        }
    }

    /// Takes the duty to answer a told call.
    pub(crate) fn take_told(mut self) -> (Arc<Port>, Told) {
        match self.door.take() {
            Some(Door::Told(port)) => (port, self.told),
            _ => unreachable!("asked of told calls only"),
        }
    }

    /// Takes the duty to answer a call before which the caller stands.
    pub(crate) fn take_standing(mut self) -> Result<(Standing, Told), Call> {
        match self.door.take() {
            Some(Door::Stands(at)) => Ok((*at, self.told)),
            door => {
                self.door = door;
                Err(self)
            }
        }
    }

    /// The calling thread.
    pub fn tid(&self) -> Tid {
        self.told.tid
    }

    /// The notification's number.
    pub(crate) fn id(&self) -> u64 {
        self.told.id
    }

    /// The call's number.
    pub fn nr(&self) -> i64 {
        self.told.nr
    }

    /// All six arguments.
    pub fn args(&self) -> [u64; 6] {
        self.told.args
    }

    /// One argument, counted from 0.
    pub fn arg(&self, i: usize) -> u64 {
        self.told.args[i]
    }

    /// Whether the caller is traced for good, so that its tracer names the senders of its signals.
    pub fn is_traced(&self) -> bool {
        crate::stop::keeper_of(self.told.tid).is_some()
    }

    /// The address behind the call instruction.
    pub fn ip(&self) -> u64 {
        self.told.ip
    }

    /// The caller's memory.
    pub fn mem(&self) -> Memory<'_> {
        match &self.door {
            Some(Door::Told(port)) => Memory::of_caller(self.told.tid, port, self.told.id),
            Some(Door::Stands(at)) => Memory::of_standing(self.told.tid, at.slot()),
            None => Memory::of_stopped(self.told.tid),
        }
    }

    /// Whether the caller still waits. What was learned about the thread by its number before
    /// this said true was about the caller.
    pub fn is_alive(&self) -> bool {
        match &self.door {
            Some(Door::Told(port)) => port.is_waiting(self.told.id),
            Some(Door::Stands(at)) => at.is_alive(),
            None => false,
        }
    }

    /// Ends the call with a result.
    pub fn ret(mut self, value: i64) -> Answered {
        self.end(value)
    }

    /// Ends the call with a (positive) error number.
    pub fn errno(mut self, errno: i32) -> Answered {
        match self.door.take() {
            Some(Door::Stands(at)) if errno == ERESTARTSYS => {
                let reached = at.is_alive();
                at.interrupted();
                Answered::new(reached)
            }
            door => {
                self.door = door;
                self.end(-i64::from(errno))
            }
        }
    }

    /// The errno to end it with because a signal has come that waits for the caller to go on. The kernel
    /// then makes it anew if there is no handler, or one with SA_RESTART, unless this call never
    /// `restarts`.
    pub fn interruption(restarts: bool) -> i32 {
        if restarts { ERESTARTSYS } else { libc::EINTR }
    }

    /// Ends it with a result, or a negative error number.
    fn end(&mut self, result: i64) -> Answered {
        let reached = match self.door.take() {
            None => false,
            Some(Door::Told(port)) => match i32::try_from(-result) {
                Ok(errno) if errno > 0 => port.errno(self.told.id, errno),
                _ => port.ret(self.told.id, result),
            },
            Some(Door::Stands(at)) => {
                let reached = at.is_alive();
                at.answer(result);
                reached
            }
        };
        Answered::new(reached)
    }

    /// Lets the kernel serve the call. It reads memory arguments anew: never for what was checked
    /// through a pointer. What an outer filter denies it denies now.
    pub fn resume(mut self) -> Answered {
        let reached = match self.door.take() {
            None => false,
            Some(Door::Told(port)) => {
                minder::make_way(self.told.nr, &self.told.args);
                port.resume(self.told.id)
            }
            Some(Door::Stands(at)) => {
                let reached = at.is_alive();
                at.pass();
                reached
            }
        };
        Answered::new(reached)
    }

    /// Keeps the call for later: whoever gets it has to end it.
    pub fn keep(self) -> (Call, Answered) {
        (self, Answered::new(true))
    }

    /// Gives the caller a copy of `fd` under its lowest free number and ends the call with that
    /// number, in one step. When the kernel refuses (`EMFILE`, ...), the call ends with that
    /// errno; `ENOENT` means that the caller is gone.
    pub fn install_fd(mut self, fd: BorrowedFd<'_>, cloexec: bool) -> (Result<i32, i32>, Answered) {
        let port = match &self.door {
            Some(Door::Told(port)) => port,
            _ => return gift::install(self, fd, cloexec),
        };
        match sys::notif_addfd(port.fd(), self.told.id, fd, None, cloexec, true) {
            Ok(number) => {
                self.door = None;
                (Ok(number), Answered::new(true))
            }
            // The kernel takes none here that was opened with O_PATH.
            Err(e) if e.raw_os_error() == Some(libc::EBADF) => gift::install(self, fd, cloexec),
            Err(e) => {
                let errno = e.raw_os_error().unwrap_or(libc::EIO);
                (Err(errno), self.errno(errno))
            }
        }
    }

    /// Holds the caller and gives it a copy of `fd` under its lowest free number, or the errno for which
    /// it gets none; unlike [`Call::add_fd`] also of one that was opened with O_PATH.
    pub fn give(
        self,
        fd: BorrowedFd<'_>,
        cloexec: bool,
    ) -> Result<(Result<i32, i32>, Held), Failed> {
        gift::send_to(self, fd, cloexec)
    }

    /// Gives the caller a copy of `fd`, which was not opened with O_PATH, without ending the call,
    /// under its lowest free number or at `at` (as `dup3` would). Errors are the kernel's; `ENOENT` means that the caller is gone.
    pub fn add_fd(
        &mut self,
        fd: BorrowedFd<'_>,
        at: Option<i32>,
        cloexec: bool,
    ) -> io::Result<i32> {
        match self.door.take() {
            None => Err(io::Error::from_raw_os_error(libc::ENOENT)),
            Some(Door::Told(port)) => {
                // It wakes to take it, and we when it has it.
                stay::begin();
                let steer = Steer::here(self.told.tid);
                let added = sys::notif_addfd(port.fd(), self.told.id, fd, at, cloexec, false);
                if let Some(steer) = steer {
                    steer.restore(self.told.tid);
                }
                stay::end();
                self.door = Some(Door::Told(port));
                added
            }
            Some(Door::Stands(standing)) => {
                let (added, standing) = gift::add(*standing, self.told, fd, at, cloexec);
                self.door = standing.map(|standing| Door::Stands(Box::new(standing)));
                added
            }
        }
    }

    /// Takes a copy of a descriptor of the caller's, which is made to send it. Only where calls are
    /// stopped: where they are told, pidfd_getfd(2) does it.
    pub fn borrow_fd(&mut self, number: i32) -> io::Result<OwnedFd> {
        match self.door.take() {
            Some(Door::Stands(standing)) => {
                let (taken, standing) = gift::lend(*standing, self.told, number);
                self.door = standing.map(|standing| Door::Stands(Box::new(standing)));
                taken
            }
            door => {
                self.door = door;
                Err(io::Error::from_raw_os_error(libc::EPERM))
            }
        }
    }

    /// Puts `bytes` below the caller's stack pointer and its red zone, where nothing of the
    /// guest's lives, and gives the address: for pointer arguments of an edited call.
    pub fn scratch(&self, bytes: &[u8]) -> Result<u64, MemError> {
        let addr = self.scratch_room(bytes.len())?;
        self.write_scratch(addr, bytes)?;
        Ok(addr)
    }

    /// Writes to where [`Call::scratch_room`] said. A stack that does not reach so far yet grows.
    pub fn write_scratch(&self, addr: u64, bytes: &[u8]) -> Result<(), MemError> {
        self.mem().write_below(addr, bytes)
    }

    /// Where [`Call::scratch`] would put so many bytes: for bytes with addresses of their own in them.
    pub fn scratch_room(&self, len: usize) -> Result<u64, MemError> {
        let stack = match &self.door {
            Some(Door::Stands(at)) => at.stack().ok_or(MemError::Gone)?,
            _ => self.stack_by_number()?,
        };
        let room = arch::RED_ZONE + len as u64;
        Ok(stack.checked_sub(room).ok_or(MemError::Fault)? & !15)
    }

    fn stack_by_number(&self) -> Result<u64, MemError> {
        loop {
            let line = record::of_thread(self.told.tid, "syscall");
            let line = line.map_err(|errno| match errno {
                Errno::PERM | Errno::ACCESS => MemError::Denied,
                _ => MemError::Gone,
            })?;
            let stack = line.split_whitespace().nth(7);
            let stack = stack.and_then(|word| word.strip_prefix("0x"));
            match stack.and_then(|word| u64::from_str_radix(word, 16).ok()) {
                Some(stack) => return Ok(stack),
                // It has told its call and not yet left its processor.
                None if self.is_alive() => std::thread::yield_now(),
                None => return Err(MemError::Gone),
            }
        }
    }

    /// Lets a fork, vfork, clone or clone3 happen, with other arguments if `edit` says so, and
    /// keeps parent and child stopped until [`Forked::release`].
    pub fn let_fork(self, edit: Option<[u64; 6]>) -> Result<Forked, Failed> {
        self.let_fork_undoing(edit, &mut |_| {})
    }

    /// The same. When nothing is born, `undo` is called, unless the caller has died or cannot be
    /// traced. The caller has made no further told call then; with `edit` (which may be the call's
    /// own arguments) it still stands at the end of this one. It is told why: the errno with which
    /// the kernel refused, or nothing if the call is made anew or its errno is not known.
    pub fn let_fork_undoing(
        self,
        edit: Option<[u64; 6]>,
        undo: &mut dyn FnMut(Option<i32>),
    ) -> Result<Forked, Failed> {
        crate::trace::let_fork(self, edit, undo)
    }

    /// Lets a fork happen as it is, like [`Call::let_fork`]; `birth` is told of the child while both
    /// stand, perhaps after this has returned and on another thread.
    pub fn let_fork_then(self, birth: Box<dyn Birth>) -> Result<Answered, Failed> {
        crate::trace::let_fork_then(self, birth)
    }

    /// Lets an execve or execveat happen, with other arguments if `edit` says so, and keeps the
    /// caller stopped in the new program until [`Execed::release`].
    pub fn let_exec(self, edit: Option<[u64; 6]>) -> Result<Execed, Failed> {
        crate::trace::let_exec(self, edit)
    }

    /// Lets the call run with other arguments and keeps the caller stopped at its end, with the
    /// argument registers as they were, until [`Ran::release`]. Not for fork and exec.
    pub fn let_run(self, args: [u64; 6]) -> Result<Ran, Failed> {
        minder::make_way(self.told.nr, &args);
        crate::trace::let_run(self, args)
    }

    /// Lets the call, which sends a signal, run with other arguments, and has the thread `to` be told
    /// that `sender` sent it, where the kernel would say `from`. As far as possible: a thread that
    /// does not take the signal at once is told what the kernel says.
    pub fn let_signal(
        self,
        args: [u64; 6],
        to: Tid,
        from: i32,
        sender: Sender,
    ) -> Result<Answered, Failed> {
        crate::trace::let_signal(self, args, to, from, sender)
    }

    /// Stops another thread, so that it can be made to perform calls before it ends. None if that
    /// cannot be done.
    pub fn freeze(&self, tid: Tid) -> Option<Frozen> {
        crate::trace::freeze(self, tid)
    }

    /// Stops the caller before its call, so that it can be made to perform others first.
    pub fn stop(self) -> Result<Held, Failed> {
        crate::trace::stop(self)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.door.is_some() {
            let _ = self.end(-i64::from(libc::ENOSYS));
        }
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Call({}, nr {}, {:x?})", self.told.tid, self.told.nr, self.told.args)
    }
}
