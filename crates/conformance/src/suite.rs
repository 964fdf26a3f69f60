//! The scenarios of this crate, and how a test runs all of them.

use std::path::{Path, PathBuf};

use crate::lang::{Scenario, Transcript, parse_file};

/// The directory of the scenario files.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// Reads every scenario of every file, in the order of the files' names.
pub fn all() -> Result<Vec<Scenario>, String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", directory().display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory()).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.extension().is_some_and(|extension| extension == "scn") {
            files.push(path);
        }
    }
    files.sort();
    let mut all = Vec::new();
    for file in files {
        all.extend(parse_file(&file)?);
    }
    Ok(all)
}

/// Runs scenarios, several at a time, and collects a report of those that are not as expected.
///
/// `run` gives the transcript; the report names the executor `name`.
pub fn run_all(
    scenarios: &[Scenario],
    name: &str,
    run: &(dyn Fn(&Scenario) -> Transcript + Sync),
) -> Result<(), String> {
    run_all_by(scenarios, name, run, &judge)
}

/// The same with another judge: what it says is wrong of a transcript.
pub fn run_all_by(
    scenarios: &[Scenario],
    name: &str,
    run: &(dyn Fn(&Scenario) -> Transcript + Sync),
    judge: &(dyn Fn(&Scenario, &str, &Transcript) -> Option<String> + Sync),
) -> Result<(), String> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let reports = std::sync::Mutex::new(Vec::new());
    let work = || {
        while let Some(scenario) =
            scenarios.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
        {
            if let Some(report) = judge(scenario, name, &run(scenario)) {
                reports.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(report);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(work);
        }
    });
    let mut reports = reports.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    reports.sort();
    if reports.is_empty() {
        return Ok(());
    }
    let (bad, all) = (reports.len(), scenarios.len());
    Err(format!("{bad} of {all} scenarios differ on {name}:\n\n{}", reports.join("\n")))
}

/// Compares what a scenario gave with what its text says.
pub fn judge(scenario: &Scenario, name: &str, transcript: &Transcript) -> Option<String> {
    let difference = Transcript::expected(scenario).difference("text", transcript, name)?;
    Some(format!("{} {}\n{difference}", scenario.place, scenario.name))
}

/// Compares what a scenario gave with what the model says.
pub fn judge_by_model(scenario: &Scenario, name: &str, transcript: &Transcript) -> Option<String> {
    let model = crate::model::run(scenario).transcript;
    let difference = model.difference("model", transcript, name)?;
    Some(format!("{} {}\n{difference}", scenario.place, scenario.name))
}
