//! capget(2), capset(2).
//! Not decided here: which sets are allowed; that is `nsproxy::creds`.

use nsproxy::{CapSet, Cred, creds};
use rustix::io::Errno;

use crate::cx::{Cx, Served, Verdict, native};
use crate::trouble::Trouble;

/// `_LINUX_CAPABILITY_VERSION_1`: one 32-bit word a set.
const VERSION_1: u32 = 0x1998_0330;
/// `_LINUX_CAPABILITY_VERSION_2`: two words a set, withdrawn but still served.
const VERSION_2: u32 = 0x2007_1026;
/// `_LINUX_CAPABILITY_VERSION_3`: two words a set.
const VERSION_3: u32 = 0x2008_0522;

/// Bytes of one `struct __user_cap_data_struct`: effective, permitted, inheritable.
const DATA: usize = 12;

/// Serves `capget(header, data)`.
pub(crate) fn capget(cx: &mut Cx<'_>) -> Served {
    if cx.sup.guests.none_known() {
        return Ok(Verdict::Continue);
    }
    let words = match words(cx) {
        // Asking with no data is how libcap learns the version.
        Err(Trouble::Errno(Errno::INVAL)) if cx.arg(1) == 0 => return Ok(Verdict::Return(0)),
        other => other?,
    };
    if cx.arg(1) == 0 {
        return Ok(Verdict::Return(0));
    }
    let pid = read_u32(cx, cx.arg(0) + 4)? as i32;
    if pid < 0 {
        return Err(Errno::INVAL.into());
    }
    let cred = match pid {
        0 => cx.cred()?,
        pid => of_process(cx, cx.view().find(pid)?)?,
    };
    let sets = [cred.effective, cred.permitted, cred.inheritable];
    let mut out = Vec::with_capacity(words * DATA);
    for word in 0..words {
        for set in sets {
            out.extend_from_slice(&((set.0 >> (32 * word)) as u32).to_ne_bytes());
        }
    }
    cx.mem().write(cx.arg(1), &out)?;
    Ok(Verdict::Return(0))
}

/// Serves `capset(header, data)`.
pub(crate) fn capset(cx: &mut Cx<'_>) -> Served {
    let Some(guest) = cx.changing().cloned() else { return Ok(Verdict::Continue) };
    let words = words(cx)?;
    let pid = read_u32(cx, cx.arg(0) + 4)? as i32;
    if pid != 0 && cx.view().find(pid) != Ok(guest.tid) {
        return Err(Errno::PERM.into());
    }
    let mut data = vec![0; words * DATA];
    cx.mem().read(cx.arg(1), &mut data)?;
    let mut sets = [0u64; 3];
    for (index, word) in data.chunks_exact(4).enumerate() {
        let value = u32::from_ne_bytes(word.try_into().expect("four bytes"));
        sets[index % 3] |= u64::from(value) << (32 * (index / 3));
    }
    let [effective, permitted, inheritable] = sets.map(CapSet);
    creds::capset(&guest.task, effective, permitted, inheritable)?;
    Ok(Verdict::Return(0))
}

/// Number of words a set has in the version the caller speaks; an unknown one is answered with ours.
fn words(cx: &Cx<'_>) -> Result<usize, Trouble> {
    match read_u32(cx, cx.arg(0))? {
        VERSION_1 => Ok(1),
        VERSION_2 | VERSION_3 => Ok(2),
        _ => {
            cx.mem().write(cx.arg(0), &VERSION_3.to_ne_bytes())?;
            Err(Errno::INVAL.into())
        }
    }
}

fn of_process(cx: &Cx<'_>, pid: i32) -> Result<std::sync::Arc<Cred>, Trouble> {
    match cx.sup.find_subject(pid) {
        Some(guest) => cx.sup.cred_of(pid, Some(&guest)),
        None => {
            let native = native(pid).map_err(|_| Trouble::Errno(Errno::SRCH))?;
            Ok(std::sync::Arc::new(cx.sup.native_cred(&native)))
        }
    }
}

fn read_u32(cx: &Cx<'_>, addr: u64) -> Result<u32, Trouble> {
    let mut word = [0; 4];
    cx.mem().read(addr, &mut word)?;
    Ok(u32::from_ne_bytes(word))
}
