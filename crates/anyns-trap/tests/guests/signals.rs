//! What a guest sees of signals: its mask, its handlers, its own filters.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyns_trap::raw::{Instruction, install_filter};

use crate::basic::call;
use crate::cases;
use crate::harness::{Case, run, tell, tell_all};

pub(crate) const CASES: &[Case] = cases![
    the_signal_mask_is_as_it_was => guest_masks,
    the_disposition_of_sigsys_is_as_it_was => guest_dispositions,
    children_and_programs_inherit_what_was_set => guest_inherits,
    a_sigsys_of_its_own_meets_its_own_action => guest_own_sigsys,
    own_filters_are_told_from_ours => guest_own_filters,
    a_signal_storm_loses_and_doubles_nothing => guest_storm,
];

const SYS: i32 = libc::SIGSYS;
const BIT: u64 = 1 << (SYS - 1);

/// A call that the supervisor answers with 7.
fn ask() -> i64 {
    call(libc::SYS_getppid, [0; 6])
}

fn answers() -> String {
    run(&[tell(libc::SYS_getppid)], |c| c.ret(7)).ok()
}

fn set_mask(mask: u64) -> u64 {
    let mut old = 0u64;
    let args = [libc::SIG_SETMASK as u64, (&raw const mask) as u64, (&raw mut old) as u64, 8, 0, 0];
    assert_eq!(call(libc::SYS_rt_sigprocmask, args), 0);
    old
}

fn mask() -> u64 {
    let mut old = 0u64;
    let args = [0, 0, (&raw mut old) as u64, 8, 0, 0];
    assert_eq!(call(libc::SYS_rt_sigprocmask, args), 0);
    old
}

fn the_signal_mask_is_as_it_was() {
    assert_eq!(answers(), "ok\n");
}

fn guest_masks() {
    let unblockable = 1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1);
    // As Go does around a clone, from the very first call on.
    set_mask(u64::MAX);
    for _ in 0..20 {
        assert_eq!((ask(), mask()), (7, !unblockable));
    }
    let usr1 = 1 << (libc::SIGUSR1 - 1);
    for wanted in [0, BIT, usr1, BIT | usr1, !BIT, u64::MAX, 0, BIT] {
        set_mask(wanted);
        for _ in 0..3 {
            assert_eq!((ask(), mask()), (7, wanted & !unblockable));
        }
    }
    // Each thread has its own.
    let others: Vec<_> = [0, BIT]
        .map(|wanted| {
            std::thread::spawn(move || {
                set_mask(wanted);
                for _ in 0..50 {
                    assert_eq!(mask() & BIT, wanted);
                    std::thread::yield_now();
                }
            })
        })
        .into();
    others.into_iter().for_each(|thread| thread.join().unwrap());
    println!("ok");
}

/// `struct sigaction` of the kernel: handler, flags, restorer, mask.
type Action = [u64; 4];
const RESTORER: u64 = 0x0400_0000;

fn action(new: Option<Action>) -> Action {
    let mut old = Action::default();
    let new = new.as_ref().map_or(0, |new| new.as_ptr() as u64);
    let args = [SYS as u64, new, old.as_mut_ptr() as u64, 8, 0, 0];
    assert_eq!(call(libc::SYS_rt_sigaction, args), 0);
    old
}

fn the_disposition_of_sigsys_is_as_it_was() {
    assert_eq!(answers(), "ok\n");
}

fn guest_dispositions() {
    assert_eq!(action(None), [0; 4]);
    assert_eq!(ask(), 7);
    assert_eq!(action(None), [0; 4], "the default is shown");
    let ignored = [1, 0, 0, 0];
    let handled = [0x1234, libc::SA_SIGINFO as u64 | RESTORER, 0x5678, 1 << 9];
    for wanted in [ignored, handled, [0; 4], handled, ignored] {
        let before = action(None);
        assert_eq!(action(Some(wanted)), before);
        for blocked in [0, BIT, 0, u64::MAX] {
            set_mask(blocked);
            assert_eq!(ask(), 7);
            assert_eq!(action(None), wanted, "mask {blocked:#x}");
            assert_eq!(mask() & BIT, blocked & BIT);
        }
        set_mask(0);
    }
    // Bad arguments are the kernel's own to refuse.
    let bad = |new, old, size| call(libc::SYS_rt_sigaction, [SYS as u64, new, old, size, 0, 0]);
    assert_eq!(bad(0, 0, 4), -i64::from(libc::EINVAL));
    assert_eq!(bad(8, 0, 8), -i64::from(libc::EFAULT));
    assert_eq!(bad(0, 8, 8), -i64::from(libc::EFAULT));
    println!("ok");
}

fn children_and_programs_inherit_what_was_set() {
    assert_eq!(answers(), "ok\n");
}

/// Runs `child` in a child; whether it returned true.
fn in_child(child: impl FnOnce() -> bool) -> bool {
    let pid = call(libc::SYS_fork, [0; 6]);
    if pid == 0 {
        let status = i32::from(!child());
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(status) }
    }
    wait_status(pid) == 0
}

fn wait_status(pid: i64) -> i32 {
    let mut status = 0;
    // SAFETY: the status is ours until the call returns.
    assert_eq!(i64::from(unsafe { libc::waitpid(pid as i32, &raw mut status, 0) }), pid);
    status
}

fn guest_inherits() {
    if std::env::var_os("AGAIN").is_some() {
        // The program that was started with SIGSYS ignored and blocked, and nothing else.
        assert_eq!((ask(), mask() & BIT, action(None)[0]), (7, BIT, 1));
        return println!("ok");
    }
    let handled = [0x1234, libc::SA_SIGINFO as u64 | RESTORER, 0x5678, 0];
    action(Some(handled));
    assert_eq!(ask(), 7);
    assert!(in_child(|| {
        let same = ask() == 7 && action(None) == handled;
        action(Some([0; 4]));
        same && ask() == 7 && action(None) == [0; 4]
    }));
    assert_eq!((ask(), action(None)), (7, handled), "the child's are its own");
    std::thread::spawn(move || {
        assert_eq!((ask(), action(None)), (7, handled));
        action(Some([1, 0, 0, 0]));
        assert_eq!(ask(), 7);
    })
    .join()
    .unwrap();
    assert_eq!((ask(), action(None)[0]), (7, 1), "threads share them");
    set_mask(BIT);
    use std::os::unix::process::CommandExt;
    let args: Vec<String> = std::env::args().skip(1).collect();
    let error = std::process::Command::new("/proc/self/exe").args(args).env("AGAIN", "1").exec();
    panic!("{error}");
}

fn a_sigsys_of_its_own_meets_its_own_action() {
    assert_eq!(answers(), "ok\n");
}

static SEEN: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: i32) {
    SEEN.fetch_add(1, Ordering::Relaxed);
}

fn handle(signal: i32, flags: i32) {
    // SAFETY: a `sigaction` of zeroes is a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = count as *const () as usize;
    action.sa_flags = flags;
    // SAFETY: the handler only counts.
    assert_eq!(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) }, 0);
}

fn raise() {
    let me = u64::from(std::process::id());
    assert_eq!(call(libc::SYS_kill, [me, SYS as u64, 0, 0, 0, 0]), 0);
}

fn guest_own_sigsys() {
    handle(SYS, 0);
    for n in 1..=20 {
        raise();
        assert_eq!((ask(), SEEN.load(Ordering::Relaxed)), (7, n));
    }
    // Blocked, it stays pending over a call.
    set_mask(BIT);
    raise();
    assert_eq!((ask(), SEEN.load(Ordering::Relaxed)), (7, 20));
    set_mask(0);
    assert_eq!((ask(), SEEN.load(Ordering::Relaxed)), (7, 21));
    action(Some([1, 0, 0, 0]));
    assert_eq!(ask(), 7);
    raise();
    assert_eq!((ask(), SEEN.load(Ordering::Relaxed)), (7, 21));
    // By default it kills, before the first stopped call and after.
    for calls in 0..2 {
        let pid = call(libc::SYS_fork, [0; 6]);
        if pid == 0 {
            action(Some([0; 4]));
            let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: the structure lives until the call returns.
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
            (0..calls).for_each(|_| assert_eq!(ask(), 7));
            raise();
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(1) };
        }
        let status = wait_status(pid);
        assert_eq!(libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)), Some(SYS));
    }
    // Reset by its delivery.
    handle(SYS, libc::SA_RESETHAND);
    raise();
    assert_eq!((ask(), SEEN.load(Ordering::Relaxed), action(None)[0]), (7, 22, 0));
    println!("ok");
}

fn own_filters_are_told_from_ours() {
    let rows = tell_all(&[libc::SYS_getppid, libc::SYS_getpgid]);
    let out = run(&rows, |c| c.ret(7));
    assert_eq!(out.ok(), "ok\n");
}

/// Answers `nr` by `action`, and everything else is allowed.
fn own_filter(nr: i64, action: u32) {
    let op = |code, k, jt, jf| Instruction { code, jt, jf, k };
    // Load the number; if it is not `nr`, go on; answer.
    let program = [
        op(0x20, 0, 0, 0),
        op(0x15, nr as u32, 0, 1),
        op(0x06, action, 0, 0),
        op(0x06, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    install_filter(&program).unwrap();
}

fn guest_own_filters() {
    let pgid = || call(libc::SYS_getpgid, [0; 6]);
    assert_eq!((ask(), pgid()), (7, 7));
    // A call that nobody serves.
    handle(SYS, 0);
    own_filter(libc::SYS_getsid, libc::SECCOMP_RET_TRAP | 5);
    let refused = call(libc::SYS_getsid, [0; 6]);
    assert_eq!((refused, SEEN.load(Ordering::Relaxed)), (libc::SYS_getsid, 1));
    // One that we serve: its own filter is the newer one.
    own_filter(libc::SYS_getpgid, libc::SECCOMP_RET_TRAP | 5);
    assert_eq!((pgid(), SEEN.load(Ordering::Relaxed)), (libc::SYS_getpgid, 2));
    assert_eq!(ask(), 7);
    own_filter(libc::SYS_getpgrp, libc::SECCOMP_RET_ERRNO | libc::EXDEV as u32);
    assert_eq!(call(libc::SYS_getpgrp, [0; 6]), -i64::from(libc::EXDEV));
    // An errno for a call that we serve, for the one who asked for it and its descendants only.
    assert!(in_child(|| {
        own_filter(libc::SYS_getppid, libc::SECCOMP_RET_ERRNO | libc::EXDEV as u32);
        let refused = || ask() == -i64::from(libc::EXDEV);
        let thread = std::thread::spawn(refused).join().unwrap();
        refused() && thread && in_child(refused)
    }));
    assert_eq!(ask(), 7);
    let pid = call(libc::SYS_fork, [0; 6]);
    if pid == 0 {
        own_filter(libc::SYS_getppid, libc::SECCOMP_RET_KILL_PROCESS);
        ask();
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(1) };
    }
    let status = wait_status(pid);
    assert_eq!(libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)), Some(SYS));
    assert_eq!((ask(), SEEN.load(Ordering::Relaxed)), (7, 2));
    println!("ok");
}

fn a_signal_storm_loses_and_doubles_nothing() {
    let out = run(&[tell(libc::SYS_getppid)], |c| c.ret(7));
    assert_eq!(out.ok(), "ok\n");
}

/// How many queued signals are sent; real-time ones are not merged.
const SIGNALS: usize = 20_000;

fn guest_storm() {
    let signal = libc::SIGRTMIN() + 3;
    handle(signal, libc::SA_RESTART);
    let (me, thread) = (std::process::id() as u64, std::thread::current().id());
    let sender = std::thread::spawn(move || {
        assert_ne!(std::thread::current().id(), thread);
        for _ in 0..SIGNALS {
            // EAGAIN: the queue is full.
            while call(libc::SYS_tgkill, [me, me, signal as u64, 0, 0, 0])
                == -i64::from(libc::EAGAIN)
            {
                std::thread::yield_now();
            }
        }
    });
    let mut calls = 0;
    while !sender.is_finished() || SEEN.load(Ordering::Relaxed) < SIGNALS {
        assert_eq!(ask(), 7);
        calls += 1;
        assert!(calls < 10_000_000, "{} of {SIGNALS} arrived", SEEN.load(Ordering::Relaxed));
    }
    sender.join().unwrap();
    assert_eq!((ask(), SEEN.load(Ordering::Relaxed)), (7, SIGNALS));
    println!("ok");
}
