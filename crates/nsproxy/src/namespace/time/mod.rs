//! Time: how far the monotonic and the boot-time clock are ahead of the host's.
//!
//! State: two offsets, counted from the initial namespace, and whether they are *frozen*: they can
//! change until the first task comes in. A copy starts with those of the namespace that the
//! maker's children would be born in, and unfrozen.
//! Calls: everything that takes or shows a time of those clocks; `/proc/PID/timens_offsets`.
//! Rules: `JoinTimeHasThreads`, `TimeOffsets*`.
//! Not here: the clocks themselves. Whoever asks says what time it is.
//!
//! A task has two slots: it is in `time`, and its children will be in `time_for_children`, the
//! *pending* one, which is all that unshare(2) changes. A child with memory of its own is born in
//! the pending namespace; one that shares memory is not, because both see their clocks through it.
//! execve(2) moves a task to its pending namespace ([`NsProxy::in_pending_time`]), setns(2) sets
//! both slots.

mod offsets;

pub use offsets::{read_time_offsets, write_time_offsets};

use super::{Draft, Identity, Maker, Namespace, Number};
use crate::{
    Kind,
    namespace::user::UserNs,
    nsproxy::NsProxy,
    rule::{Refusal, Refuse, Rule, Value},
    sync::{Arc, Mutex},
};
use core::fmt;

/// A time or a difference of times, as in `struct timespec`: -0.5 seconds are -1 second and
/// 500,000,000 nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct TimeSpec {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// A value for each of the two clocks that a time namespace shifts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Clocks {
    /// For CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW and CLOCK_MONOTONIC_COARSE.
    pub monotonic: TimeSpec,
    /// For CLOCK_BOOTTIME and CLOCK_BOOTTIME_ALARM.
    pub boottime: TimeSpec,
}

/// A time namespace (`struct time_namespace`).
pub struct TimeNs {
    state: Mutex<State>,
    identity: Identity,
}

#[derive(Clone, Copy)]
struct State {
    offsets: Clocks,
    frozen: bool,
}

impl TimeNs {
    pub(crate) fn initial(user: &Arc<UserNs>) -> Arc<TimeNs> {
        let state = State { offsets: Clocks::default(), frozen: true };
        TimeNs::build(state, Identity::initial(user, Kind::Time))
    }

    fn build(state: State, identity: Identity) -> Arc<TimeNs> {
        Arc::new(TimeNs { state: Mutex::new(state), identity })
    }

    /// Its inode number.
    pub fn inode(&self) -> u32 {
        self.identity.inode()
    }

    /// The user namespace that owns it.
    pub fn owner(&self) -> Arc<UserNs> {
        Arc::clone(self.identity.owner())
    }

    /// How far its clocks are ahead of the host's.
    pub fn offsets(&self) -> Clocks {
        self.state.lock().offsets
    }

    /// Says whether a task has been in it, so that its offsets stay as they are.
    pub fn is_frozen(&self) -> bool {
        self.state.lock().frozen
    }

    /// Replaces the offsets by what `change` makes of them, unless they are frozen: `false`.
    fn set(&self, change: impl FnOnce(&mut Clocks)) -> bool {
        let mut state = self.state.lock();
        if !state.frozen {
            change(&mut state.offsets);
        }
        !state.frozen
    }
}

impl Namespace for TimeNs {
    const KIND: Kind = Kind::Time;

    fn number(&self) -> &Number {
        self.identity.number()
    }

    fn belongs_to(&self) -> Option<&Arc<UserNs>> {
        Some(self.identity.owner())
    }

    fn copy(old: &Arc<TimeNs>, maker: &Maker<'_>) -> Result<Arc<TimeNs>, Refusal> {
        let identity = Identity::new(maker, &**old)?;
        let state = State { offsets: old.offsets(), frozen: false };
        Ok(TimeNs::build(state, identity))
    }

    fn install(this: &Arc<TimeNs>, draft: &mut Draft<'_>) -> Result<(), Refusal> {
        // Threads share memory as well. A leader that has exited does not any more, and so does not
        // count here, as it does for user namespaces.
        let sharers = draft.left_behind(|shares| &shares.memory);
        if sharers > 0 {
            return Err(Rule::JoinTimeHasThreads
                .refuse()
                .with("target", Value::Namespace(Kind::Time, this.inode()))
                .with("sharers", sharers));
        }
        draft.joiner_is_admin(this.identity.owner())?;
        draft.proxy.time = Arc::clone(this);
        draft.proxy.time_for_children = Arc::clone(this);
        Ok(())
    }

    fn entered(&self) {
        self.state.lock().frozen = true;
    }
}

impl NsProxy {
    /// What a task is in after moving to its pending time namespace; `None` if it is there.
    pub(crate) fn in_pending_time(&self) -> Option<NsProxy> {
        (!Arc::ptr_eq(&self.time, &self.time_for_children))
            .then(|| NsProxy { time: Arc::clone(&self.time_for_children), ..self.clone() })
    }
}

impl fmt::Debug for TimeNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeNs")
            .field("inode", &self.inode())
            .field("owner", &self.identity.owner().inode())
            .field("offsets", &self.offsets())
            .field("frozen", &self.is_frozen())
            .finish()
    }
}
