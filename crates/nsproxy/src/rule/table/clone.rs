//! The table of rules: clone(2) and clone3(2).

macro_rules! clone {
    ($left:tt $($rows:tt)*) => { $crate::rule::table::collect! { $left $($rows)*

    // ---- clone3(2)'s argument block --------------------------------------------------------

    CloneBlockTooLarge => E2BIG,
        "the argument block must not be larger than a page",
        "No kernel will ever know that many fields.",
        calls: ["clone3"], manual: ["clone(2)"];

    CloneBlockTooSmall => EINVAL,
        "the argument block must hold at least the 64 bytes of its first version",
        "The first version of the call had this size.",
        calls: ["clone3"], manual: ["clone(2)"];

    CloneBlockTailUsed => E2BIG,
        "fields that this kernel does not know must be zero",
        "A newer program learns that what it asks for is unknown here, instead of not getting it.",
        calls: ["clone3"], manual: ["clone(2)"];

    CloneSetTidTooMany => EINVAL,
        "at most 32 process numbers can be chosen",
        "There are no more levels of pid namespaces below the initial one.",
        calls: ["clone3"], manual: ["clone(2)"], kernel: "since 5.5";

    CloneSetTidHalfGiven => EINVAL,
        "set_tid and set_tid_size must both be zero or both be given",
        "One without the other is a mistake.",
        calls: ["clone3"], manual: ["clone(2)"], kernel: "since 5.5";

    CloneExitSignalInvalid => EINVAL,
        "the exit signal must be 0 to 64",
        "There are no other signals.",
        calls: ["clone3"], manual: ["clone(2)"];

    CloneCgroupInvalid => EINVAL,
        "with INTO_CGROUP the block must hold a descriptor in its cgroup field",
        "The field came with the third version of the block; a descriptor is at most 2147483647.",
        calls: ["clone3"], manual: ["clone(2)"], kernel: "since 5.7";

    // ---- flags of clone(2) and clone3(2) ---------------------------------------------------

    CloneFlagUnknown => EINVAL,
        "clone3 knows no such flag",
        "Unknown bits are refused so that they can get a meaning later; so are DETACHED, which had one, and the bits of clone's exit signal, which has its own field. clone(2) ignores what it does not know.",
        calls: ["clone3"], manual: ["clone(2)"];

    CloneHandlersBothWays => EINVAL,
        "SIGHAND and CLEAR_SIGHAND exclude each other",
        "Clearing a shared table would clear the caller's.",
        calls: ["clone3"], manual: ["clone(2)"], kernel: "since 5.5";

    CloneExitSignalUnwanted => EINVAL,
        "a thread, and a child of the caller's parent, cannot choose an exit signal",
        "A thread sends none, and such a child sends its parent the caller's.",
        calls: ["clone3"], manual: ["clone(2)"];

    CloneStackHalfGiven => EINVAL,
        "stack and stack_size must both be zero or both be given",
        "One without the other is a mistake.",
        calls: ["clone3"], manual: ["clone(2)"];

    ClonePidfdOverwritten => EINVAL,
        "PIDFD and PARENT_SETTID must not store at the same address",
        "One would overwrite the other. With clone(2) they always do.",
        calls: ["clone", "clone3"], manual: ["clone(2)"];

    CloneMountsShareRoot => EINVAL,
        "NEWNS and FS exclude each other",
        "A root and a working directory lie in one mount namespace; two tasks in different ones cannot share them.",
        calls: ["clone", "clone3"], manual: ["clone(2)", "mount_namespaces(7)"];

    CloneUserSharesRoot => EINVAL,
        "NEWUSER and FS exclude each other",
        "The child could call chroot(2) in its user namespace and so move its parent's root, where set-user-ID programs trust it.",
        calls: ["clone", "clone3"], manual: ["clone(2)"], kernel: "since 3.9";

    CloneThreadKeepsHandlers => EINVAL,
        "THREAD needs SIGHAND",
        "Signals are sent to a thread group; its threads must agree on the handlers.",
        calls: ["clone", "clone3"], manual: ["clone(2)"];

    CloneHandlersKeepMemory => EINVAL,
        "SIGHAND needs VM",
        "A handler is an address.",
        calls: ["clone", "clone3"], manual: ["clone(2)"];

    CloneThreadElsewhere => EINVAL,
        "a thread cannot be in another user or pid namespace than its group",
        "The threads of a process share its number and are trusted alike.",
        calls: ["clone", "clone3"], manual: ["clone(2)", "pid_namespaces(7)"];

    ClonePidfdDetached => EINVAL,
        "PIDFD and DETACHED exclude each other",
        "The bit may get another meaning for callers who know pidfds.",
        calls: ["clone"], manual: ["clone(2)"], kernel: "since 5.2";

    CloneIpcKeepsUndo => EINVAL,
        "NEWIPC and SYSVSEM exclude each other",
        "Semaphore adjustments belong to semaphores, and those stay in the old namespace.",
        calls: ["clone", "clone3"], manual: ["clone(2)"],
        kernel: "checked after the capability on 6.18, so an unprivileged caller gets EPERM";

    } };
}
pub(super) use clone;
