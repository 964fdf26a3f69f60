//! The table of rules: user namespaces.

macro_rules! user {
    ($left:tt $($rows:tt)*) => { $crate::rule::table::collect! { $left $($rows)*

    // ---- user: uid_map, gid_map, projid_map ------------------------------------------------

    MapOfInitial => EPERM,
        "the maps of the initial user namespace cannot be written",
        "Its ids are what all others are mapped to.",
        calls: ["uid_map", "gid_map", "projid_map"], manual: ["user_namespaces(7)"];

    MapOpenerElsewhere => EPERM,
        "a map must have been opened in the user namespace itself or in its parent",
        "Outside ids are in the parent's numbering; others have no say in it.",
        calls: ["uid_map", "gid_map", "projid_map"], manual: ["user_namespaces(7)"];

    MapNotAtStart => EINVAL,
        "a map must be written at the start of the file",
        "It is written once, whole.",
        calls: ["uid_map", "gid_map", "projid_map"], manual: ["user_namespaces(7)"];

    MapTooLong => EINVAL,
        "a map must be shorter than a page",
        "It is written once, whole.",
        calls: ["uid_map", "gid_map", "projid_map"], manual: ["user_namespaces(7)"];

    MapAlreadySet => EPERM,
        "a map can be written once",
        "Ids that mean one user must not come to mean another.",
        calls: ["uid_map", "gid_map", "projid_map"], manual: ["user_namespaces(7)"],
        kernel: "a write that failed does not count";

    MapNeedsAdmin => EPERM,
        "the opener of a map needs CAP_SYS_ADMIN in the user namespace",
        "Judged by the opener, so that a set-user-ID program cannot be made to write into a descriptor it inherited.",
        calls: ["uid_map", "gid_map"], manual: ["user_namespaces(7)"],
        kernel: "projid_map is free of it";

    MapFieldMissing => EINVAL,
        "each line of a map holds three numbers: inside, outside, count",
        "There is nothing else to say. One newline may end the last line; any other empty line is one without numbers.",
        calls: ["uid_map", "gid_map", "projid_map"], manual: ["user_namespaces(7)"];

    MapTrailingText => EINVAL,
        "nothing may follow the three numbers of a line",
        "There is nothing else to say.",
        calls: ["uid_map", "gid_map", "projid_map"], manual: ["user_namespaces(7)"];

    MapStartInvalid => EINVAL,
        "4294967295 is not an id",
        "It means no id at all, as in chown(2).",
        calls: ["uid_map", "gid_map", "projid_map"], manual: ["user_namespaces(7)"];

    MapRangeEmpty => EINVAL,
        "a range has at least one id and ends below 4294967295",
        "Ranges do not wrap around.",
        calls: ["uid_map", "gid_map", "projid_map"], manual: ["user_namespaces(7)"];

    MapOverlap => EINVAL,
        "no two lines may overlap, inside or outside",
        "Every id has one meaning, in both directions.",
        calls: ["uid_map", "gid_map", "projid_map"], manual: ["user_namespaces(7)"];

    MapTooManyLines => EINVAL,
        "a map has at most 340 lines",
        "That many fit in one page.",
        calls: ["uid_map", "gid_map", "projid_map"], manual: ["user_namespaces(7)"],
        kernel: "5 before 4.15";

    MapRootNeedsSetfcap => EPERM,
        "mapping the parent's user 0 needs CAP_SETFCAP: held by the maker when it made the namespace, or by the opener in the parent",
        "User 0 inside could give files capabilities that count outside.",
        calls: ["uid_map"], manual: ["user_namespaces(7)"], kernel: "since 5.12";

    MapGidNeedsDeny => EPERM,
        "without CAP_SETGID in the parent, one's own group can be mapped only after setgroups was denied",
        "Leaving a group by setgroups(2) could open files that shut that group out.",
        calls: ["gid_map"], manual: ["user_namespaces(7)"], kernel: "since 3.19";

    MapNeedsSetid => EPERM,
        "mapping more than one's own id needs CAP_SETUID (CAP_SETGID) in the parent, of the opener and of the writer",
        "Otherwise the namespace would let one become others. The owner may map its own effective id alone.",
        calls: ["uid_map", "gid_map"], manual: ["user_namespaces(7)"];

    MapOutsideUnmapped => EPERM,
        "the outside range of each line must lie inside one line of the parent's map",
        "What the parent cannot name it cannot pass on.",
        calls: ["uid_map", "gid_map", "projid_map"], manual: ["user_namespaces(7)"],
        kernel: "a range across two adjoining lines is refused too";

    // ---- user: the setgroups file ----------------------------------------------------------

    SetgroupsFileNeedsAdmin => EACCES,
        "opening setgroups for writing needs CAP_SYS_ADMIN in the user namespace",
        "It decides for every process inside.",
        calls: ["setgroups file"], manual: ["user_namespaces(7)"], kernel: "since 3.19";

    SetgroupsFileText => EINVAL,
        "the setgroups file takes allow or deny, in less than 8 bytes at its start",
        "Nothing else has a meaning.",
        calls: ["setgroups file"], manual: ["user_namespaces(7)"], kernel: "since 3.19";

    SetgroupsAllowTooLate => EPERM,
        "setgroups cannot be allowed again once denied",
        "A group map may have been written on the strength of it.",
        calls: ["setgroups file"], manual: ["user_namespaces(7)"], kernel: "since 3.19";

    SetgroupsDenyTooLate => EPERM,
        "setgroups cannot be denied once gid_map is set",
        "Groups may have been dropped already.",
        calls: ["setgroups file"], manual: ["user_namespaces(7)"], kernel: "since 3.19";

    // ---- /proc/sys/user/max_*_namespaces ---------------------------------------------------

    LimitNeedsResource => EACCES,
        "changing a user namespace's limits needs CAP_SYS_RESOURCE in it",
        "Limits bind those inside who lack it.",
        calls: ["open /proc/sys/user/max_*_namespaces"], manual: ["namespaces(7)", "proc(5)"];

    LimitWriterNeedsResource => EPERM,
        "whoever writes a user namespace's limit needs CAP_SYS_RESOURCE in it, as whoever opened the file",
        "The file asks again at each write.",
        calls: ["write /proc/sys/user/max_*_namespaces"], manual: ["namespaces(7)", "proc(5)"];

    LimitText => EINVAL,
        "a limit is a number from 0 to 2147483647",
        "It is compared with a counter of that width.",
        calls: ["write /proc/sys/user/max_*_namespaces"], manual: ["namespaces(7)", "proc(5)"];

    } };
}
pub(super) use user;
