//! The executor that asks a real kernel (or whoever stands in for it).
//!
//! Every actor of a scenario is a real process or thread running `conformance-agent`, told what to
//! do over its own socket. The first one is started on a test host ([`crate::host`]); for a
//! *hosted* run, `anyns run --` stands between. Every answer has a time limit: a hang is a
//! transcript that broke off, with the call that hung.

pub mod cgroup;
mod life;
mod numbers;
mod roles;
mod session;
mod stage;
mod way;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use nsproxy::{Kind, KindSet};

use crate::host::Mode;
use crate::lang::{Scenario, Start, Transcript};

pub use stage::Programs;
use stage::Stage;
pub use way::Way;

/// The types of namespaces that anyns serves to real processes. A scenario that needs others is
/// for kernel and model.
pub const HOSTED: KindSet =
    KindSet::of(&[Kind::User, Kind::Uts, Kind::Ipc, Kind::Mnt, Kind::Pid, Kind::Cgroup]);

/// How long a step may take, unless the environment says otherwise (`CONFORMANCE_TIMEOUT`, seconds).
///
/// It is for what will never come. A process that has just begun a session can wait for seconds for
/// a processor while others compute, where the scheduler groups by sessions
/// (`sched_autogroup_enabled`).
const TIMEOUT: Duration = Duration::from_secs(60);

/// An executor: where agents are started, and by what.
#[derive(Clone, Debug)]
pub struct Executor {
    programs: Programs,
    mode: Mode,
    /// How calls reach anyns in a hosted run.
    way: Option<Way>,
    /// What stands between the host and the agent.
    between: Vec<OsString>,
    timeout: Duration,
}

impl Executor {
    /// Agents directly on a host that grants namespaces.
    pub fn native(programs: &Programs) -> Executor {
        Executor::new(programs, Mode::Plain, Vec::new())
    }

    /// Agents under `ANYNS run`, on a host that refuses.
    pub fn hosted(programs: &Programs, anyns: PathBuf, way: Way) -> Executor {
        let mut between = vec![anyns.into(), "run".into()];
        between.extend(way.words().iter().map(OsString::from));
        Executor { way: Some(way), ..Executor::new(programs, way.mode(), between) }
    }

    fn new(programs: &Programs, mode: Mode, between: Vec<OsString>) -> Executor {
        let seconds = std::env::var("CONFORMANCE_TIMEOUT").ok().and_then(|text| text.parse().ok());
        let timeout = seconds.map_or(TIMEOUT, Duration::from_secs);
        Executor { programs: programs.clone(), mode, way: None, between, timeout }
    }

    /// Whether the executor can run a scenario: hosted guests are ordinary users, and are not
    /// served every type of namespace.
    pub fn can_run(&self, scenario: &Scenario) -> bool {
        self.way.is_none_or(|way| {
            scenario.start == Start::User && scenario.needs.is_subset(HOSTED) && way.suits(scenario)
        })
    }

    /// Says why this host lets no scenario have a cgroup of its own, if it does not.
    pub fn why_no_cgroups(&self) -> Option<String> {
        let error = cgroup::try_one().err()?;
        Some(format!("a cgroup of version 2 cannot be made: {error}"))
    }

    /// Runs a scenario and says what every call gave.
    pub fn run(&self, scenario: &Scenario) -> Transcript {
        let stage = match Stage::new(self, scenario) {
            Ok(stage) => stage,
            Err(reason) => return Transcript { entries: Vec::new(), broken: Some(reason) },
        };
        session::run(stage, scenario, self.way.is_some())
    }
}
