//! Starts guests under an engine and runs named cases.
//!
//! A guest is this very program, started anew with `guest NAME`: it has one thread and nothing of
//! the test's state. Its exit status and standard output are the evidence.
//!
//! Every case runs once for each [`Way`] in which calls may reach the supervisor.

use std::collections::HashMap;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use anyns_trap::chain::Tree;
use anyns_trap::filter::{Action, Filter, Row, Test};
use anyns_trap::{Answered, Call, Engine, Plan, Serve, Tid};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// A case: its name, the test, and the guest it may start (same name).
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) test: fn(),
    pub(crate) guest: fn(),
}

/// Makes the list of a file's cases: `test => guest`.
#[macro_export]
macro_rules! cases {
    ($($test:path => $guest:expr),* $(,)?) => {
        &[$($crate::harness::Case {
            name: stringify!($test),
            test: $test,
            guest: $guest,
        }),*]
    };
}

/// In which way calls reach the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By notification; guests are traced for moments.
    Told,
    /// By notification; guests are traced all their lives.
    Seized,
    /// By stops.
    Stopped,
}

impl Way {
    const ALL: [Way; 3] = [Way::Told, Way::Seized, Way::Stopped];

    fn plan(self) -> Plan {
        match self {
            Way::Told => Plan::notify(),
            Way::Seized => Plan::stop(Vec::new()),
            Way::Stopped => Plan::stop_all(),
        }
    }

    fn named(name: &str) -> Option<Way> {
        Way::ALL.into_iter().find(|way| way.suffix().trim() == name)
    }

    fn suffix(self) -> &'static str {
        match self {
            Way::Told => "",
            Way::Seized => " [seized]",
            Way::Stopped => " [stopped]",
        }
    }
}

/// The way of the running case; for guests, that of the supervisor around them.
pub(crate) fn way() -> Way {
    match std::env::var("ANYNS_TEST_WAY") {
        Ok(name) => Way::named(&name).expect("a way's name"),
        Err(_) => CURRENT.with(|c| c.borrow().as_ref().map_or(Way::Told, |(_, way)| *way)),
    }
}

/// Whether guests have a tracer for good, so that they cannot be traced by each other.
pub(crate) fn guests_are_seized() -> bool {
    way() != Way::Told
}

/// Every case must be over by then; a hang is a failure like any other.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs what the command line asks for; the exit status is the number of failures.
pub(crate) fn main(groups: &'static [&'static [Case]]) {
    let cases = || groups.iter().flat_map(|group| group.iter());
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [first, name] = &args[..]
        && first == "guest"
    {
        let case = cases().find(|c| name == c.name).expect("a known guest");
        return (case.guest)();
    }
    if args.iter().any(|a| a == "--list") {
        for case in cases() {
            Way::ALL.iter().for_each(|way| println!("{}{}: test", case.name, way.suffix()));
        }
        return;
    }
    let wanted: Vec<&String> = args.iter().filter(|a| !a.starts_with('-')).collect();
    let all = cases().flat_map(|case| Way::ALL.map(|way| (case, way)));
    let mut failed = 0;
    for (case, way) in all {
        let name = format!("{}{}", case.name, way.suffix());
        if !wanted.is_empty() && !wanted.iter().any(|w| name.contains(*w)) {
            continue;
        }
        let began = Instant::now();
        let test = case.test;
        let (over, result) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            CURRENT.with(|c| *c.borrow_mut() = Some((case.name.to_owned(), way)));
            test();
            let _ = over.send(());
        });
        let ok = match result.recv_timeout(LIMIT) {
            Ok(()) => true,
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => false,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                println!("test {name} ... HANGS");
                std::process::exit(102);
            }
        };
        let _ = thread.join();
        failed += i32::from(!ok);
        let ms = began.elapsed().as_millis();
        println!("test {name} ... {} ({ms} ms)", if ok { "ok" } else { "FAILED" });
    }
    if failed > 0 {
        println!("{failed} failed");
        std::process::exit(101);
    }
}

thread_local! {
    static CURRENT: std::cell::RefCell<Option<(String, Way)>> =
        const { std::cell::RefCell::new(None) };
}

fn current() -> (String, Way) {
    CURRENT.with(|c| c.borrow().clone()).expect("called on a case's thread")
}

/// A row that tells a call always.
pub(crate) fn tell(nr: i64) -> Row {
    Row { nr, test: Test::Always, action: Action::Notify }
}

/// Rows that tell these calls always.
pub(crate) fn tell_all(nrs: &[i64]) -> Vec<Row> {
    nrs.iter().map(|nr| tell(*nr)).collect()
}

/// What a guest left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its wait status.
    pub(crate) status: i32,
    pub(crate) output: String,
}

impl Outcome {
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.status, 0, "the guest failed (wait status {:#x})", self.status);
        self.output
    }
}

/// The first guest's exit, from whoever took it.
#[derive(Default)]
pub(crate) struct Exits {
    seen: Mutex<HashMap<i32, i32>>,
    more: Condvar,
}

impl Exits {
    pub(crate) fn put(&self, tid: Tid, status: i32) {
        self.seen.lock().unwrap().insert(tid.0, status);
        self.more.notify_all();
    }

    fn get(&self, pid: i32) -> i32 {
        let mut seen = self.seen.lock().unwrap();
        loop {
            if let Some(status) = seen.remove(&pid) {
                return status;
            }
            // Exits of children that no worker traces show up only when asked for.
            drop(seen);
            anyns_trap::reap::reap(|tid, status| self.put(tid, status));
            seen = self.seen.lock().unwrap();
            if !seen.contains_key(&pid) {
                seen = self.more.wait_timeout(seen, Duration::from_millis(2)).unwrap().0;
            }
        }
    }
}

/// The one call of which all servers here say that it never waits.
pub(crate) const NEVER_WAITS: i64 = libc::SYS_getpgrp;

/// Serves a stopped call at once, or gives it back.
pub(crate) type AtOnce = fn(Call) -> Result<Answered, Call>;

struct ByFn<F> {
    serve: F,
    at_once: AtOnce,
    exits: Arc<Exits>,
}

impl<F: Fn(Call) -> Answered + Send + Sync + 'static> Serve for ByFn<F> {
    fn serve(&self, call: Call) -> Answered {
        (self.serve)(call)
    }

    fn serve_at_once(&self, call: Call) -> Result<Answered, Call> {
        (self.at_once)(call)
    }

    fn never_waits(&self, nr: i64) -> bool {
        nr == NEVER_WAITS
    }

    fn reaped(&self, tid: Tid, status: i32) {
        self.exits.put(tid, status);
    }

    fn panicked(&self, _: Tid, _: i64, _: &str) {}
}

/// Runs this case's guest with these rows, served by `serve`, to its end; the engine must end too.
pub(crate) fn run(
    rows: &[Row],
    serve: impl Fn(Call) -> Answered + Send + Sync + 'static,
) -> Outcome {
    run_with(rows, 0, &mut |_| {}, serve)
}

/// The same where stopped calls are offered to `at_once` first.
pub(crate) fn run_at_once(
    rows: &[Row],
    at_once: AtOnce,
    serve: impl Fn(Call) -> Answered + Send + Sync + 'static,
) -> Outcome {
    run_served(rows, 0, &mut |_| {}, at_once, serve)
}

/// The same with a number of workers and changes to how the guest is started.
pub(crate) fn run_with(
    rows: &[Row],
    workers: usize,
    prepare: &mut dyn FnMut(&mut Command),
    serve: impl Fn(Call) -> Answered + Send + Sync + 'static,
) -> Outcome {
    run_served(rows, workers, prepare, Err, serve)
}

fn run_served(
    rows: &[Row],
    workers: usize,
    prepare: &mut dyn FnMut(&mut Command),
    at_once: AtOnce,
    serve: impl Fn(Call) -> Answered + Send + Sync + 'static,
) -> Outcome {
    let (name, way) = current();
    let plan = way.plan();
    let filter = Filter::planned(rows, &plan);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut command = Command::new("/proc/self/exe");
    command.args(["guest", &name]).stdout(Stdio::piped());
    command.env("ANYNS_TEST_WAY", way.suffix().trim());
    prepare(&mut command);
    let install = move || {
        let listener = filter.install().map_err(std::io::Error::other)?;
        report(&theirs, listener.as_ref())?;
        drop(listener);
        // The supervisor serves from the moment a byte comes.
        (&theirs).read_exact(&mut [0])
    };
    // SAFETY: the closure runs between fork and exec; it makes system calls only, with memory
    // from its own stack (`Filter::install` promises so), and touches no lock.
    unsafe { command.pre_exec(install) };

    let exits = Arc::new(Exits::default());
    let server = Arc::new(ByFn { serve, at_once, exits: Arc::clone(&exits) });
    let engine = std::thread::spawn(move || {
        let tree = receive_report(&ours);
        let engine = Engine::start(&plan, tree, server, workers).expect("the engine starts");
        (&ours).write_all(b"g").expect("the guest waits");
        engine
    });
    #[expect(clippy::zombie_processes, reason = "a plain wait would steal the workers' stops")]
    let mut child = command.spawn().expect("start the guest");
    drop(command);
    let engine = engine.join().unwrap();
    let mut output = String::new();
    let _ = child.stdout.take().unwrap().read_to_string(&mut output);
    let status = exits.get(child.id() as i32);
    engine.join();
    Outcome { status, output }
}

/// Runs this case's guest without filter and engine; gives its output.
#[allow(dead_code)]
pub(crate) fn run_native() -> String {
    let (name, _) = current();
    let output = Command::new("/proc/self/exe").args(["guest", &name]).output().expect("start");
    assert!(output.status.success(), "the guest failed natively: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Sends the calling process's number, and the listener if there is one.
fn report(socket: &UnixStream, listener: Option<&OwnedFd>) -> std::io::Result<()> {
    let me = std::process::id().to_ne_bytes();
    let fds: Vec<_> = listener.iter().map(|fd| fd.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    }
    sendmsg(socket, &[IoSlice::new(&me)], &mut control, SendFlags::empty())?;
    Ok(())
}

fn receive_report(socket: &UnixStream) -> Tree {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut number = [0; 4];
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(socket, &mut [IoSliceMut::new(&mut number)], &mut control, flags).expect("a report");
    let listener = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Tree { first: Tid(i32::from_ne_bytes(number)), listener }
}

pub(crate) fn send_fd(socket: &UnixStream, fd: &OwnedFd) -> std::io::Result<()> {
    let fds = [fd.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(socket, &[IoSlice::new(b"l")], &mut control, SendFlags::empty())?;
    Ok(())
}

pub(crate) fn receive_fd(socket: &UnixStream) -> OwnedFd {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags).expect("the listener");
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message {
            return fds.next().expect("one descriptor");
        }
    }
    panic!("no listener came");
}

/// The numbers of this process's threads and descriptors, to see that nothing is left behind.
pub(crate) fn own_counts() -> (usize, usize) {
    let count = |dir| std::fs::read_dir(dir).unwrap().count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}

/// Asserts that threads and descriptors are as they were; threads may take a moment to vanish.
pub(crate) fn assert_no_leak(before: (usize, usize)) {
    let until = Instant::now() + Duration::from_secs(60);
    while own_counts() != before && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(own_counts(), before, "threads and descriptors of the supervisor");
}
