//! Execs let through, calls with other arguments, extra calls.

use std::arch::asm;
use std::ffi::CString;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use anyns_trap::{Answered, Call, Execed, Failed};

use crate::basic::call;
use crate::cases;
use crate::harness::{Case, assert_no_leak, own_counts, run, tell, tell_all};

pub(crate) const CASES: &[Case] = cases![
    an_exec_is_seen_in_the_new_program => guest_execs,
    a_failed_exec_tells_its_errno => guest_fails,
    an_exec_from_another_thread_takes_the_groups_number => guest_thread_execs,
    of_many_threads_that_exec_one_wins => guest_many_exec,
    a_call_runs_with_other_arguments => guest_rewritten_open,
    there_is_room_below_the_stack_at_once => guest_in_a_hurry,
    a_rewritten_call_can_be_interrupted => guest_interrupted_read,
    extra_calls_are_made_by_the_caller => guest_injected,
    rewriting_survives_a_signal_storm => guest_storm,
    killed_callers_leave_no_stuck_worker => guest_killed,
    a_panic_while_a_caller_is_held_answers_enosys => guest_panics,
];

const EXEC: i64 = libc::SYS_execve;

/// Replaces this program by `path` with these arguments; comes back only with an error.
pub(crate) fn exec(path: &str, args: &[&str]) -> i64 {
    let path = CString::new(path).unwrap();
    let args: Vec<CString> = args.iter().map(|a| CString::new(*a).unwrap()).collect();
    let mut argv: Vec<_> = args.iter().map(|a| a.as_ptr()).collect();
    argv.push(std::ptr::null());
    let env = [std::ptr::null::<u8>()];
    call(EXEC, [path.as_ptr() as u64, argv.as_ptr() as u64, env.as_ptr() as u64, 0, 0, 0])
}

/// A server that records `(number before, number after, name after)` of each exec of `echo`.
type Log = Arc<Mutex<Vec<(i32, i32, String)>>>;

fn serve_exec(log: &Log) -> impl Fn(anyns_trap::Call) -> anyns_trap::Answered + use<> {
    let log = Arc::clone(log);
    move |c| {
        let tid = c.tid();
        match c.let_exec(None) {
            Ok(execed) => {
                assert_eq!(execed.before(), tid);
                let now = execed.tid();
                let name = std::fs::read_to_string(format!("/proc/{now}/comm")).unwrap();
                log.lock().unwrap().push((tid.0, now.0, name.trim().to_owned()));
                execed.release()
            }
            Err(failed) => failed.settle(),
        }
    }
}

fn an_exec_is_seen_in_the_new_program() {
    let log = Log::default();
    let out = run(&[tell(EXEC)], serve_exec(&log));
    assert_eq!(out.ok(), "hello\n");
    let log = log.lock().unwrap();
    let [first, (before, after, name)] = &log[..] else { panic!("{log:?}") };
    assert_eq!(first.0, first.1, "the harness starts the guest");
    assert_eq!((before, name.as_str()), (after, "echo"));
}

fn guest_execs() {
    exec("/bin/echo", &["echo", "hello"]);
}

fn a_failed_exec_tells_its_errno() {
    let errors = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&errors);
    let out = run(&[tell(EXEC)], move |c| match c.let_exec(None) {
        Ok(execed) => execed.release(),
        Err(Failed::Errno(errno, answered)) => {
            log.lock().unwrap().push(errno);
            answered
        }
        Err(failed) => panic!("{failed:?}"),
    });
    assert_eq!(out.ok(), "-2 -13 -14\n");
    // The guest goes on before its error is noted here.
    let mut errors = errors.lock().unwrap();
    errors.sort();
    assert_eq!(*errors, [libc::ENOENT, libc::EACCES, libc::EFAULT].map(Some));
}

fn guest_fails() {
    let missing = exec("/nonexistent", &["x"]);
    let directory = exec("/tmp", &["x"]);
    let bad = call(EXEC, [8, 0, 0, 0, 0, 0]);
    println!("{missing} {directory} {bad}");
}

fn an_exec_from_another_thread_takes_the_groups_number() {
    let log = Log::default();
    let out = run(&[tell(EXEC)], serve_exec(&log));
    assert_eq!(out.ok(), "hello\n");
    let log = log.lock().unwrap();
    let (before, after, name) = &log[1];
    assert_ne!(before, after);
    assert_eq!((*after, name.as_str()), (log[0].1, "echo"));
}

fn guest_thread_execs() {
    std::thread::spawn(|| std::thread::sleep(Duration::from_secs(100)));
    std::thread::spawn(|| exec("/bin/echo", &["echo", "hello"])).join().unwrap();
}

fn of_many_threads_that_exec_one_wins() {
    let before = own_counts();
    let log = Log::default();
    for _ in 0..10 {
        let out = run(&[tell(EXEC)], serve_exec(&log));
        assert_eq!(out.ok(), "hello\n");
    }
    assert_eq!(log.lock().unwrap().iter().filter(|(_, _, name)| name == "echo").count(), 10);
    assert_no_leak(before);
}

fn guest_many_exec() {
    let gate = Barrier::new(8);
    std::thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                gate.wait();
                exec("/bin/echo", &["echo", "hello"]);
            });
        }
    });
}

/// A call by number, and what its argument registers hold afterwards.
pub(crate) fn with_registers(nr: i64, args: [u64; 6]) -> (i64, [u64; 6]) {
    let mut result = nr;
    let [mut a, mut b, mut c, mut d, mut e, mut f] = args;
    // SAFETY: the calls made in this file write no memory but what their arguments name, which
    // is the caller's own; registers that the call instruction changes are declared.
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

fn a_call_runs_with_other_arguments() {
    let out = run(&[tell(libc::SYS_openat2), tell(libc::SYS_getpgid)], |c| {
        let mut args = c.args();
        if c.nr() == libc::SYS_getpgid {
            args[0] = 1 << 29;
            return match c.let_run(args) {
                Ok(ran) => {
                    assert_eq!(ran.result(), -i64::from(libc::ESRCH));
                    ran.release_with(77)
                }
                Err(failed) => panic!("{failed:?}"),
            };
        }
        let path = c.mem().read_cstr(args[1], 100).unwrap();
        assert_eq!(path.to_bytes(), b"/virtual/file");
        args[1] = c.scratch(b"/dev/zero\0").unwrap();
        match c.let_run(args) {
            Ok(ran) => ran.release(),
            Err(failed) => panic!("{failed:?}"),
        }
    });
    assert_eq!(out.ok(), "ok\n");
}

/// A caller that has just been given a descriptor is on its way back to its sleep.
fn there_is_room_below_the_stack_at_once() {
    let null = std::fs::File::open("/dev/null").unwrap();
    let out = run(&[tell(libc::SYS_getpgid)], move |mut c| {
        c.add_fd(null.as_fd(), Some(100), true).unwrap();
        match c.scratch(b"something") {
            Ok(at) => c.ret((at != 0).into()),
            Err(e) => panic!("{e}"),
        }
    });
    assert_eq!(out.ok(), "3000\n");
}

fn guest_in_a_hurry() {
    let sum: i64 = (0..3000).map(|_| call(libc::SYS_getpgid, [0; 6]).max(0)).sum();
    println!("{sum}");
}

fn guest_rewritten_open() {
    let path = CString::new("/virtual/file").unwrap();
    let how = [libc::O_RDONLY as u64, 0, 0];
    let args = [libc::AT_FDCWD as u64, path.as_ptr() as u64, how.as_ptr() as u64, 24, 5, 6];
    for _ in 0..10 {
        let (fd, after) = with_registers(libc::SYS_openat2, args);
        assert!(fd >= 0, "open says {fd}");
        assert_eq!(after, args, "the registers");
        assert_eq!(path.to_bytes(), b"/virtual/file");
        let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
        assert_eq!(link.to_str(), Some("/dev/zero"));
    }
    let args = [0, 1, 2, 3, 4, 5];
    assert_eq!(with_registers(libc::SYS_getpgid, args), (77, args));
    println!("ok");
}

fn a_rewritten_call_can_be_interrupted() {
    let out = run(&[tell(libc::SYS_readv)], |c| {
        let args = c.args();
        match c.let_run(args) {
            Ok(ran) => ran.release(),
            Err(failed) => failed.settle(),
        }
    });
    assert_eq!(out.ok(), "-4 1\n");
}

extern "C" fn nothing(_: i32) {}

/// One SIGALRM after `ms`, with a handler with these flags.
fn alarm_after(ms: i64, every_ms: i64, flags: i32) {
    // SAFETY: a `sigaction` of zeroes is a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    action.sa_flags = flags;
    // SAFETY: the handler does nothing.
    unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) };
    let time = |ms: i64| libc::timeval { tv_sec: 0, tv_usec: ms * 1000 };
    let timer = libc::itimerval { it_interval: time(every_ms), it_value: time(ms) };
    // SAFETY: the structure lives until the call returns.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

fn guest_interrupted_read() {
    let mut ends = [0; 2];
    // SAFETY: two descriptors are written to `ends`.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    let mut byte = 0u8;
    let vector = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let read = [ends[0] as u64, (&raw const vector) as u64, 1, 0, 0, 0];
    // Again and again: one that comes before the read sleeps does not end it.
    alarm_after(50, 50, 0);
    let interrupted = call(libc::SYS_readv, read);
    // With SA_RESTART the read goes on until there is something to read.
    alarm_after(50, 0, libc::SA_RESTART);
    let writer = ends[1];
    let helper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(120));
        let text = b"x";
        assert_eq!(call(libc::SYS_write, [writer as u64, text.as_ptr() as u64, 1, 0, 0, 0]), 1);
    });
    let read = call(libc::SYS_readv, read);
    helper.join().unwrap();
    println!("{interrupted} {read}");
}

fn extra_calls_are_made_by_the_caller() {
    let count = AtomicUsize::new(0);
    let uid = i64::from(rustix::process::getuid().as_raw());
    let out = run(&tell_all(&[libc::SYS_getpgid, libc::SYS_getuid]), move |c| {
        let tid = i64::from(c.tid().0);
        assert_eq!(c.nr(), libc::SYS_getpgid, "an injected call is not served");
        // The first call is made anew after the extras, the second is answered.
        let again = count.fetch_add(1, Ordering::Relaxed) == 0;
        let mut held = c.stop().unwrap();
        for _ in 0..3 {
            let (result, after) = held.inject(libc::SYS_gettid, [0; 6]).unwrap();
            assert_eq!(result, tid);
            let (result, after) = after.inject(libc::SYS_getuid, [0; 6]).unwrap();
            assert_eq!(result, uid, "a told call, but let through");
            let (result, after) = after.inject(libc::SYS_close, [9999, 0, 0, 0, 0, 0]).unwrap();
            assert_eq!(result, -i64::from(libc::EBADF));
            held = after;
        }
        if again { held.again() } else { held.ret(123) }
    });
    assert_eq!(out.ok(), "ok\n");
}

fn guest_injected() {
    let args = [9, 8, 7, 6, 5, 4];
    assert_eq!(with_registers(libc::SYS_getpgid, args), (123, args));
    println!("ok");
}

/// Answers getsid with 5 after a rewritten call, getpgid with 6 after an injected one.
fn rewrite(c: Call) -> Answered {
    if c.nr() == libc::SYS_getsid {
        return match c.let_run([0; 6]) {
            Ok(ran) => ran.release_with(5),
            Err(failed) => failed.settle(),
        };
    }
    let tid = i64::from(c.tid().0);
    match c.stop().and_then(|held| held.inject(libc::SYS_gettid, [0; 6])) {
        Ok((result, held)) => {
            assert_eq!(result, tid);
            held.ret(6)
        }
        Err(failed) => failed.settle(),
    }
}

fn rewriting_survives_a_signal_storm() {
    let out = run(&tell_all(&[libc::SYS_getpgid, libc::SYS_getsid]), rewrite);
    assert_eq!(out.ok(), "ok\n");
}

fn killed_callers_leave_no_stuck_worker() {
    let before = own_counts();
    let rows = tell_all(&[libc::SYS_getpgid, libc::SYS_getsid, libc::SYS_getppid, EXEC]);
    let out = run(&rows, |c| match c.nr() {
        libc::SYS_getppid => {
            std::thread::sleep(Duration::from_micros(100));
            c.ret(7)
        }
        EXEC => c.let_exec(None).map_or_else(Failed::settle, Execed::release),
        _ => rewrite(c),
    });
    assert_eq!(out.ok(), "ok\n");
    assert_no_leak(before);
}

/// Makes all these calls until it is killed.
fn caller() -> ! {
    loop {
        assert_eq!(call(libc::SYS_getsid, [0; 6]), 5);
        assert_eq!(call(libc::SYS_getpgid, [0; 6]), 6);
        assert_eq!(call(libc::SYS_getppid, [0; 6]), 7);
        assert_eq!(exec("/nonexistent", &["x"]), -i64::from(libc::ENOENT));
        // Now and then an exec that succeeds, and ends.
        // SAFETY: the child only executes.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            exec("/bin/true", &["true"]);
        }
        // SAFETY: no status is asked for.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }
}

fn guest_killed() {
    for round in 0..150u64 {
        // SAFETY: this process has one thread.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            caller();
        }
        std::thread::sleep(Duration::from_micros(round * 137 % 3000));
        let mut status = 0;
        // SAFETY: signals a child of ours that has not been reaped.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
        // SAFETY: the status is ours until the call returns.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert_eq!(status, libc::SIGKILL);
    }
    println!("ok");
}

fn guest_storm() {
    alarm_after(1, 1, libc::SA_RESTART);
    let args = [1, 2, 3, 4, 5, 6];
    for _ in 0..1500 {
        assert_eq!(with_registers(libc::SYS_getsid, args), (5, args));
        assert_eq!(with_registers(libc::SYS_getpgid, args), (6, args));
    }
    println!("ok");
}

fn a_panic_while_a_caller_is_held_answers_enosys() {
    let out = run(&[tell(libc::SYS_getpgid)], |c| {
        let _held = c.stop().unwrap();
        std::panic::resume_unwind(Box::new("on purpose"))
    });
    assert_eq!(out.ok(), "-38\n");
}

fn guest_panics() {
    println!("{}", call(libc::SYS_getpgid, [0; 6]));
}
