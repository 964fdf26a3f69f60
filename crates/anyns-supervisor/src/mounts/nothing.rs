//! What shows in the place of a directory or file that nobody can see, because the host has mounted
//! something over it and the guest has not: an empty one that stays empty.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;

/// The two, once they were needed.
#[derive(Debug, Default)]
pub(super) struct Nothing {
    directory: OnceLock<Result<OwnedFd, Errno>>,
    file: OnceLock<Result<OwnedFd, Errno>>,
}

impl Nothing {
    /// Opens one of them with O_PATH.
    pub(super) fn open(&self, directory: bool) -> Result<OwnedFd, Errno> {
        let made = match directory {
            true => self.directory.get_or_init(make_directory),
            false => self.file.get_or_init(make_file),
        };
        let fd = made.as_ref().map_err(|errno| *errno)?;
        rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), 0)
    }
}

/// A directory that was removed: nothing can be made in it.
fn make_directory() -> Result<OwnedFd, Errno> {
    let places = ["XDG_RUNTIME_DIR", "TMPDIR"].into_iter().filter_map(std::env::var_os);
    let places = places.chain(["/tmp", "/var/tmp", "/dev/shm"].map(Into::into));
    let mut last = Errno::NOENT;
    for place in places {
        let path = std::path::Path::new(&place).join(format!("anyns-{}", std::process::id()));
        match std::fs::DirBuilder::new().mode(0o555).create(&path) {
            Ok(()) => {
                let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY;
                let fd = rustix::fs::open(&path, flags, Mode::empty());
                // Whatever is found there later is not it.
                let _ = std::fs::remove_dir(&path);
                return fd;
            }
            Err(error) => last = Errno::from_io_error(&error).unwrap_or(Errno::IO),
        }
    }
    Err(last)
}

fn make_file() -> Result<OwnedFd, Errno> {
    let fd = rustix::fs::memfd_create("", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SEAL | SealFlags::GROW | SealFlags::WRITE)?;
    crate::procfs::reopen(&fd, OFlags::PATH | OFlags::CLOEXEC)
}
