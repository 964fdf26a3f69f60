//! Descriptors whose meaning is ours: namespaces, and control files that guests write.
//!
//! A guest holds an ordinary descriptor of some object of ours, recognised by its inode, so
//! dup(2), fork(2) and SCM_RIGHTS need no bookkeeping. The entry goes when the last copy, anywhere,
//! is closed.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use anyns_trap::placeholder::Inode;
use anyns_trap::raw;
use nsproxy::{AnyNamespace, Kind};
use parking_lot::RwLock;
use rustix::fs::Stat;
use rustix::io::Errno;

use crate::maps::HashMap;
use crate::mounts::Detached;
use crate::procfs::{ControlFile, Proc, read_file};
use crate::syscalls::context::Context;
use crate::vfs::{self, Reached};

/// What a guest's descriptor stands for.
#[derive(Debug)]
pub(crate) enum Thing {
    /// A namespace.
    Namespace(AnyNamespace),
    /// A pidfd, with the number of its process or thread.
    Process(i32),
    /// Something the kernel knows better.
    Other,
}

/// What we gave a guest under some inode.
#[derive(Clone, Debug)]
pub(crate) enum Given {
    /// A namespace, and the mount of its file that it was opened through, if it was.
    Namespace(AnyNamespace, Option<Reached>),
    /// The same, opened with O_PATH: it can be looked at but not used.
    Path(AnyNamespace, Option<Reached>),
    /// A control file open for writing.
    Control(Arc<ControlFile>),
    /// A tree of mounts that is in no namespace.
    Tree(Arc<Detached>),
    /// A file system on its way.
    Context(Arc<Context>),
}

/// The descriptors that are out.
#[derive(Debug, Default)]
pub(crate) struct Descriptors {
    tables: RwLock<Tables>,
    count: AtomicUsize,
    next: AtomicU64,
    /// The initial namespaces, by the inode numbers of the host's own.
    initial: Vec<AnyNamespace>,
    /// The kernel's ids of those, where it has ids (since 6.18), once somebody has asked.
    initial_ids: OnceLock<Vec<Option<u64>>>,
    namespace_device: u64,
}

/// In every id that is ours: the kernel counts from 1 and does not come this far.
const OUR_IDS: u64 = 1 << 63;

/// Whether an id of a namespace is one that we have given.
pub(crate) fn is_our_id(id: u64) -> bool {
    id & OUR_IDS != 0
}

#[derive(Debug, Default)]
struct Tables {
    by_inode: HashMap<Inode, (u64, Given)>,
    inodes: HashMap<u64, Inode>,
}

impl Descriptors {
    /// Nothing given yet; `initial` are the namespaces that the host's own files stand for.
    pub(crate) fn new(proc: &Proc, initial: Vec<AnyNamespace>) -> Descriptors {
        let namespace_device = proc.namespace_device();
        Descriptors { initial, namespace_device, ..Descriptors::default() }
    }

    /// The id of a namespace, which no other one of the host ever has. `None` on a kernel that has
    /// none to tell.
    pub(crate) fn id_of(&self, namespace: &AnyNamespace) -> Option<u64> {
        let ids = || self.initial.iter().map(|namespace| host_id(namespace.kind())).collect();
        let ids = self.initial_ids.get_or_init(ids);
        match self.initial.iter().position(|initial| initial == namespace) {
            Some(place) => ids[place],
            None => ids.iter().any(Option::is_some).then(|| OUR_IDS | namespace.id()),
        }
    }

    /// A fresh token for an object that is about to be given.
    pub(crate) fn token(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Remembers what the object with this inode stands for.
    pub(crate) fn give(&self, token: u64, inode: Inode, what: Given) {
        let before = {
            let mut tables = self.tables.write();
            tables.inodes.insert(token, inode);
            tables.by_inode.insert(inode, (token, what))
        };
        if before.is_none() {
            self.count.fetch_add(1, Ordering::AcqRel);
        }
        // As in `closed`, of which we have not been told yet.
    }

    /// Forgets an object: its last descriptor is closed.
    pub(crate) fn closed(&self, token: u64) {
        let gone = {
            let mut tables = self.tables.write();
            let inode = tables.inodes.remove(&token);
            inode.and_then(|inode| match tables.by_inode.get(&inode) {
                // The number may have been given again already.
                Some((current, _)) if *current == token => tables.by_inode.remove(&inode),
                _ => None,
            })
        };
        if gone.is_some() {
            self.count.fetch_sub(1, Ordering::AcqRel);
        }
        // `gone` may hold the last reference of a namespace: it dies here, outside the lock.
    }

    /// Number of objects that are out.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// What the object with these attributes stands for, if it is one of ours.
    pub(crate) fn given(&self, stat: &Stat) -> Option<Given> {
        if self.len() == 0 {
            return None;
        }
        Some(self.tables.read().by_inode.get(&Inode::of(stat))?.1.clone())
    }

    /// The control file with this token.
    pub(crate) fn control(&self, token: u64) -> Option<Arc<ControlFile>> {
        let tables = self.tables.read();
        match &tables.by_inode.get(tables.inodes.get(&token)?)?.1 {
            Given::Control(file) => Some(file.clone()),
            Given::Namespace(..) | Given::Path(..) | Given::Tree(_) | Given::Context(_) => None,
        }
    }

    /// Tells what descriptor `fd` of thread `tid` stands for.
    ///
    /// # Errors
    /// EBADF if it is not open, or was opened with O_PATH.
    pub(crate) fn look(&self, tid: i32, fd: i32) -> Result<Thing, Errno> {
        let stat = vfs::stat_descriptor(tid, fd)?;
        let info = read_file(&format!("/proc/{tid}/fdinfo/{fd}")).map_err(|_| Errno::BADF)?;
        let info = String::from_utf8_lossy(&info);
        let flags = info_field(&info, "flags").and_then(|text| u32::from_str_radix(text, 8).ok());
        if flags.is_some_and(|flags| flags & libc::O_PATH as u32 != 0) {
            return Err(Errno::BADF);
        }
        if let Some(pid) = info_field(&info, "Pid") {
            // -1: the process has been reaped.
            return Ok(Thing::Process(pid.parse().unwrap_or(-1)));
        }
        match self.given(&stat) {
            Some(Given::Namespace(namespace, _)) => return Ok(Thing::Namespace(namespace)),
            Some(Given::Path(..) | Given::Tree(_)) => return Err(Errno::BADF),
            Some(Given::Control(_) | Given::Context(_)) | None => {}
        }
        if stat.st_dev == self.namespace_device {
            let same = self.initial.iter().find(|one| u64::from(one.inode()) == stat.st_ino);
            if let Some(namespace) = same {
                return Ok(Thing::Namespace(namespace.clone()));
            }
        }
        Ok(Thing::Other)
    }
}

/// Whether a descriptor of a thread's was opened to write.
pub(crate) fn is_open_for_writing(tid: i32, fd: i32) -> bool {
    let Ok(info) = read_file(&format!("/proc/{tid}/fdinfo/{fd}")) else { return false };
    let info = String::from_utf8_lossy(&info);
    let flags = info_field(&info, "flags").and_then(|text| i32::from_str_radix(text, 8).ok());
    flags
        .is_some_and(|flags| flags & libc::O_PATH == 0 && flags & libc::O_ACCMODE != libc::O_RDONLY)
}

/// The kernel's id of our own namespace of a type.
fn host_id(kind: Kind) -> Option<u64> {
    let file = std::fs::File::open(format!("/proc/self/ns/{}", kind.name())).ok()?;
    let (_, [id, _]) = raw::ns_words(file.as_raw_fd(), raw::NsWords::Id).ok()?;
    Some(id)
}

fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
