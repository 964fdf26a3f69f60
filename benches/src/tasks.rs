//! The loops. Each checks what it gets, so that a wrong answer is not a fast one.

use std::cell::RefCell;
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
    Task { name: "untrapped/umask", turns: 20_000, turn: umask },
    Task { name: "untrapped/read-1", turns: 20_000, turn: read_one },
    Task { name: "emulated/getuid", turns: 2_000, turn: getuid },
    Task { name: "emulated/uname", turns: 2_000, turn: uname },
    Task { name: "emulated/getpid", turns: 2_000, turn: getpid },
    Task { name: "emulated/kill-self", turns: 2_000, turn: kill_self },
    Task { name: "path/stat", turns: 2_000, turn: stat },
    Task { name: "path/open-close", turns: 2_000, turn: open_close },
    Task { name: "path/readdir-2000", turns: 40, turn: readdir },
    Task { name: "proc/own-status", turns: 2_000, turn: own_status },
    Task { name: "proc/ps-200", turns: 40, turn: ps },
    Task { name: "process/fork-wait", turns: 100, turn: fork_wait },
    Task { name: "process/fork-exec-wait", turns: 40, turn: fork_exec_wait },
    Task { name: "process/spawn-wait", turns: 40, turn: spawn_wait },
    Task { name: "process/thread-join", turns: 200, turn: thread_join },
    Task { name: "process/signal-to-self", turns: 5_000, turn: signal_to_self },
    Task { name: "process/pipe-ping-pong", turns: 1, turn: ping_pong },
    Task { name: "ipc/semop", turns: 20, turn: semop },
    Task { name: "ipc/semop-hand-over", turns: 1, turn: hand_over },
    Task { name: "ipc/shmat-shmdt", turns: 20, turn: attach },
];

/// Turns of the ping-pong in one turn of its task: the child and the pipes are made once for all.
const PING_PONGS: u32 = 2_000;

/// Uses of a System V object in one turn: it is made, and removed, in each.
const USES: u32 = 100;
const HAND_OVERS: u32 = 300;

impl Task {
    /// Runs it: the median over the batches of a turn's mean time, in microseconds.
    pub fn measure(&self) -> f64 {
        let inner = match self.name {
            "process/pipe-ping-pong" => PING_PONGS,
            "ipc/semop" | "ipc/shmat-shmdt" => USES,
            "ipc/semop-hand-over" => HAND_OVERS,
            _ => 1,
        };
        let turns = self.warm_up();
        let mut means: Vec<f64> = (0..BATCHES)
            .map(|_| {
                let start = Instant::now();
                (0..turns).for_each(|_| (self.turn)());
                start.elapsed().as_secs_f64() * 1e6 / f64::from(turns * inner)
            })
            .collect();
        if let Some(idle) = IDLE.take() {
            idle.end();
        }
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

fn umask() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
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

fn getpid() {
    assert!(rustix::process::getpid().as_raw_nonzero().get() > 1);
}

/// Asks whether the process itself may be sent a signal.
fn kill_self() {
    static OWN: OnceLock<rustix::process::Pid> = OnceLock::new();
    let own = *OWN.get_or_init(rustix::process::getpid);
    assert_eq!(rustix::process::test_kill_process(own), Ok(()));
}

fn stat() {
    assert!(rustix::fs::stat(FILE).expect("the file is there").st_size > 0);
}

fn open_close() {
    drop(rustix::fs::openat(CWD, FILE, OFlags::RDONLY, Mode::empty()).expect("the file is there"));
}

/// Files in the directory that is listed.
const NAMES: usize = 2_000;

/// A directory of many names, as long as the process lives.
struct Names(std::path::PathBuf);

impl Names {
    fn make() -> Names {
        let folder = std::env::temp_dir().join(format!("anyns-names-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("a directory of our own");
        for name in 0..NAMES {
            std::fs::write(folder.join(name.to_string()), "").expect("a file");
        }
        Names(folder)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Opens, lists and closes a directory.
fn readdir() {
    thread_local! {
        static NAMED: Names = Names::make();
    }
    NAMED.with(|names| {
        assert_eq!(std::fs::read_dir(&names.0).expect("the directory").count(), NAMES);
    });
}

/// Opens, reads and closes `/proc/self/status`.
fn own_status() {
    let file = rustix::fs::openat(CWD, "/proc/self/status", OFlags::RDONLY, Mode::empty());
    let mut text = [0; 4096];
    let length = rustix::io::read(file.expect("our status"), &mut text).expect("its text");
    assert!(text.starts_with(b"Name:\tworkload\n") && length > 500);
}

/// Processes that `ps` shows, at least.
const SHOWN: usize = 200;

/// The processes beside `ps`: they end when the other end of their pipe is closed.
struct Idle {
    end: std::os::fd::OwnedFd,
    children: Vec<i32>,
}

impl Idle {
    fn start() -> Idle {
        let (wait, end) = pipe();
        let mut idle = Idle { end, children: Vec::with_capacity(SHOWN) };
        for _ in 0..SHOWN {
            match raw::fork().expect("fork") {
                raw::Birth::Child => {
                    let _ = raw::close(std::os::fd::AsRawFd::as_raw_fd(&idle.end));
                    let _ = rustix::io::read(&wait, &mut [0]);
                    raw::exit_now(0)
                }
                raw::Birth::Parent { child, .. } => idle.children.push(child),
            }
        }
        idle
    }

    fn end(self) {
        drop(self.end);
        for child in self.children {
            assert_eq!(raw::wait(child), Ok(raw::Ended::Exited(0)));
        }
    }
}

thread_local! {
    /// Those of the loop that runs.
    static IDLE: RefCell<Option<Idle>> = const { RefCell::new(None) };
}

/// `ps -e` beside 200 processes, which live as long as its loop.
fn ps() {
    IDLE.with_borrow_mut(|idle| {
        idle.get_or_insert_with(Idle::start);
    });
    let output = Command::new("ps").args(["-e", "-o", "comm="]).output().expect("ps");
    let names = output.stdout.split(|byte| *byte == b'\n');
    assert!(names.filter(|name| *name == b"workload").count() > SHOWN);
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

fn semop() {
    let set = raw::semget(libc::IPC_PRIVATE, 1, 0o600).expect("a set");
    for _ in 0..USES {
        assert_eq!(raw::semop(set, &[(0, 1, 0)]), Ok(()));
    }
    let value = raw::ipc_ctl(raw::Ctl::Sem(0), set, libc::GETVAL, &[]).map(|(value, _)| value);
    assert_eq!(value, Ok(USES.into()));
    raw::ipc_ctl(raw::Ctl::Sem(0), set, libc::IPC_RMID, &[]).expect("it is ours");
}

/// Two processes, each of which waits for the other at every step.
fn hand_over() {
    let set = raw::semget(libc::IPC_PRIVATE, 2, 0o600).expect("a set");
    match raw::fork().expect("fork") {
        raw::Birth::Child => {
            for _ in 0..HAND_OVERS {
                let _ = raw::semop(set, &[(0, -1, 0)]);
                let _ = raw::semop(set, &[(1, 1, 0)]);
            }
            raw::exit_now(0)
        }
        raw::Birth::Parent { child, .. } => {
            for _ in 0..HAND_OVERS {
                assert_eq!(raw::semop(set, &[(0, 1, 0)]), Ok(()));
                assert_eq!(raw::semop(set, &[(1, -1, 0)]), Ok(()));
            }
            assert_eq!(raw::wait(child), Ok(raw::Ended::Exited(0)));
        }
    }
    raw::ipc_ctl(raw::Ctl::Sem(0), set, libc::IPC_RMID, &[]).expect("it is ours");
}

fn attach() {
    let segment = raw::shmget(libc::IPC_PRIVATE, 4096, 0o600).expect("a segment");
    for _ in 0..USES {
        assert_eq!(raw::shmat(segment, 0), Ok(()));
        assert_eq!(raw::shmdt(segment), Ok(()));
    }
    raw::ipc_ctl(raw::Ctl::Shm, segment, libc::IPC_RMID, &[]).expect("it is ours");
}
