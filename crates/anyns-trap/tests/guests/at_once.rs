//! Calls that are served on the tracer itself, and those that are given back to a worker.

use anyns_trap::{Answered, Call, MemError};

use crate::basic::call;
use crate::cases;
use crate::harness::{Case, Way, run_at_once, tell_all, way};

pub(crate) const CASES: &[Case] = cases![
    what_is_given_back_a_worker_serves => guest_calls,
    memory_that_is_not_there_is_left_to_a_worker => guest_maps,
    a_wait_on_the_tracer_fails_and_nothing_hangs => guest_is_refused,
    a_signal_that_was_blocked_stays_so => guest_blocks,
];

/// Whether calls are stopped here, so that they can be served at once.
fn stopped() -> bool {
    way() == Way::Stopped
}

fn even(call: Call) -> Result<Answered, Call> {
    let count = call.arg(0) as i64;
    if count % 2 == 0 { Ok(call.ret(count)) } else { Err(call) }
}

fn what_is_given_back_a_worker_serves() {
    let out = run_at_once(&tell_all(&[libc::SYS_getpgid]), even, |c| {
        let value = c.arg(0) as i64;
        c.ret(1000 + value)
    });
    let at_once = if stopped() { 0 } else { 1000 * 500 };
    assert_eq!(out.ok(), format!("{}\n", (0..1000).sum::<i64>() + 1000 * 500 + at_once));
}

fn guest_calls() {
    let sum: i64 = (0..1000).map(|i| call(libc::SYS_getpgid, [i, 0, 0, 0, 0, 0])).sum();
    println!("{sum}");
}

/// Reads a number and adds one; the worker says by 100 more that it was there.
fn read(call: Call) -> Result<Answered, Call> {
    match call.mem().read_value::<u64>(call.arg(0)) {
        Ok(value) => match call.mem().write_value(call.arg(1), value + 1) {
            Ok(()) => Ok(call.ret(value as i64)),
            Err(MemError::Later) => Err(call),
            Err(_) => Ok(call.errno(libc::EFAULT)),
        },
        Err(MemError::Later) => Err(call),
        Err(_) => Ok(call.errno(libc::EFAULT)),
    }
}

fn memory_that_is_not_there_is_left_to_a_worker() {
    let out = run_at_once(&tell_all(&[libc::SYS_getpgid]), read, |c| {
        let value = c.mem().read_value::<u64>(c.arg(0));
        match value.and_then(|value| c.mem().write_value(c.arg(1), value + 1).map(|()| value)) {
            Ok(value) => c.ret(value as i64 + 100),
            Err(_) => c.errno(libc::EFAULT),
        }
    });
    let (bad, there) = (-libc::EFAULT, if stopped() { 7 } else { 107 });
    // What is there; nobody has touched the first, or the second; no such memory; then both are there.
    assert_eq!(out.ok(), format!("{there} 100 107 {bad} {bad} {there}\n"));
}

fn guest_maps() {
    let fresh = || {
        // SAFETY: a new private mapping, of which nothing but the kernel and the supervisor knows.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(at, libc::MAP_FAILED);
        at as u64
    };
    let (mut seven, mut place) = (7u64, 0u64);
    std::hint::black_box((&mut seven, &mut place));
    let (seven_at, place_at) = (&raw const seven as u64, &raw mut place as u64);
    let (never, nowhere) = (fresh(), fresh());
    let ask = |from, to| call(libc::SYS_getpgid, [from, to, 0, 0, 0, 0]);
    let there = ask(seven_at, place_at);
    let first = ask(never, place_at);
    let second = ask(seven_at, nowhere);
    let bad = (ask(8, place_at), ask(seven_at, 8));
    assert_eq!(std::hint::black_box(place), 1, "what was written last but for the last");
    println!("{there} {first} {second} {} {} {}", bad.0, bad.1, ask(seven_at, nowhere));
}

fn wait(call: Call) -> Result<Answered, Call> {
    match call.stop() {
        Ok(held) => match held.inject(libc::SYS_getpid, [0; 6]) {
            Ok((_, held)) => Ok(held.ret(1)),
            Err(failed) => Ok(failed.settle()),
        },
        Err(failed) => Ok(failed.settle()),
    }
}

fn a_wait_on_the_tracer_fails_and_nothing_hangs() {
    let out = run_at_once(&tell_all(&[libc::SYS_getpgid]), wait, |c| c.ret(5));
    assert_eq!(out.ok(), if stopped() { "other\n" } else { "5\n" });
}

fn guest_is_refused() {
    // What the caller hears of such a mistake is of no matter, but it goes on.
    let heard = call(libc::SYS_getpgid, [0; 6]);
    println!("{}", if heard == 5 { "5" } else { "other" });
}

fn a_signal_that_was_blocked_stays_so() {
    let out = run_at_once(&tell_all(&[libc::SYS_getpgid]), |c| Ok(c.ret(3)), |c| c.ret(3));
    assert_eq!(out.ok(), "ok\n");
}

fn guest_blocks() {
    let blocked = || {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).expect("SigBlk");
        u64::from_str_radix(line, 16).expect("a set")
    };
    let set = |how: i32, set: u64| {
        let at = &raw const set as u64;
        call(libc::SYS_rt_sigprocmask, [how as u64, at, 0, 8, 0, 0])
    };
    for mask in [0, 1 << (libc::SIGUSR1 - 1), !0] {
        assert_eq!(set(libc::SIG_SETMASK, mask), 0);
        let before = blocked();
        for _ in 0..5 {
            assert_eq!(call(libc::SYS_getpgid, [0; 6]), 3);
            assert_eq!(blocked(), before, "with {mask:x}");
        }
    }
    println!("ok");
}
