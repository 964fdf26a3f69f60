//! nsids: one network namespace's numbers for others (`RTM_NEWNSID`, `RTM_GETNSID`).

use super::{Caller, Named};
use crate::{
    rule::{Refusal, Refuse, Rule},
    task::Task,
};
use alloc::{collections::btree_map::Entry, sync::Arc as StdArc};

/// No particular nsid: any for assigning, none as the result of a query.
pub const NSID_ANY: i32 = -1;

/// Gives `other` the number `nsid` in the caller's namespace; below 0 any that is free. A request
/// without a number or without a namespace has `None`.
pub fn nsid_assign(
    task: &StdArc<Task>,
    nsid: Option<i32>,
    other: Option<Named<'_>>,
) -> Result<(), Refusal> {
    let assign = || {
        let caller = Caller::admin(task)?;
        let (Some(nsid), Some(other)) = (nsid, other) else {
            return Err(Rule::NsidIncomplete.refuse());
        };
        let other = other.resolve()?;
        let mut rtnl = caller.net.kernel().rtnl.lock();
        let here = rtnl.net(caller.net.id());
        if let Some(known) = here.nsid_of(other.id()) {
            return Err(Rule::NsidAlreadyGiven.refuse().with("nsid", known));
        }
        if nsid < 0 {
            here.name_for(other.id());
            return Ok(());
        }
        match here.nsids.entry(nsid) {
            Entry::Occupied(_) => Err(Rule::NsidTaken.refuse().with("nsid", nsid)),
            Entry::Vacant(free) => {
                free.insert(other.id());
                Ok(())
            }
        }
    };
    task.reported("RTM_NEWNSID", assign())
}

/// The number of `other` in the caller's namespace; [`NSID_ANY`] if it has none. Everybody may ask.
pub fn nsid_get(task: &StdArc<Task>, other: Option<Named<'_>>) -> Result<i32, Refusal> {
    let get = || {
        let caller = Caller::of(task)?;
        let Some(other) = other else { return Err(Rule::NsidQueryEmpty.refuse()) };
        let other = other.resolve()?;
        let mut rtnl = caller.net.kernel().rtnl.lock();
        Ok(rtnl.net(caller.net.id()).nsid_of(other.id()).unwrap_or(NSID_ANY))
    };
    task.reported("RTM_GETNSID", get())
}

/// Checks that some namespace has the number `nsid` in the caller's.
pub fn nsid_known(task: &StdArc<Task>, nsid: i32) -> Result<(), Refusal> {
    let known = || {
        let caller = Caller::of(task)?;
        let mut rtnl = caller.net.kernel().rtnl.lock();
        match rtnl.net(caller.net.id()).nsids.contains_key(&nsid) {
            true => Ok(()),
            false => Err(Rule::NsidUnknown.refuse().with("nsid", nsid)),
        }
    };
    task.reported("RTM_GETNSID", known())
}
