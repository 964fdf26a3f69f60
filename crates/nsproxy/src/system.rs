//! One "kernel": its configuration, its initial namespaces, its inode numbers, its onlooker.

use crate::{
    KernelVersion, Kind, KindSet,
    cred::Cred,
    events::{Event, Events},
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
use alloc::{collections::BinaryHeap, string::String, sync::Arc as StdArc, vec::Vec};
use core::cmp::Reverse;
use core::sync::atomic::{AtomicU64, Ordering};

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
    /// The lowest number for other namespaces. Numbers are reused at once, lowest first.
    pub first_inode: u32,
    /// The initial value of each `/proc/sys/user/max_*_namespaces` in the initial user namespace.
    pub max_namespaces: u32,
    /// The hierarchies of cgroups, in the order in which `/proc/PID/cgroup` lists them. That of
    /// version 2 is there if it is not named.
    pub hierarchies: Vec<Hierarchy>,
    /// `pid_max` of the initial pid namespace: numbers are below it.
    pub pid_max: u32,
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
            hostname: String::from("(none)"),
            domainname: String::from("(none)"),
            mount_max: 100_000,
            overflow_uid: 65_534,
            overflow_gid: 65_534,
        }
    }
}

/// What every object of one system refers to. Holds no namespace, so that nothing keeps itself.
pub(crate) struct Kernel {
    pub(crate) config: Config,
    /// The root of every hierarchy.
    pub(crate) cgroups: Arc<Cgroups>,
    events: Option<StdArc<dyn Events>>,
    inodes: Mutex<Inodes>,
    pub(crate) family: Mutex<Family>,
    next_id: AtomicU64,
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

    /// Refuses a type that is not built in.
    pub(crate) fn built(&self, kind: Kind) -> Result<(), Refusal> {
        match self.config.built.contains(kind) {
            true => Ok(()),
            false => Err(Rule::KindNotBuilt.refuse().with("type", kind)),
        }
    }

    /// A number that nothing else of this system ever has.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn take_inode(&self) -> u32 {
        self.inodes.lock().take()
    }

    pub(crate) fn free_inode(&self, inode: u32) {
        self.inodes.lock().free(inode);
    }

    /// How many inode numbers are in use beside the initial namespaces'.
    fn inodes_used(&self) -> usize {
        let inodes = self.inodes.lock();
        (inodes.next - inodes.first) as usize - inodes.freed.len()
    }
}

/// The lowest free number first, as the kernel's allocator gives them out.
struct Inodes {
    first: u32,
    next: u32,
    freed: BinaryHeap<Reverse<u32>>,
}

impl Inodes {
    fn take(&mut self) -> u32 {
        if let Some(Reverse(inode)) = self.freed.pop() {
            return inode;
        }
        let inode = self.next;
        self.next = self.next.saturating_add(1);
        inode
    }

    fn free(&mut self, inode: u32) {
        // Initial namespaces have numbers outside the pool.
        if (self.first..self.next).contains(&inode) {
            self.freed.push(Reverse(inode));
        }
        if self.freed.len() == (self.next - self.first) as usize {
            self.freed.clear();
            self.next = self.first;
        }
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
        let first = config.first_inode;
        let inodes = Inodes { first, next: first, freed: BinaryHeap::new() };
        let cgroups = Arc::new(Cgroups::roots(&config.hierarchies));
        let kernel = Arc::new(Kernel {
            config,
            cgroups,
            events,
            inodes: Mutex::new(inodes),
            family: Mutex::default(),
            next_id: AtomicU64::new(1),
            mq_bytes: MqBytes::default(),
            mounts: Mounts::default(),
            everybody: Everybody::default(),
            rtnl: Mutex::default(),
        });
        let user = UserNs::initial(&kernel);
        let proxy = NsProxy::initial(&kernel, &user);
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
    /// to it goes.
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
        self.root.kernel.inodes_used()
    }
}

impl core::fmt::Debug for System {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("System").field("namespaces_alive", &self.namespaces_alive()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn inode_numbers_are_the_lowest_free_ones() {
        let mut inodes = Inodes { first: 10, next: 10, freed: BinaryHeap::new() };
        assert_eq!([inodes.take(), inodes.take(), inodes.take()], [10, 11, 12]);
        inodes.free(11);
        inodes.free(10);
        inodes.free(4); // an initial one
        assert_eq!([inodes.take(), inodes.take(), inodes.take()], [10, 11, 13]);
    }
}
