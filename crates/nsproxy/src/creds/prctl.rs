//! The options of prctl(2) about credentials: bounding set, securebits, keep-caps, ambient set,
//! no_new_privs.

use super::change;
use crate::{
    capability::{Cap, CapSet},
    cred::SecureBits,
    rule::{Refusal, Refuse, Rule},
    task::Task,
};
use alloc::sync::Arc as StdArc;

mod option {
    pub(super) const GET_KEEPCAPS: u64 = 7;
    pub(super) const SET_KEEPCAPS: u64 = 8;
    pub(super) const CAPBSET_READ: u64 = 23;
    pub(super) const CAPBSET_DROP: u64 = 24;
    pub(super) const GET_SECUREBITS: u64 = 27;
    pub(super) const SET_SECUREBITS: u64 = 28;
    pub(super) const SET_NO_NEW_PRIVS: u64 = 38;
    pub(super) const GET_NO_NEW_PRIVS: u64 = 39;
    pub(super) const CAP_AMBIENT: u64 = 47;
}

mod ambient {
    pub(super) const IS_SET: u64 = 1;
    pub(super) const RAISE: u64 = 2;
    pub(super) const LOWER: u64 = 3;
    pub(super) const CLEAR_ALL: u64 = 4;
}

/// prctl(`option`, `args`): `None` if the option is not about credentials and so not served here.
///
/// `option` is the first argument as given; the kernel takes it as an `int`.
pub fn prctl(task: &StdArc<Task>, option: u64, args: [u64; 4]) -> Option<Result<u64, Refusal>> {
    let [a, b, c, d] = args;
    let done = |result: Result<(), Refusal>| result.map(|()| 0);
    Some(match u64::from(option as u32) {
        option::GET_KEEPCAPS => Ok(keepcaps(task).into()),
        option::SET_KEEPCAPS => done(set_keepcaps(task, a)),
        option::CAPBSET_READ => bounding_read(task, a).map(u64::from),
        option::CAPBSET_DROP => done(bounding_drop(task, a)),
        option::GET_SECUREBITS => Ok(securebits(task).bits().into()),
        option::SET_SECUREBITS => done(set_securebits(task, a)),
        option::SET_NO_NEW_PRIVS => {
            done(unused(task, [b, c, d]).and_then(|()| set_no_new_privs(task, a)))
        }
        option::GET_NO_NEW_PRIVS => unused(task, [a, b | c, d]).map(|()| no_new_privs(task).into()),
        option::CAP_AMBIENT => ambient_option(task, a, b, c | d),
        _ => return None,
    })
}

fn ambient_option(task: &StdArc<Task>, what: u64, cap: u64, rest: u64) -> Result<u64, Refusal> {
    let done = |result: Result<(), Refusal>| result.map(|()| 0);
    if what == ambient::CLEAR_ALL {
        unused(task, [cap, rest, 0])?;
        ambient_clear(task);
        return Ok(0);
    }
    // The kernel looks at the capability before it looks at what to do with it.
    task.reported("prctl", known(cap))?;
    unused(task, [rest, 0, 0])?;
    match what {
        ambient::IS_SET => ambient_is_set(task, cap).map(u64::from),
        ambient::RAISE => done(ambient_raise(task, cap)),
        ambient::LOWER => done(ambient_lower(task, cap)),
        what => task.reported("prctl", Err(Rule::AmbientUnknown.refuse().with("argument", what))),
    }
}

fn unused(task: &Task, args: [u64; 3]) -> Result<(), Refusal> {
    match args.iter().find(|arg| **arg != 0) {
        None => Ok(()),
        Some(arg) => {
            task.reported("prctl", Err(Rule::PrctlArgumentUnused.refuse().with("argument", *arg)))
        }
    }
}

fn known(cap: u64) -> Result<Cap, Refusal> {
    Cap::from_number(cap).ok_or_else(|| Rule::CapabilityUnknown.refuse().with("number", cap))
}

/// PR_CAPBSET_READ: says whether capability number `cap` is in the bounding set.
pub fn bounding_read(task: &Task, cap: u64) -> Result<bool, Refusal> {
    let has = |cap| task.with_cred(|cred| cred.bounding.has(cap));
    task.reported("prctl", known(cap).map(has))
}

/// PR_CAPBSET_DROP: takes capability number `cap` out of the bounding set.
pub fn bounding_drop(task: &StdArc<Task>, cap: u64) -> Result<(), Refusal> {
    change(task, "prctl", |old, new| {
        if !old.has_own(Cap::SETPCAP) {
            return Err(Rule::BoundingNeedsSetpcap.refuse());
        }
        new.bounding = old.bounding.without(known(cap)?);
        Ok(())
    })
}

/// PR_GET_SECUREBITS.
pub fn securebits(task: &Task) -> SecureBits {
    task.with_cred(|cred| cred.securebits)
}

/// PR_SET_SECUREBITS.
pub fn set_securebits(task: &StdArc<Task>, bits: u64) -> Result<(), Refusal> {
    change(task, "prctl", |old, new| {
        let wanted = SecureBits::from_bits_truncate(bits as u32);
        let changed = old.securebits.symmetric_difference(wanted);
        let locks = old.securebits & SecureBits::LOCKS;
        let locked = SecureBits::from_bits_truncate(locks.bits() >> 1) | locks;
        if changed.intersects(locked) {
            let which = (changed & locked).bits();
            return Err(Rule::SecurebitsLocked.refuse().with("bits", which));
        }
        let known = match old.user.kernel_since(6, 14) {
            true => SecureBits::all(),
            false => SecureBits::all().difference(SecureBits::UNPRIVILEGED),
        };
        let unknown = bits & !u64::from(known.bits());
        if unknown != 0 {
            return Err(Rule::SecurebitsUnknown.refuse().with("bits", unknown));
        }
        let free = SecureBits::UNPRIVILEGED.contains(changed) && !changed.is_empty();
        if !free && !old.has_own(Cap::SETPCAP) {
            return Err(Rule::SecurebitsNeedSetpcap.refuse().with("bits", changed.bits()));
        }
        new.securebits = wanted;
        Ok(())
    })
}

/// PR_GET_KEEPCAPS.
pub fn keepcaps(task: &Task) -> bool {
    securebits(task).contains(SecureBits::KEEP_CAPS)
}

/// PR_SET_KEEPCAPS: whether ceasing to be user 0 keeps the permitted set.
pub fn set_keepcaps(task: &StdArc<Task>, keep: u64) -> Result<(), Refusal> {
    change(task, "prctl", |old, new| {
        if keep > 1 {
            return Err(Rule::KeepcapsArgument.refuse().with("argument", keep));
        }
        if old.securebits.contains(SecureBits::KEEP_CAPS_LOCKED) {
            return Err(Rule::KeepcapsLocked.refuse());
        }
        new.securebits.set(SecureBits::KEEP_CAPS, keep == 1);
        Ok(())
    })
}

/// PR_CAP_AMBIENT_IS_SET.
pub fn ambient_is_set(task: &Task, cap: u64) -> Result<bool, Refusal> {
    let has = |cap| task.with_cred(|cred| cred.ambient.has(cap));
    task.reported("prctl", known(cap).map(has))
}

/// PR_CAP_AMBIENT_RAISE.
pub fn ambient_raise(task: &StdArc<Task>, cap: u64) -> Result<(), Refusal> {
    change(task, "prctl", |old, new| {
        let cap = known(cap)?;
        if !old.permitted.intersection(old.inheritable).has(cap) {
            return Err(Rule::AmbientNotHeld.refuse().with("capability", cap));
        }
        if old.securebits.contains(SecureBits::NO_CAP_AMBIENT_RAISE) {
            return Err(Rule::AmbientForbidden.refuse());
        }
        new.ambient = old.ambient.with(cap);
        Ok(())
    })
}

/// PR_CAP_AMBIENT_LOWER.
pub fn ambient_lower(task: &StdArc<Task>, cap: u64) -> Result<(), Refusal> {
    change(task, "prctl", |old, new| {
        new.ambient = old.ambient.without(known(cap)?);
        Ok(())
    })
}

/// PR_CAP_AMBIENT_CLEAR_ALL.
pub fn ambient_clear(task: &StdArc<Task>) {
    let cleared = change(task, "prctl", |_, new| {
        new.ambient = CapSet::EMPTY;
        Ok(())
    });
    debug_assert!(cleared.is_ok());
}

/// PR_GET_NO_NEW_PRIVS.
pub fn no_new_privs(task: &Task) -> bool {
    task.with_cred(|cred| cred.no_new_privs)
}

/// PR_SET_NO_NEW_PRIVS: from now on execve(2) gives nothing. `set` must be 1.
pub fn set_no_new_privs(task: &StdArc<Task>, set: u64) -> Result<(), Refusal> {
    change(task, "prctl", |_, new| {
        if set != 1 {
            return Err(Rule::NoNewPrivsArgument.refuse().with("argument", set));
        }
        new.no_new_privs = true;
        Ok(())
    })
}
