//! The attributes of a mount as mount_setattr(2), fsmount(2) and statmount(2) have them
//! (`MOUNT_ATTR_*`).

use super::MountFlags;

/// The field of access times; relative is 0.
pub(super) const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;

/// The other attributes, and what they are here.
const PLAIN: [(u64, MountFlags); 6] = [
    (0x1, MountFlags::READONLY),
    (0x2, MountFlags::NOSUID),
    (0x4, MountFlags::NODEV),
    (0x8, MountFlags::NOEXEC),
    (0x80, MountFlags::NODIRATIME),
    (0x20_0000, MountFlags::NOSYMFOLLOW),
];

/// Whether all bits are attributes, but for that of an id map.
pub(super) fn are_known(bits: u64) -> bool {
    PLAIN.iter().fold(bits & !ATIME, |rest, (bit, _)| rest & !bit) == 0
}

/// What the attributes beside access times are.
pub(super) fn plain(bits: u64) -> MountFlags {
    let given = PLAIN.iter().filter(|(bit, _)| bits & bit != 0);
    given.fold(MountFlags::empty(), |all, (_, flag)| all | *flag)
}

/// What the field of access times says, if it is one of its values.
pub(super) fn times(bits: u64) -> Option<MountFlags> {
    match bits & ATIME {
        0 => Some(MountFlags::RELATIME),
        NOATIME => Some(MountFlags::NOATIME),
        STRICTATIME => Some(MountFlags::empty()),
        _ => None,
    }
}

impl MountFlags {
    /// The flags of a new mount with these attributes (`MOUNT_ATTR_*`, fsmount(2)); `None` (EINVAL) if
    /// there are others among them, or access times that contradict each other.
    pub fn from_attributes(bits: u64) -> Option<MountFlags> {
        times(bits).filter(|_| are_known(bits)).map(|times| plain(bits) | times)
    }

    /// The attributes of a mount with these flags, without that of an id map.
    pub fn attributes(self) -> u64 {
        let set = PLAIN.iter().filter(|(_, flag)| self.contains(*flag));
        let times = match self & (MountFlags::NOATIME | MountFlags::RELATIME) {
            none if none.is_empty() => STRICTATIME,
            times if times.contains(MountFlags::NOATIME) => NOATIME,
            _ => 0,
        };
        set.fold(times, |all, (bit, _)| all | bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_flags_and_back() {
        for bits in [0, NOATIME, STRICTATIME, 0x8f, 0x20_0001 | NOATIME] {
            assert_eq!(MountFlags::from_attributes(bits).map(MountFlags::attributes), Some(bits));
        }
        assert_eq!(MountFlags::from_attributes(0x10_0000), None, "an id map");
        assert_eq!(MountFlags::from_attributes(NOATIME | STRICTATIME), None);
    }
}
