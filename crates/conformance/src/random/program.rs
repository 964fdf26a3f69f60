//! Making up a program: each step is chosen with an eye on who is alive in the model.
//!
//! Programs are those of an ordinary user, and for the kernel of root as well, about user and uts namespaces and some other types. What
//! depends on time is left out: processes whose parent has gone are not looked at, and nobody waits
//! for a process that lives.

use nsproxy::KindSet;

use super::choice::Choice;
use super::words::Words;
use crate::lang::{Scenario, Start, Step, parse_call};
use crate::model::Live;
use crate::native::HOSTED;

const ACTORS: [&str; 5] = ["a", "b", "c", "d", "e"];
const DESCRIPTORS: [&str; 5] = ["m", "n", "o", "p", "q"];
const LENGTH: usize = 30;
/// What the model says of a call that does not come back by itself. It has changed nothing.
const WAITS: &str = "would sleep";

/// The program of a seed, about these types of namespaces beside user and uts.
pub fn program(seed: u64, about: KindSet) -> Scenario {
    let mut choice = Choice::new(seed);
    // Hosted guests are ordinary users.
    let start = match !about.is_subset(HOSTED) && choice.once_in(4) {
        true => Start::Root,
        false => Start::User,
    };
    let mut maker = Maker {
        choice,
        live: Live::new(start, &ACTORS, &DESCRIPTORS),
        words: Words::about(about),
        bound: Vec::new(),
    };
    let mut steps = Vec::new();
    // Half of them begin as root of a user namespace: unprivileged programs are soon told no.
    if start == Start::User && maker.choice.once_in(2) {
        for call in [
            "unshare NEWUSER",
            "put /proc/self/setgroups \"deny\"",
            "put /proc/self/uid_map \"0 1000 1\"",
            "put /proc/self/gid_map \"0 1000 1\"",
        ] {
            steps.extend(maker.make("a", call, None));
        }
    }
    for _ in 0..LENGTH * 4 {
        if steps.len() >= LENGTH {
            break;
        }
        steps.extend(maker.step());
    }
    for (line, step) in steps.iter_mut().enumerate() {
        step.line = line + 1;
    }
    Scenario {
        name: format!("random program {seed}"),
        place: format!("seed:{seed}"),
        proves: Vec::new(),
        needs: about,
        start,
        steps,
    }
}

struct Maker {
    choice: Choice,
    live: Live,
    words: Words,
    /// Names of descriptors that somebody has opened.
    bound: Vec<&'static str>,
}

const IDS: [&str; 7] = ["0", "1", "5", "1000", "1001", "65534", "-1"];
const CAPS: [&str; 8] = [
    "none",
    "full",
    "SYS_ADMIN",
    "SETUID|SETGID",
    "KILL",
    "SYS_ADMIN|SETUID|SETGID|SETFCAP",
    "full-SYS_ADMIN",
    "SETPCAP|SYS_RESOURCE",
];
const MAPS: [&str; 14] = [
    "0 1000 1",
    "0 0 1",
    "5 0 1",
    "5 1000 1",
    "0 1000 2",
    "0 5 1",
    "1000 1000 1",
    "0 0 1\\n5 5 1",
    "0 1001 1",
    "x",
    "0 1000 1\\n",
    "65534 1000 1",
    "1000 0 1",
    "0 0 4294967295",
];

const OFFSETS: [&str; 5] = [
    "monotonic 100 0",
    "boottime 50 0\\nmonotonic 30 0",
    "boottime 99999999999 0",
    "monotonic x 0",
    "boottime 1000 0",
];

impl Maker {
    /// A step of somebody, or nothing if the choice made no sense.
    fn step(&mut self) -> Option<Step> {
        let ready: Vec<&str> =
            ACTORS.iter().copied().filter(|name| self.live.obeys(name)).collect();
        let who = self.choice.of(&ready);
        // The host's own objects are nobody's to play with.
        if self.words.ipc && self.live.has_own_ipc(who) && self.choice.once_in(2) {
            return super::ipc::step(&mut self.choice).and_then(|call| self.make(who, &call, None));
        }
        match self.choice.below(26) {
            0..=2 => self.birth(who),
            3..=4 => {
                let flags = match self.choice.once_in(3) {
                    true => self.choice.of_texts(&self.words.new),
                    false => self.choice.some(&self.words.unshare, 2),
                };
                self.make(who, &format!("unshare {flags}"), None)
            }
            5..=6 => self.open(who),
            7..=8 => self.join(who),
            9..=10 => self.map(who),
            11 => self.end(who),
            12 => self.name(who),
            13..=14 => self.ids(who),
            15..=16 => self.capabilities(who),
            17 => self.make(who, "exec", None),
            18 => self.ask(who),
            19 => self.limit(who),
            20 => {
                let target = self.alive()?;
                let call = self.choice.of(&["kill {} 0", "kill {} CONT", "kill {} 0"]);
                self.make(who, &call.replace("{}", target), None)
            }
            21 => self.send(who),
            _ => self.look(who),
        }
    }

    /// Makes the step in the model and keeps it if the model can.
    fn make(&mut self, who: &str, call: &str, binds: Option<&'static str>) -> Option<Step> {
        let parsed = match parse_call(call) {
            Ok(parsed) => parsed,
            Err(error) => unreachable!("the generator wrote {call}: {error}"),
        };
        let mut step = Step {
            line: 0,
            actor: who.to_owned(),
            call: parsed,
            binds: binds.map(str::to_owned),
            expected: String::new(),
        };
        step.expected = self.live.step(&step).ok()?;
        if step.expected == WAITS {
            return None;
        }
        if step.expected.starts_with('@') {
            self.bound.extend(binds);
        }
        Some(step)
    }

    fn alive(&mut self) -> Option<&'static str> {
        let all: Vec<&'static str> =
            ACTORS.iter().copied().filter(|name| self.live.lives(name)).collect();
        (!all.is_empty()).then(|| self.choice.of(&all))
    }

    /// Somebody to look at: mostly the living, sometimes a zombie whose parent is there.
    fn anybody(&mut self) -> Option<&'static str> {
        let zombies: Vec<&'static str> =
            ACTORS.iter().copied().filter(|name| self.live.zombie_of(name).is_some()).collect();
        let looks = self.choice.once_in(4);
        if looks && !zombies.is_empty() {
            return Some(self.choice.of(&zombies));
        }
        self.alive()
    }

    fn birth(&mut self, who: &str) -> Option<Step> {
        // A name is used once: the number of one who was waited for may be somebody else's.
        let unborn =
            ACTORS.iter().copied().find(|name| !self.live.lives(name) && !self.live.was_born(name));
        let call = match (self.choice.below(8), unborn) {
            (0, _) => format!("clone - {}", self.choice.some(&self.words.idle, 3)),
            (1, _) => {
                let flags = self.choice.some(&self.words.idle3, 3);
                format!("clone3 - flags={flags} exit_signal={}", self.choice.of(&["0", "17"]))
            }
            (_, None) => return None,
            (2, Some(child)) => format!("thread {child}"),
            (3, Some(child)) if self.words.vfork => format!("vfork {child}"),
            (4, Some(child)) => {
                format!("clone3 {child} flags={}", self.choice.some(&self.words.clone3, 2))
            }
            (5, Some(child)) => format!("fork {child}"),
            (_, Some(child)) => {
                format!("clone {child} {}|SIGCHLD", self.choice.some(&self.words.clone, 2))
            }
        };
        self.make(who, &call, None)
    }

    fn open(&mut self, who: &str) -> Option<Step> {
        let name = self.choice.of(&DESCRIPTORS);
        let target = self.anybody()?;
        let call = match self.choice.below(8) {
            0..=1 => format!("pidfd {target}"),
            2 => format!("open path /proc/{target}/ns/uts"),
            3 => format!("open write /proc/{target}/{}", self.choice.of(&["uid_map", "gid_map"])),
            _ => {
                format!("open read /proc/{target}/ns/{}", self.choice.of(&self.words.links))
            }
        };
        self.make(who, &call, Some(name))
    }

    fn descriptor(&mut self) -> Option<&'static str> {
        let bound = self.bound.clone();
        (!bound.is_empty()).then(|| self.choice.of(&bound))
    }

    fn join(&mut self, who: &str) -> Option<Step> {
        let name = self.descriptor()?;
        match self.choice.below(8) {
            0 => {
                let text = self.choice.of(&MAPS);
                self.make(who, &format!("write @{name} \"{text}\""), None)
            }
            1 => self.make(who, &format!("close @{name}"), None),
            _ => {
                let kind = self.choice.of_texts(&self.words.join);
                self.make(who, &format!("setns @{name} {kind}"), None)
            }
        }
    }

    fn map(&mut self, who: &str) -> Option<Step> {
        let target = if self.choice.once_in(2) { who } else { self.alive()? };
        let call = match self.choice.below(if self.words.time { 6 } else { 5 }) {
            5 => {
                let text = self.choice.of(&OFFSETS);
                format!("put /proc/{target}/timens_offsets \"{text}\"")
            }
            0 => {
                let word = self.choice.of(&["deny", "deny", "allow"]);
                format!("put /proc/{target}/setgroups \"{word}\"")
            }
            kind => {
                let file = ["uid_map", "gid_map", "uid_map", "projid_map"][kind - 1];
                format!("put /proc/{target}/{file} \"{}\"", self.choice.of(&MAPS))
            }
        };
        self.make(who, &call, None)
    }

    /// A parent waits for a zombie, if there is one.
    fn wait(&mut self) -> Option<Step> {
        let mut zombies =
            ACTORS.iter().filter_map(|name| Some((name, self.live.zombie_of(name)?.to_owned())));
        let (zombie, parent) = zombies.next()?;
        self.make(&parent, &format!("wait {zombie}"), None)
    }

    /// An end and its aftermath; never the end of the first process.
    fn end(&mut self, who: &str) -> Option<Step> {
        if let Some(step) = self.wait() {
            return Some(step);
        }
        // One with children of its own would leave them to somebody outside the program.
        let leads = !self.live.is_thread(who);
        if leads && (self.live.is_of_first(who) || self.live.has_children(who)) {
            return None;
        }
        if self.live.is_init_of_others(who) {
            return None; // when they have gone depends on who waits for them
        }
        let status = self.choice.below(4);
        self.make(who, &format!("exit {status}"), None)
    }

    fn name(&mut self, who: &str) -> Option<Step> {
        let name = self.choice.of(&["one", "two", ""]);
        let call = match self.choice.below(4) {
            0 => format!("setdomainname \"{name}\""),
            1 => format!(
                "sethostname \"{name}\" len={}",
                self.choice.of(&["0", "2", "64", "65", "-1"])
            ),
            _ => format!("sethostname \"{name}\""),
        };
        self.make(who, &call, None)
    }

    fn ids(&mut self, who: &str) -> Option<Step> {
        let mut id = || self.choice.of(&IDS);
        let (one, two, three) = (id(), id(), id());
        let call = match self.choice.below(9) {
            0 => format!("setuid {one}"),
            1 => format!("setgid {one}"),
            2 => format!("setreuid {one} {two}"),
            3 => format!("setregid {one} {two}"),
            4 => format!("setresuid {one} {two} {three}"),
            5 => format!("setresgid {one} {two} {three}"),
            6 => format!("setfsuid {one}"),
            7 => format!("setfsgid {one}"),
            _ => format!("setgroups {}", self.choice.of(&["-", "0", "0,5", "1000"])),
        };
        self.make(who, &call, None)
    }

    fn capabilities(&mut self, who: &str) -> Option<Step> {
        let cap = self.choice.of(&["KILL", "SYS_ADMIN", "SETUID", "40", "41"]);
        let call = match self.choice.below(8) {
            0..=2 => {
                let [e, p, i] = [(); 3].map(|()| self.choice.of(&CAPS));
                let i = if self.choice.once_in(2) { "none" } else { i };
                format!("capset e={e} p={p} i={i}")
            }
            3 => format!("prctl CAPBSET_DROP {cap}"),
            4 => {
                format!("prctl CAP_AMBIENT {} {cap}", self.choice.of(&["IS_SET", "RAISE", "LOWER"]))
            }
            5 => format!("prctl SET_KEEPCAPS {}", self.choice.below(3)),
            6 => format!(
                "prctl SET_SECUREBITS {}",
                self.choice.of(&["0", "1", "3", "4", "16", "64", "192"])
            ),
            _ => format!("prctl CAPBSET_READ {cap}"),
        };
        self.make(who, &call, None)
    }

    fn ask(&mut self, who: &str) -> Option<Step> {
        let name = self.descriptor()?;
        let into = self.choice.of(&DESCRIPTORS);
        let request = self.choice.of(&["USERNS", "PARENT", "NSTYPE", "OWNER_UID", "ID"]);
        let binds = matches!(request, "USERNS" | "PARENT").then_some(into);
        self.make(who, &format!("ioctl @{name} {request}"), binds)
    }

    fn limit(&mut self, who: &str) -> Option<Step> {
        // A user namespace that nobody is in any more is given back some time later, so that only
        // a limit of 0 makes no race.
        let (kind, values) = self.choice.of(&self.words.limits);
        let value = self.choice.of(values);
        self.make(who, &format!("put /proc/sys/user/max_{kind}_namespaces \"{value}\""), None)
    }

    fn send(&mut self, who: &str) -> Option<Step> {
        let name = self.descriptor()?;
        let ready: Vec<&str> =
            ACTORS.iter().copied().filter(|name| self.live.obeys(name) && *name != who).collect();
        if ready.is_empty() {
            return None;
        }
        let to = self.choice.of(&ready);
        self.make(who, &format!("send @{name} {to}"), None)
    }

    /// Something that changes nothing.
    fn look(&mut self, who: &str) -> Option<Step> {
        let (one, two) = (self.anybody()?, self.alive()?);
        let kind = self.choice.of(&self.words.links);
        let field = self
            .choice
            .of(&["Uid", "Gid", "Groups", "CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh"]);
        let file = self.choice.of(&["uid_map", "gid_map", "setgroups", "projid_map"]);
        let call = match self.choice.below(12) {
            0 => "ids".to_owned(),
            1 => "capget".to_owned(),
            2 => format!("capget {two}"),
            3 => "hostname".to_owned(),
            4 => format!("same /proc/{one}/ns/{kind} /proc/{two}/ns/{kind}"),
            5 => format!("same /proc/thread-self/ns/{kind} /proc/self/ns/{kind}"),
            6 => format!("status {two} {field}"),
            7 => format!("get /proc/{two}/{file}"),
            8 => "getgroups".to_owned(),
            9 if self.words.time => format!("clock {}", self.choice.of(&["MONOTONIC", "uptime"])),
            10 if self.words.time => format!("get /proc/{two}/timens_offsets"),
            _ => format!(
                "get /proc/sys/{}",
                self.choice.of(&["kernel/hostname", "kernel/domainname"])
            ),
        };
        self.make(who, &call, None)
    }
}
