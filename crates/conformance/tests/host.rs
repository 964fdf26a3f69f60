//! The hosts do what they promise, and say so when they cannot.

mod common;

use std::process::{Command, Output};

/// `HOST` in a command is the host maker itself, where every user can reach it.
fn on(mode: &str, who: &str, command: &[&str]) -> Output {
    let programs = common::programs();
    let host = programs.refusing_host();
    let host = host.to_str().expect("a plain path");
    let words = command.iter().map(|word| if *word == "HOST" { host } else { word });
    let output = Command::new(host).args([mode, who]).args(words).output();
    output.unwrap_or_else(|error| panic!("{host}: {error}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

#[test]
fn each_host_starts_its_command_as_the_user_named() {
    for mode in ["plain", "max0", "docker"] {
        for (who, uid) in [("1000", "1000"), ("root", "0")] {
            let output = on(mode, who, &["sh", "-c", "id -u; hostname; exit 7"]);
            assert_eq!(text(&output.stderr), "", "{mode} {who}");
            assert_eq!(text(&output.stdout), format!("{uid}\nhost"), "{mode} {who}");
            assert_eq!(output.status.code(), Some(7));
        }
    }
}

#[test]
fn a_host_that_cannot_keep_its_promise_starts_nothing() {
    let nested = on("max0", "root", &["HOST", "plain", "1000", "true"]);
    assert_eq!(nested.status.code(), Some(125));
    assert_eq!(
        text(&nested.stderr),
        "refusing-host: making a host for tests needs a kernel that grants root uts and ipc namespaces: \
         No space left on device (os error 28)"
    );
    let not_root = on("plain", "1000", &["HOST", "max0", "1000", "true"]);
    assert_eq!(not_root.status.code(), Some(125));
    assert_eq!(text(&not_root.stderr), "refusing-host: making a host for tests needs root");
}

#[test]
fn commands_that_cannot_start_are_told_apart() {
    assert_eq!(on("plain", "1000", &["/nonexistent"]).status.code(), Some(127));
    assert_eq!(on("plain", "1000", &["/dev/null"]).status.code(), Some(126));
    assert_eq!(on("plain", "nobody", &["true"]).status.code(), Some(125));
}
