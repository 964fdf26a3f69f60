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

    } };
}
pub(super) use nsfs;
