//! A storm of signals at a guest that forks and switches namespaces: none is lost, none comes twice.
//!
//! The signals are queued ones that carry a number (sigqueue(3)), so what is lost or doubled is seen,
//! and with one thread so is what overtakes. They are sent by another guest, and by a process outside
//! of anyns. `ANYNS_STORM_SIGNALS` says how many (5,000 by default; 100,000 to accept a change of how
//! calls are carried). The same storm runs on the bare kernel first.

mod harness;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Line, Place, Scratch, command, is_root, run_command, wait};

/// How long one storm may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// Another guest.
    Inside,
    /// A process that anyns does not know.
    Outside,
}

struct Storm {
    scratch: Scratch,
    program: PathBuf,
    signals: u32,
}

/// A directory for a test that compares hosts; none if nobody could make those that refuse.
fn scratch(name: &str) -> Option<Scratch> {
    if !is_root() {
        println!("{name}: not tried, because only root can make a host that refuses");
        return None;
    }
    Some(Scratch::new(name))
}

impl Storm {
    /// Builds the guest; nothing if only root could make the hosts.
    fn new(name: &str) -> Option<Storm> {
        let scratch = scratch(name)?;
        let source = scratch.file("storm.c", include_str!("guests/storm.c"));
        let program = scratch.path().join("storm");
        let mut gcc = Command::new("gcc");
        gcc.args(["-O1", "-Wall", "-Werror", "-pthread", "-o"]).arg(&program).arg(&source);
        assert!(gcc.status().expect("gcc is needed: see .ci/packages").success());
        let signals = std::env::var("ANYNS_STORM_SIGNALS").ok().and_then(|text| text.parse().ok());
        Some(Storm { scratch, program, signals: signals.unwrap_or(5_000) })
    }

    fn argv(&self, verb: &str, signals: u32, rest: &[&str]) -> Vec<String> {
        let words = [self.program.to_str().unwrap(), verb, "shared", &signals.to_string()];
        words.iter().chain(rest).map(|&word| word.to_owned()).collect()
    }

    /// What the guest says of the signals, and how often it forked and switched.
    fn report(&self, host: Host, signals: u32, threads: &str, sender: Sender) -> [String; 2] {
        let home = self.scratch.fresh_home();
        let rest = [threads, if sender == Sender::Inside { "inside" } else { "outside" }];
        let guest = self.argv("guest", signals, &rest);
        let line = ["unshare", "-Uru"].map(str::to_owned).into_iter().chain(guest);
        let mut guest = match host {
            Host::Place(place) => command(&self.scratch, place, &Line::new(line), &home),
            Host::Docker => {
                let mut words = harness::place::stand_in(&self.scratch, true, false);
                words.extend(harness::place::anyns(&self.scratch));
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]).args(line).current_dir(&home);
                command
            }
        };
        let mut guest = guest
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(guest.stdout.take().unwrap()).lines();
        let errors = BufReader::new(guest.stderr.take().unwrap());
        let next = |output: &mut dyn Iterator<Item = std::io::Result<String>>| {
            output.next().map_or_else(String::new, Result::unwrap)
        };
        let pid = next(&mut output);
        if sender == Sender::Outside && !pid.is_empty() {
            let argv = self.argv("send", signals, &[&pid]);
            let mut storm = Command::new(&argv[0]);
            storm.args(&argv[1..]).current_dir(&home);
            let sent = run_command(&self.scratch, &mut storm, "", LIMIT).expect("the storm ends");
            assert_eq!(sent.text(), "--- stderr\n--- status 0\n");
        }
        let report = next(&mut output);
        let errors = errors.lines().map_while(Result::ok).collect::<Vec<_>>().join("\n");
        let status = wait(&mut guest, LIMIT).expect("the guest ends");
        assert!(status.success(), "{host:?}: {status}: {errors}");
        [report, errors]
    }

    #[track_caller]
    fn arrives(&self, host: Host, signals: u32, threads: &str, sender: Sender) {
        let [report, turns] = self.report(host, signals, threads, sender);
        println!("{host:?}, {threads} thread(s), {sender:?}: {report}; {turns}");
        let expected = format!(
            "sent {signals} received {signals} lost 0 more than once 0 strays 0 out of order 0"
        );
        assert_eq!(report, expected, "{host:?}, {threads} thread(s), {sender:?}: {turns}");
        let turns: Vec<u32> = turns.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [forks, switches] = turns[..] else { panic!("{turns:?}") };
        // No more than a hundred to a turn, or it was not a storm at one who forks and switches.
        assert!(forks >= signals / 100 && switches >= signals / 100, "{turns:?}");
    }

    #[track_caller]
    fn everywhere(&self, threads: &str) {
        let hosts = [Host::Place(Place::Granted), Host::Place(Place::Refused), Host::Docker];
        for host in hosts {
            // The bare kernel only has to show that the storm itself is right.
            let native = host == Host::Place(Place::Granted);
            let signals = if native { self.signals.min(5_000) } else { self.signals };
            for sender in [Sender::Inside, Sender::Outside] {
                self.arrives(host, signals, threads, sender);
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    Place(Place),
    /// Behind a filter like Docker's, so that some calls are stopped and the others told.
    Docker,
}

#[test]
fn a_storm_at_a_process_with_one_thread() {
    if let Some(storm) = Storm::new("storm") {
        storm.everywhere("1");
    }
}

#[test]
fn a_storm_at_a_process_with_three_threads() {
    if let Some(storm) = Storm::new("threads") {
        storm.everywhere("3");
    }
}

/// A signal that comes before a told call was received does not end it.
#[test]
fn what_never_says_eintr_does_not_say_it() {
    let Some(scratch) = scratch("interrupted") else { return };
    let script = scratch.file("interrupted.py", include_str!("guests/interrupted.py"));
    let line = Line::new(["python3", script.to_str().unwrap()]);
    for place in [Place::Granted, Place::Refused, Place::Confined] {
        let outcome = harness::run(&scratch, place, &line);
        assert_eq!(outcome.stdout, "interrupted 0 0 of many\n", "{place:?} {}", outcome.stderr);
    }
}

/// dash has a handler for SIGCHLD that interrupts, and gives up when a fork says EINTR.
#[test]
fn a_script_of_many_pipelines_goes_through() {
    let Some(scratch) = scratch("pipelines") else { return };
    let script = "i=0; while [ $i -lt 500 ]; do echo x | cat | cat; i=$((i+1)); done | uniq -c";
    let line = Line::new(["unshare", "-Ur", "dash", "-c", script]).limit(LIMIT);
    for place in [Place::Granted, Place::Refused, Place::Confined] {
        let outcome = harness::run(&scratch, place, &line);
        assert_eq!(outcome.text(), "    500 x\n--- stderr\n--- status 0\n", "{place:?}");
    }
}
