//! The entries of a directory, as getdents64(2) and getdents(2) give them.

use crate::procfs;

/// Where in an entry its length is, and its name.
#[derive(Clone, Copy)]
struct Layout {
    length: usize,
    name: usize,
    type_at_end: bool,
}

/// Of getdents64(2).
const MODERN: Layout = Layout { length: 16, name: 19, type_at_end: false };
/// Of getdents(2), which has the type in the last byte.
const LEGACY: Layout = Layout { length: 16, name: 18, type_at_end: true };

/// One entry.
pub(crate) struct Dirent<'a> {
    bytes: &'a [u8],
    layout: Layout,
}

/// The entries that `choose` appends, of those that getdents64(2), or getdents(2) if `legacy`, gave.
pub(crate) fn chosen(
    all: &[u8],
    legacy: bool,
    mut choose: impl FnMut(&Dirent<'_>, &mut Vec<u8>),
) -> Vec<u8> {
    let layout = if legacy { LEGACY } else { MODERN };
    let mut shown = Vec::with_capacity(all.len());
    let mut rest = all;
    while rest.len() > layout.name {
        let length = [rest[layout.length], rest[layout.length + 1]];
        let length = usize::from(u16::from_ne_bytes(length));
        if length <= layout.name || length > rest.len() {
            break;
        }
        let (bytes, after) = rest.split_at(length);
        rest = after;
        choose(&Dirent { bytes, layout }, &mut shown);
    }
    shown
}

impl Dirent<'_> {
    /// The number that its name is.
    pub(crate) fn number(&self) -> Option<i32> {
        let name = &self.bytes[self.layout.name..];
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        std::str::from_utf8(&name[..end]).ok().and_then(procfs::number)
    }

    /// Appends it as it is.
    pub(crate) fn append(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.bytes);
    }

    /// Appends it with another inode number.
    pub(crate) fn append_of(&self, inode: u64, to: &mut Vec<u8>) {
        to.extend_from_slice(&inode.to_ne_bytes());
        to.extend_from_slice(&self.bytes[size_of::<u64>()..]);
    }

    /// Appends it with another name, which is no longer than its own.
    pub(crate) fn append_as(&self, number: i32, to: &mut Vec<u8>) {
        let start = to.len();
        self.append(to);
        let last = self.bytes[self.bytes.len() - 1];
        let name = &mut to[start + self.layout.name..];
        name.fill(0);
        let text = number.to_string();
        name[..text.len()].copy_from_slice(text.as_bytes());
        if self.layout.type_at_end {
            to[start + self.bytes.len() - 1] = last;
        }
    }
}
