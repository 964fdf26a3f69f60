//! open_tree(2), move_mount(2) and mount_setattr(2): trees of mounts by descriptors.
//!
//! A tree that is in no namespace is known by a descriptor of ours, and goes with its last copy.
//! Not decided here: who may; that is `nsproxy`'s.

use std::os::fd::OwnedFd;

use nsproxy::{IdmapFile, MountAttr, Mounter, OpenTree};
use rustix::io::Errno;

use super::landlock::may_mount;
use super::mount::{concerned, in_model, nobody_writes};
use crate::cx::{Cx, Met, Served, Verdict};
use crate::descriptors::{Given, Thing};
use crate::trouble::Trouble;
use crate::vfs;

/// `MOVE_MOUNT_*`.
const F_SYMLINKS: u32 = 1;
const F_EMPTY_PATH: u32 = 4;
const T_SYMLINKS: u32 = 0x10;
const T_EMPTY_PATH: u32 = 0x40;

/// `OPEN_TREE_CLOEXEC`.
const CLOEXEC: u32 = libc::O_CLOEXEC as u32;

/// What a path and a descriptor name.
pub(super) struct Named {
    /// In the model.
    pub(super) place: nsproxy::Place,
    /// On the host; none if it is the top of a tree that is in no namespace.
    fd: Option<OwnedFd>,
}

/// How a path is looked up.
#[derive(Clone, Copy)]
pub(super) struct Lookup {
    /// A symbolic link at the end is followed.
    pub(super) follow: bool,
    /// An empty path names what the descriptor is of.
    pub(super) empty: bool,
}

impl Lookup {
    /// As `AT_*` flags say.
    pub(super) fn by_flags(flags: u32) -> Lookup {
        let has = |flag: i32| flags & flag as u32 != 0;
        Lookup { follow: !has(libc::AT_SYMLINK_NOFOLLOW), empty: has(libc::AT_EMPTY_PATH) }
    }
}

/// Finds what a descriptor and a path name.
pub(super) fn named(
    cx: &Cx<'_>,
    met: &Met<'_>,
    (dirfd, address): (i32, u64),
    how: Lookup,
) -> Result<Named, Trouble> {
    let path = cx.path(address)?;
    if path.is_empty() && !how.empty {
        return Err(Errno::NOENT.into());
    }
    let place = match path.is_empty() {
        true => {
            if dirfd != libc::AT_FDCWD {
                let stat = vfs::stat_descriptor(cx.tid(), dirfd)?;
                if let Some(Given::Tree(tree)) = cx.sup.descriptors.given(&stat) {
                    return Ok(Named { place: tree.root(), fd: None });
                }
            }
            cx.find(dirfd, c".", true)?
        }
        false => cx.find(dirfd, &path, how.follow)?,
    };
    Ok(Named { place: in_model(cx, met, &place)?, fd: Some(place.fd) })
}

/// Serves `open_tree(dirfd, path, flags)`.
pub(crate) fn open_tree(cx: &mut Cx<'_>) -> Served {
    let Some(met) = concerned(cx)? else { return Ok(Verdict::Continue) };
    let flags = cx.arg(2) as u32;
    let asked = nsproxy::open_tree_flags(&met.task, flags)?;
    let found = named(cx, &met, (cx.int(0), cx.arg(1)), Lookup::by_flags(flags))?;
    let cloexec = flags & CLOEXEC != 0;
    match (asked, found.fd) {
        (OpenTree::Clone { recursive }, _) => {
            // Trees whose descriptors are closed count no more.
            cx.settle()?;
            let files = &cx.sup.mounts.files();
            let tree = nsproxy::open_tree(&met.task, files, &found.place, recursive)?;
            hand_tree(cx, tree, cloexec)
        }
        (OpenTree::Path, Some(fd)) => Ok(Verdict::Hand { fd, cloexec }),
        (OpenTree::Path, None) => {
            let link = format!("/proc/{}/fd/{}", cx.tid(), cx.int(0));
            let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
            let fd = rustix::fs::open(link, flags, rustix::fs::Mode::empty())?;
            Ok(Verdict::Hand { fd, cloexec })
        }
    }
}

/// Gives the caller a descriptor that stands for a tree.
pub(super) fn hand_tree(cx: &Cx<'_>, tree: nsproxy::DetachedTree, cloexec: bool) -> Served {
    may_mount(cx)?;
    // What it shows may be something that the host does not.
    if let Some(proxy) = cx.guest().and_then(|guest| guest.task.nsproxy()) {
        cx.sup.mounts.stray(&proxy.mnt);
    }
    let fd = cx.sup.open_namespace(Given::Tree(cx.sup.mounts.keep_detached(tree)))?;
    Ok(Verdict::Install { fd, cloexec })
}

/// Serves `move_mount(from_dirfd, from_path, to_dirfd, to_path, flags)`.
pub(crate) fn move_mount(cx: &mut Cx<'_>) -> Served {
    let Some(met) = concerned(cx)? else { return Ok(Verdict::Continue) };
    let flags = cx.arg(4) as u32;
    let has = |flag| flags & flag != 0;
    let (mounter, onto) = Mounter::of_move_mount(&met.task, flags)?;
    let how = Lookup { follow: has(F_SYMLINKS), empty: has(F_EMPTY_PATH) };
    let from = named(cx, &met, (cx.int(0), cx.arg(1)), how)?;
    let how = Lookup { follow: has(T_SYMLINKS), empty: has(T_EMPTY_PATH) };
    let to = named(cx, &met, (cx.int(2), cx.arg(3)), how)?;
    may_mount(cx)?;
    mounter.move_mount(&cx.sup.mounts.files(), &from.place, &to.place, onto)?.commit();
    Ok(Verdict::Return(0))
}

/// Serves `mount_setattr(dirfd, path, flags, attributes, size)`.
pub(crate) fn mount_setattr(cx: &mut Cx<'_>) -> Served {
    let Some(met) = concerned(cx)? else { return Ok(Verdict::Continue) };
    let flags = cx.arg(2) as u32;
    let recursive = nsproxy::setattr_flags(&met.task, flags)?;
    let (mounter, len) = MountAttr::block_len(&met.task, cx.arg(4))?;
    let mut block = vec![0; len];
    cx.mem().read(cx.arg(3), &mut block)?;
    let file = |fd| match cx.sup.descriptors.look(cx.tid(), fd) {
        Ok(Thing::Namespace(namespace)) => IdmapFile::Namespace(namespace),
        Ok(_) => IdmapFile::Other,
        Err(_) => IdmapFile::Closed,
    };
    let attr = MountAttr::from_block(&mounter, &block, file)?;
    let Some(attr) = attr else { return Ok(Verdict::Return(0)) };
    let target = named(cx, &met, (cx.int(0), cx.arg(1)), Lookup::by_flags(flags))?;
    let change = mounter.setattr(&target.place, &attr, recursive)?;
    nobody_writes(cx, &met, &change)?;
    change.commit();
    Ok(Verdict::Return(0))
}
