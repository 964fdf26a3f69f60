//! statmount(2), listmount(2): what is mounted in a mount namespace of ours, one by one.
//!
//! What `mountinfo` shows of the same namespace, in another form: both are told by the model.
//! Not here: the initial mount namespace, whose mounts are the kernel's to tell of to whoever is in it.

use std::cell::RefCell;

use nsproxy::{AnyNamespace, Arc, Cap, MntNs, MountId, MountStatus};
use rustix::io::Errno;

use crate::abi::statmount::{self, LIST_REVERSE, Request};
use crate::cx::{Cx, Met, Served, Verdict};
use crate::descriptors::{Thing, is_our_id};
use crate::mounts::{What, unique, unique_of};
use crate::procfs;
use crate::trouble::Trouble;

/// `LSMT_ROOT`: all that can be reached from the root directory.
const ALL: u64 = u64::MAX;
/// Numbers up to here are no mount's (`MNT_UNIQUE_ID_OFFSET`).
const FIRST: u64 = 1 << 31;
/// So many numbers are told at once.
const MOST: u64 = 1_000_000;
/// Addresses from here on are not the program's.
const END: u64 = 1 << 47;

/// What file systems are called in `sb_magic`, where their objects may not be there to be asked.
const MAGIC: [(&str, u64); 14] = [
    ("tmpfs", 0x0102_1994),
    ("devtmpfs", 0x0102_1994),
    ("rootfs", 0x0102_1994),
    ("ramfs", 0x8584_58f6),
    ("proc", 0x9fa0),
    ("sysfs", 0x6265_6572),
    ("devpts", 0x1cd1),
    ("mqueue", 0x1980_0202),
    ("cgroup", 0x0027_e0eb),
    ("cgroup2", 0x6367_7270),
    ("nsfs", 0x6e73_6673),
    ("ext4", 0xef53),
    ("overlay", 0x794c_7630),
    ("xfs", 0x5846_5342),
];

/// Whose mounts are asked about.
struct Asked<'a> {
    met: Met<'a>,
    /// Its own namespace, or another that was named.
    ns: Arc<MntNs>,
    is_own: bool,
}

impl Asked<'_> {
    /// Whether the caller rules over the namespace.
    fn rules(&self) -> bool {
        self.met.task.cred().has(&self.ns.owner(), Cap::SYS_ADMIN)
    }
}

/// The caller and its mount namespace, if that is one of ours, or one is what it asks about.
fn caller<'a>(cx: &Cx<'a>) -> Result<Option<(Met<'a>, Arc<MntNs>)>, Trouble> {
    let initial = cx.sup.system.init_nsproxy().mnt.clone();
    if let Some(met) = super::mount::concerned(cx)? {
        let own = met.task.nsproxy().ok_or(Trouble::Gone)?.mnt.clone();
        if !Arc::ptr_eq(&own, &initial) {
            return Ok(Some((met, own)));
        }
    }
    match request(cx) {
        Ok(request) if names_ours(cx, &request) => Ok(Some((cx.meet()?, initial))),
        // What is wrong with it the kernel says itself.
        _ => Ok(None),
    }
}

/// Whether a request is about a mount namespace that the kernel does not have.
fn names_ours(cx: &Cx<'_>, request: &Request) -> bool {
    if request.descriptor == 0 {
        return is_our_id(request.namespace);
    }
    match cx.sup.descriptors.look(cx.tid(), request.descriptor as i32) {
        Ok(Thing::Namespace(AnyNamespace::Mnt(ns))) => {
            !Arc::ptr_eq(&ns, &cx.sup.system.init_nsproxy().mnt)
        }
        _ => false,
    }
}

/// Reads the request, which both calls take alike.
fn request(cx: &Cx<'_>) -> Result<Request, Trouble> {
    let mut size = [0; 4];
    cx.mem().read(cx.arg(0), &mut size)?;
    let mut bytes = vec![0; Request::len(u32::from_ne_bytes(size))?];
    cx.mem().read(cx.arg(0), &mut bytes)?;
    let request = Request::decode(&bytes)?;
    match request.mount <= FIRST || request.namespace != 0 && request.descriptor != 0 {
        true => Err(Errno::INVAL.into()),
        false => Ok(request),
    }
}

/// The namespace that a request is about.
fn asked<'a>(
    cx: &Cx<'_>,
    (met, own): (Met<'a>, Arc<MntNs>),
    request: &Request,
) -> Result<Asked<'a>, Trouble> {
    let id = |ns: &Arc<MntNs>| cx.sup.descriptors.id_of(&AnyNamespace::Mnt(ns.clone()));
    let ns = match (request.descriptor, request.namespace) {
        (0, 0) => own.clone(),
        (0, wanted) => {
            let found = RefCell::new(None);
            let look = |ns: &Arc<MntNs>| {
                if id(ns) == Some(wanted) {
                    *found.borrow_mut() = Some(ns.clone());
                }
            };
            look(&own);
            if found.borrow().is_none() {
                look(&cx.sup.system.init_nsproxy().mnt);
                cx.sup.guests.processes(|task| {
                    task.nsproxy().inspect(|proxy| look(&proxy.mnt));
                    false
                });
            }
            found.into_inner().ok_or(Errno::NOENT)?
        }
        (number, _) => match cx.sup.descriptors.look(cx.tid(), number as i32)? {
            Thing::Namespace(AnyNamespace::Mnt(ns)) => ns,
            _ => return Err(Errno::INVAL.into()),
        },
    };
    let is_own = Arc::ptr_eq(&ns, &own);
    Ok(Asked { met, ns, is_own })
}

/// Serves `statmount(request, buffer, size, flags)`.
pub(crate) fn statmount(cx: &mut Cx<'_>) -> Served {
    let Some(caller) = caller(cx)? else { return Ok(Verdict::Continue) };
    if cx.arg(3) as u32 != 0 {
        return Err(Errno::INVAL.into());
    }
    let (to, room) = (cx.arg(1), cx.arg(2));
    let request = request(cx)?;
    let asked = asked(cx, caller, &request)?;
    if !asked.is_own && !asked.rules() {
        return Err(Errno::PERM.into());
    }
    let id = unique_of(request.mount).ok_or(Errno::NOENT)?;
    let files = &cx.sup.mounts.files();
    let status = nsproxy::mount_status(&asked.met.task, &asked.ns, files, id);
    let mut status = status.ok_or(Errno::NOENT)?;
    if let Some(root) = procfs::cgroup_seen(cx, &status.sb, &status.root) {
        status.root = root;
    }
    if status.point.is_none() && !asked.rules() {
        return Err(Errno::PERM.into());
    }
    let namespace = cx.sup.descriptors.id_of(&AnyNamespace::Mnt(asked.ns.clone()));
    let bytes = statmount::encode(&status, request.param, magic(cx, &status), namespace, room)?;
    cx.mem().write(to, &bytes)?;
    Ok(Verdict::Return(0))
}

/// What the host's kernel calls the type of a mount's file system; `None` if nobody is there to ask.
fn magic(cx: &Cx<'_>, status: &MountStatus) -> Option<u64> {
    if let Some((_, magic)) = MAGIC.iter().find(|(kind, _)| *kind == status.sb.kind()) {
        return Some(*magic);
    }
    let spot = cx.sup.mounts.spot(status.dentry)?;
    let (major, minor) = status.sb.device();
    let is_ours =
        cx.sup.mounts.made(status.sb.id()).is_some_and(|what| !matches!(*what, What::OfHost));
    if is_ours || spot.identity.dev != rustix::fs::makedev(major, minor) {
        return None;
    }
    Some(rustix::fs::fstatfs(&spot.fd).ok()?.f_type as u64)
}

/// Serves `listmount(request, numbers, count, flags)`.
pub(crate) fn listmount(cx: &mut Cx<'_>) -> Served {
    let Some(caller) = caller(cx)? else { return Ok(Verdict::Continue) };
    let (to, count, flags) = (cx.arg(1), cx.arg(2), cx.arg(3) as u32);
    if flags & !LIST_REVERSE != 0 {
        return Err(Errno::INVAL.into());
    }
    if count > MOST {
        return Err(Errno::OVERFLOW.into());
    }
    if to.checked_add(count * 8).is_none_or(|end| end > END) {
        return Err(Errno::FAULT.into());
    }
    let request = request(cx)?;
    let last = request.param;
    if last != 0 && last <= FIRST {
        return Err(Errno::INVAL.into());
    }
    let asked = asked(cx, caller, &request)?;
    if !asked.is_own && !asked.rules() {
        return Err(Errno::NOENT.into());
    }
    let below = match request.mount {
        ALL => None,
        mount => Some(unique_of(mount).ok_or(Errno::NOENT)?),
    };
    let files = &cx.sup.mounts.files();
    let list = nsproxy::mount_list(&asked.met.task, &asked.ns, files, below);
    let list = list.ok_or(Errno::NOENT)?;
    if !list.reachable && !asked.rules() {
        return Err(Errno::PERM.into());
    }
    let bytes: Vec<u8> = page(&list.mounts, last, flags & LIST_REVERSE != 0)
        .take(count as usize)
        .flat_map(u64::to_ne_bytes)
        .collect();
    cx.mem().write(to, &bytes)?;
    Ok(Verdict::Return((bytes.len() / 8) as i64))
}

/// The numbers that come after one, or before it.
fn page(mounts: &[MountId], last: u64, reverse: bool) -> Box<dyn Iterator<Item = u64> + '_> {
    let numbers = mounts.iter().map(|id| unique(*id));
    match reverse {
        true => Box::new(numbers.rev().filter(move |number| last == 0 || *number < last)),
        // After the highest number there is the first one again.
        false => Box::new(numbers.filter(move |number| *number > last || last == u64::MAX)),
    }
}
