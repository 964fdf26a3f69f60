//! The interned objects as the model asks about them in one call.

use std::cell::RefCell;
use std::rc::Rc;

use nsproxy::{Dentry, Files};

use super::spots::{ROOT, Spot, Spots, below};
use crate::maps::HashMap;

/// Where objects are, each asked for once. To be let go of when the call ends: directories are renamed.
#[derive(Debug)]
pub(crate) struct Moment<'a> {
    spots: &'a Spots,
    roots: RefCell<HashMap<u64, Option<Rc<[u8]>>>>,
    known: RefCell<HashMap<Dentry, Option<Known>>>,
}

/// What is known of an object.
#[derive(Clone, Debug)]
struct Known {
    /// Its path below the root of its own file system; `None` if it is not there.
    name: Option<Rc<[u8]>>,
    /// Its path says that it was removed.
    may_be_gone: bool,
}

impl<'a> Moment<'a> {
    pub(super) fn new(spots: &'a Spots) -> Self {
        Moment { spots, roots: RefCell::default(), known: RefCell::default() }
    }

    fn known(&self, at: Dentry) -> Option<Known> {
        if let Some(known) = self.known.borrow().get(&at) {
            return known.clone();
        }
        let known = self.spots.spot(at).map(|spot| {
            let path = spot.path();
            let name = self.spots.name_by(&spot, &path);
            let name = match self.root(at.super_id) {
                Some(root) => below(&name, &root).map(Rc::from),
                None => Some(Rc::from(name)),
            };
            Known { name, may_be_gone: Spot::may_be_gone(&path) }
        });
        self.known.borrow_mut().insert(at, known.clone());
        known
    }

    /// The path of a file system's root in the host's file system.
    fn root(&self, super_id: u64) -> Option<Rc<[u8]>> {
        let mut roots = self.roots.borrow_mut();
        let root = || {
            let spot = self.spots.spot(Dentry { super_id, id: ROOT })?;
            Some(Rc::from(self.spots.name(&spot)))
        };
        roots.entry(super_id).or_insert_with(root).clone()
    }

    /// Its path below the root of its own file system.
    fn name(&self, at: Dentry) -> Option<Rc<[u8]>> {
        self.known(at)?.name
    }

    /// The names from `above` down to `at`, if it is below.
    pub(crate) fn names_below(&self, at: Dentry, above: Dentry) -> Option<Vec<u8>> {
        self.is_below(at, above).then(|| self.path(at, above))
    }
}

impl Files for Moment<'_> {
    fn is_directory(&self, at: Dentry) -> bool {
        self.spots.spot(at).map_or(at.id == ROOT, |spot| spot.directory)
    }

    fn is_below(&self, at: Dentry, above: Dentry) -> bool {
        if at == above {
            return true;
        }
        if at.super_id != above.super_id {
            return false;
        }
        if above.id == ROOT {
            return true;
        }
        let names = self.name(at).zip(self.name(above));
        names.is_some_and(|(at, above)| below(&at, &above).is_some())
    }

    fn is_unlinked(&self, at: Dentry) -> bool {
        self.known(at).is_some_and(|known| known.may_be_gone)
            && self.spots.spot(at).is_some_and(|spot| spot.is_gone())
    }

    fn path(&self, at: Dentry, above: Dentry) -> Vec<u8> {
        if at == above {
            return Vec::new();
        }
        let Some(name) = self.name(at) else { return Vec::new() };
        let above = self.name(above).unwrap_or_default();
        below(&name, &above).unwrap_or(&name).to_vec()
    }

    fn is_always_empty(&self, at: Dentry) -> bool {
        self.spots.is_made_for_mounts(at.super_id)
    }
}
