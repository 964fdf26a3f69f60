//! The nsproxy: one object that names a namespace of each type, and the one function that puts
//! another one in its place on a running task.
//!
//! An `NsProxy` is never edited once a task points to it. It is not keyed and not shared by
//! content: tasks share one only by being forked. The user namespace is not in it (it belongs to
//! the credentials).

use crate::{
    CloneFlags, Kind, KindSet, Link,
    events::{Event, Ids, Way},
    namespace::{
        Draft, Maker, Namespace, Number, cgroup::CgroupNs, ipc::IpcNs, mnt::MntNs, net::NetNs,
        pid::PidNs, time::TimeNs, user::UserNs, uts::UtsNs,
    },
    rule::Refusal,
    sync::Arc,
    task::Task,
};
use core::fmt;

/// Makes [`NsProxy`] and [`AnyNamespace`], and everything that must name each type.
///
/// A row: the type, its room, and the slots that it has in an `NsProxy`, each with the link that
/// shows it. clone(2) and unshare(2) fill the first slot, and copy what was in it.
macro_rules! rooms {
    ($($kind:ident $room:ty =>
        $(#[$doc:meta])* $slot:ident: $link:ident
        $(, $(#[$more_doc:meta])* $more:ident: $more_link:ident)*;
    )*) => {
        impl KindSet {
            /// The types that this crate has a room for.
            pub const ROOMS: KindSet = KindSet::of(&[Kind::User, $(Kind::$kind),*]);
        }

        /// One namespace of each type (`struct nsproxy`).
        #[derive(Clone)]
        pub struct NsProxy {
            $(
                $(#[$doc])* pub $slot: Arc<$room>,
                $($(#[$more_doc])* pub $more: Arc<$room>,)*
            )*
        }

        impl NsProxy {
            /// That of a system's first task.
            pub(crate) fn initial(user: &Arc<UserNs>) -> Arc<NsProxy> {
                $(let $slot = <$room>::initial(user); $(let $more = Arc::clone(&$slot);)*)*
                Arc::new(NsProxy { $($slot, $($more,)*)* })
            }

            /// A copy of `old` with new namespaces where `flags` ask for them
            /// (`create_new_namespaces`). On failure those already made are dropped.
            pub(crate) fn create(
                old: &NsProxy,
                flags: CloneFlags,
                maker: &Maker<'_>,
            ) -> Result<NsProxy, Refusal> {
                let mut new = old.clone();
                for kind in Kind::CREATION_ORDER {
                    if !flags.contains(kind.flag()) {
                        continue;
                    }
                    maker.kernel.built(kind)?;
                    $(if kind == Kind::$kind {
                        new.$slot = <$room>::copy(&old.$slot, maker)?;
                    })*
                }
                Ok(new)
            }

            /// The namespace that a link leads to, if the `nsproxy` holds it (`user` belongs to
            /// the credentials, `pid` to the task) and the type is built in.
            pub fn get(&self, link: impl Into<Link>) -> Option<AnyNamespace> {
                let namespace = match link.into() {
                    $(
                        Link::$link => AnyNamespace::$kind(Arc::clone(&self.$slot)),
                        $(Link::$more_link => AnyNamespace::$kind(Arc::clone(&self.$more)),)*
                    )*
                    _ => return None,
                };
                self.built().contains(namespace.kind()).then_some(namespace)
            }

            /// Its namespaces' numbers.
            pub fn ids(&self) -> Ids {
                let mut ids = Ids::default();
                let built = self.built();
                let mut set = |link: Link, number: &Number| {
                    if built.contains(link.kind()) {
                        ids.set(link, number.inode());
                    }
                };
                $(
                    set(Link::$link, self.$slot.number());
                    $(set(Link::$more_link, self.$more.number());)*
                )*
                ids
            }

            /// Tells the namespaces that a task is about to be in, and was not in `before`, that
            /// it comes.
            pub(crate) fn entered(&self, before: Option<&NsProxy>) {
                $(
                    let stays = before.is_some_and(|old| Arc::ptr_eq(&self.$slot, &old.$slot));
                    if !stays && !Link::$link.is_for_children() {
                        self.$slot.entered();
                    }
                    $(
                        let stays = before.is_some_and(|old| Arc::ptr_eq(&self.$more, &old.$more));
                        if !stays && !Link::$more_link.is_for_children() {
                            self.$more.entered();
                        }
                    )*
                )*
            }
        }

        /// A namespace of any type: what a descriptor of `/proc/PID/ns` stands for. Holding one
        /// keeps the namespace alive.
        #[derive(Clone)]
        #[non_exhaustive]
        pub enum AnyNamespace {
            /// A user namespace.
            User(Arc<UserNs>),
            $(#[doc = concat!("A ", stringify!($kind), " namespace.")] $kind(Arc<$room>),)*
        }

        impl AnyNamespace {
            fn number(&self) -> &Number {
                match self {
                    AnyNamespace::User(ns) => ns.number(),
                    $(AnyNamespace::$kind(ns) => ns.number(),)*
                }
            }

            /// Its type.
            pub fn kind(&self) -> Kind {
                match self {
                    AnyNamespace::User(_) => Kind::User,
                    $(AnyNamespace::$kind(_) => Kind::$kind,)*
                }
            }

            /// The user namespace that owns it; a user namespace's parent.
            pub fn owner(&self) -> Option<Arc<UserNs>> {
                match self {
                    AnyNamespace::User(ns) => ns.belongs_to().cloned(),
                    $(AnyNamespace::$kind(ns) => ns.belongs_to().cloned(),)*
                }
            }

            /// The namespace above it, if `by` may get hold of it.
            pub(crate) fn above(&self, by: &Task) -> Result<Option<AnyNamespace>, Refusal> {
                match self {
                    AnyNamespace::User(ns) => Ok(ns.above(by)?.map(AnyNamespace::User)),
                    $(AnyNamespace::$kind(ns) => Ok(ns.above(by)?.map(AnyNamespace::$kind)),)*
                }
            }

            pub(crate) fn install(&self, draft: &mut Draft<'_>) -> Result<(), Refusal> {
                match self {
                    AnyNamespace::User(ns) => UserNs::install(ns, draft),
                    $(AnyNamespace::$kind(ns) => <$room>::install(ns, draft),)*
                }
            }
        }
    };
}

rooms! {
    Mnt MntNs =>
        /// The mount namespace.
        mnt: Mnt;
    Uts UtsNs =>
        /// The UTS namespace: host name and NIS domain name.
        uts: Uts;
    Cgroup CgroupNs =>
        /// The cgroup namespace: where the tree of cgroups seems to begin.
        cgroup: Cgroup;
    Time TimeNs =>
        /// The time namespace that the task's children will be born in, and itself be in after an
        /// execve(2).
        time_for_children: TimeForChildren,
        /// The time namespace that the task is in.
        time: Time;
    Pid PidNs =>
        /// The pid namespace that the task's next child processes are born in. Its own is
        /// [`Task::pid_ns`].
        pid_for_children: PidForChildren;
    Ipc IpcNs =>
        /// The IPC namespace: System V objects and POSIX message queues.
        ipc: Ipc;
    Net NetNs =>
        /// The network namespace: devices, ports, abstract names.
        net: Net;
}

impl NsProxy {
    /// The types that are built in: the others' initial namespaces exist all the same, but nobody
    /// gets to see them.
    fn built(&self) -> KindSet {
        self.net.kernel().config.built
    }
}

impl AnyNamespace {
    /// Its inode number.
    pub fn inode(&self) -> u32 {
        self.number().inode()
    }

    /// An id that no other namespace of the system ever has.
    pub fn id(&self) -> u64 {
        self.number().id()
    }
}

impl PartialEq for AnyNamespace {
    fn eq(&self, other: &AnyNamespace) -> bool {
        self.id() == other.id()
    }
}

impl Eq for AnyNamespace {}

/// `uts:[4026531838]`, the text of its link in `/proc/PID/ns`.
impl fmt::Display for AnyNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:[{}]", self.kind().name(), self.inode())
    }
}

impl fmt::Debug for AnyNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for NsProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NsProxy({})", self.ids())
    }
}

/// Moves `task` from its namespaces to `new`, or to none, and hands back the old object.
///
/// The new object is complete before anybody can see it. The caller drops the old one outside
/// every lock but the task's own change lock, and with it every namespace that it was the last to
/// name. The caller holds that lock, or is the only one who knows the task.
#[must_use = "the old object is dropped after the switch was reported"]
pub(crate) fn switch_task_namespaces(
    task: &Task,
    new: Option<Arc<NsProxy>>,
) -> Option<Arc<NsProxy>> {
    if let Some(new) = &new {
        new.entered(task.nsproxy().as_deref());
    }
    task.assign_nsproxy(new)
}

/// Where a task is before a switch, if anybody will be told.
pub(crate) fn watched_ids(task: &Task) -> Option<Ids> {
    task.kernel.is_watched().then(|| task.ids())
}

/// Tells the onlooker where a task was and is.
pub(crate) fn report_switch(task: &Task, way: Way, old: Option<Ids>) {
    let Some(old) = old else { return };
    let (id, tag, new) = (task.id(), task.tag(), task.ids());
    task.kernel.tell(&Event::Switched { task: id, tag, way, old, new });
}

/// Takes all namespaces from a task that exits or was never born: the switch to none.
pub(crate) fn exit_task_namespaces(task: &Task, way: Way) {
    let before = watched_ids(task);
    let Some(old) = switch_task_namespaces(task, None) else { return };
    report_switch(task, way, before);
    drop(old);
}
