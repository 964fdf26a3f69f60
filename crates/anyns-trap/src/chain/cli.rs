//! C, the command line process: it stands for the command before whoever started anyns.
//!
//! It stops when the first guest stops, ends when it ends, and hands on the signals that were meant
//! for it. A signal of the terminal, or one that a guest sends to its group, has reached the guest
//! without us; the watchdog, which is in the group too, tells which those were. Once the command
//! runs, C holds none of the descriptors it was given, so that a reader of the command's output
//! sees the end when the command closes it.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::FileType;
use rustix::process::Pid;

use super::link::{Got, Link, Message};
use super::sys::Signalled;
use super::{Ended, Failure, Part, cleaner, guest, sys, watch};

/// How long C waits for the supervisor's last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Another process, by number and pidfd.
struct Other {
    pid: i32,
    pidfd: OwnedFd,
}

pub(super) struct Cli {
    pub(super) to_supervisor: Link,
    pub(super) to_watchdog: Link,
    pub(super) supervisor_pid: i32,
    pub(super) supervisor: OwnedFd,
    pub(super) signals: OwnedFd,
    /// Children that C had before the chain; not ours to kill.
    pub(super) spared: Vec<i32>,
}

struct State {
    cli: Cli,
    watchdog: Option<Other>,
    guest: Option<Other>,
    /// Signals about which the watchdog has been asked, in order.
    asked: VecDeque<Signalled>,
    /// The last stop that nothing has undone yet.
    stop: Option<i32>,
    stderr: Option<OwnedFd>,
    outcome: Option<Result<(Ended, bool), Failure>>,
}

/// Stands for the command until it has ended.
pub(super) fn run(cli: Cli) -> Result<Ended, Failure> {
    let mut state = State {
        cli,
        watchdog: None,
        guest: None,
        asked: VecDeque::new(),
        stop: None,
        stderr: rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3).ok(),
        outcome: None,
    };
    loop {
        state.step();
        if let Some(outcome) = state.outcome.take() {
            state.say_goodbye();
            if !matches!(outcome, Ok((_, false))) {
                state.hear_last_words();
            }
            return outcome.map(|(ended, _)| ended);
        }
    }
}

impl State {
    fn step(&mut self) {
        let cli = &self.cli;
        let mut watched = vec![
            cli.supervisor.as_fd(),
            cli.signals.as_fd(),
            cli.to_supervisor.as_fd(),
            cli.to_watchdog.as_fd(),
        ];
        watched.extend(self.watchdog.as_ref().map(|w| w.pidfd.as_fd()));
        let ready = watch::ready(&watched, None);
        let watchdog_ended = ready.get(4).is_some_and(|ended| *ended);
        // Words before deaths: what somebody said before it died is still true.
        let watchdog_closed = ready[3] && self.listen_to_watchdog();
        if ready[2] {
            self.listen_to_supervisor();
        }
        if ready[1] {
            while let Some(signal) = sys::next_signal(self.cli.signals.as_fd()) {
                self.on_signal(signal);
            }
        }
        if self.outcome.is_none() {
            if ready[0] {
                self.outcome = Some(Err(self.fall(Part::Supervisor)));
            } else if watchdog_ended || watchdog_closed {
                self.outcome = Some(Err(self.fall(Part::Watchdog)));
            } else if let Some(signal) = self.stop.take() {
                self.stop_as(signal);
            }
        }
    }

    /// Tells whether the watchdog's end is closed.
    fn listen_to_watchdog(&mut self) -> bool {
        while self.outcome.is_none() {
            let (message, descriptors) = match self.cli.to_watchdog.receive() {
                Got::Message(message, descriptors) => (message, descriptors),
                Got::Nothing => return false,
                Got::Closed => return true,
            };
            match message {
                Message::Ready { watchdog, guest } => {
                    let mut pidfds = descriptors.into_iter();
                    let mut other = |pid| pidfds.next().map(|pidfd| Other { pid, pidfd });
                    self.watchdog = other(watchdog);
                    self.guest = other(guest);
                }
                Message::NotInstalled { code, errno } => {
                    let why = guest::install_failure(code, errno);
                    self.outcome = Some(Err(Failure::Install(why)));
                }
                Message::NoProcess { errno } => {
                    self.outcome = Some(Err(Failure::NoProcess(errno)));
                }
                Message::NotExecuted { errno } => {
                    self.outcome = Some(Ok((Ended::NotRun { errno }, true)));
                }
                Message::Executed => self.let_go_of_streams(),
                Message::Stopped { signal } => self.stop = Some(signal),
                Message::Continued if self.stop.take().is_some() => {
                    self.cli.to_watchdog.send(&Message::Awake, &[]);
                }
                Message::InGroup { yes } => {
                    if let Some(signal) = self.asked.pop_front() {
                        self.hand_on(&signal, yes);
                    }
                }
                Message::Ended { status, last } => {
                    let ended = if libc::WIFSIGNALED(status) {
                        Ended::Signalled(libc::WTERMSIG(status))
                    } else {
                        Ended::Exited(libc::WEXITSTATUS(status) as u8)
                    };
                    self.outcome = Some(Ok((ended, last)));
                }
                _ => {}
            }
        }
        false
    }

    fn listen_to_supervisor(&mut self) {
        loop {
            match self.cli.to_supervisor.receive() {
                Got::Message(Message::Complaint { text }, _) => self.say(&text),
                Got::Message(Message::NotServing { text }, _) if self.outcome.is_none() => {
                    self.outcome = Some(Err(Failure::NotServing(text)));
                }
                Got::Message(Message::NoProcess { errno }, _) if self.outcome.is_none() => {
                    self.outcome = Some(Err(Failure::NoProcess(errno)));
                }
                Got::Message(..) => {}
                Got::Nothing | Got::Closed => return,
            }
        }
    }

    /// Asks the watchdog whether the guest has it already.
    fn on_signal(&mut self, signal: Signalled) {
        if signal.signal == libc::SIGCHLD {
            return;
        }
        let woken_by = self.watchdog.as_ref().map(|watchdog| watchdog.pid);
        if signal.signal == libc::SIGCONT && woken_by == Some(signal.from) {
            return;
        }
        let question =
            Message::WasInGroup { signal: signal.signal, code: signal.code, from: signal.from };
        self.cli.to_watchdog.send(&question, &[]);
        self.asked.push_back(signal);
    }

    /// Gives the guest a signal that was meant for it and did not reach it.
    fn hand_on(&self, signal: &Signalled, to_group: bool) {
        let Some(guest) = &self.guest else { return };
        if !to_group {
            let _ = sys::pass_on(guest.pidfd.as_fd(), signal);
            return;
        }
        // Natively the command would have been in the group that was sent it. A shell has made
        // itself another one, because it did not lead ours.
        let group = rustix::process::getpgid(Pid::from_raw(guest.pid));
        match group.map(|g| g.as_raw_nonzero().get()) {
            Ok(group) if group == guest.pid => drop(sys::kill(-group, signal.signal)),
            Ok(group) if group != rustix::process::getpgrp().as_raw_nonzero().get() => {
                let _ = sys::pass_on(guest.pidfd.as_fd(), signal);
            }
            _ => {}
        }
    }

    /// Stops as the guest has stopped; returns when somebody has continued us.
    fn stop_as(&self, signal: i32) {
        if signal != libc::SIGSTOP {
            // The starter sees which signal it was. In an orphaned group it does nothing.
            let before = sys::disposition(signal);
            sys::set_disposition(signal, sys::Disposition::Default, false);
            let _ = sys::kill(std::process::id() as i32, signal);
            let mask = sys::set_signal_mask(sys::ALL_SIGNALS & !(1 << (signal - 1)));
            sys::set_signal_mask(mask);
            sys::set_disposition(signal, before, false);
        } else {
            let _ = sys::kill(std::process::id() as i32, libc::SIGSTOP);
        }
        self.cli.to_watchdog.send(&Message::Awake, &[]);
    }

    /// Closes everything that C was given. Standard error stays where nobody waits for its end, so
    /// that an accident of ours can be told.
    fn let_go_of_streams(&mut self) {
        let stderr = self.stderr.take().filter(|fd| {
            let kind = rustix::fs::fstat(fd).map(|s| FileType::from_raw_mode(s.st_mode));
            !matches!(kind, Ok(FileType::Fifo | FileType::Socket) | Err(_))
        });
        self.stderr = stderr;
        let Ok(null) = sys::open_null() else { return };
        let mut kept = vec![
            null.as_raw_fd(),
            self.cli.supervisor.as_raw_fd(),
            self.cli.signals.as_raw_fd(),
            self.cli.to_supervisor.number(),
            self.cli.to_watchdog.number(),
        ];
        let others = self.watchdog.iter().chain(&self.guest).map(|o| &o.pidfd);
        kept.extend(others.chain(&self.stderr).map(AsRawFd::as_raw_fd));
        if sys::close_all_but(&kept, false).is_ok() {
            let stderr = self.stderr.as_ref().map_or(null.as_fd(), |fd| fd.as_fd());
            sys::fill_standard([null.as_fd(), null.as_fd(), stderr], &[]);
        }
    }

    fn say(&self, text: &str) {
        if let Some(stderr) = &self.stderr {
            let _ = rustix::io::write(stderr, format!("{text}\n").as_bytes());
        }
    }

    /// Somebody of the chain was killed. The others clean; what they leave, C cleans.
    fn fall(&mut self, part: Part) -> Failure {
        let until = Instant::now() + cleaner::GRACE;
        let left = || until.saturating_duration_since(Instant::now());
        match &self.watchdog {
            Some(watchdog) => drop(watch::wait_for_end(&watchdog.pidfd, left())),
            // Not even ready: its end of the connection tells.
            None => {
                while !left().is_zero() && !self.listen_to_watchdog() && self.watchdog.is_none() {
                    watch::ready(&[self.cli.to_watchdog.as_fd()], Some(left()));
                }
            }
        }
        watch::wait_for_end(&self.cli.supervisor, left());
        cleaner::clean(&self.cli.spared, None);
        crate::store::sweep();
        Failure::Killed(part)
    }

    fn say_goodbye(&self) {
        self.cli.to_watchdog.send(&Message::Goodbye, &[]);
        self.cli.to_supervisor.send(&Message::Goodbye, &[]);
    }

    /// Waits for the others' end: they write what is left to write, and who starts many commands
    /// where nobody reaps orphans must not find zombies.
    fn hear_last_words(&self) {
        if watch::wait_for_end(&self.cli.supervisor, LAST_WORDS) {
            let _ = sys::wait_one(self.cli.supervisor_pid);
        }
        if let Some(watchdog) = &self.watchdog
            && watch::wait_for_end(&watchdog.pidfd, LAST_WORDS)
        {
            let _ = sys::wait_one(watchdog.pid);
        }
        while let Got::Message(message, _) = self.cli.to_supervisor.receive() {
            if let Message::Complaint { text } = message {
                self.say(&text);
            }
        }
    }
}
