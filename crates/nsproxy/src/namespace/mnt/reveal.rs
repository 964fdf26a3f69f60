//! What a new mount of proc or sysfs must not reveal (`mount_too_revealing`).
//!
//! Whoever made a less privileged namespace may have covered parts of these file systems, or left
//! them out. A mount of one's own would show all of it again, so it is had only by those who see a
//! mount of the type that shows as much, and with the restrictions that this one has.

use super::{
    Files, MountFlags, Super,
    tree::{Mount, NsKey, Tree},
};
use crate::rule::{Refusal, Refuse, Rule};

impl Tree {
    /// Checks a new mount of `sb` with `flags` in the namespace `ns`. Returns what is locked of it
    /// because it is locked of the mount that is there.
    pub(super) fn may_show(
        &self,
        files: &dyn Files,
        ns: NsKey,
        sb: &Super,
        flags: MountFlags,
    ) -> Result<MountFlags, Refusal> {
        let trusted = self.spaces.get(&ns).is_some_and(|space| space.owner.is_initial());
        if trusted || !sb.is_revealing() {
            return Ok(MountFlags::empty());
        }
        let here = self.mounts.values().filter(|mount| mount.ns == Some(ns));
        let mut same = here.filter(|mount| mount.sb.kind() == sb.kind());
        same.find_map(|mount| self.shows_as_much(files, mount, flags))
            .ok_or_else(|| Rule::MountReveals.refuse())
    }

    /// The locks of a mount that shows as much as one with `flags` would; `None` if it shows less.
    fn shows_as_much(
        &self,
        files: &dyn Files,
        mount: &Mount,
        flags: MountFlags,
    ) -> Option<MountFlags> {
        let mut locks = mount.flags & (MountFlags::LOCK_READONLY | MountFlags::LOCK_ATIME);
        locks.set(
            MountFlags::LOCK_READONLY,
            locks.contains(MountFlags::LOCK_READONLY) || mount.sb.is_readonly(),
        );
        let writes = !flags.contains(MountFlags::READONLY);
        let times = mount.flags & MountFlags::ATIME == flags & MountFlags::ATIME;
        let stricter = (locks.contains(MountFlags::LOCK_READONLY) && writes)
            || (locks.contains(MountFlags::LOCK_ATIME) && !times);
        let hides = mount.children.iter().map(|child| self.get(*child)).any(|child| {
            let point = child.parent.map(|(_, point)| point);
            child.flags.contains(MountFlags::LOCKED)
                && !point.is_some_and(|point| files.is_always_empty(point))
        });
        (mount.whole && !stricter && !hides).then_some(locks)
    }
}
