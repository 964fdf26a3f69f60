//! The table of rules: credentials, and what they allow.

macro_rules! creds {
    ($left:tt $($rows:tt)*) => { $crate::rule::table::collect! { $left $($rows)*

    // ---- set*id(2), setgroups(2) -----------------------------------------------------------

    IdUnmapped => EINVAL,
        "an id must be mapped in the caller's user namespace",
        "An id without a mapping stands for nobody.",
        calls: ["setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups"],
        manual: ["user_namespaces(7)", "setuid(2)", "setgroups(2)"];

    SetuidNeedsCap => EPERM,
        "becoming a user that one is not needs CAP_SETUID in one's user namespace",
        "Without it a task can only change between its real, effective and saved user ids.",
        calls: ["setuid", "setreuid", "setresuid"], manual: ["setuid(2)", "setreuid(2)", "setresuid(2)"];

    SetgidNeedsCap => EPERM,
        "becoming a group that one is not needs CAP_SETGID in one's user namespace",
        "Without it a task can only change between its real, effective and saved group ids.",
        calls: ["setgid", "setregid", "setresgid"], manual: ["setgid(2)", "setregid(2)", "setresgid(2)"];

    SetgroupsNeedsCap => EPERM,
        "changing the supplementary groups needs CAP_SETGID in one's user namespace",
        "Joining a group opens files, and leaving one can too.",
        calls: ["setgroups"], manual: ["setgroups(2)"];

    SetgroupsDenied => EPERM,
        "setgroups needs a group map, and a user namespace that does not deny it",
        "See map-gid-needs-deny.",
        calls: ["setgroups"], manual: ["setgroups(2)", "user_namespaces(7)"], kernel: "since 3.19";

    SetgroupsTooMany => EINVAL,
        "a task has at most 65536 supplementary groups",
        "That is NGROUPS_MAX.",
        calls: ["setgroups"], manual: ["setgroups(2)"], kernel: "32 before 2.6.4";

    // ---- capset(2) -------------------------------------------------------------------------

    CapsetInheritableUnheld => EPERM,
        "without CAP_SETPCAP, only capabilities in the permitted or inheritable set can be made inheritable",
        "Nobody passes on what it does not have.",
        calls: ["capset"], manual: ["capset(2)", "capabilities(7)"];

    CapsetInheritableUnbounded => EPERM,
        "only capabilities in the bounding or inheritable set can be made inheritable",
        "What the bounding set lost must not come back through a file's inheritable set.",
        calls: ["capset"], manual: ["capset(2)", "capabilities(7)"], kernel: "since 2.6.25";

    CapsetPermittedRaised => EPERM,
        "the permitted set can only shrink",
        "Only execve(2), or a user namespace, gives capabilities.",
        calls: ["capset"], manual: ["capset(2)", "capabilities(7)"];

    CapsetEffectiveUnpermitted => EPERM,
        "the effective set must lie in the permitted set",
        "What is not permitted cannot be used.",
        calls: ["capset"], manual: ["capset(2)", "capabilities(7)"];

    // ---- prctl(2) --------------------------------------------------------------------------

    CapabilityUnknown => EINVAL,
        "there must be a capability of that number",
        "Capabilities are numbered from 0 to 40.",
        calls: ["prctl PR_CAPBSET_READ", "prctl PR_CAPBSET_DROP", "prctl PR_CAP_AMBIENT"],
        manual: ["prctl(2)", "capabilities(7)"];

    BoundingNeedsSetpcap => EPERM,
        "dropping from the bounding set needs CAP_SETPCAP in one's user namespace",
        "A privileged program started later would run with less than it expects.",
        calls: ["prctl PR_CAPBSET_DROP"], manual: ["prctl(2)", "capabilities(7)"];

    SecurebitsLocked => EPERM,
        "a locked securebit cannot change, and a lock cannot be undone",
        "That is what the lock is for.",
        calls: ["prctl PR_SET_SECUREBITS"], manual: ["prctl(2)", "capabilities(7)"];

    SecurebitsUnknown => EPERM,
        "there must be such a securebit",
        "Unknown bits are refused so that they can get a meaning later.",
        calls: ["prctl PR_SET_SECUREBITS"], manual: ["prctl(2)", "capabilities(7)"];

    SecurebitsNeedSetpcap => EPERM,
        "changing the securebits needs CAP_SETPCAP in one's user namespace",
        "They change what being root means for programs started later.",
        calls: ["prctl PR_SET_SECUREBITS"], manual: ["prctl(2)", "capabilities(7)"],
        kernel: "since 6.14 the bits about scripts, EXEC_RESTRICT_FILE and EXEC_DENY_INTERACTIVE, are free of it";

    KeepcapsArgument => EINVAL,
        "PR_SET_KEEPCAPS takes 0 or 1",
        "It is a switch.",
        calls: ["prctl PR_SET_KEEPCAPS"], manual: ["prctl(2)"];

    KeepcapsLocked => EPERM,
        "keep-caps cannot change while its securebit is locked",
        "That is what the lock is for.",
        calls: ["prctl PR_SET_KEEPCAPS"], manual: ["prctl(2)", "capabilities(7)"];

    PrctlArgumentUnused => EINVAL,
        "arguments that an option does not use must be zero",
        "They may get a meaning later.",
        calls: ["prctl PR_CAP_AMBIENT", "prctl PR_SET_NO_NEW_PRIVS", "prctl PR_GET_NO_NEW_PRIVS"],
        manual: ["prctl(2)"];

    AmbientNotHeld => EPERM,
        "an ambient capability must be both permitted and inheritable",
        "It is passed on to programs that know nothing of it, so it must be held and marked to be inherited.",
        calls: ["prctl PR_CAP_AMBIENT"], manual: ["prctl(2)", "capabilities(7)"], kernel: "since 4.3";

    AmbientForbidden => EPERM,
        "the securebit NO_CAP_AMBIENT_RAISE must not be set",
        "That is what the bit is for.",
        calls: ["prctl PR_CAP_AMBIENT"], manual: ["prctl(2)", "capabilities(7)"], kernel: "since 4.3";

    AmbientUnknown => EINVAL,
        "PR_CAP_AMBIENT takes is-set, raise, lower or clear-all",
        "Nothing else has a meaning.",
        calls: ["prctl PR_CAP_AMBIENT"], manual: ["prctl(2)"], kernel: "since 4.3";

    NoNewPrivsArgument => EINVAL,
        "PR_SET_NO_NEW_PRIVS takes 1",
        "It cannot be unset.",
        calls: ["prctl PR_SET_NO_NEW_PRIVS"], manual: ["prctl(2)"], kernel: "since 3.5";

    // ---- execve(2) -------------------------------------------------------------------------

    ExecCapabilitiesMissing => EPERM,
        "a file whose capabilities are made effective must be given all it permits",
        "The program does not know about capabilities and would not notice that some are missing.",
        calls: ["execve", "execveat"], manual: ["execve(2)", "capabilities(7)"];

    // ---- other tasks -----------------------------------------------------------------------

    SignalNeedsKill => EPERM,
        "a signal needs the sender's real or effective user id to be the target's real or saved one, or CAP_KILL in the target's user namespace",
        "SIGCONT may go to the whole session instead. Ids are compared as the kernel stores them, not as either side sees them.",
        calls: ["kill", "tgkill", "pidfd_send_signal"], manual: ["kill(2)", "user_namespaces(7)"];

    ReadNeedsAccess => EACCES,
        "looking at a process's namespaces needs PTRACE_MODE_READ access to it",
        "Judged with the file-system ids and the effective capabilities: the same ids and no more capabilities than one's own, a dumpable memory image, or CAP_SYS_PTRACE in its user namespace.",
        calls: ["readlink /proc/PID/ns", "open /proc/PID/ns"], manual: ["ptrace(2)", "namespaces(7)"];

    // ---- credentials that are sent ---------------------------------------------------------

    ClaimUnmapped => EINVAL,
        "the ids of credentials that are sent must be mapped in the sender's user namespace",
        "An id without a mapping stands for nobody, and a sender without maps can say nothing of itself.",
        calls: ["sendmsg", "sendmmsg"], manual: ["unix(7)", "user_namespaces(7)"];

    ClaimNumberNeedsAdmin => EPERM,
        "sending another process's number needs CAP_SYS_ADMIN in the user namespace that owns the sender's pid namespace",
        "Receivers trust it.",
        calls: ["sendmsg", "sendmmsg"], manual: ["unix(7)"],
        kernel: "the process's number, not the thread's";

    ClaimUserNeedsCap => EPERM,
        "sending a user that is not one's real, effective or saved one needs CAP_SETUID in one's user namespace",
        "Whoever can become the user can be it for a message.",
        calls: ["sendmsg", "sendmmsg"], manual: ["unix(7)"];

    ClaimGroupNeedsCap => EPERM,
        "sending a group that is not one's real, effective or saved one needs CAP_SETGID in one's user namespace",
        "Whoever can enter the group can be in it for a message.",
        calls: ["sendmsg", "sendmmsg"], manual: ["unix(7)"];

    ClaimNobody => ESRCH,
        "the number that is sent must be somebody's in the sender's pid namespace",
        "It is passed on as a process, not as a number.",
        calls: ["sendmsg", "sendmmsg"], manual: ["unix(7)"];

    } };
}
pub(super) use creds;
