//! The host's mounts told to the model, once, before it meets anybody.

use std::sync::{Arc, OnceLock};

use nsproxy::{AnyNamespace, Dentry, Hierarchy, Place, Super, System, Table};

use super::spots::{HostAt, ROOT, joined, open_path};
use super::{Key, Mounts, Spot, host};
use crate::maps::HashMap;
use crate::procfs::read_file;
use crate::vfs::View;

/// Where the host's proc file system is.
pub(super) const PROC: &[u8] = b"/proc";

/// What the model was told of the host.
pub(super) struct Told {
    /// Major and minor number of its `/proc`.
    pub(super) proc: (u32, u32),
    /// The first number that is no file system of the host's.
    pub(super) next: u64,
    /// What was mounted.
    pub(super) table: nsproxy::Arc<Table>,
    /// The namespace's id.
    pub(super) namespace: u64,
    pub(super) view: OnceLock<Arc<View>>,
    /// Its hierarchies of cgroups.
    pub(super) hierarchies: Vec<Hierarchy>,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Mounts {
    /// Tells the model of the host's mounts, the first time it is called. To be called before the
    /// model meets anybody, since everybody's root directory is what is mounted then.
    pub(crate) fn tell(&self, system: &System) {
        self.told.get_or_init(|| {
            let text = read_file("/proc/self/mountinfo").unwrap_or_default();
            self.boot(system, host::parse(&text))
        });
    }

    fn boot(&self, system: &System, mounts: Vec<host::HostMount>) -> Told {
        self.spots.note_host(stacks(&mounts));
        let mut supers: HashMap<(u32, u32), Arc<Super>> = HashMap::default();
        let mut places: HashMap<u32, Place> = HashMap::default();
        let mut proc = (0, 0);
        let by_id: HashMap<u32, &host::HostMount> =
            mounts.iter().map(|mount| (mount.id, mount)).collect();
        let mut left: Vec<&host::HostMount> = mounts.iter().collect();
        // A mount may have a line before the one it is mounted on. What is mounted on something
        // that cannot be seen from here never finds its turn.
        loop {
            let before = left.len();
            left.retain(|mount| {
                let parent = match places.get(&mount.parent) {
                    Some(parent) => Some(parent),
                    None if places.is_empty() && mount.at == b"/" => None,
                    None => return true,
                };
                let next = supers.len() as u64 + 1;
                let sb = supers.entry(mount.device).or_insert_with(|| {
                    let user = system.init_user();
                    let sb = Super::new(next, &mount.kind, mount.device, &user);
                    sb.set_readonly(mount.readonly);
                    let sb = sb.with_options(&mount.options);
                    match mount.kind.as_str() {
                        "proc" | "sysfs" => {
                            // A host may have covered parts of it. They stay covered: what guests
                            // see of proc is the host's.
                            self.spots.note_made_for_mounts(next);
                            Arc::new(sb.revealing())
                        }
                        _ => Arc::new(sb),
                    }
                });
                if mount.at == PROC && mount.kind == "proc" {
                    proc = mount.device;
                }
                let cover = mounts.iter().find(|other| {
                    other.parent == mount.id && other.id != mount.id && other.at == mount.at
                });
                let root = self.enter_of_host(sb.id(), mount, cover.map(|cover| cover.id));
                let at = parent.map(|parent| {
                    let below = by_id.get(&mount.parent).filter(|below| below.at != mount.at);
                    match below {
                        // It covers another as a whole.
                        None => parent.clone(),
                        Some(below) => {
                            let super_id = parent.dentry().super_id;
                            parent.at(self.enter_point(super_id, below, mount))
                        }
                    }
                });
                let place = system.mount_at_boot(at.as_ref(), sb, root, &mount.source, mount.flags);
                places.extend(place.map(|place| (mount.id, place)));
                false
            });
            if left.len() == before {
                break;
            }
        }
        let initial = system.init_nsproxy().mnt.clone();
        let table = initial.table();
        let namespace = AnyNamespace::Mnt(initial).id();
        Told {
            proc,
            next: supers.len() as u64 + 1,
            table,
            namespace,
            view: OnceLock::new(),
            hierarchies: system.config().hierarchies.clone(),
        }
    }

    /// The root of a mount of the host's, over which another may have been mounted.
    fn enter_of_host(&self, super_id: u64, mount: &host::HostMount, cover: Option<u32>) -> Dentry {
        let name = joined(&mount.root, b"");
        let spot = match cover {
            Some(_) => None,
            None => open_path(&mount.at)
                .and_then(Spot::new)
                .ok()
                .filter(|spot| spot.identity.mnt == u64::from(mount.id)),
        };
        let key = match (&spot, cover) {
            (Some(spot), _) => self.spots.key(&spot.fd, &spot.identity, None),
            (None, Some(cover)) => Key::Under(cover.into()),
            // Something above it is covered.
            (None, None) => Key::Under(u64::MAX - u64::from(mount.id)),
        };
        let Some(spot) = spot.or_else(|| self.unseen(&mount.at, name.clone())) else {
            return Dentry { super_id, id: ROOT };
        };
        match name.is_empty() {
            true => self.spots.enter_root(super_id, key, spot),
            false => self.spots.enter(super_id, key, spot),
        }
    }

    /// The directory of another mount that a mount of the host's covers.
    fn enter_point(
        &self,
        super_id: u64,
        below: &host::HostMount,
        mount: &host::HostMount,
    ) -> Dentry {
        let rest = mount.at.strip_prefix(below.at.as_slice()).unwrap_or(&mount.at);
        let name = joined(&below.root, rest);
        match self.unseen(&mount.at, name) {
            Some(spot) => self.spots.enter(super_id, Key::Under(mount.id.into()), spot),
            None => Dentry { super_id, id: ROOT },
        }
    }

    /// What cannot be seen because something is mounted over it.
    fn unseen(&self, at: &[u8], name: Vec<u8>) -> Option<Spot> {
        let seen = open_path(at).or_else(|_| self.nothing.open(true));
        Spot::covered(seen.ok()?, name).ok()
    }
}

/// The host's mounts by their numbers, each with the first of those over one another.
fn stacks(mounts: &[host::HostMount]) -> HashMap<u64, HostAt> {
    let by_id: HashMap<u32, &host::HostMount> =
        mounts.iter().map(|mount| (mount.id, mount)).collect();
    let first = |mount: &host::HostMount| {
        let mut first = mount.id;
        let mut at = mount;
        while let Some(below) = by_id.get(&at.parent)
            && below.id != at.id
            && below.at == at.at
        {
            // What covers the first root of all covers no directory of another.
            (first, at) = (below.id, below);
        }
        first.into()
    };
    let known = |mount: &host::HostMount| {
        let (at, root) = (mount.at.clone(), mount.root.clone());
        (u64::from(mount.id), HostAt { at, root, first: first(mount) })
    };
    mounts.iter().map(known).collect()
}
