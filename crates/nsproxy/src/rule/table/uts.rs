//! The table of rules: UTS namespaces.

macro_rules! uts {
    ($left:tt $($rows:tt)*) => { $crate::rule::table::collect! { $left $($rows)*

    // ---- uts -------------------------------------------------------------------------------

    UtsNeedsAdmin => EPERM,
        "setting a name needs CAP_SYS_ADMIN in the user namespace that owns the UTS namespace",
        "Every process in it sees the name.",
        calls: ["sethostname", "setdomainname"], manual: ["sethostname(2)", "setdomainname(2)"];

    UtsNameLength => EINVAL,
        "a name is 0 to 64 bytes long",
        "That is the room in the structure of uname(2).",
        calls: ["sethostname", "setdomainname"], manual: ["sethostname(2)", "setdomainname(2)"],
        kernel: "checked after the capability and before the name is read";

    UtsFileNeedsRoot => EACCES,
        "only the initial user namespace's root writes /proc/sys/kernel/hostname and domainname",
        "The files belong to it, mode 0644, and capabilities do not count; the system call judges by the namespace's owner instead.",
        calls: ["open /proc/sys/kernel/hostname", "open /proc/sys/kernel/domainname"], manual: ["proc(5)"];

    UtsFileWriterNeedsRoot => EPERM,
        "whoever writes /proc/sys/kernel/hostname or domainname must be the initial user namespace's root, as whoever opened it",
        "The file asks again at each write.",
        calls: ["write /proc/sys/kernel/hostname", "write /proc/sys/kernel/domainname"], manual: ["proc(5)"];

    } };
}
pub(super) use uts;
