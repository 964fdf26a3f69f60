//! `kill -9` of anyns at any moment leaves no guest, within a second.
//!
//! The guests of each round resist as well as a shell can: daemons that forked twice into sessions
//! of their own, all signals ignored, stopped ones, a chain of forty, a process that forks and
//! exits for ever, a bounded fork bomb, and one in a user namespace of its own, whose forks are
//! traced for a moment. They alone hold the other end of a pipe, so its end proves that all of them
//! are dead.
//!
//! `ANYNS_KILL_ROUNDS` says how many rounds; `ANYNS_KILL_SEED` repeats a run that failed.

mod harness;

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::{Line, Place, Scratch, command};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

/// How long guests may live after the kill.
const LIMIT: Duration = Duration::from_secs(1);

const GUESTS: &str = r#"
bomb() { [ "$1" -gt 0 ] && { bomb $(($1 - 1)) & bomb $(($1 - 1)) & }; sleep 1000; }
deep() { [ "$1" -eq 0 ] && exec sleep 1000; (deep $(($1 - 1))); }
COMET='sh -c "$COMET" & exit'; export COMET
setsid sh -c '(trap "" HUP INT QUIT TERM USR1 USR2; sleep 1000; sleep 1000) &'
setsid sh -c 'sh -c "kill -STOP \$\$; sleep 1000" & sleep 1000' &
(trap '' HUP INT QUIT TERM CONT TSTP; while :; do sleep 1000; done) &
sh -c 'kill -STOP $$' &
(deep 40) &
(bomb 5) &
sh -c "$COMET"
(while :; do true | cat; done) &
(unshare --user --map-root-user sh -c 'while :; do true | cat; done') &
while :; do wait; done
"#;

/// The processes of the chain, from the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Cli,
    Supervisor,
    Watchdog,
}

use Part::{Cli, Supervisor, Watchdog};

/// Everything that may be killed, in this order.
const VICTIMS: [&[Part]; 9] = [
    &[Cli],
    &[Supervisor],
    &[Watchdog],
    &[Cli, Supervisor],
    &[Supervisor, Cli],
    &[Cli, Watchdog],
    &[Watchdog, Cli],
    &[Supervisor, Watchdog],
    &[Watchdog, Supervisor],
];

/// Numbers that look random (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn children_of(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_ascii_whitespace().map(|child| child.parse().unwrap()).collect()
}

/// The first child of a process, if it has one yet.
fn child_of(pid: i32) -> Option<i32> {
    children_of(pid).first().copied()
}

fn send_kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Says whether a process runs; one that nobody has reaped does not.
fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// A command under anyns, and the pipe that it and its children write to.
struct Hosted {
    cli: Child,
    pipe: File,
}

impl Hosted {
    fn start(scratch: &Scratch, script: &str) -> Hosted {
        let home = scratch.path().join("home");
        let mut hosted = command(scratch, Place::Hosted, &Line::new(["bash", "-c", script]), &home);
        let errors = File::create(scratch.path().join("errors")).unwrap();
        hosted.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let mut cli = hosted.spawn().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(cli.stdout.take().unwrap()));
        Hosted { cli, pipe }
    }

    /// C, S and W as far as they exist; none is anyns before `setpriv` has become it.
    fn parts(&self) -> Vec<(Part, i32)> {
        let cli = self.cli.id() as i32;
        let mut parts = vec![(Cli, cli)];
        if let Some(supervisor) = child_of(cli) {
            parts.push((Supervisor, supervisor));
            parts.extend(child_of(supervisor).map(|watchdog| (Watchdog, watchdog)));
        }
        parts
    }

    /// Waits until nobody holds the pipe; says how long that took.
    fn death(&mut self, limit: Duration) -> Option<Duration> {
        let start = Instant::now();
        loop {
            let left = limit.checked_sub(start.elapsed())?;
            let time = Timespec::try_from(left).unwrap();
            let mut polled = [PollFd::from_borrowed_fd(self.pipe.as_fd(), PollFlags::IN)];
            if poll(&mut polled, Some(&time)) == Ok(0) {
                return None;
            }
            if matches!(self.pipe.read(&mut [0; 4096]), Ok(0)) {
                return Some(start.elapsed());
            }
        }
    }
}

#[test]
fn no_guest_outlives_a_killed_chain() {
    let scratch = Scratch::new("kill");
    scratch.fresh_home();
    let rounds = from_environment("ANYNS_KILL_ROUNDS").unwrap_or(10);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = from_environment("ANYNS_KILL_SEED").unwrap_or(now.as_nanos() as u64 | 1);
    let mut dice = Dice(seed);
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let victims = VICTIMS[dice.below(VICTIMS.len() as u64) as usize];
        let mut hosted = Hosted::start(&scratch, GUESTS);
        // From the middle of the start to a settled crowd.
        let delay = if dice.below(3) == 0 { dice.below(8_000) } else { dice.below(250_000) };
        std::thread::sleep(Duration::from_micros(delay));
        let mut parts = hosted.parts();
        let what = format!("round {round}, seed {seed}, {victims:?} after {delay} us");
        let mut killed = 0;
        for victim in victims {
            if killed > 0 && dice.below(2) == 0 {
                std::thread::sleep(Duration::from_micros(dice.below(3_000)));
                // One more may have been born.
                parts.extend(hosted.parts());
            }
            if let Some((_, pid)) = parts.iter().find(|(part, _)| part == victim) {
                send_kill(*pid);
                killed += 1;
            }
        }
        if killed == 0 {
            // Too early for these: the command line process is always there.
            send_kill(hosted.cli.id() as i32);
        }
        let Some(time) = hosted.death(LIMIT) else {
            let errors = fs::read_to_string(scratch.path().join("errors")).unwrap();
            let status = hosted.cli.try_wait();
            panic!("{what}: guests live on, {status:?}:\n{}\n{errors}", survivors(&hosted));
        };
        slowest = slowest.max(time);
        let _ = hosted.cli.wait();
        let deadline = Instant::now() + LIMIT;
        for (part, pid) in &parts {
            while lives(*pid) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(!lives(*pid), "{what}: {part:?} lives on");
        }
    }
    println!("{rounds} rounds, seed {seed}: the slowest took {slowest:?}");
}

/// Everybody who has our pipe open.
fn survivors(hosted: &Hosted) -> String {
    let pipe = rustix::fs::fstat(&hosted.pipe).unwrap().st_ino;
    let mut found: Vec<String> = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(held) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let holds = held.flatten().any(|fd| {
            fs::read_link(fd.path())
                .is_ok_and(|to| to.to_string_lossy() == format!("pipe:[{pipe}]"))
        });
        if holds && pid != std::process::id() as i32 {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            found.push(stat.chars().take(60).collect());
        }
    }
    found.join("\n")
}

#[test]
fn a_killed_supervisor_or_watchdog_is_told() {
    let scratch = Scratch::new("told");
    let home = scratch.fresh_home();
    for (part, name) in [(Supervisor, "supervisor"), (Watchdog, "watchdog")] {
        let errors = scratch.path().join("errors");
        // A command in a call of ours at that moment could end of itself, with a status of its own.
        let line = Line::sh("exec 2>/dev/null; echo ready; read -r _");
        let mut hosted = command(&scratch, Place::Hosted, &line, &home);
        hosted.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&errors).unwrap());
        let mut cli = hosted.spawn().unwrap();
        let _read_from = cli.stdin.take();
        let pipe = File::from(std::os::fd::OwnedFd::from(cli.stdout.take().unwrap()));
        let mut hosted = Hosted { cli, pipe };
        hosted.pipe.read_exact(&mut [0; 6]).unwrap();
        let parts = hosted.parts();
        send_kill(parts.iter().find(|(found, _)| *found == part).unwrap().1);
        assert_eq!(hosted.cli.wait().unwrap().code(), Some(125));
        assert!(hosted.death(LIMIT).is_some());
        let expected = format!(
            "error: somebody killed the {name} of anyns, so the command was killed too\n  try     \
             dmesg, which tells if memory ran out\n"
        );
        assert_eq!(fs::read_to_string(&errors).unwrap(), expected);
    }
}

#[test]
fn a_child_from_before_is_spared_by_the_last_to_clean() {
    let scratch = Scratch::new("spared");
    let home = scratch.fresh_home();
    let anyns = harness::place::anyns(&scratch).join(" ");
    let script = format!("sleep 1000 & exec {anyns} sh -c 'echo ready; sleep 1000 & sleep 1000'");
    let mut native = command(&scratch, Place::Native, &Line::sh(&script), &home);
    native.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut cli = native.spawn().unwrap();
    cli.stdout.take().unwrap().read_exact(&mut [0; 6]).unwrap();
    let children = children_of(cli.id() as i32);
    let [earlier, supervisor] = children[..] else { panic!("{children:?}") };
    let watchdog = child_of(supervisor).unwrap();
    let guest = child_of(watchdog).unwrap();
    send_kill(watchdog);
    send_kill(supervisor);
    assert_eq!(cli.wait().unwrap().code(), Some(125));
    assert!(!lives(guest), "the guest outlived its chain");
    assert!(lives(earlier), "a stranger was killed");
    send_kill(earlier);
}

#[test]
fn a_daemon_lives_on_after_the_command_and_dies_with_the_supervisor() {
    let scratch = Scratch::new("daemon");
    scratch.fresh_home();
    let script = "setsid sh -c 'echo ready; exec sleep 1000' & read -r _ </dev/null; sleep 0.2";
    let mut hosted = Hosted::start(&scratch, script);
    let mut word = [0; 6];
    hosted.pipe.read_exact(&mut word).unwrap();
    let [_, (_, supervisor), (_, watchdog)] = hosted.parts()[..] else { panic!("no chain") };
    let status = hosted.cli.wait().unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(hosted.death(Duration::from_millis(400)), None, "the daemon died with the command");
    assert!(lives(supervisor) && lives(watchdog));
    send_kill(supervisor);
    assert!(hosted.death(LIMIT).is_some(), "the daemon outlived its supervisor");
}

#[test]
fn a_chain_ends_with_its_last_daemon() {
    let scratch = Scratch::new("last");
    scratch.fresh_home();
    let mut hosted = Hosted::start(&scratch, "setsid sleep 3 & echo ready; sleep 2");
    hosted.pipe.read_exact(&mut [0; 6]).unwrap();
    let parts = hosted.parts();
    assert_eq!(parts.len(), 3, "{parts:?}");
    assert!(hosted.cli.wait().unwrap().success());
    assert!(hosted.death(Duration::from_secs(60)).is_some());
    let deadline = Instant::now() + LIMIT;
    while parts.iter().any(|(_, pid)| lives(*pid)) {
        assert!(Instant::now() < deadline, "{parts:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn guests_cannot_harm_the_chain() {
    let scratch = Scratch::new("harmless");
    let script = r#"
        w=$PPID; s=$(awk '/^PPid/ {print $2}' /proc/$w/status)
        c=$(awk '/^PPid/ {print $2}' /proc/$s/status)
        for pid in $w $s $c; do
            for signal in KILL STOP TERM SEGV; do
                kill -$signal $pid 2>/dev/null && echo "kill -$signal $pid was not refused"
            done
            kill -0 $pid || echo "$pid cannot be asked"
            renice -n 19 -p $pid >/dev/null 2>&1 && echo "renice $pid was not refused"
            prlimit --pid $pid --cpu=1 2>/dev/null && echo "prlimit $pid was not refused"
            (: >/proc/$pid/mem) 2>/dev/null && echo "memory of $pid is open"
            ls /proc/$pid/fd >/dev/null 2>&1 && echo "descriptors of $pid are open"
        done
        for thread in /proc/$s/task/*; do
            kill -KILL ${thread##*/} 2>/dev/null && echo "thread ${thread##*/} was not safe"
        done
        echo alive
    "#;
    let outcome = harness::run(&scratch, Place::Hosted, &Line::sh(script));
    assert_eq!(outcome.text(), "alive\n--- stderr\n--- status 0\n");
}
