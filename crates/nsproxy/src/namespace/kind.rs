//! The names of things: the eight types of namespaces, sets of them, and the links of
//! `/proc/PID/ns`.

use crate::CloneFlags;
use core::fmt;

macro_rules! kinds {
    ($($name:ident $text:literal $flag:ident $initial:literal;)*) => {
        /// The eight types of namespaces.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum Kind {
            $(#[doc = concat!("`", $text, "`, made with `CLONE_", stringify!($flag), "`.")] $name,)*
        }

        impl Kind {
            /// All eight.
            pub const ALL: &'static [Kind] = &[$(Kind::$name),*];

            /// The inode numbers of the initial namespaces, by `Kind as usize`.
            pub(crate) const ALL_INITIAL_INODES: [u32; Kind::ALL.len()] = [$($initial),*];

            /// The flag that asks for a new one, and names it to setns(2).
            pub const fn flag(self) -> CloneFlags {
                match self { $(Kind::$name => CloneFlags::$flag,)* }
            }

            /// Its name in `/proc/PID/ns`.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$name => $text,)* }
            }

            /// The link to the namespace of this type that a task is in.
            pub const fn link(self) -> Link {
                match self { $(Kind::$name => Link::$name,)* }
            }
        }
    };
}

kinds! {
    // name, /proc name, flag, initial inode number
    Uts    "uts"    NEWUTS    4026531838;
    Ipc    "ipc"    NEWIPC    4026531839;
    Mnt    "mnt"    NEWNS     4026531832;
    Pid    "pid"    NEWPID    4026531836;
    Net    "net"    NEWNET    4026531833;
    User   "user"   NEWUSER   4026531837;
    Cgroup "cgroup" NEWCGROUP 4026531835;
    Time   "time"   NEWTIME   4026531834;
}

impl Kind {
    /// The order in which one call makes several: the first failure is the one reported.
    /// User namespaces come before all of these, with the credentials.
    pub const CREATION_ORDER: [Kind; 7] =
        [Kind::Mnt, Kind::Uts, Kind::Ipc, Kind::Pid, Kind::Cgroup, Kind::Net, Kind::Time];

    /// The order in which one setns(2) joins several.
    pub const JOIN_ORDER: [Kind; 8] = [
        Kind::User,
        Kind::Mnt,
        Kind::Uts,
        Kind::Ipc,
        Kind::Pid,
        Kind::Cgroup,
        Kind::Net,
        Kind::Time,
    ];

    /// The type that a single flag names.
    pub fn of_flag(flag: CloneFlags) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.flag() == flag)
    }

    /// The type of a name as in `/proc/PID/ns`.
    pub fn by_name(name: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of types.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct KindSet(u8);

impl KindSet {
    /// None of them.
    pub const EMPTY: KindSet = KindSet(0);
    /// All eight.
    pub const ALL: KindSet = KindSet(0xff);

    /// The types named.
    pub const fn of(kinds: &[Kind]) -> KindSet {
        let (mut set, mut n) = (0, 0);
        while n < kinds.len() {
            set |= 1 << kinds[n] as u8;
            n += 1;
        }
        KindSet(set)
    }

    /// Says whether `kind` is one of them.
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Says whether all of them are in `other`.
    pub const fn is_subset(self, other: KindSet) -> bool {
        self.0 & !other.0 == 0
    }

    /// Those in either.
    pub const fn union(self, other: KindSet) -> KindSet {
        KindSet(self.0 | other.0)
    }

    /// Those in both.
    pub const fn intersection(self, other: KindSet) -> KindSet {
        KindSet(self.0 & other.0)
    }

    /// Those that are not in `other`.
    pub const fn difference(self, other: KindSet) -> KindSet {
        KindSet(self.0 & !other.0)
    }

    /// Says whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Goes through them in the order of [`Kind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.iter().copied().filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<Kind> for KindSet {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> KindSet {
        kinds.into_iter().fold(KindSet::EMPTY, |set, kind| set.union(KindSet::of(&[kind])))
    }
}

/// `uts user`.
impl fmt::Display for KindSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for kind in self.iter() {
            write!(f, "{separator}{kind}")?;
            separator = " ";
        }
        Ok(())
    }
}

impl fmt::Debug for KindSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

macro_rules! links {
    ($($(#[$doc:meta])* $name:ident $text:literal $kind:ident;)*) => {
        /// The links of `/proc/PID/ns`, in the order in which the directory lists them.
        ///
        /// A type has one, and two types have a second for what the task's children will be born
        /// in. The kernel's `nsproxy` names what the links lead to, with two exceptions: `user`
        /// belongs to the credentials, `pid` to the task and never changes.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum Link {
            $($(#[$doc])* $name,)*
        }

        impl Link {
            /// All ten.
            pub const ALL: &'static [Link] = &[$(Link::$name),*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Link::$name => $text,)* }
            }

            /// The type of what it leads to.
            pub const fn kind(self) -> Kind {
                match self { $(Link::$name => Kind::$kind,)* }
            }
        }
    };
}

links! {
    /// The network namespace the task is in.
    Net "net" Net;
    /// The UTS namespace the task is in.
    Uts "uts" Uts;
    /// The IPC namespace the task is in.
    Ipc "ipc" Ipc;
    /// The pid namespace the task was born in.
    Pid "pid" Pid;
    /// The pid namespace its next child processes are born in.
    PidForChildren "pid_for_children" Pid;
    /// The user namespace of its credentials.
    User "user" User;
    /// The mount namespace the task is in.
    Mnt "mnt" Mnt;
    /// The cgroup namespace the task is in.
    Cgroup "cgroup" Cgroup;
    /// The time namespace the task is in.
    Time "time" Time;
    /// The time namespace its next child processes are born in, and itself from execve(2) on.
    TimeForChildren "time_for_children" Time;
}

impl Link {
    /// Says whether it leads to what children will be in, not the task itself.
    pub const fn is_for_children(self) -> bool {
        matches!(self, Link::PidForChildren | Link::TimeForChildren)
    }

    /// The link of this name.
    pub fn by_name(name: &str) -> Option<Link> {
        Link::ALL.iter().copied().find(|link| link.name() == name)
    }
}

impl From<Kind> for Link {
    fn from(kind: Kind) -> Link {
        kind.link()
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set = KindSet::of(&[Kind::User, Kind::Uts]);
        assert_eq!(set.to_string(), "uts user");
        assert!(set.contains(Kind::User) && !set.contains(Kind::Time));
        assert_eq!(KindSet::ALL.iter().collect::<KindSet>(), KindSet::ALL);
        assert_eq!(KindSet::ALL.difference(set).iter().count(), 6);
        assert!(set.is_subset(KindSet::ALL) && !KindSet::ALL.is_subset(set));
        assert!(KindSet::EMPTY.is_empty());
    }

    #[test]
    fn every_type_has_the_link_of_its_name() {
        for kind in Kind::ALL.iter().copied() {
            assert_eq!((kind.link().name(), kind.link().kind()), (kind.name(), kind));
        }
        for link in Link::ALL.iter().copied() {
            let name = link.kind().name().to_string();
            let children = name.clone() + "_for_children";
            assert_eq!(link.name(), if link.is_for_children() { &children } else { &name });
            assert_eq!(Link::by_name(link.name()), Some(link));
        }
    }
}
