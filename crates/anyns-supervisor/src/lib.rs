//! Serves Linux namespaces to unmodified programs: one handler per system call.
//!
//! A stopped call arrives from [`anyns_trap`], the handler asks [`nsproxy`] whether Linux would
//! allow it, does what must be done on the host, and answers. What a namespace makes visible in
//! `/proc` and in file attributes lives here too.
//!
//! * `table` is the only list of the calls we stop; the filter is built from it.
//! * `syscalls` has the handlers, one file per group of calls.
//! * `guests` knows the tasks that ever left the initial namespaces; all others are the kernel's.
//! * `procfs`, `vfs`, `descriptors`: the files whose contents are ours, how a path leads to them,
//!   and the descriptors that stand for them.
//!
//! Not here: no rule (they are `nsproxy`'s), no seccomp or ptrace (they are `anyns_trap`'s).

mod abi;
mod cx;
mod descriptors;
mod guests;
mod judge;
mod procfs;
mod run;
mod syscalls;
mod table;
pub mod trace;
mod trouble;
mod vfs;

use std::os::fd::OwnedFd;
use std::sync::{Arc, Once, Weak};

use anyns_trap::placeholder::Placeholders;
use anyns_trap::{Answered, Call, Serve, Tid};
use nsproxy::{AnyNamespace, Cred, Kind, KindSet, System, Task};
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::process::Resource;

use crate::cx::{Cx, Met, Verdict, native};
use crate::descriptors::{Descriptors, Given};
use crate::guests::{Guest, Guests};
use crate::procfs::{ControlFile, Native, Proc};
use crate::trouble::Trouble;

pub use nsproxy;
pub use run::{Command, run};
pub use table::{filter, rows};

/// Lowest inode number of the namespaces we make.
///
/// The host gives out its own from 0xF0000000 upwards, so ours are far above and both can be told
/// apart in one `lsns`.
const FIRST_INODE: u32 = 0xF800_0000;

/// The types of namespaces that guests are served. The flags of the others are refused as by a
/// kernel that was built without them, whatever the model could do.
pub const SERVED: KindSet = KindSet::of(&[Kind::User, Kind::Uts]);

/// What a supervisor is started with.
#[derive(Debug)]
pub struct Options {
    /// Numbers of the processes that guests must not reach.
    pub chain: Vec<i32>,
    /// Where events go.
    pub trace: Option<trace::Trace>,
    /// Whether the first guest had `no_new_privs` set before the filter needed it.
    pub no_new_privs: bool,
}

/// Serves one tree of guests.
pub struct Supervisor {
    system: System,
    guests: Guests,
    proc: Proc,
    descriptors: Descriptors,
    placeholders: Mutex<Option<Arc<Placeholders>>>,
    watched: Once,
    me: Weak<Supervisor>,
    chain: Vec<i32>,
    no_new_privs: bool,
    trace: Option<Arc<trace::Trace>>,
}

impl Supervisor {
    /// Starts a supervisor: its tables are empty and its threads wait.
    ///
    /// # Errors
    /// What the host lacks: `/proc`, descriptors, threads.
    pub fn start(options: Options) -> std::io::Result<Arc<Supervisor>> {
        allow_descriptors();
        let proc = Proc::new()?;
        let trace = options.trace.map(Arc::new);
        let config = configuration()?;
        let system = match &trace {
            Some(trace) => System::with_events(config, trace.clone()),
            None => System::new(config),
        };
        let initial =
            vec![AnyNamespace::User(system.init_user()), AnyNamespace::Uts(system.init_uts())];
        let guests = Guests::new()?;
        Ok(Arc::new_cyclic(|me| Supervisor {
            me: me.clone(),
            watched: Once::new(),
            descriptors: Descriptors::new(&proc, initial),
            guests,
            placeholders: Mutex::default(),
            chain: options.chain,
            no_new_privs: options.no_new_privs,
            system,
            proc,
            trace,
        }))
    }

    /// The numbers of our own processes.
    pub(crate) fn chain(&self) -> Vec<i32> {
        self.chain.clone()
    }

    /// Tells whether `pid` is a process of ours, or a thread of one.
    pub(crate) fn is_ours(&self, pid: i32) -> bool {
        self.chain.contains(&pid)
            || procfs::thread_group(pid).is_some_and(|group| self.chain.contains(&group))
    }

    /// The entry of thread `tid`, or what is left of it while it is a zombie: whom a call is about,
    /// who need not be alive.
    pub(crate) fn find_subject(&self, tid: i32) -> Option<Arc<Guest>> {
        self.find_guest(tid).or_else(|| self.guests.zombie(tid))
    }

    /// The living entry of thread `tid`.
    pub(crate) fn find_guest(&self, tid: i32) -> Option<Arc<Guest>> {
        if let Some(known) = self.guests.get(tid) {
            return Some(known);
        }
        if self.guests.len() == 0 {
            return None;
        }
        let doubtful = self.guests.any_traced() || self.guests.any_quiet();
        let recognised = if doubtful { self.recognise(tid) } else { None };
        // Another thread's call may have entered it between the two looks.
        recognised.or_else(|| self.guests.get(tid))
    }

    /// Enters an unknown task if it is a thread of a process we know, or the child of a guest that
    /// could not be followed.
    fn recognise(&self, tid: i32) -> Option<Arc<Guest>> {
        let native = Native::read(tid).ok()?;
        self.guests
            .enter_thread(tid, native.tgid)
            .or_else(|| self.guests.enter_child(tid, native.tgid, native.ppid))
    }

    /// A task as the model knows it, introduced to it if need be.
    pub(crate) fn meet(&self, tid: i32, guest: Option<Arc<Guest>>) -> Result<Met<'_>, Trouble> {
        match guest {
            Some(guest) => {
                self.refresh(&guest)?;
                Ok(Met::known(self, guest))
            }
            None => {
                let native = native(tid)?;
                let tgid = native.tgid;
                let peer = self.guests.group(tgid).into_iter().next();
                let cred = self.native_cred(&native);
                let task = self.system.adopt(peer.as_ref().map(|peer| &peer.task), cred);
                task.set_tag(tid as u64);
                task.set_leader(tid == tgid);
                task.set_chrooted(chrooted(tid));
                if native.exited {
                    // Its credentials are all that is left of it.
                    nsproxy::exit(&task);
                }
                Ok(Met::introduced(self, tid, tgid, task))
            }
        }
    }

    /// The credentials of a task, wherever they are kept.
    pub(crate) fn cred_of(&self, tid: i32, guest: Option<&Guest>) -> Result<Arc<Cred>, Trouble> {
        match guest {
            Some(guest) => {
                self.refresh(guest)?;
                Ok(guest.task.cred())
            }
            None => Ok(Arc::new(self.native_cred(&native(tid)?))),
        }
    }

    /// Brings the credentials up to date: a program may have started, and in the initial user
    /// namespace the kernel's are the truth.
    fn refresh(&self, guest: &Guest) -> Result<(), Trouble> {
        self.settle_exec(guest, false);
        if guest.task.cred().user.is_initial() {
            let mut cred = native(guest.tid)?.cred(self.system.init_user());
            cred.no_new_privs = guest.task.with_cred(|cred| cred.no_new_privs);
            guest.task.set_cred(cred);
        }
        Ok(())
    }

    /// The credentials of a task that was never known, so that it has set nothing itself.
    pub(crate) fn native_cred(&self, native: &Native) -> Cred {
        let no_new_privs = self.no_new_privs;
        Cred { no_new_privs, ..native.cred(self.system.init_user()) }
    }

    /// Enters a task in the table.
    pub(crate) fn enter(
        &self,
        tid: i32,
        tgid: i32,
        task: Arc<Task>,
    ) -> Result<Arc<Guest>, Trouble> {
        self.watch_deaths();
        self.guests.enter(tid, tgid, task).map_err(|errno| match errno {
            Errno::SRCH => Trouble::Gone,
            errno => Trouble::Host { doing: "opening a pidfd for a guest", errno },
        })
    }

    /// Lets go of what the dead and closed descriptors held, so that the model's counts are what
    /// the kernel's would be now.
    pub(crate) fn settle(&self) {
        self.guests.settle();
        if self.descriptors.len() > 0 {
            let placeholders = self.placeholders.lock().clone();
            if let Some(placeholders) = placeholders {
                placeholders.settle();
            }
        }
    }

    /// A descriptor that stands for what `given` says, to be given to a guest.
    pub(crate) fn open_namespace(&self, given: Given) -> Result<OwnedFd, Trouble> {
        let token = self.descriptors.token();
        let (fd, inode) = self
            .placeholders()
            .and_then(|placeholders| placeholders.create_token(token))
            .map_err(|error| host_error("making a namespace descriptor", &error))?;
        self.descriptors.give(token, inode, given);
        Ok(fd)
    }

    /// A descriptor whose writes are judged, to be given to the thread `opener`.
    pub(crate) fn open_writable(&self, file: ControlFile, opener: i32) -> Result<OwnedFd, Trouble> {
        let token = self.descriptors.token();
        let (fd, inode) = self
            .placeholders()
            .and_then(|placeholders| placeholders.create(token, Tid(opener)))
            .map_err(|error| host_error("making a control file", &error))?;
        self.descriptors.give(token, inode, Given::Control(Arc::new(file)));
        Ok(fd)
    }

    /// The thread that watches our descriptors is started with the first of them: most commands
    /// need none, and every thread makes their start slower.
    fn placeholders(&self) -> std::io::Result<Arc<Placeholders>> {
        let mut started = self.placeholders.lock();
        if let Some(placeholders) = &*started {
            return Ok(placeholders.clone());
        }
        let judge = judge::Judge::of(self.me.clone());
        let placeholders = Arc::new(Placeholders::start(Arc::new(judge))?);
        *started = Some(placeholders.clone());
        Ok(placeholders)
    }

    /// The same for the thread that watches deaths, and the first task that is entered.
    fn watch_deaths(&self) {
        self.watched.call_once(|| {
            let Some(me) = self.me.upgrade() else { return };
            let watch = move || me.guests.watch();
            let thread = std::thread::Builder::new().name("anyns-deaths".into()).spawn(watch);
            if let Err(error) = thread {
                // Deaths are then noticed only when somebody counts.
                self.note_host(0, "clone", &host_error("starting a thread", &error));
            }
        });
    }

    /// Puts what went wrong where somebody may look for it.
    pub(crate) fn note(&self, cx: &Cx<'_>, trouble: &Trouble) {
        if let Trouble::Host { .. } = trouble {
            self.note_host(cx.tid(), table::manual(cx.nr()), trouble);
        }
    }

    /// The same for trouble of ours outside a handler.
    pub(crate) fn note_host(&self, tid: i32, call: &str, trouble: &Trouble) {
        if let Some(trace) = &self.trace {
            trace.host_trouble(tid, call, trouble);
        }
    }
}

impl Serve for Supervisor {
    fn serve(&self, call: Call) -> Answered {
        let mut cx = Cx::new(self, call);
        let served = match table::handler(cx.nr()) {
            Some(handler) => handler(&mut cx),
            None => Ok(Verdict::Continue),
        };
        cx.finish(served)
    }
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("guests", &self.guests.len()).finish_non_exhaustive()
    }
}

/// Tells whether a task's root directory is not the one we know, because it called chroot(2).
fn chrooted(tid: i32) -> bool {
    let (theirs, ours) = (rustix::fs::stat(format!("/proc/{tid}/root")), rustix::fs::stat("/"));
    match (theirs, ours) {
        (Ok(theirs), Ok(ours)) => (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino),
        _ => false,
    }
}

/// A descriptor is held for each task and each namespace file that is known, so as many as may be
/// are asked for. Guests have their own limit, inherited from elsewhere.
fn allow_descriptors() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What cannot be raised stays; running out is answered call by call.
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
}

fn host_error(doing: &'static str, error: &std::io::Error) -> Trouble {
    let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
    Trouble::Host { doing, errno }
}

/// The model of this host: its names, and its own namespaces' numbers for the initial ones.
fn configuration() -> std::io::Result<nsproxy::Config> {
    let mut config =
        nsproxy::Config { first_inode: FIRST_INODE, built: SERVED, ..nsproxy::Config::default() };
    for (index, kind) in Kind::ALL.iter().enumerate() {
        let stat = rustix::fs::stat(format!("/proc/self/ns/{}", kind.name()));
        if let Ok(stat) = stat {
            config.initial_inodes[index] = stat.st_ino as u32;
        }
    }
    let uname = rustix::system::uname();
    config.hostname = uname.nodename().to_string_lossy().into_owned();
    config.domainname = uname.domainname().to_string_lossy().into_owned();
    // The kernel's own default: half of the threads this machine may have (kernel/fork.c says so,
    // and user_namespaces(7) that the limit exists).
    if let Ok(text) = std::fs::read_to_string("/proc/sys/kernel/threads-max")
        && let Ok(threads) = text.trim().parse::<u32>()
    {
        config.max_namespaces = threads / 2;
    }
    for (file, to) in [
        ("/proc/sys/kernel/overflowuid", &mut config.overflow_uid),
        ("/proc/sys/kernel/overflowgid", &mut config.overflow_gid),
    ] {
        if let Ok(text) = std::fs::read_to_string(file)
            && let Ok(id) = text.trim().parse()
        {
            *to = id;
        }
    }
    Ok(config)
}
