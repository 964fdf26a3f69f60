//! Kernel versions, for the points where they differ.

use core::fmt;

/// A version of Linux: `6.18`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct KernelVersion {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
}

impl KernelVersion {
    /// The newest version whose behaviour the crate knows, and the default.
    pub const NEWEST: KernelVersion = KernelVersion::new(6, 18);

    /// The version of these numbers.
    pub const fn new(major: u16, minor: u16) -> KernelVersion {
        KernelVersion { major, minor }
    }

    /// Says whether it is `first` or a later one: whether it has what came with `first`.
    pub const fn since(self, first: KernelVersion) -> bool {
        self.major > first.major || (self.major == first.major && self.minor >= first.minor)
    }
}

impl Default for KernelVersion {
    fn default() -> KernelVersion {
        KernelVersion::NEWEST
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::KernelVersion;
    use alloc::string::ToString;

    #[test]
    fn versions_are_ordered_by_number_and_not_by_text() {
        let v = KernelVersion::new;
        assert!(v(6, 18).since(v(6, 9)) && v(6, 9).since(v(6, 9)) && v(7, 0).since(v(6, 18)));
        assert!(!v(5, 19).since(v(6, 1)) && !v(6, 1).since(v(6, 18)));
        assert!(v(6, 18) > v(6, 9));
        assert_eq!(v(6, 18).to_string(), "6.18");
    }
}
