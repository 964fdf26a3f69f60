//! The table of rules: the switch of another process, which the kernel cannot do.

macro_rules! switching {
    ($left:tt $($rows:tt)*) => { $crate::rule::table::collect! { $left $($rows)*

    // ---- switching another process ---------------------------------------------------------

    SwitchTargetExited => ESRCH,
        "the process to be switched must have a living thread",
        "What has exited has no namespaces.",
        calls: ["switch"], manual: [];

    SwitchNeedsTrace => EPERM,
        "switching another process needs the right to trace every thread of it",
        "Whoever may trace a process may make it call setns(2) itself; nobody else may.",
        calls: ["switch"], manual: ["ptrace(2)"];

    SwitchThreadBeingMade => EAGAIN,
        "no thread of the process may be half made",
        "It would be born in the namespaces that the others have left.",
        calls: ["switch"], manual: [];

    } };
}
pub(super) use switching;
