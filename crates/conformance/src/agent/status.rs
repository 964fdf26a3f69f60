//! Ids and capabilities as text.

use anyns_trap::raw;

use super::refused;
use crate::lang::names::caps_text;

/// All eight ids: one number where the four are equal, else real, effective, saved, file system.
pub(super) fn ids() -> String {
    match raw::get_ids() {
        Ok((uid, gid)) => {
            let (fsuid, fsgid) = raw::fs_ids();
            let text = |ids: raw::Ids, fs: u32| four([ids.real, ids.effective, ids.saved, fs]);
            format!("uid {} gid {}", text(uid, fsuid), text(gid, fsgid))
        }
        Err(errno) => refused(errno),
    }
}

/// Four ids, or one if they are equal.
pub(crate) fn four(ids: [u32; 4]) -> String {
    if ids.iter().all(|id| *id == ids[0]) { ids[0].to_string() } else { list(&ids) }
}

/// Numbers joined by commas; `-` for none.
pub(crate) fn list(numbers: &[u32]) -> String {
    if numbers.is_empty() {
        return "-".into();
    }
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

pub(super) fn sets(sets: raw::CapSets) -> String {
    let [e, p, i] = [sets.effective, sets.permitted, sets.inheritable].map(caps_text);
    format!("e={e} p={p} i={i}")
}

/// A field of `/proc/WHO/status`: capability sets by name, other fields with single blanks.
pub(super) fn field(who: i32, field: &str) -> String {
    let text = match std::fs::read_to_string(format!("/proc/{who}/status")) {
        Ok(text) => text,
        Err(error) => return crate::lang::errno_text(error.raw_os_error().unwrap_or(5)),
    };
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    match line {
        None => format!("!there is no field {field}"),
        Some(value) if field.starts_with("Cap") => {
            u64::from_str_radix(value.trim(), 16).map_or_else(|_| "!no number".into(), caps_text)
        }
        Some(value) => {
            let words: Vec<&str> = value.split_whitespace().collect();
            match words.is_empty() {
                true => "-".into(),
                false if field.starts_with("NS") => format!("^{}", words.join(" ")),
                false => words.join(" "),
            }
        }
    }
}
