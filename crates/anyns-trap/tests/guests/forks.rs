//! Forks let through by a momentary trace: seen, edited, failing, interrupted, killed.

use std::arch::asm;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyns_trap::{Answered, Call, Failed};

use crate::basic::call;
use crate::cases;
use crate::harness::{
    Case, assert_no_leak, guests_are_seized, own_counts, run, run_with, tell_all,
};

pub(crate) const CASES: &[Case] = cases![
    every_kind_of_fork_is_seen => guest_all_kinds,
    a_clone_is_rewritten_without_a_trace => guest_rewritten,
    untraced_clones_are_seen => guest_untraced,
    forks_survive_a_signal_storm => guest_storm,
    rewritten_forks_survive_a_signal_storm => guest_storm,
    calls_are_served_once_under_signals => guest_interrupted,
    failing_forks_are_noticed => guest_failing,
    a_leader_that_leaves_after_a_failed_fork_is_reaped => guest_leaves,
    killed_forkers_leave_no_stuck_worker => guest_killed,
    killed_rewritten_forkers_leave_no_stuck_worker => guest_killed,
    stopped_forkers_stay_stopped => guest_stopped,
    a_guest_under_a_guest_debugger_forks => guest_debugged,
    a_dropped_fork_goes_on => guest_all_kinds,
    many_threads_fork_at_once => guest_threads,
];

pub(crate) const FORKS: &[i64] =
    &[libc::SYS_fork, libc::SYS_vfork, libc::SYS_clone, libc::SYS_clone3];

/// Lets a fork happen; counts what came of it.
#[derive(Default)]
pub(crate) struct Tally {
    forked: AtomicUsize,
    restarted: AtomicUsize,
    failed: AtomicUsize,
    gone: AtomicUsize,
    pub(crate) untraceable: AtomicUsize,
}

impl Tally {
    pub(crate) fn let_fork(&self, call: Call, edit: bool) -> Answered {
        let args = call.args();
        match call.let_fork(edit.then_some(args)) {
            Ok(forked) => {
                self.forked.fetch_add(1, Ordering::Relaxed);
                forked.release()
            }
            Err(failed) => {
                let counter = match &failed {
                    Failed::Restarted(_) => &self.restarted,
                    Failed::Errno(..) => &self.failed,
                    Failed::Gone(_) => &self.gone,
                    Failed::Untraceable(_) => &self.untraceable,
                };
                counter.fetch_add(1, Ordering::Relaxed);
                failed.settle()
            }
        }
    }

    pub(crate) fn show(&self) -> String {
        let get = |n: &AtomicUsize| n.load(Ordering::Relaxed);
        format!(
            "forked {} restarted {} failed {} gone {} untraceable {}",
            get(&self.forked),
            get(&self.restarted),
            get(&self.failed),
            get(&self.gone),
            get(&self.untraceable)
        )
    }
}

/// The state letter of a thread.
fn state(tid: i32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{tid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('?')
}

fn every_kind_of_fork_is_seen() {
    let before = own_counts();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let out = run(&tell_all(FORKS), move |c| {
        let (nr, tid) = (c.nr(), c.tid());
        match c.let_fork(None) {
            Ok(forked) => {
                assert_eq!(forked.parent(), tid);
                assert!(forked.child_alive() && forked.parent_alive());
                assert_eq!((state(tid.0), state(forked.child().0)), ('t', 't'));
                log.lock().unwrap().push(nr);
                forked.release()
            }
            Err(failed) => panic!("{failed:?}"),
        }
    });
    assert_eq!(out.ok(), "ok\n");
    let seen = seen.lock().unwrap().clone();
    let count = |nr| seen.iter().filter(|n| **n == nr).count();
    assert_eq!((count(libc::SYS_fork), count(libc::SYS_vfork)), (1, 1), "{seen:?}");
    assert!(count(libc::SYS_clone) + count(libc::SYS_clone3) >= 3, "{seen:?}");
    assert_no_leak(before);
}

/// Reaps `pid` and gives its exit status.
pub(crate) fn wait_for(pid: i64) -> i32 {
    let mut status = 0;
    // SAFETY: the status is ours until the call returns.
    assert_eq!(i64::from(unsafe { libc::waitpid(pid as i32, &raw mut status, 0) }), pid);
    status
}

pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(code) }
}

/// A fork whose child exits with `code`; the child's exit status, or a negative error number.
pub(crate) fn fork_and_wait(code: i32) -> i64 {
    let pid = call(libc::SYS_fork, [0; 6]);
    match pid {
        0 => exit_now(code),
        e if e < 0 => e,
        pid => i64::from(wait_for(pid) >> 8),
    }
}

fn guest_all_kinds() {
    assert_eq!(fork_and_wait(3), 3);
    // A vfork through libc's own wrapper: the child must not return into this frame's future.
    // SAFETY: the child only ends itself.
    #[allow(deprecated)]
    let pid = unsafe { libc::vfork() };
    if pid == 0 {
        exit_now(4);
    }
    assert_eq!(wait_for(pid.into()) >> 8, 4);
    // clone by number, as fork does it elsewhere.
    let pid = call(libc::SYS_clone, [libc::SIGCHLD as u64, 0, 0, 0, 0, 0]);
    if pid == 0 {
        exit_now(5);
    }
    assert_eq!(wait_for(pid) >> 8, 5);
    // clone3.
    let mut block = [0u64; 11];
    block[4] = libc::SIGCHLD as u64;
    let pid = call(libc::SYS_clone3, [block.as_mut_ptr() as u64, 88, 0, 0, 0, 0]);
    if pid == 0 {
        exit_now(6);
    }
    assert_eq!(wait_for(pid) >> 8, 6);
    // A thread and a posix_spawn.
    assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7);
    assert!(std::process::Command::new("/bin/true").status().unwrap().success());
    println!("ok");
}

fn a_clone_is_rewritten_without_a_trace() {
    let strip = (libc::CLONE_NEWUTS | libc::CLONE_NEWNS) as u64;
    let (undone, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&undone), Arc::clone(&refused));
    let out = run(&tell_all(&[libc::SYS_clone]), move |c| {
        let mut args = c.args();
        if args[0] & strip == 0 {
            return c.resume();
        }
        args[0] &= !strip;
        let tid = c.tid();
        let undo = &mut |_| {
            assert_eq!(state(tid.0), 't', "the caller runs already");
            undone.fetch_add(1, Ordering::Relaxed);
        };
        match c.let_fork_undoing(Some(args), undo) {
            Ok(forked) => forked.release(),
            Err(Failed::Errno(Some(libc::EINVAL), answered)) => {
                refused.fetch_add(1, Ordering::Relaxed);
                answered
            }
            Err(failed) => panic!("{failed:?}"),
        }
    });
    assert_eq!(out.ok(), "ok\n");
    let [undone, refused] = [counts.0, counts.1].map(|count| count.load(Ordering::Relaxed));
    assert!(refused > 0 && undone == refused, "{undone} of {refused} undone");
}

/// clone with all argument registers given, and what they hold afterwards (rcx and r11 belong to
/// the call instruction).
fn clone_registers(flags: u64) -> (i64, [u64; 6]) {
    let mut result = libc::SYS_clone;
    let (mut a, mut b, mut c) = (flags, 0u64, 0u64);
    let (mut d, mut e, mut f) = (0u64, 0x5555u64, 0x6666u64);
    // SAFETY: a clone without CLONE_VM copies the process; the child goes on here with copies of
    // everything. Registers that the call changes are declared.
    unsafe {
        asm!(
            "syscall",
            inout("rax") result, inout("rdi") a, inout("rsi") b, inout("rdx") c,
            inout("r10") d, inout("r8") e, inout("r9") f,
            out("rcx") _, out("r11") _,
        );
    }
    (result, [a, b, c, d, e, f])
}

fn guest_rewritten() {
    let uts = || std::fs::read_link("/proc/self/ns/uts").unwrap();
    let (before, flags) = (uts(), (libc::CLONE_NEWUTS | libc::SIGCHLD) as u64);
    for round in 0..20 {
        let (pid, registers) = clone_registers(flags);
        let same = registers == [flags, 0, 0, 0, 0x5555, 0x6666];
        if pid == 0 {
            exit_now(i32::from(uts() != before) + 2 * i32::from(!same));
        }
        assert!(pid > 0, "clone says {pid}");
        assert!(same, "the parent's registers are {registers:x?}");
        assert_eq!(wait_for(pid) >> 8, 0, "round {round}");
    }
    // A call that the kernel refuses ends with its errno and its registers: NEWNS without FS is
    // fine, SIGHAND without VM is not.
    let bad = (libc::CLONE_NEWUTS | libc::CLONE_SIGHAND) as u64;
    let (result, registers) = clone_registers(bad);
    assert_eq!(result, -i64::from(libc::EINVAL));
    assert_eq!(registers, [bad, 0, 0, 0, 0x5555, 0x6666]);
    println!("ok");
}

fn untraced_clones_are_seen() {
    let tally = Arc::new(Tally::default());
    let server = Arc::clone(&tally);
    let out = run(&tell_all(&[libc::SYS_clone]), move |c| server.let_fork(c, false));
    assert_eq!(out.ok(), "ok\n");
    assert_eq!(tally.show(), "forked 1 restarted 0 failed 0 gone 0 untraceable 0");
}

fn guest_untraced() {
    let flags = (libc::CLONE_UNTRACED | libc::SIGCHLD) as u64;
    let (pid, registers) = clone_registers(flags);
    if pid == 0 {
        exit_now(i32::from(registers[0] != flags));
    }
    assert_eq!(registers[0], flags);
    assert_eq!(wait_for(pid) >> 8, 0);
    println!("ok");
}

fn storm(edit: bool) {
    let tally = Arc::new(Tally::default());
    let server = Arc::clone(&tally);
    let out = run(&tell_all(FORKS), move |c| server.let_fork(c, edit));
    let text = out.ok();
    println!("  {} | {}", text.trim(), tally.show());
    assert!(text.starts_with("ok "), "{text}");
    assert!(tally.forked.load(Ordering::Relaxed) >= 300);
}

fn forks_survive_a_signal_storm() {
    storm(false);
}

fn rewritten_forks_survive_a_signal_storm() {
    storm(true);
}

static ALARMS: AtomicUsize = AtomicUsize::new(0);

/// SIGALRM every `us` microseconds from now on.
pub(crate) fn alarms(us: i64, flags: i32) {
    extern "C" fn count(_: i32) {
        ALARMS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: a `sigaction` of zeroes is a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = count as *const () as usize;
    action.sa_flags = flags;
    // SAFETY: the handler only counts.
    unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) };
    let every = libc::timeval { tv_sec: 0, tv_usec: us };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: the structure lives until the call returns.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

fn guest_storm() {
    alarms(300, libc::SA_RESTART);
    let until = Instant::now() + Duration::from_secs(60);
    for round in 0..300 {
        let pid = call(libc::SYS_fork, [0; 6]);
        if pid == 0 {
            exit_now(9);
        }
        assert!(pid > 0, "fork says {pid} in round {round}");
        assert_eq!(wait_for(pid) >> 8, 9);
        assert!(Instant::now() < until, "too slow: round {round}");
    }
    let quiet = ALARMS.load(Ordering::Relaxed);
    assert!(quiet > 20, "only {quiet} alarms");
    println!("ok {quiet} alarms");
}

/// A signal that arrives before its call has been received voids the notification. The kernel
/// then makes the call anew, or says EINTR if the signal's handler is without SA_RESTART; in
/// neither case may the call have been served.
fn calls_are_served_once_under_signals() {
    let served = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&served);
    let out = run(&tell_all(&[libc::SYS_getppid]), move |c| {
        let answered = c.ret(1);
        counter.fetch_add(usize::from(answered.reached()), Ordering::Relaxed);
        answered
    });
    let successes: usize = out.ok().trim().parse().unwrap();
    assert_eq!(served.load(Ordering::Relaxed), successes);
}

fn guest_interrupted() {
    let mut successes = 0;
    for flags in [0, libc::SA_RESTART] {
        alarms(300, flags);
        for _ in 0..20_000 {
            match call(libc::SYS_getppid, [0; 6]) {
                1 => successes += 1,
                e => assert_eq!((e, flags), (-i64::from(libc::EINTR), 0)),
            }
        }
    }
    println!("{successes}");
}

fn failing_forks_are_noticed() {
    let before = own_counts();
    let tally = Arc::new(Tally::default());
    let server = Arc::clone(&tally);
    let mut rows = tell_all(FORKS);
    rows.extend(tell_all(&[libc::SYS_getppid]));
    let out = run(&rows, move |c| {
        if c.nr() == libc::SYS_getppid { c.ret(1) } else { server.let_fork(c, c_edit(&server)) }
    });
    assert_eq!(out.ok(), "ok\n");
    println!("  {}", tally.show());
    assert_no_leak(before);
}

/// Every third attempt is a rewritten one.
fn c_edit(tally: &Tally) -> bool {
    tally.failed.load(Ordering::Relaxed) % 3 == 2
}

fn forbid_forks() {
    let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure lives until the call returns.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit) }, 0);
    if rustix::process::geteuid().is_root() {
        assert_eq!(call(libc::SYS_setgid, [65534, 0, 0, 0, 0, 0]), 0);
        assert_eq!(call(libc::SYS_setuid, [65534, 0, 0, 0, 0, 0]), 0);
    }
}

fn guest_failing() {
    forbid_forks();
    let again = -i64::from(libc::EAGAIN);
    for round in 0..60 {
        assert_eq!(call(libc::SYS_fork, [0; 6]), again);
        match round % 4 {
            // At once the next told call.
            0 => assert_eq!(call(libc::SYS_getppid, [0; 6]), 1),
            // A sleep that must not be cut short.
            1 => {
                let began = Instant::now();
                std::thread::sleep(Duration::from_millis(20));
                assert!(began.elapsed() >= Duration::from_millis(20));
            }
            // Computing.
            2 => {
                let until = Instant::now() + Duration::from_millis(20);
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
            }
            // At once another fork.
            _ => {}
        }
    }
    println!("ok");
}

/// Its other threads live on, so the kernel does not report the leader's exit to its tracer.
fn a_leader_that_leaves_after_a_failed_fork_is_reaped() {
    let before = own_counts();
    let tally = Arc::new(Tally::default());
    let server = Arc::clone(&tally);
    let mut rows = tell_all(FORKS);
    rows.extend(tell_all(&[libc::SYS_getppid]));
    let began = Instant::now();
    let out =
        run(
            &rows,
            move |c| {
                if c.nr() == libc::SYS_getppid { c.ret(1) } else { server.let_fork(c, false) }
            },
        );
    assert_eq!(out.ok(), "ok\n");
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_no_leak(before);
}

fn guest_leaves() {
    let thread = std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(call(libc::SYS_getppid, [0; 6]), 1);
        println!("ok");
        std::process::exit(0);
    });
    forbid_forks();
    assert_eq!(call(libc::SYS_fork, [0; 6]), -i64::from(libc::EAGAIN));
    call(libc::SYS_exit, [0; 6]);
    thread.join().unwrap();
}

fn killed(edit: bool) {
    let before = own_counts();
    let tally = Arc::new(Tally::default());
    let server = Arc::clone(&tally);
    let out = run(&tell_all(FORKS), move |c| server.let_fork(c, edit));
    assert_eq!(out.ok(), "ok\n");
    println!("  {}", tally.show());
    assert_no_leak(before);
}

fn killed_forkers_leave_no_stuck_worker() {
    killed(false);
}

fn killed_rewritten_forkers_leave_no_stuck_worker() {
    killed(true);
}

/// A process that forks (and reaps) until it is killed.
fn forker() -> i64 {
    let pid = call(libc::SYS_fork, [0; 6]);
    if pid == 0 {
        loop {
            if call(libc::SYS_fork, [0; 6]) == 0 {
                exit_now(0);
            }
            // SAFETY: no status is asked for.
            unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) };
        }
    }
    pid
}

fn kill(pid: i64, signal: i32) {
    // SAFETY: signals a child of ours that has not been reaped.
    assert_eq!(unsafe { libc::kill(pid as i32, signal) }, 0);
}

fn guest_killed() {
    let mut seed = 12345u64;
    for _ in 0..150 {
        let pid = forker();
        assert!(pid > 0, "fork says {pid}");
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        std::thread::sleep(Duration::from_micros(seed >> 33 & 0x3ff));
        kill(pid, libc::SIGKILL);
        assert_eq!(wait_for(pid), libc::SIGKILL);
    }
    println!("ok");
}

fn stopped_forkers_stay_stopped() {
    let before = own_counts();
    let tally = Arc::new(Tally::default());
    let server = Arc::clone(&tally);
    let turn = AtomicI32::new(0);
    let out = run(&tell_all(FORKS), move |c| {
        let edit = turn.fetch_add(1, Ordering::Relaxed) % 2 == 0;
        server.let_fork(c, edit)
    });
    assert_eq!(out.ok(), "ok\n");
    println!("  {}", tally.show());
    assert_no_leak(before);
}

fn guest_stopped() {
    let pid = forker();
    for round in 0..100u64 {
        std::thread::sleep(Duration::from_micros(round * 37 % 700));
        kill(pid, libc::SIGSTOP);
        let mut status = 0;
        // SAFETY: the status is ours until the call returns.
        let r = unsafe { libc::waitpid(pid as i32, &raw mut status, libc::WUNTRACED) };
        assert_eq!(i64::from(r), pid);
        assert!(libc::WIFSTOPPED(status), "status {status:#x}");
        std::thread::sleep(Duration::from_millis(2));
        // /proc tells a stop of the traced from that of others.
        let stopped = if guests_are_seized() { 't' } else { 'T' };
        assert_eq!(state(pid as i32), stopped, "it must stay stopped");
        kill(pid, libc::SIGCONT);
    }
    kill(pid, libc::SIGKILL);
    assert_eq!(wait_for(pid), libc::SIGKILL);
    println!("ok");
}

fn a_guest_under_a_guest_debugger_forks() {
    let tally = Arc::new(Tally::default());
    let server = Arc::clone(&tally);
    let out = run(&tell_all(FORKS), move |c| server.let_fork(c, false));
    assert_eq!(out.ok(), "ok\n");
    let seen = if guests_are_seized() { "forked 2" } else { "forked 1" };
    let unseen = if guests_are_seized() { "untraceable 0" } else { "untraceable 1" };
    assert_eq!(tally.show(), format!("{seen} restarted 0 failed 0 gone 0 {unseen}"));
}

fn guest_debugged() {
    let pid = call(libc::SYS_fork, [0; 6]);
    if pid == 0 {
        let traced = call(libc::SYS_ptrace, [libc::PTRACE_TRACEME as u64, 0, 0, 0, 0, 0]);
        // Who has a tracer already cannot have another.
        assert_eq!(traced, if guests_are_seized() { -i64::from(libc::EPERM) } else { 0 });
        exit_now(fork_and_wait(11) as i32);
    }
    // Be a debugger that passes all signals on.
    loop {
        let mut status = 0;
        // SAFETY: the status is ours until the call returns.
        let r = unsafe { libc::waitpid(pid as i32, &raw mut status, 0) };
        assert_eq!(i64::from(r), pid);
        if libc::WIFEXITED(status) {
            assert_eq!(status >> 8, 11);
            break;
        }
        let signal = libc::WSTOPSIG(status) as u64;
        let request = [libc::PTRACE_CONT as u64, pid as u64, 0, signal, 0, 0];
        assert_eq!(call(libc::SYS_ptrace, request), 0);
    }
    println!("ok");
}

fn a_dropped_fork_goes_on() {
    let out = run(&tell_all(FORKS), |c| match c.let_fork(None) {
        // A panic between event and release: both must be let go.
        Ok(_forked) => std::panic::resume_unwind(Box::new("on purpose")),
        Err(failed) => failed.settle(),
    });
    assert_eq!(out.ok(), "ok\n");
}

fn many_threads_fork_at_once() {
    let before = own_counts();
    let tally = Arc::new(Tally::default());
    let server = Arc::clone(&tally);
    let turn = AtomicI32::new(0);
    let out = run_with(&tell_all(FORKS), 3, &mut |_| {}, move |c| {
        let edit = turn.fetch_add(1, Ordering::Relaxed) % 4 == 0;
        server.let_fork(c, edit)
    });
    assert_eq!(out.ok(), "ok\n");
    println!("  {}", tally.show());
    assert!(tally.forked.load(Ordering::Relaxed) >= 16 * 40);
    assert_no_leak(before);
}

fn guest_threads() {
    let threads: Vec<_> = (0..16)
        .map(|_| {
            std::thread::spawn(|| {
                for _ in 0..20 {
                    assert_eq!(fork_and_wait(2), 2);
                    std::thread::spawn(|| ()).join().unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    println!("ok");
}
