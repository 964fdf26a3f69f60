//! One call being served: its arguments, its caller, and the doors to everything a handler needs.

use std::cell::OnceCell;
use std::ffi::CString;
use std::sync::Arc;

use anyns_trap::{Answered, Call, Failed, MemError, Memory, Ran};
use nsproxy::{Cred, Task};
use rustix::io::Errno;

use crate::Supervisor;
use crate::descriptors::Given;
use crate::guests::{Guest, threads};
use crate::mounts::Detached;
use crate::numbers::View;
use crate::procfs::Native;
use crate::rights::Lifts;
use crate::trouble::Trouble;
use crate::vfs::{self, Lost, Place, Seeker, Tree};

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
    /// The same for an object that means nothing to us, so that it does not matter who closes it
    /// last.
    Hand {
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
    at_once: bool,
    /// What `/proc` shows the caller, once that was looked up.
    pub(crate) shows: OnceCell<nsproxy::Arc<nsproxy::PidNs>>,
    tree: OnceCell<Option<Tree>>,
    /// What the caller has sent us of its own, once that was looked up.
    lent: Option<crate::lent::Sent>,
    /// The call has been answered on the way.
    answered: Option<Answered>,
    /// Permissions lifted until the call ends.
    pub(crate) lifts: Lifts<'a>,
    /// The directory that is being opened, and through which mount.
    pub(crate) opened: Option<(vfs::Reached, crate::mounts::Identity)>,
}

impl<'a> Cx<'a> {
    /// Starts serving `call`.
    pub(crate) fn new(sup: &'a Supervisor, call: Call) -> Self {
        let (nr, tid, args) = (call.nr(), call.tid().0, call.args());
        let guest = sup.find_guest(tid);
        if let Some(guest) = &guest {
            sup.guests.note_call(guest);
            sup.ipc.waiters.returned(tid);
            // Before anything else is made of the call: exec ended the other threads, and this one
            // may be making a new one.
            sup.settle_exec(guest, true);
        }
        Cx {
            sup,
            call: Some(call),
            guest,
            nr,
            tid,
            args,
            at_once: false,
            shows: OnceCell::new(),
            tree: OnceCell::new(),
            opened: None,
            lent: None,
            answered: None,
            lifts: Lifts::new(&sup.lifted),
        }
    }

    /// Starts serving a call at once; it is given back where that would have to wait already.
    pub(crate) fn at_once(sup: &'a Supervisor, call: Call) -> Result<Self, Call> {
        let (nr, tid, args) = (call.nr(), call.tid().0, call.args());
        let guest = sup.guests.get_living(tid).or_else(|| sup.find_guest(tid));
        if let Some(guest) = &guest {
            if guest.expects_exec() {
                return Err(call);
            }
            sup.guests.note_call(guest);
        }
        Ok(Cx {
            sup,
            call: Some(call),
            guest,
            nr,
            tid,
            args,
            at_once: true,
            shows: OnceCell::new(),
            tree: OnceCell::new(),
            opened: None,
            lent: None,
            answered: None,
            lifts: Lifts::new(&sup.lifted),
        })
    }

    /// Before what has to wait, or looks into files and memory by other ways than [`Cx::mem`].
    ///
    /// # Errors
    /// [`Trouble::Later`] if the call is being served at once.
    pub(crate) fn may_wait(&self) -> Result<(), Trouble> {
        if self.at_once { Err(Trouble::Later) } else { Ok(()) }
    }

    /// Lets go of what the dead held ([`Supervisor::settle`]).
    ///
    /// # Errors
    /// [`Trouble::Later`] if the call is being served at once, and somebody has died: whoever serves a
    /// call of the dead may be waiting for the thread that this is.
    pub(crate) fn settle(&self) -> Result<(), Trouble> {
        if !self.at_once {
            self.sup.settle();
            return Ok(());
        }
        if self.sup.guests.any_unburied() {
            return Err(Trouble::Later);
        }
        self.sup.guests.forget_zombies();
        self.sup.settle_objects();
        Ok(())
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

    /// The same for a call whose rule asks for a capability over the initial namespaces, should the
    /// caller be in those. Who is not known and has none is told no without all else being looked up.
    pub(crate) fn meet_capable(&self) -> Result<Met<'a>, Trouble> {
        if self.guest.is_none()
            && let Some(nobody) = self.sup.meet_without_capabilities(self.tid)
        {
            return Ok(nobody);
        }
        self.meet()
    }

    /// The caller's credentials, wherever they are kept.
    pub(crate) fn cred(&self) -> Result<Arc<Cred>, Trouble> {
        self.sup.cred_of(self.tid, self.guest.as_deref())
    }

    /// The entry of thread `tid`, which may be a zombie, as [`Supervisor::find_subject`] finds it: the
    /// caller lives.
    pub(crate) fn find_subject(&self, tid: i32) -> Option<Arc<Guest>> {
        match &self.guest {
            Some(guest) if tid == self.tid => Some(guest.clone()),
            _ => self.sup.find_subject(tid),
        }
    }

    /// The numbers as the caller reads them.
    pub(crate) fn view(&self) -> View<'a> {
        self.sup.view(self.guest.as_deref()).having_met(self.guest())
    }

    /// The caller, if it is in a pid namespace of ours.
    pub(crate) fn numbered(&self) -> Option<&Arc<Guest>> {
        self.guest.as_ref().filter(|guest| guest.is_numbered())
    }

    /// Has the kernel serve the call with these arguments instead; the caller finds its own as they
    /// were.
    pub(crate) fn run_with(&mut self, args: [u64; 6]) -> Served {
        if args == self.args {
            return Ok(Verdict::Continue);
        }
        match self.run(args)? {
            Ok(ran) => Ok(Verdict::Answered(ran.release())),
            Err(answered) => Ok(Verdict::Answered(answered)),
        }
    }

    /// The same, and keeps the caller at the call's end; or the call has ended otherwise.
    ///
    /// # Errors
    /// EPERM if the caller cannot be made to, because another guest traces it.
    pub(crate) fn run(&mut self, args: [u64; 6]) -> Result<Result<Ran, Answered>, Trouble> {
        match self.take().let_run(args) {
            Ok(ran) => Ok(Ok(ran)),
            Err(Failed::Untraceable(call)) => {
                self.put_back(call);
                Err(Errno::PERM.into())
            }
            Err(failed) => Ok(Err(failed.settle())),
        }
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
        let tree = self
            .tree
            .get_or_init(|| self.guest.as_ref().and_then(|guest| self.sup.tree_of(&guest.task)));
        let scene = tree.as_ref().zip(self.guest.as_ref()).map(|(tree, guest)| vfs::Scene {
            mounts: &self.sup.mounts,
            tree,
            task: &guest.task,
        });
        Seeker { tid: self.tid, sight: self, scene }
    }

    /// Has the call served here, though the caller sees what the host shows.
    pub(crate) fn look_itself(&mut self) {
        let tree = self.guest.as_ref().and_then(|guest| self.sup.any_tree_of(&guest.task));
        self.tree = OnceCell::from(tree);
    }

    /// The tree of mounts that what was opened stands for: to the kernel it is something else.
    pub(crate) fn tree_of(&self, opened: &std::os::fd::OwnedFd) -> Option<Arc<Detached>> {
        if self.sup.descriptors.len() == 0 {
            return None;
        }
        match self.sup.descriptors.given(&rustix::fs::fstat(opened).ok()?) {
            Some(Given::Tree(tree)) => Some(tree),
            _ => None,
        }
    }

    /// What the caller sees of the mounts of its namespace, if that is not what the host shows.
    pub(crate) fn tree(&self) -> Option<&Tree> {
        Some(self.seeker().scene?.tree)
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
        Ok(vfs::find(self.seeker(), dirfd, path, follow).map_err(|lost| lost.errno)?)
    }

    /// The same, where it matters why nothing is found.
    pub(crate) fn look_up(
        &self,
        dirfd: i32,
        path: &std::ffi::CStr,
        follow: bool,
    ) -> Result<Place, Lost> {
        vfs::find(self.seeker(), dirfd, path, follow)
    }

    /// Ends a call whose path leads nowhere: the kernel says so, or makes what is missing, unless
    /// it would find something that the caller cannot.
    pub(crate) fn go_lost(&mut self, lost: Lost, path_arg: usize) -> Served {
        match lost {
            Lost { by_us: true, errno, .. } => Err(errno.into()),
            Lost { moved: Some(moved), .. } => self.run_moved(&moved, path_arg),
            Lost { .. } => Ok(Verdict::Continue),
        }
    }

    /// Lets the kernel serve the call with another path.
    pub(crate) fn run_moved(&mut self, path: &[u8], path_arg: usize) -> Served {
        let path = CString::new(path).map_err(|_| Errno::NOENT)?;
        let mut args = self.args;
        args[path_arg] = self.held().scratch(path.as_bytes_with_nul())?;
        match self.take().let_run(args) {
            Ok(ran) => Ok(Verdict::Answered(ran.release())),
            Err(Failed::Untraceable(call)) => {
                // Another guest traces the caller. What it would find by its own path is not what
                // it means.
                self.put_back(call);
                Err(Errno::ACCESS.into())
            }
            Err(failed) => Ok(Verdict::Answered(failed.settle())),
        }
    }

    /// A copy of a descriptor of the caller's, which sends it itself where the host does not let us
    /// take it.
    ///
    /// # Errors
    /// EBADF if there is none; EPERM where that cannot be done.
    pub(crate) fn borrow(&mut self, number: i32) -> Result<std::os::fd::OwnedFd, Trouble> {
        let lent =
            self.lent.get_or_insert_with(|| self.sup.lent.take(self.tid, self.nr, self.args));
        if let Some((_, sent)) = lent.iter().find(|(of, _)| *of == number) {
            let fd = sent.as_ref().map_err(|errno| *errno)?;
            return Ok(rustix::io::fcntl_dupfd_cloexec(fd, 0)?);
        }
        match crate::syscalls::getdents::borrow(self.tid, number) {
            Err(Errno::PERM | Errno::NOSYS) => {}
            other => return Ok(other?),
        }
        let mut call = self.take();
        match call.borrow_fd(number) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {}
            lent => {
                self.put_back(call);
                return Ok(lent.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?);
            }
        }
        // It sends it, and makes its call anew.
        let answered = match call.stop().and_then(|held| held.lend(number)) {
            // That it has none, too, may be but a part of the answer.
            Ok((lent, held)) => {
                let mut sent = self.lent.take().unwrap_or_default();
                sent.push((number, lent.map_err(Errno::from_raw_os_error)));
                self.sup.lent.keep(self.tid, self.nr, self.args, sent);
                held.again()
            }
            Err(Failed::Untraceable(call)) => call.errno(libc::EPERM),
            Err(failed) => failed.settle(),
        };
        self.answered = Some(answered);
        Err(Trouble::Gone)
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

    /// Ends a call with a descriptor that only the caller itself can receive.
    fn send(&self, call: Call, fd: &std::os::fd::OwnedFd, cloexec: bool) -> Answered {
        match call.give(std::os::fd::AsFd::as_fd(fd), cloexec) {
            Ok((Ok(number), held)) => {
                // Before the caller goes on: what it does with it next depends on that.
                self.note_opened(Some(number));
                held.ret(number.into())
            }
            Ok((Err(errno), held)) => held.ret(-i64::from(errno)),
            // Another guest traces it.
            Err(Failed::Untraceable(call)) => call.errno(libc::EPERM),
            Err(failed) => failed.settle(),
        }
    }

    /// Notes as which descriptor a directory was opened.
    fn note_opened(&self, number: Option<i32>) {
        let guest = self.guest.as_ref();
        if let (Some((reached, identity)), Some(number), Some(guest)) =
            (&self.opened, number, guest)
        {
            self.sup.mounts.note_place((guest.tgid, number), reached, identity);
        }
    }

    /// Answers the call as its handler decided.
    pub(crate) fn finish(mut self, served: Served) -> Answered {
        self.lifts.lower();
        if let Some(answered) = self.answered.take() {
            return answered;
        }
        match served {
            Ok(Verdict::Answered(answered)) => answered,
            Ok(Verdict::Return(value)) => self.take().ret(value),
            Ok(Verdict::Continue) => self.take().resume(),
            Ok(Verdict::Hand { fd, cloexec }) => {
                self.take().install_fd(std::os::fd::AsFd::as_fd(&fd), cloexec).1
            }
            Ok(Verdict::Install { fd, cloexec }) => {
                // Our copy goes before the guest runs on: once it closes its own, nobody may have the
                // object open any more.
                let mut call = self.take();
                let added = call.add_fd(std::os::fd::AsFd::as_fd(&fd), None, cloexec);
                if added.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EBADF)) {
                    // It was opened with O_PATH.
                    return self.send(call, &fd, cloexec);
                }
                drop(fd);
                self.note_opened(added.as_ref().ok().copied());
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
    /// Its ids have not been looked up.
    vague: bool,
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
            vague: false,
        }
    }

    /// A task that was just introduced.
    pub(crate) fn introduced(sup: &'a Supervisor, tid: i32, tgid: i32, task: Arc<Task>) -> Self {
        Met { sup, task, tid, tgid, guest: None, others: Vec::new(), kept: false, vague: false }
    }

    /// A task of which only that is known that it has no capability.
    pub(crate) fn vague(sup: &'a Supervisor, tid: i32, task: Arc<Task>) -> Self {
        let mut met = Met::introduced(sup, tid, tid, task);
        met.vague = true;
        met
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
        if self.vague {
            // No rule lets such a one change anything.
            return Err(Trouble::Errno(Errno::PERM));
        }
        self.task.set_number(self.tid as u32);
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
