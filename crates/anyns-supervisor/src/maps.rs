//! Maps and sets, hashed fast: they are asked several times in every call that has a path.

use foldhash::fast::RandomState;

/// A map, with a seed of its own against those who choose keys that meet.
pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;
/// A set, likewise.
pub(crate) type HashSet<K> = std::collections::HashSet<K, RandomState>;
