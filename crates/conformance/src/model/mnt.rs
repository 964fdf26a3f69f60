//! The calls that concern mounts, and walks over them.

use std::sync::Arc;

use nsproxy::ipc::{MqMount, MqOpen};
use nsproxy::{
    AnyNamespace, Dentry, Files, FsType, IdmapFile, Kind, MountAttr, MountMode, Mounter, OpenTree,
    Place, Refusal, Scope, Task, begin_mount, chroot, mountinfo, mounts, open_tree,
    open_tree_flags, prepare_umount, setattr_flags, umount_flags,
};

use super::forest::NSFS;
use super::open::{OpenFile, What};
use super::world::{World, refused};
use crate::agent::names_text;
use crate::lang::Call;
use crate::lang::mounting::{comparable_mountinfo, comparable_mounts};

/// The types of file systems that scenarios mount.
const TYPES: [FsType; 8] = [
    FsType { name: "tmpfs", scope: Scope::Own },
    FsType { name: "ramfs", scope: Scope::Own },
    FsType { name: "sysfs", scope: Scope::Of(Kind::Net) },
    FsType { name: "proc", scope: Scope::Of(Kind::Pid) },
    FsType { name: "mqueue", scope: Scope::Of(Kind::Ipc) },
    FsType { name: "cgroup2", scope: Scope::Of(Kind::Cgroup) },
    FsType { name: "ext4", scope: Scope::Machine },
    FsType { name: "pipefs", scope: Scope::Machine },
];

/// How a call ends: an errno, or a step that the model cannot make.
enum Stop {
    Errno(String),
    Unknown(String),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Errno(refused(&refusal))
    }
}

fn errno(name: &str) -> Stop {
    Stop::Errno(name.into())
}

type Done = Result<String, Stop>;

fn zero() -> Done {
    Ok("0".into())
}

impl World {
    /// Makes the call if it is one of these.
    pub(super) fn mount_call(
        &mut self,
        who: usize,
        call: &Call,
        slot: i32,
    ) -> Result<Option<String>, String> {
        if !self.mounts_built {
            return Ok(None);
        }
        let task = self.task(who)?;
        let result = match call {
            Call::Mkdir { path } => self.create(who, &path.0, true),
            Call::List { path } => self.list(who, &path.0),
            Call::Touch { path } => self.create(who, &path.0, false),
            Call::Rmdir { path } => self.rmdir(who, &path.0),
            Call::Chdir { path } => self.directory_at(who, &path.0).and_then(|place| {
                task.set_pwd(&place);
                zero()
            }),
            Call::Chroot { path } => self.directory_at(who, &path.0).and_then(|place| {
                chroot(&task, &place)?;
                zero()
            }),
            Call::Mount { source, target, kind, flags } => {
                self.mount(who, &task, &source.0, &target.0, &kind.0, flags.bits)
            }
            Call::Umount { path, flags } => self.umount(who, &task, &path.0, flags.bits),
            Call::PivotRoot { new, old } => self.pivot_root(who, &task, &new.0, &old.0),
            Call::MountSetattr { path, at, set, clear, propagation, size, tail } => {
                let tail = tail.unwrap_or(0) as u64;
                let attr = [set.bits, clear.bits, propagation.bits, 0, tail];
                self.setattr(who, &task, &path.0, at.bits, attr, size.unwrap_or(32) as u64)
            }
            Call::Idmap { path, at, set, clear, user } => {
                let attr = [set.bits, clear.bits, 0, i64::from(user.number()) as u64, 0];
                self.setattr(who, &task, &path.0, at.bits, attr, 32)
            }
            Call::OpenTree { path, flags } => self.open_tree(who, &task, &path.0, flags.bits, slot),
            Call::MoveMount { from, to, flags } => {
                self.move_mount(who, &task, &from.0, &to.0, flags.bits)
            }
            Call::Mountinfo { path } => {
                let text = mountinfo(&task, &self.forest);
                Ok(comparable_mountinfo(&String::from_utf8_lossy(&text), &path.0))
            }
            Call::Mounts { path } => {
                let text = mounts(&task, &self.forest);
                Ok(comparable_mounts(&String::from_utf8_lossy(&text), &path.0))
            }
            _ => return Ok(None),
        };
        match result {
            Ok(text) | Err(Stop::Errno(text)) => Ok(Some(text)),
            Err(Stop::Unknown(reason)) => Err(reason),
        }
    }

    /// Walks a path. What the model keeps no directories of is not there.
    pub(super) fn walk(&mut self, who: usize, path: &str) -> Result<Place, String> {
        let task = self.task(who)?;
        match self.follow_path(who, &task, path) {
            Ok(place) => Ok(place),
            Err(Stop::Errno(name) | Stop::Unknown(name)) => Err(name),
        }
    }

    fn follow_path(&mut self, who: usize, task: &Arc<Task>, path: &str) -> Result<Place, Stop> {
        let gone = || Stop::Unknown("it has exited".into());
        if let Some(rest) = path.strip_prefix("/proc/") {
            return self.proc_file(who, rest, path);
        }
        if path.is_empty() {
            return Err(errno("ENOENT"));
        }
        let root = task.root().ok_or_else(gone)?;
        let start = if path.starts_with('/') { Some(root.clone()) } else { task.pwd() };
        self.walk_from(start.ok_or_else(gone)?, &root, path)
    }

    fn walk_from(&self, start: Place, root: &Place, path: &str) -> Result<Place, Stop> {
        let mut here = start;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if !self.forest.is_directory(here.dentry()) {
                return Err(errno("ENOTDIR"));
            }
            here = match name {
                "." => here,
                ".." => self.up(here, root),
                name => {
                    let entry = self.forest.entry(here.dentry(), name);
                    here.at(entry.ok_or_else(|| errno("ENOENT"))?).covered()
                }
            };
        }
        Ok(here)
    }

    /// The directory above, which is on another mount for the root of one.
    fn up(&self, from: Place, root: &Place) -> Place {
        let mut here = from;
        loop {
            if here == *root {
                return here.covered();
            }
            if here.mount_root() != here {
                let above = self.forest.above(here.dentry()).unwrap_or_else(|| here.dentry());
                return here.at(above).covered();
            }
            match here.mountpoint() {
                Some(point) => here = point,
                None => return here.covered(),
            }
        }
    }

    /// `/proc/self/fd/N..`, and the links of `/proc/PID/ns`.
    fn proc_file(&mut self, who: usize, rest: &str, path: &str) -> Result<Place, Stop> {
        let unknown = || Stop::Unknown(format!("the model has no {path}"));
        if let Some(rest) = rest.strip_prefix("self/fd/") {
            let (number, rest) = rest.split_once('/').unwrap_or((rest, ""));
            let number = number.parse().map_err(|_| unknown())?;
            let file = self.actors[who].table.get(number).ok_or_else(|| errno("ENOENT"))?;
            let start = match &file.what {
                What::Directory(place) => place.clone(),
                What::Tree(tree) => tree.root(),
                What::Namespace(namespace) => self.namespace_place(&namespace.clone()),
                _ => return Err(unknown()),
            };
            let root = self.task(who).ok().and_then(|task| task.root()).ok_or_else(unknown)?;
            return self.walk_from(start, &root, rest);
        }
        if rest.contains("/ns/") {
            return match self.link(who, path) {
                Ok(namespace) => Ok(self.namespace_place(&namespace)),
                Err(name) => Err(Stop::Errno(name)),
            };
        }
        Err(unknown())
    }

    fn namespace_place(&mut self, namespace: &nsproxy::AnyNamespace) -> Place {
        let dentry = self.forest.namespace_file(namespace);
        self.nsfs.at(dentry)
    }

    fn directory_at(&mut self, who: usize, path: &str) -> Result<Place, Stop> {
        let task = self.task(who).map_err(Stop::Unknown)?;
        let place = self.follow_path(who, &task, path)?;
        match self.forest.is_directory(place.dentry()) {
            true => Ok(place),
            false => Err(errno("ENOTDIR")),
        }
    }

    /// A path's directory and last name.
    fn parent(&mut self, who: usize, path: &str) -> Result<(Place, String), Stop> {
        let (above, name) = path.rsplit_once('/').unwrap_or((".", path));
        let above = if above.is_empty() { "/" } else { above };
        Ok((self.directory_at(who, above)?, name.to_owned()))
    }

    fn list(&mut self, who: usize, path: &str) -> Done {
        let directory = self.directory_at(who, path)?.dentry();
        match self.mq_mounts.get(&directory.super_id) {
            Some(mount) => {
                let text = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
                Ok(names_text(mount.files().into_iter().map(|(name, _)| text(name)).collect()))
            }
            None if directory.super_id > NSFS => Ok(names_text(self.forest.names(directory))),
            None => Err(Stop::Unknown("the model does not know what is there".into())),
        }
    }

    /// A file or directory in a mount of type mqueue, where all files are queues.
    fn create_queue(&self, who: usize, mount: &MqMount, name: &str, directory: bool) -> Done {
        let task = self.task(who).map_err(Stop::Unknown)?;
        let there = mount.files().iter().any(|(known, _)| *known == name.as_bytes());
        if directory {
            return Err(errno(if there { "EEXIST" } else { "EPERM" }));
        }
        let how = MqOpen {
            access: 1,
            create: true,
            exclusive: true,
            mode: 0o644,
            attributes: None,
            limit: Some(super::ipc::MSGQUEUE),
        };
        mount.open(&task, name.as_bytes(), &how)?;
        zero()
    }

    fn create(&mut self, who: usize, path: &str, directory: bool) -> Done {
        let (above, name) = self.parent(who, path)?;
        if let Some(mount) = self.mq_mounts.get(&above.dentry().super_id) {
            return self.create_queue(who, mount, &name, directory);
        }
        if self.forest.entry(above.dentry(), &name).is_some() {
            return Err(errno("EEXIST"));
        }
        if self.forest.is_removed(above.dentry()) {
            return Err(errno("ENOENT"));
        }
        if above.is_readonly() {
            return Err(errno("EROFS"));
        }
        let cred = self.task(who).map_err(Stop::Unknown)?.cred();
        let owner = above.super_block().map(|sb| sb.owner());
        let has_number = |owner: &Arc<nsproxy::UserNs>| {
            owner.find_uid(cred.fsuid).is_some() && owner.find_gid(cred.fsgid).is_some()
        };
        if !owner.as_ref().is_some_and(has_number) {
            return Err(errno("EOVERFLOW"));
        }
        self.forest.add(above.dentry(), &name, directory);
        zero()
    }

    fn rmdir(&mut self, who: usize, path: &str) -> Done {
        let (above, name) = self.parent(who, path)?;
        if above.is_readonly() {
            return Err(errno("EROFS"));
        }
        let at = self.forest.entry(above.dentry(), &name).ok_or_else(|| errno("ENOENT"))?;
        if !self.forest.is_directory(at) {
            return Err(errno("ENOTDIR"));
        }
        let task = self.task(who).map_err(Stop::Unknown)?;
        let removal = nsproxy::prepare_remove(&task, at)?;
        if !self.forest.is_empty(at) {
            return Err(errno("ENOTEMPTY"));
        }
        self.forest.remove(at);
        removal.commit();
        zero()
    }

    // ---- the calls ------------------------------------------------------------------------------

    fn mount(
        &mut self,
        who: usize,
        task: &Arc<Task>,
        source: &str,
        target: &str,
        kind: &str,
        flags: u64,
    ) -> Done {
        let target = self.follow_path(who, task, target)?;
        let (mounter, mode) = begin_mount(task, flags)?;
        let change = match mode {
            MountMode::Remount => mounter.remount(&target, flags)?,
            MountMode::RemountSuper => mounter.remount_super(&target, flags)?,
            MountMode::Propagation => mounter.propagation(&target, flags)?,
            MountMode::Bind { recursive } => {
                let source = self.source(who, task, &mounter, source)?;
                mounter.bind(&self.forest, &source, &target, recursive)?
            }
            MountMode::Move => {
                let source = self.source(who, task, &mounter, source)?;
                mounter.shift(&self.forest, &source, &target)?
            }
            MountMode::New => {
                let fs = TYPES.iter().find(|fs| fs.name == kind);
                mounter.may_make(kind != "-", fs)?;
                let (sb, root) = match (kind, self.shared_super(task, kind)) {
                    (_, Some(known)) => known,
                    ("ext4", None) => return Err(errno("ENOENT")), // there is no such device
                    (kind, None) => self.forest.make(kind, &task.user_ns()),
                };
                sb.set_readonly(sb.is_readonly() || flags & 1 != 0);
                let source = if source == "-" { "" } else { source };
                mounter.mount(&self.forest, &sb, root, source.as_bytes(), &target, flags)?
            }
        };
        change.commit();
        zero()
    }

    /// What shows a namespace is one file system for each; that of cgroups is one for all.
    fn shared_super(
        &mut self,
        task: &Arc<Task>,
        kind: &str,
    ) -> Option<(Arc<nsproxy::Super>, Dentry)> {
        let shown = match kind {
            "sysfs" => task.namespace(Kind::Net),
            "proc" => task.namespace(Kind::Pid),
            "mqueue" => task.namespace(Kind::Ipc),
            "cgroup2" => None,
            _ => return None,
        };
        let owner = shown.as_ref().and_then(|namespace| namespace.owner());
        let owner = owner.unwrap_or_else(|| self.system.init_user());
        let key = (kind.to_owned(), shown.as_ref().map_or(0, |namespace| namespace.id()));
        let made = self.shared_supers.entry(key).or_insert_with(|| {
            let (sb, root) = self.forest.make(kind, &owner);
            if let (Some(AnyNamespace::Ipc(ns)), "mqueue") = (&shown, kind) {
                self.mq_mounts.insert(root.super_id, MqMount::of(ns));
            }
            if kind == "proc" {
                self.forest.add(root, "sys", true);
            }
            (sb, root)
        });
        Some(made.clone())
    }

    fn source(
        &mut self,
        who: usize,
        task: &Arc<Task>,
        mounter: &Mounter,
        source: &str,
    ) -> Result<Place, Stop> {
        let source = if matches!(source, "-" | "\"\"") { "" } else { source };
        mounter.source_given(source.as_bytes())?;
        self.follow_path(who, task, source)
    }

    fn umount(&mut self, who: usize, task: &Arc<Task>, path: &str, flags: u64) -> Done {
        let flags = umount_flags(task, flags as u32)?;
        let target = self.follow_path(who, task, path)?;
        prepare_umount(task, target, flags)?.commit();
        zero()
    }

    fn setattr(
        &mut self,
        who: usize,
        task: &Arc<Task>,
        path: &str,
        at: u64,
        attr: [u64; 5],
        size: u64,
    ) -> Done {
        let recursive = setattr_flags(task, at as u32)?;
        let (mounter, len) = MountAttr::block_len(task, size)?;
        let mut block: Vec<u8> = attr.iter().flat_map(|field| field.to_ne_bytes()).collect();
        block.resize(len, 0);
        let table = &self.actors[who].table;
        let file = |fd| match table.get(fd) {
            None => IdmapFile::Closed,
            Some(file) => match &file.what {
                What::Namespace(namespace) => IdmapFile::Namespace(namespace.clone()),
                What::PathOnly { .. } => IdmapFile::Closed,
                _ => IdmapFile::Other,
            },
        };
        let attr = MountAttr::from_block(&mounter, &block, file)?;
        let Some(attr) = attr else { return zero() };
        let target = self.follow_path(who, task, path)?;
        mounter.setattr(&target, &attr, recursive)?.commit();
        zero()
    }

    fn open_tree(
        &mut self,
        who: usize,
        task: &Arc<Task>,
        path: &str,
        flags: u64,
        slot: i32,
    ) -> Done {
        let asked = open_tree_flags(task, flags as u32)?;
        let place = self.follow_path(who, task, path)?;
        let what = match asked {
            OpenTree::Path => What::Directory(place),
            OpenTree::Clone { recursive } => {
                What::Tree(open_tree(task, &self.forest, &place, recursive)?)
            }
        };
        let (opener, offset) = (task.cred(), std::sync::Mutex::new(0));
        let file = OpenFile { what, opener, read: false, write: false, offset };
        Ok(self.keep(who, file, slot))
    }

    fn move_mount(
        &mut self,
        who: usize,
        task: &Arc<Task>,
        from: &str,
        to: &str,
        flags: u64,
    ) -> Done {
        let (mounter, onto) = Mounter::of_move_mount(task, flags as u32)?;
        let from = self.follow_path(who, task, from)?;
        let to = self.follow_path(who, task, to)?;
        mounter.move_mount(&self.forest, &from, &to, onto)?.commit();
        zero()
    }

    fn pivot_root(&mut self, who: usize, task: &Arc<Task>, new: &str, old: &str) -> Done {
        let mounter = Mounter::of(task, "pivot_root")?;
        let new = self.directory_at(who, new)?;
        let old = self.directory_at(who, old)?;
        mounter.pivot_root(&self.forest, &new, &old)?.commit();
        zero()
    }
}
