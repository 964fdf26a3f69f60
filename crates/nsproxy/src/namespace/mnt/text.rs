//! `/proc/PID/mountinfo` and `/proc/PID/mounts` (proc_pid_mountinfo(5), proc_pid_mounts(5)).

use super::{
    Dentry, Files, MntNs, MountFlags,
    tree::{Mount, MountId, NsKey, Tree},
};
use crate::{namespace::Namespace, task::Task};
use alloc::{collections::BTreeMap, vec::Vec};
use core::cell::RefCell;

/// The mounts that `task` can reach from its root directory, a line for each, in the order in
/// which they were made. Empty once it has exited.
pub fn mountinfo(task: &Task, files: &dyn Files) -> Vec<u8> {
    lines(task, files, Tree::mountinfo_line)
}

/// The same in the older format. Whether the file system itself is read-only shows, too.
pub fn mounts(task: &Task, files: &dyn Files) -> Vec<u8> {
    lines(task, files, |tree, _, at, line| tree.mounts_line(at, line))
}

/// Who reads: the namespace and the root directory.
pub(super) struct Reader<'a> {
    files: &'a dyn Files,
    ns: NsKey,
    pub(super) root: (MountId, Dentry),
    /// What [`Tree::dominating`] said of a master's group. One group may have thousands of slaves
    /// and as many members of which none can be seen.
    nearest: RefCell<BTreeMap<u32, Option<u32>>>,
}

impl<'a> Reader<'a> {
    /// `task`, about a namespace: its own from its root directory, another's from that one's root.
    pub(super) fn of(task: &Task, ns: &MntNs, files: &'a dyn Files) -> Option<Reader<'a>> {
        let is_own = task.nsproxy()?.mnt.number().id() == ns.number().id();
        let root = if is_own { task.root() } else { ns.root() }?;
        let root = (root.mount(), root.dentry());
        Some(Reader { files, ns: ns.number().id(), root, nearest: RefCell::default() })
    }
}

/// A mount to be shown: itself, and its path.
struct Shown<'a> {
    mount: &'a Mount,
    path: Vec<u8>,
}

type Line = fn(&Tree, &Reader<'_>, &Shown<'_>, &mut Vec<u8>);

fn lines(task: &Task, files: &dyn Files, line: Line) -> Vec<u8> {
    let mut text = Vec::new();
    let Some(proxy) = task.nsproxy() else { return text };
    let Some(reader) = Reader::of(task, &proxy.mnt, files) else { return text };
    proxy.mnt.mounts().with(|tree| {
        let Some(space) = tree.spaces.get(&reader.ns) else { return };
        let mut all = tree.subtree(space.root);
        all.sort_unstable();
        for id in all {
            if let Some(path) = tree.path(&reader, id) {
                line(tree, &reader, &Shown { mount: tree.get(id), path }, &mut text);
            }
        }
    });
    text
}

impl Tree {
    /// The path of a mount as the reader would write it; `None` if it cannot reach it.
    pub(super) fn path(&self, reader: &Reader<'_>, id: MountId) -> Option<Vec<u8>> {
        let (root, from) = reader.root;
        let mut parts: Vec<Vec<u8>> = Vec::new();
        let (mut at, mut dentry) = (id, self.get(id).root);
        while at != root {
            let mount = self.get(at);
            parts.push(reader.files.path(dentry, mount.root));
            (at, dentry) = mount.parent?;
        }
        if !reader.files.is_below(dentry, from) {
            return None;
        }
        parts.push(reader.files.path(dentry, from));
        let mut path = Vec::new();
        for part in parts.iter().rev().filter(|part| !part.is_empty()) {
            path.push(b'/');
            path.extend_from_slice(part);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Some(path)
    }

    fn mountinfo_line(&self, reader: &Reader<'_>, at: &Shown<'_>, line: &mut Vec<u8>) {
        let mount = at.mount;
        let parent = mount.parent.map_or(mount.shown, |(parent, _)| self.get(parent).shown);
        let (major, minor) = mount.sb.device();
        push(line, format_args!("{} {parent} {major}:{minor} ", mount.shown));
        self.push_root(reader, mount, line);
        line.push(b' ');
        escape(line, &at.path, b"");
        line.push(b' ');
        let readonly = mount.flags.contains(MountFlags::READONLY);
        line.extend_from_slice(if readonly { b"ro" } else { b"rw" });
        push_options(line, mount);
        self.push_tags(reader, mount, line);
        line.extend_from_slice(b" - ");
        escape(line, mount.sb.kind().as_bytes(), b"#");
        line.push(b' ');
        push_source(line, mount);
        line.extend_from_slice(if mount.sb.is_readonly() { b" ro" } else { b" rw" });
        push_own_options(line, mount);
        line.push(b'\n');
    }

    fn push_root(&self, reader: &Reader<'_>, mount: &Mount, line: &mut Vec<u8>) {
        escape(line, &self.root_text(reader, mount), b"");
    }

    /// The path of what a mount shows within its file system.
    pub(super) fn root_text(&self, reader: &Reader<'_>, mount: &Mount) -> Vec<u8> {
        let mut text = Vec::new();
        if let Some(pin) = &mount.pin {
            push(&mut text, format_args!("{pin}"));
            return text;
        }
        let top = Dentry { super_id: mount.root.super_id, id: 0 };
        text.push(b'/');
        text.extend(reader.files.path(mount.root, top));
        if reader.files.is_unlinked(mount.root) {
            text.extend_from_slice(b"//deleted");
        }
        text
    }

    fn push_tags(&self, reader: &Reader<'_>, mount: &Mount, line: &mut Vec<u8>) {
        let peers = &mount.peers;
        if peers.shared {
            push(line, format_args!(" shared:{}", peers.group));
        }
        if let Some(master) = peers.master {
            let master = self.get(master).peers.group;
            push(line, format_args!(" master:{master}"));
            let known = reader.nearest.borrow().get(&master).copied();
            let nearest = known.unwrap_or_else(|| self.dominating(reader, mount));
            reader.nearest.borrow_mut().insert(master, nearest);
            if let Some(nearest) = nearest.filter(|nearest| *nearest != master) {
                push(line, format_args!(" propagate_from:{nearest}"));
            }
        }
        if peers.unbindable {
            line.extend_from_slice(b" unbindable");
        }
    }

    /// The nearest group above a slave that has a member which the reader can see.
    pub(super) fn dominating(&self, reader: &Reader<'_>, mount: &Mount) -> Option<u32> {
        let mut master = mount.peers.master;
        while let Some(above) = master {
            for peer in self.ring(above) {
                let seen = self.get(peer);
                let here = (peer, seen.root);
                if seen.ns == Some(reader.ns) && self.is_reachable(reader.files, here, reader.root)
                {
                    return Some(seen.peers.group);
                }
            }
            master = self.get(above).peers.master;
        }
        None
    }

    fn mounts_line(&self, at: &Shown<'_>, line: &mut Vec<u8>) {
        let mount = at.mount;
        push_source(line, mount);
        line.push(b' ');
        escape(line, &at.path, b"");
        line.push(b' ');
        escape(line, mount.sb.kind().as_bytes(), b"#");
        let readonly = mount.flags.contains(MountFlags::READONLY) || mount.sb.is_readonly();
        line.extend_from_slice(if readonly { b" ro" } else { b" rw" });
        push_options(line, mount);
        push_own_options(line, mount);
        line.extend_from_slice(b" 0 0\n");
    }
}

fn push_source(line: &mut Vec<u8>, mount: &Mount) {
    match mount.source.is_empty() {
        true => line.extend_from_slice(b"none"),
        false => escape(line, &mount.source, b"#"),
    }
}

/// The options of the file system.
fn push_own_options(line: &mut Vec<u8>, mount: &Mount) {
    let options = mount.sb.options();
    if !options.is_empty() {
        line.push(b',');
        line.extend_from_slice(options.as_bytes());
    }
}

/// What both formats show of a mount, in the kernel's order.
fn push_options(line: &mut Vec<u8>, mount: &Mount) {
    const NAMES: [(MountFlags, &[u8]); 7] = [
        (MountFlags::NOSUID, b",nosuid"),
        (MountFlags::NODEV, b",nodev"),
        (MountFlags::NOEXEC, b",noexec"),
        (MountFlags::NOATIME, b",noatime"),
        (MountFlags::NODIRATIME, b",nodiratime"),
        (MountFlags::RELATIME, b",relatime"),
        (MountFlags::NOSYMFOLLOW, b",nosymfollow"),
    ];
    for (_, name) in NAMES.into_iter().filter(|(flag, _)| mount.flags.contains(*flag)) {
        line.extend_from_slice(name);
    }
    if mount.idmap.is_some() {
        line.extend_from_slice(b",idmapped");
    }
}

/// Adds text in which blanks, newlines, backslashes and `more` are octal numbers.
fn escape(line: &mut Vec<u8>, text: &[u8], more: &[u8]) {
    for &byte in text {
        if b" \t\n\\".contains(&byte) || more.contains(&byte) {
            push(line, format_args!("\\{byte:03o}"));
        } else {
            line.push(byte);
        }
    }
}

fn push(line: &mut Vec<u8>, text: core::fmt::Arguments<'_>) {
    use core::fmt::Write as _;
    let mut buffer = alloc::string::String::new();
    // Writing to a string cannot fail.
    let _ = buffer.write_fmt(text);
    line.extend_from_slice(buffer.as_bytes());
}
