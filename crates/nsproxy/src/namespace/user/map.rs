//! The maps of a user namespace: reading, writing and looking up.
//!
//! A map is written once. Its outside ids are in the parent's numbering; since the parent's map
//! can never change again either, they are turned into the kernel's own ids at once.

use super::{Mappings, UserNs, parse};
use crate::{
    Kind,
    capability::Cap,
    cred::Cred,
    rule::{Refusal, Refuse, Rule, Value},
    sync::Arc,
};
use alloc::{string::String, sync::Arc as StdArc, vec::Vec};
use core::fmt::Write;

/// The most lines a map can have.
pub(super) const LINES_MAX: usize = 340;

/// Up to this many lines are kept, and shown, as written; more are sorted.
const UNSORTED_MAX: usize = 5;

/// A text of this many bytes or more is refused.
const PAGE: usize = 4096;

/// One line: `count` ids, from `inside` on in the user namespace, from `outside` on without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// The first id inside.
    pub inside: u32,
    /// The first id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

impl Range {
    pub(super) fn overlaps(&self, other: &Range) -> bool {
        let meet = |a: u32, b: u32| a <= b + (other.count - 1) && b <= a + (self.count - 1);
        meet(self.inside, other.inside) || meet(self.outside, other.outside)
    }
}

/// A written map, its outside ids being the kernel's own. Empty until it is written.
#[derive(Clone, Default)]
pub(crate) struct IdMap {
    /// As shown; sorted by `inside` if there are many.
    lines: StdArc<[Range]>,
    /// Sorted by `outside`, if there are many.
    by_outside: StdArc<[Range]>,
}

impl IdMap {
    /// The initial user namespace's: every id is itself.
    pub(super) fn identity() -> IdMap {
        IdMap::new(Vec::from([Range { inside: 0, outside: 0, count: u32::MAX }]))
    }

    fn new(mut lines: Vec<Range>) -> IdMap {
        let mut by_outside = Vec::new();
        if lines.len() > UNSORTED_MAX {
            lines.sort_by_key(|range| range.inside);
            by_outside.clone_from(&lines);
            by_outside.sort_by_key(|range| range.outside);
        }
        IdMap { lines: lines.into(), by_outside: by_outside.into() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// What the inside id `id` means outside.
    pub(crate) fn outside_of(&self, id: u32) -> Option<u32> {
        self.outside_of_range(id, 1)
    }

    /// What `count` inside ids from `first` on mean outside, if one line holds them all.
    fn outside_of_range(&self, first: u32, count: u32) -> Option<u32> {
        let range = find(&self.lines, &self.lines, first, |range| range.inside)?;
        let offset = first - range.inside;
        (count <= range.count - offset).then(|| range.outside + offset)
    }

    /// What the outside id `id` is called inside.
    pub(super) fn inside_of(&self, id: u32) -> Option<u32> {
        let range = find(&self.lines, &self.by_outside, id, |range| range.outside)?;
        Some(range.inside + (id - range.outside))
    }
}

/// Finds the range that holds `id`: one by one in `few`, or by halving in `sorted`.
fn find<'a>(
    few: &'a [Range],
    sorted: &'a [Range],
    id: u32,
    start: impl Fn(&Range) -> u32,
) -> Option<&'a Range> {
    let holds = |range: &&Range| id >= start(range) && id - start(range) < range.count;
    if few.len() <= UNSORTED_MAX {
        return few.iter().find(holds);
    }
    let after = sorted.partition_point(|range| start(range) <= id);
    sorted[..after].last().filter(holds)
}

/// Which map.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MapKind {
    /// `/proc/PID/uid_map`.
    Uid,
    /// `/proc/PID/gid_map`.
    Gid,
    /// `/proc/PID/projid_map`: project ids, for disk quotas. Needs no privilege at all.
    Projid,
}

impl MapKind {
    /// The file's name.
    pub const fn name(self) -> &'static str {
        match self {
            MapKind::Uid => "uid_map",
            MapKind::Gid => "gid_map",
            MapKind::Projid => "projid_map",
        }
    }

    /// The capability to become such ids; none for project ids.
    const fn cap(self) -> Option<Cap> {
        match self {
            MapKind::Uid => Some(Cap::SETUID),
            MapKind::Gid => Some(Cap::SETGID),
            MapKind::Projid => None,
        }
    }

    fn of(self, maps: &Mappings) -> &IdMap {
        match self {
            MapKind::Uid => &maps.uid,
            MapKind::Gid => &maps.gid,
            MapKind::Projid => &maps.projid,
        }
    }

    fn of_mut(self, maps: &mut Mappings) -> &mut IdMap {
        match self {
            MapKind::Uid => &mut maps.uid,
            MapKind::Gid => &mut maps.gid,
            MapKind::Projid => &mut maps.projid,
        }
    }
}

/// Writes a map of `target`; returns how many bytes were taken: all.
///
/// `opener` are the credentials with which the file was opened, `writer` those with which it is
/// written; a map is written with the authority of both. A failed write changes nothing and can
/// be repeated. A text of 4096 bytes or more is refused unseen.
pub fn write_map(
    kind: MapKind,
    target: &Arc<UserNs>,
    opener: &Cred,
    writer: &Cred,
    offset: u64,
    text: &[u8],
) -> Result<usize, Refusal> {
    let inode = Value::Namespace(Kind::User, target.inode());
    let Some(parent) = target.parent_ref() else {
        return Err(Rule::MapOfInitial.refuse().with("target", inode));
    };
    if *opener.user != **target && *opener.user != **parent {
        return Err(Rule::MapOpenerElsewhere
            .refuse()
            .with("target", inode)
            .with("opener", Value::Namespace(Kind::User, opener.user.inode())));
    }
    if offset != 0 {
        return Err(Rule::MapNotAtStart.refuse().with("offset", offset));
    }
    if text.len() >= PAGE {
        return Err(Rule::MapTooLong.refuse().with("length", text.len()));
    }
    target.change_mappings(|maps| {
        if !kind.of(maps).is_empty() {
            return Err(Rule::MapAlreadySet.refuse().with("map", kind.name()));
        }
        if kind.cap().is_some() && !opener.has(target, Cap::SYS_ADMIN) {
            return Err(Rule::MapNeedsAdmin.refuse().with("target", inode));
        }
        let ranges = parse::parse(text)?;
        authorise(kind, target, parent, maps, opener, writer, &ranges)?;
        *kind.of_mut(maps) = IdMap::new(translate(kind, parent, ranges)?);
        Ok(text.len())
    })
}

/// Checks that these ids may be mapped by these two.
fn authorise(
    kind: MapKind,
    target: &UserNs,
    parent: &UserNs,
    maps: &Mappings,
    opener: &Cred,
    writer: &Cred,
    ranges: &[Range],
) -> Result<(), Refusal> {
    if kind == MapKind::Uid && ranges.iter().any(|range| range.outside == 0) {
        let from_inside = *opener.user == *target;
        let trusted = match from_inside {
            true => target.maker_had_setfcap,
            false => opener.has(parent, Cap::SETFCAP),
        };
        if !trusted {
            let who = if from_inside { "maker" } else { "opener" };
            return Err(Rule::MapRootNeedsSetfcap.refuse().with("missing", who));
        }
    }
    let Some(cap) = kind.cap() else { return Ok(()) };
    let may_become = writer.has(parent, cap) && opener.has(parent, cap);
    let own_id_only = match ranges {
        [Range { outside, count: 1, .. }] if target.owner.0 == opener.euid => match kind {
            MapKind::Uid => parent.map_uid(*outside) == Some(opener.euid),
            _ => parent.map_gid(*outside) == Some(opener.egid),
        },
        _ => false,
    };
    if may_become || (own_id_only && (kind == MapKind::Uid || !maps.setgroups)) {
        return Ok(());
    }
    if own_id_only {
        return Err(Rule::MapGidNeedsDeny.refuse().with("setgroups", "allow"));
    }
    Err(Rule::MapNeedsSetid.refuse().with("capability", cap))
}

/// Turns the outside ids from the parent's numbering into the kernel's.
fn translate(kind: MapKind, parent: &UserNs, lines: Vec<Range>) -> Result<Vec<Range>, Refusal> {
    parent.with_mappings(|maps| {
        let above = kind.of(maps);
        let to_kernel = |range: Range| {
            let Some(outside) = above.outside_of_range(range.outside, range.count) else {
                return Err(Rule::MapOutsideUnmapped
                    .refuse()
                    .with("first", range.outside)
                    .with("count", range.count));
            };
            Ok(Range { outside, ..range })
        };
        lines.into_iter().map(to_kernel).collect()
    })
}

/// Reads a map of `target` as one whose file was opened in `reader`: outside ids are in the
/// reader's numbering, or in the parent's for readers inside. Unmapped ones show as 4294967295.
pub fn read_map(kind: MapKind, target: &Arc<UserNs>, reader: &Arc<UserNs>) -> String {
    let seen_from = match target.parent_ref() {
        Some(parent) if **reader == **target => parent,
        _ => reader,
    };
    let lines = target.with_mappings(|maps| StdArc::clone(&kind.of(maps).lines));
    let mut text = String::new();
    for Range { inside, outside, count } in lines.iter() {
        let outside = seen_from.with_mappings(|maps| kind.of(maps).inside_of(*outside));
        let outside = outside.unwrap_or(u32::MAX);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{inside:>10} {outside:>10} {count:>10}");
    }
    text
}
