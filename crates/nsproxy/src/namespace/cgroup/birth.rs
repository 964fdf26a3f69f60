//! clone3 with INTO_CGROUP: the child begins its life in another cgroup of version 2.
//!
//! The kernel looks the cgroup up late, after the namespaces and the number of the child.

use super::Cgroup;
use crate::{
    CloneFlags,
    call::Newborn,
    rule::{Refusal, Refuse, Rule},
};
use alloc::sync::Arc as StdArc;

/// What the descriptor in clone3's `cgroup` field stands for.
#[derive(Clone, Copy, Debug)]
pub enum CgroupTarget<'a> {
    /// The directory of a cgroup of version 2, opened with O_PATH or not.
    Cgroup(&'a StdArc<Cgroup>),
    /// Something else, or nothing.
    Other,
}

impl Newborn {
    /// Puts the child into the cgroup that INTO_CGROUP asks for.
    ///
    /// `may_write` says whether the parent may write to the `cgroup.procs` of a cgroup.
    pub fn enter_cgroup(
        &self,
        target: CgroupTarget<'_>,
        may_write: impl Fn(&Cgroup) -> bool,
    ) -> Result<(), Refusal> {
        self.parent().reported("clone3", self.enter(target, may_write))
    }

    fn enter(
        &self,
        target: CgroupTarget<'_>,
        may_write: impl Fn(&Cgroup) -> bool,
    ) -> Result<(), Refusal> {
        let found = match target {
            CgroupTarget::Cgroup(to) if to.hierarchy().is_unified() => {
                self.parent().cgroup(to.hierarchy().id).map(|from| (from, to))
            }
            _ => None,
        };
        let Some((from, to)) = found else { return Err(Rule::CloneCgroupOther.refuse()) };
        if to.is_removed() {
            return Err(Rule::CloneCgroupRemoved.refuse());
        }
        let common = from.common_ancestor(to);
        let lacking = match common {
            _ if !may_write(to) => Some("the cgroup"),
            Some(common) if !may_write(common) => Some("the common ancestor"),
            _ => None,
        };
        if let Some(lacking) = lacking {
            return Err(Rule::CloneCgroupNeedsWrite.refuse().with("of", lacking));
        }
        let child = self.child();
        child.set_cgroup(to);
        // A namespace made for the child begins where the child is.
        if self.flags().contains(CloneFlags::NEWCGROUP)
            && let Some(proxy) = child.nsproxy()
        {
            proxy.cgroup.begin_at(child.cgroups());
        }
        Ok(())
    }
}
