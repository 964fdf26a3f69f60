//! Where descriptors and working directories stand among the mounts of a namespace, and the way back:
//! the path by which somebody would find what is open.
//!
//! A guest's descriptor is the host's object, which may be seen through several mounts. It stands in
//! the one through which it was last opened, if that is known, or else in the first through which it
//! can be seen.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use nsproxy::{Dentry, MountId, Task};
use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;

use super::{Backed, Program, Tree, View};
use crate::mounts::{Detached, Identity, Moment, Mounts, Number, Pts, below};
use crate::procfs;

/// Stands for the working directory where descriptors have numbers.
pub(crate) const CWD_NUMBER: i32 = libc::AT_FDCWD;

/// Somebody who sees mounts otherwise than the host.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    /// All that is mounted.
    pub(crate) mounts: &'a Mounts,
    /// What it sees of that.
    pub(crate) tree: &'a Tree,
    /// Who it is.
    pub(crate) task: &'a Task,
}

/// An object with the mount that it is seen through.
#[derive(Debug)]
pub(crate) struct Standing {
    /// The object, opened with O_PATH.
    pub(crate) fd: Arc<OwnedFd>,
    /// What it is.
    pub(crate) identity: Identity,
    /// `None` for what is in no mount of the namespace.
    pub(crate) mount: Option<MountId>,
    /// Its number, if it is interned.
    pub(crate) dentry: Option<Dentry>,
    /// The mounts of which that is one, if they are not its owner's own.
    pub(crate) view: Option<Arc<View>>,
    /// The mount that it was opened through, if that is mounted no longer.
    pub(crate) gone: Option<Arc<Backed>>,
}

impl Standing {
    /// The root of a mount, or another interned object seen through it.
    pub(super) fn at(mounts: &Mounts, mount: MountId, dentry: Dentry) -> Result<Standing, Errno> {
        let spot = mounts.spot(dentry).ok_or(Errno::NOENT)?;
        let (fd, identity) = match spot.covered {
            false => (spot.fd.clone(), spot.identity),
            true => {
                let fd = mounts.nothing(spot.directory)?;
                let identity = Identity::of(&fd)?;
                (Arc::new(fd), identity)
            }
        };
        Ok(Standing {
            fd,
            identity,
            mount: Some(mount),
            dentry: Some(dentry),
            view: None,
            gone: None,
        })
    }
}

impl Scene<'_> {
    /// The top of a tree of mounts that a descriptor stands for.
    pub(super) fn top_of(&self, tree: &Detached) -> Result<Standing, Errno> {
        let root = tree.root();
        let top = Standing::at(self.mounts, root.mount(), root.dentry())?;
        if self.tree.view.get(root.mount()).is_some() {
            return Ok(top);
        }
        if let Some(view) = self.mounts.detached_with(root.mount()) {
            return Ok(Standing { view: Some(view), ..top });
        }
        // It is in somebody else's namespace, or was unmounted.
        let gone = tree.view(self.mounts).0.share(root.mount());
        Ok(Standing { mount: None, dentry: None, gone, ..top })
    }

    /// What shows a mount through which something was opened, in a namespace or a tree: of what is not
    /// `view`, only the host's mounts and trees in no namespace are as they were for certain.
    fn where_mounted(&self, namespace: u64, mount: MountId) -> Option<Arc<View>> {
        let shows = |view: &Arc<View>| view.get(mount).is_some();
        // That of a tree may have come here since.
        Some(self.tree.view.clone())
            .filter(shows)
            .or_else(|| self.mounts.hosts_view().filter(|view| view.namespace() == namespace))
            .filter(shows)
            .or_else(|| self.mounts.detached_with(mount))
    }

    /// The working directory of the thread `tid`, its guest's own, if it is what is known of it: the usual
    /// case, for which it need not be opened.
    pub(super) fn known_cwd(&self, tid: i32) -> Option<Standing> {
        let pwd = self.task.pwd()?;
        let (mount, dentry) = (pwd.mount(), pwd.dentry());
        let spot = self.mounts.spot(dentry).filter(|_| self.tree.view.get(mount).is_some())?;
        if self.task.has_virtual_directories() {
            return Standing::at(self.mounts, mount, dentry).ok();
        }
        let now = Identity::at(CWD, format!("/proc/{tid}/cwd"), AtFlags::empty()).ok()?;
        if !spot.identity.is_same(&now) {
            return None;
        }
        Standing::at(self.mounts, mount, dentry).ok()
    }

    /// Whether `dirfd` means a working directory that the kernel does not know.
    pub(super) fn is_virtual(&self, dirfd: i32) -> bool {
        dirfd == CWD_NUMBER && self.task.has_virtual_directories()
    }

    /// The working directory of a task whose own is that of others.
    pub(super) fn virtual_cwd(&self) -> Result<OwnedFd, Errno> {
        let spot = self.task.pwd().and_then(|pwd| self.mounts.spot(pwd.dentry()));
        rustix::io::fcntl_dupfd_cloexec(&*spot.ok_or(Errno::NOENT)?.fd, 0)
    }

    /// The guest's working directory.
    pub(crate) fn cwd(&self, fd: OwnedFd, process: Option<i32>) -> Result<Standing, Errno> {
        let identity = Identity::of(&fd)?;
        let Some(pwd) = self.task.pwd() else { return self.opened(fd, None) };
        let (mount, dentry) = (pwd.mount(), pwd.dentry());
        let spot = self.mounts.spot(dentry);
        let view = &self.tree.view;
        if let Some(spot) = spot
            && (spot.identity.is_same(&identity) || self.mounts.has_pivoted(view, &identity))
        {
            let known = view.get(mount).map(|mount| mount.id);
            let standing = Standing::at(self.mounts, mount, dentry)?;
            let number = process.filter(|_| known.is_none()).map(|process| (process, CWD_NUMBER));
            let gone = number.and_then(|number| self.mounts.opened_through(&identity, number));
            if let Some((namespace, gone)) = &gone
                && gone.id == mount
                && let Some(view) = self.where_mounted(*namespace, mount)
            {
                return Ok(Standing { view: Some(view), ..standing });
            }
            let gone = gone.map(|(_, gone)| gone);
            return Ok(Standing { mount: known, gone, ..standing });
        }
        self.opened(fd, process.map(|process| (process, CWD_NUMBER)))
    }

    /// The object behind a descriptor, which has this number in its process, if it is one.
    pub(crate) fn opened(&self, fd: OwnedFd, number: Option<Number>) -> Result<Standing, Errno> {
        let identity = Identity::of(&fd)?;
        let known = number.and_then(|number| self.mounts.opened_through(&identity, number));
        self.reached(fd, identity, known)
    }

    /// What a process runs, of which this is known.
    pub(crate) fn runs(&self, fd: OwnedFd, program: Option<&Program>) -> Result<Standing, Errno> {
        let identity = Identity::of(&fd)?;
        let known = program.filter(|program| program.identity.is_same(&identity));
        let known = known.map(|program| (program.through.namespace, program.through.mount.clone()));
        self.reached(fd, identity, known)
    }

    /// An object that was reached through a mount of a namespace, if that is known.
    fn reached(
        &self,
        fd: OwnedFd,
        identity: Identity,
        known: Option<(u64, Arc<Backed>)>,
    ) -> Result<Standing, Errno> {
        let view = &self.tree.view;
        if let Some((namespace, known)) = known
            && may_show(self.mounts, &known, &fd, &identity)?
        {
            // One that was opened before its owner came here shows what was mounted there.
            let view = self.where_mounted(namespace, known.id);
            let mount = view.as_ref().map(|_| known.id);
            let gone = Some(known).filter(|_| mount.is_none());
            return Ok(Standing { fd: Arc::new(fd), identity, mount, dentry: None, view, gone });
        }
        let mount = stands(self.mounts, view, &fd, &identity)?;
        let fd = Arc::new(fd);
        Ok(Standing { fd, identity, mount, dentry: None, view: None, gone: None })
    }
}

/// The mount of a view that an object is seen through.
pub(crate) fn stands(
    mounts: &Mounts,
    view: &View,
    fd: &OwnedFd,
    identity: &Identity,
) -> Result<Option<MountId>, Errno> {
    let text = procfs::descriptor_path(fd)?;
    if !text.starts_with(b"/") {
        return Ok(None);
    }
    // Numbers are given again: what is remembered must still be possible.
    let last = mounts.last_seen(view, identity).and_then(|mount| view.get(mount));
    if let Some(last) = last
        && may_show(mounts, last, fd, identity)?
    {
        return Ok(Some(last.id));
    }
    let mut behind = None;
    let found = find_showing(mounts, view, &text, identity, |mount, hidden| {
        if hidden {
            behind = behind.or(Some(mount.id));
        }
        !hidden
    });
    // What nothing else shows and lies in a layer of an overlay is its: nobody else may change it.
    let of_overlay = || {
        let shows = |mount: &&Backed| {
            let overlay = mounts.overlay(mount.sb.id());
            overlay.is_some_and(|overlay| matches!(overlay.shown_text(fd), Ok(Some(_))))
        };
        view.choosy().find(shows).map(|mount| mount.id)
    };
    Ok(found.or_else(of_overlay).or(behind))
}

/// Whether what was opened through a mount may be a certain object: numbers are given again, and it may
/// have been moved out of what the mount shows.
fn may_show(
    mounts: &Mounts,
    mount: &Backed,
    fd: &OwnedFd,
    identity: &Identity,
) -> Result<bool, Errno> {
    // What an overlay shows lies where its layers do, or in its mirror.
    if !identity.is_directory()
        && mount.is_choosy
        && let Some(overlay) = mounts.overlay(mount.sb.id())
    {
        return Ok(overlay.shown_text(fd)?.is_some());
    }
    // Masters of terminals are of the host's own multiplexer, wherever it lies.
    if mount.is_choosy
        && mounts.terminals(mount.sb.id()).is_some()
        && let stat = rustix::fs::fstat(fd)?
        && Pts::is_multiplexer(&stat)
    {
        return Ok(true);
    }
    Ok(mount.spot.identity.mnt == identity.mnt
        && (identity.born.is_some()
            || below(&procfs::descriptor_path(fd)?, &mount.spot.text).is_some()))
}

/// Whether an object can be seen through a mount of a view through which it may be changed.
///
/// # Errors
/// Those of readlink(2).
pub(crate) fn shows_writable(
    mounts: &Mounts,
    view: &View,
    fd: &OwnedFd,
    identity: &Identity,
) -> Result<bool, Errno> {
    let text = procfs::descriptor_path(fd)?;
    let wanted = |mount: &Backed, hidden: bool| !hidden && !mount.is_readonly();
    Ok(text.starts_with(b"/") && find_showing(mounts, view, &text, identity, wanted).is_some())
}

/// The first mount that is wanted of those that show an object of a path of the host's: from the object up
/// to the root, where roots of mounts are. Of each it is told whether another hides it there.
fn find_showing(
    mounts: &Mounts,
    view: &View,
    text: &[u8],
    identity: &Identity,
    mut wanted: impl FnMut(&Backed, bool) -> bool,
) -> Option<MountId> {
    // What we keep for guests is nothing of the host's.
    let ours = mounts
        .store_path()
        .filter(|store| below(text, store).is_some())
        .map_or(0, |store| store.len());
    let mut end = text.len();
    loop {
        let above = if end == 0 { b"/".as_slice() } else { &text[..end] };
        for id in view.backed_at(above) {
            let Some(mount) = view.get(*id) else { continue };
            if mount.spot.identity.mnt != identity.mnt || mount.spot.covered {
                continue;
            }
            // It may have been moved since.
            let now = Identity::at(CWD, above, AtFlags::SYMLINK_NOFOLLOW);
            if !now.is_ok_and(|now| now.is_same(&mount.spot.identity)) {
                continue;
            }
            let hidden = view.is_hidden(*id) || view.covers_between(*id, above, text);
            if wanted(mount, hidden) {
                return Some(*id);
            }
        }
        match text[..end].iter().rposition(|byte| *byte == b'/') {
            Some(slash) if end > 0 && (slash > ours || ours == 0) => end = slash,
            _ => return None,
        }
    }
}

/// The path of an object of which it is known where it stands.
pub(crate) fn shown_at(mounts: &Mounts, tree: &Tree, at: &Standing) -> Result<Vec<u8>, Errno> {
    if let Some(gone) = &at.gone {
        let names = mounts.object_below(&at.fd, gone.root)?.unwrap_or_default();
        return Ok([b"/".as_slice(), &names].concat());
    }
    let elsewhere = at.view.as_ref().filter(|view| view.namespace() != tree.view.namespace());
    let tree = match elsewhere {
        Some(view) => &Tree { view: view.clone(), root: view.top().unwrap_or(tree.root) },
        None => tree,
    };
    let (mut path, _) = shown(mounts, tree, &at.fd, at.mount, at.dentry)?;
    if path.is_empty() {
        path.push(b'/');
    }
    Ok(path)
}

/// The path of an object as somebody whose root is `root` would write it, and whether it can be
/// reached from there; without a slash at its end, so that the root's is empty.
pub(crate) fn shown(
    mounts: &Mounts,
    tree: &Tree,
    fd: &OwnedFd,
    mount: Option<MountId>,
    dentry: Option<Dentry>,
) -> Result<(Vec<u8>, bool), Errno> {
    let Some(mut at) = mount else { return Ok((procfs::descriptor_path(fd)?, false)) };
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut here = Below::Object(fd, dentry);
    let now = mounts.files();
    let reached = loop {
        let Some(shows) = tree.view.get(at) else { break false };
        if at == tree.root.0
            && let Some(rest) = here.below(mounts, &now, tree.root.1)?
        {
            parts.push(rest);
            break true;
        }
        // What is no longer below the root of its mount is shown as if it were.
        parts.push(here.below(mounts, &now, shows.root)?.unwrap_or_default());
        match shows.parent {
            Some((parent, point)) => (at, here) = (parent, Below::Interned(point)),
            None => break false,
        }
    };
    let mut path = Vec::new();
    for part in parts.iter().rev().filter(|part| !part.is_empty()) {
        path.push(b'/');
        path.extend_from_slice(part);
    }
    Ok((path, reached))
}

enum Below<'a> {
    Object(&'a OwnedFd, Option<Dentry>),
    Interned(Dentry),
}

impl Below<'_> {
    /// The names from an interned directory down to it, if it is below.
    fn below(
        &self,
        mounts: &Mounts,
        now: &Moment<'_>,
        above: Dentry,
    ) -> Result<Option<Vec<u8>>, Errno> {
        match *self {
            Below::Interned(dentry) | Below::Object(_, Some(dentry)) => {
                Ok(now.names_below(dentry, above))
            }
            Below::Object(fd, None) => mounts.object_below(fd, above),
        }
    }
}
