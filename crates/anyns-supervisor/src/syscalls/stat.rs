//! stat(2), lstat(2), fstat(2), newfstatat(2), statx(2): attributes, with ids as the caller sees
//! them and namespace files as they are inside.

use std::ffi::CStr;
use std::os::fd::AsFd;

use nsproxy::{Arc, Kgid, Kuid, MountId, UserNs};
use rustix::fs::{AtFlags, Stat, Statx, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::abi;
use crate::cx::{Cx, Served, Verdict};
use crate::descriptors::Given;
use crate::mounts::unique;
use crate::procfs::{self, Control, Node};
use crate::trouble::Trouble;
use crate::vfs;

/// Flags that newfstatat(2) knows.
const FSTATAT_FLAGS: i32 = libc::AT_EMPTY_PATH | libc::AT_NO_AUTOMOUNT | libc::AT_SYMLINK_NOFOLLOW;

/// Mode of a namespace file: a read-only regular file (namespaces(7)).
const NAMESPACE_MODE: u32 = libc::S_IFREG | 0o444;

/// Mode of a control file of `/proc`.
const CONTROL_MODE: u32 = libc::S_IFREG | 0o644;

/// Bits of statx(2) that ask for the mount.
const MOUNT_IDS: u32 = libc::STATX_MNT_ID | libc::STATX_MNT_ID_UNIQUE;

/// Where the result goes, and in which form.
enum Form {
    Stat { to: u64 },
    Statx { to: u64, flags: AtFlags, mask: StatxFlags },
}

/// Serves `stat(path, buf)`.
pub(crate) fn stat(cx: &mut Cx<'_>) -> Served {
    by_path(cx, libc::AT_FDCWD, 0, 0, Form::Stat { to: cx.arg(1) })
}

/// Serves `lstat(path, buf)`.
pub(crate) fn lstat(cx: &mut Cx<'_>) -> Served {
    let to = cx.arg(1);
    by_path(cx, libc::AT_FDCWD, 0, libc::AT_SYMLINK_NOFOLLOW, Form::Stat { to })
}

/// Serves `fstat(fd, buf)`.
pub(crate) fn fstat(cx: &mut Cx<'_>) -> Served {
    let (fd, to) = (cx.int(0), cx.arg(1));
    if fd < 0 {
        return Err(Errno::BADF.into());
    }
    by_descriptor(cx, fd, Form::Stat { to })
}

/// Serves `newfstatat(dirfd, path, buf, flags)`.
pub(crate) fn fstatat(cx: &mut Cx<'_>) -> Served {
    let (dirfd, to, flags) = (cx.int(0), cx.arg(2), cx.int(3));
    if flags & !FSTATAT_FLAGS != 0 {
        return Ok(Verdict::Continue);
    }
    by_path(cx, dirfd, 1, flags, Form::Stat { to })
}

/// Serves `statx(dirfd, path, flags, mask, buf)`.
pub(crate) fn statx(cx: &mut Cx<'_>) -> Served {
    let (dirfd, flags, mask, to) = (cx.int(0), cx.int(2), cx.arg(3) as u32, cx.arg(4));
    let form = Form::Statx {
        to,
        flags: AtFlags::from_bits_retain(flags as u32 & libc::AT_STATX_SYNC_TYPE as u32),
        mask: StatxFlags::from_bits_retain(mask),
    };
    let known = FSTATAT_FLAGS | libc::AT_STATX_SYNC_TYPE;
    if flags & !known != 0 || mask & libc::STATX__RESERVED as u32 != 0 {
        // The kernel refuses these itself.
        return Ok(Verdict::Continue);
    }
    by_path(cx, dirfd, 1, flags, form)
}

fn by_path(cx: &mut Cx<'_>, dirfd: i32, path_arg: usize, flags: i32, form: Form) -> Served {
    let empty_allowed = flags & libc::AT_EMPTY_PATH != 0;
    let among = cx.tree().is_some();
    if cx.inside().is_none() && empty_allowed && cx.sup.descriptors.len() == 0 && !among {
        return Ok(Verdict::Continue);
    }
    let address = cx.arg(path_arg);
    if address == 0 && empty_allowed {
        // Since 6.11 a null path means the same as an empty one.
        return by_empty_path(cx, dirfd, form);
    }
    let Some(path) = cx.readable_path(address)? else { return Ok(Verdict::Continue) };
    if path.is_empty() && empty_allowed {
        return by_empty_path(cx, dirfd, form);
    }
    if !cx.looks_from_inside() && !concerns_us(&path) && !among {
        return Ok(Verdict::Continue);
    }
    let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
    let place = match cx.look_up(dirfd, &path, follow) {
        Ok(place) => place,
        Err(lost) if cx.inside().is_some() || among => return Err(lost.errno.into()),
        Err(lost) => return cx.go_lost(lost, path_arg),
    };
    let bound = super::opened::bound_namespace(cx, &place);
    let change = match &place.node {
        _ if bound.is_some() => bound.map_or(Change::Nothing, |ns| Change::Namespace(ns.inode())),
        Some(Node::Namespace { tid, link }) if follow => {
            match procfs::namespace(cx, *tid, *link)? {
                Some(namespace) => Change::Namespace(namespace.inode()),
                None => match place.barred {
                    Some(errno) => return Err(errno.into()),
                    None => Change::Nothing,
                },
            }
        }
        _ if place.given(cx).is_some() => return given(cx, place.given(cx), &place.stat, form),
        Some(Node::Sysctl(Control::Ipc(_))) => limits(cx),
        Some(node) => hidden(cx, node, &place.stat).unwrap_or(Change::Nothing),
        None => Change::Nothing,
    };
    if among {
        let mount = SeenThrough::of(cx, &place);
        return answer_as(
            cx,
            Object::Ours(place.object().as_fd(), place.stat),
            change,
            form,
            mount,
        );
    }
    if cx.inside().is_none() && matches!(change, Change::Nothing) && place.moved.is_none() {
        return Ok(Verdict::Continue);
    }
    answer(cx, Object::Ours(place.object().as_fd(), place.stat), change, form)
}

/// The same as [`by_descriptor`], but never the kernel's to answer where it could be made to answer for
/// another path: the one that it would read need not be empty any more.
fn by_empty_path(cx: &mut Cx<'_>, fd: i32, form: Form) -> Served {
    if cx.tree().is_none() {
        return by_descriptor(cx, fd, form);
    }
    let place = vfs::find_descriptor(cx.seeker(), fd).map_err(|lost| lost.errno)?;
    if let Some(what) = place.given(cx) {
        return given(cx, Some(what), &place.stat, form);
    }
    let mount = SeenThrough::of(cx, &place);
    let object = Object::Ours(place.object().as_fd(), place.stat);
    answer_as(cx, object, Change::Nothing, form, mount)
}

fn by_descriptor(cx: &mut Cx<'_>, fd: i32, form: Form) -> Served {
    if cx.tree().is_some() && (fd == libc::AT_FDCWD || depends_on_mount(cx, &form)) {
        let place = vfs::find_descriptor(cx.seeker(), fd).map_err(|lost| lost.errno)?;
        if place.given(cx).is_none() {
            let mount = SeenThrough::of(cx, &place);
            let object = Object::Ours(place.object().as_fd(), place.stat);
            return answer_as(cx, object, Change::Nothing, form, mount);
        }
    }
    if cx.inside().is_none() && cx.sup.descriptors.len() == 0 {
        return Ok(Verdict::Continue);
    }
    if fd == libc::AT_FDCWD {
        let place = vfs::start(cx.seeker(), fd)?;
        let stat = rustix::fs::fstat(&place)?;
        return answer(cx, Object::Ours(place.as_fd(), stat), Change::Nothing, form);
    }
    let stat = vfs::stat_descriptor(cx.tid(), fd)?;
    match cx.sup.descriptors.given(&stat) {
        Some(what) => given(cx, Some(what), &stat, form),
        None if cx.inside().is_some() => {
            answer(cx, Object::Theirs(fd, stat), Change::Nothing, form)
        }
        None => Ok(Verdict::Continue),
    }
}

fn given(cx: &mut Cx<'_>, what: Option<Given>, stat: &Stat, form: Form) -> Served {
    let change = match what {
        Some(Given::Namespace(namespace, _) | Given::Path(namespace, _)) => {
            Change::Namespace(namespace.inode())
        }
        Some(Given::Control(_) | Given::Context(_)) => Change::Control,
        Some(Given::Tree(tree)) => {
            let spot = cx.sup.mounts.spot(tree.root().dentry()).ok_or(Errno::BADF)?;
            let stat = rustix::fs::fstat(&spot.fd)?;
            return answer(cx, Object::Ours(spot.fd.as_fd(), stat), Change::Nothing, form);
        }
        None => Change::Nothing,
    };
    answer(cx, Object::Virtual(*stat), change, form)
}

/// What the attributes are of.
enum Object<'a> {
    /// Something we hold.
    Ours(std::os::fd::BorrowedFd<'a>, Stat),
    /// A descriptor of the guest's.
    Theirs(i32, Stat),
    /// One of our stand-ins: nothing of it but its number is true.
    Virtual(Stat),
}

/// How it differs from what the host says, ids apart.
enum Change {
    Nothing,
    /// Somebody else's: a file of `/proc/PID` of a process that is not dumpable (proc(5)), or a limit
    /// of an ipc namespace.
    Owner(Kuid, Kgid),
    Namespace(u32),
    Control,
}

/// What is shown of the mount that something was reached through.
#[derive(Clone, Copy, Default)]
struct SeenThrough {
    /// The number that is shown of it, and whether its root is what is asked about.
    mount: Option<(u32, MountId, bool)>,
    /// The device of its file system, where the host's is another.
    device: Option<u64>,
    /// What is shown of something whose attributes another has, or several have.
    shape: Option<Stat>,
}

impl SeenThrough {
    fn of(cx: &Cx<'_>, place: &vfs::Place) -> SeenThrough {
        let Some(mount) = place.seen_through() else {
            let device = cx.sup.mounts.device_in_store(&place.fd);
            return SeenThrough { device, ..SeenThrough::default() };
        };
        let is_root = place.dentry == Some(mount.root)
            || (mount.spot.identity.dev, mount.spot.identity.ino)
                == (place.stat.st_dev, place.stat.st_ino);
        SeenThrough {
            mount: Some((mount.shown, mount.id, is_root)),
            device: cx.sup.mounts.device_of(mount.sb.id(), mount.sb.device()),
            shape: place.real.is_some().then_some(place.stat),
        }
    }
}

/// Whether attributes of a descriptor's object may depend on the mount it was opened through.
fn depends_on_mount(cx: &Cx<'_>, form: &Form) -> bool {
    let asked = |mask: rustix::fs::StatxFlags| mask.bits() & MOUNT_IDS != 0;
    cx.sup.mounts.has_made() || matches!(form, Form::Statx { mask, .. } if asked(*mask))
}

fn answer(cx: &mut Cx<'_>, object: Object<'_>, change: Change, form: Form) -> Served {
    answer_as(cx, object, change, form, SeenThrough::default())
}

fn answer_as(
    cx: &mut Cx<'_>,
    object: Object<'_>,
    change: Change,
    form: Form,
    through: SeenThrough,
) -> Served {
    let cred = cx.cred()?;
    let out = match form {
        Form::Stat { .. } => {
            let (Object::Ours(_, mut stat)
            | Object::Theirs(_, mut stat)
            | Object::Virtual(mut stat)) = object;
            stat.st_dev = through.device.unwrap_or(stat.st_dev);
            change.apply(&mut stat, cx.sup.proc.namespace_device());
            seen(&mut stat, &cred.user);
            abi::encode_stat(&stat)
        }
        Form::Statx { flags, mask, .. } => {
            let mut statx = statx_of(cx.tid(), &object, flags, mask)?;
            if let Some(device) = through.device {
                statx.stx_dev_major = libc::major(device);
                statx.stx_dev_minor = libc::minor(device);
            }
            if let Some(shape) = through.shape {
                statx.stx_mode = shape.st_mode as u16;
                statx.stx_nlink = shape.st_nlink as u32;
                statx.stx_ino = shape.st_ino;
                statx.stx_size = shape.st_size as u64;
                statx.stx_rdev_major = rustix::fs::major(shape.st_rdev);
                statx.stx_rdev_minor = rustix::fs::minor(shape.st_rdev);
            }
            let among_hosts = || own_mount(cx, &object, mask, &statx);
            if let Some((shown, id, is_root)) = through.mount.or_else(among_hosts) {
                let is_unique = statx.stx_mask & libc::STATX_MNT_ID_UNIQUE != 0;
                statx.stx_mnt_id = if is_unique { unique(id) } else { shown.into() };
                statx.stx_attributes_mask |= StatxAttributes::MOUNT_ROOT;
                statx.stx_attributes.set(StatxAttributes::MOUNT_ROOT, is_root);
            }
            change.apply_statx(&mut statx, cx.sup.proc.namespace_device());
            statx.stx_uid = shown_uid(&cred.user, statx.stx_uid);
            statx.stx_gid = shown_gid(&cred.user, statx.stx_gid);
            abi::statx::encode(&statx)
        }
    };
    let (Form::Stat { to } | Form::Statx { to, .. }) = form;
    cx.mem().write(to, &out)?;
    Ok(Verdict::Return(0))
}

/// The caller's own mount for the host's that a path led through, where its namespace shows what the
/// host does.
fn own_mount(
    cx: &Cx<'_>,
    object: &Object<'_>,
    mask: StatxFlags,
    seen: &Statx,
) -> Option<(u32, MountId, bool)> {
    let own = cx.guest()?.task.nsproxy()?.mnt.clone();
    if mask.bits() & MOUNT_IDS == 0 || Arc::ptr_eq(&own, &cx.sup.system.init_nsproxy().mnt) {
        return None;
    }
    let host = statx_of(cx.tid(), object, AtFlags::empty(), StatxFlags::MNT_ID).ok()?.stx_mnt_id;
    let spot = |mount: &nsproxy::Mounted| cx.sup.mounts.spot(mount.root);
    let table = own.table();
    // What covers another is the later one.
    let mount = table.iter().filter(|mount| spot(mount).is_some_and(|it| it.identity.mnt == host));
    let mount = mount.last()?;
    let is_root = seen.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    Some((mount.shown, mount.id, is_root))
}

fn statx_of(
    tid: i32,
    object: &Object<'_>,
    flags: AtFlags,
    mask: StatxFlags,
) -> Result<Statx, Errno> {
    match object {
        Object::Ours(fd, _) => rustix::fs::statx(fd, c"", flags | AtFlags::EMPTY_PATH, mask),
        Object::Theirs(fd, _) => {
            rustix::fs::statx(rustix::fs::CWD, format!("/proc/{tid}/fd/{fd}"), flags, mask)
        }
        // The shape of an answer, from a file that always exists.
        Object::Virtual(_) => rustix::fs::statx(rustix::fs::CWD, c"/proc/self/ns/uts", flags, mask),
    }
}

impl Change {
    fn apply(&self, stat: &mut Stat, namespace_device: u64) {
        match self {
            Change::Nothing => return,
            Change::Owner(uid, gid) => {
                (stat.st_uid, stat.st_gid) = (uid.0, gid.0);
                return;
            }
            Change::Namespace(inode) => {
                stat.st_dev = namespace_device;
                stat.st_ino = u64::from(*inode);
                stat.st_mode = NAMESPACE_MODE;
            }
            Change::Control => stat.st_mode = CONTROL_MODE,
        }
        (stat.st_uid, stat.st_gid) = (0, 0);
        (stat.st_nlink, stat.st_size, stat.st_blocks, stat.st_rdev) = (1, 0, 0, 0);
    }

    fn apply_statx(&self, statx: &mut Statx, namespace_device: u64) {
        match self {
            Change::Nothing => return,
            Change::Owner(uid, gid) => {
                (statx.stx_uid, statx.stx_gid) = (uid.0, gid.0);
                return;
            }
            Change::Namespace(inode) => {
                statx.stx_dev_major = libc::major(namespace_device);
                statx.stx_dev_minor = libc::minor(namespace_device);
                statx.stx_ino = u64::from(*inode);
                statx.stx_mode = NAMESPACE_MODE as u16;
            }
            Change::Control => statx.stx_mode = CONTROL_MODE as u16,
        }
        (statx.stx_uid, statx.stx_gid) = (0, 0);
        (statx.stx_nlink, statx.stx_size, statx.stx_blocks) = (1, 0, 0);
    }
}

/// A file of `/proc/PID` belongs to a root if the process asked not to be looked into. The
/// directories that anybody may list stay the process's.
fn hidden(cx: &Cx<'_>, node: &Node, stat: &Stat) -> Option<Change> {
    let guest = cx.sup.find_subject(node.thread()?)?;
    let open_directory = libc::S_IFDIR | 0o555;
    if stat.st_mode == open_directory || guest.task.dumpable() {
        return None;
    }
    let (uid, gid) = nsproxy::proc_owner(&guest.task);
    Some(Change::Owner(uid, gid))
}

/// The limits of an ipc namespace belong to the root of its owner.
fn limits(cx: &Cx<'_>) -> Change {
    let proxy = cx.guest().and_then(|guest| guest.task.nsproxy());
    match proxy.filter(|proxy| !proxy.ipc.is_initial()) {
        Some(proxy) => {
            let (uid, gid) = proxy.ipc.files_owner();
            Change::Owner(uid, gid)
        }
        None => Change::Nothing,
    }
}

fn seen(stat: &mut Stat, user: &UserNs) {
    stat.st_uid = shown_uid(user, stat.st_uid);
    stat.st_gid = shown_gid(user, stat.st_gid);
}

fn shown_uid(user: &UserNs, uid: u32) -> u32 {
    user.uid_in(nsproxy::Kuid(uid))
}

fn shown_gid(user: &UserNs, gid: u32) -> u32 {
    user.gid_in(nsproxy::Kgid(gid))
}

/// Tells whether a task in the initial namespaces could reach something of ours by this path.
pub(crate) fn concerns_us(path: &CStr) -> bool {
    let path = path.to_bytes();
    let last = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    procfs::is_interesting(last)
}

impl vfs::Place {
    /// What the place stands for, if it is the object behind a descriptor of ours
    /// (`/proc/self/fd/N`, `/dev/fd/N`).
    pub(crate) fn given(&self, cx: &Cx<'_>) -> Option<Given> {
        cx.sup.descriptors.given(&self.stat)
    }
}

impl Cx<'_> {
    /// The path at `address`, or `None` if the host does not let us read this program's memory, so
    /// that nothing better than the kernel's own answer can be had.
    pub(crate) fn readable_path(&self, address: u64) -> Result<Option<std::ffi::CString>, Trouble> {
        match self.try_path(address) {
            Ok(path) => Ok(Some(path?)),
            // The kernel's own answer would be about the host's mounts.
            Err(anyns_trap::MemError::Denied) if self.tree().is_some() => Err(Errno::FAULT.into()),
            Err(anyns_trap::MemError::Denied) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
