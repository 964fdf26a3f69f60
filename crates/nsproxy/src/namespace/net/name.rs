//! Names of devices.

use super::rtnl::Net;
use crate::rule::{Refusal, Refuse, Rule};
use alloc::{format, string::String};

/// The longest name, in bytes.
const NAME_MAX: usize = 15;

/// A name that fits into a request at all.
pub(super) fn short_enough(name: &str) -> Result<(), Refusal> {
    if name.len() > NAME_MAX {
        return Err(Rule::LinkNameTooLong.refuse().with("length", name.len()));
    }
    Ok(())
}

/// The name that a request asks for: itself, or with `%d` the first number that is free.
pub(super) fn choose(net: &Net, wanted: &str) -> Result<String, Refusal> {
    let blank = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, 0x0b | 0xa0);
    let bad = wanted.is_empty()
        || matches!(wanted, "." | "..")
        || wanted.bytes().any(|byte| matches!(byte, b'/' | b':') || blank(byte));
    let invalid = || Rule::LinkNameInvalid.refuse();
    if bad {
        return Err(invalid());
    }
    let Some((before, rest)) = wanted.split_once('%') else {
        if net.by_name(wanted).is_some() {
            return Err(Rule::LinkNameTaken.refuse());
        }
        return Ok(String::from(wanted));
    };
    let after = rest.strip_prefix('d').filter(|after| !after.contains('%')).ok_or_else(invalid)?;
    let mut names = (0u32..=u32::MAX).map(|number| format!("{before}{number}{after}"));
    names.find(|name| net.by_name(name).is_none()).ok_or_else(invalid)
}
