//! Crowds, long rows of forks, switching threads, guests killed in the middle of a call, ipc objects
//! made and dropped, pid namespaces whose inits end: nothing hangs, no call is lost, and the
//! supervisor is afterwards as it was before.
//!
//! Each guest that the supervisor knows has a descriptor there, so a table that keeps the dead is
//! seen in the descriptors.
//!
//! `ANYNS_SOAK_SECS` says how long the mixed run takes (20 by default; 300 to accept a change of
//! the supervisor, 1800 before a release, and `ANYNS_TEST_STOP=full` for as long under the stop back
//! end).

mod harness;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use harness::{Line, Place, Scratch, command, wait};

/// How long one task may take: only a hang takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(600);

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
    input: Option<ChildStdin>,
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

impl Holdings {
    /// Whether it has no more descriptors and threads.
    fn is_no_more_than(self, before: Holdings) -> bool {
        self.descriptors <= before.descriptors && self.threads <= before.threads
    }
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
        let input = cli.stdin.take();
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
        writeln!(self.input.as_mut().unwrap(), "{task}").unwrap();
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

    /// Waits until the supervisor has the descriptors and threads it had, or fewer; tells what it has
    /// after all, if that is not to be.
    fn settled(&self, before: Holdings) -> Holdings {
        let start = Instant::now();
        loop {
            let now = self.holdings();
            if now.is_no_more_than(before) || start.elapsed() > SETTLING {
                return now;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the supervisor's descriptors are of.
    fn open_files(&self) -> Vec<String> {
        let folder = format!("/proc/{}", self.supervisor);
        let files = fs::read_dir(format!("{folder}/fd")).into_iter().flatten().flatten();
        let said = |file: fs::DirEntry| {
            let link = fs::read_link(file.path()).ok()?.display().to_string();
            let info = format!("{folder}/fdinfo/{}", file.file_name().display());
            let info = fs::read_to_string(info).unwrap_or_default();
            let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).map(str::trim);
            let stat = pid.map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")));
            Some(format!("{link} {}", stat.and_then(Result::ok).unwrap_or_default()))
        };
        files.filter_map(said).collect()
    }

    /// Has a task done until the supervisor holds no more than the last time.
    #[track_caller]
    fn must_not_grow(&mut self, task: &str) {
        self.tell(task);
        let mut before = self.holdings();
        let mut seen = vec![before];
        for _ in 0..REPETITIONS {
            self.tell(task);
            let now = self.settled(before);
            seen.push(now);
            if now.kib <= before.kib + SLACK_KIB && now.is_no_more_than(before) {
                println!("{task}: {seen:?}");
                return;
            }
            before = now;
        }
        panic!("{task}: the supervisor grows and grows: {seen:?}, {:?}", self.open_files());
    }

    /// Tells whether nothing is left of what was done: of processes the supervisor, the watchdog and
    /// the guest, and no object on the host.
    #[track_caller]
    fn nothing_is_left(&self) {
        let start = Instant::now();
        let left = || (descendants(self.cli.id()), segments(self.supervisor));
        while left().0.len() != 3 || left().1 != 0 {
            let (processes, segments) = left();
            let stats = processes.iter().map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")));
            let stats: Vec<_> = stats.flatten().collect();
            assert!(start.elapsed() < SETTLING, "{segments} segments, and processes {stats:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends the guest, which must take the chain with it.
    fn end(mut self) {
        drop(self.input.take());
        let status = wait(&mut self.cli, SETTLING).expect("the end of input ends the guest");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Driver {
    /// A guest that hangs must not go on beside the other tests: the chain ends all of it.
    fn drop(&mut self) {
        let _ = self.cli.kill();
        let _ = self.cli.wait();
    }
}

/// The host's segments that a process has made.
fn segments(maker: i32) -> usize {
    let table = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let maker = maker.to_string();
    table.lines().skip(1).filter(|line| line.split_whitespace().nth(4) == Some(&*maker)).count()
}

fn descendants(of: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    let children = list.split_whitespace().filter_map(|text| text.parse().ok());
    children.flat_map(|child: u32| [vec![child], descendants(child)].concat()).collect()
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
fn objects_that_end_with_their_namespaces() {
    let scratch = Scratch::new("objects");
    let mut driver = Driver::start(&scratch, &["unshare", "-Urui"]);
    driver.must_not_grow("objects 200");
    driver.end();
}

/// The kernel tells a tracer of its newest tracee first.
#[test]
fn the_young_do_not_starve_the_old() {
    let scratch = Scratch::new("young");
    let mut driver = Driver::start(&scratch, &["unshare", "-Urui"]);
    driver.tell("young 300");
    driver.nothing_is_left();
    driver.end();
}

#[test]
fn pid_namespaces_that_end() {
    let scratch = Scratch::new("trees");
    let mut driver = Driver::start(&scratch, &["unshare", "-Urui"]);
    driver.must_not_grow("trees 25");
    driver.nothing_is_left();
    driver.end();
}

#[test]
fn everything_again_and_again() {
    let seconds = std::env::var("ANYNS_SOAK_SECS").ok().and_then(|text| text.parse().ok());
    let length = Duration::from_secs(seconds.unwrap_or(20));
    let scratch = Scratch::new("soak");
    let mut driver = Driver::start(&scratch, &["unshare", "-Urui"]);
    let round = |driver: &mut Driver| {
        for task in ["crowd 200", "forks 500", "switches 5", "kills 30", "objects 20", "trees 5"] {
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
        driver.nothing_is_left();
        idle.push(driver.holdings());
        println!("part {}: {rounds} rounds, then {:?}", idle.len(), idle[idle.len() - 1]);
    }
    let last = driver.settled(idle[0]);
    assert!(last.is_no_more_than(idle[0]), "it keeps what it got: {idle:?}, then {last:?}");
    driver.end();
}
