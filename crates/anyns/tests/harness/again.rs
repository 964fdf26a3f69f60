//! The same tests once more, under the other back end, without any test asking for it.
//!
//! Every test program that uses the harness has this module and with it one more test, which runs
//! the whole program again with `ANYNS_TEST_BACK_END=stop`. Every `anyns run` of the tests obeys that
//! variable. What takes long is cut down in the second run unless `ANYNS_TEST_STOP=full`.

use std::process::Command;

/// Names the back end of every `anyns run` of the tests.
const BACK_END: &str = "ANYNS_TEST_BACK_END";

/// Programs whose tests choose the back end themselves, or start no command.
const CHOOSE_THEMSELVES: [&str; 2] = ["docker", "words"];

/// What is cut down in the second run: the program, a variable that makes it shorter, and tests that
/// are left out.
const CUTS: [(&str, (&str, &str), &[&str]); 3] = [
    ("kill", ("ANYNS_KILL_ROUNDS", "5"), &[]),
    (
        "harm_python",
        ("ANYNS_HARM_MODULES", "test_fork1 test_wait4 test_posix test_signal test_pty"),
        &[],
    ),
    ("soak", ("ANYNS_SOAK_SECS", "10"), &[]),
];

/// The words that make `anyns run` use the back end that the tests are to be run with.
pub fn words() -> Option<String> {
    std::env::var(BACK_END).ok().map(|name| format!("--backend={name}"))
}

#[test]
fn again_under_the_stop_back_end() {
    let program = std::env::current_exe().unwrap();
    let stem = program.file_stem().unwrap().to_str().unwrap();
    let name = stem.rsplit_once('-').map_or(stem, |(name, _)| name);
    if CHOOSE_THEMSELVES.contains(&name) || words().is_some() {
        return;
    }
    let full = std::env::var("ANYNS_TEST_STOP").is_ok_and(|how| how == "full");
    let mut again = Command::new(&program);
    again.env(BACK_END, "stop").args(["--skip", "again_under_the_stop_back_end"]);
    for (_, (variable, value), left_out) in CUTS.iter().filter(|(cut, ..)| !full && *cut == name) {
        again.env(variable, value);
        again.args(left_out.iter().flat_map(|test| ["--skip", test]));
    }
    let output = again.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    println!("{}", text(&output.stdout));
    assert!(output.status.success(), "{BACK_END}=stop {name}:\n{}", text(&output.stderr));
}
