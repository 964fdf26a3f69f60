//! Paths that `/proc` shows of what a process has open, mapped or runs, where it sees other mounts than
//! the host: as a reader of its mount namespace would write them.
//!
//! The kernel's text is of the host. What it leads to is looked up there once more, and the way back
//! through the mounts of the process is shown (`vfs::shown`). A copy that a program runs from is shown
//! as what it is a copy of. This is text: nobody opens anything by it on our word.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use nsproxy::{Dentry, MountId};
use rustix::fs::{CWD, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{ThreadFile, descriptor_path};
use crate::cx::Cx;
use crate::guests::Guest;
use crate::maps::HashMap;
use crate::mounts::Identity;
use crate::vfs::{self, Reached, Tree};

/// What the kernel writes behind the path of what was removed.
const DELETED: &[u8] = b" (deleted)";

/// What a link of thread `tid` shows, given the kernel's own name of the link: `/proc/PID/exe`. `None`
/// where the host's text is right.
///
/// # Errors
/// Those of readlink(2).
pub(crate) fn link_text(cx: &Cx<'_>, tid: i32, link: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
    let Some(eyes) = Eyes::of(cx, tid) else { return Ok(None) };
    let mut names = link.rsplit(|byte| *byte == b'/');
    let (name, above) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
    match (above, name) {
        (b"map_files", _) => {
            let text = rustix::fs::readlink(OsStr::from_bytes(link), Vec::new())?;
            Ok(Some(eyes.text(text.as_bytes(), None).text))
        }
        (_, b"root") => {
            let (mount, dentry) = eyes.subjects_root;
            eyes.root_text(mount, dentry).map(Some)
        }
        (_, b"exe" | b"cwd") | (b"fd", _) => {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let fd = rustix::fs::open(OsStr::from_bytes(link), flags, Mode::empty())?;
            let text = descriptor_path(&fd)?;
            if !text.starts_with(b"/") || is_memory(&text) {
                return Ok(Some(text));
            }
            let number = std::str::from_utf8(name).ok().and_then(super::number);
            let at = match number {
                Some(number) => At::Number(number),
                None if name == b"cwd" => eyes.pwd(&fd),
                None => At::Program,
            };
            eyes.shown(fd, at, &text).map(|shown| Some(shown.text))
        }
        _ => Ok(None),
    }
}

/// What the link of a descriptor of thread `tid` shows that is of a file of no directory, reached through
/// a mount of it.
pub(crate) fn mounted_text(cx: &Cx<'_>, tid: i32, through: &Reached) -> Option<Vec<u8>> {
    let eyes = Eyes::of(cx, tid)?;
    let mount = &through.mount;
    let is_there = eyes.tree.view.get(mount.id).is_some();
    match is_there {
        true => eyes.root_text(mount.id, mount.root).ok(),
        // It is the root of what is mounted nowhere any more.
        false => Some(b"/".to_vec()),
    }
}

/// `maps`, `smaps` or `numa_maps` of thread `tid`, with the paths that it would find. `None` where the
/// host's text is right.
pub(super) fn mapped(cx: &Cx<'_>, tid: i32, file: ThreadFile, text: &[u8]) -> Option<Vec<u8>> {
    let eyes = Eyes::of(cx, tid)?;
    let mut known = Known::default();
    let mut all = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let edited = match file {
            ThreadFile::NumaMaps => eyes.numa_line(line, &mut known),
            _ => eyes.line(line, &mut known),
        };
        match edited {
            Some(edited) => all.extend_from_slice(&edited),
            None => all.extend_from_slice(line),
        }
    }
    Some(all)
}

/// What paths of the host's are shown as.
type Known = HashMap<Vec<u8>, Shown>;

/// A path as it is shown, and what is there.
struct Shown {
    text: Vec<u8>,
    /// What it is, if it could be looked at.
    stat: Option<Stat>,
    /// The device of the file system that it is seen in, where the host's is another.
    device: Option<u64>,
}

/// What is known of where an object is seen.
#[derive(Clone, Copy)]
enum At {
    /// There.
    Place(MountId, Dentry),
    /// Where the process has opened its descriptor of this number.
    Number(i32),
    /// Where the process has found what it runs.
    Program,
    /// Wherever it can be.
    Anywhere,
}

/// How somebody sees what a process has.
struct Eyes<'a, 'b> {
    cx: &'a Cx<'b>,
    subject: std::sync::Arc<Guest>,
    /// The mounts of the process, seen from the reader's root directory if it is in the same namespace.
    tree: Tree,
    subjects_root: (MountId, Dentry),
}

impl<'a, 'b> Eyes<'a, 'b> {
    /// `None` if the process sees what the host shows.
    fn of(cx: &'a Cx<'b>, tid: i32) -> Option<Eyes<'a, 'b>> {
        let subject = cx.sup.find_subject(tid)?;
        let mut tree = cx.sup.tree_of(&subject.task)?;
        let subjects_root = tree.root;
        let reader = cx.guest().and_then(|guest| cx.sup.any_tree_of(&guest.task));
        match reader.filter(|reader| reader.view.namespace() == tree.view.namespace()) {
            Some(reader) => tree.root = reader.root,
            None => tree.root = tree.view.top().unwrap_or(tree.root),
        }
        Some(Eyes { cx, subject, tree, subjects_root })
    }

    /// The working directory, if it is the one that the model knows.
    fn pwd(&self, fd: &OwnedFd) -> At {
        let known = || {
            let pwd = self.subject.task.pwd()?;
            if self.subject.task.has_virtual_directories() {
                return Some(At::Place(pwd.mount(), pwd.dentry()));
            }
            let mounts = &self.cx.sup.mounts;
            let (spot, now) = (mounts.spot(pwd.dentry())?, Identity::of(fd).ok()?);
            let same = spot.identity.is_same(&now) || mounts.has_pivoted(&self.tree.view, &now);
            same.then(|| At::Place(pwd.mount(), pwd.dentry()))
        };
        known().unwrap_or(At::Anywhere)
    }

    /// The path of what stands somewhere, whose path on the host is `text`.
    fn standing(
        &self,
        text: &[u8],
        find: impl FnOnce(vfs::Scene<'_>) -> Result<vfs::Standing, Errno>,
    ) -> Result<Vec<u8>, Errno> {
        let mounts = &self.cx.sup.mounts;
        let (tree, task) = (&self.tree, &*self.subject.task);
        let standing = find(vfs::Scene { mounts, tree, task })?;
        if standing.mount.is_none() && standing.gone.is_none() {
            return Ok(text.to_vec());
        }
        let shown = vfs::shown_at(mounts, tree, &standing)?;
        Ok(match text.ends_with(DELETED) && !shown.ends_with(DELETED) {
            true => [shown.as_slice(), DELETED].concat(),
            false => shown,
        })
    }

    fn root_text(&self, mount: MountId, dentry: Dentry) -> Result<Vec<u8>, Errno> {
        let mounts = &self.cx.sup.mounts;
        let spot = mounts.spot(dentry).ok_or(Errno::NOENT)?;
        let fd = rustix::io::fcntl_dupfd_cloexec(&spot.fd, 0)?;
        vfs::shown(mounts, &self.tree, &fd, Some(mount), Some(dentry)).map(|(path, _)| full(path))
    }

    /// The path of an object, whose path on the host is `text`, and what it is.
    fn shown(&self, fd: OwnedFd, at: At, text: &[u8]) -> Result<Shown, Errno> {
        let stat = rustix::fs::fstat(&fd)?;
        if let Some(original) = self.cx.sup.programs.original((stat.st_dev, stat.st_ino)) {
            let fd = original.try_clone().map_err(|_| Errno::MFILE)?;
            let (stat, text) = (rustix::fs::fstat(&fd)?, descriptor_path(&fd)?);
            let at = if matches!(at, At::Program) { at } else { At::Anywhere };
            return Ok(Shown { stat: Some(stat), ..self.path(&fd, at, &text)? });
        }
        Ok(Shown { stat: Some(stat), ..self.path(&fd, at, text)? })
    }

    fn path(&self, fd: &OwnedFd, at: At, text: &[u8]) -> Result<Shown, Errno> {
        let only = |text| Shown { text, stat: None, device: None };
        let mounts = &self.cx.sup.mounts;
        let (mount, dentry) = match at {
            At::Place(mount, dentry) => (Some(mount), Some(dentry)),
            At::Number(number) => {
                let number = Some((self.subject.tgid, number));
                return self.standing(text, |scene| scene.opened(dup(fd)?, number)).map(only);
            }
            At::Program => {
                let program = self.subject.program();
                let runs = |scene: vfs::Scene<'_>| scene.runs(dup(fd)?, program.as_deref());
                return self.standing(text, runs).map(only);
            }
            At::Anywhere => {
                let seen = Identity::of(fd)?;
                (vfs::stands(mounts, &self.tree.view, fd, &seen)?, None)
            }
        };
        if mount.is_none() {
            // It is in no mount of this namespace: what the host says is as good as anything.
            return Ok(only(text.to_vec()));
        }
        let shown = vfs::shown(mounts, &self.tree, fd, mount, dentry)?.0;
        let text = match text.ends_with(DELETED) && !shown.ends_with(DELETED) {
            true if dentry.is_none() => [full(shown).as_slice(), DELETED].concat(),
            _ => full(shown),
        };
        let sb = mount.and_then(|mount| self.tree.view.get(mount)).map(|mount| &mount.sb);
        let device = sb.and_then(|sb| mounts.device_of(sb.id(), sb.device()));
        Ok(Shown { device, ..only(text) })
    }

    /// The text for a path of the host's, and what is there if that has this inode number.
    fn text(&self, path: &[u8], inode: Option<u64>) -> Shown {
        let plain = Shown { text: path.to_vec(), stat: None, device: None };
        if !path.starts_with(b"/") || is_memory(path) {
            return plain;
        }
        if let Some(fd) = open(path)
            && let Ok(stat) = rustix::fs::fstat(&fd)
            && inode.is_none_or(|inode| inode == stat.st_ino)
        {
            return self.shown(fd, At::Anywhere, path).unwrap_or(plain);
        }
        // It is gone, or another has its name: what it was in is there, perhaps.
        let Some(slash) = path.iter().rposition(|byte| *byte == b'/') else { return plain };
        let above = if slash == 0 { &b"/"[..] } else { &path[..slash] };
        let Some(fd) = open(above) else { return plain };
        match self.path(&fd, At::Anywhere, above) {
            Ok(shown) => {
                let above = shown.text.strip_suffix(b"/").unwrap_or(&shown.text);
                Shown { text: [above, &path[slash..]].concat(), ..shown }
            }
            Err(_) => plain,
        }
    }

    /// What a path in such a line is shown as, with what is there if that has this inode number.
    fn mapped<'k>(&self, path: &[u8], inode: Option<u64>, known: &'k mut Known) -> &'k Shown {
        known.entry(path.to_vec()).or_insert_with(|| {
            let shown = self.text(&unescaped(path), inode);
            Shown { text: escaped(&shown.text), ..shown }
        })
    }

    /// A line of `maps`: `range mode offset device inode path`.
    fn line(&self, line: &[u8], known: &mut Known) -> Option<Vec<u8>> {
        let at = line.iter().position(|byte| *byte == b'/')?;
        let (head, path) = line.split_at(at);
        let path = path.strip_suffix(b"\n").unwrap_or(path);
        let words: Vec<&[u8]> =
            head.split(|byte| *byte == b' ').filter(|w| !w.is_empty()).collect();
        let [range, mode, offset, device, inode] = words[..] else { return None };
        if !range.contains(&b'-') {
            return None;
        }
        let number = std::str::from_utf8(inode).ok()?.parse().ok()?;
        let shown = self.mapped(path, Some(number), known);
        let (mut device, mut inode) = (device.to_vec(), inode.to_vec());
        // A program's copy is another file than the program.
        let original = shown.stat.filter(|stat| stat.st_ino != number);
        if let Some(stat) = original {
            inode = stat.st_ino.to_string().into_bytes();
        }
        if let Some(number) = shown.device.or(original.map(|stat| stat.st_dev)) {
            let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
            device = format!("{major:02x}:{minor:02x}").into_bytes();
        }
        let mut new = [range, mode, offset, &device, &inode].join(&b' ');
        // The kernel puts the path into the 74th column.
        new.resize(new.len().max(PATH_COLUMN - 1), b' ');
        new.push(b' ');
        new.extend_from_slice(&shown.text);
        new.push(b'\n');
        Some(new)
    }

    /// A line of `numa_maps`: `address policy file=path word=number ...`.
    fn numa_line(&self, line: &[u8], known: &mut Known) -> Option<Vec<u8>> {
        const FILE: &[u8] = b" file=";
        let start = line.windows(FILE.len()).position(|window| window == FILE)? + FILE.len();
        let len = line[start..].iter().position(|byte| matches!(byte, b' ' | b'\n'))?;
        let path = &line[start..start + len];
        let shown = self.mapped(path, None, known);
        Some([&line[..start], &shown.text, &line[start + len..]].concat())
    }
}

/// Where the path begins in a line of `maps`, unless the numbers are longer.
const PATH_COLUMN: usize = 73;

/// Whether a text is of a file that no path leads to.
fn is_memory(text: &[u8]) -> bool {
    [&b"/memfd:"[..], b"/dev/zero", b"/SYSV", b"/anon_hugepage"]
        .iter()
        .any(|one| text.starts_with(one))
        && text.ends_with(DELETED)
}

fn open(path: &[u8]) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(CWD, OsStr::from_bytes(path), flags, Mode::empty()).ok()
}

fn full(path: Vec<u8>) -> Vec<u8> {
    if path.is_empty() { b"/".to_vec() } else { path }
}

/// The kernel writes a line's end in a name as `\012`, and nothing else so.
fn unescaped(path: &[u8]) -> Vec<u8> {
    replaced(path, b"\\012", b"\n")
}

fn escaped(path: &[u8]) -> Vec<u8> {
    replaced(path, b"\n", b"\\012")
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        all.extend_from_slice(&rest[..at]);
        all.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    all.extend_from_slice(rest);
    all
}

fn dup(fd: &OwnedFd) -> Result<OwnedFd, Errno> {
    rustix::io::fcntl_dupfd_cloexec(fd, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_two_lines_are_one() {
        assert_eq!(escaped(b"/a\nb"), b"/a\\012b");
        assert_eq!(unescaped(b"/a\\012b\\012"), b"/a\nb\n");
        assert!(is_memory(b"/memfd:x (deleted)") && !is_memory(b"/memfd:x"));
    }
}
