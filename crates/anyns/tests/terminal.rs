//! At a terminal: job control of the shell outside and of a shell inside, as without anyns.

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::session::Session;
use harness::{Line, Place, Scratch};

/// An interactive bash outside of anyns, whose user types.
struct Typist {
    bash: Session,
}

impl Typist {
    fn start(scratch: &Scratch) -> Typist {
        let line = Line::new(["bash", "--norc", "--noprofile", "-i"])
            .env("PS1", "outside> ")
            .env("ANYNS", &harness::place::anyns(scratch).join(" "));
        Typist { bash: Session::start(scratch, Place::Native, &line) }
    }

    /// Types a line at the outer shell's prompt.
    fn at_prompt(&mut self, line: &str) {
        self.bash.expect("outside> ");
        self.typed(line);
    }

    /// Types a line to whoever reads.
    fn typed(&mut self, line: &str) {
        self.bash.send(line);
        self.bash.send("\n");
    }

    fn key(&mut self, key: &str) {
        // Whoever is to be hit by it must be waiting.
        std::thread::sleep(Duration::from_millis(300));
        self.bash.send(key);
    }

    fn leave(mut self) {
        self.at_prompt("jobs; exit 0");
        let all = self.bash.end();
        assert!(all.ends_with("--- exit status: 0\n"), "{all}");
    }
}

const CTRL_C: &str = "\x03";
const CTRL_Z: &str = "\x1a";
const CTRL_BACKSLASH: &str = "\x1c";

#[test]
fn the_terminal_is_the_commands_own() {
    let scratch = Scratch::new("tty");
    let mut typist = Typist::start(&scratch);
    typist.at_prompt("stty rows 31 columns 97; $ANYNS sh -c 'stty size; tty; tty </dev/tty'; tty");
    typist.bash.expect("31 97");
    typist.at_prompt("$ANYNS sh -c 'trap \"echo now \\$(stty size)\" WINCH; echo wait; while :; do sleep 0.1; done'");
    typist.bash.expect("wait\r\n");
    typist.bash.resize(44, 122);
    typist.bash.expect("now 44 122");
    typist.key(CTRL_C);
    typist.leave();
}

#[test]
fn interrupt_and_quit_end_the_command_and_not_the_shell() {
    let scratch = Scratch::new("interrupt");
    let mut typist = Typist::start(&scratch);
    typist.at_prompt("$ANYNS sleep 100; echo \"status $?\"");
    typist.key(CTRL_C);
    typist.bash.expect("status 130");
    typist.at_prompt("ulimit -c 0; $ANYNS sleep 100; echo \"status $?\"");
    typist.key(CTRL_BACKSLASH);
    typist.bash.expect("status 131");
    typist.leave();
}

#[test]
fn a_command_that_handles_the_interrupt_gets_it_once_and_decides() {
    let scratch = Scratch::new("handler");
    let mut typist = Typist::start(&scratch);
    typist.at_prompt(
        "$ANYNS bash -c 'trap \"echo caught \\$((++n))\" INT; echo go; while [ ${n:-0} -lt 2 ]; do sleep 0.05; done; sleep 0.3; echo had $n; exit 7'; echo \"status $?\"",
    );
    typist.bash.expect("go\r\n");
    typist.key(CTRL_C);
    typist.bash.expect("caught 1");
    typist.key(CTRL_C);
    typist.bash.expect("had 2");
    typist.bash.expect("status 7");
    typist.leave();
}

#[test]
fn a_job_is_stopped_and_continued_by_the_shell_outside() {
    let scratch = Scratch::new("job");
    let mut typist = Typist::start(&scratch);
    typist.at_prompt("$ANYNS bash -c 'echo go; while read -r l; do echo \"read $l\"; done'");
    typist.bash.expect("go\r\n");
    typist.key(CTRL_Z);
    typist.bash.expect("Stopped");
    typist.at_prompt("jobs");
    typist.bash.expect("Stopped");
    typist.at_prompt("fg");
    typist.bash.expect("fg\r\n");
    typist.key("one\n");
    typist.bash.expect("read one");
    typist.key(CTRL_Z);
    typist.bash.expect("Stopped");
    // In the background it stops again, because it reads.
    typist.at_prompt("bg; sleep 0.5");
    typist.bash.expect("Stopped");
    typist.at_prompt("fg");
    typist.bash.expect("fg\r\n");
    typist.key("two\n");
    typist.bash.expect("read two");
    typist.key("\x04");
    typist.leave();
}

#[test]
fn a_background_job_runs_beside_the_shell() {
    let scratch = Scratch::new("background");
    let mut typist = Typist::start(&scratch);
    typist.at_prompt("$ANYNS sh -c 'sleep 0.5; echo later' & sleep 0.1; echo now");
    typist.bash.expect("now\r\n");
    typist.bash.expect("later");
    typist.typed("");
    typist.at_prompt("wait; echo \"status $?\"");
    typist.bash.expect("status 0");
    typist.leave();
}

#[test]
fn a_pipeline_is_one_job() {
    let scratch = Scratch::new("pipeline");
    let mut typist = Typist::start(&scratch);
    typist.at_prompt("yes | $ANYNS cat | $ANYNS sh -c 'cat >/dev/null'; echo \"${PIPESTATUS[*]}\"");
    typist.key(CTRL_Z);
    typist.bash.expect("Stopped");
    typist.at_prompt("fg");
    typist.bash.expect("fg\r\n");
    typist.key(CTRL_C);
    typist.at_prompt("echo ended");
    typist.bash.expect("ended\r\n");
    typist.leave();
}

#[test]
fn a_shell_inside_has_job_control_of_its_own() {
    let scratch = Scratch::new("inside");
    let mut typist = Typist::start(&scratch);
    typist.at_prompt("PS1='inside: ' $ANYNS bash --norc --noprofile -i");
    typist.bash.expect("inside: ");
    typist.typed("sleep 100");
    typist.key(CTRL_Z);
    typist.bash.expect("Stopped");
    typist.bash.expect("inside: ");
    typist.typed("bg; jobs");
    typist.bash.expect("Running");
    typist.bash.expect("inside: ");
    typist.typed("fg");
    typist.bash.expect("fg\r\n");
    typist.key(CTRL_C);
    typist.bash.expect("inside: ");
    typist.typed("cat");
    typist.key("typed\n\x04");
    typist.bash.expect("typed\r\ntyped");
    typist.bash.expect("inside: ");
    // Bash stops itself, and with it the outer shell's job.
    typist.typed("suspend");
    typist.bash.expect("Stopped");
    typist.at_prompt("fg");
    typist.bash.expect("inside: ");
    typist.typed("kill -INT $$");
    typist.bash.expect("inside: ");
    typist.typed("exit 9");
    typist.at_prompt("echo \"status $?\"");
    typist.bash.expect("status 9");
    typist.leave();
}

/// The shell is the init of a pid namespace: its group and the terminal's are called 1.
#[test]
fn a_shell_that_is_an_init_has_job_control() {
    let scratch = Scratch::new("init");
    let mut typist = Typist::start(&scratch);
    typist.at_prompt("PS1='inside: ' $ANYNS unshare -Urpf bash --norc --noprofile -i");
    typist.bash.expect("inside: ");
    typist.typed("echo number $$ of $PPID");
    typist.bash.expect("number 1 of 0");
    typist.bash.expect("inside: ");
    typist.typed("sleep 100");
    typist.key(CTRL_Z);
    typist.bash.expect("Stopped");
    typist.bash.expect("inside: ");
    typist.typed("bg; jobs");
    typist.bash.expect("Running");
    typist.bash.expect("inside: ");
    typist.typed("fg");
    typist.bash.expect("fg\r\n");
    typist.key(CTRL_C);
    typist.bash.expect("inside: ");
    typist.typed("sleep 100 & kill %1; wait; echo waited");
    typist.bash.expect("waited\r\n");
    typist.bash.expect("inside: ");
    typist.typed("echo a | cat | tr a b");
    typist.bash.expect("b\r\n");
    typist.bash.expect("inside: ");
    typist.typed("kill -INT $$; kill -9 $$; suspend; echo still here");
    typist.bash.expect("inside: ");
    typist.typed("cat");
    typist.key("typed\n\x04");
    typist.bash.expect("typed\r\ntyped");
    typist.bash.expect("inside: ");
    // Whoever is in the background when the init ends dies with it.
    typist.typed("(trap '' HUP; sleep 100) & exit 9");
    typist.at_prompt("echo \"status $?\"");
    typist.bash.expect("status 9");
    typist.leave();
}

/// A command that writes to a file that it was told HUP.
fn hears_hangup(heard: &Path) -> String {
    let heard = heard.display();
    format!("trap 'echo HUP >{heard}; exit' HUP; echo go; while :; do sleep 0.1; done")
}

#[track_caller]
fn was_told(heard: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::read_to_string(heard).unwrap_or_default() != "HUP\n" {
        assert!(Instant::now() < deadline, "nobody told it");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_terminal_that_hangs_up_tells_a_command_that_leads_the_session() {
    let scratch = Scratch::new("hangup");
    let heard = scratch.fresh_home().with_file_name("heard");
    let line = Line::sh(&hears_hangup(&give(heard.clone())));
    let mut session = Session::start(&scratch, Place::Hosted, &line);
    session.expect("go\r\n");
    session.hang_up();
    was_told(&heard);
}

#[test]
fn the_end_of_the_session_tells_the_job_in_the_foreground() {
    let scratch = Scratch::new("logout");
    let heard = give(scratch.path().join("heard"));
    let script = scratch.file("script", &hears_hangup(&heard));
    let mut typist = Typist::start(&scratch);
    typist.at_prompt(&format!("$ANYNS sh {}", script.display()));
    typist.bash.expect("go\r\n");
    drop(typist);
    was_told(&heard);
}

/// Makes a file that everybody can write to.
fn give(path: PathBuf) -> PathBuf {
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    path
}
