//! Counts and limits: how many namespaces each user may have made (`struct ucounts`).
//!
//! A namespace is charged to (owner user namespace, maker's effective user), then at every level
//! above to the maker of the user namespace below. Each user namespace has a limit per type,
//! applied to each user's count in it. A [`Charge`] is one such chain, returned when dropped.
//!
//! The chain is there already: a user namespace was itself charged to its maker in its parent, and
//! so holds that [`Tally`]. Only the first is looked up, under a lock of its user namespace; counting
//! takes none.

use crate::{
    Kind,
    capability::Cap,
    cred::Cred,
    id::Kuid,
    namespace::user::UserNs,
    number::numbers,
    rule::{Refusal, Refuse, Rule, Value},
    sync::{Arc, Mutex, Ordering},
    tally::{PerKind, Tally, per_kind},
};
use alloc::{
    collections::BTreeMap,
    format,
    string::String,
    sync::{Arc as StdArc, Weak},
};

/// `INT_MAX`: the limits of a new user namespace, and the largest value a limit can have.
pub(crate) const UNLIMITED: u32 = i32::MAX as u32;

/// One user namespace's limits, and where the counts of each user in it are.
pub(crate) struct Counts {
    max: PerKind,
    of: Mutex<Tallies>,
}

/// The users who have any count. Entries of those who have none any more are cleared away when
/// there are many.
#[derive(Default)]
struct Tallies {
    by_uid: BTreeMap<Kuid, Weak<Tally>>,
    /// How many entries there may be before they are looked through.
    many: usize,
}

impl Counts {
    pub(crate) fn new(max: u32) -> Counts {
        Counts { max: per_kind(max), of: Mutex::default() }
    }

    fn max(&self, kind: Kind) -> u32 {
        self.max[kind as usize].load(Ordering::Relaxed)
    }

    /// A user's tally.
    fn tally(&self, uid: Kuid) -> StdArc<Tally> {
        let mut of = self.of.lock();
        if let Some(known) = of.by_uid.get(&uid).and_then(Weak::upgrade) {
            return known;
        }
        if of.by_uid.len() >= of.many {
            of.by_uid.retain(|_, tally| tally.strong_count() > 0);
            of.many = 2 * of.by_uid.len() + 8;
        }
        let tally = StdArc::new(Tally::new());
        of.by_uid.insert(uid, StdArc::downgrade(&tally));
        tally
    }
}

/// What one namespace costs, at every level. Dropping it gives it back.
pub(crate) struct Charge {
    user: Arc<UserNs>,
    /// None for an initial namespace.
    tally: Option<StdArc<Tally>>,
    kind: Kind,
    /// Where it is counted among those that others count, too.
    lane: u8,
}

impl Charge {
    /// What an initial namespace costs.
    pub(crate) fn nothing(user: &Arc<UserNs>, kind: Kind) -> Charge {
        Charge { user: Arc::clone(user), tally: None, kind, lane: 0 }
    }

    /// Says whether it is an initial namespace's.
    pub(crate) fn is_nothing(&self) -> bool {
        self.tally.is_none()
    }

    /// Charges `uid` in `user`, and the makers of the levels above, for what is made from a namespace
    /// with the number `near`; all or nothing.
    pub(crate) fn take(
        user: &Arc<UserNs>,
        uid: Kuid,
        kind: Kind,
        near: u32,
    ) -> Result<Charge, Refusal> {
        let tally = user.counts().tally(uid);
        let lane = user.kernel().line(near);
        for (at, level) in levels(user, Some(&tally)) {
            if let Err(limit) = level.add(kind, lane, || at.counts().max(kind)) {
                let below = |(level, _): &(&UserNs, _)| *level != at;
                levels(user, Some(&tally))
                    .take_while(below)
                    .for_each(|(_, tally)| tally.remove(kind, lane));
                return Err(Rule::LimitReached
                    .refuse()
                    .with("type", kind)
                    .with("limit", limit)
                    .with("at", Value::Namespace(Kind::User, at.inode())));
            }
        }
        Ok(Charge { user: Arc::clone(user), tally: Some(tally), kind, lane: lane as u8 })
    }

    /// The user namespace charged first: the owner of what was made.
    pub(crate) fn user(&self) -> &Arc<UserNs> {
        &self.user
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let lane = usize::from(self.lane);
        levels(&self.user, self.tally.as_deref())
            .for_each(|(_, tally)| tally.remove(self.kind, lane));
    }
}

/// The levels of a charge, from `user`, where `tally` is charged, upwards; none if nothing is.
fn levels<'a>(
    user: &'a UserNs,
    tally: Option<&'a Tally>,
) -> impl Iterator<Item = (&'a UserNs, &'a Tally)> {
    core::iter::successors(tally.map(|tally| (user, tally)), |(at, _)| {
        let charge = at.charge()?;
        Some((&*charge.user, charge.tally.as_deref()?))
    })
}

/// How many namespaces of a type `uid` is charged with in `user`. For tests and `tree`.
pub fn namespaces_charged(user: &UserNs, uid: Kuid, kind: Kind) -> u32 {
    let tally = user.counts().of.lock().by_uid.get(&uid).and_then(Weak::upgrade);
    tally.map_or(0, |tally| tally.get(kind))
}

/// How many namespaces of a type all users together are charged with in `user`. For tests.
pub fn namespaces_charged_to_all(user: &UserNs, kind: Kind) -> u32 {
    let of = user.counts().of.lock();
    of.by_uid.values().filter_map(Weak::upgrade).map(|tally| tally.get(kind)).sum()
}

/// Reads `/proc/sys/user/max_*_namespaces` as a task in `user` sees it.
pub fn max_namespaces(user: &UserNs, kind: Kind) -> u32 {
    user.counts().max(kind)
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
    user.counts().max[kind as usize].store(max, Ordering::Relaxed);
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

// Under loom, counts exist only in its models.
#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Counts, Kind, parse_sysctl};
    use crate::Kuid;

    /// Those who own nothing are forgotten now and then, and nobody else.
    #[test]
    fn tallies_are_kept_as_long_as_there_is_something_in_them() {
        let counts = Counts::new(1);
        let first = counts.tally(Kuid(7));
        first.add(Kind::Uts, 0, || 1).unwrap();
        for uid in 1000..3000 {
            drop(counts.tally(Kuid(uid)));
        }
        assert!(counts.of.lock().by_uid.len() < 40);
        assert_eq!(counts.tally(Kuid(7)).add(Kind::Uts, 0, || 1), Err(1));
        assert_eq!(counts.tally(Kuid(1000)).get(Kind::Uts), 0);
    }

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
