//! A cgroup of version 2 for a scenario: made before it, the first process in it, removed after.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// In this variable of the environment `refusing-host` finds the cgroup to start in.
pub const ENVIRONMENT: &str = "CONFORMANCE_CGROUP";

/// How long to wait for the last processes to leave it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The scenario's own cgroup, directly below the root of the hierarchy.
#[derive(Debug)]
pub(super) struct Base {
    path: PathBuf,
    name: String,
}

impl Base {
    /// Makes one that belongs to `owner`.
    pub(super) fn new(name: String, owner: u32) -> io::Result<Base> {
        let path = mount()?.join(&name);
        fs::create_dir(&path)?;
        let base = Base { path, name };
        for file in [base.path.clone(), base.path.join("cgroup.procs")] {
            chown(file, Some(owner), Some(owner))?;
        }
        Ok(base)
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The last part of its path, which is different in every run.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let still_there = || match remove(&self.path) {
            Err(error) => error.kind() != io::ErrorKind::NotFound,
            Ok(()) => false,
        };
        while still_there() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Removes a directory with all below it. The files in it are the kernel's.
fn remove(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

/// Where version 2 is mounted, whole.
fn mount() -> io::Result<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo")?;
    let point = text.lines().find_map(|line| {
        let mut fields = line.split(" - cgroup2 ").next()?.split(' ').skip(3);
        let whole = line.contains(" - cgroup2 ") && fields.next() == Some("/");
        whole.then(|| fields.next()).flatten()
    });
    point.map(PathBuf::from).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Looks whether this host lets us make cgroups of version 2: an error says why not.
pub(super) fn try_one() -> io::Result<()> {
    let base = Base::new(format!("conformance-{}-try", std::process::id()), 0)?;
    remove(base.path())
}
