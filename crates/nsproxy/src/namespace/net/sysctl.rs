//! `/proc/sys/net/ipv4/ip_unprivileged_port_start`.

use super::{NetNs, port::LOCAL_RANGE};
use crate::{
    capability::Cap,
    cred::Cred,
    id::{Kgid, Kuid},
    number::numbers,
    rule::{Refusal, Refuse, Rule},
};
use alloc::{format, string::String};

/// Who may write the files of `/proc/sys/net`: their owner, the root of the user namespace that
/// owns the network, and whoever administers it.
fn lets_write(net: &NetNs, cred: &Cred) -> bool {
    // The mode is 0644: the group cannot write either.
    cred.euid == net.files_owner().0 || cred.has(net.identity.owner(), Cap::NET_ADMIN)
}

impl NetNs {
    /// Who owns its files in `/proc/sys/net`.
    pub fn files_owner(&self) -> (Kuid, Kgid) {
        let uid = self.identity.owner().map_uid(0).unwrap_or(Kuid::ROOT);
        (uid, self.identity.owner().map_gid(0).unwrap_or(Kgid::ROOT))
    }
}

/// Checks that `cred` may open the file of `net` for writing. Everybody may read.
pub fn may_open_port_start(net: &NetNs, cred: &Cred) -> Result<(), Refusal> {
    if lets_write(net, cred) {
        return Ok(());
    }
    Err(Rule::NetFileNeedsAdmin.refuse().with("euid", cred.euid).with("owner", net.owner_value()))
}

/// Writes the first port that everybody may bind in `net`; returns how many bytes were taken.
pub fn write_port_start(
    net: &NetNs,
    writer: &Cred,
    offset: u64,
    text: &[u8],
) -> Result<usize, Refusal> {
    if !lets_write(net, writer) {
        return Err(Rule::NetFileWriterNeedsAdmin.refuse().with("euid", writer.euid));
    }
    if offset != 0 || text.is_empty() {
        return Ok(text.len());
    }
    let mut value = None;
    let (taken, whole) = numbers(text, 1, |_, number| {
        value = number.signed().and_then(|value| u16::try_from(value).ok());
        value = value.filter(|value| value <= LOCAL_RANGE.start());
        value.is_some()
    });
    let Some(value) = value.filter(|_| whole) else { return Err(Rule::PortStartText.refuse()) };
    net.ports.lock().first_free_for_all = value;
    Ok(taken)
}

/// The text that reading the file gives.
pub fn read_port_start(net: &NetNs) -> String {
    format!("{}\n", net.ports.lock().first_free_for_all)
}
