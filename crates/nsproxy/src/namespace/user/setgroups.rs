//! `/proc/PID/setgroups`: whether setgroups(2) works in a user namespace.
//!
//! A process without privilege may map its own group only after giving up setgroups(2): leaving a
//! group can open files whose mode shuts that group out.

use super::UserNs;
use crate::{
    Kind,
    capability::Cap,
    cred::Cred,
    rule::{Refusal, Refuse, Rule, Value},
};

/// Checks opening the file of `target` for writing. Opening for reading is free.
pub fn open_setgroups_for_write(target: &UserNs, opener: &Cred) -> Result<(), Refusal> {
    if opener.has(target, Cap::SYS_ADMIN) {
        return Ok(());
    }
    let target = Value::Namespace(Kind::User, target.inode());
    Err(Rule::SetgroupsFileNeedsAdmin.refuse().with("target", target))
}

/// Writes the file; returns how many bytes were taken. Only opening asks for a capability.
pub fn write_setgroups(target: &UserNs, offset: u64, text: &[u8]) -> Result<usize, Refusal> {
    let allow = match parse(text) {
        Some(allow) if offset == 0 => allow,
        _ => return Err(Rule::SetgroupsFileText.refuse()),
    };
    target.change_mappings(|maps| {
        if allow && !maps.setgroups {
            return Err(Rule::SetgroupsAllowTooLate.refuse());
        }
        if !allow && !maps.gid.is_empty() {
            return Err(Rule::SetgroupsDenyTooLate.refuse());
        }
        maps.setgroups = allow;
        Ok(text.len())
    })
}

/// Reads the file: `allow` or `deny`, and a newline.
pub fn read_setgroups(target: &UserNs) -> &'static str {
    if target.with_mappings(|maps| maps.setgroups) { "allow\n" } else { "deny\n" }
}

/// `allow` or `deny`, then blanks; what follows a NUL does not count.
fn parse(text: &[u8]) -> Option<bool> {
    if text.len() >= 8 {
        return None;
    }
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let (allow, rest) = match (text.strip_prefix(b"allow"), text.strip_prefix(b"deny")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return None,
    };
    rest.iter().all(|byte| super::parse::is_blank(*byte)).then_some(allow)
}
