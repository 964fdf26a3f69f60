//! Random programs about mounts: binds, moves, propagation and unmounts on a small tree, by a few
//! processes in copies of one namespace.
//!
//! They are root's, and begin by covering the scenario's directory in a namespace of their own.

use nsproxy::{Kind, KindSet};

use super::choice::Choice;
use crate::lang::{Scenario, Start, Step, parse_call};
use crate::model::Live;

const ACTORS: [&str; 4] = ["a", "b", "c", "d"];
/// How many steps follow those that make the tree.
const LENGTH: usize = 30;
/// A namespace with this many mounts gets no more.
const FULL: usize = 24;

/// What every program begins with.
const BEGINNING: [&str; 17] = [
    "unshare NEWNS",
    "mount none / - REC|PRIVATE",
    "mount tmpfs DIR tmpfs 0",
    "mkdir DIR/1",
    "mkdir DIR/2",
    "mkdir DIR/1/1",
    "mkdir DIR/1/2",
    "mkdir DIR/2/1",
    "mkdir DIR/2/2",
    "mkdir DIR/1/1/1",
    "mkdir DIR/1/1/2",
    "mkdir DIR/1/2/1",
    "mkdir DIR/1/2/2",
    "mkdir DIR/2/1/1",
    "mkdir DIR/2/1/2",
    "mkdir DIR/2/2/1",
    "mkdir DIR/2/2/2",
];

/// How many steps of a program must not be left out.
pub(super) fn kept(program: &Scenario) -> usize {
    let first = program.steps.first().map(|step| step.call.to_string());
    if program.start == Start::Root && first.as_deref() == Some(BEGINNING[0]) {
        BEGINNING.len()
    } else {
        0
    }
}

/// The program of a seed.
pub fn mount_program(seed: u64) -> Scenario {
    let mut maker = Maker {
        choice: Choice::new(seed),
        live: Live::with(Start::Root, KindSet::ROOMS, &ACTORS, &[]),
        steps: Vec::new(),
    };
    for call in BEGINNING {
        maker.make("a", call);
    }
    if maker.choice.once_in(2) {
        maker.make("a", "mount none DIR - SHARED");
    }
    while maker.steps.len() < BEGINNING.len() + LENGTH {
        maker.step();
    }
    for actor in ACTORS {
        maker.make(actor, "mountinfo DIR");
    }
    let mut steps = maker.steps;
    for (line, step) in steps.iter_mut().enumerate() {
        step.line = line + 1;
    }
    Scenario {
        name: format!("random mounts {seed}"),
        place: format!("seed:{seed}"),
        proves: Vec::new(),
        needs: KindSet::of(&[Kind::Mnt]),
        start: Start::Root,
        steps,
    }
}

struct Maker {
    choice: Choice,
    live: Live,
    steps: Vec<Step>,
}

const FLAGS: [&str; 6] = [
    "REMOUNT|BIND",
    "REMOUNT|BIND|RDONLY",
    "REMOUNT|BIND|NOSUID|NODEV",
    "REMOUNT|BIND|NOEXEC|NOATIME",
    "REMOUNT|BIND|STRICTATIME",
    "REMOUNT|BIND|NODIRATIME",
];

impl Maker {
    fn make(&mut self, actor: &str, call: &str) -> Option<String> {
        let call = parse_call(call).ok()?;
        if !self.live.obeys(actor) {
            return None;
        }
        let mut step = Step {
            line: self.steps.len() + 1,
            actor: actor.to_owned(),
            call,
            binds: None,
            expected: String::new(),
        };
        let result = self.live.step(&step).ok()?;
        step.expected.clone_from(&result);
        self.steps.push(step);
        Some(result)
    }

    /// A path in the tree, rather a short one.
    fn path(&mut self) -> String {
        let mut path = "DIR".to_owned();
        for _ in 0..self.choice.below(4) {
            path.push_str(self.choice.of(&["/1", "/2"]));
        }
        path
    }

    fn is_full(&mut self) -> bool {
        ACTORS.iter().any(|actor| self.live.mounts_seen(actor) > FULL)
    }

    fn step(&mut self) {
        let alive: Vec<&str> = ACTORS.into_iter().filter(|name| self.live.obeys(name)).collect();
        let actor = self.choice.of(&alive);
        let full = self.is_full();
        let (one, other) = (self.path(), self.path());
        let call = match self.choice.below(32) {
            0..=5 if !full => format!("mount {one} {other} - BIND"),
            6..=10 if !full => format!("mount {one} {other} - BIND|REC"),
            11..=12 if !full => format!("mount tmpfs {one} tmpfs 0"),
            13 => format!("mkdir {one}"),
            14..=16 => format!("mount {one} {other} - MOVE"),
            17 => {
                let how = self.choice.of(&["BENEATH", "SET_GROUP"]);
                format!("move_mount {one} {other} {how}")
            }
            18..=22 => {
                let kind = self.choice.of(&["SHARED", "SHARED", "SLAVE", "PRIVATE", "UNBINDABLE"]);
                let deep = self.choice.of(&["", "|REC"]);
                format!("mount none {one} - {kind}{deep}")
            }
            23..=24 => format!("umount {one} 0"),
            25..=26 => format!("umount {one} DETACH"),
            27 => {
                let flags = self.choice.of(&FLAGS);
                format!("mount none {one} - {flags}")
            }
            28 => {
                let to = self.choice.of(&[one.as_str(), "/"]);
                format!("chdir {to}")
            }
            29 => {
                let unborn = ACTORS.into_iter().find(|name| !self.live.was_born(name));
                let Some(child) = unborn else { return };
                let flags = self.choice.of(&["", "NEWNS|", "NEWNS|", "NEWUSER|NEWNS|"]);
                format!("clone {child} {flags}SIGCHLD")
            }
            30 if !full => {
                let flags = self.choice.of(&["NEWNS", "NEWNS", "NEWUSER|NEWNS"]);
                format!("unshare {flags}")
            }
            _ => {
                let leaf = self.choice.of(&["/1", "/2"]);
                format!("rmdir {one}{leaf}")
            }
        };
        if self.make(actor, &call).is_some() && self.choice.once_in(3) {
            let looker = self.choice.of(&alive);
            self.make(looker, "mountinfo DIR");
        }
    }
}
