//! The table of rules: cgroup namespaces.

macro_rules! cgroup {
    ($left:tt $($rows:tt)*) => { $crate::rule::table::collect! { $left $($rows)*

    // ---- cgroup -----------------------------------------------------------------------------

    CloneCgroupOther => EBADF,
        "with INTO_CGROUP the descriptor must be of a cgroup of version 2",
        "Nothing else can hold the child. Cgroups of version 1 are one for each controller.",
        calls: ["clone3"], manual: ["clone(2)"],
        kernel: "since 5.7; looked at after the namespaces are made";

    CloneCgroupRemoved => ENOENT,
        "with INTO_CGROUP the cgroup must not have been removed",
        "A descriptor outlives its directory.",
        calls: ["clone3"], manual: ["clone(2)"], kernel: "since 5.7; the manual has no such error";

    CloneCgroupNeedsWrite => EACCES,
        "INTO_CGROUP needs write permission for cgroup.procs in the cgroup, and in the nearest one that holds it and the caller",
        "The child moves as if it had been written there.",
        calls: ["clone3"], manual: ["clone(2)", "cgroups(7)"], kernel: "since 5.7";

    } };
}
pub(super) use cgroup;
