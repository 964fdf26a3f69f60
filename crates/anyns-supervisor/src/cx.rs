//! One call being served: its arguments, its caller, and the doors to everything a handler needs.

use std::ffi::CString;
use std::sync::Arc;

use anyns_trap::{Answered, Call, MemError, Memory};
use nsproxy::{Cred, Task};
use rustix::io::Errno;

use crate::Supervisor;
use crate::guests::{Guest, threads};
use crate::procfs::Native;
use crate::trouble::Trouble;
use crate::vfs::{self, Place, Seeker};

/// Longest path, in bytes and with its final zero (`PATH_MAX`).
const PATH_MAX: usize = 4096;

/// How a handler ends.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The call returns this.
    Return(i64),
    /// The kernel serves the call itself, with the arguments it reads then.
    Continue,
    /// The call returns a new descriptor of the guest's for this object.
    Install {
        /// What to install.
        fd: std::os::fd::OwnedFd,
        /// Closed at exec.
        cloexec: bool,
    },
    /// The answer is on its way already.
    Answered(Answered),
}

/// What a handler returns.
pub(crate) type Served = Result<Verdict, Trouble>;

/// One call being served.
pub(crate) struct Cx<'a> {
    /// The supervisor.
    pub(crate) sup: &'a Supervisor,
    call: Option<Call>,
    guest: Option<Arc<Guest>>,
    nr: i64,
    tid: i32,
    args: [u64; 6],
}

impl<'a> Cx<'a> {
    /// Starts serving `call`.
    pub(crate) fn new(sup: &'a Supervisor, call: Call) -> Self {
        let (nr, tid, args) = (call.nr(), call.tid().0, call.args());
        let guest = sup.find_guest(tid);
        if let Some(guest) = &guest {
            sup.guests.note_call(guest);
            // Before anything else is made of the call: exec ended the other threads, and this one
            // may be making a new one.
            sup.settle_exec(guest, true);
        }
        Cx { sup, call: Some(call), guest, nr, tid, args }
    }

    /// Number of the call.
    pub(crate) fn nr(&self) -> i64 {
        self.nr
    }

    /// The calling thread's number on the host.
    pub(crate) fn tid(&self) -> i32 {
        self.tid
    }

    /// All arguments.
    pub(crate) fn args(&self) -> [u64; 6] {
        self.args
    }

    /// An argument as a register holds it.
    pub(crate) fn arg(&self, index: usize) -> u64 {
        self.args[index]
    }

    /// An argument that the kernel takes as `int` or `unsigned int`.
    pub(crate) fn int(&self, index: usize) -> i32 {
        self.args[index] as i32
    }

    /// The caller's entry in the table; `None` for a task that never left the initial namespaces.
    pub(crate) fn guest(&self) -> Option<&Arc<Guest>> {
        self.guest.as_ref()
    }

    /// The caller, if it is in a user namespace of ours, so that its credentials are the model's.
    pub(crate) fn inside(&self) -> Option<&Arc<Guest>> {
        self.guest.as_ref().filter(|guest| !guest.task.cred().user.is_initial())
    }

    /// The same, for a call that may change the caller's credentials: from then on it may differ
    /// from its process's other threads.
    pub(crate) fn changing(&self) -> Option<&Arc<Guest>> {
        let guest = self.inside()?;
        self.sup.guests.wake(guest);
        Some(guest)
    }

    /// The caller as the model knows it; one that it does not know yet is introduced to it.
    ///
    /// The introduction leaves no trace unless [`Met::keep`] is called.
    ///
    /// # Errors
    /// [`Trouble::Gone`] if the caller is dead.
    pub(crate) fn meet(&self) -> Result<Met<'a>, Trouble> {
        self.sup.meet(self.tid, self.guest.clone())
    }

    /// The caller's credentials, wherever they are kept.
    pub(crate) fn cred(&self) -> Result<Arc<Cred>, Trouble> {
        self.sup.cred_of(self.tid, self.guest.as_deref())
    }

    /// The caller's memory.
    pub(crate) fn mem(&self) -> Memory<'_> {
        self.held().mem()
    }

    /// Reads the path at `addr`.
    ///
    /// # Errors
    /// EFAULT, ENAMETOOLONG.
    pub(crate) fn path(&self, addr: u64) -> Result<CString, Trouble> {
        Ok(self.try_path(addr)??)
    }

    /// The same, but tells apart a program whose memory the host does not let us read.
    pub(crate) fn try_path(&self, addr: u64) -> Result<Result<CString, Errno>, MemError> {
        match self.mem().read_cstr(addr, PATH_MAX) {
            Ok(path) => Ok(Ok(path)),
            Err(MemError::TooLong) => Ok(Err(Errno::NAMETOOLONG)),
            Err(error) => Err(error),
        }
    }

    /// Who looks paths up in this call.
    pub(crate) fn seeker(&self) -> Seeker<'_> {
        Seeker { tid: self.tid, proc: &self.sup.proc }
    }

    /// Finds what a path names for the caller.
    ///
    /// # Errors
    /// Those of path_resolution(7).
    pub(crate) fn find(
        &self,
        dirfd: i32,
        path: &std::ffi::CStr,
        follow: bool,
    ) -> Result<Place, Trouble> {
        Ok(vfs::find(self.seeker(), dirfd, path, follow)?)
    }

    /// Takes the held call, for answers that need more than one step.
    pub(crate) fn take(&mut self) -> Call {
        self.call.take().expect("a call is answered once")
    }

    /// Puts back a call that could not be answered in that way.
    pub(crate) fn put_back(&mut self, call: Call) {
        self.call = Some(call);
    }

    /// The held call.
    pub(crate) fn held(&self) -> &Call {
        self.call.as_ref().expect("the call has not been answered")
    }

    /// Answers the call as its handler decided.
    pub(crate) fn finish(mut self, served: Served) -> Answered {
        match served {
            Ok(Verdict::Answered(answered)) => answered,
            Ok(Verdict::Return(value)) => self.take().ret(value),
            Ok(Verdict::Continue) => self.take().resume(),
            Ok(Verdict::Install { fd, cloexec }) => {
                // Our copy goes before the guest runs on: once it closes its own, nobody may have the
                // object open any more.
                let mut call = self.take();
                let added = call.add_fd(std::os::fd::AsFd::as_fd(&fd), None, cloexec);
                drop(fd);
                match added {
                    Ok(number) => call.ret(number.into()),
                    // The guest has too many descriptors, say.
                    Err(error) => call.errno(error.raw_os_error().unwrap_or(libc::EIO)),
                }
            }
            Err(trouble) => {
                self.sup.note(&self, &trouble);
                match self.call.take() {
                    Some(call) => call.errno(trouble.errno()),
                    None => unreachable!("a handler that takes the call answers it"),
                }
            }
        }
    }
}

/// A task the model has met, perhaps just now.
pub(crate) struct Met<'a> {
    sup: &'a Supervisor,
    /// The task.
    pub(crate) task: Arc<Task>,
    /// Its number on the host.
    pub(crate) tid: i32,
    /// Its thread group's number on the host.
    pub(crate) tgid: i32,
    guest: Option<Arc<Guest>>,
    /// Threads of the same group that the model met only for the length of this call.
    others: Vec<Arc<Task>>,
    kept: bool,
}

impl<'a> Met<'a> {
    /// A task that is in the table.
    pub(crate) fn known(sup: &'a Supervisor, guest: Arc<Guest>) -> Self {
        Met {
            sup,
            task: guest.task.clone(),
            tid: guest.tid,
            tgid: guest.tgid,
            guest: Some(guest),
            others: Vec::new(),
            kept: true,
        }
    }

    /// A task that was just introduced.
    pub(crate) fn introduced(sup: &'a Supervisor, tid: i32, tgid: i32, task: Arc<Task>) -> Self {
        Met { sup, task, tid, tgid, guest: None, others: Vec::new(), kept: false }
    }

    /// Introduces the threads of the same group that the model does not know, so that rules about
    /// "a single thread" see what the kernel would.
    pub(crate) fn with_siblings(mut self) -> Self {
        if let Some(guest) = &self.guest {
            self.sup.guests.wake(guest);
        }
        for tid in threads(self.tgid) {
            if tid != self.tid && self.sup.guests.get(tid).is_none() {
                let cred = (*self.task.cred()).clone();
                self.others.push(self.sup.system.adopt(Some(&self.task), cred));
            }
        }
        self
    }

    /// Enters the task in the table, where it stays until it dies.
    ///
    /// # Errors
    /// [`Trouble::Gone`] if it is dead; [`Trouble::Host`] if the host is out of descriptors.
    pub(crate) fn keep(&mut self) -> Result<Arc<Guest>, Trouble> {
        if let Some(guest) = &self.guest {
            return Ok(guest.clone());
        }
        let guest = self.sup.enter(self.tid, self.tgid, self.task.clone())?;
        self.guest = Some(guest.clone());
        self.kept = true;
        Ok(guest)
    }
}

impl Drop for Met<'_> {
    fn drop(&mut self) {
        for other in &self.others {
            nsproxy::exit(other);
        }
        if !self.kept {
            // It is forgotten, not dead: a process does not lose its leader by this.
            self.task.set_leader(false);
            nsproxy::exit(&self.task);
        }
    }
}

/// Reads the kernel's view of a thread, where a dead one is the end of its call.
pub(crate) fn native(tid: i32) -> Result<Native, Trouble> {
    Native::read(tid).map_err(|_| Trouble::Gone)
}
