//! Runs one command natively and under `anyns run`, as the same ordinary user, and hands back all
//! that it printed.
//!
//! Both runs have the same user, `no_new_privs`, environment and directory (made anew for each), so
//! what differs is our doing. `ANYNS_SELF_CHECK=1` puts a native run in the place of the hosted one:
//! a difference then belongs to the test.

#![allow(dead_code, unreachable_pub)] // each test program uses a part of this module

pub mod again;
pub mod container;
pub mod normal;
pub mod place;
pub mod report;
pub mod roots;
pub mod same;
pub mod session;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use place::Place;

/// The ordinary user of a test that runs as root.
pub const UID: u32 = 1000;

/// Says whether the tests run as root, and so can choose the user.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A directory of its own for one test, removed at the end.
pub struct Scratch {
    root: PathBuf,
}

impl Scratch {
    /// Makes an empty directory that the ordinary user can reach.
    pub fn new(name: &str) -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let root =
            std::env::temp_dir().join(format!("anyns-{name}-{}-{count}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        Scratch { root }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Copies a program to where every user can execute it.
    ///
    /// By another process: if this one had the copy open for writing, a fork of another test at that
    /// moment would inherit it, and the program would be "busy".
    pub fn program(&self, from: &Path) -> PathBuf {
        let to = self.root.join(from.file_name().unwrap());
        if !to.exists() {
            let copied = Command::new("cp").arg(from).arg(&to).status().unwrap();
            assert!(copied.success(), "{} cannot be copied", from.display());
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
        }
        to
    }

    /// Writes a file that every user can read.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.root.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Makes `home` anew, empty and owned by the ordinary user.
    pub fn fresh_home(&self) -> PathBuf {
        let home = self.root.join("home");
        // What a supervisor kept there may be going at the same moment.
        for _ in 0..100 {
            match fs::remove_dir_all(&home) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                _ => break,
            }
        }
        fs::create_dir(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
        give(&home);
        home
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::env::var_os("ANYNS_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

/// Gives a file to the ordinary user.
fn give(path: &Path) {
    if is_root() {
        chown(path, Some(UID), Some(UID)).unwrap();
    }
}

/// A command line, with what it needs.
#[derive(Clone, Debug)]
pub struct Line {
    argv: Vec<String>,
    stdin: String,
    env: BTreeMap<String, String>,
    limit: Duration,
}

impl Line {
    /// A program with its arguments.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Line {
        Line {
            argv: argv.into_iter().map(Into::into).collect(),
            stdin: String::new(),
            env: BTreeMap::new(),
            limit: Duration::from_secs(120),
        }
    }

    /// A shell script.
    pub fn sh(script: &str) -> Line {
        Line::new(["sh", "-c", script])
    }

    /// What the command reads from its standard input.
    pub fn stdin(mut self, text: &str) -> Line {
        self.stdin = text.to_owned();
        self
    }

    /// One more variable of the environment.
    pub fn env(mut self, name: &str, value: &str) -> Line {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// How long it may take before it counts as hanging.
    pub fn limit(mut self, limit: Duration) -> Line {
        self.limit = limit;
        self
    }
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The exit status, or 128 and the signal, as a shell tells it.
    pub status: i32,
    /// Everything it printed.
    pub stdout: String,
    /// Everything it complained about.
    pub stderr: String,
}

impl Outcome {
    /// The outcome as text in which one line is one line, for comparing.
    pub fn text(&self) -> String {
        format!("{}--- stderr\n{}--- status {}\n", self.stdout, self.stderr, self.status)
    }
}

fn shell_status(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Runs a command in a place and waits for its end.
pub fn run(scratch: &Scratch, place: Place, line: &Line) -> Outcome {
    run_at(scratch, place, line, &scratch.fresh_home())
}

/// Runs a command as [`run`] does, in a directory as an earlier command left it.
pub fn run_at(scratch: &Scratch, place: Place, line: &Line, home: &Path) -> Outcome {
    let mut command = command(scratch, place, line, home);
    run_command(scratch, &mut command, &line.stdin, line.limit).unwrap_or_else(|so_far| {
        panic!("{place:?}: {:?} has not ended after {:?}; so far:\n{so_far}", line.argv, line.limit)
    })
}

/// Runs a command with this input and waits for its end.
///
/// # Errors
/// What it had printed when it had taken too long and was killed.
pub fn run_command(
    scratch: &Scratch,
    command: &mut Command,
    stdin: &str,
    limit: Duration,
) -> Result<Outcome, String> {
    let [input, output, errors] =
        ["stdin", "stdout", "stderr"].map(|name| scratch.path().join(name));
    fs::write(&input, stdin).unwrap();
    let sink = |path: &Path| {
        let file = fs::File::create(path).unwrap();
        give(path);
        Stdio::from(file)
    };
    command.stdin(fs::File::open(&input).unwrap()).stdout(sink(&output)).stderr(sink(&errors));
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    match wait(&mut child, limit) {
        Some(status) => Ok(Outcome {
            status: shell_status(status),
            stdout: text(&output),
            stderr: text(&errors),
        }),
        None => Err(format!("{}--- stderr\n{}", text(&output), text(&errors))),
    }
}

/// The command as it is to be started, in the environment that both runs share.
pub fn command(scratch: &Scratch, place: Place, line: &Line, home: &Path) -> Command {
    let mut argv = place.prefix(scratch);
    argv.extend(line.argv.iter().cloned());
    let mut command = Command::new(&argv[0]);
    command
        .args(&argv[1..])
        .current_dir(home)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", home)
        .env("TMPDIR", home)
        .env("LANG", "C.UTF-8")
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .envs(&line.env);
    command
}

/// Waits for a child; kills it and says nothing when it takes too long.
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if start.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}
