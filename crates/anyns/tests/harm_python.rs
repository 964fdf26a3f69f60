//! Do no harm: Python's own test suite gives the same results under anyns, test for test.
//!
//! Both runs are the same ordinary user's, with `no_new_privs`. `ANYNS_HARM=full` runs every module;
//! without it the modules that take long natively are left out.
//!
//! The rule for tests that are not the same every time: when a test's outcomes differ, that test is
//! run three times more in both places. It passes when each of the three hosted outcomes is one that
//! was also seen natively (in any of the four native runs), and fails otherwise.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use harness::{Line, Place, Scratch, run};

/// Each module, and whether it is in the slice that is always run.
const MODULES: [(&str, bool); 12] = [
    ("test_os", true),
    ("test_posix", true),
    ("test_fork1", true),
    ("test_wait4", true),
    ("test_pty", true),
    ("test_mmap", true),
    ("test_threading", true),
    ("test_subprocess", true),
    ("test_signal", true),
    ("test_selectors", false),
    ("test_socket", false),
    ("test_multiprocessing_fork", false),
];

const PYTHON: &str = "/usr/bin/python3";

/// The test's name; what came of it, and what it said when it went wrong.
type Outcomes = BTreeMap<String, (String, String)>;

fn suite(scratch: &Scratch, place: Place, module: &str, only: &[String]) -> Outcomes {
    let runner = scratch.path().join("python_suite.py");
    let mut argv = vec![PYTHON.to_owned(), "-B".to_owned()];
    argv.extend([runner.to_str().unwrap(), "outcomes", module].map(str::to_owned));
    argv.extend(only.iter().cloned());
    let line = Line::new(argv).limit(Duration::from_secs(1200));
    let outcome = run(scratch, place, &line);
    let written = std::fs::read_to_string(scratch.path().join("home/outcomes"));
    let written = written.unwrap_or_else(|error| panic!("{module}: {error}\n{}", outcome.text()));
    assert_eq!(outcome.status, 0, "{place:?}: {module} died\n{}", outcome.text());
    let mut outcomes = Outcomes::new();
    for line in written.lines() {
        let [test, outcome, detail]: [String; 3] = serde_json::from_str(line).unwrap();
        let entry = outcomes.entry(test).or_default();
        entry.0.push_str(&outcome);
        entry.1.push_str(&detail);
    }
    outcomes
}

/// The method that a name belongs to: sub-tests add their parameters after a blank.
fn method(test: &str) -> &str {
    test.split(' ').next().unwrap_or(test)
}

fn differing(native: &Outcomes, hosted: &Outcomes) -> BTreeSet<String> {
    let names: BTreeSet<_> = native.keys().chain(hosted.keys()).collect();
    let differs = |name: &&&String| {
        native.get(**name).map(|seen| &seen.0) != hosted.get(**name).map(|seen| &seen.0)
    };
    names.iter().filter(differs).map(|name| method(name).to_owned()).collect()
}

/// The outcomes of a method and its sub-tests, as one text.
fn of_method(outcomes: &Outcomes, wanted: &str) -> String {
    let mut text = String::new();
    for (test, (outcome, _)) in outcomes.iter().filter(|(test, _)| method(test) == wanted) {
        let _ = writeln!(text, "{test}: {outcome}");
    }
    text
}

/// Runs the suspects again; says what remains different, in full.
fn confirm(scratch: &Scratch, module: &str, native: Outcomes, hosted: Outcomes) -> String {
    let suspects = differing(&native, &hosted);
    let prefix = format!("test.{module}.");
    // Fixtures of a class or the module have names of their own: then everything is run again.
    let only: Vec<String> = match suspects.iter().all(|name| name.starts_with(&prefix)) {
        true => suspects.iter().cloned().collect(),
        false => Vec::new(),
    };
    let mut natives = vec![native];
    let mut hosteds = Vec::new();
    for _ in 0..3 {
        natives.push(suite(scratch, Place::Native, module, &only));
        hosteds.push(suite(scratch, Place::Hosted, module, &only));
    }
    let mut report = String::new();
    for name in suspects {
        let seen: BTreeSet<_> = natives.iter().map(|run| of_method(run, &name)).collect();
        let strange = |run: &&Outcomes| !seen.contains(&of_method(run, &name));
        if let Some(run) = hosteds.iter().find(strange) {
            let _ =
                writeln!(report, "{name}\n- native {seen:?}\n+ hosted {}", of_method(run, &name));
            for (test, (_, detail)) in run.iter().chain(&hosted) {
                if method(test) == name && !detail.is_empty() {
                    let _ = writeln!(report, "{detail}");
                }
            }
        } else {
            println!("{module}: {name} is not the same every time natively either");
        }
    }
    report
}

#[test]
fn the_python_test_suite_notices_nothing() {
    let scratch = Scratch::new("python");
    scratch.file("python_suite.py", include_str!("guests/python_suite.py"));
    assert!(Path::new(PYTHON).exists(), "{PYTHON} and its test suite are needed: see .ci/packages");
    let full = std::env::var("ANYNS_HARM").is_ok_and(|value| value == "full");
    let wanted = std::env::var("ANYNS_HARM_MODULES").unwrap_or_default();
    let mut report = String::new();
    for (module, always) in MODULES {
        if !(if wanted.is_empty() { always || full } else { wanted.contains(module) }) {
            continue;
        }
        let native = suite(&scratch, Place::Native, module, &[]);
        let hosted = suite(&scratch, Place::Hosted, module, &[]);
        let count = native.len();
        assert!(count > 0, "{module} has no tests");
        if differing(&native, &hosted).is_empty() {
            println!("{module}: {count} tests, equal");
        } else {
            report += &confirm(&scratch, module, native, hosted);
            println!("{module}: {count} tests");
        }
    }
    assert!(report.is_empty(), "these tests notice anyns:\n{report}");
}
