//! What carrying a call costs: an empty supervisor that only answers, beside the bare kernel.
//!
//! `cargo bench -p anyns-trap --bench floor [-- NAME...]`. Each line is one guest loop: the least,
//! the median and the 99th percentile of many single calls, in microseconds.

#[path = "../tests/guests/harness.rs"]
#[allow(dead_code)]
mod harness;

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyns_trap::filter::Row;
use anyns_trap::placeholder::{Judge, Placeholders, Write};
use anyns_trap::{Answered, Call};
use harness::{Case, run_with, tell, tell_all};

fn main() {
    harness::main(&[CASES]);
}

const CASES: &[Case] = cases![
    untrapped_native => getppid,
    untrapped_filtered => getppid,
    emulated => getppid,
    emulated_one_worker => getppid,
    emulated_four_workers => getppid,
    emulated_with_memory => uname,
    two_guests_emulated => two_getppid,
    fork_wait_native => fork_wait,
    fork_wait_continued => fork_wait,
    fork_wait_traced => fork_wait,
    fork_wait_edited => fork_wait,
    vfork_exec_native => vfork_exec,
    vfork_exec_continued => vfork_exec,
    vfork_exec_fork_traced => vfork_exec,
    vfork_exec_both_traced => vfork_exec,
    thread_native => thread_join,
    thread_traced => thread_join,
    control_file_native => control_file,
    control_file_judged => control_file,
];

/// Calls that no case tells, so that the filter is there but idle.
const IDLE: &[i64] = &[libc::SYS_sethostname];
const FORKS: &[i64] = &[libc::SYS_fork, libc::SYS_vfork, libc::SYS_clone, libc::SYS_clone3];

fn show(rows: &[Row], workers: usize, serve: fn(Call) -> Answered) {
    let outcome = run_with(rows, workers, &mut |_| {}, serve);
    print!("{}", outcome.ok());
}

/// The same guest without us.
fn native() {
    print!("{}", harness::run_native());
}

fn untrapped_native() {
    native();
}
fn untrapped_filtered() {
    show(&tell_all(IDLE), 0, Call::resume);
}
fn emulated() {
    show(&[tell(libc::SYS_getppid)], 0, |c| c.ret(1));
}
fn emulated_one_worker() {
    show(&[tell(libc::SYS_getppid)], 1, |c| c.ret(1));
}
fn emulated_four_workers() {
    show(&[tell(libc::SYS_getppid)], 4, |c| c.ret(1));
}
fn emulated_with_memory() {
    show(&[tell(libc::SYS_uname)], 0, |c| match c.mem().write(c.arg(0), &[0; 390]) {
        Ok(()) => c.ret(0),
        Err(_) => c.errno(libc::EFAULT),
    });
}
fn two_guests_emulated() {
    show(&[tell(libc::SYS_getppid)], 0, |c| c.ret(1));
}
fn fork_wait_native() {
    native();
}
fn fork_wait_continued() {
    show(&tell_all(FORKS), 0, Call::resume);
}
fn let_fork(call: Call) -> Answered {
    match call.let_fork(None) {
        Ok(forked) => forked.release(),
        Err(failed) => failed.settle(),
    }
}
fn fork_wait_traced() {
    show(&tell_all(FORKS), 0, let_fork);
}
fn fork_wait_edited() {
    show(&tell_all(FORKS), 0, |c| {
        let args = c.args();
        match c.let_fork(Some(args)) {
            Ok(forked) => forked.release(),
            Err(failed) => failed.settle(),
        }
    });
}
fn fork_exec_rows() -> Vec<Row> {
    let mut rows = tell_all(FORKS);
    rows.push(tell(libc::SYS_execve));
    rows
}
fn vfork_exec_native() {
    native();
}
fn vfork_exec_continued() {
    show(&fork_exec_rows(), 0, Call::resume);
}
fn vfork_exec_fork_traced() {
    show(
        &fork_exec_rows(),
        0,
        |c| {
            if c.nr() == libc::SYS_execve { c.resume() } else { let_fork(c) }
        },
    );
}
fn vfork_exec_both_traced() {
    show(&fork_exec_rows(), 0, |c| {
        if c.nr() != libc::SYS_execve {
            return let_fork(c);
        }
        match c.let_exec(None) {
            Ok(execed) => execed.release(),
            Err(failed) => failed.settle(),
        }
    });
}
fn thread_native() {
    native();
}
fn thread_traced() {
    show(&tell_all(FORKS), 0, let_fork);
}

fn control_file_native() {
    native();
}
fn control_file_judged() {
    struct Refuse;
    impl Judge for Refuse {
        fn write(&self, _: u64, _: &Write) -> Result<usize, i32> {
            Err(libc::EINVAL)
        }
        fn closed(&self, _: u64) {}
    }
    let files = Placeholders::start(Arc::new(Refuse)).unwrap();
    let serve = move |c: Call| match c.mem().read_cstr(c.arg(1), 64) {
        Ok(path) if path.to_bytes() == CONTROL.as_bytes() => {
            let (fd, _) = files.create(1, c.tid()).unwrap();
            c.install_fd(fd.as_fd(), true).1
        }
        _ => c.resume(),
    };
    print!("{}", run_with(&[tell(libc::SYS_openat)], 0, &mut |_| {}, serve).ok());
}

/// Times `once` for a while and prints the distribution.
fn time(most: usize, mut once: impl FnMut()) {
    let mut times = Vec::with_capacity(most);
    let began = Instant::now();
    while times.len() < most && began.elapsed() < Duration::from_secs(4) {
        let at = Instant::now();
        once();
        times.push(at.elapsed());
    }
    times.sort();
    let us = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_nanos() as f64 / 1e3;
    println!("  min {:.2}  median {:.2}  p99 {:.2} us", us(0.0), us(0.5), us(0.99));
}

fn getppid() {
    time(20_000, || {
        std::hint::black_box(rustix::process::getppid());
    });
}

fn uname() {
    time(20_000, || {
        std::hint::black_box(rustix::system::uname());
    });
}

fn two_getppid() {
    let other = std::thread::spawn(|| {
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(900) {
            std::hint::black_box(rustix::process::getppid());
        }
    });
    time(20_000, || {
        std::hint::black_box(rustix::process::getppid());
    });
    other.join().unwrap();
}

fn fork_wait() {
    time(2_000, || {
        // SAFETY: this process has one thread; the child only exits.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: ends the process without running anything of ours.
            unsafe { libc::_exit(0) };
        }
        // SAFETY: no status is asked for.
        assert_eq!(unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) }, pid);
    });
}

fn vfork_exec() {
    time(1_000, || {
        // Without changes to the child, the standard library uses posix_spawn.
        let status = std::process::Command::new("/bin/true").status().unwrap();
        assert!(status.success());
    });
}

fn thread_join() {
    time(3_000, || std::thread::spawn(|| ()).join().unwrap());
}

/// A file whose every write says EINVAL, here and without us.
const CONTROL: &str = "/proc/self/uid_map";

fn control_file() {
    time(2_000, || {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new().write(true).open(CONTROL).unwrap();
        assert!(file.write(b"nonsense").is_err());
    });
}
