//! W, the watchdog: parent of the first guest and of every orphan.
//!
//! It stays in the process group and session of the command line process C, so that the rules for
//! orphaned process groups come out as if the guest were C's own child. It is also the *witness* of
//! that group: all its signals are blocked, and by what it got C can tell a signal sent to the
//! group, which the guest has got too, from one sent to C alone.
//!
//! It has one thread and waits for children with nobody else: the supervisor S, its parent, traces
//! guests only from outside, so nobody takes the other's wait status.
//!
//! When C dies without a goodbye, or S dies, W kills everything below itself.

use std::collections::VecDeque;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};

use super::guest::{self, REPORT, Report};
use super::inherited::Inherited;
use super::link::{Got, Link, Message};
use super::{Pids, cleaner, sys, watch};
use crate::filter::Filter;

/// How long a signal of the group is remembered for C's question.
const MEMORY: Duration = Duration::from_secs(1);

/// How long S may take to end after those that end with it.
const DYING: Duration = Duration::from_millis(10);

/// How long S may take to leave when no guest is left, or when it has been killed.
const LEAVING: Duration = Duration::from_secs(10);

/// How often C is woken until it says that it runs.
const WAKE: Duration = Duration::from_millis(10);

/// What the watchdog is born with.
pub(super) struct Post<'a, F> {
    pub(super) argv: &'a [CString],
    pub(super) cli: i32,
    pub(super) supervisor: i32,
    pub(super) inherited: &'a Inherited,
    pub(super) filter: F,
    pub(super) to_cli: Link,
    pub(super) to_supervisor: Link,
    pub(super) cli_pidfd: OwnedFd,
    pub(super) supervisor_pidfd: OwnedFd,
    pub(super) go: OwnedFd,
}

struct Watchdog {
    to_cli: Link,
    to_supervisor: Link,
    /// None once C has said goodbye.
    cli: Option<OwnedFd>,
    supervisor: OwnedFd,
    signals: OwnedFd,
    /// None after its end.
    report: Option<OwnedFd>,
    guest: i32,
    guest_pidfd: OwnedFd,
    guest_stopped: bool,
    guest_ended: bool,
    /// No guest is left.
    alone: bool,
    /// The listener was passed on, so the end of the report means that the command runs.
    installed: bool,
    /// C was asked to stop and has not said that it runs.
    cli_stops: bool,
    heard: VecDeque<(Instant, sys::Signalled)>,
    /// SIGCHLD was read, and nobody has looked at the children since.
    to_reap: bool,
}

/// Is the watchdog until no guest is left.
pub(super) fn run<F: FnOnce(&Pids) -> Filter>(post: Post<'_, F>) -> ! {
    let failed = |_| sys::leave(1);
    let me = std::process::id() as i32;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap_or_else(failed);
    let pids = Pids { cli: post.cli, supervisor: post.supervisor, watchdog: me };
    let (report, report_in) =
        pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap_or_else(|_| sys::leave(1));
    let go = post.go;
    let guest = match sys::fork_sharing_descriptors() {
        Ok(sys::Side::Child) => guest::start(guest::Start {
            argv: post.argv,
            pids,
            inherited: post.inherited,
            filter: post.filter,
            report: report_in,
            go,
        }),
        Ok(sys::Side::Parent(pid)) => pid,
        Err(e) => {
            let errno = e.raw_os_error().unwrap_or(0);
            post.to_cli.send(&Message::NoProcess { errno }, &[]);
            sys::leave(1)
        }
    };
    let ours = (watch::open(me), watch::open(guest), sys::signal_descriptor());
    let (Ok(my_pidfd), Ok(guest_pidfd), Ok(signals)) = ours else {
        let _ = sys::kill(guest, libc::SIGKILL);
        sys::leave(1)
    };
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let _ = rustix::thread::set_name(c"anyns-watch");
    let ready = Message::Ready { watchdog: me, guest };
    post.to_cli.send(&ready, &[my_pidfd.as_fd(), guest_pidfd.as_fd()]);
    drop(my_pidfd);
    // Numbers only from here on: the table is shared until the guest has installed its filter, and
    // these two of the guest's must not be closed by a destructor of ours before that.
    let (report_in, go) = (std::mem::ManuallyDrop::new(report_in), std::mem::ManuallyDrop::new(go));
    let _ = (&report_in, &go);

    let mut watchdog = Watchdog {
        to_cli: post.to_cli,
        to_supervisor: post.to_supervisor,
        cli: Some(post.cli_pidfd),
        supervisor: post.supervisor_pidfd,
        signals,
        report: Some(report),
        guest,
        guest_pidfd,
        guest_stopped: false,
        guest_ended: false,
        alone: false,
        installed: false,
        cli_stops: false,
        heard: VecDeque::new(),
        to_reap: false,
    };
    loop {
        watchdog.step();
    }
}

impl Watchdog {
    fn step(&mut self) {
        let waking = self.cli_stops && (!self.guest_stopped || self.guest_ended);
        let mut watched = vec![self.supervisor.as_fd(), self.signals.as_fd(), self.to_cli.as_fd()];
        let cli_at = self.cli.as_ref().map(|cli| {
            watched.push(cli.as_fd());
            watched.len() - 1
        });
        let report_at = self.report.as_ref().map(|report| {
            watched.push(report.as_fd());
            watched.len() - 1
        });
        if cli_at.is_none() {
            // Its socket would stay readable for ever.
            watched[2] = self.signals.as_fd();
        }
        let ready = watch::ready(&watched, waking.then_some(WAKE));
        let at = |index: Option<usize>| index.is_some_and(|i| ready[i]);

        if ready[0] {
            self.end();
        }
        if at(report_at) {
            self.read_report();
        }
        if self.cli.is_some() && (ready[2] || at(cli_at)) {
            self.listen_to_cli();
        }
        if ready[1] {
            self.take_signals();
        }
        if std::mem::take(&mut self.to_reap) {
            self.reap();
        }
        if at(cli_at) && self.cli.is_some() {
            self.end();
        }
        if waking && let Some(cli) = &self.cli {
            watch::go_on(cli);
        } else if self.alone && !self.cli_stops {
            self.to_supervisor.send(&Message::Alone, &[]);
            // One that has just been killed hears nothing, and leaves its store.
            if watch::wait_for_end(&self.supervisor, LEAVING) {
                crate::store::sweep();
            }
            sys::leave(0);
        }
    }

    /// C or S is dead: so is everybody, soon.
    fn end(&self) -> ! {
        cleaner::clean(&[], Some(&self.supervisor));
        // As long as S lives its store is its own to remove.
        if watch::wait_for_end(&self.supervisor, DYING) {
            crate::store::sweep();
        }
        sys::leave(1)
    }

    fn read_report(&mut self) {
        let Some(report) = &self.report else { return };
        let mut bytes = [0; REPORT];
        let got = rustix::io::read(report, &mut bytes);
        let report = if got == Ok(REPORT) { Report::decode(&bytes) } else { None };
        match report {
            Some(Report::Installed(number)) => {
                let listener = (number >= 0).then(|| sys::adopt(number));
                let listener_end: Vec<_> = listener.iter().map(OwnedFd::as_fd).collect();
                self.to_supervisor.send(&Message::Installed { guest: self.guest }, &listener_end);
                self.installed = true;
                drop(listener);
                self.part();
            }
            Some(Report::NotInstalled { code, errno }) => {
                self.to_cli.send(&Message::NotInstalled { code, errno }, &[]);
            }
            Some(Report::NotExecuted { errno }) => {
                self.installed = false;
                self.to_cli.send(&Message::NotExecuted { errno }, &[]);
            }
            None if got == Err(rustix::io::Errno::AGAIN) => {}
            None => {
                self.report = None;
                if self.installed {
                    self.to_cli.send(&Message::Executed, &[]);
                }
            }
        }
    }

    /// Takes a descriptor table of our own, with nothing in it that is the guest's.
    fn part(&mut self) {
        let mut kept = vec![
            self.to_cli.number(),
            self.to_supervisor.number(),
            self.supervisor.as_raw_fd(),
            self.signals.as_raw_fd(),
            self.guest_pidfd.as_raw_fd(),
        ];
        kept.extend(self.cli.iter().chain(&self.report).map(AsRawFd::as_raw_fd));
        if sys::close_all_but(&kept, true).is_err() {
            self.end();
        }
        let _ = rustix::process::chdir("/");
    }

    fn listen_to_cli(&mut self) {
        loop {
            match self.to_cli.receive() {
                Got::Message(Message::Goodbye, _) => {
                    self.cli = None;
                    self.cli_stops = false;
                    // The group belongs to a job that is over: what is sent to it is not for us.
                    let _ = rustix::process::setsid();
                    return;
                }
                Got::Message(Message::Awake, _) => self.cli_stops = false,
                Got::Message(Message::WasInGroup { signal, code, from }, _) => {
                    self.take_signals();
                    let found = self.heard.iter().position(|(_, heard)| {
                        (heard.signal, heard.code, heard.from) == (signal, code, from)
                    });
                    let yes = found.is_some_and(|at| self.heard.remove(at).is_some());
                    self.to_cli.send(&Message::InGroup { yes }, &[]);
                }
                Got::Message(..) => {}
                Got::Nothing | Got::Closed => return,
            }
        }
    }

    /// Remembers what the group was sent, and that children have changed.
    fn take_signals(&mut self) {
        let now = Instant::now();
        while let Some(signal) = sys::next_signal(self.signals.as_fd()) {
            if signal.signal == libc::SIGCHLD {
                self.to_reap = true;
            } else {
                self.heard.push_back((now, signal));
            }
        }
        self.heard.retain(|(when, _)| now.duration_since(*when) < MEMORY);
    }

    fn reap(&mut self) {
        let mut ended = None;
        let last = loop {
            match sys::wait_any(libc::WUNTRACED | libc::WCONTINUED) {
                sys::Waited::Changed(pid, status) if pid == self.guest && !self.guest_ended => {
                    if libc::WIFSTOPPED(status) {
                        self.guest_stopped = true;
                        self.cli_stops = true;
                        let signal = libc::WSTOPSIG(status);
                        self.to_cli.send(&Message::Stopped { signal }, &[]);
                    } else if libc::WIFCONTINUED(status) {
                        self.guest_stopped = false;
                        self.to_cli.send(&Message::Continued, &[]);
                    } else {
                        self.guest_ended = true;
                        ended = Some(status);
                    }
                }
                sys::Waited::Changed(..) => {}
                sys::Waited::Nothing => break false,
                sys::Waited::Childless => break true,
            }
        };
        if let Some(status) = ended {
            let killed = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL;
            // Guests that S traces die with S, and may be seen to do so long before it where much
            // else runs. One that ended after S was served by nobody at the end, so its status says
            // nothing.
            let patience = match killed {
                true if watch::parent_is_dying() => LEAVING,
                true => DYING,
                false => Duration::ZERO,
            };
            if watch::wait_for_end(&self.supervisor, patience) {
                self.end();
            }
            // What it said last comes before its end: at most a listener, a failure and the end.
            for _ in 0..3 {
                self.read_report();
            }
            self.report = None;
            self.to_cli.send(&Message::Ended { status, last }, &[]);
        }
        self.alone = last;
    }
}
