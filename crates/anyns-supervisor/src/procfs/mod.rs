//! `/proc` as seen from inside: which of its files the supervisor answers for.
//!
//! Only files whose text or identity depends on namespaces we serve are ours; everything else in
//! `/proc` is the kernel's own. What each file shows is in the files beside this one.

mod cgroups;
mod control;
mod copies;
mod deep;
mod files;
mod ipc;
mod listing;
mod namespace;
mod paths;
mod sight;
mod status;
mod text;

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use anyns_trap::record::record;
use nsproxy::Link;
use nsproxy::ipc::Sort;
use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;

pub(crate) use cgroups::root_seen as cgroup_seen;
pub(crate) use control::{Control, ControlFile, open_control};
pub(crate) use copies::Copies;
pub(crate) use files::{open_file, open_loadavg, open_locks};
pub(crate) use ipc::open_sysvipc;
pub(crate) use listing::{Listed, listed};
pub(crate) use namespace::{may_look, namespace, namespace_of_pidfd};
pub(crate) use paths::{link_text, mounted_text};
pub(crate) use status::{Native, has_own_filter, read_limit, thread_group, umask};

/// The inode number of the root of every proc file system (proc(5) does not say so; it is fixed).
const ROOT_INODE: u64 = 1;

/// The proc file system of this host.
#[derive(Debug)]
pub(crate) struct Proc {
    device: u64,
    namespace_device: u64,
}

impl Proc {
    /// Looks at the host's `/proc`.
    ///
    /// # Errors
    /// Those of stat(2), if it is not mounted.
    pub(crate) fn new() -> Result<Proc, Errno> {
        let device = rustix::fs::stat("/proc")?.st_dev;
        let namespace_device = rustix::fs::stat("/proc/self/ns/uts")?.st_dev;
        Ok(Proc { device, namespace_device })
    }

    /// Device number of the file system.
    pub(crate) fn device(&self) -> u64 {
        self.device
    }

    /// Device number of the file system that namespace files live on.
    pub(crate) fn namespace_device(&self) -> u64 {
        self.namespace_device
    }

    /// Where it is mounted.
    pub(crate) fn mounted_at(&self) -> &'static str {
        "/proc"
    }

    /// Tells whether `stat` is the root directory of this file system.
    pub(crate) fn is_root(&self, stat: &Stat) -> bool {
        stat.st_dev == self.device && stat.st_ino == ROOT_INODE
    }
}

/// A file of a process or thread whose text depends on namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThreadFile {
    /// `status`.
    Status,
    /// `stat`.
    Stat,
    /// `children`.
    Children,
    /// `sched`.
    Sched,
    /// `cgroup`.
    Cgroup,
    /// `mountinfo`.
    Mountinfo,
    /// `mounts`.
    Mounts,
    /// `mountstats`.
    Mountstats,
    /// `fdinfo/N`, which has numbers in it if the descriptor is a pidfd.
    Fdinfo(i32),
    /// `maps`.
    Maps,
    /// `smaps`.
    Smaps,
    /// `numa_maps`.
    NumaMaps,
    /// One whose text is the kernel's, but not for everybody: `environ`, `mem` ...
    Guarded,
}

/// A place in `/proc`, as far as the supervisor cares. All numbers are the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// The root directory.
    Root,
    /// `self` or `thread-self`, not followed.
    Own {
        /// The latter.
        thread: bool,
    },
    /// A file in the directory of a process or thread.
    File {
        /// The thread it is about; a process's files are about its leader.
        tid: i32,
        /// Which of them.
        file: ThreadFile,
    },
    /// `uid_map`, `gid_map`, `projid_map` or `setgroups` of a thread.
    Control {
        /// The thread it is about.
        tid: i32,
        /// Which of them.
        file: Control,
    },
    /// A link in `PID/ns`.
    Namespace {
        /// The thread it is about.
        tid: i32,
        /// Which one.
        link: Link,
    },
    /// The link of a thread's open descriptor.
    Descriptor {
        /// Whose.
        tid: i32,
        /// Its number.
        fd: i32,
    },
    /// `PID/task`.
    Tasks {
        /// Whose.
        tgid: i32,
    },
    /// A file of `/proc/sysvipc`.
    SysvIpc(Sort),
    /// A file of `/proc/sys` that belongs to the reader's own namespaces.
    Sysctl(Control),
    /// `loadavg`.
    Loadavg,
    /// `locks`.
    Locks,
    /// Anything else in a thread's directory.
    OfThread {
        /// Whose.
        tid: i32,
    },
    /// Anything else.
    Other,
}

impl Node {
    /// The thread it is about.
    pub(crate) fn thread(&self) -> Option<i32> {
        match *self {
            Node::File { tid, .. }
            | Node::Control { tid, .. }
            | Node::Namespace { tid, .. }
            | Node::Descriptor { tid, .. }
            | Node::Tasks { tgid: tid }
            | Node::OfThread { tid } => Some(tid),
            Node::Root
            | Node::Own { .. }
            | Node::Sysctl(_)
            | Node::SysvIpc(_)
            | Node::Loadavg
            | Node::Locks
            | Node::Other => None,
        }
    }

    /// The `status` of a thread.
    #[cfg(test)]
    pub(crate) const fn of_status(tid: i32) -> Node {
        Node::File { tid, file: ThreadFile::Status }
    }

    /// Tells what the names below the root of `/proc` stand for.
    pub(crate) fn from_trail(trail: &[String]) -> Node {
        let names: Vec<&str> = trail.iter().map(String::as_str).collect();
        match names.as_slice() {
            [] => Node::Root,
            ["self"] => Node::Own { thread: false },
            ["thread-self"] => Node::Own { thread: true },
            ["loadavg"] => Node::Loadavg,
            ["locks"] => Node::Locks,
            ["sysvipc", name] => ipc::by_name(name).map_or(Node::Other, Node::SysvIpc),
            ["sys", rest @ ..] => Control::from_sysctl(rest).map_or(Node::Other, Node::Sysctl),
            [pid, "task"] if let Some(tgid) = number(pid) => Node::Tasks { tgid },
            [pid, "task", tid, rest @ ..] if number(pid).is_some() => {
                number(tid).map_or(Node::Other, |tid| Node::of_thread(tid, rest))
            }
            [pid, rest @ ..] => number(pid).map_or(Node::Other, |pid| Node::of_thread(pid, rest)),
        }
    }

    fn of_thread(tid: i32, rest: &[&str]) -> Node {
        let other = Node::OfThread { tid };
        match rest {
            ["ns", link] => match Link::by_name(link) {
                Some(link) => Node::Namespace { tid, link },
                None => other,
            },
            ["fd", fd] => number(fd).map_or(other, |fd| Node::Descriptor { tid, fd }),
            ["fdinfo"] => Node::File { tid, file: ThreadFile::Guarded },
            ["fdinfo", fd] => match number(fd) {
                Some(fd) => Node::File { tid, file: ThreadFile::Fdinfo(fd) },
                None => other,
            },
            [file] => match (ThreadFile::named(file), Control::from_thread_file(file)) {
                (Some(file), _) => Node::File { tid, file },
                (None, Some(file)) => Node::Control { tid, file },
                (None, None) => other,
            },
            _ => other,
        }
    }
}

impl ThreadFile {
    /// Whether only those may open it who may look into the process.
    pub(crate) fn is_guarded(self) -> bool {
        matches!(
            self,
            ThreadFile::Guarded
                | ThreadFile::Maps
                | ThreadFile::Smaps
                | ThreadFile::NumaMaps
                | ThreadFile::Fdinfo(_)
        )
    }

    fn named(name: &str) -> Option<ThreadFile> {
        Some(match name {
            "status" => ThreadFile::Status,
            "stat" => ThreadFile::Stat,
            "children" => ThreadFile::Children,
            "sched" => ThreadFile::Sched,
            "cgroup" => ThreadFile::Cgroup,
            "mountinfo" => ThreadFile::Mountinfo,
            "mounts" => ThreadFile::Mounts,
            "mountstats" => ThreadFile::Mountstats,
            "maps" => ThreadFile::Maps,
            "smaps" => ThreadFile::Smaps,
            "numa_maps" => ThreadFile::NumaMaps,
            "environ" | "auxv" | "smaps_rollup" | "pagemap" | "mem" | "io" | "stack"
            | "syscall" | "personality" | "clear_refs" => ThreadFile::Guarded,
            _ => return None,
        })
    }
}

/// Tells whether a path that ends in `last` could name something of ours, by its name alone.
///
/// This is what every path call of every guest pays, so it must stay a handful of comparisons.
pub(crate) fn is_interesting(last: &[u8]) -> bool {
    const FILES: [&[u8]; 6] =
        [b"status", b"stat", b"mountinfo", b"mounts", b"mountstats", b"cgroup"];
    Control::is_name(last)
        || ipc::is_name(last)
        || FILES.contains(&last)
        || Link::ALL.iter().any(|link| last == link.name().as_bytes())
}

/// Tells whether a path ends in the name of a limit of namespaces.
pub(crate) fn is_limit(path: &[u8]) -> bool {
    let last = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    last.starts_with(b"max_") && last.ends_with(b"_namespaces")
}

/// A path by which only this process can name what one of its descriptors is of.
pub(crate) fn own_path(fd: impl AsFd) -> CString {
    let text = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    CString::new(text).unwrap_or_default()
}

/// Where the kernel lists this process's descriptors, opened once: half the way to each of them.
fn own_descriptors() -> Result<BorrowedFd<'static>, Errno> {
    static OWN: OnceLock<Result<OwnedFd, Errno>> = OnceLock::new();
    let own = OWN.get_or_init(|| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open("/proc/self/fd", flags, Mode::empty())
    });
    own.as_ref().map(AsFd::as_fd).map_err(|errno| *errno)
}

/// Opens anew what one of our own descriptors is of.
///
/// # Errors
/// Those of open(2).
pub(crate) fn reopen(fd: impl AsFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    let number = rustix::path::DecInt::from_fd(fd.as_fd());
    rustix::fs::openat(own_descriptors()?, number, flags, Mode::empty())
}

/// The path of one of our own descriptors, however long.
///
/// # Errors
/// ENAMETOOLONG if it is longer than the kernel tells, and cannot be found out.
pub(crate) fn descriptor_path(fd: impl AsFd) -> Result<Vec<u8>, Errno> {
    match short_path(&fd) {
        Err(Errno::NAMETOOLONG) => deep::path_of(fd),
        told => told,
    }
}

/// The same, as far as the kernel tells it.
fn short_path(fd: impl AsFd) -> Result<Vec<u8>, Errno> {
    let number = rustix::path::DecInt::from_fd(fd.as_fd());
    let mut text = [MaybeUninit::uninit(); libc::PATH_MAX as usize];
    let (text, rest) = rustix::fs::readlinkat_raw(own_descriptors()?, number, &mut text)?;
    match rest.is_empty() {
        true => Err(Errno::NAMETOOLONG),
        false => Ok(text.to_vec()),
    }
}

/// Reads a small file of the host's `/proc` whole.
pub(crate) fn read_file(path: &str) -> Result<Vec<u8>, Errno> {
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::with_capacity(4096);
    loop {
        let start = text.len();
        text.resize(start + 4096, 0);
        let got = rustix::io::read(&fd, &mut text[start..])?;
        text.truncate(start + got);
        if got == 0 {
            return Ok(text);
        }
    }
}

/// Something that is different after a process has started another program, be it the same one
/// again: the random bytes that the kernel gives each (getauxval(3), AT_RANDOM).
pub(crate) fn program_mark(tgid: i32) -> Result<[u8; 16], Errno> {
    const WORD: usize = size_of::<u64>();
    let vector = record(&format!("/proc/{tgid}/auxv"))?;
    if vector.is_empty() {
        // A zombie runs nothing.
        return Err(Errno::SRCH);
    }
    let mut words = vector
        .chunks_exact(WORD)
        .map(|word| u64::from_ne_bytes(word.try_into().expect("eight bytes")));
    let mut mark = [0; 16];
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        if key == libc::AT_RANDOM {
            let memory = anyns_trap::Memory::of_stopped(anyns_trap::Tid(tgid));
            memory.read(value, &mut mark).map_err(|_| Errno::SRCH)?;
        }
    }
    Ok(mark)
}

/// The number that a name of `/proc` is.
pub(crate) fn number(name: &str) -> Option<i32> {
    let plain = name.bytes().all(|byte| byte.is_ascii_digit())
        && (name.len() == 1 || !name.starts_with('0'));
    plain.then(|| name.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(path: &str) -> Node {
        let trail: Vec<String> = path.split('/').map(str::to_owned).collect();
        Node::from_trail(&trail)
    }

    #[test]
    fn files_of_a_thread_are_about_that_thread() {
        assert_eq!(node("12/status"), Node::of_status(12));
        assert_eq!(node("12/task/13/status"), Node::of_status(13));
        assert_eq!(node("12/task"), Node::Tasks { tgid: 12 });
        assert_eq!(node("12/fdinfo/3"), Node::File { tid: 12, file: ThreadFile::Fdinfo(3) });
        assert_eq!(node("012/status"), Node::Other);
        assert_eq!(node("12/comm"), Node::OfThread { tid: 12 });
        assert_eq!(node("12x/status"), Node::Other);
    }

    #[test]
    fn namespace_links_know_their_type() {
        assert_eq!(node("7/ns/user"), Node::Namespace { tid: 7, link: Link::User });
        let time = Node::Namespace { tid: 7, link: Link::TimeForChildren };
        assert_eq!(node("7/ns/time_for_children"), time);
        assert_eq!(node("7/ns/nonsense"), Node::OfThread { tid: 7 });
    }

    #[test]
    fn interesting_names_are_few() {
        for name in ["uid_map", "status", "ns/../user", "user", "uts", "hostname", "setgroups"] {
            let last = name.rsplit('/').next().unwrap().as_bytes();
            assert!(is_interesting(last), "{name}");
        }
        for name in ["libc.so.6", "cmdline", "passwd", "", "pid_for"] {
            assert!(!is_interesting(name.as_bytes()), "{name}");
        }
    }
}
