//! The loops. Each checks what it gets, so that a wrong answer is not a fast one.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyns_trap::raw;
use rustix::fs::{CWD, Mode, OFlags};

/// One loop: its name, how often it runs at most in a batch, and one turn of it.
pub struct Task {
    /// `area/task`.
    pub name: &'static str,
    turns: u32,
    turn: fn(),
}

/// Batches of each loop; the median of their means counts.
const BATCHES: usize = 9;

/// A batch of a slow loop has fewer turns, so that it takes about this long.
const BATCH: Duration = Duration::from_millis(15);

/// But no fewer than these.
const LEAST: u32 = 4;

/// A file some directories deep that every system has.
const FILE: &str = "/usr/share/common-licenses/Apache-2.0";

/// All loops.
pub const TASKS: &[Task] = &[
    Task { name: "untrapped/getppid", turns: 20_000, turn: getppid },
    Task { name: "untrapped/read-1", turns: 20_000, turn: read_one },
    Task { name: "emulated/getuid", turns: 2_000, turn: getuid },
    Task { name: "emulated/uname", turns: 2_000, turn: uname },
    Task { name: "path/stat", turns: 2_000, turn: stat },
    Task { name: "path/open-close", turns: 2_000, turn: open_close },
    Task { name: "process/fork-wait", turns: 100, turn: fork_wait },
    Task { name: "process/fork-exec-wait", turns: 40, turn: fork_exec_wait },
    Task { name: "process/spawn-wait", turns: 40, turn: spawn_wait },
    Task { name: "process/thread-join", turns: 200, turn: thread_join },
    Task { name: "process/signal-to-self", turns: 5_000, turn: signal_to_self },
    Task { name: "process/pipe-ping-pong", turns: 1, turn: ping_pong },
];

/// Turns of the ping-pong in one turn of its task: the child and the pipes are made once for all.
const PING_PONGS: u32 = 2_000;

impl Task {
    /// Runs it: the median over the batches of a turn's mean time, in microseconds.
    pub fn measure(&self) -> f64 {
        let inner = if self.name.ends_with("ping-pong") { PING_PONGS } else { 1 };
        let turns = self.warm_up();
        let mut means: Vec<f64> = (0..BATCHES)
            .map(|_| {
                let start = Instant::now();
                (0..turns).for_each(|_| (self.turn)());
                start.elapsed().as_secs_f64() * 1e6 / f64::from(turns * inner)
            })
            .collect();
        means.sort_by(f64::total_cmp);
        means[means.len() / 2]
    }

    /// Runs a batch, or as much of it as there is time for; says how many turns that was.
    fn warm_up(&self) -> u32 {
        let start = Instant::now();
        let mut done = 0;
        while done < self.turns && (done < LEAST || start.elapsed() < BATCH) {
            (self.turn)();
            done += 1;
        }
        done
    }
}

fn getppid() {
    assert!(rustix::process::getppid().is_some());
}

fn read_one() {
    thread_local! {
        static ZERO: std::os::fd::OwnedFd =
            rustix::fs::open("/dev/zero", OFlags::RDONLY, Mode::empty()).expect("/dev/zero");
    }
    let mut byte = [1];
    ZERO.with(|zero| assert_eq!(rustix::io::read(zero, &mut byte), Ok(1)));
    assert_eq!(byte, [0]);
}

fn getuid() {
    // Whoever we are, it is not the overflow of a wrong answer.
    assert!(rustix::process::getuid().as_raw() < u32::MAX);
}

fn uname() {
    // The empty supervisor answers without writing, so the text is not looked at.
    let _ = rustix::system::uname();
}

fn stat() {
    assert!(rustix::fs::stat(FILE).expect("the file is there").st_size > 0);
}

fn open_close() {
    drop(rustix::fs::openat(CWD, FILE, OFlags::RDONLY, Mode::empty()).expect("the file is there"));
}

fn fork_wait() {
    match raw::fork().expect("fork") {
        raw::Birth::Child => raw::exit_now(3),
        raw::Birth::Parent { child, .. } => assert_eq!(raw::wait(child), Ok(raw::Ended::Exited(3))),
    }
}

fn spawn_wait() {
    let status = Command::new("/bin/true").stdin(Stdio::null()).status();
    assert!(status.expect("/bin/true").success());
}

/// As `fork-wait` with a program, where `spawn-wait` is vfork(2) with one.
fn fork_exec_wait() {
    match raw::fork().expect("fork") {
        raw::Birth::Child => {
            // This process has one thread, so its child may allocate.
            let _ = Command::new("/bin/true").exec();
            raw::exit_now(3)
        }
        raw::Birth::Parent { child, .. } => assert_eq!(raw::wait(child), Ok(raw::Ended::Exited(0))),
    }
}

fn signal_to_self() {
    static CAUGHT: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let caught = CAUGHT.get_or_init(|| {
        let flag = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(libc::SIGUSR1, Arc::clone(&flag)).expect("a handler");
        flag
    });
    assert_eq!(raw::kill(std::process::id() as i32, libc::SIGUSR1), Ok(()));
    assert!(caught.swap(false, Ordering::Relaxed), "the handler has run");
}

fn thread_join() {
    assert_eq!(std::thread::spawn(|| 7).join().expect("no panic"), 7);
}

fn ping_pong() {
    let (to_child, from_parent) = pipe();
    let (to_parent, from_child) = pipe();
    match raw::fork().expect("fork") {
        raw::Birth::Child => {
            let mut byte = [0];
            for _ in 0..PING_PONGS {
                let _ = rustix::io::read(&to_child, &mut byte);
                let _ = rustix::io::write(&from_child, &byte);
            }
            raw::exit_now(0)
        }
        raw::Birth::Parent { child, .. } => {
            for turn in 0..PING_PONGS {
                let mut byte = [turn as u8];
                assert_eq!(rustix::io::write(&from_parent, &byte), Ok(1));
                assert_eq!(rustix::io::read(&to_parent, &mut byte), Ok(1));
                assert_eq!(byte, [turn as u8]);
            }
            assert_eq!(raw::wait(child), Ok(raw::Ended::Exited(0)));
        }
    }
}

fn pipe() -> (std::os::fd::OwnedFd, std::os::fd::OwnedFd) {
    rustix::pipe::pipe().expect("a pipe")
}
