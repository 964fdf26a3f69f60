//! `/proc` as seen from inside: which of its files the supervisor answers for.
//!
//! Only files whose text or identity depends on namespaces we serve are ours; everything else in
//! `/proc` is the kernel's own. What each file shows is in the files beside this one.

mod control;
mod status;

use std::os::fd::{AsFd, AsRawFd};

use nsproxy::Kind;
use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;

pub(crate) use control::{Control, ControlFile, namespace, open_control, open_status};
pub(crate) use status::{Native, thread_group};

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

/// A place in `/proc`, as far as the supervisor cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// `PID/status` or `PID/task/TID/status`.
    Status {
        /// The thread it is about; a process's files are about its leader.
        tid: i32,
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
        /// The type of namespace, if the link is for a type that exists.
        kind: Kind,
        /// It is one of the `*_for_children` links.
        for_children: bool,
    },
    /// The link of a thread's open descriptor.
    Descriptor {
        /// Whose.
        tid: i32,
        /// Its number.
        fd: i32,
    },
    /// A file of `/proc/sys` that belongs to the reader's own namespaces.
    Sysctl(Control),
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
            Node::Status { tid }
            | Node::Control { tid, .. }
            | Node::Namespace { tid, .. }
            | Node::Descriptor { tid, .. }
            | Node::OfThread { tid } => Some(tid),
            Node::Sysctl(_) | Node::Other => None,
        }
    }
}

impl Node {
    /// Tells what the names below the root of `/proc` stand for.
    pub(crate) fn from_trail(trail: &[String]) -> Node {
        let names: Vec<&str> = trail.iter().map(String::as_str).collect();
        match names.as_slice() {
            ["sys", rest @ ..] => Control::from_sysctl(rest).map_or(Node::Other, Node::Sysctl),
            [pid, "task", tid, rest @ ..] if number(pid).is_some() => {
                number(tid).map_or(Node::Other, |tid| Node::of_thread(tid, rest))
            }
            [pid, rest @ ..] => number(pid).map_or(Node::Other, |pid| Node::of_thread(pid, rest)),
            [] => Node::Other,
        }
    }

    fn of_thread(tid: i32, rest: &[&str]) -> Node {
        match rest {
            ["status"] => Node::Status { tid },
            ["ns", link] => {
                let base = link.strip_suffix("_for_children");
                let name = base.unwrap_or(link);
                match Kind::ALL.iter().find(|kind| kind.name() == name) {
                    Some(&kind) => Node::Namespace { tid, kind, for_children: base.is_some() },
                    None => Node::OfThread { tid },
                }
            }
            ["fd", fd] => match number(fd) {
                Some(fd) => Node::Descriptor { tid, fd },
                None => Node::OfThread { tid },
            },
            [file] => Control::from_thread_file(file)
                .map_or(Node::OfThread { tid }, |file| Node::Control { tid, file }),
            _ => Node::OfThread { tid },
        }
    }
}

/// Tells whether a path that ends in `last` could name something of ours, by its name alone.
///
/// This is what every path call of every guest pays, so it must stay a handful of comparisons.
pub(crate) fn is_interesting(last: &[u8]) -> bool {
    Control::is_name(last)
        || last == b"status"
        || last.strip_suffix(b"_for_children").unwrap_or(last).len() <= 6
            && Kind::ALL.iter().any(|kind| {
                last.strip_suffix(b"_for_children").unwrap_or(last) == kind.name().as_bytes()
            })
}

/// The path the kernel shows for one of our own descriptors.
pub(crate) fn descriptor_path(fd: impl AsFd) -> Result<Vec<u8>, Errno> {
    let link = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    Ok(rustix::fs::readlink(link, Vec::new())?.into_bytes())
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
    let vector = read_file(&format!("/proc/{tgid}/auxv"))?;
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

fn number(name: &str) -> Option<i32> {
    name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse().ok()).flatten()
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
        assert_eq!(node("12/status"), Node::Status { tid: 12 });
        assert_eq!(node("12/task/13/status"), Node::Status { tid: 13 });
        assert_eq!(node("12/comm"), Node::OfThread { tid: 12 });
        assert_eq!(node("12x/status"), Node::Other);
    }

    #[test]
    fn namespace_links_know_their_type() {
        let user = Node::Namespace { tid: 7, kind: Kind::User, for_children: false };
        assert_eq!(node("7/ns/user"), user);
        let time = Node::Namespace { tid: 7, kind: Kind::Time, for_children: true };
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
