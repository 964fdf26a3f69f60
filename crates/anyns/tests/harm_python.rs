//! Do no harm: Python's own test suite gives the same results under anyns, test for test. What is
//! about files does so in a sandbox of bubblewrap, too, whose every path anyns finds.
//!
//! All runs are the same ordinary user's, with `no_new_privs`. `ANYNS_HARM=full` runs every module;
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

/// What is about files, and is run in a sandbox.
const ABOUT_FILES: [&str; 16] = [
    "test_os",
    "test_posix",
    "test_posixpath",
    "test_genericpath",
    "test_pathlib",
    "test_shutil",
    "test_tempfile",
    "test_glob",
    "test_fileinput",
    "test_tarfile",
    "test_zipfile",
    "test_import",
    "test_stat",
    "test_file",
    "test_fileio",
    "test_fcntl",
];

/// The sandbox; the tests' own directory is below its `/tmp`.
const BOX: &str = "bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --unshare-user --unshare-pid --unshare-ipc --unshare-uts";

const PYTHON: &str = "/usr/bin/python3";

/// The test's name; what came of it, and what it said when it went wrong.
type Outcomes = BTreeMap<String, (String, String)>;

/// Where a module runs.
#[derive(Clone, Copy)]
struct Spot {
    place: Place,
    boxed: bool,
}

fn suite(scratch: &Scratch, spot: Spot, module: &str, only: &[String]) -> Outcomes {
    let Spot { place, boxed } = spot;
    let runner = scratch.path().join("python_suite.py");
    let mut argv = Vec::new();
    if boxed {
        argv.extend(BOX.split(' ').map(str::to_owned));
        let own = scratch.path().to_str().unwrap();
        argv.extend(["--bind", own, own].map(str::to_owned));
    }
    argv.extend([PYTHON, "-B"].map(str::to_owned));
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
fn confirm(
    scratch: &Scratch,
    module: &str,
    at: [Spot; 2],
    native: Outcomes,
    hosted: Outcomes,
) -> String {
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
        natives.push(suite(scratch, at[0], module, &only));
        hosteds.push(suite(scratch, at[1], module, &only));
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

/// Runs a module natively and in other places; says what is different.
fn compare(scratch: &Scratch, module: &str, boxed: bool, hosted: &[Place]) -> String {
    let native = Spot { place: Place::Native, boxed };
    let outcomes = suite(scratch, native, module, &[]);
    assert!(!outcomes.is_empty(), "{module} has no tests");
    let mut report = String::new();
    for &place in hosted {
        let spot = Spot { place, boxed };
        let theirs = suite(scratch, spot, module, &[]);
        if differing(&outcomes, &theirs).is_empty() {
            println!("{module}, {place:?}: {} tests, equal", outcomes.len());
        } else {
            report += &confirm(scratch, module, [native, spot], outcomes.clone(), theirs);
            println!("{module}, {place:?}: {} tests", outcomes.len());
        }
    }
    report
}

fn scratch(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    scratch.file("python_suite.py", include_str!("guests/python_suite.py"));
    assert!(Path::new(PYTHON).exists(), "{PYTHON} and its test suite are needed: see .ci/packages");
    scratch
}

#[test]
fn the_python_test_suite_notices_nothing() {
    let scratch = scratch("python");
    let full = std::env::var("ANYNS_HARM").is_ok_and(|value| value == "full");
    let wanted = std::env::var("ANYNS_HARM_MODULES").unwrap_or_default();
    let mut report = String::new();
    for (module, always) in MODULES {
        if if wanted.is_empty() { always || full } else { wanted.contains(module) } {
            report += &compare(&scratch, module, false, &[Place::Hosted]);
        }
    }
    assert!(report.is_empty(), "these tests notice anyns:\n{report}");
}

#[test]
fn nor_does_it_in_a_sandbox() {
    let scratch = scratch("python-box");
    let hosted = [Place::Refused, Place::Confined];
    let report: String =
        ABOUT_FILES.iter().map(|module| compare(&scratch, module, true, &hosted)).collect();
    assert!(report.is_empty(), "these tests notice anyns:\n{report}");
}
