//! uname(2), sethostname(2), setdomainname(2).
//! Not decided here: who may set a name and how long it may be; that is `nsproxy`'s uts room.

use nsproxy::Name;

use crate::cx::{Cx, Served, Verdict};

/// Bytes of each field of `struct utsname`: 64 and the final zero.
const FIELD: usize = 65;

/// Longest name, in bytes (`__NEW_UTS_LEN`).
const NAME_MAX: usize = 64;

/// Serves `uname(buf)`: the host's strings, with the caller's node and domain name.
pub(crate) fn uname(cx: &mut Cx<'_>) -> Served {
    let Some(guest) = cx.guest() else { return Ok(Verdict::Continue) };
    let Some(proxy) = guest.task.nsproxy() else { return Ok(Verdict::Continue) };
    let names = proxy.uts.names();
    let host = rustix::system::uname();
    let mut out = Vec::with_capacity(6 * FIELD);
    for text in [
        host.sysname().to_bytes(),
        &names.host.field()[..NAME_MAX],
        host.release().to_bytes(),
        host.version().to_bytes(),
        host.machine().to_bytes(),
        &names.domain.field()[..NAME_MAX],
    ] {
        let start = out.len();
        out.extend_from_slice(&text[..text.len().min(NAME_MAX)]);
        out.resize(start + FIELD, 0);
    }
    cx.mem().write(cx.arg(0), &out)?;
    Ok(Verdict::Return(0))
}

/// Serves `sethostname(name, len)`.
pub(crate) fn sethostname(cx: &mut Cx<'_>) -> Served {
    set(cx, Name::Host)
}

/// Serves `setdomainname(name, len)`.
pub(crate) fn setdomainname(cx: &mut Cx<'_>) -> Served {
    set(cx, Name::Domain)
}

fn set(cx: &mut Cx<'_>, which: Name) -> Served {
    let mut met = cx.meet_capable()?;
    // The length is an `int`; permission and length are judged before the memory is read.
    let change = nsproxy::prepare_set_name(&met.task, which, i64::from(cx.int(1)))?;
    let mut name = vec![0; change.len()];
    if !name.is_empty() {
        cx.mem().read(cx.arg(0), &mut name)?;
    }
    // From now on the initial namespace may differ from the host's, so the caller is remembered.
    met.keep()?;
    change.commit(&name);
    Ok(Verdict::Return(0))
}
