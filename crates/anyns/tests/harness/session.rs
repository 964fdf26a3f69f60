//! A command at a terminal, typed to line by line.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetpgrp, tcsetwinsize};

use super::{Line, Place, Scratch, command, give, wait};

/// How long the command may be silent before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running command and the terminal it believes in.
pub struct Session {
    terminal: File,
    child: Child,
    shown: String,
    read: usize,
}

impl Session {
    /// Starts a command with a terminal of 24 lines and 80 columns of its own.
    pub fn start(scratch: &Scratch, place: Place, line: &Line) -> Session {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = openpt(flags).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let other = File::from(rustix::fs::open(&name, flags, Mode::empty()).unwrap());
        give(std::path::Path::new(name.to_str().unwrap()));
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal, size).unwrap();

        let inner = command(scratch, place, line, &scratch.fresh_home());
        let mut outer = std::process::Command::new("setsid");
        outer.args(["--ctty", "--wait"]).arg(inner.get_program()).args(inner.get_args());
        outer.current_dir(inner.get_current_dir().unwrap()).env_clear();
        outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        outer
            .stdin(other.try_clone().unwrap())
            .stdout(other.try_clone().unwrap())
            .stderr(Stdio::from(other));
        let child = outer.spawn().unwrap();
        Session { terminal: File::from(terminal), child, shown: String::new(), read: 0 }
    }

    /// Types a text.
    pub fn send(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the command shows a text that it had not shown at the last such wait.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            if let Some(place) = self.shown[self.read..].find(text) {
                self.read += place + text.len();
                return;
            }
            let more = self.more(Duration::from_millis(100));
            assert!(
                more && start.elapsed() < PATIENCE,
                "no {text:?} in what the terminal shows:\n{}",
                self.shown
            );
        }
    }

    /// The number of the process group that owns the terminal.
    pub fn owner(&self) -> i32 {
        tcgetpgrp(&self.terminal).map_or(0, |pid| pid.as_raw_nonzero().get())
    }

    /// Waits until another process group than the shell's owns the terminal.
    #[track_caller]
    pub fn wait_for_owner(&mut self, shell: i32) {
        let start = Instant::now();
        while [0, shell].contains(&self.owner()) {
            self.more(Duration::from_millis(10));
            assert!(start.elapsed() < PATIENCE, "no command runs:\n{}", self.shown);
        }
    }

    /// Changes the size of the terminal, as a window's user does.
    pub fn resize(&mut self, lines: u16, columns: u16) {
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.terminal, size).unwrap();
    }

    /// Closes the terminal, as a user does who closes the window.
    pub fn hang_up(&mut self) {
        self.terminal = File::open("/dev/null").unwrap();
    }

    /// Waits for the end; says the exit status and everything that was shown.
    #[track_caller]
    pub fn end(mut self) -> String {
        let start = Instant::now();
        while self.more(Duration::from_millis(100)) && start.elapsed() < PATIENCE {}
        let status = wait(&mut self.child, PATIENCE);
        let Some(status) = status else { panic!("the session does not end:\n{}", self.shown) };
        format!("{}\n--- {status}\n", self.shown)
    }

    /// Reads what there is; says whether the terminal is still open.
    fn more(&mut self, patience: Duration) -> bool {
        let patience = Timespec { tv_sec: 0, tv_nsec: i64::from(patience.subsec_nanos()) };
        let mut fds = [PollFd::from_borrowed_fd(self.terminal.as_fd(), PollFlags::IN)];
        if poll(&mut fds, Some(&patience)).unwrap() == 0 {
            return true;
        }
        let mut buffer = [0; 4096];
        match self.terminal.read(&mut buffer) {
            Ok(count) if count > 0 => {
                self.shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
                true
            }
            _ => false, // EIO: nobody has the other side open any more
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
