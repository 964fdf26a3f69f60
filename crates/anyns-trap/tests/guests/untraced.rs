//! Children that ask for no tracer with CLONE_UNTRACED, whose flags clone3 hides in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::basic::call;
use crate::cases;
use crate::execs::with_registers;
use crate::forks::{FORKS, Tally, exit_now, wait_for};
use crate::harness::{Case, guests_are_seized, run, tell_all};

pub(crate) const CASES: &[Case] = cases![
    untraced_clone3s_are_seen => guest_untraced_clone3,
    clone3s_that_are_let_through_are_traced => guest_untraced_clone3,
    no_race_makes_an_untraced_child => guest_races,
];

/// Where guests are seized for good; otherwise the embedder must not let such a call through.
fn untraced_clone3s_are_seen() {
    if !guests_are_seized() {
        return;
    }
    let tally = Arc::new(Tally::default());
    let server = Arc::clone(&tally);
    let out = run(&tell_all(FORKS), move |c| server.let_fork(c, false));
    assert_eq!(out.ok(), "ok 0\n");
    assert_eq!(tally.show(), "forked 2 restarted 0 failed 0 gone 0 untraceable 0");
}

fn clone3s_that_are_let_through_are_traced() {
    let out = run(&tell_all(FORKS), |c| c.resume());
    let traced = if guests_are_seized() { 0 } else { 1 };
    assert_eq!(out.ok(), format!("ok {traced}\n"));
}

/// clone3's block for a process without a tracer.
const BLOCK: [u64; 11] = {
    let mut block = [0; 11];
    (block[0], block[4]) = (libc::CLONE_UNTRACED as u64, libc::SIGCHLD as u64);
    block
};

fn has_tracer() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    !status.contains("TracerPid:\t0\n")
}

/// Says whether a child had no tracer.
fn guest_untraced_clone3() {
    let mut seen = Vec::new();
    for read_only in [false, true] {
        static SHARED: [u64; 11] = BLOCK;
        let own = &mut BLOCK.clone();
        let block = if read_only { &SHARED } else { own };
        let args = [block.as_ptr() as u64, 88, 2, 3, 4, 5];
        let (pid, registers) = with_registers(libc::SYS_clone3, args);
        let unchanged = registers == args && block[0] == libc::CLONE_UNTRACED as u64;
        if pid == 0 {
            exit_now(i32::from(!has_tracer()) + 2 * i32::from(!unchanged));
        }
        assert!(pid > 0, "clone3 says {pid}");
        assert!(unchanged, "{registers:?}");
        seen.push(wait_for(pid) >> 8);
    }
    assert_eq!(seen[0], seen[1]);
    println!("ok {}", seen[0]);
}

/// A thread changes the flags all the time: whatever child was made untraced is killed.
fn no_race_makes_an_untraced_child() {
    if !guests_are_seized() {
        return;
    }
    let out = run(&tell_all(FORKS), |c| c.resume());
    assert_eq!(out.ok(), "ok\n");
}

fn guest_races() {
    static SHARED: [AtomicU64; 11] = [const { AtomicU64::new(0) }; 11];
    SHARED[4].store(libc::SIGCHLD as u64, Ordering::Relaxed);
    std::thread::spawn(|| {
        loop {
            SHARED[0].fetch_xor(libc::CLONE_UNTRACED as u64, Ordering::Relaxed);
        }
    });
    for _ in 0..300 {
        let pid = call(libc::SYS_clone3, [SHARED.as_ptr() as u64, 88, 0, 0, 0, 0]);
        if pid == 0 {
            if has_tracer() {
                exit_now(0);
            }
            // It is killed long before that.
            call(libc::SYS_nanosleep, [[20u64, 0].as_ptr() as u64, 0, 0, 0, 0, 0]);
            exit_now(1);
        }
        assert!(pid > 0, "clone3 says {pid}");
        let status = wait_for(pid);
        assert!(status == 0 || status == libc::SIGKILL, "{status:#x}");
    }
    println!("ok");
}
