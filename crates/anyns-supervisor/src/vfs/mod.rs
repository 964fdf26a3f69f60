//! Where a guest's path leads.
//!
//! State: none. A lookup starts from the guest's own directory descriptors and ends in an `O_PATH`
//! descriptor of ours, so what was checked is what is used.
//!
//! Every path call of a guest comes through [`find`], with what it sees of `/proc`: a [`Sight`]. Who
//! sees the host's mounts is served by the host's own lookup where that is right; who sees others has a
//! [`Scene`], and its paths are walked over the [`View`] of its namespace, which never changes.
//! Not here: what a place of `/proc` shows, which is `procfs`'s; what is behind a mount, which is
//! `mounts`'.

mod cross;
mod quick;
mod scene;
mod sysctl;
#[cfg(test)]
mod tests;
mod trail;
mod view;
mod walk;

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nsproxy::{Dentry, MountId, Task};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::mounts::{Detached, Identity};
use crate::procfs::{Node, Proc};
pub(crate) use quick::node as node_by_name;
pub(crate) use scene::{CWD_NUMBER, Scene, Standing, shown, shown_at, shows_writable, stands};
pub(crate) use view::{Backed, View};
pub(crate) use walk::may_follow;

/// Who looks a path up: the thread, whose `/proc/self` and descriptors count.
#[derive(Clone, Copy)]
pub(crate) struct Seeker<'a> {
    /// The thread's number on the host.
    pub(crate) tid: i32,
    /// What it can see.
    pub(crate) sight: &'a dyn Sight,
    /// The mounts that it sees, if they are not the host's.
    pub(crate) scene: Option<Scene<'a>>,
}

/// What somebody can see of `/proc`.
pub(crate) trait Sight {
    /// The proc file system of this host, through which all of it is seen.
    fn proc(&self) -> &Proc;

    /// Whether there are processes that it does not show, or shows by numbers of its own.
    fn is_partial(&self) -> bool;

    /// The number by which a thread of the host is shown.
    fn number(&self, tid: i32) -> Option<i32>;

    /// The number of the seeker's own process, on the host.
    fn own_process(&self) -> Option<i32>;

    /// The thread of the host that is shown by a number.
    fn thread(&self, number: i32) -> Option<i32>;

    /// Says whether the magic links of a thread's directory may be followed (ptrace(2), read check).
    ///
    /// # Errors
    /// EACCES.
    fn may_look(&self, tid: i32) -> Result<(), Errno>;

    /// A thread of the host, and the mounts that it sees; `None` if it is not known.
    fn subject(&self, _tid: i32) -> Option<(Tree, Arc<Task>)> {
        None
    }

    /// The process of a thread of the host.
    fn process_of(&self, tid: i32) -> i32 {
        tid
    }

    /// The program that a running one is a copy of, or itself.
    ///
    /// # Errors
    /// Those of fstat(2).
    fn original(&self, running: OwnedFd) -> Result<OwnedFd, Errno> {
        Ok(running)
    }

    /// What the process of a thread runs, if it was found among other mounts than the host's.
    fn program(&self, _tid: i32) -> Option<Arc<Program>> {
        None
    }

    /// The tree of mounts, in no namespace when that was opened, that a descriptor stands for.
    fn tree(&self, _opened: &OwnedFd) -> Option<Arc<Detached>> {
        None
    }

    /// Whether directories may be closed to us that are open to whoever looks.
    fn overrides(&self) -> bool {
        false
    }

    /// Opens a directory that was closed to us, if it is open to whoever looks, for as long as that
    /// takes. Says whether it did.
    fn may_search(&self, _directory: &OwnedFd) -> bool {
        false
    }

    /// Whether it has restricted itself by Landlock, which does not bind us.
    fn is_landlocked(&self) -> bool {
        false
    }

    /// The mounts of the host.
    fn hosts(&self) -> Option<Tree> {
        None
    }
}

/// Why a path leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// What the caller is told.
    pub(crate) errno: Errno,
    /// The kernel would say something else: it knows of more processes, or lets more be done.
    pub(crate) by_us: bool,
    /// As [`Place::moved`].
    pub(crate) moved: Option<Vec<u8>>,
}

impl Lost {
    fn by_us(errno: Errno) -> Lost {
        Lost { errno, by_us: true, moved: None }
    }
}

impl From<Errno> for Lost {
    fn from(errno: Errno) -> Lost {
        Lost { errno, by_us: false, moved: None }
    }
}

/// What a path named.
#[derive(Debug)]
pub(crate) struct Place {
    /// The object, as an `O_PATH` descriptor of the supervisor's.
    pub(crate) fd: OwnedFd,
    /// What has the attributes, where that is not `fd`: in an overlay a directory that it stands for, or
    /// the copy of an open file.
    pub(crate) real: Option<OwnedFd>,
    /// Its attributes on the host.
    pub(crate) stat: Stat,
    /// What it is within `/proc`, if it lies there.
    pub(crate) node: Option<Node>,
    /// Why the host does not let us follow this namespace link, so that `fd` is the link itself.
    /// What it stands for inside may be there all the same.
    pub(crate) barred: Option<Errno>,
    /// The path of the same on the host, if the one that was given has a number in it that means
    /// another process there.
    pub(crate) moved: Option<Vec<u8>>,
    /// Through which mount it was reached; `None` where the caller sees what the host shows.
    pub(crate) mount: Option<MountId>,
    /// The mounts of which that is one.
    pub(crate) view: Option<Arc<View>>,
    /// The mount, if it is in no namespace any more.
    pub(crate) gone: Option<Arc<Backed>>,
    /// Its number in the model, if it is known there: it is the root of `mount`, or something has
    /// been mounted on it, or `fd` stands for what nobody can see.
    pub(crate) dentry: Option<Dentry>,
}

impl Place {
    /// One that is found on the host.
    fn on_host(fd: OwnedFd, stat: Stat, node: Option<Node>) -> Place {
        Place {
            fd,
            real: None,
            stat,
            node,
            barred: None,
            moved: None,
            mount: None,
            view: None,
            gone: None,
            dentry: None,
        }
    }
}

impl Place {
    /// What has its attributes.
    pub(crate) fn object(&self) -> &OwnedFd {
        self.real.as_ref().unwrap_or(&self.fd)
    }

    /// The mount that it was reached through, to be remembered.
    pub(crate) fn reached(&self) -> Option<Reached> {
        let view = self.view.as_ref()?;
        let mount = match self.mount {
            Some(mount) => view.share(mount)?,
            None => self.gone.clone()?,
        };
        Some(Reached { namespace: view.namespace(), mount })
    }

    /// The mount that it was reached through.
    pub(crate) fn seen_through(&self) -> Option<&Backed> {
        match self.mount {
            Some(mount) => self.view.as_ref()?.get(mount),
            None => self.gone.as_deref(),
        }
    }
}

/// The mount through which something was reached, and the namespace in which.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    /// The namespace's id.
    pub(crate) namespace: u64,
    /// The mount, which may be in it no longer.
    pub(crate) mount: Arc<Backed>,
}

/// What a process runs, and the mount through which that was found: in which its file is until the
/// process runs another or ends, whatever becomes of the mount.
#[derive(Debug)]
pub(crate) struct Program {
    /// The file.
    pub(crate) identity: Identity,
    /// The mount.
    pub(crate) through: Reached,
}

/// The directory in which a name is, or is to be made.
#[derive(Debug)]
pub(crate) struct Parent {
    /// The directory.
    pub(crate) place: Place,
    /// The name, with the slash that was behind it; `/` for the root directory itself.
    pub(crate) name: CString,
    /// There was a slash behind it.
    pub(crate) slash: bool,
}

/// What the caller of a call sees of the mounts of its namespace: otherwise than the host.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    /// What is mounted.
    pub(crate) view: std::sync::Arc<View>,
    /// Its root directory.
    pub(crate) root: (MountId, Dentry),
}
/// The value of a `dirfd` argument that means the working directory.
const AT_FDCWD: i32 = libc::AT_FDCWD;

/// Finds what `path` names for `who`, starting at `dirfd`; a symbolic link at the end is followed
/// only if `follow`.
///
/// # Errors
/// Those of path_resolution(7), and EBADF or ENOTDIR for `dirfd`.
pub(crate) fn find(who: Seeker<'_>, dirfd: i32, path: &CStr, follow: bool) -> Result<Place, Lost> {
    if path.to_bytes().is_empty() {
        return Err(Errno::NOENT.into());
    }
    if who.scene.is_some() {
        return find_confined(who, dirfd, path, follow, ResolveFlags::empty());
    }
    if let Some(place) = quick::find(who, path, follow)? {
        return Ok(place);
    }
    let base = if path.to_bytes().starts_with(b"/") { None } else { Some(start(who, dirfd)?) };
    let nofollow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let at = base.as_ref().map_or(CWD, AsFd::as_fd);
    // Whether a way through `/proc` and back exists tells who does.
    if who.sight.is_partial() && path.to_bytes().windows(2).any(|two| two == b"..") {
        return walk::walk(who, base, path.to_bytes(), follow);
    }
    // Magic links lead to what *we* have open under that number, so they are refused here and
    // walked with the guest's numbers instead; so is everything that turns out to lie in /proc.
    let flags = OFlags::PATH | OFlags::CLOEXEC | nofollow;
    let quick = |resolve| {
        let resolve = ResolveFlags::NO_MAGICLINKS | resolve;
        rustix::fs::openat2(at, path, flags, Mode::empty(), resolve)
    };
    match quick(ResolveFlags::empty()) {
        Ok(fd) => {
            let stat = rustix::fs::fstat(&fd)?;
            if stat.st_dev != who.sight.proc().device() {
                return Ok(Place::on_host(fd, stat, None));
            }
        }
        // ELOOP may be a magic link; anything else may come from the wrong `/proc/self`, but not if the
        // path has not left the file system of the root directory when it ends.
        Err(Errno::LOOP) => {}
        Err(errno @ (Errno::NOENT | Errno::ACCESS | Errno::NOTDIR)) => {
            if base.is_none() && quick(ResolveFlags::NO_XDEV).err() == Some(errno) {
                return Err(errno.into());
            }
        }
        Err(other) => return Err(other.into()),
    }
    walk::walk(who, base, path.to_bytes(), follow)
}

/// The same with the flags of openat2(2), for who sees other mounts than the host's.
///
/// # Errors
/// Those of path_resolution(7) and openat2(2).
pub(crate) fn find_confined(
    who: Seeker<'_>,
    dirfd: i32,
    path: &CStr,
    follow: bool,
    resolve: ResolveFlags,
) -> Result<Place, Lost> {
    walk::walk_mounts(who, dirfd, path.to_bytes(), follow, resolve)
}

/// Finds the directory in which the last name of `path` is, for who sees other mounts than the
/// host's. The name itself is not looked up.
///
/// # Errors
/// Those of path_resolution(7) and openat2(2).
pub(crate) fn find_parent(
    who: Seeker<'_>,
    dirfd: i32,
    path: &CStr,
    resolve: ResolveFlags,
) -> Result<Parent, Lost> {
    if path.to_bytes().is_empty() {
        return Err(Errno::NOENT.into());
    }
    walk::walk_parent(who, dirfd, path.to_bytes(), resolve)
}

/// Finds the directory in which the last name of the text of a link is, that was found in a directory.
///
/// # Errors
/// Those of path_resolution(7).
pub(crate) fn find_parent_in(
    who: Seeker<'_>,
    directory: &Place,
    text: &CStr,
) -> Result<Parent, Lost> {
    walk::walk_parent_on(who, directory, text.to_bytes())
}

/// What a descriptor of the guest's is of, or its working directory, for who sees other mounts than
/// the host's.
///
/// # Errors
/// EBADF if there is no such descriptor; EACCES or EPERM if the host does not let us look.
pub(crate) fn find_descriptor(who: Seeker<'_>, fd: i32) -> Result<Place, Lost> {
    walk::stand(who, fd)
}

/// Finds what a name in a directory that was found leads to.
///
/// # Errors
/// Those of path_resolution(7).
pub(crate) fn find_in(
    who: Seeker<'_>,
    directory: &Place,
    name: &CStr,
    follow: bool,
) -> Result<Place, Lost> {
    walk::walk_on(who, directory, name.to_bytes(), follow)
}

/// Opens the object behind a guest's descriptor, or its working directory.
///
/// # Errors
/// EBADF if there is no such descriptor; EACCES or EPERM if the host does not let us look.
pub(crate) fn start(who: Seeker<'_>, dirfd: i32) -> Result<OwnedFd, Errno> {
    if let Some(scene) = who.scene.filter(|scene| scene.is_virtual(dirfd)) {
        return scene.virtual_cwd();
    }
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

/// Where in `/proc` an object lies: the names from its root on, by the host's numbers.
pub(crate) fn trail(who: Seeker<'_>, at: &OwnedFd) -> Result<Option<Vec<String>>, Errno> {
    trail::trail_of(who, at)
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

/// Tells whether descriptor `fd` of thread `tid` is a file that has a place in the tree, so that looking
/// at it may have to wait for its file system; a pipe or a namespace is always at hand.
///
/// # Errors
/// EBADF if it is not open.
pub(crate) fn is_of_a_file_system(tid: i32, fd: i32) -> Result<bool, Errno> {
    if fd < 0 {
        return Err(Errno::BADF);
    }
    let mut start = [0; 1];
    match rustix::fs::readlinkat_raw(CWD, format!("/proc/{tid}/fd/{fd}"), &mut start) {
        Ok(_) => Ok(start == *b"/"),
        Err(errno) => Err(if errno == Errno::NOENT { Errno::BADF } else { errno }),
    }
}
