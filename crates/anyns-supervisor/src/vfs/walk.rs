//! The walk of a path, with the guest's mounts and the guest's `/proc`.
//!
//! Where a guest sees what the host shows, it is needed only where the kernel's own lookup would
//! answer for *us*, or by the host's numbers: in `/proc`; elsewhere [`super::find`] lets `openat2(2)`
//! do it in one call. Where the mounts differ every path is walked: names that are no link and that
//! nothing is mounted on together, in one `openat2(2)` that stays within the host's mount, and the
//! others one at a time.
//!
//! Not here: how a path goes up, and how it enters mounts ([`super::cross`]); the way through `/proc`
//! ([`super::trail`]).

use std::collections::VecDeque;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nsproxy::{Dentry, MountFlags, MountId};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::scene::Standing;
use super::trail::child;
use super::{Backed, Lost, Parent, Place, Seeker, View};
use crate::mounts::{Identity, What};
use crate::procfs::Node;

/// Symbolic links followed before ELOOP, as in path_resolution(7).
pub(super) const MAX_LINKS: usize = 40;

/// So many bytes of names are looked up in one call.
const SEGMENT: usize = 3000;

/// Names that go together.
const TOGETHER: ResolveFlags =
    ResolveFlags::NO_MAGICLINKS.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

/// Where the walk stands among the mounts of a namespace.
#[derive(Clone, Debug)]
pub(super) struct Among {
    /// What is mounted there: the walker's, unless a link of `/proc` led to another's.
    pub(super) view: Arc<View>,
    /// The mount; `None` for what is in none of them.
    pub(super) mount: Option<MountId>,
    /// The number of where the walk stands, if it is interned.
    pub(super) dentry: Option<Dentry>,
    /// The host's mount.
    pub(super) host: u64,
    /// The mount, if it is in no namespace any more.
    pub(super) gone: Option<Arc<Backed>>,
}

impl Among {
    /// The mount that the walk is in, mounted or not.
    pub(super) fn shows(&self) -> Option<&Backed> {
        self.mount.and_then(|mount| self.view.get(mount)).or(self.gone.as_deref())
    }
}

pub(super) struct Walk<'a> {
    pub(super) who: Seeker<'a>,
    pub(super) here: Arc<OwnedFd>,
    /// `None` where the walker sees what the host shows.
    pub(super) among: Option<Among>,
    /// The names between the root of `/proc` and `here`, by the host's numbers, if `here` lies there.
    pub(super) trail: Option<Vec<String>>,
    pub(super) left: VecDeque<Vec<u8>>,
    pub(super) links: usize,
    /// The path ended in a slash: the last component must be a directory, links followed.
    pub(super) wants_directory: bool,
    pub(super) barred: Option<Errno>,
    /// The rest of the path by the host's numbers, if it came by a number that is not one of them.
    pub(super) moved: Option<Vec<u8>>,
    /// What the caller of openat2(2) forbids.
    pub(super) resolve: ResolveFlags,
    /// Where a confined lookup must not leave.
    pub(super) scope: Option<Standing>,
    /// The kernel has looked up the root directory: the path began there, or has gone up. Before
    /// that it takes a link to there for one to another mount, where those are forbidden.
    pub(super) knows_root: bool,
    /// So many names are looked at one by one.
    careful: usize,
    /// What is known of `here` already.
    stat: Option<Stat>,
}

/// Walks `path` from `base` (the root directory if it is absolute).
pub(super) fn walk(
    who: Seeker<'_>,
    base: Option<OwnedFd>,
    path: &[u8],
    follow: bool,
) -> Result<Place, Lost> {
    let here = match base {
        Some(base) => base,
        None => open_path(CWD, &b"/"[..], true)?,
    };
    let mut walk = Walk::new(who, Arc::new(here), None, path, ResolveFlags::empty());
    walk.find_trail()?;
    walk.all(follow)?;
    walk.place()
}

/// Walks `path` among the mounts of the seeker's namespace.
pub(super) fn walk_mounts(
    who: Seeker<'_>,
    dirfd: i32,
    path: &[u8],
    follow: bool,
    resolve: ResolveFlags,
) -> Result<Place, Lost> {
    let mut walk = Walk::begin(who, dirfd, path, resolve)?;
    walk.all(follow)?;
    walk.place()
}

/// Walks all of `path` but its last name.
pub(super) fn walk_parent(
    who: Seeker<'_>,
    dirfd: i32,
    path: &[u8],
    resolve: ResolveFlags,
) -> Result<Parent, Lost> {
    Walk::begin(who, dirfd, path, resolve)?.parent()
}

/// The same from a directory that was found.
pub(super) fn walk_parent_on(who: Seeker<'_>, from: &Place, path: &[u8]) -> Result<Parent, Lost> {
    if path.is_empty() {
        return Err(Errno::NOENT.into());
    }
    Walk::on(who, from, path)?.parent()
}

/// Stands at what a descriptor is of, or in the working directory.
pub(super) fn stand(who: Seeker<'_>, fd: i32) -> Result<Place, Lost> {
    Walk::begin(who, fd, b"", ResolveFlags::empty())?.place()
}

/// Goes on from a directory with one name, or the text of a link found in it.
pub(super) fn walk_on(
    who: Seeker<'_>,
    from: &Place,
    path: &[u8],
    follow: bool,
) -> Result<Place, Lost> {
    let mut walk = Walk::on(who, from, path)?;
    walk.all(follow)?;
    walk.place()
}

impl<'a> Walk<'a> {
    /// One that goes on from what was found.
    fn on(who: Seeker<'a>, from: &Place, path: &[u8]) -> Result<Walk<'a>, Lost> {
        let here = rustix::io::fcntl_dupfd_cloexec(&from.fd, 0)?;
        let seen = Identity::of(&here)?;
        let host = seen.mnt;
        let (mount, dentry, gone) = (from.mount, from.dentry, from.gone.clone());
        let among = from.view.clone().map(|view| Among { view, mount, dentry, host, gone });
        let mut walk = Walk::new(who, Arc::new(here), among, path, ResolveFlags::empty());
        if path.starts_with(b"/") {
            walk.go_to_root()?;
        } else {
            walk.find_trail_of(&seen)?;
        }
        Ok(walk)
    }

    /// Walks all but the last name.
    fn parent(mut self) -> Result<Parent, Lost> {
        let Some(mut name) = self.left.pop_back() else {
            return Ok(Parent { place: self.place()?, name: c"/".into(), slash: true });
        };
        self.all(true)?;
        let slash = std::mem::take(&mut self.wants_directory);
        if slash {
            name.push(b'/');
        }
        let name = CString::new(name).map_err(|_| Errno::INVAL)?;
        let place = self.place()?;
        match FileType::from_raw_mode(place.stat.st_mode) {
            FileType::Directory => Ok(Parent { place, name, slash }),
            _ => Err(Errno::NOTDIR.into()),
        }
    }

    /// One that stands somewhere and has nowhere to go.
    pub(super) fn probe(who: Seeker<'a>, here: Arc<OwnedFd>, among: Among) -> Walk<'a> {
        Walk::new(who, here, Some(among), b"", ResolveFlags::empty())
    }

    fn new(
        who: Seeker<'a>,
        here: Arc<OwnedFd>,
        among: Option<Among>,
        path: &[u8],
        resolve: ResolveFlags,
    ) -> Walk<'a> {
        let mut walk = Walk {
            who,
            here,
            among,
            trail: None,
            left: VecDeque::new(),
            links: 0,
            wants_directory: path.ends_with(b"/"),
            barred: None,
            moved: None,
            resolve,
            scope: None,
            knows_root: path.starts_with(b"/"),
            careful: 0,
            stat: None,
        };
        walk.push(path);
        walk
    }

    /// Where a path begins, among the mounts of the walker's namespace.
    fn begin(
        who: Seeker<'a>,
        dirfd: i32,
        path: &[u8],
        resolve: ResolveFlags,
    ) -> Result<Walk<'a>, Lost> {
        let scene = who.scene.ok_or(Errno::INVAL)?;
        if !path.is_empty() && who.sight.is_landlocked() {
            return Err(Errno::ACCESS.into());
        }
        let absolute = path.starts_with(b"/");
        if absolute && resolve.contains(ResolveFlags::BENEATH) {
            return Err(Errno::XDEV.into());
        }
        let scoped = resolve.intersects(ResolveFlags::BENEATH | ResolveFlags::IN_ROOT);
        let standing = if absolute && !resolve.contains(ResolveFlags::IN_ROOT) {
            let (mount, dentry) = scene.tree.root;
            Standing::at(scene.mounts, mount, dentry)?
        } else if let Some(cwd) =
            (dirfd == super::AT_FDCWD).then(|| scene.known_cwd(who.tid)).flatten()
        {
            cwd
        } else {
            let fd = super::start(who, dirfd)?;
            match (dirfd, who.sight.tree(&fd)) {
                (super::AT_FDCWD, _) => scene.cwd(fd, who.sight.own_process())?,
                (_, Some(tree)) => scene.top_of(&tree)?,
                (number, None) => {
                    let process = who.sight.own_process();
                    scene.opened(fd, process.map(|process| (process, number)))?
                }
            }
        };
        let Standing { fd, identity, mount, dentry, view, gone } = standing;
        let view = view.unwrap_or_else(|| scene.tree.view.clone());
        let among =
            Among { view: view.clone(), mount, dentry, host: identity.mnt, gone: gone.clone() };
        let mut walk = Walk::new(who, fd, Some(among), path, resolve);
        if scoped {
            let fd = walk.here.clone();
            let view = Some(view);
            walk.scope = Some(Standing { fd, identity, mount, dentry, view, gone });
        }
        walk.knows_root |= scoped;
        // What is no directory can be named by the empty path only, or by none of these.
        if !identity.is_directory() && !walk.left.is_empty() {
            return Err(Errno::NOTDIR.into());
        }
        walk.find_trail_of(&identity)?;
        Ok(walk)
    }

    fn all(&mut self, follow: bool) -> Result<(), Lost> {
        while let Some(name) = self.left.pop_front() {
            if self.together(&name, follow)? {
                continue;
            }
            let last = self.left.is_empty();
            self.careful = self.careful.saturating_sub(1);
            self.stat = None;
            let step = self.step(&name, !last || follow || self.wants_directory);
            step.map_err(|lost| Lost { moved: self.moved.take(), ..lost })?;
        }
        Ok(())
    }

    fn place(mut self) -> Result<Place, Lost> {
        let stat = match self.stat.take() {
            Some(stat) => stat,
            None => rustix::fs::fstat(&self.here)?,
        };
        if self.wants_directory && FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(Errno::NOTDIR.into());
        }
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let real = match self.choosy().as_deref() {
            // One that was removed shows what is left of it.
            Some(What::Overlay(overlay)) if is_directory => overlay.attributes(&self.here).ok(),
            Some(What::Overlay(overlay)) => overlay.latest(&self.here, &stat).and_then(|real| {
                let stat = rustix::fs::fstat(&real).ok()?;
                Some((real, stat))
            }),
            Some(What::Devpts(pts)) => pts.attributes(&stat),
            Some(What::Mqueue(queues)) => queues.attributes(&stat),
            _ => None,
        };
        let (real, stat) = real.map_or((None, stat), |(real, stat)| (Some(real), stat));
        let node = self.trail.as_deref().map(Node::from_trail);
        let Walk { here, barred, moved, among, .. } = self;
        let here = owned(here)?;
        let place = Place { real, barred, moved, ..Place::on_host(here, stat, node) };
        Ok(match among {
            Some(Among { view, mount, dentry, gone, .. }) => {
                Place { view: Some(view), mount, dentry, gone, ..place }
            }
            None => place,
        })
    }

    /// Puts the components of `path` in front of what is left.
    fn push(&mut self, path: &[u8]) {
        let names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        for name in names.rev() {
            self.left.push_front(name.to_vec());
        }
    }

    /// Looks up `first` and the names after it in one call, as far as nothing is mounted on them;
    /// says whether it did.
    fn together(&mut self, first: &[u8], follow: bool) -> Result<bool, Lost> {
        let Some(among) = self.among.as_ref().filter(|_| self.trail.is_none()) else {
            return Ok(false);
        };
        let plain = |name: &[u8]| name != b".." && !among.view.may_be_point(name);
        if self.careful > 0 || !plain(first) || self.chooses() {
            return Ok(false);
        }
        let mut names = first.to_vec();
        let mut count = 0;
        let mut last = 0;
        for name in &self.left {
            if !plain(name) || names.len() + name.len() > SEGMENT {
                break;
            }
            last = names.len();
            names.push(b'/');
            names.extend_from_slice(name);
            count += 1;
        }
        let is_end = count == self.left.len();
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let names = CString::new(names).map_err(|_| Errno::INVAL)?;
        let found = rustix::fs::openat2(&self.here, &*names, flags, Mode::empty(), TOGETHER);
        let fd = match found {
            Ok(fd) => fd,
            // One by one it can be seen which of them is closed.
            Err(errno) if errno == Errno::ACCESS && !self.who.sight.overrides() => {
                return Err(errno.into());
            }
            Err(Errno::ACCESS | Errno::LOOP | Errno::XDEV | Errno::NOSYS) => {
                self.careful = count + 1;
                return Ok(false);
            }
            Err(errno) => return Err(errno.into()),
        };
        let stat = rustix::fs::fstat(&fd)?;
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        self.left.drain(..count);
        if is_link && (!is_end || follow || self.wants_directory) {
            if last > 0 {
                let above = CString::new(&names.as_bytes()[..last]).map_err(|_| Errno::INVAL)?;
                let above =
                    rustix::fs::openat2(&self.here, &*above, flags, Mode::empty(), TOGETHER)?;
                self.arrive(above, None);
            }
            self.follow_text(&fd, &stat)?;
            return Ok(true);
        }
        self.arrive(fd, Some(stat));
        Ok(true)
    }

    /// Stands at something that is within the same mount as before.
    pub(super) fn arrive(&mut self, fd: OwnedFd, stat: Option<Stat>) {
        self.here = Arc::new(fd);
        self.stat = stat;
        if let Some(among) = &mut self.among {
            among.dentry = None;
        }
    }

    fn step(&mut self, name: &[u8], follow: bool) -> Result<(), Lost> {
        if name == b"." {
            return Ok(self.enter_same()?);
        }
        if name == b".." {
            return self.up();
        }
        let at_root = self.trail.as_ref().is_some_and(Vec::is_empty);
        if at_root && follow && matches!(name, b"self" | b"thread-self") {
            return self.enter_own(name == b"thread-self");
        }
        self.may_enter()?;
        let translated = self.translated(name)?;
        let name = translated.as_deref().unwrap_or(name);
        let next = match (self.overlay(), self.chosen(name)?) {
            (Some(overlay), _) => overlay.step(&self.here, name)?,
            (None, Some(next)) => {
                self.arrive(next, None);
                return Ok(());
            }
            (None, None) => self.open_in(name, false)?,
        };
        if self.among.is_some() && self.enter_mount(&next, name)? {
            return Ok(());
        }
        let stat = rustix::fs::fstat(&next)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink && follow {
            return match &self.trail {
                // Below the root of /proc every link is a magic one: the kernel follows it to the
                // object itself. A namespace link is the end of the way.
                Some(trail) if !trail.is_empty() => {
                    let trail = child(trail, name);
                    self.follow_magic(next, name, trail)
                }
                _ => self.follow_text(&next, &stat),
            };
        }
        let on_proc = stat.st_dev == self.who.sight.proc().device();
        let below = self.trail.take().filter(|_| on_proc).map(|trail| child(&trail, name));
        self.arrive(next, Some(stat));
        match below {
            Some(trail) => self.trail = Some(trail),
            None if on_proc => self.find_trail()?,
            None => {}
        }
        Ok(())
    }

    /// Follows a symbolic link, found in the directory where the walk stands.
    fn follow_text(&mut self, link: &OwnedFd, stat: &Stat) -> Result<(), Lost> {
        if self.resolve.contains(ResolveFlags::NO_SYMLINKS) {
            return Err(Errno::LOOP.into());
        }
        if let Some(among) = &self.among {
            let flags = among.shows().map(|mount| mount.flags);
            if flags.is_some_and(|flags| flags.contains(MountFlags::NOSYMFOLLOW)) {
                return Err(Errno::LOOP.into());
            }
            if self.left.is_empty() {
                may_follow(&rustix::fs::fstat(&self.here)?, stat)?;
            }
        }
        let text = rustix::fs::readlinkat(link, c"", Vec::new())?;
        self.link(text.as_bytes())
    }

    fn link(&mut self, target: &[u8]) -> Result<(), Lost> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::LOOP.into());
        }
        if target.is_empty() {
            return Err(Errno::NOENT.into());
        }
        self.careful = 0;
        if self.left.is_empty() && target.ends_with(b"/") {
            self.wants_directory = true;
        }
        if target.starts_with(b"/") {
            match self.among.is_some() {
                true => self.go_to_root()?,
                false => {
                    self.here = Arc::new(open_path(CWD, &b"/"[..], true)?);
                    self.trail = None;
                }
            }
        }
        self.push(target);
        Ok(())
    }

    fn up(&mut self) -> Result<(), Lost> {
        if self.among.is_some() {
            return self.up_among();
        }
        self.here = Arc::new(self.open_in(b"..", true)?);
        match self.trail.as_mut().filter(|trail| !trail.is_empty()) {
            Some(trail) => drop(trail.pop()),
            None => self.find_trail()?,
        }
        Ok(())
    }

    /// `.` is the same directory, but only a directory has it.
    fn enter_same(&mut self) -> Result<(), Errno> {
        self.open_in(b".", true).map(drop)
    }

    /// Opens a name in the directory where the walk stands.
    pub(super) fn open_in(&self, name: &[u8], follow: bool) -> Result<OwnedFd, Errno> {
        open_in(self.who, &self.here, name, follow)
    }
}

/// Checks that a link at the end of a path may be followed where everybody can make links
/// (`/proc/sys/fs/protected_symlinks`, proc_sys_fs(5)).
pub(crate) fn may_follow(directory: &Stat, link: &Stat) -> Result<(), Errno> {
    const OPEN: u32 = libc::S_ISVTX | libc::S_IWOTH;
    let own = rustix::process::geteuid().as_raw();
    let harmless =
        directory.st_mode & OPEN != OPEN || link.st_uid == own || link.st_uid == directory.st_uid;
    if harmless || !super::sysctl::protects_links() { Ok(()) } else { Err(Errno::ACCESS) }
}

/// What a walk has come to, to be kept: its own descriptor, or a copy of one that others have, too.
fn owned(here: Arc<OwnedFd>) -> Result<OwnedFd, Errno> {
    Arc::try_unwrap(here).or_else(|shared| rustix::io::fcntl_dupfd_cloexec(&*shared, 0))
}

/// Opens a name in a directory, which may be closed to us and open to the seeker.
pub(super) fn open_in(
    who: Seeker<'_>,
    directory: &OwnedFd,
    name: &[u8],
    follow: bool,
) -> Result<OwnedFd, Errno> {
    match open_path(directory, name, follow) {
        Err(Errno::ACCESS) if who.sight.may_search(directory) => open_path(directory, name, follow),
        opened => opened,
    }
}

pub(super) fn open_path(
    at: impl AsFd,
    name: impl rustix::path::Arg,
    follow: bool,
) -> Result<OwnedFd, Errno> {
    let nofollow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    rustix::fs::openat(at, name, OFlags::PATH | OFlags::CLOEXEC | nofollow, Mode::empty())
}
