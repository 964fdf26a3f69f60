//! Random programs about pid namespaces: births, deaths, numbers, and who is whose child.
//!
//! They are root's, and the first process inherits every orphan that no namespace keeps, so that
//! nobody outside the program reaps one of its processes at a moment of its own choice. For the
//! same reason nobody waits for a process that lives.

use nsproxy::{Kind, KindSet};

use super::choice::Choice;
use crate::lang::{Scenario, Start, Step, parse_call};
use crate::model::Live;

const ACTORS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const DESCRIPTORS: [&str; 4] = ["m", "n", "o", "p"];
const NUMBERS: [&str; 6] = ["1", "2", "3", "4", "5", "9"];
const LENGTH: usize = 40;

/// The program of a seed.
pub fn family(seed: u64) -> Scenario {
    made(seed, Start::Root, &[])
}

/// The same for the root of a user namespace. What numbers are chosen is not its business: hosted
/// they are the host's.
pub fn ordinary_family(seed: u64) -> Scenario {
    made(seed, Start::User, &NSROOT)
}

/// What makes the first process root of a user namespace.
const NSROOT: [&str; 4] = [
    "unshare NEWUSER",
    "put /proc/self/setgroups \"deny\"",
    "put /proc/self/uid_map \"0 1000 1\"",
    "put /proc/self/gid_map \"0 1000 1\"",
];

fn made(seed: u64, start: Start, first: &[&str]) -> Scenario {
    let mut maker = Maker {
        choice: Choice::new(seed),
        live: Live::new(start, &ACTORS, &DESCRIPTORS),
        bound: Vec::new(),
        chooses: start == Start::Root,
    };
    let first = first.iter().copied().chain(["subreaper 1"]);
    let mut steps: Vec<Step> = first.filter_map(|call| maker.make("a", call, None)).collect();
    for _ in 0..LENGTH * 4 {
        if steps.len() < LENGTH {
            steps.extend(maker.step());
        }
    }
    for (line, step) in steps.iter_mut().enumerate() {
        step.line = line + 1;
    }
    Scenario {
        name: format!("random family {seed}"),
        place: format!("seed:{seed}"),
        proves: Vec::new(),
        needs: KindSet::of(&[Kind::Pid]),
        start,
        steps,
    }
}

struct Maker {
    choice: Choice,
    live: Live,
    bound: Vec<&'static str>,
    /// It chooses numbers.
    chooses: bool,
}

impl Maker {
    fn step(&mut self) -> Option<Step> {
        let ready: Vec<&str> =
            ACTORS.iter().copied().filter(|name| self.live.obeys(name)).collect();
        let who = self.choice.of(&ready);
        let whom = self.known()?;
        match self.choice.below(20) {
            0..=4 => self.birth(who),
            5 => self.make(who, "unshare NEWPID", None),
            6 => self.open(who, whom),
            7..=8 => {
                let name = self.descriptor()?;
                let types = self.choice.of(&["0", "NEWPID", "NEWPID"]);
                self.make(who, &format!("setns @{name} {types}"), None)
            }
            9 => self.end(who),
            10 => self.kill(who, whom),
            11..=12 => {
                // Of several children that have ended, those of the calling thread come first; the
                // model knows only whose process's they are.
                let any = self.live.was_always_alone(who);
                let whom = self.choice.of(&[whom, if any { "-1" } else { whom }]);
                self.make(who, &format!("wait {whom} NOHANG"), None)
            }
            13 => self.group(who, whom),
            14 if !self.live.is_of_first(who) => {
                let call = self.choice.of(&["exec", "subreaper 1", "subreaper 0"]);
                self.make(who, call, None)
            }
            15 => {
                let last = self.choice.of(&["0", "1", "3", "7", "298"]);
                // The initial namespace's numbers are not the program's alone.
                let nested = self.live.depth(who) > 0;
                (nested && self.chooses)
                    .then(|| format!("put /proc/sys/kernel/ns_last_pid \"{last}\""))
                    .and_then(|call| self.make(who, &call, None))
            }
            _ => self.look(who, whom),
        }
    }

    /// Makes the step in the model and keeps it if the model can.
    fn make(&mut self, who: &str, call: &str, binds: Option<&'static str>) -> Option<Step> {
        let parsed = match parse_call(call) {
            Ok(parsed) => parsed,
            Err(error) => unreachable!("the generator wrote {call}: {error}"),
        };
        let (actor, binds_text) = (who.to_owned(), binds.map(str::to_owned));
        let mut step =
            Step { line: 0, actor, call: parsed, binds: binds_text, expected: String::new() };
        step.expected = self.live.step(&step).ok()?;
        if step.expected.starts_with('@') {
            self.bound.extend(binds);
        }
        Some(step)
    }

    /// Somebody who is alive or a zombie. The numbers of others may be somebody else's.
    fn known(&mut self) -> Option<&'static str> {
        let live = &self.live;
        // The thread that ends last stays while its namespace dies; which one that is is chance.
        let there =
            |name: &&str| live.lives(name) || (live.is_zombie(name) && !live.is_thread(name));
        let all: Vec<&'static str> = ACTORS.iter().copied().filter(there).collect();
        (!all.is_empty()).then(|| self.choice.of(&all))
    }

    fn descriptor(&mut self) -> Option<&'static str> {
        let bound = self.bound.clone();
        (!bound.is_empty()).then(|| self.choice.of(&bound))
    }

    fn birth(&mut self, who: &str) -> Option<Step> {
        // Hosted, their orphans go where they came from.
        if !self.chooses && self.live.came_from_outside(who) {
            return None;
        }
        let unborn = ACTORS.iter().copied().find(|name| !self.live.was_born(name));
        // A sibling of the first process would be the child of somebody outside.
        let flags = match self.live.is_of_first(who) {
            true => self.choice.of(&["", "", "NEWPID|"]),
            false => self.choice.of(&["", "", "", "NEWPID|", "PARENT|", "NEWPID|PARENT|"]),
        };
        let Some(child) = unborn else {
            return self.make(who, "clone - SIGCHLD", None);
        };
        let call = match self.choice.below(8) {
            0 => "clone - SIGCHLD".to_owned(),
            1 => "clone - NEWPID|SIGCHLD".to_owned(),
            2 => format!("thread {child}"),
            3 if self.chooses => {
                let flags = self.choice.of(&["0", "0", "NEWPID"]);
                // Which numbers of the initial namespace are free nobody knows.
                let levels = self.live.depth(who) + usize::from(flags == "NEWPID");
                let count = 1 + self.choice.below(2);
                if levels < count {
                    return None;
                }
                let chosen: Vec<&str> = (0..count).map(|_| self.choice.of(&NUMBERS)).collect();
                format!("clone3 {child} flags={flags} set_tid={}", chosen.join(","))
            }
            4 => format!("clone3 {child} exit_signal={}", self.choice.of(&["0", "23"])),
            _ => format!("clone {child} {flags}SIGCHLD"),
        };
        self.make(who, &call, None)
    }

    fn open(&mut self, who: &str, whom: &str) -> Option<Step> {
        let name = self.choice.of(&DESCRIPTORS);
        let call = match self.choice.below(3) {
            0 => format!("pidfd {whom}"),
            1 => format!("open read /proc/{whom}/ns/pid_for_children"),
            _ => format!("open read /proc/{whom}/ns/pid"),
        };
        self.make(who, &call, Some(name))
    }

    /// An end, but never the first process's.
    fn end(&mut self, who: &str) -> Option<Step> {
        if self.live.is_of_first(who) && !self.live.is_thread(who) {
            return None;
        }
        let status = self.choice.below(4);
        self.make(who, &format!("exit {status}"), None)
    }

    fn kill(&mut self, who: &str, whom: &str) -> Option<Step> {
        let signal = self.choice.of(&["0", "0", "TERM", "KILL", "KILL"]);
        if signal != "0" && self.live.is_of_first(whom) {
            return None;
        }
        // A thread that is traced ends a little later than its own signal.
        if signal == "TERM" && !self.chooses && !self.live.was_always_alone(who) {
            return None;
        }
        // Hosted, an init that is killed waits for nobody whom others have to reap.
        let outsiders = || ACTORS.iter().any(|name| self.live.came_from_outside(name));
        if signal == "KILL" && !self.chooses && outsiders() {
            return None;
        }
        let nested = self.live.depth(who) > 0;
        let call = match self.choice.below(6) {
            0 if nested => format!("kill {} {signal}", self.choice.of(&NUMBERS)),
            1 if nested => format!("kill -1 {signal}"),
            _ => format!("kill {whom} {signal}"),
        };
        self.make(who, &call, None)
    }

    fn group(&mut self, who: &str, whom: &str) -> Option<Step> {
        let other = self.known()?;
        // An init in the group of one of its own waits for itself at its end, and for ever.
        if self.live.is_init(who) || self.live.is_init(whom) {
            return self.make(who, "setsid", None);
        }
        let call = match self.choice.below(6) {
            0 => "setsid".to_owned(),
            1 => "setpgid 0 0".to_owned(),
            2 => format!("setpgid {whom} {other}"),
            3 => format!("setpgid 0 {other}"),
            4 => format!("setpgid {whom} 0"),
            _ => format!("setpgid {whom} {}", self.choice.of(&NUMBERS)),
        };
        self.make(who, &call, None)
    }

    /// Something that changes nothing.
    fn look(&mut self, who: &str, whom: &str) -> Option<Step> {
        let other = self.known()?;
        let call = match self.choice.below(11) {
            0 => "getpid".to_owned(),
            1 => "gettid".to_owned(),
            2..=3 => "getppid".to_owned(),
            4 => format!("getpgid {whom}"),
            5 => format!("getsid {whom}"),
            6 => format!("same /proc/{whom}/ns/pid /proc/{other}/ns/pid"),
            7 => format!("same /proc/{whom}/ns/pid_for_children /proc/{other}/ns/pid"),
            field => {
                let fields = ["NSpid", "NStgid", "NSpgid", "NSsid"];
                let field = fields[(field + self.choice.below(2)) % 4];
                format!("status {whom} {field}")
            }
        };
        self.make(who, &call, None)
    }
}
