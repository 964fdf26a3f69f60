//! The two ways in which a call reaches us, and which call takes which.
//!
//! An outer filter's errno outranks our notification, but not `SECCOMP_RET_TRAP`. So what an outer
//! filter denies is *stopped* at the SIGSYS of a seized task, and all else is *told* by
//! notification, which is cheaper and leaves the task untraced.
//!
//! Not here: finding out what is denied (`probe`).

use crate::filter::{Action, Row, Test};
use crate::stop::{filters, minder, steer};

/// How calls reach us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackEnd {
    /// All by notification; tasks are traced for moments only, or while they have arranged for
    /// signals to interrupt their calls.
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
    /// Outside, clone3 is as in a kernel without it.
    no_clone3: bool,
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
        Plan { way: Way::AllTold, pass: random(), no_clone3: false }
    }

    /// These calls are stopped, all others told.
    ///
    /// Where `clone3` is allowed it is stopped, because its flags may hide a child from its tracer.
    pub fn stop(denied: Vec<Denied>) -> Plan {
        Plan { way: Way::DeniedStopped(denied), pass: random(), no_clone3: false }
    }

    /// All calls are stopped: no listener can be had. `move_pages`, which has six arguments and could
    /// not be let through, is ENOSYS.
    pub fn stop_all() -> Plan {
        Plan { way: Way::AllStopped, pass: random(), no_clone3: false }
    }

    /// The same where an outer filter says ENOSYS to `clone3`, which is left to it then: programs use
    /// `clone`, as on a kernel without it.
    pub fn without_clone3(self) -> Plan {
        Plan { no_clone3: true, ..self }
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
        let ours = Test::Eq { arg: 5, value: self.pass };
        let told_only = self.back_end() == BackEnd::Notify;
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
                planned.push(Row { nr: row.nr, test: ours.clone(), action: Action::Trace });
            }
            match told_only {
                true => planned.push(row.clone()),
                false => self.plan_one(row, &mut planned),
            }
        }
        if told_only {
            for nr in minder::NUMBERS {
                planned.push(Row { nr, test: ours.clone(), action: Action::Trace });
            }
            planned.extend(minder::told());
            for (nr, value) in filters::INSTALLS {
                if !numbers.contains(&nr) {
                    planned.push(Row { nr, test: ours.clone(), action: Action::Trace });
                }
                let test = Test::Eq { arg: 0, value };
                planned.push(Row { nr, test, action: Action::Notify });
            }
            return planned;
        }
        // What guests set for the signal of our stops, and the filters that ours would outrank.
        let handler = (libc::SYS_rt_sigaction, libc::SIGSYS as u32);
        for (nr, value) in std::iter::once(handler).chain(filters::INSTALLS) {
            planned.push(Row { nr, test: ours.clone(), action: Action::Trace });
            planned.push(Row { nr, test: Test::Eq { arg: 0, value }, action: Action::Trap });
        }
        // Where tasks run is another thing while one is being woken.
        for nr in steer::CALLS {
            let action = if self.needs_listener() { Action::Notify } else { Action::Trap };
            planned.push(Row { nr, test: ours.clone(), action: Action::Trace });
            planned.push(Row { nr, test: Test::Always, action });
        }
        planned
    }

    fn plan_one(&self, row: &Row, planned: &mut Vec<Row>) {
        let stop = |test| Row { nr: row.nr, test, action: Action::Trap };
        if row.nr == libc::SYS_clone3 && self.no_clone3 {
            return;
        }
        let Way::DeniedStopped(denied) = &self.way else {
            let missing = Row { action: Action::Errno(libc::ENOSYS as u16), ..row.clone() };
            return planned.push(match SIX_ARGUMENTS.contains(&row.nr) {
                true => missing,
                false => stop(row.test.clone()),
            });
        };
        let mut of_this = denied.iter().filter(|denied| denied.nr == row.nr);
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

/// A call that leaves no register for the mark, so that it cannot be stopped and made after all, and
/// that nobody else can make.
const SIX_ARGUMENTS: [i64; 1] = [libc::SYS_move_pages];

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
        ]);
        let plan = plan.without_clone3();
        assert_eq!(actions(&plan, libc::SYS_unshare), [Trace, Trap]);
        assert_eq!(actions(&plan, libc::SYS_uname), [Trace, Notify]);
        assert_eq!(actions(&plan, libc::SYS_clone), [Trace, Trap, Trap, Notify]);
        assert_eq!(actions(&plan, libc::SYS_clone3), [Trace], "left to the outer filter");
        assert_eq!(actions(&Plan::stop(Vec::new()), libc::SYS_clone3), [Trace, Trap]);
    }

    #[test]
    fn other_plans_treat_all_rows_alike() {
        assert_eq!(actions(&Plan::notify(), 5), [Action::Trace, Action::Notify]);
        assert_eq!(actions(&Plan::stop_all(), 5), [Action::Trace, Action::Trap]);
        let whole = actions(&Plan::stop_all(), libc::SYS_move_pages);
        assert_eq!(whole, [Action::Trace, Action::Errno(libc::ENOSYS as u16)]);
        let refused = Row { nr: 5, test: Test::Always, action: Action::Errno(1) };
        assert_eq!(Plan::stop_all().apply(std::slice::from_ref(&refused))[0], refused);
    }
}
