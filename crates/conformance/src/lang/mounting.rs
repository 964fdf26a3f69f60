//! What mount calls are told in flags, and what the kernel shows of mounts, as text that does not
//! depend on the machine.

use std::collections::BTreeMap;

use super::value::{Value, Words};
use super::words::number;

/// `MS_` flags, less the prefix.
const MS: [(&str, u64); 22] = [
    ("RDONLY", 1),
    ("NOSUID", 2),
    ("NODEV", 4),
    ("NOEXEC", 8),
    ("SYNCHRONOUS", 16),
    ("REMOUNT", 32),
    ("DIRSYNC", 128),
    ("NOSYMFOLLOW", 256),
    ("NOATIME", 1024),
    ("NODIRATIME", 2048),
    ("BIND", 4096),
    ("MOVE", 8192),
    ("REC", 1 << 14),
    ("SILENT", 1 << 15),
    ("UNBINDABLE", 1 << 17),
    ("PRIVATE", 1 << 18),
    ("SLAVE", 1 << 19),
    ("SHARED", 1 << 20),
    ("RELATIME", 1 << 21),
    ("STRICTATIME", 1 << 24),
    ("NOUSER", 1 << 31),
    ("MAGIC", 0xc0ed_0000),
];

/// `MNT_` flags of umount2, less the prefix.
const MNT: [(&str, u64); 4] = [("FORCE", 1), ("DETACH", 2), ("EXPIRE", 4), ("NOFOLLOW", 8)];

/// Flags of the calls that take `AT_` flags, and of open_tree and move_mount.
const AT: [(&str, u64); 11] = [
    ("CLONE", 1),
    ("F_SYMLINKS", 1),
    ("F_EMPTY_PATH", 4),
    ("T_SYMLINKS", 0x10),
    ("T_EMPTY_PATH", 0x40),
    ("SET_GROUP", 0x100),
    ("BENEATH", 0x200),
    ("NOFOLLOW", 0x100),
    ("NO_AUTOMOUNT", 0x800),
    ("EMPTY_PATH", 0x1000),
    ("RECURSIVE", 0x8000),
];

/// `MOUNT_ATTR_`, less the prefix.
const ATTR: [(&str, u64); 10] = [
    ("RDONLY", 1),
    ("NOSUID", 2),
    ("NODEV", 4),
    ("NOEXEC", 8),
    ("NOATIME", 0x10),
    ("STRICTATIME", 0x20),
    ("ATIME", 0x70),
    ("NODIRATIME", 0x80),
    ("IDMAP", 0x10_0000),
    ("NOSYMFOLLOW", 0x20_0000),
];

macro_rules! bits {
    ($(#[$doc:meta])* $name:ident, $table:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            source: String,
            /// The flags.
            pub bits: u64,
        }

        impl Value for $name {
            fn read(words: &mut Words<'_>) -> Result<Self, String> {
                let source = words.next("flags")?.to_owned();
                let part = |part: &str| match $table.iter().find(|(name, _)| *name == part) {
                    Some((_, bit)) => Ok(*bit),
                    None => number(part)
                        .map(|bits| bits as u64)
                        .map_err(|_| format!("{part} are no flags")),
                };
                let bits = source.split('|').try_fold(0, |all, one| part(one).map(|bit| all | bit))?;
                Ok($name { source, bits })
            }

            fn write(&self) -> String {
                self.source.clone()
            }
        }
    };
}

bits! {
    /// The flags of mount(2), as names joined by `|` or as numbers.
    MsBits, MS
}
bits! {
    /// The flags of umount2(2).
    UmountBits, MNT
}

bits! {
    /// Flags about paths, and those of open_tree and move_mount.
    AtBits, AT
}
bits! {
    /// The attributes of mount_setattr.
    AttrBits, ATTR
}

/// One line of mountinfo.
struct Line<'a> {
    id: &'a str,
    parent: &'a str,
    root: &'a str,
    point: &'a str,
    options: &'a str,
    tags: Vec<&'a str>,
    kind: &'a str,
    readonly: bool,
}

fn line(text: &str) -> Option<Line<'_>> {
    let (mount, fs) = text.split_once(" - ")?;
    let words: Vec<&str> = mount.split(' ').collect();
    let [id, parent, _, root, point, options, tags @ ..] = words.as_slice() else { return None };
    let mut fs = fs.split(' ');
    let (kind, _, options_of_fs) = (fs.next()?, fs.next()?, fs.next()?);
    let readonly = options_of_fs.split(',').next() == Some("ro");
    let tags = tags.to_vec();
    Some(Line { id, parent, root, point, options, tags, kind, readonly })
}

/// A path as seen from `top`; `None` if it is not at or below it.
fn below<'a>(path: &'a str, top: &str) -> Option<&'a str> {
    match path.strip_prefix(top.trim_end_matches('/'))? {
        "" => Some("/"),
        rest if rest.starts_with('/') => Some(rest),
        _ => None,
    }
}

/// The mounts at and below `top` as `mountinfo` shows them, on one line.
///
/// A mount is `number:parent path`, then what is out of the ordinary: its root if that is not `/`,
/// its flags if they are not `rw,relatime`, its propagation, its type if it is not tmpfs.
/// They are sorted by path, those over one another from below, and numbered so; a parent that is
/// not shown is 0. Peer groups are letters in the order in which they are met.
pub(crate) fn comparable_mountinfo(text: &str, top: &str) -> String {
    let mut lines: Vec<(&str, usize, Line<'_>)> = Vec::new();
    let all: Vec<Line<'_>> = text.lines().filter_map(line).collect();
    let parents: BTreeMap<&str, &str> = all.iter().map(|one| (one.id, one.parent)).collect();
    for one in all {
        let mut depth = 0;
        let mut at = one.id;
        while let Some(parent) = parents.get(at).filter(|parent| **parent != at) {
            (at, depth) = (parent, depth + 1);
        }
        if let Some(point) = below(one.point, top) {
            lines.push((point, depth, one));
        }
    }
    lines.sort_by_key(|(point, depth, _)| (*point, *depth));
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut numbered = 0;
    for same in lines.chunk_by_mut(|a, b| (a.0, a.1) == (b.0, b.1)) {
        // Whatever a mount is on has its number by now.
        same.sort_by_key(|(_, _, one)| (numbers.get(one.parent).copied(), one.root));
        for (_, _, one) in same {
            numbered += 1;
            numbers.insert(one.id, numbered);
        }
    }
    let mut groups: Vec<String> = Vec::new();
    let mut shown: Vec<String> = Vec::new();
    for (place, (point, _, one)) in lines.iter().enumerate() {
        let parent = numbers.get(one.parent).filter(|_| one.parent != one.id).unwrap_or(&0);
        let mut words = vec![format!("{}:{parent}", place + 1), (*point).to_owned()];
        if one.root != "/" {
            words.push(format!("<{}>", within_directory(one.root)));
        }
        if one.options != "rw,relatime" {
            words.push(one.options.to_owned());
        }
        for tag in &one.tags {
            words.push(match tag.split_once(':') {
                Some((name, group)) => format!("{name}:{}", letter(&mut groups, group)),
                None => (*tag).to_owned(),
            });
        }
        match (one.kind, one.readonly) {
            ("tmpfs", false) => {}
            (kind, false) => words.push(kind.to_owned()),
            (kind, true) => words.push(format!("{kind}(ro)")),
        }
        shown.push(words.join(" "));
    }
    if shown.is_empty() { "none".into() } else { shown.join("; ") }
}

/// The root of a mount, from the scenario's own directory on: what is above that is the machine's.
fn within_directory(root: &str) -> String {
    let own = |part: &str| part == "DIR" || part.starts_with("conformance-");
    match root.split('/').position(own) {
        Some(place) => {
            let below: Vec<&str> = root.split('/').skip(place + 1).collect();
            format!("DIR/{}", below.join("/"))
        }
        None => root.to_owned(),
    }
}

fn letter(groups: &mut Vec<String>, group: &str) -> char {
    let place = groups.iter().position(|known| known == group).unwrap_or_else(|| {
        groups.push(group.to_owned());
        groups.len() - 1
    });
    char::from(b'A' + (place % 26) as u8)
}

/// The mounts at and below `top` as `mounts` shows them, on one line: source, path, type and the
/// options that every file system has.
pub(crate) fn comparable_mounts(text: &str, top: &str) -> String {
    const KNOWN: [&str; 10] = [
        "ro",
        "rw",
        "nosuid",
        "nodev",
        "noexec",
        "noatime",
        "nodiratime",
        "relatime",
        "nosymfollow",
        "idmapped",
    ];
    let mut shown: Vec<String> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [source, point, kind, options, ..] = words.as_slice() else { continue };
        let Some(point) = below(point, top) else { continue };
        let options: Vec<&str> =
            options.split(',').filter(|option| KNOWN.contains(option)).collect();
        shown.push(format!("{source} {point} {kind} {}", options.join(",")));
    }
    if shown.is_empty() { "none".into() } else { shown.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
        27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
        50 27 0:50 / /d rw,relatime shared:7 - tmpfs x rw,size=4k\n\
        53 50 0:50 /a /d/b ro,nosuid,relatime shared:9 master:7 - tmpfs x ro\n\
        51 53 0:51 / /d/b rw,relatime unbindable - proc proc rw\n";

    #[test]
    fn mountinfo_is_told_without_numbers_of_the_machine() {
        assert_eq!(
            comparable_mountinfo(TEXT, "/d"),
            "1:0 / shared:A; 2:1 /b </a> ro,nosuid,relatime shared:B master:A tmpfs(ro); \
             3:2 /b unbindable proc"
        );
        assert_eq!(comparable_mountinfo(TEXT, "/e"), "none");
    }

    #[test]
    fn mounts_are_told_without_what_only_one_file_system_has() {
        let text = "tmpfs /d tmpfs rw,relatime,size=4k 0 0\nx /dd tmpfs rw 0 0\n";
        assert_eq!(comparable_mounts(text, "/d"), "tmpfs / tmpfs rw,relatime");
    }
}
