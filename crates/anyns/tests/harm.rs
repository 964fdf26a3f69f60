//! Do no harm: programs that ask for no namespace print, byte for byte, what they print natively.

mod harness;

use std::time::Duration;

use harness::normal::{Normal, apply};
use harness::report::assert_equal;
use harness::session::Session;
use harness::{Line, Place, Scratch, run};

/// Runs a script in both places with nothing taken out of what it prints.
#[track_caller]
fn unharmed(name: &str, program: &str, script: &str) {
    let scratch = Scratch::new(name);
    let script = scratch.file("script", script);
    let line = Line::new([program, script.to_str().unwrap()]).limit(Duration::from_secs(180));
    let native = run(&scratch, Place::Native, &line);
    assert!(native.stdout.lines().count() > 9, "{name} ran natively:\n{}", native.text());
    let hosted = run(&scratch, Place::Hosted, &line);
    assert_equal(name, &native.text(), &hosted.text());
}

#[test]
fn bash() {
    unharmed("bash", "bash", include_str!("guests/bash.sh"));
}

#[test]
fn dash() {
    unharmed("dash", "dash", include_str!("guests/dash.sh"));
}

#[test]
fn perl() {
    unharmed("perl", "perl", include_str!("guests/perl.pl"));
}

#[test]
fn filters() {
    unharmed("filters", "/usr/bin/python3", include_str!("guests/filters.py"));
}

#[test]
fn closed() {
    unharmed("closed", "/usr/bin/python3", include_str!("guests/closed.py"));
}

#[test]
fn make() {
    unharmed("make", "sh", include_str!("guests/make.sh"));
}

#[test]
fn git() {
    unharmed("git", "sh", include_str!("guests/git.sh"));
}

#[test]
fn tmux() {
    unharmed("tmux", "sh", include_str!("guests/tmux.sh"));
}

/// What is typed to an interactive bash, and what must have been shown before it.
///
/// A blank text waits until the command that was just started owns the terminal.
const TYPED: &[(&str, &str)] = &[
    ("prompt> ", "tty | cut -c1-8; stty size; echo $-\n"),
    ("prompt> ", "sleep 100\n"),
    ("", "\x1a"),
    ("Stopped", ""),
    ("prompt> ", "jobs\n"),
    ("prompt> ", "bg\n"),
    ("prompt> ", "jobs\n"),
    ("prompt> ", "fg\n"),
    ("", "\x03"),
    ("prompt> ", "echo interrupted $?\n"),
    ("prompt> ", "cat | tr a-z A-Z\n"),
    ("", "some text\n"),
    ("some text", "\x04"),
    ("SOME TEXT", ""),
    ("prompt> ", "(sleep 1; kill -TERM $BASHPID); echo status $?\n"),
    ("status 143", ""),
    ("prompt> ", "stty size; echo $LINES $COLUMNS\n"),
    ("33 99", ""),
    ("prompt> ", "exit 7\n"),
];

/// Job control, Ctrl-C, Ctrl-Z, Ctrl-D and the window's size.
fn interactive(scratch: &Scratch, place: Place) -> String {
    let line = Line::new(["bash", "--norc", "--noprofile", "-i"]).env("PS1", "prompt> ");
    let mut bash = Session::start(scratch, place, &line);
    let mut shell = 0;
    for (shown, typed) in TYPED {
        if shown.is_empty() {
            bash.wait_for_owner(shell);
            std::thread::sleep(Duration::from_millis(200));
        } else {
            bash.expect(shown);
        }
        if shell == 0 {
            shell = bash.owner();
        }
        bash.send(typed);
        if typed.starts_with("(sleep") {
            // While bash waits: at a prompt it would redraw the line, at no fixed moment.
            std::thread::sleep(Duration::from_millis(300));
            bash.resize(33, 99);
        }
    }
    apply(&[Normal::After("[1] ")], &bash.end())
}

#[test]
fn a_person_at_a_terminal() {
    let scratch = Scratch::new("terminal");
    let native = interactive(&scratch, Place::Native);
    let hosted = interactive(&scratch, Place::Hosted);
    assert_equal("interactive bash", &native, &hosted);
}

/// Says how each way to end comes out, and what the standard streams are.
#[test]
fn ends_and_streams() {
    let scratch = Scratch::new("ends");
    let scripts = [
        "exit 0",
        "exit 7",
        "exit 255",
        "kill -TERM $$",
        "kill -SEGV $$ ",
        "kill -KILL $$",
        "cat; echo out; echo err >&2",
        "readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2; ls /proc/self/fd",
        "exec 0<&-; exec 2>&-; ls /proc/self/fd",
        "env | sort; pwd; umask; ulimit -a",
        "ps -o stat,comm -p $$ | cat; cat /proc/self/stat | cut -d' ' -f3 ; nice",
        "trap '' INT QUIT; sh -c 'grep ^Sig[BIC] /proc/self/status'",
        "grep -E '^(Uid|Gid|Groups|Cap|NoNew|Threads|Umask)' /proc/self/status",
        // A file that is read right after a stop shows one processor (docs/where-it-differs.md).
        "want=$(taskset -p $$ | sed 's/.*: //'); echo $want; nproc; until sed -n 's/^Cpus_allowed:\t//p' /proc/self/status | tr -d , | sed 's/^0*//' | grep -qx $want; do :; done",
        "cat /proc/self/oom_score_adj /proc/self/coredump_filter /proc/self/personality",
    ];
    for script in scripts {
        let line = Line::sh(script).stdin("from stdin\n");
        let native = run(&scratch, Place::Native, &line);
        let hosted = run(&scratch, Place::Hosted, &line);
        assert_equal(script, &native.text(), &hosted.text());
    }
}
