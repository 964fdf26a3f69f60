//! The table of rules: time namespaces.

macro_rules! time {
    ($left:tt $($rows:tt)*) => { $crate::rule::table::collect! { $left $($rows)*

    // ---- time -------------------------------------------------------------------------------

    JoinTimeHasThreads => EUSERS,
        "only a task that shares its memory with nobody can join a time namespace",
        "A process sees its clocks through a page of its memory, so all who share the memory are in one time namespace.",
        calls: ["setns"], manual: ["setns(2)", "time_namespaces(7)"],
        kernel: "since 5.6; checked before the capabilities, with an errno of its own";

    TimeOffsetsNotAtStart => EINVAL,
        "timens_offsets must be written at the start of the file",
        "A write is understood by itself. Writing does not move the place in the file, only reading does.",
        calls: ["write /proc/PID/timens_offsets"], manual: ["time_namespaces(7)"], kernel: "since 5.6";

    TimeOffsetsTooLong => EINVAL,
        "timens_offsets must be written in less than a page",
        "There are two clocks.",
        calls: ["write /proc/PID/timens_offsets"], manual: ["time_namespaces(7)"], kernel: "since 5.6";

    TimeOffsetsText => EINVAL,
        "each line of timens_offsets is monotonic or boottime, seconds, and nanoseconds below a second",
        "No other clock has an offset. At most two lines are read; the rest is left to another write.",
        calls: ["write /proc/PID/timens_offsets"], manual: ["time_namespaces(7)"], kernel: "since 5.6";

    TimeOffsetsProcessGone => ESRCH,
        "the process of timens_offsets must still have namespaces",
        "The file is about the time namespace that its children would be in.",
        calls: ["write /proc/PID/timens_offsets"], manual: ["time_namespaces(7)"], kernel: "since 5.6";

    TimeOffsetsNeedTime => EPERM,
        "the opener of timens_offsets needs CAP_SYS_TIME in the user namespace that owns the time namespace",
        "Judged by the opener, so that a set-user-ID program cannot be made to write into a descriptor it inherited.",
        calls: ["write /proc/PID/timens_offsets"], manual: ["time_namespaces(7)"], kernel: "since 5.6";

    TimeOffsetsRange => ERANGE,
        "a clock must show between 0 and 4611686018 seconds, and an offset be at most 9223372036",
        "The kernel counts nanoseconds in 63 bits, and leaves half of them to timers that start from there.",
        calls: ["write /proc/PID/timens_offsets"], manual: ["time_namespaces(7)"], kernel: "since 5.6";

    TimeOffsetsFrozen => EACCES,
        "offsets can change only until the first task comes into the time namespace",
        "A monotonic clock does not jump. The initial namespace's have always been fixed.",
        calls: ["write /proc/PID/timens_offsets"], manual: ["time_namespaces(7)"],
        kernel: "since 5.6; checked last";

    } };
}
pub(super) use time;
