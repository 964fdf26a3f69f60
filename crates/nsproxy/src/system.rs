//! One "kernel": its configuration, its initial namespaces, its inode numbers, its onlooker.

use crate::{
    KernelVersion, Kind, KindSet,
    cred::Cred,
    events::{Event, Events},
    inode::Inodes,
    namespace::{
        cgroup::{Cgroup, Cgroups, Hierarchy},
        ipc::MqBytes,
        mnt::{Everybody, Mounts},
        net::Rtnl,
        pid::{Family, PidNs},
        user::UserNs,
        uts::UtsNs,
    },
    nsproxy::NsProxy,
    rule::{Refusal, Refuse, Rule},
    sync::{Arc, Mutex},
    task::Task,
};
use alloc::{string::String, sync::Arc as StdArc, vec::Vec};

/// What differs from one kernel to the next.
#[derive(Clone, Debug)]
pub struct Config {
    /// The kernel version whose behaviour is meant, for the points where versions differ: since
    /// 6.2 execve(2) moves a task to the time namespace that waits for it, and one that shares
    /// memory can be born while one waits; since 6.14 there are securebits about scripts, and each
    /// pid namespace has a `pid_max`; since 6.17 execve(2) keeps ambient capabilities where real
    /// and effective ids differ but do not change, and an unbindable mount's copy is private.
    pub version: KernelVersion,
    /// The types of namespaces that are built into the kernel; the flags of the others are EINVAL
    /// ([`Rule::KindNotBuilt`](crate::Rule::KindNotBuilt)), and they have no links in
    /// `/proc/PID/ns`. Types that this crate has no room for ([`KindSet::ROOMS`]) are never built.
    pub built: KindSet,
    /// The inode number of the initial namespace of each type, by `Kind as usize`.
    pub initial_inodes: [u32; Kind::ALL.len()],
    /// The lowest number for other namespaces. Numbers are reused at once, lowest first; but threads
    /// that have wanted one at the same moment each go on with the lowest near their own.
    pub first_inode: u32,
    /// The initial value of each `/proc/sys/user/max_*_namespaces` in the initial user namespace.
    pub max_namespaces: u32,
    /// The hierarchies of cgroups, in the order in which `/proc/PID/cgroup` lists them. That of
    /// version 2 is there if it is not named.
    pub hierarchies: Vec<Hierarchy>,
    /// `pid_max` of the initial pid namespace: numbers are below it.
    pub pid_max: u32,
    /// Who says by which number a task is called.
    pub numbers: Numbers,
    /// The host name at the start.
    pub hostname: String,
    /// The NIS domain name at the start.
    pub domainname: String,
    /// How many mounts a namespace can hold (`/proc/sys/fs/mount-max`).
    pub mount_max: u32,
    /// What an unmapped user reads as.
    pub overflow_uid: u32,
    /// What an unmapped group reads as.
    pub overflow_gid: u32,
}

impl Default for Config {
    /// Linux 6.18 with every type that this crate has a room for, without a host name; limits as
    /// on a machine with 4 GiB of memory.
    fn default() -> Config {
        Config {
            version: KernelVersion::NEWEST,
            built: KindSet::ROOMS,
            initial_inodes: Kind::ALL_INITIAL_INODES,
            first_inode: 0xF000_0000,
            max_namespaces: 15_500,
            hierarchies: Vec::new(),
            pid_max: 4_194_304,
            numbers: Numbers::Own,
            hostname: String::from("(none)"),
            domainname: String::from("(none)"),
            mount_max: 100_000,
            overflow_uid: 65_534,
            overflow_gid: 65_534,
        }
    }
}

/// Who says by which number a task is called.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Numbers {
    /// The system, as the kernel does: the next free one at every level.
    #[default]
    Own,
    /// The embedder, for whom tasks have numbers already: at its birth
    /// ([`Newborn::commit_as`](crate::Newborn::commit_as)) or after it was met
    /// ([`Task::set_number`]) a task gets one number, by which it is called at every level; only
    /// the init of a namespace is called 1 there, and by the other number as well.
    ///
    /// Every rule about numbers holds as before. What they cannot do is choose: `set_tid`,
    /// `ns_last_pid` and `pid_max` are checked and have no effect.
    Given,
}

/// What every object of one system refers to. Holds no namespace, so that nothing keeps itself.
///
/// Aligned, so that what all read does not share a cache line with the count of references to it.
#[repr(align(64))]
pub(crate) struct Kernel {
    pub(crate) config: Config,
    /// The root of every hierarchy.
    pub(crate) cgroups: Arc<Cgroups>,
    events: Option<StdArc<dyn Events>>,
    inodes: Inodes,
    pub(crate) family: Mutex<Family>,
    /// Bytes of POSIX message queues: a user's in all ipc namespaces.
    pub(crate) mq_bytes: MqBytes,
    pub(crate) mounts: Mounts,
    pub(crate) everybody: Everybody,
    /// The devices and nsids of all network namespaces.
    pub(crate) rtnl: Mutex<Rtnl>,
}

impl Kernel {
    /// Tells the onlooker, if there is one.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        if let Some(events) = &self.events {
            events.event(event);
        }
    }

    /// Says whether there is an onlooker: what only it would be told need not be found out.
    pub(crate) fn is_watched(&self) -> bool {
        self.events.is_some()
    }

    /// Refuses a type that is not built in.
    pub(crate) fn built(&self, kind: Kind) -> Result<(), Refusal> {
        match self.config.built.contains(kind) {
            true => Ok(()),
            false => Err(Rule::KindNotBuilt.refuse().with("type", kind)),
        }
    }

    /// A number that nothing else of this system ever has.
    pub(crate) fn next_id(&self) -> u64 {
        self.inodes.next_id()
    }

    /// A number and an id for a namespace that is made from one with the number `near`.
    pub(crate) fn take_inode(&self, near: u32) -> (u32, u64) {
        self.inodes.take(near)
    }

    /// Where whatever is made from a namespace with the number `near` is counted.
    pub(crate) fn line(&self, near: u32) -> usize {
        self.inodes.line(near)
    }

    pub(crate) fn free_inode(&self, inode: u32) {
        self.inodes.free(inode);
    }
}

struct Root {
    kernel: Arc<Kernel>,
    user: Arc<UserNs>,
    proxy: Arc<NsProxy>,
}

/// One system: a kernel's worth of namespaces and tasks. Cheap to clone; all clones are the same.
///
/// It keeps its initial namespaces alive. Tasks and namespaces keep what they need themselves
/// and may outlive it.
#[derive(Clone)]
pub struct System {
    root: Arc<Root>,
}

impl System {
    /// Boots a system.
    pub fn new(config: Config) -> System {
        System::boot(config, None)
    }

    /// Boots a system with an onlooker.
    pub fn with_events(config: Config, events: StdArc<dyn Events>) -> System {
        System::boot(config, Some(events))
    }

    fn boot(mut config: Config, events: Option<StdArc<dyn Events>>) -> System {
        config.built = config.built.intersection(KindSet::ROOMS);
        let inodes = Inodes::new(config.first_inode);
        let cgroups = Arc::new(Cgroups::roots(&config.hierarchies));
        let numbers = config.numbers;
        let kernel = Arc::new(Kernel {
            config,
            cgroups,
            events,
            inodes,
            family: Mutex::new(Family::new(numbers)),
            mq_bytes: MqBytes::default(),
            mounts: Mounts::default(),
            everybody: Everybody::default(),
            rtnl: Mutex::default(),
        });
        let user = UserNs::initial(&kernel);
        let proxy = NsProxy::initial(&user);
        System { root: Arc::new(Root { kernel, user, proxy }) }
    }

    /// The configuration it was booted with.
    pub fn config(&self) -> &Config {
        &self.root.kernel.config
    }

    /// The initial user namespace.
    pub fn init_user(&self) -> Arc<UserNs> {
        Arc::clone(&self.root.user)
    }

    /// The initial UTS namespace.
    pub fn init_uts(&self) -> Arc<UtsNs> {
        Arc::clone(&self.root.proxy.uts)
    }

    /// The initial pid namespace.
    pub fn init_pid(&self) -> Arc<PidNs> {
        Arc::clone(&self.root.proxy.pid_for_children)
    }

    /// The initial namespaces of every type but user.
    pub fn init_nsproxy(&self) -> Arc<NsProxy> {
        Arc::clone(&self.root.proxy)
    }

    /// The root of a hierarchy of cgroups.
    pub fn cgroup_root(&self, hierarchy: u32) -> Option<StdArc<Cgroup>> {
        self.root.kernel.cgroups.of(hierarchy).cloned()
    }

    /// Meets a task that existed before: it is in the initial namespaces and the roots of all
    /// cgroup hierarchies, with the credentials given. As a thread it shares root directory, memory
    /// and signal handlers with `thread_of`; as a process nothing with anybody. It gets the next
    /// number of the initial pid namespace; whose child it is, and of which group and session,
    /// nobody says, so that is taken to be the init's there. It is reaped when the last reference
    /// to it goes. Where numbers are [`Numbers::Given`] it has none before [`Task::set_number`].
    pub fn adopt(&self, thread_of: Option<&StdArc<Task>>, cred: Cred) -> StdArc<Task> {
        Task::adopted(&self.root.kernel, thread_of, cred, self.init_nsproxy())
    }

    /// Counts the numbers in use in the initial pid namespace, its init's included: 1 when there is
    /// no task and no zombie. For tests and leak checks.
    pub fn numbers_in_use(&self) -> usize {
        self.root.kernel.family.lock().numbers_in_use(&self.root.proxy.pid_for_children)
    }

    pub(crate) fn kernel(&self) -> &Arc<Kernel> {
        &self.root.kernel
    }

    /// Counts the namespaces alive beside the initial ones. For tests and leak checks.
    pub fn namespaces_alive(&self) -> usize {
        self.root.kernel.inodes.used()
    }
}

impl core::fmt::Debug for System {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("System").field("namespaces_alive", &self.namespaces_alive()).finish()
    }
}
