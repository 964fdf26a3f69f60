//! Runs scenario files by hand and prints where they differ from their text:
//!
//! ```text
//! scenarios native|model|told|stopped|docker FILE [PART OF A NAME]
//! ```
//!
//! With `--nsroot` the scenarios of root are played by the root of a user namespace, which every
//! ordinary user can be, and compared with the model.
//!
//! `told`, `stopped` and `docker` are hosted runs by either back end and by both; they need `ANYNS_BIN`. With `-v` everything is printed.

use std::path::{Path, PathBuf};
use std::process::exit;

use conformance::lang::{Scenario, Start, Transcript, parse_file};
use conformance::native::{Executor, Programs, Way};
use conformance::suite::{judge, judge_by_model};

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let verbose = args.iter().any(|arg| arg == "-v");
    let nsroot = args.iter().any(|arg| arg == "--nsroot");
    args.retain(|arg| arg != "-v" && arg != "--nsroot");
    let (on, file, part) = match args.as_slice() {
        [on, file] => (on, file, ""),
        [on, file, part] => (on, file, part.as_str()),
        _ => fail("usage: scenarios native|model|told|stopped|docker FILE [PART OF A NAME] [-v]"),
    };
    let run = executor(on);
    let scenarios = parse_file(Path::new(file)).unwrap_or_else(|error| fail(&error));
    let mut bad = 0;
    for scenario in scenarios.iter().filter(|scenario| scenario.name.contains(part)) {
        let twin = (nsroot && scenario.start == Start::Root).then(|| scenario.of_nsroot());
        let scenario = twin.as_ref().unwrap_or(scenario);
        let Some(transcript) = run(scenario) else { continue };
        let report = match &twin {
            Some(twin) => judge_by_model(twin, on, &transcript),
            None => judge(scenario, on, &transcript),
        };
        if verbose && report.is_none() {
            println!("{} {}", scenario.place, scenario.name);
            for entry in &transcript.entries {
                println!("    {} = {}", entry.step, entry.result);
            }
        }
        if let Some(report) = report {
            bad += 1;
            println!("{report}");
        }
    }
    drop(run); // and with it the copies of the programs
    exit(i32::from(bad > 0));
}

type Run = Box<dyn Fn(&Scenario) -> Option<Transcript>>;

fn executor(on: &str) -> Run {
    if on == "model" {
        return Box::new(|scenario| Some(conformance::model::run(scenario).transcript));
    }
    let executor = match on {
        "native" => Executor::native(&programs()),
        on => {
            let Some(way) = Way::named(on) else { fail("there is no such executor") };
            let Some(anyns) = std::env::var_os("ANYNS_BIN") else { fail("ANYNS_BIN is not set") };
            let programs = programs();
            let anyns =
                programs.add(Path::new(&anyns), "anyns").unwrap_or_else(|e| fail(&e.to_string()));
            Executor::hosted(&programs, anyns, way)
        }
    };
    Box::new(move |scenario| executor.can_run(scenario).then(|| executor.run(scenario)))
}

/// The programs beside this one.
fn programs() -> Programs {
    let here = std::env::current_exe().unwrap_or_else(|error| fail(&error.to_string()));
    let beside = |name: &str| -> PathBuf { here.with_file_name(name) };
    Programs::install(&beside("conformance-agent"), &beside("refusing-host"))
        .unwrap_or_else(|error| fail(&format!("cannot copy the agent: {error}")))
}

fn fail(sentence: &str) -> ! {
    eprintln!("scenarios: {sentence}");
    exit(2);
}
