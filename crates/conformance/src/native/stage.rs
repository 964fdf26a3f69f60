//! What a run needs around it: programs that anybody can execute, a directory, sockets.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sendmsg, socketpair,
};

use super::Executor;
use super::cgroup::Base;
use crate::agent::{pid, time};
use crate::host::USER;
use crate::lang::{Scenario, Start};

/// The agent and the host maker, copied to a directory that every user can reach.
#[derive(Clone, Debug)]
pub struct Programs {
    directory: Arc<Directory>,
}

#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    /// Makes a new directory that everybody may enter.
    fn new(what: &str) -> io::Result<Directory> {
        let path = std::env::temp_dir().join(unique(what));
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Directory(path))
    }
}

/// A name that nothing else has.
fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("conformance-{}-{count}-{what}", std::process::id())
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Programs {
    /// Copies the two programs. Their own directory may be closed to uid 1000.
    pub fn install(agent: &Path, refusing_host: &Path) -> io::Result<Programs> {
        let directory = Directory::new("programs")?;
        for (from, name) in [(agent, "agent"), (refusing_host, "refusing-host")] {
            copy_program(from, &directory.0.join(name))?;
        }
        Ok(Programs { directory: Arc::new(directory) })
    }

    /// Copies one more program beside them, and says where it is.
    pub fn add(&self, program: &Path, name: &str) -> io::Result<PathBuf> {
        let path = self.directory.0.join(name);
        if !path.exists() {
            copy_program(program, &path)?;
        }
        Ok(path)
    }

    /// The agent's copy.
    pub fn agent(&self) -> PathBuf {
        self.directory.0.join("agent")
    }

    /// The host maker's copy.
    pub fn refusing_host(&self) -> PathBuf {
        self.directory.0.join("refusing-host")
    }
}

/// Copies a program, leaving it to another process to have it open for writing: a descriptor of
/// ours could be inherited by a child that another thread is just starting, and a program that
/// somebody may write to cannot be executed.
fn copy_program(from: &Path, to: &Path) -> io::Result<()> {
    let done = Command::new("cp").arg("--").args([from, to]).status()?;
    if !done.success() {
        return Err(io::Error::other(format!("cp {} {}: {done}", from.display(), to.display())));
    }
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))
}

/// One run's surroundings. The agent has been started when this exists.
pub(super) struct Stage {
    pub(super) child: Child,
    /// The driver's ends, in the order of the scenario's actors.
    pub(super) sockets: Vec<OwnedFd>,
    pub(super) timeout: Duration,
    directory: Option<Directory>,
    cgroup: Option<Base>,
}

impl Stage {
    pub(super) fn new(executor: &Executor, scenario: &Scenario) -> Result<Stage, String> {
        let broken = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| format!("{what}: {error}")
        };
        let directory = scenario
            .needs_directory()
            .then(|| furnish(&executor.programs.agent(), scenario))
            .transpose()
            .map_err(broken("cannot make the scenario's directory"))?;
        let owner = if scenario.start == Start::Root { 0 } else { USER };
        let cgroup = scenario
            .needs_cgroup()
            .then(|| Base::new(unique("cgroup"), owner))
            .transpose()
            .map_err(broken("cannot make the scenario's cgroup"))?;
        let (ours, theirs) = pair().map_err(broken("cannot make a socket"))?;
        let mut sockets = Vec::new();
        let mut gifts = Vec::new();
        let (one, other) = pair().map_err(broken("cannot make a socket"))?;
        gifts.extend([one, other]);
        for _ in scenario.actors() {
            let (mine, its) = pair().map_err(broken("cannot make a socket"))?;
            sockets.push(mine);
            gifts.push(its);
        }
        for gift in &gifts {
            give(&ours, gift.as_fd()).map_err(broken("cannot send a socket"))?;
        }
        let programs = &executor.programs;
        let mut command = Command::new(programs.refusing_host());
        command.arg(executor.mode.name());
        command.arg(if scenario.start == Start::Root { "root" } else { "1000" });
        if scenario.needs_one_processor() {
            command.arg("--one-processor");
        }
        command
            .arg("--reap")
            .args(&executor.between)
            .arg(programs.agent())
            .arg("serve")
            .args(scenario.actors());
        if let Some(base) = &cgroup {
            command.env(super::cgroup::ENVIRONMENT, base.path());
        }
        let own = fs::read_link("/proc/self/ns/pid").map_err(broken("cannot look at /proc"))?;
        command.env(pid::OUTSIDE, own);
        command.env(time::ENVIRONMENT, time::distances());
        command.current_dir("/").stdin(Stdio::from(theirs));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().map_err(broken("cannot start the agent"))?;
        Ok(Stage { child, sockets, timeout: executor.timeout, directory, cgroup })
    }

    /// What `CGROUP` stands for.
    pub(super) fn cgroup(&self) -> &str {
        self.cgroup.as_ref().and_then(|base| base.path().to_str()).unwrap_or("/nonexistent")
    }

    /// A result with `CGROUP` where it has the name that the cgroup has in this run.
    pub(super) fn without_names(&self, result: String) -> String {
        match &self.cgroup {
            Some(base) => result.replace(base.name(), "CGROUP"),
            None => result,
        }
    }

    /// What `DIR` stands for.
    pub(super) fn directory(&self) -> &str {
        self.directory.as_ref().and_then(|directory| directory.0.to_str()).unwrap_or("/nonexistent")
    }
}

/// A file of the scenario's directory.
struct Furniture {
    name: &'static str,
    owner: u32,
    mode: u32,
    /// A copy of the agent rather than a text.
    program: bool,
}

const fn text(name: &'static str, owner: u32, mode: u32) -> Furniture {
    Furniture { name, owner, mode, program: false }
}

const fn program(name: &'static str, mode: u32) -> Furniture {
    Furniture { name, owner: 0, mode, program: true }
}

/// What the scenario's directory holds. `capable-agent` also has the capability NET_ADMIN, made
/// effective for whoever executes it.
const FURNITURE: [Furniture; 7] = [
    text("file", 1000, 0o644),
    text("shared-file", 1000, 0o666),
    text("root-file", 0, 0o600),
    program("setuid-agent", 0o4755),
    program("setgid-agent", 0o2755),
    program("capable-agent", 0o755),
    program("unreadable-agent", 0o711),
];

/// `security.capability`, version 2: NET_ADMIN (12) permitted, and effective.
const CAPABLE: [u8; 20] = [1, 0, 0, 2, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn furnish(agent: &Path, scenario: &Scenario) -> io::Result<Directory> {
    let directory = Directory::new("files")?;
    for Furniture { name, owner, mode, program } in FURNITURE {
        if !scenario.mentions(name) {
            continue;
        }
        let path = directory.0.join(name);
        match program {
            true => copy_program(agent, &path)?,
            false => fs::write(&path, "text\n")?,
        }
        chown(&path, Some(owner), Some(owner))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        if name == "capable-agent" {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&path, "security.capability", &CAPABLE, flags)?;
        }
    }
    Ok(directory)
}

/// A pair of sockets that keep messages apart.
fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

fn give(socket: &OwnedFd, gift: BorrowedFd<'_>) -> io::Result<()> {
    let gifts = [gift];
    let mut space = [const { std::mem::MaybeUninit::uninit() }; rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&gifts)), "there is room for one");
    sendmsg(socket, &[io::IoSlice::new(b"x")], &mut control, SendFlags::empty())?;
    Ok(())
}
