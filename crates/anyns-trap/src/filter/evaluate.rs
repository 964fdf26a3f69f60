//! Tests of the compiler: programs are interpreted and compared with what their rows say.

use proptest::prelude::*;

use super::*;
use crate::arch;

/// A call as the filter sees it.
#[derive(Clone, Debug)]
struct Data {
    arch: u32,
    nr: u32,
    args: [u64; 6],
}

fn native(nr: u32, args: [u64; 6]) -> Data {
    Data { arch: arch::AUDIT_ARCH, nr, args }
}

/// Runs `filter` on `data` as the kernel would; also tells whether an argument was looked at.
fn run(filter: &Filter, data: &Data) -> (u32, bool) {
    let (mut pc, mut a, mut looked) = (0usize, 0u32, false);
    loop {
        let i = filter.program[pc];
        pc += 1;
        let mut jump = |holds: bool| pc += usize::from(if holds { i.jt } else { i.jf });
        match i.code {
            0x20 => {
                a = match i.k {
                    0 => data.nr,
                    4 => data.arch,
                    k => {
                        looked = true;
                        let arg = data.args[(k as usize - 16) / 8];
                        assert_eq!(k % 8, 0, "a low word on this machine");
                        arg as u32
                    }
                }
            }
            0x15 => jump(a == i.k),
            0x35 => jump(a >= i.k),
            0x45 => jump(a & i.k != 0),
            0x05 => pc += i.k as usize,
            0x06 => return (i.k, looked),
            code => panic!("unknown instruction {code:#x}"),
        }
    }
}

fn holds(test: &Test, args: &[u64; 6]) -> bool {
    let low = |arg: u8| args[usize::from(arg)] as u32;
    match test {
        Test::Always => true,
        Test::Eq { arg, value } => low(*arg) == *value,
        Test::Ne { arg, value } => low(*arg) != *value,
        Test::AnyBits { arg, mask } => low(*arg) & mask != 0,
        Test::All(tests) => tests.iter().all(|t| holds(t, args)),
    }
}

/// What the rows say, read as their documentation does.
fn meaning(rows: &[Row], nr: u32, args: &[u64; 6]) -> u32 {
    let row = rows.iter().find(|r| r.nr == i64::from(nr) && holds(&r.test, args));
    match row.map_or(Action::Allow, |r| r.action) {
        Action::Notify => libc::SECCOMP_RET_USER_NOTIF,
        Action::Trap => libc::SECCOMP_RET_TRAP | u32::from(DATA),
        Action::Trace => libc::SECCOMP_RET_TRACE | u32::from(DATA),
        Action::Errno(e) => libc::SECCOMP_RET_ERRNO | u32::from(e),
        Action::Allow => libc::SECCOMP_RET_ALLOW,
    }
}

const NOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

#[test]
fn foreign_calls_get_enosys() {
    let filter = Filter::compile(&[Row { nr: 1, test: Test::Always, action: Action::Notify }]);
    let i386 = Data { arch: 0x4000_0003, ..native(1, [0; 6]) };
    assert_eq!(run(&filter, &i386), (NOSYS, false));
    assert_eq!(run(&filter, &native(arch::FOREIGN_NR_FROM | 1, [0; 6])), (NOSYS, false));
    assert_eq!(run(&filter, &native(u32::MAX - 1, [0; 6])), (NOSYS, false));
    assert_eq!(run(&filter, &native(arch::NO_CALL, [0; 6])).0, libc::SECCOMP_RET_ALLOW);
    assert_eq!(run(&filter, &native(1, [0; 6])).0, libc::SECCOMP_RET_USER_NOTIF);
}

#[test]
fn an_empty_table_allows_everything_native() {
    let filter = Filter::compile(&[]);
    assert_eq!(run(&filter, &native(0, [0; 6])).0, libc::SECCOMP_RET_ALLOW);
    assert_eq!(filter.len(), 9);
}

#[test]
fn only_numbers_with_tests_look_at_arguments() {
    let rows = [
        Row { nr: 5, test: Test::AnyBits { arg: 0, mask: 1 }, action: Action::Notify },
        Row { nr: 6, test: Test::Always, action: Action::Notify },
        Row { nr: 7, test: Test::Eq { arg: 1, value: 3 }, action: Action::Allow },
    ];
    let filter = Filter::compile(&rows);
    let looked: Vec<u32> = (0..600).filter(|nr| run(&filter, &native(*nr, [0; 6])).1).collect();
    assert_eq!(looked, [5], "an argument test that changes nothing is left out");
}

#[test]
#[should_panic(expected = "six arguments")]
fn a_seventh_argument_is_a_programming_error() {
    let test = Test::Eq { arg: 6, value: 0 };
    Filter::compile(&[Row { nr: 0, test, action: Action::Notify }]);
}

fn any_value() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..4, Just(0x1000_0000), Just(u32::MAX), any::<u32>()]
}

fn any_test() -> impl Strategy<Value = Test> {
    let leaf = prop_oneof![
        2 => Just(Test::Always),
        2 => (0u8..6, any_value()).prop_map(|(arg, value)| Test::Eq { arg, value }),
        1 => (0u8..6, any_value()).prop_map(|(arg, value)| Test::Ne { arg, value }),
        2 => (0u8..6, any_value()).prop_map(|(arg, mask)| Test::AnyBits { arg, mask }),
    ];
    leaf.prop_recursive(2, 40, 8, |inner| {
        prop_oneof![
            9 => prop::collection::vec(inner.clone(), 0..4),
            // Long enough that conditional jumps no longer reach.
            1 => prop::collection::vec(inner, 100..140),
        ]
        .prop_map(Test::All)
    })
}

fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    let action = prop_oneof![
        3 => Just(Action::Notify),
        1 => any::<u16>().prop_map(|e| Action::Errno(e % 4096)),
        1 => Just(Action::Allow),
        1 => Just(Action::Trap),
        1 => Just(Action::Trace),
    ];
    let nr = prop_oneof![3 => 0i64..40, 1 => 0i64..0x4000_0000];
    let row = (nr, any_test(), action).prop_map(|(nr, test, action)| Row { nr, test, action });
    prop::collection::vec(row, 0..60)
        .prop_filter("short enough for the kernel", |rows| compile::length(rows) <= 4096)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn programs_mean_what_their_rows_say(
        rows in any_rows(),
        calls in prop::collection::vec((0u32..45, [any_value(), any_value(), any_value(),
            any_value(), any_value(), any_value()], any::<u32>()), 1..40),
    ) {
        let filter = Filter::compile(&rows);
        let named = rows.iter().map(|r| (r.nr as u32, [0u32; 6], 0u32));
        let beside = rows.iter().map(|r| (r.nr as u32 + 1, [u32::MAX; 6], 7u32));
        for (nr, low, high) in calls.into_iter().chain(named).chain(beside) {
            if nr >= arch::FOREIGN_NR_FROM {
                continue;
            }
            // The upper words are noise that no test may see.
            let args = low.map(|l| u64::from(l) | u64::from(high) << 32);
            prop_assert_eq!(run(&filter, &native(nr, args)).0, meaning(&rows, nr, &args));
        }
    }
}
