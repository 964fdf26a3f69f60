//! Where a guest's path leads.
//!
//! State: none. A lookup starts from the guest's own directory descriptors and ends in an `O_PATH`
//! descriptor of ours, so what was checked is what is used.
//! Not here: what a place of `/proc` shows; that is `procfs`. Nor a mount tree of our own: until
//! mount namespaces are served, the guest's tree is the host's.

mod walk;

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::procfs::{Node, Proc};

/// Who looks a path up: the thread, whose `/proc/self` and descriptors count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeker<'a> {
    /// The thread's number on the host.
    pub(crate) tid: i32,
    /// The proc file system of this host.
    pub(crate) proc: &'a Proc,
}

/// What a path named.
#[derive(Debug)]
pub(crate) struct Place {
    /// The object, as an `O_PATH` descriptor of the supervisor's.
    pub(crate) fd: OwnedFd,
    /// Its attributes on the host.
    pub(crate) stat: Stat,
    /// What it is within `/proc`, if it lies there.
    pub(crate) node: Option<Node>,
    /// Why the host does not let us follow this namespace link, so that `fd` is the link itself.
    /// What it stands for inside may be there all the same.
    pub(crate) barred: Option<Errno>,
}

/// The value of a `dirfd` argument that means the working directory.
const AT_FDCWD: i32 = libc::AT_FDCWD;

/// Finds what `path` names for `who`, starting at `dirfd`; a symbolic link at the end is followed
/// only if `follow`.
///
/// # Errors
/// Those of path_resolution(7), and EBADF or ENOTDIR for `dirfd`.
pub(crate) fn find(who: Seeker<'_>, dirfd: i32, path: &CStr, follow: bool) -> Result<Place, Errno> {
    if path.to_bytes().is_empty() {
        return Err(Errno::NOENT);
    }
    let base = if path.to_bytes().starts_with(b"/") { None } else { Some(start(who, dirfd)?) };
    let nofollow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let at = base.as_ref().map_or(CWD, AsFd::as_fd);
    // Magic links lead to what *we* have open under that number, so they are refused here and
    // walked with the guest's numbers instead; so is everything that turns out to lie in /proc.
    let quick = rustix::fs::openat2(
        at,
        path,
        OFlags::PATH | OFlags::CLOEXEC | nofollow,
        Mode::empty(),
        ResolveFlags::NO_MAGICLINKS,
    );
    match quick {
        Ok(fd) => {
            let stat = rustix::fs::fstat(&fd)?;
            if stat.st_dev != who.proc.device() {
                return Ok(Place { fd, stat, node: None, barred: None });
            }
        }
        // ELOOP may be a magic link; anything else may come from the wrong `/proc/self`.
        Err(Errno::LOOP | Errno::NOENT | Errno::ACCESS | Errno::NOTDIR) => {}
        Err(other) => return Err(other),
    }
    walk::walk(who, base, path.to_bytes(), follow)
}

/// Opens the object behind a guest's descriptor, or its working directory.
///
/// # Errors
/// EBADF if there is no such descriptor; EACCES or EPERM if the host does not let us look.
pub(crate) fn start(who: Seeker<'_>, dirfd: i32) -> Result<OwnedFd, Errno> {
    let link = if dirfd == AT_FDCWD {
        format!("/proc/{}/cwd", who.tid)
    } else if dirfd < 0 {
        return Err(Errno::BADF);
    } else {
        format!("/proc/{}/fd/{dirfd}", who.tid)
    };
    rustix::fs::open(link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| if errno == Errno::NOENT { Errno::BADF } else { errno })
}

/// Attributes of the object behind a guest's descriptor.
///
/// # Errors
/// EBADF if there is no such descriptor.
pub(crate) fn stat_descriptor(tid: i32, fd: i32) -> Result<Stat, Errno> {
    if fd < 0 {
        return Err(Errno::BADF);
    }
    rustix::fs::statat(CWD, format!("/proc/{tid}/fd/{fd}"), AtFlags::empty())
        .map_err(|errno| if errno == Errno::NOENT { Errno::BADF } else { errno })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    use crate::procfs::Control;

    /// A process that is not us, so that its `/proc/self` is not ours.
    struct Other(Child);

    impl Other {
        fn start() -> Other {
            Other(Command::new("sleep").arg("60").current_dir("/proc").spawn().expect("sleep"))
        }
    }

    impl Drop for Other {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn node(dirfd: i32, path: &CStr, follow: bool) -> Result<Option<Node>, Errno> {
        let other = Other::start();
        let proc = Proc::new()?;
        let tid = other.0.id() as i32;
        let place = find(Seeker { tid, proc: &proc }, dirfd, path, follow)?;
        Ok(place.node.map(|node| match node {
            Node::Status { tid: about } if about == tid => Node::Status { tid: 0 },
            Node::Control { tid: about, file } if about == tid => Node::Control { tid: 0, file },
            Node::Namespace { tid: about, kind, for_children } if about == tid => {
                Node::Namespace { tid: 0, kind, for_children }
            }
            other => other,
        }))
    }

    const STATUS: Node = Node::Status { tid: 0 };

    #[test]
    fn self_is_the_guest() {
        for path in [
            c"/proc/self/status",
            c"/proc/thread-self/status",
            c"//proc/./self/../self/status",
            c"/proc/self/task/../status",
            c"/proc/self/cwd/self/status",
            c"/proc/self/root/proc/self/status",
        ] {
            assert_eq!(node(libc::AT_FDCWD, path, true), Ok(Some(STATUS)), "{path:?}");
        }
    }

    #[test]
    fn a_relative_path_starts_at_the_guests_directory() {
        assert_eq!(node(libc::AT_FDCWD, c"self/status", true), Ok(Some(STATUS)));
        let hostname = Some(Node::Sysctl(Control::Hostname));
        assert_eq!(node(libc::AT_FDCWD, c"sys/kernel/hostname", true), Ok(hostname));
    }

    #[test]
    fn namespace_links_are_found_followed_or_not() {
        let user = Node::Namespace { tid: 0, kind: nsproxy::Kind::User, for_children: false };
        for follow in [true, false] {
            let found = node(libc::AT_FDCWD, c"/proc/self/ns/user", follow);
            assert_eq!(found, Ok(Some(user.clone())));
        }
    }

    #[test]
    fn what_is_not_in_proc_has_no_node() {
        assert_eq!(node(libc::AT_FDCWD, c"/etc/passwd", true), Ok(None));
        assert_eq!(node(libc::AT_FDCWD, c"/proc/self/root/etc/passwd", true), Ok(None));
        assert_eq!(node(libc::AT_FDCWD, c"/proc/../etc", true), Ok(None));
    }

    #[test]
    fn errors_are_those_of_the_kernel() {
        assert_eq!(node(libc::AT_FDCWD, c"", true), Err(Errno::NOENT));
        assert_eq!(node(libc::AT_FDCWD, c"/proc/self/nothing", true), Err(Errno::NOENT));
        assert_eq!(node(libc::AT_FDCWD, c"/proc/self/status/", true), Err(Errno::NOTDIR));
        assert_eq!(node(99, c"status", true), Err(Errno::BADF));
        assert_eq!(node(-5, c"status", true), Err(Errno::BADF));
    }
}
