//! mount(2), umount2(2), pivot_root(2) and chroot(2): what is mounted where.
//!
//! Served: proc, tmpfs, ramfs, devpts, overlay and mqueue, and where the host has them sysfs and cgroup2; binds, moves,
//! remounts, propagation. Every other type says ENODEV, as a kernel without it does.
//! Not decided here: who may; that is `nsproxy`'s. What is behind a file system is `mounts`'.

use nsproxy::{AnyNamespace, FsType, Kind, MountMode, Mounter, Scope, UmountFlags};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::landlock::may_mount;
use crate::cx::{Cx, Met, Served, Verdict};
use crate::descriptors::Given as Thing;
use crate::mounts::{Given, WithNamespace};
use crate::procfs::{self, Node};
use crate::trouble::Trouble;
use crate::vfs::Place;

/// Longest text of mount(2), and size of its options: a page.
const PAGE: usize = 4096;

/// The file systems that can be mounted, and whose administrator may.
const TYPES: [FsType; 9] = [
    FsType { name: "proc", scope: Scope::Of(Kind::Pid) },
    FsType { name: "tmpfs", scope: Scope::Own },
    FsType { name: "ramfs", scope: Scope::Own },
    FsType { name: "devpts", scope: Scope::Own },
    FsType { name: "overlay", scope: Scope::Own },
    FsType { name: "mqueue", scope: Scope::Of(Kind::Ipc) },
    FsType { name: "sysfs", scope: Scope::Of(Kind::Net) },
    FsType { name: "cgroup", scope: Scope::Of(Kind::Cgroup) },
    FsType { name: "cgroup2", scope: Scope::Of(Kind::Cgroup) },
];

/// Types of the host's that everybody may mount in a user namespace of theirs, and that are not here.
const ABSENT: [&str; 4] = ["fuse", "fuseblk", "bpf", "binfmt_misc"];

/// Any other type that the host has.
const OF_THE_MACHINE: FsType = FsType { name: "another", scope: Scope::Machine };

/// Serves `mount(source, target, type, flags, data)`.
pub(crate) fn mount(cx: &mut Cx<'_>) -> Served {
    let Some(met) = concerned(cx)? else { return Ok(Verdict::Continue) };
    let [source, target, kind, flags, data] = [0, 1, 2, 3, 4].map(|index| cx.arg(index));
    let kind = text(cx, kind)?;
    let source = text(cx, source)?;
    let options = options(cx, data)?;
    let path = cx.path(target)?;
    let place = cx.find(libc::AT_FDCWD, &path, true)?;
    may_mount(cx)?;
    let (mounter, mode) = nsproxy::begin_mount(&met.task, flags)?;
    let target = in_model(cx, &met, &place)?;
    let files = &cx.sup.mounts.files();
    match mode {
        MountMode::Remount => {
            let change = mounter.remount(&target, flags)?;
            nobody_writes(cx, &met, &change)?;
            change.commit();
        }
        MountMode::RemountSuper => {
            let given = Given::read(&options, flags)?;
            let change = mounter.remount_super(&target, with_options(flags, &given))?;
            nobody_writes(cx, &met, &change)?;
            if let Some(sb) = target.super_block() {
                cx.sup.mounts.reconfigure(&sb, &given, &met.task.user_ns())?;
            }
            change.commit();
        }
        MountMode::Propagation => mounter.propagation(&target, flags)?.commit(),
        MountMode::Bind { recursive } => {
            let (source, namespace) = source_of(cx, &met, &mounter, source)?;
            match namespace {
                Some(namespace) => {
                    let at = source.dentry();
                    let files = WithNamespace { files, at, namespace };
                    mounter.bind(&files, &source, &target, recursive)?.commit();
                }
                None => mounter.bind(files, &source, &target, recursive)?.commit(),
            }
        }
        MountMode::Move => {
            let (source, _) = source_of(cx, &met, &mounter, source)?;
            mounter.shift(files, &source, &target)?.commit();
        }
        MountMode::New => {
            let fs = known_type(kind.as_deref().unwrap_or_default());
            mounter.may_make(kind.is_some(), fs)?;
            let (sb, root) = make(cx, &met, fs, &Given::read(&options, flags)?)?;
            let source = source.unwrap_or_default();
            mounter.mount(files, &sb, root, &source, &target, flags)?.commit();
        }
    }
    drop(target);
    cx.sup.mounts.settle();
    Ok(Verdict::Return(0))
}

/// Refuses to make read-only what something is open for writing through: EBUSY.
pub(super) fn nobody_writes(
    cx: &Cx<'_>,
    met: &Met<'_>,
    change: &nsproxy::MountChange,
) -> Result<(), Trouble> {
    let mounts = change.made_readonly();
    if mounts.iter().all(|(_, sb)| !cx.sup.mounts.tells_of_open(sb.id())) {
        return Ok(());
    }
    let table = met.task.nsproxy().ok_or(Trouble::Gone)?.mnt.table();
    let processes = cx.sup.guests.processes(|_| true);
    match cx.sup.mounts.is_written(&table, &mounts, &processes) {
        true => Err(Errno::BUSY.into()),
        false => Ok(()),
    }
}

/// The flags, with those of the file system as the options have them.
fn with_options(flags: u64, given: &Given) -> u64 {
    (flags & !libc::MS_RDONLY) | (given.flags & libc::MS_RDONLY)
}

/// The type of a name, as far as somebody may mount it. `None`: there is no such type.
pub(super) fn known_type(name: &[u8]) -> Option<&'static FsType> {
    let name = std::str::from_utf8(name).ok()?;
    if let Some(known) = TYPES.iter().find(|known| known.name == name) {
        return Some(known);
    }
    // Not to be had by anybody but the machine's administrator, whom we do not serve.
    let all = std::fs::read_to_string("/proc/filesystems").ok()?;
    let mut names = all.lines().filter_map(|line| line.split('\t').nth(1));
    let known = !ABSENT.contains(&name) && names.any(|known| known == name);
    known.then_some(&OF_THE_MACHINE)
}

/// Makes a file system, mounted nowhere yet.
pub(super) fn make(
    cx: &Cx<'_>,
    met: &Met<'_>,
    fs: Option<&FsType>,
    given: &Given,
) -> Result<(std::sync::Arc<nsproxy::Super>, nsproxy::Dentry), Trouble> {
    let mounts = &cx.sup.mounts;
    let cred = met.task.cred();
    let made = match fs.map(|fs| fs.name) {
        Some("proc") => {
            crate::mounts::check_proc(given)?;
            let pids = met.task.pid_ns().unwrap_or_else(|| cx.sup.system.init_pid());
            mounts.make_proc(&pids)
        }
        Some(kind @ ("tmpfs" | "ramfs")) => mounts.make_tmpfs(kind, given, &cred),
        Some("mqueue") => match met.task.namespace(nsproxy::Link::Ipc) {
            Some(nsproxy::AnyNamespace::Ipc(ns)) => mounts.make_mqueue(given, &ns),
            _ => Err(Errno::NODEV),
        },
        Some("devpts") => mounts.make_devpts(given, &cred),
        Some("overlay") => return super::overlay::make(cx, met, given),
        Some(kind @ ("cgroup" | "cgroup2")) => {
            let ns = met.task.nsproxy().ok_or(Trouble::Gone)?.cgroup.clone();
            let begins = |hierarchy| cx.sup.cgroup_root(hierarchy, &ns);
            mounts.make_cgroups(kind, given, begins)
        }
        Some("sysfs") => mounts.make_sysfs(given, &cx.sup.system.init_user()),
        // It takes a device, and there is none.
        _ => Err(Errno::NODEV),
    };
    Ok(made?)
}

/// The source of a bind or a move, and the namespace that it is the file of.
fn source_of(
    cx: &Cx<'_>,
    met: &Met<'_>,
    mounter: &Mounter,
    source: Option<Vec<u8>>,
) -> Result<(nsproxy::Place, Option<AnyNamespace>), Trouble> {
    let source = source.unwrap_or_default();
    mounter.source_given(&source)?;
    let path = std::ffi::CString::new(source).map_err(|_| Errno::INVAL)?;
    let place = cx.find(libc::AT_FDCWD, &path, true)?;
    let namespace = match (&place.node, cx.sup.descriptors.given(&place.stat)) {
        (_, Some(Thing::Namespace(namespace, _) | Thing::Path(namespace, _))) => Some(namespace),
        (Some(Node::Namespace { tid, link }), _) => procfs::namespace(cx, *tid, *link)?,
        _ => {
            let proxy = met.task.nsproxy().ok_or(Trouble::Gone)?;
            let namespace = cx.sup.mounts.namespace_at(&proxy.mnt, &place);
            return Ok((in_model(cx, met, &place)?, namespace));
        }
    };
    let namespace = namespace.ok_or(Errno::INVAL)?;
    let file = cx.sup.mounts.namespace_file(&cx.sup.system, &namespace)?;
    Ok((file, Some(namespace)))
}

/// Serves `umount2(target, flags)`.
pub(crate) fn umount(cx: &mut Cx<'_>) -> Served {
    let Some(met) = concerned(cx)? else { return Ok(Verdict::Continue) };
    let flags = nsproxy::umount_flags(&met.task, cx.arg(1) as u32)?;
    let path = cx.path(cx.arg(0))?;
    let place = cx.find(libc::AT_FDCWD, &path, !flags.contains(UmountFlags::NOFOLLOW))?;
    let target = in_model(cx, &met, &place)?;
    let lazy = flags.contains(UmountFlags::DETACH);
    let open = !lazy && {
        let proxy = met.task.nsproxy().ok_or(Trouble::Gone)?;
        let processes = cx.sup.guests.processes(|_| true);
        cx.sup.mounts.is_open(&proxy.mnt, &target, &processes)
    };
    let change = nsproxy::prepare_umount(&met.task, target, flags)?;
    may_mount(cx)?;
    if open {
        return Err(Errno::BUSY.into());
    }
    change.commit();
    cx.sup.mounts.settle();
    Ok(Verdict::Return(0))
}

/// Serves `pivot_root(new, old)`.
pub(crate) fn pivot_root(cx: &mut Cx<'_>) -> Served {
    let Some(met) = concerned(cx)? else { return Ok(Verdict::Continue) };
    let mounter = Mounter::of(&met.task, "pivot_root")?;
    let new = directory(cx, &met, cx.arg(0))?;
    let old = directory(cx, &met, cx.arg(1))?;
    may_mount(cx)?;
    let change = mounter.pivot_root(&cx.sup.mounts.files(), &new, &old)?;
    // Who stands on the old root is on the new one from now on, whatever the host says.
    let root = met.task.root().ok_or(Trouble::Gone)?;
    let proxy = met.task.nsproxy().ok_or(Trouble::Gone)?;
    if let Some(spot) = cx.sup.mounts.spot(root.dentry()) {
        let ns = nsproxy::AnyNamespace::Mnt(proxy.mnt.clone());
        cx.sup.mounts.note_pivot(ns.id(), &spot.identity);
    }
    change.commit();
    Ok(Verdict::Return(0))
}

/// Serves `chroot(path)`.
pub(crate) fn chroot(cx: &mut Cx<'_>) -> Served {
    let Some(met) = concerned(cx)? else { return crate::syscalls::path::followed(cx) };
    let to = directory(cx, &met, cx.arg(0))?;
    nsproxy::chroot(&met.task, &to)?;
    Ok(Verdict::Return(0))
}

/// The directory that a path leads to.
fn directory(cx: &Cx<'_>, met: &Met<'_>, address: u64) -> Result<nsproxy::Place, Trouble> {
    let path = cx.path(address)?;
    let place = cx.find(libc::AT_FDCWD, &path, true)?;
    if FileType::from_raw_mode(place.stat.st_mode) != FileType::Directory {
        return Err(Errno::NOTDIR.into());
    }
    in_model(cx, met, &place)
}

/// Serves open_tree_attr(2): a kernel that is older than it is.
pub(crate) fn new_api(cx: &mut Cx<'_>) -> Served {
    match concerned(cx)? {
        Some(_) => Err(Errno::NOSYS.into()),
        None => Ok(Verdict::Continue),
    }
}

/// The caller, unless it is in the initial user and mount namespaces: what is mounted there is the
/// host's, and the host's to judge.
pub(super) fn concerned<'a>(cx: &Cx<'a>) -> Result<Option<Met<'a>>, Trouble> {
    let Some(guest) = cx.guest() else { return Ok(None) };
    let initial = &cx.sup.system.init_nsproxy().mnt;
    let at_home = |proxy: &nsproxy::NsProxy| nsproxy::Arc::ptr_eq(&proxy.mnt, initial);
    let elsewhere = !guest.task.nsproxy().is_none_or(|proxy| at_home(&proxy));
    if !elsewhere && guest.task.cred().user.is_initial() {
        return Ok(None);
    }
    let met = cx.meet()?;
    cx.sup.note_all_descriptors(&met.task);
    Ok(Some(met))
}

/// What a lookup found as the model knows it.
pub(super) fn in_model(
    cx: &Cx<'_>,
    met: &Met<'_>,
    place: &Place,
) -> Result<nsproxy::Place, Trouble> {
    if let Some(Thing::Tree(tree)) = cx.sup.descriptors.given(&place.stat) {
        return Ok(tree.root());
    }
    let proxy = met.task.nsproxy().ok_or(Trouble::Gone)?;
    Ok(cx.sup.mounts.in_model(&proxy.mnt, place)?)
}

/// A text argument; `None` if it is not given.
fn text(cx: &Cx<'_>, address: u64) -> Result<Option<Vec<u8>>, Trouble> {
    if address == 0 {
        return Ok(None);
    }
    match cx.try_path(address)? {
        Ok(text) => Ok(Some(text.into_bytes())),
        // Unlike a path it is invalid when it is too long.
        Err(_) => Err(Errno::INVAL.into()),
    }
}

/// The options: what can be read of a page, up to its first zero.
fn options(cx: &Cx<'_>, address: u64) -> Result<Vec<u8>, Trouble> {
    if address == 0 {
        return Ok(Vec::new());
    }
    let mut page = vec![0; PAGE];
    let got = cx.mem().read_some(address, &mut page)?;
    if got == 0 {
        return Err(Errno::FAULT.into());
    }
    page.truncate(got);
    let end = page.iter().position(|byte| *byte == 0).unwrap_or(page.len());
    page.truncate(end);
    Ok(page)
}
