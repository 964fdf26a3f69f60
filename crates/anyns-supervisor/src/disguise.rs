//! A supervisor that may do more with files than a guest does what it does for the guest as the guest:
//! with its file system ids, its groups, and no more capabilities over files.
//!
//! A supervisor without privileges is as good as its guests, and pays nothing.

use std::sync::OnceLock;

use anyns_trap::raw::{self, CapSets};

use crate::cx::{Cx, native};
use crate::trouble::Trouble;

/// Capabilities that change what may be done with files: those from `CAP_CHOWN` to `CAP_FSETID`,
/// `CAP_LINUX_IMMUTABLE` and `CAP_MKNOD` (capabilities(7)).
const OVER_FILES: u64 = 0b1_1111 | 1 << 9 | 1 << 27;

/// What this thread is when it is itself.
#[derive(Debug)]
struct Own {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    caps: CapSets,
}

/// As long as it lives this thread is to files what a guest is.
#[derive(Debug)]
pub(crate) struct Disguise(Option<Own>);

impl Disguise {
    /// None.
    pub(crate) fn none() -> Disguise {
        Disguise(None)
    }

    /// Puts on what the caller is, where calls are made for it.
    ///
    /// # Errors
    /// [`Trouble::Gone`] if the caller is dead; what the host refuses.
    pub(crate) fn of(cx: &Cx<'_>) -> Result<Disguise, Trouble> {
        static PRIVILEGED: OnceLock<bool> = OnceLock::new();
        let privileged = *PRIVILEGED.get_or_init(|| {
            let caps = raw::capget(0).map_or(0, |caps| caps.permitted);
            rustix::process::geteuid().is_root() || caps & OVER_FILES != 0
        });
        if !privileged || cx.tree().is_none() {
            return Ok(Disguise(None));
        }
        let (uid, gid, groups, effective) = native(cx.tid())?.to_files();
        let doing = Trouble::host("becoming a guest for its files");
        let caps = raw::capget(0).map_err(doing)?;
        // This asks: no user or group has this number.
        let (own_uid, own_gid) = (raw::setfsuid(u32::MAX), raw::setfsgid(u32::MAX));
        let own_groups = raw::getgroups().map_err(Trouble::host("reading groups"))?;
        let all = caps.effective & OVER_FILES;
        if (uid, gid, &groups) == (own_uid, own_gid, &own_groups) && all & !effective == 0 {
            return Ok(Disguise(None));
        }
        let disguise = Disguise(Some(Own { uid: own_uid, gid: own_gid, groups: own_groups, caps }));
        raw::setgroups(&groups).map_err(Trouble::host("taking a guest's groups"))?;
        raw::setfsgid(gid);
        raw::setfsuid(uid);
        let less = CapSets { effective: caps.effective & !(OVER_FILES & !effective), ..caps };
        raw::capset(less).map_err(Trouble::host("giving up capabilities"))?;
        match (raw::setfsuid(u32::MAX), raw::setfsgid(u32::MAX)) == (uid, gid) {
            true => Ok(disguise),
            false => Err(Trouble::Errno(rustix::io::Errno::PERM)),
        }
    }
}

impl Drop for Disguise {
    fn drop(&mut self) {
        let Some(own) = &self.0 else { return };
        raw::setfsuid(own.uid);
        raw::setfsgid(own.gid);
        // They were this thread's, and what lets it take them it has never given up.
        let restored = raw::setgroups(&own.groups).and_then(|()| raw::capset(own.caps));
        debug_assert!(restored.is_ok(), "{restored:?}");
    }
}
