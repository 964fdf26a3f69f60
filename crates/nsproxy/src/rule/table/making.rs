//! The table of rules: every call, and making namespaces.

macro_rules! making {
    ($left:tt $($rows:tt)*) => { $crate::rule::table::collect! { $left $($rows)*

    // ---- every call ------------------------------------------------------------------------

    CallerExited => ESRCH,
        "the caller must still be alive",
        "A task that has exited has no namespaces to change. The kernel never meets this: the call runs in the task. An embedder can, when it learns of a death while it serves the call.",
        calls: ["clone", "unshare", "setns"], manual: [];

    // ---- making namespaces: clone(2) and unshare(2) ----------------------------------------

    NamespaceNeedsAdmin => EPERM,
        "making a namespace other than a user namespace needs CAP_SYS_ADMIN in the user namespace that will own it",
        "A set-user-ID program must not find itself in surroundings that its caller arranged. Asking for a new user namespace in the same call satisfies the rule, because its maker holds every capability in it.",
        calls: ["clone", "clone3", "unshare"], manual: ["namespaces(7)", "clone(2)", "unshare(2)"];

    KindNotBuilt => EINVAL,
        "the type of namespace must be built into the kernel",
        "A kernel configured without a type knows its flag and refuses it. Types are made in the order mnt, uts, ipc, pid, cgroup, net, time; the first failure is the one reported.",
        calls: ["clone", "clone3", "unshare", "setns"], manual: ["clone(2)", "unshare(2)", "setns(2)"];

    LimitReached => ENOSPC,
        "every user namespace from the new namespace's owner up to the initial one must have room below its limit",
        "Namespaces cost kernel memory, and anybody can make them inside a user namespace. Each is counted against its maker's user in the owner, and at every level above against the maker of the user namespace below.",
        calls: ["clone", "clone3", "unshare"], manual: ["namespaces(7)", "user_namespaces(7)"],
        kernel: "since 4.9; the count is taken before anything old is released, so a limit of 1 stops a second unshare";

    UserNestedTooDeep => ENOSPC,
        "a user namespace can be at most 33 levels below the initial one",
        "Capability checks walk up the levels, so the walk must be short.",
        calls: ["clone", "clone3", "unshare"], manual: ["user_namespaces(7)"],
        kernel: "the manual says 32; 33 were made on 6.18 (EUSERS before 4.9)";

    UserRootChanged => EPERM,
        "the maker of a user namespace must not be in a chroot",
        "Otherwise the full capabilities inside would let it call chroot(2) again, and leave.",
        calls: ["clone", "clone3", "unshare"], manual: ["clone(2)", "unshare(2)"],
        kernel: "since 3.9";

    UserIdsUnmapped => EPERM,
        "the maker's effective user and group ids must be mapped in its user namespace",
        "They become the owner of the new namespace; an owner that has no number in the parent could not be judged there.",
        calls: ["clone", "clone3", "unshare"], manual: ["clone(2)", "unshare(2)"],
        kernel: "since 3.9";

    } };
}
pub(super) use making;
