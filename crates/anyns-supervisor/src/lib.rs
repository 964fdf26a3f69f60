//! Serves Linux namespaces to unmodified programs: one handler per system call.
//!
//! A stopped call arrives from [`anyns_trap`], the handler asks [`nsproxy`] whether Linux would
//! allow it, does what must be done on the host, and answers. What a namespace makes visible in
//! `/proc` and in file attributes lives here too.
//!
//! * `table` is the only list of the calls we stop; the filter is built from it.
//! * `syscalls` has the handlers, one file per group of calls.
//! * `serve` takes calls from [`anyns_trap`] to their handlers.
//! * `known` finds out who somebody is to the model.
//! * `guests` knows the tasks that ever left the initial namespaces; all others are the kernel's.
//! * `cgroups`: where cgroup namespaces begin.
//! * `numbers`: who is called by which number, and by whom.
//! * `rights`: what the root of a user namespace may do whatever the modes of its files say.
//! * `procfs`, `vfs`, `descriptors`: the files whose contents are ours, how a path leads to them,
//!   and the descriptors that stand for them.
//!
//! Not here: no rule (they are `nsproxy`'s), no seccomp or ptrace (they are `anyns_trap`'s).

mod abi;
mod cgroups;
mod cx;
mod descriptors;
mod disguise;
mod exec;
mod guests;
mod ipc;
mod judge;
mod known;
mod lent;
mod maps;
mod mounts;
mod numbers;
mod procfs;
mod rights;
mod run;
mod serve;
mod syscalls;
mod table;
pub mod trace;
mod trouble;
mod vfs;

use std::os::fd::OwnedFd;
use std::sync::{Arc, Once, Weak};

use anyns_trap::Tid;
use anyns_trap::placeholder::Placeholders;
use anyns_trap::record::{Last, record};
use nsproxy::{AnyNamespace, Kind, KindSet, System, Task};
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::process::Resource;

use crate::cgroups::Cgroups;
use crate::cx::Cx;
use crate::descriptors::{Descriptors, Given};
use crate::guests::{Guest, Guests};
use crate::mounts::Mounts;
use crate::procfs::{ControlFile, Proc};
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
pub const SERVED: KindSet =
    KindSet::of(&[Kind::User, Kind::Uts, Kind::Ipc, Kind::Mnt, Kind::Pid, Kind::Cgroup]);

/// What a supervisor is started with.
#[derive(Debug)]
pub struct Options {
    /// Numbers of the processes that guests must not reach.
    pub chain: Vec<i32>,
    /// Where events go.
    pub trace: Option<trace::Trace>,
    /// Whether the first guest had `no_new_privs` set before the filter needed it.
    pub no_new_privs: bool,
    /// The types of namespaces that guests are served.
    pub served: KindSet,
}

/// Serves one tree of guests.
pub struct Supervisor {
    system: System,
    guests: Guests,
    proc: Proc,
    mounts: Mounts,
    lent: lent::Lent,
    lifted: rights::Lifted,
    copies: procfs::Copies,
    last: Last,
    programs: exec::Programs,
    descriptors: Descriptors,
    placeholders: Mutex<Option<Arc<Placeholders>>>,
    ipc: ipc::Ipc,
    cgroups: Cgroups,
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
        anyns_trap::objects::sweep();
        anyns_trap::store::sweep();
        let proc = Proc::new()?;
        let trace = options.trace.map(Arc::new);
        let config = configuration(options.served)?;
        let system = match &trace {
            Some(trace) => System::with_events(config, trace.clone()),
            None => System::new(config),
        };
        let initial = initial_namespaces(&system);
        let guests = Guests::new()?;
        Ok(Arc::new_cyclic(|me| Supervisor {
            me: me.clone(),
            watched: Once::new(),
            descriptors: Descriptors::new(&proc, initial),
            guests,
            mounts: Mounts::default(),
            lent: lent::Lent::default(),
            lifted: rights::Lifted::default(),
            copies: procfs::Copies::default(),
            last: Last::default(),
            programs: exec::Programs::default(),
            placeholders: Mutex::default(),
            ipc: ipc::Ipc::default(),
            cgroups: Cgroups::default(),
            chain: options.chain,
            no_new_privs: options.no_new_privs,
            system,
            proc,
            trace,
        }))
    }

    /// The supervisor, for what outlives a call. None at its very end.
    pub(crate) fn shared(&self) -> Result<Arc<Supervisor>, Trouble> {
        self.me.upgrade().ok_or(Trouble::Gone)
    }

    /// Tells whether events are written somewhere, which may take as long as whoever reads them likes.
    pub(crate) fn writes(&self) -> bool {
        self.trace.is_some()
    }

    /// Tells whether guests are served namespaces of a type.
    pub(crate) fn serves(&self, kind: Kind) -> bool {
        self.system.config().built.contains(kind)
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

    /// What a task sees of the mounts of its namespace, if that is not what the host shows.
    pub(crate) fn tree_of(&self, task: &Task) -> Option<vfs::Tree> {
        let tree = self.any_tree_of(task)?;
        let as_host = tree.view.is_hosts() && tree.view.top().is_none_or(|top| top == tree.root);
        (!as_host || task.has_virtual_directories()).then_some(tree)
    }

    /// The same, even if it is what the host shows.
    pub(crate) fn any_tree_of(&self, task: &Task) -> Option<vfs::Tree> {
        let root = task.root()?;
        let view = self.mounts.view(&task.nsproxy()?.mnt);
        Some(vfs::Tree { view, root: (root.mount(), root.dentry()) })
    }

    /// Remembers through which mounts of `tree` a process has opened its directories, since that
    /// cannot be seen from them later.
    pub(crate) fn note_descriptors(&self, tgid: i32, tree: &vfs::Tree) {
        let Ok(all) = std::fs::read_dir(format!("/proc/{tgid}/fd")) else { return };
        let numbers = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        for number in numbers.collect::<Vec<i32>>() {
            let path = format!("/proc/{tgid}/fd/{number}");
            let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
            let Ok(fd) = rustix::fs::open(path, flags, rustix::fs::Mode::empty()) else { continue };
            let Ok(identity) = mounts::Identity::of(&fd) else { continue };
            let known = || self.mounts.opened_through(&identity, (tgid, number)).is_some();
            if !identity.is_directory() || known() {
                continue;
            }
            if let Ok(Some(mount)) = vfs::stands(&self.mounts, &tree.view, &fd, &identity) {
                self.mounts.note_number((tgid, number), &tree.view, &identity, mount);
            }
        }
    }

    /// The same of all processes in a mount namespace that is about to become another than the host's.
    pub(crate) fn note_all_descriptors(&self, task: &Task) {
        let Some(tree) = self.any_tree_of(task) else { return };
        let Some(proxy) = task.nsproxy().filter(|_| tree.view.is_hosts()) else { return };
        let there = |other: &Task| {
            other.nsproxy().is_some_and(|other| nsproxy::Arc::ptr_eq(&other.mnt, &proxy.mnt))
        };
        for tgid in self.guests.processes(there) {
            self.note_descriptors(tgid, &tree);
        }
    }

    /// The mounts of the host.
    pub(crate) fn hosts_tree(&self) -> Option<vfs::Tree> {
        let view = self.mounts.view(&self.system.init_nsproxy().mnt);
        let root = view.top()?;
        Some(vfs::Tree { view, root })
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
        self.settle_objects();
    }

    /// The same of descriptors and mounts alone.
    pub(crate) fn settle_objects(&self) {
        self.mounts.settle();
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
            let watch = move || {
                me.guests.watch(|| {
                    me.ipc.waiters.forget_dead();
                    me.ipc.queues.lock().settle();
                    me.mounts.settle();
                    me.guests.look_for_closed();
                });
            };
            let thread = anyns_trap::spawn("anyns-deaths", watch);
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

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("guests", &self.guests.len()).finish_non_exhaustive()
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

/// The initial namespaces. Those of types that are not served can be joined by nobody but are known.
fn initial_namespaces(system: &System) -> Vec<AnyNamespace> {
    let proxy = system.init_nsproxy();
    vec![
        AnyNamespace::User(system.init_user()),
        AnyNamespace::Pid(system.init_pid()),
        AnyNamespace::Mnt(proxy.mnt.clone()),
        AnyNamespace::Uts(proxy.uts.clone()),
        AnyNamespace::Ipc(proxy.ipc.clone()),
        AnyNamespace::Net(proxy.net.clone()),
        AnyNamespace::Cgroup(proxy.cgroup.clone()),
        AnyNamespace::Time(proxy.time.clone()),
    ]
}

fn host_error(doing: &'static str, error: &std::io::Error) -> Trouble {
    let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
    Trouble::Host { doing, errno }
}

/// The model of this host: its names, and its own namespaces' numbers for the initial ones.
fn configuration(built: KindSet) -> std::io::Result<nsproxy::Config> {
    let mut config = nsproxy::Config {
        first_inode: FIRST_INODE,
        built,
        numbers: nsproxy::Numbers::Given,
        hierarchies: cgroups::hierarchies(),
        ..nsproxy::Config::default()
    };
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
    if let Some(threads) = number_in("/proc/sys/kernel/threads-max") {
        config.max_namespaces = threads / 2;
    }
    for (file, to) in [
        ("/proc/sys/kernel/pid_max", &mut config.pid_max),
        ("/proc/sys/kernel/overflowuid", &mut config.overflow_uid),
        ("/proc/sys/kernel/overflowgid", &mut config.overflow_gid),
    ] {
        if let Some(number) = number_in(file) {
            *to = number;
        }
    }
    Ok(config)
}

/// The number that a file of `/proc/sys` holds.
fn number_in(file: &str) -> Option<u32> {
    std::str::from_utf8(&record(file).ok()?).ok()?.trim().parse().ok()
}
