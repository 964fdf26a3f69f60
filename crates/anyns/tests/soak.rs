//! Crowds, long rows of forks, switching threads, guests killed in the middle of a call: nothing
//! hangs, no call is lost, and the supervisor is afterwards as it was before.
//!
//! `ANYNS_SOAK_SECS` says how long the mixed run takes (20 by default; 300 to accept a change of
//! the supervisor).

mod harness;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use harness::{Line, Place, Scratch, command, wait};

/// How long one task may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long the supervisor may take to notice the last deaths and to end threads that it started
/// for a rush of calls.
const SETTLING: Duration = Duration::from_secs(20);

/// After so long without a rush the supervisor has ended the threads that it had started for one.
const IDLE: Duration = Duration::from_secs(12);

/// Growth that is the allocator's and not a leak's: the least leak of a task here, one small object
/// a fork or switch, is more.
const SLACK_KIB: u64 = 256;

/// How often a task may be repeated until the supervisor holds no more than the time before. Its
/// peak depends on how many calls happened to meet, so a few peaks may be needed to see them all; a
/// leak grows every time.
const REPETITIONS: usize = 6;

/// A guest that does what it is told, and the supervisor above it.
struct Driver {
    cli: Child,
    input: ChildStdin,
    answers: Receiver<String>,
    supervisor: i32,
}

/// What the supervisor holds.
#[derive(Clone, Copy, Debug)]
struct Holdings {
    kib: u64,
    descriptors: usize,
    threads: usize,
}

impl Driver {
    /// Starts the guest, behind some words of its own.
    fn start(scratch: &Scratch, words: &[&str]) -> Driver {
        let script = scratch.file("soak.py", include_str!("guests/soak.py"));
        let mut argv = words.to_vec();
        argv.extend(["/usr/bin/python3", script.to_str().unwrap()]);
        // What each thread keeps for its next allocation would hide what is never freed.
        let line = Line::new(argv)
            .env("MALLOC_ARENA_MAX", "1")
            .env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0");
        let mut hosted = command(scratch, Place::Hosted, &line, &scratch.fresh_home());
        hosted.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut cli = hosted.spawn().unwrap();
        let input = cli.stdin.take().unwrap();
        let output = BufReader::new(cli.stdout.take().unwrap());
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut driver = Driver { cli, input, answers, supervisor: 0 };
        driver.tell("forks 1");
        driver.supervisor = only_child(driver.cli.id());
        driver
    }

    /// Has a task done.
    #[track_caller]
    fn tell(&mut self, task: &str) {
        writeln!(self.input, "{task}").unwrap();
        match self.answers.recv_timeout(PATIENCE) {
            Ok(answer) => assert_eq!(answer, "done", "{task}"),
            Err(error) => panic!("{task}: {error}, supervisor {:?}", self.holdings()),
        }
    }

    fn holdings(&self) -> Holdings {
        let folder = format!("/proc/{}", self.supervisor);
        let status = fs::read_to_string(format!("{folder}/status")).expect("the supervisor lives");
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
            line.trim_end_matches("kB").trim().parse().unwrap()
        };
        // Only root may look at the descriptors of a process that is not dumpable.
        let descriptors = fs::read_dir(format!("{folder}/fd")).map_or(0, Iterator::count);
        Holdings { kib: field("VmRSS:"), descriptors, threads: field("Threads:") as usize }
    }

    /// Waits until the supervisor has the descriptors and threads it had, or fewer.
    #[track_caller]
    fn settled(&self, before: Holdings) -> Holdings {
        let start = Instant::now();
        loop {
            let now = self.holdings();
            if now.descriptors <= before.descriptors && now.threads <= before.threads {
                return now;
            }
            assert!(start.elapsed() < SETTLING, "it keeps what it got: {before:?}, then {now:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Has a task done until the supervisor's memory is no larger than the last time.
    #[track_caller]
    fn must_not_grow(&mut self, task: &str) {
        self.tell(task);
        let mut before = self.holdings();
        let mut seen = vec![before];
        for _ in 0..REPETITIONS {
            self.tell(task);
            let now = self.settled(before);
            seen.push(now);
            if now.kib <= before.kib + SLACK_KIB {
                println!("{task}: {seen:?}");
                return;
            }
            // Descriptors and threads are held against the first time.
            before.kib = now.kib;
        }
        panic!("{task}: the supervisor grows and grows: {seen:?}");
    }

    /// Ends the guest, which must take the chain with it.
    fn end(mut self) {
        drop(self.input);
        let status = wait(&mut self.cli, SETTLING).expect("the end of input ends the guest");
        assert!(status.success(), "{status}");
    }
}

fn only_child(pid: u32) -> i32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.trim().parse().unwrap_or_else(|_| panic!("one child of {pid}: {children:?}"))
}

/// The surroundings of the driver: in the initial namespaces, and in ones of its own.
const WORDS: [&[&str]; 2] = [&["env"], &["unshare", "-Uru"]];

#[test]
fn a_thousand_processes_at_once() {
    let scratch = Scratch::new("crowd");
    for words in WORDS {
        let mut driver = Driver::start(&scratch, words);
        driver.must_not_grow("crowd 1000");
        driver.end();
    }
}

#[test]
fn ten_thousand_forks_in_a_row() {
    let scratch = Scratch::new("row");
    for words in WORDS {
        let mut driver = Driver::start(&scratch, words);
        driver.must_not_grow("forks 10000");
        driver.end();
    }
}

#[test]
fn sixty_four_threads_switching() {
    let scratch = Scratch::new("switch");
    let mut driver = Driver::start(&scratch, &["unshare", "-Uru"]);
    driver.must_not_grow("switches 20");
    driver.end();
}

#[test]
fn guests_killed_in_the_middle_of_calls() {
    let scratch = Scratch::new("kills");
    for words in WORDS {
        let mut driver = Driver::start(&scratch, words);
        driver.must_not_grow("kills 150");
        // Every worker still answers: there are more callers at once than workers.
        driver.tell("crowd 200");
        driver.end();
    }
}

#[test]
fn everything_again_and_again() {
    let seconds = std::env::var("ANYNS_SOAK_SECS").ok().and_then(|text| text.parse().ok());
    let length = Duration::from_secs(seconds.unwrap_or(20));
    let scratch = Scratch::new("soak");
    let mut driver = Driver::start(&scratch, &["unshare", "-Uru"]);
    let round = |driver: &mut Driver| {
        for task in ["crowd 200", "forks 500", "switches 5", "kills 30"] {
            driver.tell(task);
        }
    };
    // Two halves, and as many more as the allocator needs to reach its level: each does what the
    // others do, so what is lost in one is lost again in the next, and the last is as large again.
    let mut idle: Vec<Holdings> = Vec::new();
    let level = |idle: &[Holdings]| match idle {
        [.., before, last] => last.kib <= before.kib + SLACK_KIB,
        _ => false,
    };
    while !level(&idle) {
        assert!(idle.len() <= REPETITIONS, "the supervisor grows and grows: {idle:?}");
        let start = Instant::now();
        let mut rounds = 0;
        while start.elapsed() < length / 2 {
            round(&mut driver);
            rounds += 1;
        }
        std::thread::sleep(IDLE);
        driver.tell("forks 5");
        idle.push(driver.holdings());
        println!("part {}: {rounds} rounds, then {:?}", idle.len(), idle[idle.len() - 1]);
    }
    driver.settled(idle[0]);
    driver.end();
}
