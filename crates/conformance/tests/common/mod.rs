//! What several tests need: the programs, the scenarios, anyns.

#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::lang::Scenario;
use conformance::native::{Executor, Programs, Way};

/// The agent and the host maker that cargo built for this test.
pub(crate) fn programs() -> Programs {
    let agent = Path::new(env!("CARGO_BIN_EXE_conformance-agent"));
    let host = Path::new(env!("CARGO_BIN_EXE_refusing-host"));
    Programs::install(agent, host).unwrap_or_else(|error| panic!("cannot copy the agent: {error}"))
}

/// All scenarios; with `CONFORMANCE_ONLY` those whose name or place contains its text.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut all = conformance::suite::all().unwrap_or_else(|error| panic!("{error}"));
    if let Ok(part) = std::env::var("CONFORMANCE_ONLY") {
        all.retain(|scenario| scenario.name.contains(&part) || scenario.place.contains(&part));
        assert!(!all.is_empty(), "no scenario is called {part}");
    }
    all
}

/// Those of them that an executor can run. What the host does not allow is said on standard error.
pub(crate) fn scenarios_for(executor: &Executor) -> Vec<Scenario> {
    let mut all = scenarios();
    all.retain(|scenario| executor.can_run(scenario));
    if let Some(reason) = executor.why_no_cgroups() {
        let before = all.len();
        all.retain(|scenario| !scenario.needs_cgroup());
        eprintln!("{} scenarios were not run: {reason}", before - all.len());
    }
    all
}

/// Every way in which anyns runs, with its name, or the one that `CONFORMANCE_WAY` names.
pub(crate) fn hosted(programs: &Programs) -> Vec<(&'static str, Executor)> {
    let anyns = programs.add(&anyns(), "anyns").expect("anyns can be copied");
    let only = std::env::var("CONFORMANCE_WAY").ok();
    let wanted = |way: &Way| only.as_ref().is_none_or(|only| only == way.name());
    let ways: Vec<Way> = Way::ALL.into_iter().filter(wanted).collect();
    assert!(!ways.is_empty(), "no way is called {only:?}");
    let executor = |way: Way| (way.name(), Executor::hosted(programs, anyns.clone(), way));
    ways.into_iter().map(executor).collect()
}

/// The anyns binary: `ANYNS_BIN`, or the one beside this test's own programs, built if missing.
pub(crate) fn anyns() -> PathBuf {
    if let Some(path) = std::env::var_os("ANYNS_BIN") {
        return path.into();
    }
    let path = Path::new(env!("CARGO_BIN_EXE_conformance-agent")).with_file_name("anyns");
    if !path.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "-p", "anyns", "--bin", "anyns"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let status = build.status().unwrap_or_else(|error| panic!("cannot run cargo: {error}"));
        assert!(status.success(), "anyns does not build");
    }
    assert!(path.exists(), "there is no {}; name one with ANYNS_BIN", path.display());
    path
}
