//! The two ways in which a call reaches us, and which call takes which.
//!
//! An outer filter's errno outranks our notification, but not `SECCOMP_RET_TRAP`. So what an outer
//! filter denies is *stopped* at the SIGSYS of a seized task, and all else is *told* by
//! notification, which is cheaper and leaves the task untraced.
//!
//! Not here: finding out what is denied (`probe`).

use crate::filter::{Action, Row, Test};

/// How calls reach us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackEnd {
    /// All by notification; tasks are traced for moments only.
    Notify,
    /// Some or all by stops of tasks that are traced all their lives.
    Stop,
}

/// A call that an outer filter answers before we can be told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The call's number.
    pub nr: i64,
    /// When it is denied.
    pub test: Test,
    /// What the outer filter says; 0 if it kills.
    pub errno: u16,
}

/// Which way each call goes.
#[derive(Clone, Debug)]
pub struct Plan {
    way: Way,
    /// What the last argument register holds while a call of ours is made by a guest. Chance must
    /// not produce it; a guest that does so on purpose gains nothing (the call is served).
    pass: u32,
}

#[derive(Clone, Debug)]
enum Way {
    AllTold,
    DeniedStopped(Vec<Denied>),
    AllStopped,
}

impl Plan {
    /// All calls are told: no outer filter is in the way.
    pub fn notify() -> Plan {
        Plan { way: Way::AllTold, pass: 0 }
    }

    /// These calls are stopped, all others told.
    ///
    /// `clone3` denied with ENOSYS is neither: programs then use `clone`, as on a kernel without it.
    /// Where it is allowed it is stopped, because its flags may hide a child from its tracer.
    pub fn stop(denied: Vec<Denied>) -> Plan {
        Plan { way: Way::DeniedStopped(denied), pass: random() }
    }

    /// All calls are stopped: no listener can be had.
    pub fn stop_all() -> Plan {
        Plan { way: Way::AllStopped, pass: random() }
    }

    /// The back end that serves the plan.
    pub fn back_end(&self) -> BackEnd {
        match self.way {
            Way::AllTold => BackEnd::Notify,
            Way::DeniedStopped(_) | Way::AllStopped => BackEnd::Stop,
        }
    }

    /// Whether some calls are told, so that no other listener may be in force.
    pub fn needs_listener(&self) -> bool {
        !matches!(self.way, Way::AllStopped)
    }

    /// See [`Plan::pass`].
    pub(crate) fn pass(&self) -> u32 {
        self.pass
    }

    /// Changes rows that tell into rows that go the way of the plan.
    pub(crate) fn apply(&self, rows: &[Row]) -> Vec<Row> {
        if self.back_end() == BackEnd::Notify {
            return rows.to_vec();
        }
        let mut planned = Vec::new();
        let mut numbers = Vec::new();
        for row in rows {
            if row.action != Action::Notify {
                planned.push(row.clone());
                continue;
            }
            if !numbers.contains(&row.nr) {
                numbers.push(row.nr);
                // Before anything else about this number: calls that we have guests make.
                let test = Test::Eq { arg: 5, value: self.pass };
                planned.push(Row { nr: row.nr, test, action: Action::Trace });
            }
            self.plan_one(row, &mut planned);
        }
        // What guests set for the signal of our stops, and the filters that ours would outrank.
        for (nr, value) in [
            (libc::SYS_rt_sigaction, libc::SIGSYS as u32),
            (libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER),
            (libc::SYS_prctl, libc::PR_SET_SECCOMP as u32),
        ] {
            let ours = Test::Eq { arg: 5, value: self.pass };
            planned.push(Row { nr, test: ours, action: Action::Trace });
            planned.push(Row { nr, test: Test::Eq { arg: 0, value }, action: Action::Trap });
        }
        planned
    }

    fn plan_one(&self, row: &Row, planned: &mut Vec<Row>) {
        let stop = |test| Row { nr: row.nr, test, action: Action::Trap };
        let Way::DeniedStopped(denied) = &self.way else {
            return planned.push(stop(row.test.clone()));
        };
        let mut of_this = denied.iter().filter(|denied| denied.nr == row.nr);
        if row.nr == libc::SYS_clone3 && of_this.clone().any(|d| i32::from(d.errno) == libc::ENOSYS)
        {
            return;
        }
        if row.nr == libc::SYS_clone3 {
            // The filter does not see its flags.
            return planned.push(stop(row.test.clone()));
        }
        if row.nr == libc::SYS_clone {
            // Such a child would not be traced. Only a stopped call can be made without the flag.
            let untraced = Test::AnyBits { arg: 0, mask: libc::CLONE_UNTRACED as u32 };
            planned.push(stop(Test::All(vec![row.test.clone(), untraced])));
        }
        if of_this.clone().any(|denied| denied.test == Test::Always) {
            return planned.push(stop(row.test.clone()));
        }
        for denied in &mut of_this {
            planned.push(stop(Test::All(vec![row.test.clone(), denied.test.clone()])));
        }
        planned.push(row.clone());
    }
}

/// A number nobody expects; never 0, which registers often hold.
fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness the value is merely guessable, which harms nobody but the guest.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u32::from_ne_bytes(bytes) | 0x8000_0001
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(nr: i64) -> Row {
        Row { nr, test: Test::Always, action: Action::Notify }
    }

    fn denied(nr: i64, test: Test, errno: i32) -> Denied {
        Denied { nr, test, errno: errno as u16 }
    }

    fn actions(plan: &Plan, nr: i64) -> Vec<Action> {
        let rows = plan.apply(&[told(nr)]).into_iter();
        rows.filter(|row| row.nr == nr).map(|row| row.action).collect()
    }

    #[test]
    fn what_is_denied_is_stopped_and_the_rest_told() {
        use Action::{Notify, Trace, Trap};
        let flags = Test::AnyBits { arg: 0, mask: 0x1000_0000 };
        let plan = Plan::stop(vec![
            denied(libc::SYS_unshare, Test::Always, libc::EPERM),
            denied(libc::SYS_clone, flags, libc::EPERM),
            denied(libc::SYS_clone3, Test::Always, libc::ENOSYS),
        ]);
        assert_eq!(actions(&plan, libc::SYS_unshare), [Trace, Trap]);
        assert_eq!(actions(&plan, libc::SYS_uname), [Trace, Notify]);
        assert_eq!(actions(&plan, libc::SYS_clone), [Trace, Trap, Trap, Notify]);
        assert_eq!(actions(&plan, libc::SYS_clone3), [Trace], "left to the outer filter");
        assert_eq!(actions(&Plan::stop(Vec::new()), libc::SYS_clone3), [Trace, Trap]);
    }

    #[test]
    fn other_plans_treat_all_rows_alike() {
        assert_eq!(actions(&Plan::notify(), 5), [Action::Notify]);
        assert_eq!(actions(&Plan::stop_all(), 5), [Action::Trace, Action::Trap]);
        let refused = Row { nr: 5, test: Test::Always, action: Action::Errno(1) };
        assert_eq!(Plan::stop_all().apply(std::slice::from_ref(&refused))[0], refused);
    }
}
