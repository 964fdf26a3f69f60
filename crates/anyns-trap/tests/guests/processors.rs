//! Where guests may run: as they were told to, whatever is done to them.

use anyns_trap::{Failed, Forked};
use rustix::process::Pid;
use rustix::thread::sched_getaffinity;

use crate::basic::call;
use crate::cases;
use crate::forks::{exit_now, wait_for};
use crate::harness::{Case, run, tell_all};

pub(crate) const CASES: &[Case] = cases![
    a_standing_guest_keeps_its_processors => guest_asks,
    children_may_run_where_their_parents_may => guest_has_children,
];

fn processors(tid: i32) -> u32 {
    sched_getaffinity(Pid::from_raw(tid)).expect("a thread").count()
}

fn a_standing_guest_keeps_its_processors() {
    let out = run(&tell_all(&[libc::SYS_getpgid]), |c| {
        let count = processors(c.tid().0);
        c.ret(count.into())
    });
    assert_eq!(out.ok(), "ok\n");
}

fn guest_asks() {
    let own = processors(0);
    for _ in 0..300 {
        assert_eq!(call(libc::SYS_getpgid, [0; 6]), i64::from(own), "seen by the supervisor");
        assert_eq!(processors(0), own);
    }
    println!("ok");
}

fn children_may_run_where_their_parents_may() {
    let out = run(&tell_all(&[libc::SYS_fork]), |c| {
        c.let_fork(None).map_or_else(Failed::settle, Forked::release)
    });
    assert_eq!(out.ok(), "ok\n");
}

fn guest_has_children() {
    let own = processors(0);
    for _ in 0..200 {
        let pid = call(libc::SYS_fork, [0; 6]);
        if pid == 0 {
            exit_now(i32::from(processors(0) != own));
        }
        assert_eq!(wait_for(pid) >> 8, 0, "the child's processors");
    }
    println!("ok");
}
