//! The table of rules: mount namespaces and what is mounted in them.

macro_rules! mnt {
    ($left:tt $($rows:tt)*) => { $crate::rule::table::collect! { $left $($rows)*

    // ---- joining one -----------------------------------------------------------------------

    JoinMntNeedsChroot => EPERM,
        "joining a mount namespace needs CAP_SYS_CHROOT in the user namespace that the caller will be in",
        "The root directory changes with it, as by chroot(2).",
        calls: ["setns"], manual: ["setns(2)", "mount_namespaces(7)"];

    JoinMntSharesRoot => EINVAL,
        "whoever joins a mount namespace must not share its root and working directory",
        "They change with it, and the others stay where they are.",
        calls: ["setns"], manual: ["setns(2)"],
        kernel: "not where a pidfd names other types in the same call: those who share them move, too";

    ChrootNeedsChroot => EPERM,
        "chroot(2) needs CAP_SYS_CHROOT in one's user namespace",
        "A set-user-ID program must not find files of its caller's where it expects the system's.",
        calls: ["chroot"], manual: ["chroot(2)"];

    // ---- every mount operation -------------------------------------------------------------

    MountNeedsAdmin => EPERM,
        "changing what is mounted needs CAP_SYS_ADMIN in the user namespace that owns the caller's mount namespace",
        "Every process in the namespace sees it.",
        calls: ["mount", "umount2", "pivot_root", "mount_setattr", "open_tree", "move_mount"], manual: ["mount(2)", "mount_namespaces(7)"],
        kernel: "checked after the target was looked up, before anything else is";

    MountElsewhere => EINVAL,
        "the mount must be in the caller's mount namespace",
        "One namespace is changed from inside. Descriptors can lead to mounts of others, and to mounts that were detached.",
        calls: ["mount", "umount2", "pivot_root", "mount_setattr", "open_tree", "move_mount"], manual: ["mount(2)", "umount(2)", "pivot_root(2)"];

    NotAMountRoot => EINVAL,
        "the path must be the root of a mount",
        "It is the mount that is changed or moved, not the directory.",
        calls: ["mount", "umount2", "pivot_root", "mount_setattr", "open_tree", "move_mount"], manual: ["mount(2)", "umount(2)", "pivot_root(2)"];

    // ---- mount(2): whatever is mounted -----------------------------------------------------

    MountFlagInternal => EINVAL,
        "MS_NOUSER is the kernel's own",
        "It marks file systems that nobody can mount.",
        calls: ["mount"], manual: ["mount(2)"];

    MountSourceMissing => EINVAL,
        "a bind or a move needs a source",
        "The empty string names nothing.",
        calls: ["mount"], manual: ["mount(2)"];

    MountpointRemoved => ENOENT,
        "nothing can be mounted on a directory or file that was removed, nor on a mount that was unmounted",
        "No path leads there.",
        calls: ["mount", "pivot_root"], manual: ["mount(2)"];

    MountRootRemoved => ENOENT,
        "a directory or file that was removed cannot be bound, nor a mount of it moved",
        "Something else could have to be mounted on top of it.",
        calls: ["mount"], manual: ["mount(2)"];

    MountShapesDiffer => ENOTDIR,
        "directories are mounted on directories, and files on files",
        "A path walk would find something else than it expects.",
        calls: ["mount"], manual: ["mount(2)"];

    MountsTooMany => ENOSPC,
        "no mount namespace can hold more mounts than fs.mount-max",
        "A few binds of a tree into itself fill the memory. Mounts that others hear of are counted where they arrive.",
        calls: ["mount"], manual: ["mount(2)", "proc_sys_fs(5)"], kernel: "since 4.9";

    MountNamespacePropagated => EINVAL,
        "the file of a mount namespace cannot be mounted where others hear of it",
        "It could arrive in the namespace that it keeps alive.",
        calls: ["mount"], manual: ["mount_namespaces(7)"];

    // ---- mount(2): a file system -----------------------------------------------------------

    MountTypeMissing => EINVAL,
        "mounting a file system needs its type",
        "Nothing is guessed.",
        calls: ["mount"], manual: ["mount(2)"];

    MountTypeUnknown => ENODEV,
        "the type of file system must be known to the kernel",
        "Nobody else could serve it.",
        calls: ["mount"], manual: ["mount(2)"];

    MountTypeNeedsAdmin => EPERM,
        "mounting a file system needs CAP_SYS_ADMIN where its contents belong: mostly in the initial user namespace, otherwise in the owner of the namespace that it shows",
        "File systems on devices trust what they read; only those made for it can be mounted from inside.",
        calls: ["mount"], manual: ["user_namespaces(7)", "mount(2)"];

    MountReveals => EPERM,
        "in the mount namespace of a less privileged owner proc and sysfs are mounted only where a mount of them is seen that shows as much and is restricted no more",
        "What somebody has covered, or made read-only, would be had again by mounting it anew.",
        calls: ["mount"], manual: ["mount_namespaces(7)", "user_namespaces(7)"],
        kernel: "asked when the file system is made, before the target is looked at more closely";

    MountTwice => EBUSY,
        "a file system cannot be mounted over the root of itself",
        "Nothing would change but the number of mounts.",
        calls: ["mount"], manual: ["mount(2)"];

    MountInternal => EINVAL,
        "file systems that only the kernel uses cannot be mounted",
        "Those of pipes and sockets have no names in them.",
        calls: ["mount"], manual: ["mount(2)"];

    // ---- mount(2): bind --------------------------------------------------------------------

    BindUnbindable => EINVAL,
        "an unbindable mount cannot be bound",
        "That is what it is for: to be left out of copies of the tree it is in.",
        calls: ["mount", "open_tree"], manual: ["mount_namespaces(7)", "mount(2)"];

    BindRevealsLocked => EINVAL,
        "a bind without MS_REC must not leave out mounts that are locked",
        "The less privileged namespace got them as one, and could look below them.",
        calls: ["mount", "open_tree"], manual: ["mount_namespaces(7)"], kernel: "since 3.12";

    BindLockedUnbindable => EPERM,
        "a recursive bind must not leave out a locked mount because it is unbindable",
        "The less privileged namespace could look below it.",
        calls: ["mount", "open_tree"], manual: ["mount_namespaces(7)"], kernel: "since 4.18";

    BindNamespaceLoop => EINVAL,
        "the file of a mount namespace can be mounted only in older ones",
        "Two could keep each other alive for ever.",
        calls: ["mount"], manual: ["mount_namespaces(7)"],
        kernel: "6.18 compares numbers that are not given out in order across processors";

    // ---- mount(2): move --------------------------------------------------------------------

    MoveShapesDiffer => EINVAL,
        "a mount of a directory moves to a directory, and one of a file to a file",
        "A path walk would find something else than it expects.",
        calls: ["mount", "move_mount"], manual: ["mount(2)"];

    MoveRoot => EINVAL,
        "the first mount of a namespace cannot move",
        "It is mounted nowhere.",
        calls: ["mount", "move_mount"], manual: ["mount(2)"];

    MoveLocked => EINVAL,
        "a locked mount cannot move",
        "What is under it would be revealed.",
        calls: ["mount", "move_mount"], manual: ["mount_namespaces(7)"], kernel: "since 3.12";

    MoveFromShared => EINVAL,
        "a mount cannot move away from a shared one",
        "Peers would have to give up mounts of theirs.",
        calls: ["mount", "move_mount"], manual: ["mount(2)", "mount_namespaces(7)"];

    MoveSourceElsewhere => EINVAL,
        "what moves must be in the caller's mount namespace",
        "One namespace is changed from inside.",
        calls: ["mount", "move_mount"], manual: ["mount(2)"];

    MoveUnbindableToShared => EINVAL,
        "a tree with an unbindable mount cannot move to a shared one",
        "Peers would have to get a copy of it.",
        calls: ["mount", "move_mount"], manual: ["mount(2)", "mount_namespaces(7)"];

    MoveIntoItself => ELOOP,
        "a mount cannot move to a place below itself",
        "It would hang in the air.",
        calls: ["mount", "move_mount"], manual: ["mount(2)"];

    // ---- mount(2): mounts that exist -------------------------------------------------------

    RemountRelaxesLocked => EPERM,
        "flags that came locked into a less privileged namespace can be added to, not taken away",
        "Read-only, nosuid, nodev, noexec and the access time flags were somebody else's decision.",
        calls: ["mount", "mount_setattr"], manual: ["mount_namespaces(7)", "mount(2)"], kernel: "since 3.17";

    RemountNeedsAdmin => EPERM,
        "reconfiguring a file system needs CAP_SYS_ADMIN in the user namespace it was mounted from",
        "It shows elsewhere, too; the flags of one mount are changed with MS_REMOUNT and MS_BIND.",
        calls: ["mount"], manual: ["mount(2)", "user_namespaces(7)"];

    PropagationFlags => EINVAL,
        "a change of propagation asks for exactly one type, and for nothing else but MS_REC and MS_SILENT",
        "A mount has one type at a time.",
        calls: ["mount"], manual: ["mount(2)"];

    PropagationUnmounted => EINVAL,
        "the propagation of a mount that was detached cannot change",
        "It hears of nothing any more.",
        calls: ["mount"], manual: ["mount(2)"], kernel: "since 6.17";

    PropagationNeedsAdmin => EPERM,
        "changing the propagation of another namespace's mount needs CAP_SYS_ADMIN in that one's owner",
        "Only this change may be made to a mount that a descriptor leads to.",
        calls: ["mount"], manual: ["mount(2)"], kernel: "since 6.17";

    // ---- mount_setattr(2) -------------------------------------------------------------------

    SetattrFlagUnknown => EINVAL,
        "mount_setattr knows AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_RECURSIVE and AT_SYMLINK_NOFOLLOW",
        "Unknown bits are refused so that they can get a meaning later.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"], kernel: "since 5.12";

    SetattrBlockTooLarge => E2BIG,
        "the attributes must not be larger than a page",
        "No kernel will ever know that many.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"];

    SetattrBlockTooSmall => EINVAL,
        "the attributes must hold at least the 32 bytes of their first version",
        "The first version of the call had this size.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"];

    SetattrTailUsed => E2BIG,
        "attributes that this kernel does not know must be zero",
        "A newer program learns that what it asks for is unknown here, instead of not getting it.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"];

    SetattrPropagation => EINVAL,
        "at most one type of propagation can be asked for",
        "A mount has one type at a time.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"];

    SetattrUnknown => EINVAL,
        "there must be such attributes",
        "Unknown bits are refused so that they can get a meaning later.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"];

    SetattrAtime => EINVAL,
        "another access time mode is set while the whole field is cleared, and is one of its three values",
        "The field is a number, not a set of bits.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"];

    // ---- id maps of mounts -----------------------------------------------------------------

    IdmapStays => EINVAL,
        "MOUNT_ATTR_IDMAP can be set, not cleared",
        "Who has a file open through the mount was judged by its map.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"],
        kernel: "since 6.15 open_tree_attr(2) can clear it in the copy that it makes";

    IdmapDescriptorRange => EINVAL,
        "the descriptor of the user namespace is at most 2147483647",
        "There are no other descriptors; the field is wider than they are.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"];

    IdmapDescriptorClosed => EBADF,
        "the descriptor of the user namespace must be open",
        "A descriptor opened with O_PATH counts as closed.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"];

    IdmapNotAUserNamespace => EINVAL,
        "the maps of a mount are a user namespace's",
        "Nothing else has maps of ids.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"];

    IdmapOfInitial => EPERM,
        "the maps of a mount are not the initial user namespace's",
        "They change nothing, and would make a mount that says it is mapped and is not.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"];

    IdmapUserNeedsAdmin => EPERM,
        "using the maps of a user namespace needs CAP_SYS_ADMIN in it",
        "Files that seem to be somebody's can be made use of by somebody.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"];

    IdmapUnmapped => EINVAL,
        "the user namespace must have both its maps",
        "A mount keeps the maps of the moment, and an empty one would make every file nobody's.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"],
        kernel: "not in the manual";

    IdmapOfFileSystem => EINVAL,
        "the maps of a mount are not those of the user namespace that its file system was mounted from",
        "The file system applies them itself.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"];

    IdmapGivenAlready => EPERM,
        "a mount gets maps once",
        "Who has a file open through the mount was judged by its maps.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"];

    IdmapUnsupported => EINVAL,
        "the type of file system must be able to show its files as other people's",
        "Each type must ask for the mount's maps wherever it looks at an owner.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"],
        kernel: "tmpfs can since 6.3";

    IdmapNeedsAdmin => EPERM,
        "giving a mount maps needs CAP_SYS_ADMIN in the user namespace that its file system was mounted from",
        "Its files could become the caller's.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"];

    IdmapOfMounted => EINVAL,
        "a mount gets maps before it is mounted somewhere: the tree must be detached",
        "Nobody may have looked at its files yet.",
        calls: ["mount_setattr"], manual: ["mount_setattr(2)"];

    // ---- open_tree(2) and move_mount(2) -----------------------------------------------------

    OpenTreeFlagUnknown => EINVAL,
        "open_tree knows its own two flags and four of the AT flags",
        "Unknown bits are refused so that they can get a meaning later.",
        calls: ["open_tree"], manual: ["mount(2)"], kernel: "since 5.2";

    OpenTreeRecursive => EINVAL,
        "AT_RECURSIVE goes with OPEN_TREE_CLONE only",
        "A descriptor for a path has nothing below it.",
        calls: ["open_tree"], manual: ["mount(2)"];

    MoveMountFlagUnknown => EINVAL,
        "move_mount must know its flags, and not be asked for two things at once",
        "Unknown bits are refused so that they can get a meaning later; a mount that goes beneath another does not come into its group.",
        calls: ["move_mount"], manual: ["mount(2)"],
        kernel: "MOVE_MOUNT_SET_GROUP since 5.15, MOVE_MOUNT_BENEATH since 6.5";

    GroupOtherFileSystem => EINVAL,
        "a peer group is of one file system",
        "What is mounted on a peer is mounted on the same directory of the others.",
        calls: ["move_mount"], manual: ["mount(2)"], kernel: "since 5.15";

    GroupShowsMore => EINVAL,
        "a mount that comes into the group of another must show no more of the file system than that one",
        "It could have been made by a bind of it.",
        calls: ["move_mount"], manual: ["mount(2)"], kernel: "since 5.15";

    GroupRevealsLocked => EINVAL,
        "a mount that comes into the group of another must not show what is locked away there",
        "As with a bind without MS_REC.",
        calls: ["move_mount"], manual: ["mount(2)"], kernel: "since 5.15";

    GroupLeavesOther => EINVAL,
        "only a mount that is neither shared nor a slave comes into a group",
        "It would have to leave the one that it is in.",
        calls: ["move_mount"], manual: ["mount(2)"], kernel: "since 5.15";

    GroupOfNone => EINVAL,
        "a mount whose group another comes into must be shared or a slave",
        "There is no group otherwise.",
        calls: ["move_mount"], manual: ["mount(2)"], kernel: "since 5.15";

    BeneathRoot => EINVAL,
        "nothing goes beneath the caller's root, or a mount that is mounted nowhere",
        "There is no place under it that the caller could name.",
        calls: ["move_mount"], manual: ["mount(2)"], kernel: "since 6.5";

    BeneathLocked => EINVAL,
        "nothing goes beneath a locked mount",
        "What is under it would be hidden by other means than were locked.",
        calls: ["move_mount"], manual: ["mount(2)", "mount_namespaces(7)"], kernel: "since 6.5";

    BeneathWhatHoldsIt => EINVAL,
        "a mount cannot go beneath itself, or beneath one that it is mounted below",
        "Each would be mounted on the other.",
        calls: ["move_mount"], manual: ["mount(2)"], kernel: "since 6.5";

    BeneathCovered => EINVAL,
        "a mount that is covered cannot go beneath another",
        "Two mounts would have to go on top of it.",
        calls: ["move_mount"], manual: ["mount(2)"], kernel: "since 6.5";

    BeneathPropagates => EINVAL,
        "what goes beneath must not propagate to the top of itself or of what it goes beneath",
        "It would be there twice, once above and once below.",
        calls: ["move_mount"], manual: ["mount(2)", "mount_namespaces(7)"], kernel: "since 6.5";

    // ---- umount2(2) ------------------------------------------------------------------------

    UmountFlagUnknown => EINVAL,
        "umount2 knows four flags",
        "Unknown bits are refused so that they can get a meaning later.",
        calls: ["umount2"], manual: ["umount(2)"];

    UmountLocked => EINVAL,
        "a locked mount cannot be unmounted",
        "What is under it would be revealed to a less privileged namespace.",
        calls: ["umount2"], manual: ["mount_namespaces(7)", "umount(2)"], kernel: "since 3.12";

    UmountForceNeedsAdmin => EPERM,
        "MNT_FORCE needs CAP_SYS_ADMIN in the user namespace that the file system was mounted from",
        "It aborts what others are doing with it.",
        calls: ["umount2"], manual: ["umount(2)"];

    UmountExpireCombined => EINVAL,
        "MNT_EXPIRE goes with neither MNT_FORCE nor MNT_DETACH, nor with one's own root",
        "It asks whether anybody uses the mount; they do not ask.",
        calls: ["umount2"], manual: ["umount(2)"];

    UmountExpireBusy => EBUSY,
        "a mount that is used does not expire",
        "An open file, a working directory or a mount on it is a use.",
        calls: ["umount2"], manual: ["umount(2)"];

    UmountExpireMarked => EAGAIN,
        "a mount expires when it was marked before and not used since",
        "The first call marks it; the second unmounts it.",
        calls: ["umount2"], manual: ["umount(2)"];

    UmountRootNeedsAdmin => EPERM,
        "unmounting one's own root makes its file system read-only, which needs CAP_SYS_ADMIN in the user namespace it was mounted from",
        "That is what is left of the way in which systems once shut down.",
        calls: ["umount2"], manual: ["umount(2)"];

    UmountRoot => EINVAL,
        "the first mount of a namespace cannot be unmounted",
        "It is mounted nowhere.",
        calls: ["umount2"], manual: ["umount(2)"];

    UmountBusy => EBUSY,
        "a mount that is used can only be detached",
        "An open file, a working directory or a mount on it is a use; so is one of a copy that would go with it.",
        calls: ["umount2"], manual: ["umount(2)"];

    // ---- removing what is mounted on -------------------------------------------------------

    RemoveMountpoint => EBUSY,
        "a directory on which something is mounted in the caller's namespace cannot be removed",
        "Mounts in other namespaces do not count: nobody shall keep a directory from its owner. They are detached with it.",
        calls: ["rmdir", "unlink", "rename"], manual: ["rmdir(2)", "mount_namespaces(7)"], kernel: "since 3.18";

    // ---- pivot_root(2) ---------------------------------------------------------------------

    PivotShared => EINVAL,
        "neither the mount that put_old is on, nor the parents of the new and the old root may be shared",
        "Other namespaces would hear of the exchange.",
        calls: ["pivot_root"], manual: ["pivot_root(2)"];

    PivotLocked => EINVAL,
        "a locked mount cannot become the root",
        "It would leave the place that it covers.",
        calls: ["pivot_root"], manual: ["pivot_root(2)", "mount_namespaces(7)"];

    PivotRemoved => ENOENT,
        "new_root must not have been removed",
        "No path leads there.",
        calls: ["pivot_root"], manual: ["pivot_root(2)"];

    PivotSameMount => EBUSY,
        "new_root and put_old must not be on the current root mount",
        "The old root cannot be mounted on itself.",
        calls: ["pivot_root"], manual: ["pivot_root(2)"];

    PivotNoParent => EINVAL,
        "neither the current nor the new root can be the first mount of the namespace",
        "It is mounted nowhere, so nothing can take its place.",
        calls: ["pivot_root"], manual: ["pivot_root(2)"];

    PivotOldOutside => EINVAL,
        "put_old must be at or below new_root",
        "The old root would be out of reach.",
        calls: ["pivot_root"], manual: ["pivot_root(2)"];

    PivotNewOutside => EINVAL,
        "new_root must be below the current root",
        "What the caller cannot reach is not its to use.",
        calls: ["pivot_root"], manual: ["pivot_root(2)"];

    } };
}
pub(super) use mnt;
