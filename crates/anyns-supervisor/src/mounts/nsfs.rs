//! The files of namespaces, as far as they are mounted: a mount of one keeps its namespace alive.

use std::sync::{Arc, OnceLock};

use nsproxy::{AnyNamespace, Dentry, Files, Place, Super, System};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Mounts;
use super::spots::{Key, ROOT, Spot};

/// The device number of our namespace files' key: of no file system.
const NO_DEVICE: u64 = u64::MAX;

/// The file system of all namespaces' files, which is mounted nowhere.
#[derive(Debug, Default)]
pub(super) struct Nsfs(OnceLock<Place>);

impl Mounts {
    /// The file of a namespace as a place that can be bound.
    ///
    /// # Errors
    /// Those of opening what stands for it on the host.
    pub(crate) fn namespace_file(
        &self,
        system: &System,
        namespace: &AnyNamespace,
    ) -> Result<Place, Errno> {
        let root = self.nsfs.0.get_or_init(|| {
            let id = self.next_super();
            let device = (0, super::made::minor(id));
            let sb = Arc::new(Super::new(id, "nsfs", device, &system.init_user()));
            system.mount_nowhere(&sb, Dentry { super_id: id, id: ROOT })
        });
        let super_id = root.dentry().super_id;
        let key = Key::Inode(NO_DEVICE, namespace.id(), None);
        if let Some(known) = self.known(super_id, &key) {
            return Ok(root.at(known));
        }
        // Any file of that sort will do: who opens it gets one of ours.
        let path = format!("/proc/self/ns/{}", namespace.kind().name());
        let fd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        Ok(root.at(self.spots.enter(super_id, key, Spot::new(fd)?)))
    }

    /// The namespace whose file a mount of a namespace shows.
    pub(crate) fn namespace_at(
        &self,
        ns: &nsproxy::MntNs,
        place: &crate::vfs::Place,
    ) -> Option<AnyNamespace> {
        ns.table().get(place.mount?)?.pin.clone()
    }
}

/// The files with one that stands for a namespace.
pub(crate) struct WithNamespace<'a> {
    /// All others.
    pub(crate) files: &'a dyn Files,
    /// Which one.
    pub(crate) at: Dentry,
    /// What it stands for.
    pub(crate) namespace: AnyNamespace,
}

impl Files for WithNamespace<'_> {
    fn is_directory(&self, at: Dentry) -> bool {
        self.files.is_directory(at)
    }

    fn is_below(&self, at: Dentry, above: Dentry) -> bool {
        self.files.is_below(at, above)
    }

    fn is_unlinked(&self, at: Dentry) -> bool {
        at != self.at && self.files.is_unlinked(at)
    }

    fn path(&self, at: Dentry, above: Dentry) -> Vec<u8> {
        self.files.path(at, above)
    }

    fn is_always_empty(&self, at: Dentry) -> bool {
        self.files.is_always_empty(at)
    }

    fn namespace(&self, at: Dentry) -> Option<AnyNamespace> {
        (at == self.at).then(|| self.namespace.clone())
    }
}
