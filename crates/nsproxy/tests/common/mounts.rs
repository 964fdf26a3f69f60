//! Directories in memory, and mount calls by path.

use nsproxy::*;
use std::{cell::RefCell, collections::HashMap, sync::Arc};

/// Files by path: every file system has its own, and `f..` are files, not directories.
#[derive(Default)]
pub(crate) struct Dirs {
    paths: RefCell<HashMap<Dentry, String>>,
    removed: RefCell<Vec<Dentry>>,
    pub(crate) namespace: RefCell<Option<AnyNamespace>>,
}

impl Dirs {
    /// What is at a path of a file system; it is made if it is not there.
    pub(crate) fn at(&self, super_id: u64, path: &str) -> Dentry {
        if path.is_empty() {
            return Dentry { super_id, id: 0 };
        }
        let mut paths = self.paths.borrow_mut();
        let known = paths.iter().find(|(at, known)| at.super_id == super_id && *known == path);
        if let Some((at, _)) = known {
            return *at;
        }
        let at = Dentry { super_id, id: paths.len() as u64 + 1 };
        paths.insert(at, path.into());
        at
    }

    pub(crate) fn path_of(&self, at: Dentry) -> String {
        self.paths.borrow().get(&at).cloned().unwrap_or_default()
    }

    pub(crate) fn remove(&self, at: Dentry) {
        self.removed.borrow_mut().push(at);
    }
}

impl Files for Dirs {
    fn is_directory(&self, at: Dentry) -> bool {
        !self.path_of(at).rsplit('/').next().unwrap().starts_with('f')
    }

    fn is_below(&self, at: Dentry, above: Dentry) -> bool {
        let (at_path, above_path) = (self.path_of(at), self.path_of(above));
        at.super_id == above.super_id && at_path.starts_with(&above_path)
    }

    fn is_unlinked(&self, at: Dentry) -> bool {
        self.removed.borrow().contains(&at)
    }

    fn path(&self, at: Dentry, above: Dentry) -> Vec<u8> {
        let path = self.path_of(at);
        path[self.path_of(above).len()..].trim_start_matches('/').into()
    }

    fn namespace(&self, at: Dentry) -> Option<AnyNamespace> {
        let is_one = self.path_of(at).ends_with("fnamespace");
        self.namespace.borrow().clone().filter(|_| is_one)
    }
}

/// A system with files. Every name has one letter, so paths need no look at the names.
pub(crate) struct Machine {
    pub(crate) system: System,
    pub(crate) dirs: Dirs,
    supers: RefCell<u64>,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        Machine::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Machine {
        let machine =
            Machine { system: System::new(config), dirs: Dirs::default(), supers: 100.into() };
        let (sb, root) = machine.super_of(&machine.system.init_user());
        machine.system.mount_at_boot(None, &sb, root, b"disk", MountFlags::RELATIME).unwrap();
        machine
    }

    pub(crate) fn root(&self) -> Arc<Task> {
        super::root(&self.system)
    }

    /// A new file system.
    pub(crate) fn super_of(&self, owner: &nsproxy::Arc<UserNs>) -> (Arc<Super>, Dentry) {
        *self.supers.borrow_mut() += 1;
        let id = *self.supers.borrow();
        let made = Super::new(id, "tmpfs", (0, id as u32), owner).idmappable();
        (Arc::new(made), Dentry { super_id: id, id: 0 })
    }

    /// Walks an absolute path, over mounts; what is not there is made.
    pub(crate) fn at(&self, task: &Task, path: &str) -> Place {
        let mut here = task.root().unwrap();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let below = format!("{}/{name}", self.dirs.path_of(here.dentry()));
            let below = below.trim_start_matches('/').to_owned();
            here = here.at(self.dirs.at(here.dentry().super_id, &below)).covered();
        }
        here
    }

    pub(crate) fn mount(&self, task: &Arc<Task>, to: &str, flags: MsFlags) -> Result<(), Refusal> {
        let target = self.at(task, to);
        let (mounter, _) = begin_mount(task, flags.bits())?;
        let (sb, root) = self.super_of(&task.user_ns());
        mounter.mount(&self.dirs, &sb, root, b"tmpfs", &target, flags.bits())?.commit();
        Ok(())
    }

    pub(crate) fn bind(&self, task: &Arc<Task>, from: &str, to: &str) -> Result<(), Refusal> {
        let (from, to) = (self.at(task, from), self.at(task, to));
        Mounter::of(task, "mount")?.bind(&self.dirs, &from, &to, false)?.commit();
        Ok(())
    }

    pub(crate) fn rbind(&self, task: &Arc<Task>, from: &str, to: &str) -> Result<(), Refusal> {
        let (from, to) = (self.at(task, from), self.at(task, to));
        Mounter::of(task, "mount")?.bind(&self.dirs, &from, &to, true)?.commit();
        Ok(())
    }

    pub(crate) fn shift(&self, task: &Arc<Task>, from: &str, to: &str) -> Result<(), Refusal> {
        let (from, to) = (self.at(task, from), self.at(task, to));
        Mounter::of(task, "mount")?.shift(&self.dirs, &from, &to)?.commit();
        Ok(())
    }

    pub(crate) fn beneath(&self, task: &Arc<Task>, from: &str, to: &str) -> Result<(), Refusal> {
        let (from, to) = (self.at(task, from), self.at(task, to));
        let (mounter, onto) = Mounter::of_move_mount(task, 0x200)?;
        mounter.move_mount(&self.dirs, &from, &to, onto)?.commit();
        Ok(())
    }

    pub(crate) fn set_group(&self, task: &Arc<Task>, from: &str, to: &str) -> Result<(), Refusal> {
        let (from, to) = (self.at(task, from), self.at(task, to));
        let (mounter, group) = Mounter::of_move_mount(task, 0x100)?;
        mounter.move_mount(&self.dirs, &from, &to, group)?.commit();
        Ok(())
    }

    pub(crate) fn change(&self, task: &Arc<Task>, at: &str, flags: MsFlags) -> Result<(), Refusal> {
        let at = self.at(task, at);
        Mounter::of(task, "mount")?.propagation(&at, flags.bits())?.commit();
        Ok(())
    }

    pub(crate) fn umount(
        &self,
        task: &Arc<Task>,
        at: &str,
        flags: UmountFlags,
    ) -> Result<(), Refusal> {
        prepare_umount(task, self.at(task, at), flags)?.commit();
        Ok(())
    }

    pub(crate) fn pivot(&self, task: &Arc<Task>, new: &str, old: &str) -> Result<(), Refusal> {
        let (new, old) = (self.at(task, new), self.at(task, old));
        Mounter::of(task, "pivot_root")?.pivot_root(&self.dirs, &new, &old)?.commit();
        Ok(())
    }

    /// What is mounted, as mountinfo says, without the numbers.
    pub(crate) fn info(&self, task: &Task) -> Vec<String> {
        let text = String::from_utf8(mountinfo(task, &self.dirs)).unwrap();
        let line = |line: &str| {
            let (mount, _) = line.split_once(" - ").unwrap();
            mount.splitn(5, ' ').nth(4).unwrap().to_owned()
        };
        text.lines().map(line).collect()
    }

    /// A task of a new user namespace with a copy of the mounts.
    pub(crate) fn inside(&self) -> Arc<Task> {
        let task = super::user(&self.system, 1000);
        unshare(&task, CloneFlags::NEWUSER | CloneFlags::NEWNS).unwrap();
        task
    }
}
