//! statfs(2), fstatfs(2): what is told of a file system.
//!
//! Of one that a guest has mounted its own limits, of others what the host says; the flags are those
//! of the mount.

use std::os::fd::OwnedFd;

use nsproxy::MountFlags;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict};
use crate::descriptors::Given;
use crate::mounts::What;
use crate::trouble::Trouble;
use crate::vfs::{self, Backed};

/// `struct statfs`: fifteen words of eight bytes.
const WORDS: usize = 15;
const PAGE: u64 = 4096;
const NAME_MAX: u64 = 255;

/// What types of file systems are called.
const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;
const MQUEUE: u64 = 0x1980_0202;
const OVERLAY: u64 = 0x794c_7630;
const NSFS: u64 = 0x6e73_6673;
const ANON: u64 = 0x0904_1934;

/// `ST_VALID`: the flags are meant.
const VALID: u64 = 0x20;

/// The flags, as statfs(2) has them.
const FLAGS: [(MountFlags, u64); 8] = [
    (MountFlags::READONLY, 1),
    (MountFlags::NOSUID, 2),
    (MountFlags::NODEV, 4),
    (MountFlags::NOEXEC, 8),
    (MountFlags::NOATIME, 0x400),
    (MountFlags::NODIRATIME, 0x800),
    (MountFlags::RELATIME, 0x1000),
    (MountFlags::NOSYMFOLLOW, 0x2000),
];

/// Serves `statfs(path, buffer)`.
pub(crate) fn statfs(cx: &mut Cx<'_>) -> Served {
    let Some(tree) = cx.tree() else { return super::path::followed(cx) };
    let path = cx.path(cx.arg(0))?;
    let place = cx.find(libc::AT_FDCWD, &path, true)?;
    let mount = place.mount.and_then(|mount| tree.view.get(mount)).ok_or(Errno::IO)?;
    tell(cx, told(cx, &place.fd, mount)?)
}

/// Serves `fstatfs(fd, buffer)`.
pub(crate) fn fstatfs(cx: &mut Cx<'_>) -> Served {
    let fd = cx.int(0);
    if fd < 0 || cx.tree().is_none() && cx.sup.descriptors.len() == 0 {
        return Ok(Verdict::Continue);
    }
    let given = cx.sup.descriptors.given(&vfs::stat_descriptor(cx.tid(), fd)?);
    match given {
        Some(Given::Namespace(..) | Given::Path(..)) => return tell(cx, of(NSFS, [0; 3], [0; 2])),
        Some(Given::Control(_)) => {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let proc = rustix::fs::open(cx.sup.proc.mounted_at(), flags, Mode::empty())?;
            return tell(cx, hosts(&proc)?);
        }
        Some(Given::Context(_)) => return tell(cx, of(ANON, [0; 3], [0; 2])),
        Some(Given::Tree(tree)) => {
            let root = tree.root();
            let view = cx.sup.mounts.detached_with(root.mount());
            // Of one that has been moved somewhere, as by a path.
            let view = view.or_else(|| cx.tree().map(|tree| tree.view.clone()));
            let backed = view.as_ref().and_then(|view| view.get(root.mount())).ok_or(Errno::IO)?;
            return tell(cx, told(cx, &backed.spot.fd, backed)?);
        }
        None if cx.tree().is_none() => return Ok(Verdict::Continue),
        None => {}
    }
    let place = vfs::find_descriptor(cx.seeker(), fd).map_err(|lost| lost.errno)?;
    match place.seen_through() {
        Some(mount) => tell(cx, told(cx, &place.fd, mount)?),
        // A pipe or a socket, or what is in no mount that anybody knows of.
        None => Ok(Verdict::Continue),
    }
}

fn tell(cx: &Cx<'_>, words: [u64; WORDS]) -> Served {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    cx.mem().write(cx.arg(1), &bytes)?;
    Ok(Verdict::Return(0))
}

/// Of a mount, of which this is open.
fn told(cx: &Cx<'_>, fd: &OwnedFd, mount: &Backed) -> Result<[u64; WORDS], Trouble> {
    let mut words = match cx.sup.mounts.made(mount.sb.id()).as_deref() {
        Some(What::Tmpfs(limits, _)) => {
            let (blocks, inodes) = {
                let limits = limits.lock();
                (limits.blocks, limits.inodes)
            };
            let used = cx.sup.mounts.used(mount.sb.id())?;
            // Without a limit there is no number to tell.
            let free =
                |most: Option<u64>, used: u64| most.map_or(0, |most| most.saturating_sub(used));
            let blocks_free = free(blocks, used.blocks);
            let all = [blocks.unwrap_or(0), blocks_free, blocks_free];
            let files = [inodes.unwrap_or(0), free(inodes, used.inodes)];
            of(TMPFS, all, files)
        }
        Some(What::Ramfs) => of(RAMFS, [0; 3], [0; 2]),
        Some(What::Mqueue(_)) => of(MQUEUE, [0; 3], [0; 2]),
        Some(What::Overlay(overlay)) => {
            let mut words = hosts(overlay.top().unwrap_or(fd))?;
            words[0] = OVERLAY;
            words
        }
        _ => hosts(fd)?,
    };
    if cx.sup.mounts.made(mount.sb.id()).is_some() {
        (words[7], words[10]) = (mount.sb.id(), VALID);
    }
    let mut flags = mount.flags;
    flags.set(MountFlags::READONLY, mount.is_readonly());
    let all = FLAGS.iter().fold(0, |all, (_, bit)| all | bit);
    let set = FLAGS.iter().filter(|(flag, _)| flags.contains(*flag));
    words[10] = set.fold(words[10] & !all, |sum, (_, bit)| sum | bit) | VALID;
    Ok(words)
}

fn of(kind: u64, blocks: [u64; 3], files: [u64; 2]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    (words[0], words[1]) = (kind, PAGE);
    words[10] = VALID;
    words[2..5].copy_from_slice(&blocks);
    words[5..7].copy_from_slice(&files);
    (words[8], words[9]) = (NAME_MAX, PAGE);
    words
}

/// What the host says.
fn hosts(place: &OwnedFd) -> Result<[u64; WORDS], Errno> {
    let told = rustix::fs::fstatvfs(place)?;
    let kind = rustix::fs::fstatfs(place)?.f_type as u64;
    let mut words =
        of(kind, [told.f_blocks, told.f_bfree, told.f_bavail], [told.f_files, told.f_ffree]);
    (words[1], words[7]) = (told.f_bsize, told.f_fsid);
    (words[8], words[9]) = (told.f_namemax, told.f_frsize);
    words[10] = told.f_flag.bits();
    Ok(words)
}
