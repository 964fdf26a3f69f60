//! The table of one sort of System V objects: ids, keys, and the way ids are given out.
//!
//! An id is `sequence * 32768 + index`. Indices go round and round, so that an id which was just
//! removed does not come back at once; the sequence grows when they wrap (`ipc_addid`).

use super::{Part, perm::Perm};
use crate::{
    cred::Cred,
    namespace::user::UserNs,
    rule::{Refusal, Refuse, Rule},
};
use alloc::{collections::BTreeMap, sync::Arc as StdArc};

/// The most objects that a table can hold: an index has 15 bits.
pub(super) const INDEX_MAX: i32 = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 15;
/// As long as few objects are in use, indices go round in this many.
const CYCLE_MIN: u32 = 64;
/// The sequence starts over here.
const SEQUENCE_END: u32 = i32::MAX as u32 >> INDEX_BITS;
/// The key that names no object.
pub(super) const PRIVATE: i32 = 0;
/// `IPC_CREAT`
const CREATE: i32 = 0o1000;
/// `IPC_EXCL`
const EXCLUSIVE: i32 = 0o2000;

/// One object, its id and whose it is.
pub(super) struct Entry<T> {
    pub(super) id: i32,
    pub(super) perm: Perm,
    pub(super) object: T,
    /// What the embedder keeps of it.
    pub(super) part: Option<StdArc<dyn Part>>,
}

/// The objects of one sort in one namespace.
pub(super) struct Table<T> {
    entries: BTreeMap<u32, Entry<T>>,
    keys: BTreeMap<i32, u32>,
    /// Where the search for a free index begins.
    cursor: u32,
    last_index: Option<u32>,
    sequence: u32,
    /// The id wanted for the next object; -1 for any (`*_next_id`).
    pub(super) next_id: i32,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table {
            entries: BTreeMap::new(),
            keys: BTreeMap::new(),
            cursor: 0,
            last_index: None,
            sequence: 0,
            next_id: -1,
        }
    }
}

impl<T> Table<T> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The highest index in use, 0 for an empty table: what `IPC_INFO` returns.
    pub(super) fn highest(&self) -> i32 {
        self.entries.last_key_value().map_or(0, |(index, _)| *index as i32)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        self.entries.values()
    }

    /// The object of an id, if that is not stale.
    pub(super) fn find(&self, id: i32) -> Result<&Entry<T>, Refusal> {
        match index_of(id).and_then(|index| self.entries.get(&index)) {
            Some(entry) if entry.id == id => Ok(entry),
            _ => Err(unknown(id)),
        }
    }

    /// As [`find`](Table::find), to change it.
    pub(super) fn find_mut(&mut self, id: i32) -> Option<&mut Entry<T>> {
        let entry = self.entries.get_mut(&index_of(id)?)?;
        (entry.id == id).then_some(entry)
    }

    /// The object that `by` names, for `*_STAT`: by id, or by index whatever its sequence.
    pub(super) fn look_up(&self, by: By) -> Result<&Entry<T>, Refusal> {
        match by {
            By::Id(id) => self.find(id),
            // Of a number too large for an index the low bits count.
            By::Index(index) | By::IndexAny(index) => {
                let entry = index_of(index).and_then(|index| self.entries.get(&index));
                entry.ok_or_else(|| unknown(index))
            }
        }
    }

    /// Takes an object out.
    pub(super) fn remove(&mut self, id: i32) -> Option<Entry<T>> {
        self.find_mut(id)?;
        let entry = self.entries.remove(&index_of(id)?)?;
        if entry.perm.key != PRIVATE {
            self.keys.remove(&entry.perm.key);
        }
        Some(entry)
    }

    /// Makes an object unfindable by its key, which can name another from now on.
    pub(super) fn forget_key(&mut self, id: i32) {
        let Some(entry) = self.find_mut(id) else { return };
        let key = core::mem::replace(&mut entry.perm.key, PRIVATE);
        self.keys.remove(&key);
    }

    /// The object of a key for a `*get` call: `Some` if there is one and the caller may have it,
    /// `None` if one is to be made.
    ///
    /// `fits` judges what the caller expects of an existing object, before its mode is looked at.
    pub(super) fn get(
        &self,
        key: i32,
        flags: i32,
        cred: &Cred,
        owner: &UserNs,
        fits: impl FnOnce(&T) -> Result<(), Refusal>,
    ) -> Result<Option<i32>, Refusal> {
        if key == PRIVATE {
            return Ok(None);
        }
        let found = self.keys.get(&key).and_then(|index| self.entries.get(index));
        let Some(entry) = found else {
            if flags & CREATE == 0 {
                return Err(Rule::IpcKeyMissing.refuse().with("key", key));
            }
            return Ok(None);
        };
        if flags & CREATE != 0 && flags & EXCLUSIVE != 0 {
            return Err(Rule::IpcKeyExists.refuse().with("key", key).with("id", entry.id));
        }
        fits(&entry.object)?;
        entry.perm.permits(cred, owner, flags as u32 & 0o777)?;
        Ok(Some(entry.id))
    }

    /// Checks that there is room for one more object; `limit` is how many there may be.
    pub(super) fn has_room(&self, limit: i32) -> Result<(), Refusal> {
        let (in_use, limit) = (self.entries.len(), limit.clamp(0, INDEX_MAX));
        if in_use < limit as usize {
            return Ok(());
        }
        Err(too_many(in_use, limit))
    }

    /// Adds an object and gives it an id; `limit` is how many there may be.
    pub(super) fn add(
        &mut self,
        limit: i32,
        perm: Perm,
        object: T,
        part: Option<StdArc<dyn Part>>,
    ) -> Result<i32, Refusal> {
        self.has_room(limit)?;
        let Some((index, sequence)) = self.take_index() else {
            // None is free from the wanted one upwards.
            return Err(too_many(self.entries.len(), limit));
        };
        let id = ((sequence << INDEX_BITS) + index) as i32;
        if perm.key != PRIVATE {
            self.keys.insert(perm.key, index);
        }
        self.entries.insert(index, Entry { id, perm, object, part });
        Ok(id)
    }

    /// A free index and the sequence that goes with it.
    fn take_index(&mut self) -> Option<(u32, u32)> {
        if self.next_id >= 0 {
            let wanted = core::mem::replace(&mut self.next_id, -1) as u32;
            let index = self.first_free(wanted % INDEX_MAX as u32, INDEX_MAX as u32)?;
            return Some((index, wanted >> INDEX_BITS));
        }
        let cycle = (self.entries.len() as u32 * 3 / 2).max(CYCLE_MIN).min(INDEX_MAX as u32);
        let index = self.first_free(self.cursor, cycle).or_else(|| self.first_free(0, cycle))?;
        self.cursor = index + 1;
        if self.last_index.is_some_and(|last| index <= last) {
            self.sequence += 1;
            if self.sequence >= SEQUENCE_END {
                self.sequence = 0;
            }
        }
        self.last_index = Some(index);
        Some((index, self.sequence))
    }

    fn first_free(&self, from: u32, end: u32) -> Option<u32> {
        let mut free = from;
        for used in self.entries.range(from..).map(|(index, _)| *index) {
            if used != free {
                break;
            }
            free += 1;
        }
        (free < end).then_some(free)
    }
}

/// How `*_STAT` names an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// By its id: `IPC_STAT`.
    Id(i32),
    /// By its index: `MSG_STAT`, `SEM_STAT`, `SHM_STAT`.
    Index(i32),
    /// By its index, whatever its mode: `MSG_STAT_ANY`, `SEM_STAT_ANY`, `SHM_STAT_ANY`.
    IndexAny(i32),
}

fn index_of(id: i32) -> Option<u32> {
    u32::try_from(id).ok().map(|id| id % INDEX_MAX as u32)
}

fn too_many(in_use: usize, limit: i32) -> Refusal {
    Rule::IpcTooMany.refuse().with("in use", in_use).with("limit", limit)
}

pub(super) fn unknown(id: i32) -> Refusal {
    Rule::IpcIdUnknown.refuse().with("id", id)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{Kgid, Kuid};
    use alloc::vec::Vec;

    fn perm(key: i32) -> Perm {
        let (uid, gid) = (Kuid(0), Kgid(0));
        Perm { key, uid, gid, cuid: uid, cgid: gid, mode: 0o600 }
    }

    fn add(table: &mut Table<()>) -> i32 {
        table.add(INDEX_MAX, perm(PRIVATE), (), None).unwrap()
    }

    #[test]
    fn indices_go_round_before_the_sequence_grows() {
        let mut table = Table::default();
        for n in 0..200 {
            let id = add(&mut table);
            assert_eq!(id, n % 64 + n / 64 * 32768);
            table.remove(id).unwrap();
            assert!(table.find(id).is_err(), "a stale id");
        }
    }

    #[test]
    fn the_round_widens_with_the_objects_in_use() {
        let mut table = Table::default();
        let ids: Vec<i32> = (0..100).map(|_| add(&mut table)).collect();
        assert_eq!(ids, (0..100).collect::<Vec<i32>>());
        table.remove(3).unwrap();
        // 99 in use: the round is 148, and the index goes on.
        assert_eq!(add(&mut table), 100);
    }

    #[test]
    fn a_wanted_id_is_taken_once_and_changes_nothing_else() {
        let mut table = Table { next_id: 5 * 32768 + 40, ..Table::default() };
        assert_eq!(add(&mut table), 5 * 32768 + 40);
        assert_eq!((table.next_id, add(&mut table)), (-1, 0));
        table.next_id = 7 * 32768 + 40;
        assert_eq!(add(&mut table), 7 * 32768 + 41);
    }

    #[test]
    #[cfg_attr(miri, ignore = "32768 objects take Miri many minutes")]
    fn a_full_table_is_full() {
        let mut table = Table::default();
        for index in 0..INDEX_MAX {
            assert_eq!(add(&mut table), index);
        }
        assert!(table.add(INDEX_MAX, perm(PRIVATE), (), None).is_err());
        table.remove(77).unwrap();
        assert_eq!(add(&mut table), 32768 + 77);
        assert!(table.add(5, perm(PRIVATE), (), None).is_err());
    }

    #[test]
    fn keys_name_objects_until_they_are_forgotten() {
        let mut table = Table::default();
        let id = table.add(9, perm(7), (), None).unwrap();
        table.forget_key(id);
        let other = table.add(9, perm(7), (), None).unwrap();
        table.remove(id).unwrap();
        assert_eq!(table.keys.get(&7), Some(&(other as u32)));
    }
}
