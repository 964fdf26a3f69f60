//! The table of rules: namespace descriptors.

macro_rules! nsfs {
    ($left:tt $($rows:tt)*) => { $crate::rule::table::collect! { $left $($rows)*

    // ---- ioctls of namespace descriptors ---------------------------------------------------

    IoctlOutOfSight => EPERM,
        "the owner or parent must be the caller's user namespace or below it",
        "Nothing above the caller can be got hold of.",
        calls: ["ioctl NS_GET_USERNS", "ioctl NS_GET_PARENT"], manual: ["ioctl_ns(2)"];

    IoctlNoParent => EINVAL,
        "only pid and user namespaces have a parent",
        "The other types stand side by side.",
        calls: ["ioctl NS_GET_PARENT"], manual: ["ioctl_ns(2)"];

    IoctlNoOwnerUid => EINVAL,
        "only user namespaces have an owner's user id",
        "Ask for the owning user namespace first.",
        calls: ["ioctl NS_GET_OWNER_UID"], manual: ["ioctl_ns(2)"];

    IoctlNoMounts => EINVAL,
        "only mount namespaces have mounts and neighbours",
        "NS_GET_ID gives the id of a namespace of any type.",
        calls: ["ioctl NS_GET_MNTNS_ID", "ioctl NS_MNT_GET_INFO", "ioctl NS_MNT_GET_NEXT",
            "ioctl NS_MNT_GET_PREV"],
        manual: ["ioctl_nsfs(2)"];

    IoctlNeighboursNeedAdmin => EPERM,
        "going through all mount namespaces needs the initial pid namespace, and CAP_SYS_ADMIN in \
         its owner",
        "It is asked before what the descriptor is of.",
        calls: ["ioctl NS_MNT_GET_NEXT", "ioctl NS_MNT_GET_PREV"], manual: ["ioctl_nsfs(2)"];

    // ---- file handles -----------------------------------------------------------------------

    HandleNeedsAdmin => ESTALE,
        "opening another namespace than one's own by a file handle needs CAP_SYS_ADMIN in the user \
         namespace that owns it",
        "A handle is a number that can be guessed. The errno is that of a namespace which is gone.",
        calls: ["open_by_handle_at"], manual: ["open_by_handle_at(2)"], kernel: "since 6.18";

    // ---- ioctls of pidfds -------------------------------------------------------------------

    PidfdProcessGone => ESRCH,
        "the process has exited and has no namespaces any more",
        "Once it has been reaped, this comes before everything else.",
        calls: ["ioctl PIDFD_GET_*_NAMESPACE"], manual: ["ioctl_pidfd(2)"];

    PidfdArgument => EINVAL,
        "the argument must be 0",
        "It is asked before whether the process has exited but has not been reaped.",
        calls: ["ioctl PIDFD_GET_*_NAMESPACE"], manual: ["ioctl_pidfd(2)"];

    } };
}
pub(super) use nsfs;
