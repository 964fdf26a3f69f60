//! The table of rules, one file a subject.
//!
//! Each file is a macro that hands its rows on to the next one of the list below; the last hands
//! all of them to `rules!`, so that they make one enum.

mod cgroup;
mod clone;
mod creds;
mod ipc;
mod making;
mod mnt;
mod moving;
mod net;
mod nsfs;
mod pid;
mod switching;
mod time;
mod user;
mod uts;

/// Goes through the tables named in brackets, gathering rows behind them.
macro_rules! collect {
    ([] $($rows:tt)*) => { $crate::rule::rules! { $($rows)* } };
    ([$next:ident $($left:ident)*] $($rows:tt)*) => {
        $crate::rule::table::$next::$next! { [$($left)*] $($rows)* }
    };
}
use collect;

// The order is that of `Rule::ALL` and of `anyns rules`.
collect! { [
    making
    clone
    moving
    switching
    nsfs
    mnt
    uts
    ipc
    pid
    cgroup
    net
    time
    user
    creds
] }
