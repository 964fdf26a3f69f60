//! Guests whose calls are told and whose handlers may interrupt them: traced for that time, and for
//! that time only.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyns_trap::Tid;
use anyns_trap::raw::{self, Handling};

use crate::basic::call;
use crate::cases;
use crate::execs::exec;
use crate::forks::{FORKS, Tally, alarms, exit_now, fork_and_wait, wait_for};
use crate::harness::{Case, NEVER_WAITS, Way, guests_are_seized, run, tell, tell_all, way};

pub(crate) const CASES: &[Case] = cases![
    who_may_be_interrupted_is_traced_up_to_an_exec => guest_arranges,
    who_is_minded_is_never_interrupted => guest_under_alarms,
    who_is_minded_can_be_traced_by_a_guest => guest_traces,
    many_come_and_go => guest_comes_and_goes,
    threads_that_fork_meanwhile_can_be_traced => guest_arranges_while_it_forks,
];

fn has_tracer(tid: Tid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    line.is_some_and(|pid| pid.trim() != "0")
}

/// What a guest hears of itself: whether it has a tracer.
fn answers() -> String {
    run(&[tell(libc::SYS_getppid)], |c| {
        let traced = has_tracer(c.tid());
        c.ret(traced.into())
    })
    .ok()
}

fn is_traced() -> bool {
    call(libc::SYS_getppid, [0; 6]) == 1
}

fn who_may_be_interrupted_is_traced_up_to_an_exec() {
    let expected = if guests_are_seized() { "true" } else { "false" };
    let out = answers();
    let (guest, program) = out.split_once('\n').unwrap();
    assert_eq!(guest, "ok");
    assert_eq!(program.trim() != "TracerPid:\t0", expected == "true", "{program}");
}

fn guest_arranges() {
    let (ask, may_ask) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || {
        may_ask.recv().unwrap();
        is_traced()
    });
    assert_eq!(is_traced(), guests_are_seized(), "without a handler");
    alarms(0, libc::SA_RESTART);
    assert_eq!(is_traced(), guests_are_seized(), "with SA_RESTART");
    raw::handle(libc::SIGTERM, Handling::Remember).unwrap();
    raw::handle(libc::SIGUSR1, Handling::Ignore).unwrap();
    assert_eq!(is_traced(), guests_are_seized(), "for another signal; ignored");
    raw::handle(libc::SIGUSR1, Handling::Remember).unwrap();
    assert!(is_traced(), "the one that has arranged it");
    ask.send(()).unwrap();
    assert!(other.join().unwrap(), "a thread from before");
    assert!(std::thread::spawn(is_traced).join().unwrap(), "a thread from after");
    let pid = call(libc::SYS_fork, [0; 6]);
    if pid == 0 {
        exit_now(if is_traced() { 0 } else { 1 });
    }
    assert_eq!(wait_for(pid), 0, "a child");
    println!("ok");
    exec("/bin/grep", &["grep", "TracerPid", "/proc/self/status"]);
}

fn who_is_minded_is_never_interrupted() {
    let rows = tell_all(&[NEVER_WAITS, libc::SYS_getppid]);
    assert_eq!(run(&rows, |c| c.ret(7)).ok(), "ok\n");
}

fn guest_under_alarms() {
    alarms(300, 0);
    let mut interrupted = 0;
    for _ in 0..20_000 {
        assert_eq!(call(NEVER_WAITS, [0; 6]), 7);
        // Of this one the server does not say that it never waits.
        interrupted += u32::from(call(libc::SYS_getppid, [0; 6]) != 7);
    }
    assert!(interrupted > 0 || way() == Way::Stopped, "nothing has been shown");
    println!("ok");
}

fn who_is_minded_can_be_traced_by_a_guest() {
    assert_eq!(run(&[tell(libc::SYS_getppid)], |c| c.ret(7)).ok(), "ok\n");
}

fn guest_traces() {
    let [refused, done] = [-i64::from(libc::EPERM), 0];
    let expected = if guests_are_seized() { refused } else { done };
    raw::handle(libc::SIGUSR1, Handling::Remember).unwrap();
    let ptrace = |request: u32, pid: i64| {
        call(libc::SYS_ptrace, [u64::from(request), pid as u64, 0, 0, 0, 0])
    };
    for request in [libc::PTRACE_SEIZE, libc::PTRACE_ATTACH] {
        let pid = call(libc::SYS_fork, [0; 6]);
        if pid == 0 {
            loop {
                std::thread::park();
            }
        }
        assert_eq!(ptrace(request, pid), expected);
        raw::kill(pid as i32, libc::SIGKILL).unwrap();
        while libc::WIFSTOPPED(wait_for(pid)) {}
    }
    let pid = call(libc::SYS_fork, [0; 6]);
    if pid == 0 {
        exit_now(if ptrace(libc::PTRACE_TRACEME, 0) == expected { 9 } else { 1 });
    }
    assert_eq!(wait_for(pid), 9 << 8);
    println!("ok");
}

fn many_come_and_go() {
    let rows = tell_all(&[libc::SYS_getppid, libc::SYS_execve]);
    let out = run(&rows, |c| match c.nr() {
        libc::SYS_getppid => c.ret(7),
        _ => match c.let_exec(None) {
            Ok(execed) => execed.release(),
            Err(failed) => failed.settle(),
        },
    });
    assert_eq!(out.ok(), "ok\n");
}

/// Several at once: a child that arranges something, its own child, which executes another program,
/// and its end.
fn guest_comes_and_goes() {
    let ends = |code: i32| exit_now(code);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for round in 0..50 {
                    let pid = call(libc::SYS_fork, [0; 6]);
                    if pid == 0 {
                        let _ = raw::handle(libc::SIGCHLD, Handling::Remember);
                        let asked = call(libc::SYS_getppid, [0; 6]);
                        let pid = call(libc::SYS_fork, [0; 6]);
                        if pid == 0 {
                            exec("/bin/true", &["true"]);
                            ends(1);
                        }
                        ends(if (asked, wait_for(pid)) == (7, 0) { 0 } else { 2 });
                    }
                    assert_eq!(wait_for(pid), 0, "round {round}");
                }
            });
        }
    });
    println!("ok");
}

/// A worker may be about to trace a thread for a moment when it begins to be minded.
fn threads_that_fork_meanwhile_can_be_traced() {
    let tally = Arc::new(Tally::default());
    let server = Arc::clone(&tally);
    let out = run(&tell_all(FORKS), move |c| server.let_fork(c, false));
    assert_eq!(out.ok(), "ok\n");
    assert_eq!(tally.untraceable.load(Ordering::Relaxed), 0, "{}", tally.show());
}

fn guest_arranges_while_it_forks() {
    for round in 0..60 {
        let pid = call(libc::SYS_fork, [0; 6]);
        if pid == 0 {
            let threads = [0, 1].map(|_| {
                std::thread::spawn(|| (0..4).for_each(|_| assert_eq!(fork_and_wait(2), 2)))
            });
            std::thread::sleep(Duration::from_micros(20 * round));
            let _ = raw::handle(libc::SIGUSR1, Handling::Remember);
            let fine = threads.into_iter().all(|thread| thread.join().is_ok());
            exit_now(i32::from(!fine));
        }
        assert_eq!(wait_for(pid), 0, "round {round}");
    }
    println!("ok");
}
