//! Ids: what the kernel stores, as opposed to what a process in some user namespace sees.

use core::fmt;

macro_rules! kernel_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub u32);

        impl $name {
            /// The super-user of the initial user namespace.
            pub const ROOT: $name = $name(0);
            /// No id: what an unmapped number translates to. Equal to no valid id.
            pub const INVALID: $name = $name(u32::MAX);

            /// Says whether this is an id at all.
            pub const fn is_valid(self) -> bool {
                self.0 != u32::MAX
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($what, " {}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

kernel_id! {
    /// A user id in the numbering of the initial user namespace (`kuid_t`). What a process reads
    /// is this seen through its user namespace's map.
    Kuid, "kuid"
}
kernel_id! {
    /// A group id in the numbering of the initial user namespace (`kgid_t`).
    Kgid, "kgid"
}
