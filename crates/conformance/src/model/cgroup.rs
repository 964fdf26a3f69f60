//! The cgroup file system of the model: directories, their owners, who is where.

use std::collections::BTreeMap;
use std::sync::Arc;

use nsproxy::{Cgroup, CgroupTarget, Cred, Kgid, Kuid, Newborn, Refusal, Task};

use super::open::What;
use super::paths::may_open;
use super::world::World;

/// The hierarchy of version 2.
const UNIFIED: u32 = 0;
/// Where the directories of a scenario lie.
pub(super) const BASE: &str = "/CGROUP";

type Owner = (Kuid, Kgid);

/// A directory.
struct Directory {
    cgroup: Arc<Cgroup>,
    owner: Owner,
    /// Of `cgroup.procs`.
    procs: Owner,
}

/// The directories by path. Those of the root and of [`BASE`] are there.
pub(super) struct Cgroups {
    all: BTreeMap<String, Directory>,
}

impl Cgroups {
    /// The root, and the scenario's own directory, which is `owner`'s.
    pub(super) fn new(root: &Arc<Cgroup>, owner: Owner) -> Cgroups {
        let base = root.make(&BASE.as_bytes()[1..]);
        let mut all = Cgroups { all: BTreeMap::new() };
        all.add("", Arc::clone(root), (Kuid::ROOT, Kgid::ROOT));
        all.add(BASE, base, owner);
        all
    }

    fn add(&mut self, path: &str, cgroup: Arc<Cgroup>, owner: Owner) {
        self.all.insert(path.to_owned(), Directory { cgroup, owner, procs: owner });
    }

    /// chown(2) of a `cgroup.procs` by root.
    pub(super) fn give(&mut self, path: &str, to: Owner) -> bool {
        let path = path.strip_suffix("/cgroup.procs").unwrap_or_default();
        self.all.get_mut(path).map(|directory| directory.procs = to).is_some()
    }

    pub(super) fn find(&self, path: &str) -> Option<&Arc<Cgroup>> {
        self.all.get(path.trim_end_matches('/')).map(|directory| &directory.cgroup)
    }

    /// Whether somebody may write to a cgroup's `cgroup.procs`.
    fn may_write(&self, cred: &Cred, cgroup: &Cgroup) -> bool {
        let found = self.all.values().find(|known| std::ptr::eq(&*known.cgroup, cgroup));
        found.is_some_and(|known| may_open(cred, known.procs, 0o644, false, true))
    }
}

impl World {
    /// `make`, `remove` or `enter`.
    pub(super) fn act_on_cgroup(
        &mut self,
        who: usize,
        what: &str,
        path: &str,
    ) -> Result<String, String> {
        let task = self.task(who)?;
        let cred = task.cred();
        let path = path.trim_end_matches('/');
        if what == "enter" {
            return Ok(self.enter(&task, path).map_or_else(str::to_owned, |()| "0".into()));
        }
        let (above, name) = path.rsplit_once('/').ok_or("not a path")?;
        let Some(Directory { cgroup: parent, owner, .. }) = self.cgroups.all.get(above) else {
            return Ok("ENOENT".into());
        };
        let may = may_open(&cred, *owner, 0o755, false, true);
        let there = self.cgroups.find(path);
        Ok(match (what, there) {
            ("make", Some(_)) => "EEXIST".into(),
            ("remove", None) => "ENOENT".into(),
            ("make" | "remove", _) if !may => "EACCES".into(),
            ("make", None) => {
                let new = parent.make(name.as_bytes());
                self.cgroups.add(path, new, (cred.fsuid, cred.fsgid));
                "0".into()
            }
            ("remove", Some(cgroup)) if self.is_used(cgroup, path) => "EBUSY".into(),
            ("remove", Some(cgroup)) => {
                cgroup.set_removed();
                self.cgroups.all.remove(path);
                "0".into()
            }
            _ => return Err(format!("nobody can {what} a cgroup")),
        })
    }

    fn is_used(&self, cgroup: &Arc<Cgroup>, path: &str) -> bool {
        let below = format!("{path}/");
        let mut living = self.actors.iter().filter_map(|actor| actor.task.as_ref());
        self.cgroups.all.keys().any(|other| other.starts_with(&below))
            || living.any(|task| {
                !task.has_exited()
                    && task.cgroup(UNIFIED).is_some_and(|its| Arc::ptr_eq(&its, cgroup))
            })
    }

    /// Writes 0 to a cgroup's `cgroup.procs`.
    fn enter(&self, task: &Task, path: &str) -> Result<(), &'static str> {
        let to = self.cgroups.find(path).ok_or("ENOENT")?;
        let from = task.cgroup(UNIFIED).ok_or("ENODEV")?;
        let common = from.common_ancestor(to).ok_or("ENODEV")?;
        let cred = task.cred();
        if ![&**to, common].iter().all(|one| self.cgroups.may_write(&cred, one)) {
            return Err("EACCES");
        }
        task.threads().iter().for_each(|thread| thread.set_cgroup(to));
        Ok(())
    }

    /// The path of a process as another reads it.
    pub(super) fn cgroup_of(&self, reader: &Task, process: i32) -> Result<String, String> {
        let Some((_, of)) = self.find(process) else { return Ok("ENOENT".into()) };
        let proxy = reader.nsproxy().ok_or("it has exited")?;
        let text = nsproxy::read_cgroups(&of, &proxy.cgroup);
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("0::"));
        line.map(str::to_owned).ok_or_else(|| "no cgroup of version 2".into())
    }

    /// The root of the mount, which is that of the hierarchy, as a task reads it.
    pub(super) fn cgroup_mount(&self, reader: &Task) -> Result<String, String> {
        let proxy = reader.nsproxy().ok_or("it has exited")?;
        let root = self.cgroups.find("").ok_or("there is always a root")?;
        Ok(String::from_utf8_lossy(&proxy.cgroup.path(root)).into_owned())
    }

    /// Puts a child where INTO_CGROUP asks.
    pub(super) fn place_child(
        &self,
        parent: usize,
        newborn: &Newborn,
        fd: u64,
    ) -> Result<(), Refusal> {
        let file = self.actors[parent].table.get(i32::try_from(fd).unwrap_or(-1));
        let target = match file.as_ref().map(|file| &file.what) {
            Some(What::Cgroup { cgroup }) => CgroupTarget::Cgroup(cgroup),
            _ => CgroupTarget::Other,
        };
        let Ok(task) = self.task(parent) else { return Ok(()) };
        newborn.enter_cgroup(target, |one| self.cgroups.may_write(&task.cred(), one))
    }
}
