//! One handler a call. [`crate::table`] says which calls have one.

pub(crate) mod caps;
pub(crate) mod chown;
pub(crate) mod exec;
pub(crate) mod ids;
pub(crate) mod ioctl;
pub(crate) mod namespaces;
pub(crate) mod open;
pub(crate) mod prctl;
pub(crate) mod process;
pub(crate) mod readlink;
pub(crate) mod signal;
pub(crate) mod stat;
pub(crate) mod uts;
