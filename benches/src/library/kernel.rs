//! The system calls, timed in processes of their own. Root's, on a kernel that grants namespaces.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyns_trap::raw::{self, Birth};

use super::{MOUNTS, median, rounds};

/// The median of unshare(2) of a type in microseconds.
pub fn unshare(name: &'static str, flag: u64) -> f64 {
    in_process(move || match name {
        "user" => each_in_process(name, move || raw::unshare(flag).expect("unshare")),
        "pid" => {
            // A second one is refused until the first is given up.
            let own = open("/proc/self/ns/pid");
            times(rounds(name), || {
                let start = Instant::now();
                raw::unshare(flag).expect("unshare");
                let time = start.elapsed();
                raw::setns(own.as_raw_fd(), 0).expect("setns");
                time
            })
        }
        _ => {
            if name == "mnt" {
                thirty_mounts();
            }
            times(rounds(name), || timed(|| raw::unshare(flag).expect("unshare")))
        }
    })
}

/// The median of setns(2) to a type in microseconds, there and back.
pub fn setns(name: &'static str, flag: u64) -> f64 {
    let join = |file: &File| raw::setns(file.as_raw_fd(), 0).expect("setns");
    in_process(move || {
        if name == "mnt" {
            thirty_mounts();
        }
        let own = open(&format!("/proc/self/ns/{name}"));
        let holder = resident(flag);
        let other = open(&format!("/proc/{holder}/ns/{name}"));
        let spent = match name {
            "user" => each_in_process(name, || join(&other)),
            _ => times(rounds(name), || timed(|| join(&other)) + timed(|| join(&own))),
        };
        let _ = raw::kill(holder, libc::SIGKILL);
        let _ = raw::wait(holder);
        let halves = if name == "user" { 1 } else { 2 };
        spent.into_iter().map(|time| time / halves).collect()
    })
}

fn timed(call: impl FnOnce()) -> Duration {
    let start = Instant::now();
    call();
    start.elapsed()
}

fn times(count: usize, mut one: impl FnMut() -> Duration) -> Vec<Duration> {
    (0..count).map(|_| one()).collect()
}

fn open(path: &str) -> File {
    File::open(path).expect("the namespaces are there")
}

/// A child in new namespaces, which waits until it is killed.
fn resident(flags: u64) -> i32 {
    let (ready, tell) = rustix::pipe::pipe().expect("pipe");
    match raw::fork().expect("fork") {
        Birth::Child => {
            let _ = raw::set_death_signal(libc::SIGKILL);
            raw::unshare(flags).expect("unshare");
            if flags & (0x2000_0000 | 0x80) != 0 {
                // Only children are in them.
                if let Birth::Child = raw::fork().expect("fork") {
                    let _ = raw::set_death_signal(libc::SIGKILL);
                    say_and_wait(&tell);
                }
                loop {
                    std::thread::park();
                }
            }
            say_and_wait(&tell)
        }
        Birth::Parent { child, .. } => {
            drop(tell);
            let mut byte = [0; 4];
            rustix::io::read(&ready, &mut byte).expect("it speaks");
            match flags & (0x2000_0000 | 0x80) {
                0 => child,
                _ => first_child(child),
            }
        }
    }
}

fn say_and_wait(tell: &OwnedFd) -> ! {
    rustix::io::write(tell, b"x").expect("somebody listens");
    loop {
        std::thread::park();
    }
}

fn first_child(of: i32) -> i32 {
    let text = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children"));
    text.ok().and_then(|text| text.split_whitespace().next()?.parse().ok()).expect("it has a child")
}

/// A namespace of its own with so many mounts.
fn thirty_mounts() {
    const PRIVATE_ALL: u64 = 0x4000 | 1 << 18;
    raw::unshare(0x0002_0000).expect("unshare");
    raw::mount(None, "/", None, PRIVATE_ALL).expect("mount");
    let count = || std::fs::read_to_string("/proc/self/mountinfo").map_or(0, |t| t.lines().count());
    while count() < MOUNTS {
        raw::mount(Some("tmpfs"), "/mnt", Some("tmpfs"), 0).expect("mount");
    }
}

/// Calls each in a process that has made none before.
fn each_in_process(name: &str, call: impl Fn()) -> Vec<Duration> {
    times(rounds(name), || Duration::from_secs_f64(in_process(|| vec![timed(&call)]) / 1e6))
}

/// Has a child measure, and gives the median in microseconds.
fn in_process(measure: impl FnOnce() -> Vec<Duration>) -> f64 {
    let (read, write) = rustix::pipe::pipe().expect("pipe");
    match raw::fork().expect("fork") {
        Birth::Child => {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(measure));
            let told =
                result.map(|times| File::from(write).write_all(&median(times).to_ne_bytes()));
            raw::exit_now(i32::from(told.is_err()))
        }
        Birth::Parent { child, .. } => {
            drop(write);
            let mut bytes = [0; 8];
            let told = File::from(read).read_exact(&mut bytes);
            let _ = raw::wait(child);
            if told.is_ok() { f64::from_ne_bytes(bytes) } else { f64::NAN }
        }
    }
}
