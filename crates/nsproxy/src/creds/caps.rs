//! capget(2) and capset(2).

use super::change;
use crate::{
    capability::{Cap, CapSet},
    rule::{Refusal, Refuse, Rule},
    task::Task,
};
use alloc::sync::Arc as StdArc;

/// The three sets that capget(2) reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// Those in use.
    pub effective: CapSet,
    /// Those that may be used.
    pub permitted: CapSet,
    /// Those that execve(2) may pass on.
    pub inheritable: CapSet,
}

/// capget(2) of any task; nobody is refused.
pub fn capget(of: &Task) -> Capabilities {
    of.with_cred(|cred| Capabilities {
        effective: cred.effective,
        permitted: cred.permitted,
        inheritable: cred.inheritable,
    })
}

/// capset(2) of the caller. Unknown capabilities are ignored.
pub fn capset(
    task: &StdArc<Task>,
    effective: CapSet,
    permitted: CapSet,
    inheritable: CapSet,
) -> Result<(), Refusal> {
    let [effective, permitted, inheritable] =
        [effective, permitted, inheritable].map(|set| set.intersection(CapSet::FULL));
    change(task, "capset", |old, new| {
        let unheld = inheritable.difference(old.inheritable.union(old.permitted));
        if let Some(cap) = unheld.first()
            && !old.has_own(Cap::SETPCAP)
        {
            return Err(Rule::CapsetInheritableUnheld.refuse().with("capability", cap));
        }
        if let Some(cap) = inheritable.difference(old.inheritable.union(old.bounding)).first() {
            return Err(Rule::CapsetInheritableUnbounded.refuse().with("capability", cap));
        }
        if let Some(cap) = permitted.difference(old.permitted).first() {
            return Err(Rule::CapsetPermittedRaised.refuse().with("capability", cap));
        }
        if let Some(cap) = effective.difference(permitted).first() {
            return Err(Rule::CapsetEffectiveUnpermitted.refuse().with("capability", cap));
        }
        new.effective = effective;
        new.permitted = permitted;
        new.inheritable = inheritable;
        new.ambient = old.ambient.intersection(permitted.intersection(inheritable));
        Ok(())
    })
}
