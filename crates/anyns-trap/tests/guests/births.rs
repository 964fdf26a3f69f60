//! Births that somebody hears of later, while parent and child stand.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyns_trap::{Answered, Birth, Call, Failed, Tid};

use crate::basic::call;
use crate::cases;
use crate::forks::{exit_now, wait_for};
use crate::harness::{Case, run, tell_all};

pub(crate) const CASES: &[Case] = cases![
    a_child_stands_while_its_birth_is_told => guest_forks,
    nothing_is_told_of_a_fork_that_fails => guest_fails,
    parents_killed_in_the_middle_leave_nobody_untold => guest_is_killed,
];

/// Counts who is told, and who never will be.
struct Count {
    told: &'static AtomicUsize,
    dropped: &'static AtomicUsize,
}

impl Birth for Count {
    fn born(self: Box<Self>, parent: Tid, child: Tid) {
        // Neither has run a step: a child is where its parent is, in its call.
        for tid in [parent, child] {
            let stat = std::fs::read_to_string(format!("/proc/{tid}/stat")).unwrap_or_default();
            let state =
                stat.rsplit_once(") ").map_or('X', |(_, rest)| rest.chars().next().unwrap());
            // A child may be on its way to its first stop.
            assert!("tRXZ".contains(state) || tid == child, "{tid} {state}");
        }
        self.told.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

fn follow(c: Call, told: &'static AtomicUsize, dropped: &'static AtomicUsize) -> Answered {
    c.let_fork_then(Box::new(Count { told, dropped })).unwrap_or_else(Failed::settle)
}

fn counters() -> (&'static AtomicUsize, &'static AtomicUsize) {
    (Box::leak(Box::default()), Box::leak(Box::default()))
}

fn a_child_stands_while_its_birth_is_told() {
    let (told, dropped) = counters();
    let rows = tell_all(&[libc::SYS_fork, libc::SYS_vfork, libc::SYS_getpgid]);
    let out = run(&rows, move |c| match c.nr() {
        // So many births have been told of by now, as a child sees it first.
        libc::SYS_getpgid => c.ret(told.load(Ordering::SeqCst) as i64),
        _ => follow(c, told, dropped),
    });
    assert_eq!(out.ok(), "ok\n");
    assert_eq!((told.load(Ordering::SeqCst), dropped.load(Ordering::SeqCst)), (200, 200));
}

fn guest_forks() {
    for i in 1..=200 {
        let pid = call(libc::SYS_fork, [0; 6]);
        if pid == 0 {
            exit_now(i32::from(call(libc::SYS_getpgid, [0; 6]) != i));
        }
        assert_eq!(wait_for(pid) >> 8, 0, "child {i} ran before it was told of");
    }
    println!("ok");
}

fn nothing_is_told_of_a_fork_that_fails() {
    let (told, dropped) = counters();
    let out = run(&tell_all(&[libc::SYS_clone, libc::SYS_getpgid]), move |c| match c.nr() {
        libc::SYS_getpgid => c.ret(dropped.load(Ordering::SeqCst) as i64),
        _ => follow(c, told, dropped),
    });
    assert_eq!(out.ok(), "ok\n");
    assert_eq!((told.load(Ordering::SeqCst), dropped.load(Ordering::SeqCst)), (0, 50));
}

fn guest_fails() {
    // Shared handlers without shared memory: no kernel allows that.
    let flags = (libc::CLONE_SIGHAND | libc::SIGCHLD) as u64;
    for i in 1..=50 {
        assert_eq!(call(libc::SYS_clone, [flags, 0, 0, 0, 0, 0]), -i64::from(libc::EINVAL));
        assert_eq!(call(libc::SYS_getpgid, [0; 6]), i, "dropped by the next call");
    }
    println!("ok");
}

fn parents_killed_in_the_middle_leave_nobody_untold() {
    let (told, dropped) = counters();
    let out = run(&tell_all(&[libc::SYS_fork, libc::SYS_getpgid]), move |c| match c.nr() {
        libc::SYS_getpgid => c.ret(told.load(Ordering::SeqCst) as i64),
        _ => follow(c, told, dropped),
    });
    let out = out.ok();
    let (told, dropped) = (told.load(Ordering::SeqCst), dropped.load(Ordering::SeqCst));
    assert_eq!(told.max(dropped), dropped, "{out}");
    assert!(told >= 100, "{told} of {dropped}: {out}");
}

/// A hundred times a child that forks all the time is killed. Its children end by themselves.
fn guest_is_killed() {
    for i in 0..100 {
        let victim = call(libc::SYS_fork, [0; 6]);
        if victim == 0 {
            loop {
                if call(libc::SYS_fork, [0; 6]) == 0 {
                    exit_now(0);
                }
            }
        }
        std::thread::sleep(std::time::Duration::from_micros(300 + 37 * i));
        // SAFETY: kill takes two scalars; the victim is our child, not yet waited for.
        unsafe { libc::kill(victim as i32, libc::SIGKILL) };
        wait_for(victim);
    }
    println!("ok");
}
