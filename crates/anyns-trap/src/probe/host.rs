//! Facts of the kernel and its settings.

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{OLDEST_KERNEL, child};
use crate::raw;

/// `PIDFD_THREAD`, which is `O_EXCL`.
pub(super) const PIDFD_THREAD: u32 = libc::O_EXCL as u32;

/// The kernel's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// As `uname -r` tells it.
    pub release: String,
    /// Its first two numbers.
    pub version: (u32, u32),
}

impl Kernel {
    pub(super) fn read() -> Kernel {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        Kernel { version: version(&release), release }
    }

    /// Whether anyns can run on it.
    pub fn is_new_enough(&self) -> bool {
        self.version >= OLDEST_KERNEL
    }
}

/// The first two numbers of a release; a part without digits counts as 0.
fn version(release: &str) -> (u32, u32) {
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// What `/proc/self/status` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// 0: no filter, 2: filters; none if the kernel has no seccomp.
    pub seccomp_mode: Option<u32>,
    /// How many filters are in force (5.9).
    pub filters: Option<u32>,
    /// Whether `no_new_privs` was set before us.
    pub no_new_privs: bool,
    /// Whether somebody traces us.
    pub traced: bool,
    /// The effective capabilities.
    pub capabilities: u64,
}

impl Status {
    pub(super) fn read() -> Option<Status> {
        Some(Status::parse(&String::from_utf8_lossy(&text("/proc/self/status")?)))
    }

    fn parse(text: &str) -> Status {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.strip_prefix(':')).map(str::trim)
        };
        let number = |name| field(name).and_then(|value| value.parse().ok());
        Status {
            seccomp_mode: number("Seccomp"),
            filters: number("Seccomp_filters"),
            no_new_privs: number("NoNewPrivs") == Some(1),
            traced: number("TracerPid").is_some_and(|tracer| tracer != 0),
            capabilities: field("CapEff")
                .and_then(|hex| u64::from_str_radix(hex, 16).ok())
                .unwrap_or(0),
        }
    }

    /// Whether CAP_SYS_PTRACE is effective.
    pub fn may_trace_all(&self) -> bool {
        const CAP_SYS_PTRACE: u32 = 19;
        self.capabilities & (1 << CAP_SYS_PTRACE) != 0
    }
}

/// A file that holds one number.
pub(super) fn number(path: &str) -> Option<u64> {
    std::str::from_utf8(&text(path)?).ok()?.trim().parse().ok()
}

/// A file that the kernel gives whole to the first read, all of which have less than this.
fn text(path: &str) -> Option<Vec<u8>> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = vec![0; 8192];
    let length = rustix::io::read(file, &mut text).ok()?;
    text.truncate(length);
    Some(text)
}

pub(super) fn yama() -> Option<u8> {
    number("/proc/sys/kernel/yama/ptrace_scope").and_then(|scope| scope.try_into().ok())
}

/// The label that a security module (AppArmor, SELinux) gives us; none if we are not confined.
pub(super) fn label() -> Option<String> {
    // Without such a module this fails with EINVAL.
    let label = text("/proc/self/attr/current")?;
    let label = String::from_utf8_lossy(&label);
    let label = label.trim_end_matches(['\0', '\n']);
    let unconfined = label.is_empty() || label.starts_with("unconfined");
    (!unconfined).then(|| label.to_owned())
}

/// Whether the kernel makes a user namespace for us.
pub(super) fn native_userns() -> Result<(), Errno> {
    child::attempt(|| raw::unshare(libc::CLONE_NEWUSER as u64))
}

pub(super) fn pidfd(flags: u32) -> Result<(), Errno> {
    child::attempt(|| raw::pidfd_open(std::process::id() as i32, flags).map(drop))
}

pub(super) fn openat2() -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::openat2(CWD, "/", flags, Mode::empty(), ResolveFlags::IN_ROOT).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_all_makers_are_understood() {
        assert_eq!(version("5.19.0-46-generic"), (5, 19));
        assert_eq!(version("6.18.44-fc-v657"), (6, 18));
        assert_eq!(version("4.18.0-513.el8.x86_64"), (4, 18));
        assert_eq!(version("6.1"), (6, 1));
        assert_eq!(version("next"), (0, 0));
    }

    #[test]
    fn status_is_read_by_whole_names() {
        let text = "Name:\tx\nTracerPid:\t7\nCapEff:\t0000000000080000\nNoNewPrivs:\t1\nSeccomp:\t2\n\
                    Seccomp_filters:\t3\n";
        let status = Status::parse(text);
        assert_eq!((status.seccomp_mode, status.filters), (Some(2), Some(3)));
        assert!(status.no_new_privs && status.traced && status.may_trace_all());
    }

    #[test]
    fn a_kernel_without_seccomp_has_no_line_for_it() {
        assert_eq!(Status::parse("Name:\tx\n").seccomp_mode, None);
    }
}
