//! Which back end serves here.
//!
//! Notification is the better one: nothing is traced for longer than a moment. It needs a free
//! listener, and it needs to hear of every call of the table. Where it does not, the calls that an
//! outer filter answers are stopped, and where there is no listener all of them are.
//!
//! Not here: what was found (`outer`, `trace`, `host`).

use super::host::{self, Kernel, Status};
use super::outer::{self, Outer};
use super::{Facts, Notify, Obstacle};
use crate::filter::Row;
use crate::plan::{Denied, Plan};
use crate::sys;

/// Which back end was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// Whichever serves here.
    #[default]
    Auto,
    /// By notification or not at all.
    Notify,
    /// By stops, also where notification would serve.
    Stop,
}

/// Chooses for a run in which `rows` are served. Without an outer filter this reads a few small
/// files; with one, a child is asked. The caller has one thread.
///
/// # Errors
/// Everything that stands in the way, the deepest reason first.
pub fn choose(rows: &[Row], wish: Wish) -> Result<Plan, Vec<Obstacle>> {
    let kernel = Kernel::read();
    if !kernel.is_new_enough() {
        return Err(vec![Obstacle::OldKernel(kernel.release)]);
    }
    let Some(status) = Status::read() else { return Err(vec![Obstacle::NoProc]) };
    let Some(filters) = status.seccomp_mode else { return Err(vec![Obstacle::NoSeccomp]) };
    if let Some(yama) = yama(host::yama(), &status) {
        return Err(vec![yama]);
    }
    let label = host::label();
    if filters == 0 && label.is_none() {
        return Ok(if wish == Wish::Stop { Plan::stop_all() } else { Plan::notify() });
    }
    match outer::ask(rows) {
        Ok(outer) => decide(&outer, label, wish),
        Err(obstacle) => Err(vec![obstacle]),
    }
}

impl Facts {
    /// Chooses as [`choose`] does, from what was found.
    ///
    /// # Errors
    /// Everything that stands in the way, the deepest reason first.
    pub fn choose(&self, wish: Wish) -> Result<Plan, Vec<Obstacle>> {
        let mut found = Vec::new();
        if !self.kernel.is_new_enough() {
            found.push(Obstacle::OldKernel(self.kernel.release.clone()));
        }
        match &self.status {
            None => found.push(Obstacle::NoProc),
            Some(Status { seccomp_mode: None, .. }) => found.push(Obstacle::NoSeccomp),
            Some(status) => found.extend(yama(self.yama, status)),
        }
        let decided = match &self.outer {
            Ok(outer) => decide(outer, self.label.clone(), wish),
            Err(obstacle) => Err(vec![obstacle.clone()]),
        };
        match decided {
            Ok(plan) if found.is_empty() => Ok(plan),
            Ok(_) => Err(found),
            Err(more) => {
                let by_yama = found.iter().any(|one| matches!(one, Obstacle::Yama(_)));
                found.extend(more.into_iter().filter(|one| {
                    !(by_yama && matches!(one, Obstacle::TraceRefused(..)))
                        && *one != Obstacle::NoSeccomp
                }));
                Err(found)
            }
        }
    }
}

/// What Yama forbids, if anything.
fn yama(scope: Option<u8>, status: &Status) -> Option<Obstacle> {
    match scope {
        Some(scope @ 2) if !status.may_trace_all() => Some(Obstacle::Yama(scope)),
        // With 3 not even root may, until the next boot.
        Some(scope @ 3..) => Some(Obstacle::Yama(scope)),
        _ => None,
    }
}

fn decide(outer: &Outer, label: Option<String>, wish: Wish) -> Result<Plan, Vec<Obstacle>> {
    let mut found = Vec::new();
    if outer.notify != Notify::ListenerExists {
        found.extend(outer.notify.obstacle());
    }
    let kill: Vec<Denied> = outer
        .denied
        .iter()
        .filter(|one| one.errno == 0 && sys::needed_name(one.nr).is_some())
        .cloned()
        .collect();
    if !kill.is_empty() {
        found.push(Obstacle::CallsKill(kill));
    }
    found.extend(tracing(outer, label));
    if wish == Wish::Notify {
        if outer.notify == Notify::ListenerExists {
            found.push(Obstacle::ListenerExists);
        } else if !outer.denied.is_empty() {
            found.push(Obstacle::CallsHidden(outer.denied.clone()));
        }
    }
    if !found.is_empty() {
        return Err(found);
    }
    let plan = match outer.notify {
        Notify::ListenerExists => Plan::stop_all(),
        _ if !outer.denied.is_empty() => Plan::stop(outer.denied.clone()),
        _ if wish == Wish::Stop => Plan::stop_all(),
        _ => Plan::notify(),
    };
    Ok(if outer.no_clone3 { plan.without_clone3() } else { plan })
}

/// Both back ends trace: the one for life, the other for the moment of a birth.
fn tracing(outer: &Outer, label: Option<String>) -> Option<Obstacle> {
    if let Err(errno) = outer.ptrace {
        return Some(Obstacle::TraceFiltered(errno));
    }
    match (outer.seize, outer.memory) {
        (Err(_), _) if outer.traced => Some(Obstacle::TracedAlready),
        (Err(errno), _) => Some(Obstacle::TraceRefused(errno, label)),
        (_, Err(errno)) => Some(Obstacle::MemoryRefused(errno)),
        (Ok(()), Ok(())) => None,
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;
    use crate::filter::Test;
    use crate::plan::BackEnd;

    fn outer() -> Outer {
        Outer {
            notify: Notify::Works,
            denied: Vec::new(),
            no_clone3: false,
            ptrace: Ok(()),
            seize: Ok(()),
            memory: Ok(()),
            traced: false,
        }
    }

    fn denied(nr: i64, errno: u16) -> Denied {
        Denied { nr, test: Test::Always, errno }
    }

    /// The back end and whether it needs a listener.
    fn plan(outer: &Outer, wish: Wish) -> Result<(BackEnd, bool), Vec<Obstacle>> {
        decide(outer, None, wish).map(|plan| (plan.back_end(), plan.needs_listener()))
    }

    #[test]
    fn notification_serves_unless_something_is_hidden_or_the_listener_is_taken() {
        let free = outer();
        let hidden = Outer { denied: vec![denied(libc::SYS_unshare, 1)], ..outer() };
        let taken = Outer { notify: Notify::ListenerExists, ..outer() };
        assert_eq!(plan(&free, Wish::Auto), Ok((BackEnd::Notify, true)));
        assert_eq!(plan(&hidden, Wish::Auto), Ok((BackEnd::Stop, true)));
        assert_eq!(plan(&taken, Wish::Auto), Ok((BackEnd::Stop, false)));
        assert_eq!(plan(&free, Wish::Stop), Ok((BackEnd::Stop, false)));
        assert_eq!(plan(&hidden, Wish::Stop), Ok((BackEnd::Stop, true)));
        assert_eq!(plan(&free, Wish::Notify), Ok((BackEnd::Notify, true)));
        assert_eq!(plan(&taken, Wish::Notify), Err(vec![Obstacle::ListenerExists]));
        assert_eq!(plan(&hidden, Wish::Notify), Err(vec![Obstacle::CallsHidden(hidden.denied)]));
    }

    #[test]
    fn everything_that_stands_in_the_way_is_told() {
        let nothing = Outer {
            notify: Notify::Refused(Errno::PERM),
            denied: vec![denied(libc::SYS_unshare, 0), denied(libc::SYS_uname, 0)],
            ptrace: Err(Errno::PERM),
            seize: Err(Errno::PERM),
            ..outer()
        };
        let expected = vec![
            Obstacle::NotifyRefused(Errno::PERM),
            Obstacle::CallsKill(vec![denied(libc::SYS_unshare, 0)]),
            Obstacle::TraceFiltered(Errno::PERM),
        ];
        for wish in [Wish::Auto, Wish::Stop] {
            assert_eq!(plan(&nothing, wish), Err(expected.clone()));
        }
        let confined = Outer { seize: Err(Errno::ACCESS), ..outer() };
        let label = Some("box (enforce)".to_owned());
        let refused = Obstacle::TraceRefused(Errno::ACCESS, label.clone());
        assert_eq!(decide(&confined, label, Wish::Auto).err(), Some(vec![refused]));
    }
}
