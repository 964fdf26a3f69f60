//! An overlay: directories laid one over the other, shown as one.
//!
//! A path leads through a *mirror*: a tree of directories of ours, one for each directory of the
//! overlay that somebody has come to. So a directory stays the same object when it is copied up, and
//! `..`, working directories and mount points are what they are in every other file system. What it
//! shows is the [`Stack`] of the layers' directories at its path. Everything that is no directory is
//! the layer's own file; the mirror has a stand-in for it, which is seen in listings alone.
//!
//! Layers are looked up below descriptors that we hold, without links, and within the host's mount:
//! nothing that the host has mounted on them shows, as in the kernel's overlays.
//! What is said to the kernel's overlays by marks is understood here, and left here for them: whiteouts,
//! and opaque directories where the mount has `userxattr`.
//!
//! Locks: `turn` is held while something is changed, `copies` and `stacks` are leaves.

mod change;
mod copy;
mod listing;
mod options;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nsproxy::{Super, UserNs};
use parking_lot::{Mutex, RwLock};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::maps::HashMap;
use crate::procfs::{descriptor_path, own_path};
pub(crate) use options::{Asked, Options};

/// How layers are looked up.
const WITHIN: ResolveFlags = ResolveFlags::NO_SYMLINKS
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV)
    .union(ResolveFlags::BENEATH);
const PATH: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// So many directories are remembered with their layers.
const STACKS: usize = 256;

/// What says that nothing below a directory shows.
const OPAQUE: &str = "user.overlay.opaque";
/// What makes an empty file a whiteout where there can be no device, as in another overlay. No kernel
/// knows it.
const WHITEOUT: &str = "user.anyns.whiteout";
/// What the attributes that are the overlay's own begin with.
const OWN: &[u8] = b"user.overlay.";

/// An overlay.
#[derive(Debug)]
pub(crate) struct Overlay {
    /// Where the mirror is.
    mirror_text: Vec<u8>,
    /// The uppermost first.
    layers: Vec<OwnedFd>,
    /// Of the layers: those of guests go when nobody has them.
    _supers: Vec<Arc<Super>>,
    /// Where what goes to the uppermost layer is made; none if nothing does.
    work: Option<OwnedFd>,
    /// Marks are kept in extended attributes (`userxattr`).
    marks: bool,
    /// Whiteouts are devices.
    devices: bool,
    owner: nsproxy::Arc<UserNs>,
    /// What no guest should get into: device and number.
    kept: Option<(u64, u64)>,
    turn: Mutex<()>,
    /// What files of lower layers have been copied to, which may still be open.
    copies: RwLock<HashMap<Original, Arc<OwnedFd>>>,
    stacks: RwLock<HashMap<Vec<u8>, Arc<Stack>>>,
    made: AtomicU64,
}

/// A file of a lower layer: device and number, and the path, since each of its names is copied by itself.
type Original = (u64, u64, Vec<u8>);

/// The directories of the layers that are shown as one, with the numbers of their layers.
#[derive(Debug, Default)]
struct Stack(Vec<(usize, Arc<OwnedFd>)>);

impl Stack {
    /// Whose attributes it has.
    fn top(&self) -> Result<&OwnedFd, Errno> {
        self.0.first().map(|(_, fd)| &**fd).ok_or(Errno::NOENT)
    }

    fn is_merged(&self) -> bool {
        self.0.len() > 1
    }

    fn has_lower(&self) -> bool {
        self.0.iter().any(|(layer, _)| *layer > 0)
    }
}

/// What a name in a directory leads to.
enum Entry {
    Directory(Stack),
    Other { fd: OwnedFd, stat: Stat, layer: usize },
}

impl Overlay {
    /// One whose directories are mirrored in `mirror`.
    ///
    /// # Errors
    /// EINVAL if what goes up cannot be made in `work`; those of the host.
    pub(super) fn new(
        mirror: &OwnedFd,
        options: Options,
        owner: &nsproxy::Arc<UserNs>,
        kept: Option<(u64, u64)>,
    ) -> Result<Overlay, Errno> {
        let mut overlay = Overlay {
            mirror_text: descriptor_path(mirror)?,
            layers: options.layers,
            _supers: options.supers,
            work: None,
            marks: options.marks,
            devices: true,
            owner: owner.clone(),
            kept,
            turn: Mutex::default(),
            copies: RwLock::default(),
            stacks: RwLock::default(),
            made: AtomicU64::new(0),
        };
        if let Some(work) = options.work {
            overlay.prepare(&work)?;
        }
        Ok(overlay)
    }

    /// Whether something can be changed.
    pub(crate) fn has_upper(&self) -> bool {
        self.work.is_some()
    }

    /// The uppermost layer.
    pub(crate) fn top(&self) -> Option<&OwnedFd> {
        self.layers.first()
    }

    /// What a name leads to in a directory of the mirror: one of the mirror, or a layer's file.
    ///
    /// # Errors
    /// Those of path_resolution(7).
    pub(crate) fn step(&self, at: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
        let stack = self.stack(&self.path_of(at)?)?;
        match self.below(&stack, name)? {
            Entry::Directory(_) => reflected(at, name),
            Entry::Other { fd, .. } => Ok(fd),
        }
    }

    /// The directory whose attributes one of the mirror shows, and what they are.
    ///
    /// # Errors
    /// ENOENT if it was removed.
    pub(crate) fn attributes(&self, at: &OwnedFd) -> Result<(OwnedFd, Stat), Errno> {
        let stack = self.stack(&self.path_of(at)?)?;
        let top = rustix::io::fcntl_dupfd_cloexec(stack.top()?, 0)?;
        let mut stat = rustix::fs::fstat(&top)?;
        if stack.is_merged() {
            stat.st_nlink = 1;
        }
        Ok((top, stat))
    }

    /// What has the attributes of an open file of a layer: its copy, if it was copied up since.
    pub(crate) fn latest(&self, fd: &OwnedFd, stat: &Stat) -> Option<OwnedFd> {
        if self.copies.read().is_empty() {
            return None;
        }
        let (_, path) = self.layer_of(&descriptor_path(fd).ok()?)?;
        self.copy_of(stat, path)
    }

    fn copy_of(&self, stat: &Stat, path: Vec<u8>) -> Option<OwnedFd> {
        let copy = self.copies.read().get(&(stat.st_dev, stat.st_ino, path))?.clone();
        rustix::io::fcntl_dupfd_cloexec(&copy, 0).ok()
    }

    /// The path that a layer's file would have in the mirror; none if it is of no layer.
    ///
    /// # Errors
    /// Those of readlink(2).
    pub(crate) fn shown_text(&self, fd: &OwnedFd) -> Result<Option<Vec<u8>>, Errno> {
        let found = self.layer_of(&descriptor_path(fd)?);
        Ok(found.map(|(_, path)| [&self.mirror_text, b"/".as_slice(), &path].concat()))
    }

    /// Whether an attribute is one of the overlay's own marks, which nobody sees.
    pub(crate) fn is_mark(&self, name: &[u8]) -> bool {
        self.marks && name.starts_with(OWN)
    }

    /// In which layer something lies, by the host's path, and its path there. Layers may lie in each
    /// other.
    fn layer_of(&self, text: &[u8]) -> Option<(usize, Vec<u8>)> {
        let mut found: Option<(usize, usize)> = None;
        for (number, layer) in self.layers.iter().enumerate() {
            let Ok(above) = descriptor_path(layer) else { continue };
            let lies = super::spots::below(text, &above).is_some();
            if lies && found.is_none_or(|(_, length)| above.len() > length) {
                found = Some((number, above.len()));
            }
        }
        let (number, _) = found?;
        let above = descriptor_path(&self.layers[number]).ok()?;
        Some((number, super::spots::below(text, &above)?.to_vec()))
    }

    /// The path of a directory of the mirror.
    fn path_of(&self, at: &OwnedFd) -> Result<Vec<u8>, Errno> {
        let stat = rustix::fs::fstat(at)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(Errno::NOTDIR);
        }
        if stat.st_nlink == 0 {
            return Err(Errno::NOENT);
        }
        let text = descriptor_path(at)?;
        super::spots::below(&text, &self.mirror_text).map(<[u8]>::to_vec).ok_or(Errno::NOENT)
    }

    fn stack(&self, path: &[u8]) -> Result<Arc<Stack>, Errno> {
        if let Some(known) = self.stacks.read().get(path) {
            return Ok(known.clone());
        }
        let stack = match split(path) {
            None => {
                let copies = self.layers.iter().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 0));
                let all: Result<Vec<_>, _> = copies.map(|fd| fd.map(Arc::new)).collect();
                Stack(all?.into_iter().enumerate().collect())
            }
            Some((above, name)) => match self.below(&*self.stack(above)?, name)? {
                Entry::Directory(stack) => stack,
                Entry::Other { .. } => return Err(Errno::NOTDIR),
            },
        };
        let stack = Arc::new(stack);
        let mut stacks = self.stacks.write();
        if stacks.len() >= STACKS {
            stacks.clear();
        }
        stacks.insert(path.to_vec(), stack.clone());
        Ok(stack)
    }

    /// Directories have been made, moved or removed.
    fn forget(&self) {
        self.stacks.write().clear();
    }

    fn below(&self, stack: &Stack, name: &[u8]) -> Result<Entry, Errno> {
        let mut found = Vec::new();
        for (layer, directory) in &stack.0 {
            let Some((fd, stat)) = self.look(directory, name)? else { continue };
            if self.is_whiteout(&fd, &stat) {
                break;
            }
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                if found.is_empty() {
                    return Ok(Entry::Other { fd, stat, layer: *layer });
                }
                break;
            }
            let opaque = self.is_opaque(&fd);
            found.push((*layer, Arc::new(fd)));
            if opaque {
                break;
            }
        }
        if found.is_empty() { Err(Errno::NOENT) } else { Ok(Entry::Directory(Stack(found))) }
    }

    /// What a layer has under a name, whiteouts included.
    fn look(&self, directory: &OwnedFd, name: &[u8]) -> Result<Option<(OwnedFd, Stat)>, Errno> {
        let fd = match rustix::fs::openat2(directory, name, PATH, Mode::empty(), WITHIN) {
            Ok(fd) => fd,
            // What the host has mounted there is none of the layer's.
            Err(Errno::NOENT | Errno::XDEV) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let stat = rustix::fs::fstat(&fd)?;
        let kept = self.kept == Some((stat.st_dev, stat.st_ino));
        Ok((!kept).then_some((fd, stat)))
    }

    fn is_whiteout(&self, fd: &OwnedFd, stat: &Stat) -> bool {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice => stat.st_rdev == 0,
            FileType::RegularFile if !self.devices && stat.st_size == 0 => {
                rustix::fs::getxattr(own_path(fd), WHITEOUT, &mut [0; 8][..]).is_ok()
            }
            _ => false,
        }
    }

    fn is_opaque(&self, directory: &OwnedFd) -> bool {
        let mut value = [0; 8];
        self.marks
            && rustix::fs::getxattr(own_path(directory), OPAQUE, &mut value[..])
                .is_ok_and(|length| &value[..length] == b"y")
    }
}

/// The directory of the mirror under a name, which is made where there is none.
fn reflected(at: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    loop {
        match rustix::fs::openat(at, name, PATH | OFlags::DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => {}
            // The stand-in of a file that was there before.
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let _ = rustix::fs::unlinkat(at, name, AtFlags::empty());
            }
            other => return other,
        }
        match rustix::fs::mkdirat(at, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The last name of a path, and the path above.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => Some((&path[..slash], &path[slash + 1..])),
        None => Some((b"", path)),
    }
}

fn opened(directory: impl AsFd) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(directory, c".", flags, Mode::empty())
}
