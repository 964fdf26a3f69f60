//! Counts and limits: how many namespaces each user may have made (`struct ucounts`).
//!
//! A namespace is charged to (owner user namespace, maker's effective user), then at every level
//! above to the maker of the user namespace below. Each user namespace has a limit per type,
//! applied to each user's count in it. A [`Charge`] is one such chain, returned when dropped.
//!
//! Lock: one per user namespace, taken for one level at a time, never two together.

use crate::{
    Kind,
    capability::Cap,
    cred::Cred,
    id::Kuid,
    namespace::user::UserNs,
    number::numbers,
    rule::{Refusal, Refuse, Rule, Value},
    sync::{Arc, Mutex},
};
use alloc::{collections::BTreeMap, format, string::String};

/// `INT_MAX`: the limits of a new user namespace, and the largest value a limit can have.
pub(crate) const UNLIMITED: u32 = i32::MAX as u32;

type PerKind = [u32; Kind::ALL.len()];

/// One user namespace's limits and the counts of every user in it.
pub(crate) struct Counts(Mutex<Inner>);

struct Inner {
    max: PerKind,
    of: BTreeMap<Kuid, PerKind>,
}

impl Counts {
    pub(crate) fn new(max: u32) -> Counts {
        Counts(Mutex::new(Inner { max: [max; Kind::ALL.len()], of: BTreeMap::new() }))
    }

    /// Counts one more, or returns the limit that forbids it.
    fn add(&self, uid: Kuid, kind: Kind) -> Result<(), u32> {
        let mut inner = self.0.lock();
        let max = inner.max[kind as usize];
        let counts = inner.of.get(&uid).copied().unwrap_or_default();
        if counts[kind as usize] >= max {
            return Err(max);
        }
        inner.of.entry(uid).or_default()[kind as usize] += 1;
        Ok(())
    }

    fn remove(&self, uid: Kuid, kind: Kind) {
        let mut inner = self.0.lock();
        if let Some(counts) = inner.of.get_mut(&uid) {
            counts[kind as usize] -= 1;
            if *counts == PerKind::default() {
                inner.of.remove(&uid);
            }
        }
    }

    fn get(&self, uid: Kuid, kind: Kind) -> u32 {
        self.0.lock().of.get(&uid).map_or(0, |counts| counts[kind as usize])
    }
}

/// What one namespace costs, at every level. Dropping it gives it back.
pub(crate) struct Charge {
    user: Arc<UserNs>,
    uid: Kuid,
    kind: Kind,
}

impl Charge {
    /// Charges `uid` in `user`, and the makers of the levels above; all or nothing.
    pub(crate) fn take(user: &Arc<UserNs>, uid: Kuid, kind: Kind) -> Result<Charge, Refusal> {
        let (mut at, mut whom): (&UserNs, Kuid) = (user, uid);
        loop {
            if let Err(limit) = at.counts().add(whom, kind) {
                give_back(user, uid, kind, Some(at));
                return Err(Rule::LimitReached
                    .refuse()
                    .with("type", kind)
                    .with("limit", limit)
                    .with("at", Value::Namespace(Kind::User, at.inode())));
            }
            match at.parent_ref() {
                Some(parent) => (whom, at) = (at.owner().0, parent),
                None => break,
            }
        }
        Ok(Charge { user: Arc::clone(user), uid, kind })
    }

    /// The user namespace charged first: the owner of what was made.
    pub(crate) fn user(&self) -> &Arc<UserNs> {
        &self.user
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        give_back(&self.user, self.uid, self.kind, None);
    }
}

/// Takes the counts back from `user` upwards, up to but without `end`.
fn give_back(user: &UserNs, uid: Kuid, kind: Kind, end: Option<&UserNs>) {
    let (mut at, mut whom) = (user, uid);
    loop {
        if end.is_some_and(|end| *end == *at) {
            return;
        }
        at.counts().remove(whom, kind);
        match at.parent_ref() {
            Some(parent) => (whom, at) = (at.owner().0, parent),
            None => return,
        }
    }
}

/// How many namespaces of a type `uid` is charged with in `user`. For tests and `tree`.
pub fn namespaces_charged(user: &UserNs, uid: Kuid, kind: Kind) -> u32 {
    user.counts().get(uid, kind)
}

/// Reads `/proc/sys/user/max_*_namespaces` as a task in `user` sees it.
pub fn max_namespaces(user: &UserNs, kind: Kind) -> u32 {
    user.counts().0.lock().max[kind as usize]
}

/// Says whether `cred` may open `/proc/sys/user/max_*_namespaces` of `user` for writing.
pub fn may_set_max_namespaces(user: &UserNs, cred: &Cred) -> Result<(), Refusal> {
    if cred.has(user, Cap::SYS_RESOURCE) {
        return Ok(());
    }
    Err(Rule::LimitNeedsResource.refuse().with("of", Value::Namespace(Kind::User, user.inode())))
}

/// Writes `/proc/sys/user/max_*_namespaces` of `user`; returns how many bytes were taken.
///
/// Opening asked for the capability of the opener ([`may_set_max_namespaces`]); writing asks for
/// the writer's. Namespaces above the new limit stay; only new ones are refused. A write anywhere
/// but at the start does nothing.
pub fn set_max_namespaces(
    user: &UserNs,
    kind: Kind,
    writer: &Cred,
    offset: u64,
    text: &[u8],
) -> Result<usize, Refusal> {
    if !writer.has(user, Cap::SYS_RESOURCE) {
        let of = Value::Namespace(Kind::User, user.inode());
        return Err(Rule::LimitWriterNeedsResource.refuse().with("of", of));
    }
    if offset != 0 || text.is_empty() {
        return Ok(text.len());
    }
    let Some((max, taken)) = parse_sysctl(text) else { return Err(Rule::LimitText.refuse()) };
    user.counts().0.lock().max[kind as usize] = max;
    Ok(taken)
}

/// The text that reading `/proc/sys/user/max_*_namespaces` gives.
pub fn read_max_namespaces(user: &UserNs, kind: Kind) -> String {
    format!("{}\n", max_namespaces(user, kind))
}

/// Reads one limit, and says how many bytes that took.
pub(crate) fn parse_sysctl(text: &[u8]) -> Option<(u32, usize)> {
    let mut value = None;
    let (taken, whole) = numbers(text, 1, |_, number| {
        value = number.signed().and_then(|value| u32::try_from(value).ok());
        value = value.filter(|value| *value <= UNLIMITED);
        value.is_some()
    });
    value.filter(|_| whole).map(|value| (value, taken))
}

#[cfg(test)]
mod tests {
    use super::parse_sysctl;

    /// Each pair was observed on Linux 6.18.
    #[test]
    fn reads_a_limit_as_the_kernel_does() {
        for (text, expected) in [
            (&b"7"[..], Some((7, 1))),
            (b" 6\n", Some((6, 3))),
            (b"5   6", Some((5, 4))),
            (b"3\n4", Some((3, 2))),
            (b"1 -5", Some((1, 2))),
            (b"7\t\x0b\xa0x", Some((7, 4))),
            (b"\x0b\xa03", Some((3, 3))),
            (b"0x10", Some((16, 4))),
            (b"0XfF", Some((255, 4))),
            (b"010", Some((8, 3))),
            (b"00000000000000000005", Some((5, 20))),
            (b"2147483647", Some((2_147_483_647, 10))),
        ] {
            assert_eq!(parse_sysctl(text), expected, "{}", text.escape_ascii());
        }
        for text in [
            &b"-1"[..],
            b"+5",
            b"5x",
            b"4,5",
            b"4.",
            b"8\0",
            b"9\0 1",
            b"8\x0b",
            b"9\r",
            b"08",
            b"0x",
            b"-",
            b" ",
            b"\n",
            b"2147483648",
            b"99999999999999999999999",
            b"000000000000000000005",
        ] {
            assert_eq!(parse_sysctl(text), None, "{}", text.escape_ascii());
        }
    }
}
