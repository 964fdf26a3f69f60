//! The calls we stop: the filter is built from [`rows`], the only list of them, and dispatch follows it.
//!
//! Each row names the handler and the manual page; what a handler does not serve is the kernel's.

mod rows;

use std::sync::LazyLock;

use anyns_trap::Plan;
use anyns_trap::filter::{Action, Filter, Row, Test};
use nsproxy::{Kind, KindSet};

use crate::cx::{Cx, Served};

/// A handler.
pub(crate) type Handler = fn(&mut Cx<'_>) -> Served;

/// When a call is stopped.
enum When {
    /// Always.
    Always,
    /// One of these values in the low word of an argument.
    Arg(u8, &'static [u32]),
    /// Any of these bits in the low word of an argument, and a value in another.
    Bits { arg: u8, mask: u32, and: (u8, u32) },
    /// Another value than 0 in the low word of an argument.
    Given(u8),
    /// These values in the low words of two arguments.
    Both { first: (u8, u32), second: (u8, u32) },
    /// A negative value in the low word of an argument, but not -1.
    BelowMinusOne(u8),
}

struct Entry {
    nr: i64,
    when: When,
    handler: Handler,
    /// Section 2 manual page.
    manual: &'static str,
    at_once: bool,
    waits: bool,
    brief: bool,
    numbers: bool,
}

impl Entry {
    const fn new(nr: i64, when: When, handler: Handler, manual: &'static str) -> Entry {
        let (at_once, waits, brief, numbers) = (false, false, false, false);
        Entry { nr, when, handler, manual, at_once, waits, brief, numbers }
    }

    /// It is served at once where its caller stands, if its handler does not find that it has to wait
    /// ([`Trouble::Later`](crate::trouble::Trouble::Later)): it touches no file of a guest's and does
    /// nothing before it has read all that it needs.
    const fn at_once(mut self) -> Entry {
        self.at_once = true;
        self
    }

    /// It is answered in some microseconds, as long as the file systems it asks have what it asks for.
    const fn brief(mut self) -> Entry {
        self.brief = true;
        self
    }

    /// It is told for the numbers of pid namespaces alone: as long as nobody is in one of ours, it is the
    /// kernel's to serve.
    const fn numbers(mut self) -> Entry {
        self.numbers = true;
        self
    }

    /// In the kernel it may wait for somebody, until a signal comes.
    const fn waits(mut self) -> Entry {
        self.waits = true;
        self
    }
}

const fn call(nr: i64, handler: Handler, manual: &'static str) -> Entry {
    Entry::new(nr, When::Always, handler, manual)
}

const fn some(
    nr: i64,
    arg: u8,
    values: &'static [u32],
    handler: Handler,
    manual: &'static str,
) -> Entry {
    Entry::new(nr, When::Arg(arg, values), handler, manual)
}

/// A call about somebody else, whose number is this argument; 0 is the caller.
const fn about(nr: i64, arg: u8, handler: Handler, manual: &'static str) -> Entry {
    Entry::new(nr, When::Given(arg), handler, manual)
}

/// The tables whose calls are answered by us.
const ANSWERED: [&[Entry]; 4] = [rows::ALWAYS, rows::SIGNALS, rows::FOR_PIDS, rows::FOR_MOUNTS];

fn all() -> impl Iterator<Item = &'static Entry> {
    ANSWERED.into_iter().chain([rows::KERNELS]).flatten()
}

/// Signals that a process cannot keep from itself.
const UNBLOCKABLE: [i32; 2] = [libc::SIGKILL, libc::SIGSTOP];

/// One more than the highest number in the tables.
const NUMBERS: usize = 512;

/// The tables by number: this is looked at on the path of every stopped call.
static BY_NUMBER: LazyLock<[Option<&Entry>; NUMBERS]> = LazyLock::new(|| {
    let mut by_number = [None; NUMBERS];
    for entry in all() {
        by_number[entry.nr as usize] = Some(entry);
    }
    by_number
});

fn entry(nr: i64) -> Option<&'static Entry> {
    *BY_NUMBER.get(usize::try_from(nr).ok()?)?
}

/// The handler of call number `nr`.
pub(crate) fn handler(nr: i64) -> Option<Handler> {
    entry(nr).map(|entry| entry.handler)
}

/// The handler of call number `nr`, if it may be served at once.
pub(crate) fn handler_at_once(nr: i64) -> Option<Handler> {
    entry(nr).filter(|entry| entry.at_once).map(|entry| entry.handler)
}

/// Whether call number `nr` is one of ours and never waits in the kernel until a signal comes.
pub(crate) fn never_waits(nr: i64) -> bool {
    entry(nr).is_some_and(|entry| !entry.waits)
}

/// Whether call number `nr` is usually answered in some microseconds.
pub(crate) fn is_brief(nr: i64) -> bool {
    entry(nr).is_some_and(|entry| entry.brief)
}

/// Whether call number `nr` is told for the numbers of pid namespaces alone.
pub(crate) fn is_about_numbers(nr: i64) -> bool {
    entry(nr).is_some_and(|entry| entry.numbers)
}

/// Whether call number `nr` of a thread, with this first argument, is told for numbers and is about that
/// thread itself.
pub(crate) fn is_about_itself(nr: i64, first: u64, tid: i32) -> bool {
    let about = |entry: &Entry| matches!(entry.when, When::Given(0)) && first as i32 == tid;
    nr == libc::SYS_gettid || entry(nr).is_some_and(|entry| entry.numbers && about(entry))
}

/// Name of the manual page of call number `nr`, for messages.
pub(crate) fn manual(nr: i64) -> &'static str {
    entry(nr).map_or("?", |entry| entry.manual)
}

/// Builds the filter; `first` are rows that come before ours.
pub fn filter(first: Vec<Row>, plan: &Plan, served: KindSet) -> Filter {
    let mut rows = first;
    for &(nr, errno) in rows::CLOSED {
        rows.push(Row { nr, test: Test::Always, action: Action::Errno(errno as u16) });
    }
    rows.extend(needed(served));
    Filter::planned(&rows, plan)
}

/// The calls that we have to hear of, as they would all be told. What an outer filter refuses of the
/// others is refused by it whether we hear of it or not.
pub fn rows() -> Vec<Row> {
    ANSWERED.into_iter().flatten().flat_map(Entry::rows).collect()
}

/// The rows without which what is served would not be right.
fn needed(served: KindSet) -> Vec<Row> {
    let mut needed: Vec<Row> = rows::ALWAYS.iter().flat_map(Entry::rows).collect();
    let mut add = |entries: &[Entry]| needed.extend(entries.iter().flat_map(Entry::rows));
    if served.contains(Kind::Mnt) {
        add(rows::FOR_MOUNTS);
    }
    if served.contains(Kind::Pid) {
        [rows::SIGNALS, rows::FOR_PIDS, rows::KERNELS].into_iter().for_each(add);
    } else {
        // Those that could reach the supervisor.
        needed.extend(rows::SIGNALS.iter().flat_map(|entry| {
            UNBLOCKABLE.map(|signal| {
                let test = Test::Eq { arg: 1, value: signal as u32 };
                Row { nr: entry.nr, test, action: Action::Notify }
            })
        }));
    }
    needed
}

impl Entry {
    fn rows(&self) -> Vec<Row> {
        let notify = |test| Row { nr: self.nr, test, action: Action::Notify };
        match &self.when {
            When::Always => vec![notify(Test::Always)],
            When::Arg(arg, values) => {
                values.iter().map(|&value| notify(Test::Eq { arg: *arg, value })).collect()
            }
            When::Bits { arg, mask, and: (other, value) } => vec![notify(Test::All(vec![
                Test::Eq { arg: *other, value: *value },
                Test::AnyBits { arg: *arg, mask: *mask },
            ]))],
            When::Given(arg) => vec![notify(Test::Ne { arg: *arg, value: 0 })],
            When::Both { first, second } => vec![notify(Test::All(vec![
                Test::Eq { arg: first.0, value: first.1 },
                Test::Eq { arg: second.0, value: second.1 },
            ]))],
            When::BelowMinusOne(arg) => vec![notify(Test::All(vec![
                Test::AnyBits { arg: *arg, mask: 1 << 31 },
                Test::Ne { arg: *arg, value: u32::MAX },
            ]))],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rows_of_a_number_say_the_same() {
        for entry in all() {
            for other in all().filter(|other| other.nr == entry.nr) {
                let said = |entry: &Entry| {
                    (entry.handler as usize, entry.at_once, entry.waits, entry.brief)
                };
                assert_eq!(said(entry), said(other), "{}", entry.manual);
            }
        }
    }

    #[test]
    fn only_what_never_waits_does_not_wait() {
        for nr in [libc::SYS_clone, libc::SYS_kill, libc::SYS_getpid, libc::SYS_execve] {
            assert!(never_waits(nr), "{nr}");
        }
        for nr in [libc::SYS_openat, libc::SYS_wait4, libc::SYS_fcntl, libc::SYS_semop] {
            assert!(!never_waits(nr), "{nr}");
        }
        assert!(!never_waits(libc::SYS_readv), "not ours");
    }
}
