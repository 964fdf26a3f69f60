//! The table of rules: pid namespaces, numbers, and who may be waited for and signalled.

macro_rules! pid {
    ($left:tt $($rows:tt)*) => { $crate::rule::table::collect! { $left $($rows)*

    // ---- pid: making and joining ------------------------------------------------------------

    PidChildrenElsewhere => EINVAL,
        "a pid namespace can be made only by a task whose children would be born in its own",
        "The new one lies below the caller's; a second one before any child was born, or one below a namespace that was joined, would be neither here nor there.",
        calls: ["clone", "clone3", "unshare"], manual: ["clone(2)", "unshare(2)", "pid_namespaces(7)"];

    PidOwnerAbove => EINVAL,
        "the owner of a new pid namespace must be the user namespace that owns the one above, or one below it",
        "Whoever owns a pid namespace rules over the processes below it. A task can be in a pid namespace whose owner is below its own user namespace.",
        calls: ["clone", "clone3", "unshare"], manual: ["pid_namespaces(7)", "user_namespaces(7)"];

    PidNestedTooDeep => ENOSPC,
        "a pid namespace can be at most 32 levels below the initial one",
        "Every task inside has one number a level.",
        calls: ["clone", "clone3", "unshare"], manual: ["pid_namespaces(7)"],
        kernel: "since 3.7; EINVAL before 4.9";

    JoinPidNotBelow => EINVAL,
        "only the caller's pid namespace, or one below it, can be joined",
        "Otherwise a child could be born where its parent cannot see it.",
        calls: ["setns"], manual: ["setns(2)", "pid_namespaces(7)"];

    // ---- pid: births ------------------------------------------------------------------------

    CloneSiblingOfInit => EINVAL,
        "the init of a pid namespace cannot use PARENT",
        "Its parent is outside, and would get a child that is inside.",
        calls: ["clone", "clone3"], manual: ["clone(2)", "pid_namespaces(7)"],
        kernel: "since 2.6.32";

    CloneThreadPidElsewhere => EINVAL,
        "a task whose children would be born in another pid namespace cannot make threads",
        "The threads of a process share its number.",
        calls: ["clone", "clone3"], manual: ["clone(2)", "unshare(2)", "pid_namespaces(7)"],
        kernel: "VM without THREAD is allowed, contrary to the manual";

    CloneTimeElsewhere => EINVAL,
        "a task whose children would be born in another time namespace cannot share memory with them",
        "A process sees its clocks through a page of its memory.",
        calls: ["clone", "clone3", "vfork"], manual: ["time_namespaces(7)"],
        kernel: "5.6 to 6.1; since 6.2 such a child stays in its parent's time namespace until execve(2)";

    CloneProcessLimit => EAGAIN,
        "a user cannot have more processes than RLIMIT_NPROC says",
        "One user shall not use up all there are. User 0 of the initial user namespace and holders of CAP_SYS_RESOURCE or CAP_SYS_ADMIN are exempt.",
        calls: ["clone", "clone3"], manual: ["clone(2)", "getrlimit(2)"];

    CloneSetTidTooDeep => EINVAL,
        "no more numbers can be chosen than the child has levels",
        "The first is for its own namespace, the next for the one above.",
        calls: ["clone3"], manual: ["clone(2)"], kernel: "since 5.5";

    CloneSetTidOutOfRange => EINVAL,
        "a chosen number must be at least 1 and below pid_max of its namespace",
        "Others are never given out either.",
        calls: ["clone3"], manual: ["clone(2)"], kernel: "since 5.5";

    CloneSetTidBeforeInit => EINVAL,
        "only number 1 can be chosen in a pid namespace that has no init yet",
        "Somebody must be there to inherit orphans.",
        calls: ["clone3"], manual: ["clone(2)"], kernel: "since 5.5";

    CloneSetTidNeedsCheckpoint => EPERM,
        "choosing a number needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN in the user namespace that owns the pid namespace it is from",
        "Numbers are what others know a process by; whoever chooses them can take the place of one that has gone.",
        calls: ["clone3"], manual: ["clone(2)", "capabilities(7)"],
        kernel: "since 5.5, CAP_CHECKPOINT_RESTORE since 5.9; checked anew at each level, after the number itself";

    CloneSetTidTaken => EEXIST,
        "a chosen number must be free",
        "It is taken as long as a thread, a process, a group or a session is called by it.",
        calls: ["clone3"], manual: ["clone(2)"], kernel: "since 5.5";

    CloneNumbersUsedUp => EAGAIN,
        "at every level there must be a free number below pid_max",
        "Each namespace has its own limit since 6.14; before that there was one for all.",
        calls: ["clone", "clone3"], manual: ["clone(2)", "fork(2)", "proc(5)"];

    CloneNamespaceDead => ENOMEM,
        "nobody can be born in a pid namespace whose init has ended, or could not be born",
        "Nobody would inherit its orphans. A descriptor can keep such a namespace, and it can be joined.",
        calls: ["clone", "clone3"], manual: ["pid_namespaces(7)", "fork(2)"],
        kernel: "a birth that fails after it was given number 1, as by a bad cgroup descriptor, kills the namespace";

    // ---- pid: the end -----------------------------------------------------------------------

    WaitNoChild => ECHILD,
        "there must be a child of the kind that is waited for",
        "A child made with another exit signal than SIGCHLD, or none, is found only with __WCLONE or __WALL. Numbers are the caller's: a child that cannot be seen has none.",
        calls: ["wait4", "waitid"], manual: ["wait(2)"];

    KillNobody => ESRCH,
        "somebody must be called by the number that a signal is for",
        "Numbers are those of the caller's pid namespace: nobody outside it has one. -1 is everybody in it but the caller's process and number 1.",
        calls: ["kill", "tgkill"], manual: ["kill(2)", "pid_namespaces(7)"];

    KillSignalUnknown => EINVAL,
        "a signal is 0 to 64",
        "There are no others. 0 only asks whether it could be sent.",
        calls: ["kill", "tgkill"], manual: ["kill(2)"], kernel: "checked when the target has been found";

    RebootNeedsBoot => EPERM,
        "reboot needs CAP_SYS_BOOT in the user namespace that owns the caller's pid namespace",
        "In the initial pid namespace it is the machine's, elsewhere the end of the namespace.",
        calls: ["reboot"], manual: ["reboot(2)"];

    RebootMagic => EINVAL,
        "reboot must be given its two magic numbers",
        "They keep a stray call from ending everything.",
        calls: ["reboot"], manual: ["reboot(2)"];

    RebootCommand => EINVAL,
        "a pid namespace can be restarted, halted and powered off",
        "The other commands are about the machine.",
        calls: ["reboot"], manual: ["reboot(2)"], kernel: "since 3.4";

    // ---- pid: groups and sessions -----------------------------------------------------------

    SessionLedAlready => EPERM,
        "the leader of a session cannot make another one",
        "It would leave a session without the one it is called by.",
        calls: ["setsid"], manual: ["setsid(2)"];

    SessionGroupTaken => EPERM,
        "no process group may be called by the caller's number",
        "The new group would have members of two sessions. Forking first gives a number that no group has.",
        calls: ["setsid"], manual: ["setsid(2)"];

    GroupNegative => EINVAL,
        "a process group's number is not negative",
        "0 stands for the number of the process.",
        calls: ["setpgid"], manual: ["setpgid(2)"];

    GroupNoProcess => ESRCH,
        "somebody must be called by the number of the process to be moved",
        "Numbers are those of the caller's pid namespace.",
        calls: ["setpgid"], manual: ["setpgid(2)", "pid_namespaces(7)"];

    GroupOfThread => EINVAL,
        "only a whole process can be moved to another group",
        "The number is that of a thread which is not the first of its process.",
        calls: ["setpgid"], manual: ["setpgid(2)"];

    GroupChildElsewhere => EPERM,
        "a child to be moved must be in the caller's session",
        "Groups are parts of a session.",
        calls: ["setpgid"], manual: ["setpgid(2)"];

    GroupChildExecuted => EACCES,
        "a child cannot be moved once it has executed a program",
        "That program may have looked at its group.",
        calls: ["setpgid"], manual: ["setpgid(2)"];

    GroupNotChild => ESRCH,
        "only the caller itself and its children can be moved",
        "It is how a shell makes jobs; nobody else's business.",
        calls: ["setpgid"], manual: ["setpgid(2)"];

    GroupSessionLeader => EPERM,
        "the leader of a session stays in its group",
        "Group and session are called by its number.",
        calls: ["setpgid"], manual: ["setpgid(2)"];

    GroupUnknown => EPERM,
        "the group to move to must be that of the process itself, or exist in the caller's session",
        "Groups are parts of a session. One that the caller's pid namespace has no number for cannot be named.",
        calls: ["setpgid"], manual: ["setpgid(2)"];

    GroupOfNobody => ESRCH,
        "somebody must be called by the number whose group or session is asked for",
        "Numbers are those of the caller's pid namespace.",
        calls: ["getpgid", "getsid"], manual: ["getpgid(2)", "getsid(2)", "pid_namespaces(7)"];

    // ---- pid: files and ioctls --------------------------------------------------------------

    LastPidNeedsCheckpoint => EPERM,
        "writing /proc/sys/kernel/ns_last_pid needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN in the user namespace that owns the writer's pid namespace",
        "It chooses the next number. Anybody may open the file.",
        calls: ["write /proc/sys/kernel/ns_last_pid"], manual: ["pid_namespaces(7)", "capabilities(7)"];

    LastPidOutOfRange => EINVAL,
        "the text for ns_last_pid must begin with a number from 0 to pid_max",
        "It stands for a number that was given out.",
        calls: ["write /proc/sys/kernel/ns_last_pid"], manual: ["pid_namespaces(7)"];

    PidMaxNeedsOwner => EACCES,
        "opening /proc/sys/kernel/pid_max for writing needs CAP_SYS_ADMIN in the user namespace that owns the pid namespace, or to be its user 0",
        "The file belongs to that user, mode 0644.",
        calls: ["open /proc/sys/kernel/pid_max"], manual: ["proc(5)"],
        kernel: "one file for all, and root's, before 6.14";

    PidMaxWriterNeedsOwner => EPERM,
        "whoever writes /proc/sys/kernel/pid_max must be allowed to, as whoever opened it",
        "The file asks again at each write.",
        calls: ["write /proc/sys/kernel/pid_max"], manual: ["proc(5)"];

    PidMaxOutOfRange => EINVAL,
        "the text for pid_max must begin with a number from 301 to 4194304",
        "The first 300 are for what is started first, and a number has 22 bits.",
        calls: ["write /proc/sys/kernel/pid_max"], manual: ["proc(5)"];

    MemfdNoexecNeedsRoot => EACCES,
        "opening /proc/sys/vm/memfd_noexec for writing needs user 0 of the initial user namespace, or CAP_DAC_OVERRIDE there",
        "The file is root's, mode 0644, whoever owns the pid namespace.",
        calls: ["open /proc/sys/vm/memfd_noexec"], manual: ["memfd_create(2)", "pid_namespaces(7)"];

    MemfdNoexecWriterNeedsAdmin => EPERM,
        "writing /proc/sys/vm/memfd_noexec needs CAP_SYS_ADMIN in the user namespace that owns the writer's pid namespace",
        "The value is the pid namespace's.",
        calls: ["write /proc/sys/vm/memfd_noexec"], manual: ["memfd_create(2)", "capabilities(7)"];

    MemfdNoexecOutOfRange => EINVAL,
        "the text for memfd_noexec must begin with a number from the value that the pid namespaces above enforce to 2",
        "A namespace can only be stricter than those above.",
        calls: ["write /proc/sys/vm/memfd_noexec"], manual: ["memfd_create(2)", "pid_namespaces(7)"];

    MemfdFlagsContradict => EINVAL,
        "MFD_EXEC and MFD_NOEXEC_SEAL exclude each other",
        "One asks for what the other forbids for good.",
        calls: ["memfd_create"], manual: ["memfd_create(2)"];

    MemfdExecForbidden => EACCES,
        "where memfd_noexec is 2, memfd_create(2) says no to MFD_EXEC",
        "Nothing that could be executed may come from memory.",
        calls: ["memfd_create"], manual: ["memfd_create(2)"],
        kernel: "since 6.3";

    IoctlNoNumbers => EINVAL,
        "only pid namespaces translate numbers",
        "Nobody has a number in the others.",
        calls: ["ioctl NS_GET_PID_FROM_PIDNS", "ioctl NS_GET_PID_IN_PIDNS"], manual: ["ioctl_ns(2)"],
        kernel: "since 6.11";

    IoctlNobody => ESRCH,
        "somebody must be called by the number, and have one where it is translated to",
        "Nobody outside a namespace has a number in it.",
        calls: ["ioctl NS_GET_PID_FROM_PIDNS", "ioctl NS_GET_PID_IN_PIDNS"], manual: ["ioctl_ns(2)"],
        kernel: "since 6.11";

    } };
}
pub(super) use pid;
