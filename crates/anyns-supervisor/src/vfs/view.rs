//! What a mount namespace shows: its table of mounts with what backs each of them on the host.
//!
//! Built once for a generation of the table, shared, never changed, so that a lookup takes no lock.
//! Only the objects that mounts are about have numbers in the model; that a directory on the way is
//! none of them is seen by its name, since the last names of all mount points are known here. In
//! another namespace they can be renamed: what is known is believed for a moment only.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nsproxy::{Dentry, MountFlags, MountId, PidNs, Super, Table};

use crate::maps::{HashMap, HashSet};
use crate::mounts::{Mounts, Spot, What};

/// How long mount points are taken to have the names they had, and for each mount, so that looking again
/// takes a hundredth of the time at most. Who renames one is another's guest, or nobody's.
const FRESH: Duration = Duration::from_millis(20);
const FRESH_EACH: Duration = Duration::from_micros(300);

/// A mount, with what backs it.
#[derive(Debug)]
pub(crate) struct Backed {
    /// Its number in the model.
    pub(crate) id: MountId,
    /// The number that is shown of it.
    pub(crate) shown: u32,
    /// On which directory of which mount; `None` for the root of the namespace.
    pub(crate) parent: Option<(MountId, Dentry)>,
    /// The file or directory that it shows.
    pub(crate) root: Dentry,
    /// The same on the host.
    pub(crate) spot: Arc<Spot>,
    /// What it is mounted on, on the host, and the last name that had when this was looked at.
    point: Option<(Arc<Spot>, Arc<[u8]>)>,
    /// What it does with files.
    pub(crate) flags: MountFlags,
    /// Its file system.
    pub(crate) sb: Arc<Super>,
    /// What a name means there is not what the host has there.
    pub(crate) is_choosy: bool,
    /// It is an overlay.
    is_overlay: bool,
    /// The pid namespace that it shows, if it is a proc that a guest has mounted.
    pub(crate) shows: Option<nsproxy::Arc<PidNs>>,
}

impl Backed {
    /// A mount of a table; none if what it shows is not known any more.
    fn of(mounts: &Mounts, mount: &nsproxy::Mounted) -> Option<Backed> {
        Some(Backed {
            id: mount.id,
            shown: mount.shown,
            parent: mount.parent,
            root: mount.root,
            spot: mounts.spot(mount.root)?,
            point: mount.parent.and_then(|(_, point)| {
                let spot = mounts.spot(point)?;
                let name = spot.last_name().into();
                Some((spot, name))
            }),
            flags: mount.flags,
            sb: mount.sb.clone(),
            is_choosy: matches!(
                mounts.made(mount.sb.id()).as_deref(),
                Some(What::Devpts(_) | What::Overlay(_) | What::Mqueue(_))
            ),
            is_overlay: mounts.overlay(mount.sb.id()).is_some(),
            shows: mounts.shown_by(mount.sb.id()),
        })
    }

    /// Whether a mount is as it was. Its file system and what it shows never change.
    fn is_still(&self, mount: &nsproxy::Mounted) -> bool {
        (self.parent, self.flags) == (mount.parent, mount.flags)
    }

    /// Its number, and what it is mounted on: which mount, and which object.
    fn on(&self) -> Option<(MountId, MountId, &Spot)> {
        let (point, _) = self.point.as_ref()?;
        Some((self.id, self.parent?.0, point))
    }

    /// Whether nothing can be written through it, because of the mount or of its file system.
    pub(crate) fn is_readonly(&self) -> bool {
        self.flags.contains(MountFlags::READONLY) || self.sb.is_readonly()
    }

    /// Whether it shows a proc file system, the host's or one of a guest's.
    pub(crate) fn is_proc(&self) -> bool {
        self.sb.kind() == "proc"
    }
}

/// Everything mounted in a namespace at one moment.
#[derive(Debug)]
pub(crate) struct View {
    ns: u64,
    generation: u64,
    mounts: HashMap<MountId, Arc<Backed>>,
    at: HashMap<(MountId, Dentry), MountId>,
    points: HashSet<Dentry>,
    names: HashSet<Arc<[u8]>>,
    /// Since when the names may be wrong, and how many renames were known of then.
    named: (Instant, u64),
    texts: OnceLock<Texts>,
    top: Option<(MountId, Dentry)>,
    proc: Option<nsproxy::Arc<PidNs>>,
    is_hosts: bool,
    has_overlay: bool,
}

impl View {
    /// Of a table; `boot` is that of the host. What is as it was `before`, in a view whose names are still
    /// right, is not looked up again.
    pub(crate) fn new(
        mounts: &Mounts,
        ns: u64,
        table: &Table,
        boot: Option<&Table>,
        before: Option<&View>,
    ) -> View {
        let renames = mounts.renames();
        let before = before.filter(|before| before.has_right_names(renames));
        let mut view = View {
            ns,
            generation: table.generation(),
            mounts: HashMap::default(),
            at: HashMap::default(),
            points: HashSet::default(),
            names: HashSet::default(),
            named: before.map_or_else(|| (Instant::now(), renames), |before| before.named),
            texts: OnceLock::new(),
            top: None,
            proc: None,
            is_hosts: boot.is_some_and(|boot| is_same(mounts, table, boot)),
            has_overlay: false,
        };
        let count = table.iter().size_hint().0;
        view.mounts.reserve(count);
        view.at.reserve(count);
        view.points.reserve(count);
        for mount in table.iter() {
            let known = before.and_then(|before| before.mounts.get(&mount.id));
            let backed = match known.filter(|known| known.is_still(mount)) {
                Some(known) => known.clone(),
                None => match Backed::of(mounts, mount) {
                    Some(backed) => Arc::new(backed),
                    None => continue,
                },
            };
            if let Some((on, point)) = mount.parent {
                view.at.insert((on, point), mount.id);
                view.points.insert(point);
                view.names.extend(backed.point.as_ref().map(|(_, name)| name.clone()));
            }
            view.has_overlay |= backed.is_overlay;
            view.mounts.insert(mount.id, backed);
        }
        // What is kept from everybody is looked at whenever it may be on the way.
        view.names.extend(mounts.guarded_name().map(Arc::from));
        view.top = table.get(table.root()).map(|first| view.covered(first.id, first.root));
        view.proc = view.find_proc();
        view
    }

    /// Whether it shows what its namespace does after so many renames. Names that others have given in the
    /// last moment are not known; where the paths are the host's, names do not matter.
    pub(crate) fn is_right(&self, renames: u64) -> bool {
        self.is_hosts || self.has_right_names(renames)
    }

    fn has_right_names(&self, renames: u64) -> bool {
        let (since, known) = self.named;
        let fresh = FRESH.max(FRESH_EACH * self.mounts.len() as u32);
        known == renames && since.elapsed() < fresh
    }

    /// The pid namespace shown by the proc that covers the host's `/proc`, or else by the one that
    /// was mounted last.
    fn find_proc(&self) -> Option<nsproxy::Arc<PidNs>> {
        let shown = |mount: &&Arc<Backed>| mount.shows.is_some();
        let last = self.mounts.values().filter(shown).max_by_key(|mount| mount.id)?;
        last.shows.clone()
    }

    /// What is where on the host, which only those ask whose descriptors nobody has seen opened.
    fn texts(&self) -> &Texts {
        self.texts.get_or_init(|| Texts::new(self))
    }

    /// Whether something is mounted on a mount on the way from one path of the host's to another.
    pub(crate) fn covers_between(&self, mount: MountId, root: &[u8], text: &[u8]) -> bool {
        self.texts().covers_between(mount, root, text)
    }

    /// Whether nothing of a mount can be reached from the root of the namespace.
    pub(crate) fn is_hidden(&self, mount: MountId) -> bool {
        self.texts().hidden.contains(&mount)
    }

    /// The namespace's id.
    pub(crate) fn namespace(&self) -> u64 {
        self.ns
    }

    /// The generation of its table.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether every path leads from its root to where it leads on the host. A proc of a guest's
    /// over the host's is no difference: what it shows is seen to by others.
    pub(crate) fn is_hosts(&self) -> bool {
        self.is_hosts
    }

    /// Its root directory, with all that is mounted over it.
    pub(crate) fn top(&self) -> Option<(MountId, Dentry)> {
        self.top
    }

    /// The pid namespace that a proc of a guest's shows in it, if there is one.
    pub(crate) fn proc(&self) -> Option<&nsproxy::Arc<PidNs>> {
        self.proc.as_ref()
    }

    /// A mount.
    pub(crate) fn get(&self, id: MountId) -> Option<&Backed> {
        self.mounts.get(&id).map(Arc::as_ref)
    }

    /// A mount, to be kept.
    pub(crate) fn share(&self, id: MountId) -> Option<Arc<Backed>> {
        self.mounts.get(&id).cloned()
    }

    /// The mounts in which a name does not mean what the host has there.
    pub(crate) fn choosy(&self) -> impl Iterator<Item = &Backed> {
        self.mounts.values().map(Arc::as_ref).filter(|mount| mount.is_choosy)
    }

    /// Whether any of its mounts is an overlay.
    pub(crate) fn has_overlay(&self) -> bool {
        self.has_overlay
    }

    /// What is mounted on a directory or file seen through a mount.
    pub(crate) fn mounted_at(&self, on: MountId, point: Dentry) -> Option<&Backed> {
        self.get(*self.at.get(&(on, point))?)
    }

    /// Where a walk stands that has come to a place: there, or at the root of the last of the mounts
    /// over it.
    pub(crate) fn covered(&self, on: MountId, point: Dentry) -> (MountId, Dentry) {
        let mut here = (on, point);
        while let Some(mounted) = self.mounted_at(here.0, here.1) {
            here = (mounted.id, mounted.root);
        }
        here
    }

    /// The mounts whose roots were at a path of the host's.
    pub(crate) fn backed_at(&self, text: &[u8]) -> &[MountId] {
        self.texts().backings.get(text).map_or(&[], Vec::as_slice)
    }

    /// Whether something is mounted on it, seen through whichever mount.
    pub(crate) fn is_point(&self, dentry: Dentry) -> bool {
        self.points.contains(&dentry)
    }

    /// Whether something of this name may have something mounted on it.
    pub(crate) fn may_be_point(&self, name: &[u8]) -> bool {
        self.names.contains(name)
    }
}

/// The mounts of a view by the host's paths.
#[derive(Debug, Default)]
struct Texts {
    /// Mounts by where their roots were on the host when they were made.
    backings: HashMap<Vec<u8>, Vec<MountId>>,
    /// What is mounted on a mount, by where the mount point was on the host.
    covers: HashSet<(MountId, Vec<u8>)>,
    /// Mounts of which nothing can be reached, because something covers what they are mounted on.
    hidden: HashSet<MountId>,
}

impl Texts {
    fn new(view: &View) -> Texts {
        let mut texts = Texts::default();
        let mut mounts: Vec<_> = view.mounts.values().collect();
        mounts.sort_by_key(|mount| mount.id);
        for mount in mounts {
            texts.backings.entry(mount.spot.text.clone()).or_default().push(mount.id);
        }
        let points: Vec<_> = view.mounts.values().filter_map(|mount| mount.on()).collect();
        texts.covers = points.iter().map(|(_, on, point)| (*on, point.text.clone())).collect();
        texts.find_hidden(view, points);
        texts
    }

    /// Parents come before what is mounted on them.
    fn find_hidden(&mut self, view: &View, mut all: Vec<(MountId, MountId, &Spot)>) {
        let mut left = all.len() + 1;
        // Moves may have put a mount on a younger one.
        while !all.is_empty() && all.len() < left {
            left = all.len();
            let open: HashSet<MountId> = all.iter().map(|(id, ..)| *id).collect();
            all.retain(|(id, on, point)| {
                if open.contains(on) {
                    return true;
                }
                let covered = view.get(*on).is_some_and(|on| {
                    let end = point.text.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                    // What is mounted on the very root covers all but what is mounted there, too.
                    point.text != on.spot.text
                        && self.covers_between(on.id, &on.spot.text, &point.text[..end])
                });
                if covered || self.hidden.contains(on) {
                    self.hidden.insert(*id);
                }
                false
            });
        }
    }

    fn covers_between(&self, mount: MountId, root: &[u8], text: &[u8]) -> bool {
        if self.covers.is_empty() {
            return false;
        }
        let is_covered = |text: &[u8]| self.covers.contains(&(mount, text.to_vec()));
        let start = root.len();
        let slashes = text.iter().enumerate().skip(start.max(1)).filter(|(_, byte)| **byte == b'/');
        let mut ends = slashes.map(|(place, _)| place).chain([text.len().max(start)]);
        is_covered(root) || ends.any(|end| end <= text.len() && is_covered(&text[..end]))
    }
}

/// Whether both tables show the same. Files of namespaces that are mounted on the host are passed over:
/// a copy need not have got them.
fn is_same(mounts: &Mounts, table: &Table, boot: &Table) -> bool {
    let children = |of: &Table| {
        let mut all: HashMap<MountId, Vec<(Dentry, MountId)>> = HashMap::default();
        let counts = |mount: &&nsproxy::Mounted| mount.sb.kind() != "nsfs" || mount.pin.is_some();
        for mount in of.iter().filter(counts) {
            if let Some((on, point)) = mount.parent {
                all.entry(on).or_default().push((point, mount.id));
            }
        }
        all
    };
    let (ours, theirs) = (children(table), children(boot));
    let none = Vec::new();
    let mut open = vec![(table.root(), boot.root())];
    while let Some((one, other)) = open.pop() {
        let (Some(a), Some(b)) = (table.get(one), boot.get(other)) else { return false };
        let flags = |flags: MountFlags| flags & MountFlags::SETTABLE;
        if a.root != b.root || flags(a.flags) != flags(b.flags) {
            return false;
        }
        let theirs = theirs.get(&other).unwrap_or(&none);
        let mut met = 0;
        for (point, id) in ours.get(&one).unwrap_or(&none) {
            match theirs.iter().find(|(at, _)| at == point) {
                Some((_, same)) => {
                    met += 1;
                    open.push((*id, *same));
                }
                None if is_proc_over_proc(mounts, table, a, *id) => {}
                None => return false,
            }
        }
        if met != theirs.len() {
            return false;
        }
    }
    true
}

/// Whether `id` is a proc of a guest's that covers another proc as a whole, with nothing else on it.
fn is_proc_over_proc(
    mounts: &Mounts,
    table: &Table,
    below: &nsproxy::Mounted,
    id: MountId,
) -> bool {
    let Some(mount) = table.get(id) else { return false };
    let own = mounts.shown_by(mount.sb.id()).is_some() && mount.root.id == 0;
    let covers = mount.parent.is_some_and(|(_, point)| point == below.root);
    let is_tower = own && covers && below.sb.kind() == "proc" && below.root.id == 0;
    let mut on_it = table.iter().filter(|child| child.parent.is_some_and(|(on, _)| on == id));
    is_tower && on_it.all(|child| is_proc_over_proc(mounts, table, mount, child.id))
}
