//! Lookups in `/proc`, where the mounts are the host's.

use std::ffi::CStr;
use std::process::{Child, Command};

use rustix::io::Errno;

use super::{Everything, Only};
use crate::procfs::{Control, Node, Proc};
use crate::vfs::{Seeker, find};

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

#[test]
fn outsiders_are_not_there() {
    let other = Other::start();
    let tid = other.0.id() as i32;
    let sight = Only(Proc::new().expect("/proc"), tid);
    let look =
        |path: &CStr| find(Seeker { tid, sight: &sight, scene: None }, libc::AT_FDCWD, path, true);
    let me = std::process::id();
    for path in ["/proc/{}/comm", "/proc/{}/../version", "/proc/self/../{}/comm", "{}", "./{}/fd"] {
        let path = path.replace("{}", &me.to_string());
        let lost = look(&std::ffi::CString::new(path.clone()).unwrap()).unwrap_err();
        assert_eq!((lost.errno, lost.by_us), (Errno::NOENT, true), "{path}");
    }
    for path in [c"/proc/1/status", c"1/status", c"/proc/self/status", c"self/task/1/status"] {
        let place = look(path).expect("it is there");
        assert_eq!(place.node, Some(Node::of_status(tid)), "{path:?}");
    }
    assert_eq!(look(c"/proc/1/status").unwrap().moved, Some(format!("/proc/{tid}/status").into()));
    assert_eq!(look(c"/proc/1/x").unwrap_err().moved, Some(format!("/proc/{tid}/x").into()));
    assert_eq!(look(c"/proc/self/status").unwrap().moved, None);
}

fn node(dirfd: i32, path: &CStr, follow: bool) -> Result<Option<Node>, Errno> {
    let other = Other::start();
    let tid = other.0.id() as i32;
    let sight = Everything(Proc::new()?, tid);
    let who = Seeker { tid, sight: &sight, scene: None };
    let place = find(who, dirfd, path, follow).map_err(|lost| lost.errno)?;
    Ok(place.node.map(|node| match node {
        Node::File { tid: about, file } if about == tid => Node::File { tid: 0, file },
        Node::Control { tid: about, file } if about == tid => Node::Control { tid: 0, file },
        Node::Namespace { tid: about, link } if about == tid => Node::Namespace { tid: 0, link },
        other => other,
    }))
}

const STATUS: Node = Node::of_status(0);

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
    let user = Node::Namespace { tid: 0, link: nsproxy::Link::User };
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
