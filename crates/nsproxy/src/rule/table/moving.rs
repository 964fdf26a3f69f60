//! The table of rules: unshare(2) and setns(2).

macro_rules! moving {
    ($left:tt $($rows:tt)*) => { $crate::rule::table::collect! { $left $($rows)*

    // ---- flags of unshare(2) ---------------------------------------------------------------

    UnshareFlagUnknown => EINVAL,
        "unshare accepts FS, FILES, SYSVSEM, THREAD, SIGHAND, VM and the eight NEW flags",
        "Nothing else can be unshared from a running task.",
        calls: ["unshare"], manual: ["unshare(2)"];

    UnshareHasThreads => EINVAL,
        "THREAD, and whatever implies it, needs a caller that is its process's only thread",
        "A running thread cannot be taken out of its group. NEWUSER implies THREAD: the threads of a process share one user namespace. So do SIGHAND and VM.",
        calls: ["unshare"], manual: ["unshare(2)"],
        kernel: "a leader that has exited before its threads still counts";

    UnshareSharesHandlers => EINVAL,
        "SIGHAND, and VM, needs signal handlers that nobody shares",
        "The kernel cannot unshare a handler table; it only agrees when there is nothing to do.",
        calls: ["unshare"], manual: ["unshare(2)"];

    UnshareSharesMemory => EINVAL,
        "VM needs memory that no other task shares",
        "The kernel cannot unshare memory; it only agrees when there is nothing to do. Another process sharing it, as after vfork(2), counts.",
        calls: ["unshare"], manual: ["unshare(2)"];

    // ---- setns(2) --------------------------------------------------------------------------

    JoinNotANamespace => EINVAL,
        "the descriptor must be of a namespace or of a process",
        "Nothing else says which namespace is meant.",
        calls: ["setns"], manual: ["setns(2)"], kernel: "process descriptors since 5.8";

    JoinOtherKind => EINVAL,
        "nstype must be 0 or the type of the namespace",
        "It is there for callers who did not open the descriptor themselves.",
        calls: ["setns"], manual: ["setns(2)"];

    JoinFlagsOfProcess => EINVAL,
        "with a process descriptor nstype must name at least one type, and nothing but types",
        "The process is in one namespace of every type; the caller says which are meant.",
        calls: ["setns"], manual: ["setns(2)"], kernel: "since 5.8";

    JoinProcessGone => ESRCH,
        "the process of the descriptor must not have been reaped",
        "A descriptor outlives its process.",
        calls: ["setns"], manual: ["setns(2)"], kernel: "since 5.8";

    JoinProcessHidden => EPERM,
        "joining by process descriptor needs PTRACE_MODE_READ access to the process",
        "It is what opening its /proc/PID/ns would need. Judged with the real ids and the permitted capabilities.",
        calls: ["setns"], manual: ["setns(2)", "ptrace(2)"], kernel: "since 5.8";

    JoinProcessExited => ESRCH,
        "the process of the descriptor must still have namespaces",
        "An exiting task gives them up before its parent can reap it.",
        calls: ["setns"], manual: ["setns(2)"], kernel: "since 5.8";

    JoinNeedsAdminInOwner => EPERM,
        "joining a namespace needs CAP_SYS_ADMIN in the user namespace that owns it",
        "Whoever owns a namespace decides who comes in.",
        calls: ["setns"], manual: ["setns(2)"];

    JoinNeedsAdminInOwn => EPERM,
        "joining a namespace needs CAP_SYS_ADMIN in the caller's own user namespace, or in the one joined by the same call",
        "Changing one's surroundings is the privilege that set-user-ID programs rely on. An unprivileged owner of a user namespace joins that first.",
        calls: ["setns"], manual: ["setns(2)"];

    JoinUserOwn => EINVAL,
        "a task cannot join the user namespace that it is in",
        "It would get back all the capabilities that it had dropped.",
        calls: ["setns"], manual: ["setns(2)", "user_namespaces(7)"];

    JoinUserHasThreads => EINVAL,
        "only a process's only thread can join a user namespace",
        "The threads of a process share one user namespace.",
        calls: ["setns"], manual: ["setns(2)", "user_namespaces(7)"];

    JoinUserSharesRoot => EINVAL,
        "a task that shares its root and working directory cannot join a user namespace",
        "With the capabilities of the new one it could call chroot(2) for those who stay behind.",
        calls: ["setns"], manual: ["setns(2)", "user_namespaces(7)"], kernel: "since 3.9";

    JoinUserNeedsAdmin => EPERM,
        "joining a user namespace needs CAP_SYS_ADMIN in it",
        "Held by whoever made it, and by the privileged in any of its ancestors; nobody inside holds it in an ancestor, so there is no way back.",
        calls: ["setns"], manual: ["setns(2)", "user_namespaces(7)"];

    } };
}
pub(super) use moving;
