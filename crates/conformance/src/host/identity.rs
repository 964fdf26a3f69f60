//! Who a program on a test host is: exactly the same on every machine.

use anyns_trap::raw::{self, CapSets, CredOption};

use super::Who;
use crate::lang::names::ALL_CAPS;

/// The capabilities that Docker leaves a container: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL,
/// SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, MKNOD, AUDIT_WRITE, SETFCAP.
/// They are the bounding set of the ordinary user, who has none of them.
pub(crate) const USER_BOUNDING: u64 =
    0b1111_1011 | 1 << 8 | 1 << 10 | 1 << 13 | 1 << 18 | 1 << 27 | 1 << 29 | 1 << 31;

/// What root has: everything but SYS_RESOURCE, which the root of many machines lacks.
pub(crate) const ROOT_CAPS: u64 = ALL_CAPS & !(1 << 24);

/// The ordinary user's uid and gid.
pub(crate) const USER: u32 = 1000;

/// Changes the calling thread, which must be root, into what the scenarios expect.
pub(super) fn become_who(who: Who) -> Result<(), String> {
    let failed = |errno: raw::Errno| format!("cannot become the scenario's user: {errno}");
    let bounding = if who == Who::User { USER_BOUNDING } else { ROOT_CAPS };
    if who == Who::Root {
        let have = raw::capget(0).map_err(failed)?.permitted;
        if have & ROOT_CAPS != ROOT_CAPS {
            return Err(
                "scenarios of root need a root with every capability but SYS_RESOURCE".into()
            );
        }
    }
    for cap in (0..64).filter(|cap| bounding & (1 << cap) == 0) {
        match raw::cred_option(CredOption::CapbsetDrop, [cap, 0, 0, 0]) {
            Ok(_) | Err(raw::Errno::INVAL) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    raw::setgroups(&[]).map_err(failed)?;
    let (uid, caps) = if who == Who::User { (USER, 0) } else { (0, ROOT_CAPS) };
    raw::setresgid(uid, uid, uid).map_err(failed)?;
    raw::setresuid(uid, uid, uid).map_err(failed)?;
    raw::capset(CapSets { effective: caps, permitted: caps, inheritable: 0 }).map_err(failed)?;
    if who == Who::User {
        raw::cred_option(CredOption::SetNoNewPrivs, [1, 0, 0, 0]).map_err(failed)?;
    }
    raw::default_dumpable().map_err(failed)
}
