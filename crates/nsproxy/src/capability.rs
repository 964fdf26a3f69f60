//! Capabilities, and the one question about them: does this credential hold that capability in
//! that user namespace?

use crate::{cred::Cred, namespace::user::UserNs};
use core::fmt;

macro_rules! capabilities {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        /// One capability, `CAP_*`. Its number is its bit in a [`CapSet`].
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct Cap(u8);

        impl Cap {
            $(#[doc = concat!("`CAP_", stringify!($name), "`: ", $text, ".")]
              pub const $name: Cap = Cap($number);)*

            /// Every capability, in order of number.
            pub const ALL: &'static [Cap] = &[$(Cap::$name),*];

            /// The name without its prefix: `SYS_ADMIN`.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($number => stringify!($name),)*
                    _ => "",
                }
            }
        }
    };
}

capabilities! {
    CHOWN = 0, "change owners of files";
    DAC_OVERRIDE = 1, "ignore file modes";
    DAC_READ_SEARCH = 2, "read any file, search any directory";
    FOWNER = 3, "act as the owner of any file";
    FSETID = 4, "keep set-id bits on change";
    KILL = 5, "signal any process";
    SETGID = 6, "become any group";
    SETUID = 7, "become any user";
    SETPCAP = 8, "shrink the bounding set, change securebits";
    LINUX_IMMUTABLE = 9, "change immutable and append-only flags";
    NET_BIND_SERVICE = 10, "bind ports below 1024";
    NET_BROADCAST = 11, "unused";
    NET_ADMIN = 12, "administer the network";
    NET_RAW = 13, "raw and packet sockets";
    IPC_LOCK = 14, "lock memory";
    IPC_OWNER = 15, "ignore modes of System V objects";
    SYS_MODULE = 16, "load kernel modules";
    SYS_RAWIO = 17, "raw input and output";
    SYS_CHROOT = 18, "change the root, join mount namespaces";
    SYS_PTRACE = 19, "trace any process";
    SYS_PACCT = 20, "process accounting";
    SYS_ADMIN = 21, "administer the system, and everything else";
    SYS_BOOT = 22, "reboot";
    SYS_NICE = 23, "raise priorities";
    SYS_RESOURCE = 24, "exceed resource limits";
    SYS_TIME = 25, "set the clock";
    SYS_TTY_CONFIG = 26, "configure terminals";
    MKNOD = 27, "make device files";
    LEASE = 28, "lease any file";
    AUDIT_WRITE = 29, "write audit records";
    AUDIT_CONTROL = 30, "control auditing";
    SETFCAP = 31, "give files capabilities, map user 0";
    MAC_OVERRIDE = 32, "ignore mandatory access control";
    MAC_ADMIN = 33, "configure mandatory access control";
    SYSLOG = 34, "read the kernel log";
    WAKE_ALARM = 35, "set wake alarms";
    BLOCK_SUSPEND = 36, "keep the system awake";
    AUDIT_READ = 37, "read the audit log";
    PERFMON = 38, "monitor performance";
    BPF = 39, "use BPF";
    CHECKPOINT_RESTORE = 40, "checkpoint and restore";
}

impl Cap {
    /// The capability of that number, if there is one.
    pub fn from_number(number: u64) -> Option<Cap> {
        usize::try_from(number).ok().and_then(|n| Cap::ALL.get(n)).copied()
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CAP_{}", self.name())
    }
}

impl fmt::Debug for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A set of capabilities: bit *n* is capability number *n*.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CapSet(pub u64);

impl CapSet {
    /// None.
    pub const EMPTY: CapSet = CapSet(0);
    /// Every capability there is.
    pub const FULL: CapSet = CapSet((1 << Cap::ALL.len()) - 1);
    /// Those about files, which follow the file-system user id.
    pub const FILES: CapSet = CapSet::EMPTY
        .with(Cap::CHOWN)
        .with(Cap::DAC_OVERRIDE)
        .with(Cap::DAC_READ_SEARCH)
        .with(Cap::FOWNER)
        .with(Cap::FSETID)
        .with(Cap::LINUX_IMMUTABLE)
        .with(Cap::MKNOD)
        .with(Cap::MAC_OVERRIDE);

    /// Says whether it holds `cap`.
    pub const fn has(self, cap: Cap) -> bool {
        self.0 & (1 << cap.0) != 0
    }

    /// It and `cap`.
    #[must_use]
    pub const fn with(self, cap: Cap) -> CapSet {
        CapSet(self.0 | (1 << cap.0))
    }

    /// It without `cap`.
    #[must_use]
    pub const fn without(self, cap: Cap) -> CapSet {
        CapSet(self.0 & !(1 << cap.0))
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: CapSet) -> CapSet {
        CapSet(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: CapSet) -> CapSet {
        CapSet(self.0 & other.0)
    }

    /// What is in it and not in `other`.
    #[must_use]
    pub const fn difference(self, other: CapSet) -> CapSet {
        CapSet(self.0 & !other.0)
    }

    /// Says whether all of it is in `other`.
    pub const fn is_subset(self, other: CapSet) -> bool {
        self.0 & !other.0 == 0
    }

    /// Says whether it holds nothing.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The one of the lowest number.
    pub fn first(self) -> Option<Cap> {
        self.iter().next()
    }

    /// Its capabilities in order of number.
    pub fn iter(self) -> impl Iterator<Item = Cap> {
        Cap::ALL.iter().copied().filter(move |cap| self.has(*cap))
    }
}

impl FromIterator<Cap> for CapSet {
    fn from_iter<I: IntoIterator<Item = Cap>>(caps: I) -> CapSet {
        caps.into_iter().fold(CapSet::EMPTY, CapSet::with)
    }
}

/// As `/proc/PID/status` prints it: 16 hexadecimal digits.
impl fmt::Display for CapSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for CapSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Says whether `cred` holds `cap` in the user namespace `ns`.
///
/// Walking up from `ns`: in the credential's own user namespace its effective set decides; a user
/// namespace whose parent is the credential's and whose owner has its *effective* user id is its
/// own child, and it holds everything there. So capabilities reach downwards only, and the maker
/// of a user namespace holds all of them in it without having any (user_namespaces(7)).
pub fn ns_capable(cred: &Cred, ns: &UserNs, cap: Cap) -> bool {
    let mut at = ns;
    loop {
        if *at == *cred.user {
            return cred.effective.has(cap);
        }
        if at.level() <= cred.user.level() {
            return false;
        }
        let Some(parent) = at.parent_ref() else { return false };
        if **parent == *cred.user && at.owner().0 == cred.euid {
            return true;
        }
        at = parent;
    }
}

/// Says whether `cred` holds `cap` in the initial user namespace.
pub fn capable(cred: &Cred, cap: Cap) -> bool {
    cred.user.is_initial() && cred.effective.has(cap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn every_capability_has_its_number_as_its_place() {
        for (n, cap) in Cap::ALL.iter().enumerate() {
            assert_eq!(cap.number() as usize, n);
            assert!(!cap.name().is_empty());
        }
        assert_eq!(CapSet::FULL.to_string(), "000001ffffffffff");
        assert_eq!(Cap::from_number(21), Some(Cap::SYS_ADMIN));
        assert_eq!(Cap::from_number(41), None);
    }

    #[test]
    fn sets_behave_as_sets() {
        let set: CapSet = [Cap::KILL, Cap::CHOWN].into_iter().collect();
        assert!(set.has(Cap::KILL) && !set.has(Cap::FOWNER));
        assert!(set.without(Cap::KILL).is_subset(set));
        assert_eq!(set.iter().count(), 2);
    }
}
