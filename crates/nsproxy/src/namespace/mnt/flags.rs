//! The flags of mount(2), umount2(2) and mount_setattr(2), and what a mount keeps of them.

bitflags::bitflags! {
    /// What a mount, as opposed to its file system, does with files; and which of that the
    /// namespace's members may not relax.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct MountFlags: u32 {
        /// Nothing is written through it.
        const READONLY = 1 << 0;
        /// Set-user-ID bits and file capabilities have no effect.
        const NOSUID = 1 << 1;
        /// Device files cannot be opened.
        const NODEV = 1 << 2;
        /// Programs cannot be executed.
        const NOEXEC = 1 << 3;
        /// Access times are never updated.
        const NOATIME = 1 << 4;
        /// Access times of directories are never updated.
        const NODIRATIME = 1 << 5;
        /// Access times are updated when they are older than modification times, or a day.
        const RELATIME = 1 << 6;
        /// Symbolic links are not followed.
        const NOSYMFOLLOW = 1 << 7;
        /// Came with a less privileged copy: `READONLY` cannot be cleared.
        const LOCK_READONLY = 1 << 8;
        /// `NOSUID` cannot be cleared.
        const LOCK_NOSUID = 1 << 9;
        /// `NODEV` cannot be cleared.
        const LOCK_NODEV = 1 << 10;
        /// `NOEXEC` cannot be cleared.
        const LOCK_NOEXEC = 1 << 11;
        /// The access time flags cannot change.
        const LOCK_ATIME = 1 << 12;
        /// It cannot be unmounted or moved, nor what it covers be revealed.
        const LOCKED = 1 << 13;
    }
}

impl MountFlags {
    /// The access time flags.
    pub const ATIME: MountFlags =
        MountFlags::NOATIME.union(MountFlags::NODIRATIME).union(MountFlags::RELATIME);

    /// What a remount can set.
    pub const SETTABLE: MountFlags = MountFlags::READONLY
        .union(MountFlags::NOSUID)
        .union(MountFlags::NODEV)
        .union(MountFlags::NOEXEC)
        .union(MountFlags::NOSYMFOLLOW)
        .union(MountFlags::ATIME);

    /// Flags and the locks that hold them.
    const LOCKS: [(MountFlags, MountFlags); 4] = [
        (MountFlags::READONLY, MountFlags::LOCK_READONLY),
        (MountFlags::NOSUID, MountFlags::LOCK_NOSUID),
        (MountFlags::NODEV, MountFlags::LOCK_NODEV),
        (MountFlags::NOEXEC, MountFlags::LOCK_NOEXEC),
    ];

    /// With every restriction it has locked.
    pub(super) fn with_locks(self) -> MountFlags {
        MountFlags::LOCKS
            .into_iter()
            .filter(|(flag, _)| self.contains(*flag))
            .fold(self | MountFlags::LOCK_ATIME, |all, (_, lock)| all | lock)
    }

    /// Says whether `new` keeps everything that is locked.
    pub(super) fn allow(self, new: MountFlags) -> bool {
        let kept = |(flag, lock)| !self.contains(lock) || new.contains(flag);
        let atime = !self.contains(MountFlags::LOCK_ATIME)
            || self & MountFlags::ATIME == new & MountFlags::ATIME;
        atime && MountFlags::LOCKS.into_iter().all(kept)
    }

    /// With what can be set replaced.
    pub(super) fn replaced(self, new: MountFlags) -> MountFlags {
        (self - MountFlags::SETTABLE) | (new & MountFlags::SETTABLE)
    }
}

bitflags::bitflags! {
    /// `MS_*`, the flags of mount(2). Unknown bits are kept; the kernel ignores them.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct MsFlags: u64 {
        /// Read-only.
        const RDONLY = 1;
        /// No set-user-ID.
        const NOSUID = 2;
        /// No device files.
        const NODEV = 4;
        /// No programs.
        const NOEXEC = 8;
        /// Written at once.
        const SYNCHRONOUS = 16;
        /// Change an existing mount.
        const REMOUNT = 32;
        /// Directories are written at once.
        const DIRSYNC = 128;
        /// No symbolic links.
        const NOSYMFOLLOW = 256;
        /// No access times.
        const NOATIME = 1024;
        /// No access times of directories.
        const NODIRATIME = 2048;
        /// Make a directory visible elsewhere.
        const BIND = 4096;
        /// Move a mount.
        const MOVE = 8192;
        /// With everything mounted below.
        const REC = 1 << 14;
        /// Without messages in the log.
        const SILENT = 1 << 15;
        /// Make it unbindable.
        const UNBINDABLE = 1 << 17;
        /// Make it private.
        const PRIVATE = 1 << 18;
        /// Make it a slave.
        const SLAVE = 1 << 19;
        /// Make it shared.
        const SHARED = 1 << 20;
        /// Access times relative to modification times.
        const RELATIME = 1 << 21;
        /// Access times always.
        const STRICTATIME = 1 << 24;
        /// The kernel's own; refused.
        const NOUSER = 1 << 31;
    }
}

impl MsFlags {
    /// The four that change propagation.
    pub const PROPAGATION: MsFlags =
        MsFlags::UNBINDABLE.union(MsFlags::PRIVATE).union(MsFlags::SLAVE).union(MsFlags::SHARED);
    /// Those about access times.
    const ATIME: MsFlags = MsFlags::NOATIME
        .union(MsFlags::NODIRATIME)
        .union(MsFlags::RELATIME)
        .union(MsFlags::STRICTATIME);
    /// The magic number that flags once had to carry in their upper half.
    const MAGIC: u64 = 0xc0ed_0000;

    /// As given to mount(2), without the magic number of old programs.
    pub fn from_argument(raw: u64) -> MsFlags {
        match raw & 0xffff_0000 {
            MsFlags::MAGIC => MsFlags::from_bits_retain(raw & !0xffff_0000),
            _ => MsFlags::from_bits_retain(raw),
        }
    }

    /// The mount's own flags; `old` are those of the mount, if it is one being changed.
    pub(super) fn of_mount(self, old: Option<MountFlags>) -> MountFlags {
        const SAME: [(MsFlags, MountFlags); 7] = [
            (MsFlags::RDONLY, MountFlags::READONLY),
            (MsFlags::NOSUID, MountFlags::NOSUID),
            (MsFlags::NODEV, MountFlags::NODEV),
            (MsFlags::NOEXEC, MountFlags::NOEXEC),
            (MsFlags::NOATIME, MountFlags::NOATIME),
            (MsFlags::NODIRATIME, MountFlags::NODIRATIME),
            (MsFlags::NOSYMFOLLOW, MountFlags::NOSYMFOLLOW),
        ];
        let mut flags = MountFlags::empty();
        for (theirs, ours) in SAME {
            flags.set(ours, self.contains(theirs));
        }
        flags.set(MountFlags::RELATIME, !self.contains(MsFlags::NOATIME));
        if self.contains(MsFlags::STRICTATIME) {
            flags -= MountFlags::RELATIME | MountFlags::NOATIME;
        }
        match old {
            // A remount that says nothing about access times leaves them as they are.
            Some(old) if !self.intersects(MsFlags::ATIME) => {
                (flags - MountFlags::ATIME) | (old & MountFlags::ATIME)
            }
            _ => flags,
        }
    }
}

bitflags::bitflags! {
    /// The flags of umount2(2).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct UmountFlags: u32 {
        /// Abort what the file system is doing.
        const FORCE = 1;
        /// Take it out of sight now, and clean up when nobody uses it.
        const DETACH = 2;
        /// Mark it, and unmount it if it was marked and not used since.
        const EXPIRE = 4;
        /// Do not follow a symbolic link.
        const NOFOLLOW = 8;
    }
}

/// How mounts and unmounts in other places concern a mount, and its own concern them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Propagation {
    /// It shares events with its peer group.
    Shared,
    /// It shares none.
    Private,
    /// It receives events and sends none.
    Slave,
    /// Private, and cannot be bound elsewhere.
    Unbindable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_times_default_to_relative_and_survive_a_remount() {
        assert_eq!(MsFlags::empty().of_mount(None), MountFlags::RELATIME);
        assert_eq!(MsFlags::STRICTATIME.of_mount(None), MountFlags::empty());
        assert_eq!(MsFlags::NOATIME.of_mount(None), MountFlags::NOATIME);
        let old = Some(MountFlags::NOATIME | MountFlags::NOSUID);
        assert_eq!(MsFlags::NODEV.of_mount(old), MountFlags::NODEV | MountFlags::NOATIME);
        assert_eq!(MsFlags::RELATIME.of_mount(old), MountFlags::RELATIME);
    }

    #[test]
    fn locked_flags_can_be_added_to_but_not_taken_from() {
        let locked = (MountFlags::READONLY | MountFlags::RELATIME).with_locks();
        assert!(locked.allow(MountFlags::READONLY | MountFlags::RELATIME | MountFlags::NODEV));
        assert!(!locked.allow(MountFlags::RELATIME));
        assert!(!locked.allow(MountFlags::READONLY | MountFlags::NOATIME));
        assert!(MountFlags::READONLY.allow(MountFlags::empty()));
    }

    #[test]
    fn the_old_magic_number_is_no_flag() {
        assert_eq!(MsFlags::from_argument(0xc0ed_0001), MsFlags::RDONLY);
        assert_eq!(MsFlags::from_argument(1 << 20), MsFlags::SHARED);
    }
}
