//! By which number each actor is called in each pid namespace, as the driver can see it.
//!
//! An actor's numbers are looked up once, when it says its first words; by then all are fixed.

use std::os::fd::AsRawFd;
use std::path::Path;

use anyns_trap::raw::{self, NsRequest};

use super::session::{Actor, Life, Session};
use crate::lang::{Meaning, translate};

/// An actor's number in one pid namespace, which is known by its inode number.
pub(super) type Seen = (u64, i32);

/// The numbers of a thread, from the driver's pid namespace inwards, and whether its process is the
/// init of a pid namespace below that.
pub(super) fn of(process: i32, thread: i32) -> (Vec<Seen>, bool) {
    let status = std::fs::read_to_string(format!("/proc/{process}/task/{thread}/status"));
    let status = status.unwrap_or_default();
    let line = |field: &str| -> Vec<i32> {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
        line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    let (numbers, processes) = (line("NSpid:"), line("NStgid:"));
    let init = processes.len() > 1 && processes.last() == Some(&1);
    let mut spaces = Vec::new();
    let mut at = std::fs::File::open(format!("/proc/{process}/task/{thread}/ns/pid")).ok();
    while let Some(space) = at.take_if(|_| spaces.len() < numbers.len()) {
        use std::os::unix::fs::MetadataExt;
        spaces.push(space.metadata().map_or(0, |meta| meta.ino()));
        at = raw::ns_request(space.as_raw_fd(), NsRequest::Parent)
            .ok()
            .and_then(|fd| std::fs::File::open(format!("/proc/self/fd/{fd}")).ok().zip(Some(fd)))
            .map(|(file, fd)| {
                let _ = raw::close(fd as i32);
                file
            });
    }
    spaces.reverse();
    (spaces.into_iter().zip(numbers).collect(), init)
}

impl Actor {
    /// Its own pid namespace; 0 if nothing is known of it.
    fn space(&self) -> u64 {
        self.seen.last().map_or(0, |(space, _)| *space)
    }

    /// Its number in a pid namespace.
    fn number_in(&self, space: u64) -> Option<i32> {
        self.seen.iter().find(|(known, _)| *known == space).map(|(_, number)| *number)
    }

    /// Whether it is there to be killed.
    pub(super) fn lives(&self) -> bool {
        !matches!(self.life, Life::Unborn | Life::Gone)
    }
}

/// What names mean to one actor.
pub(super) struct View<'a>(pub(super) &'a Session, pub(super) usize);

impl Meaning for View<'_> {
    fn number_of(&self, name: &str) -> Option<i32> {
        self.0.number_of(name)
    }

    fn number_seen(&self, name: &str) -> Option<i32> {
        let actor = self.0.actors.iter().find(|actor| actor.name == name)?;
        let space = self.0.actors[self.1].space();
        match actor.seen.len() {
            0 => self.0.number_of(name),
            // Whoever cannot be seen is tried by the number that it has on the host.
            _ if self.0.roles.is_some() => actor.number_in(space).or(Some(actor.number)),
            _ => actor.number_in(space),
        }
    }

    fn number_meant(&self, number: i32) -> i32 {
        match self.0.roles {
            Some(_) => self.0.host_number(self.1, number),
            None => number,
        }
    }

    fn descriptor(&self, name: &str) -> Option<i32> {
        self.0.descriptor(name)
    }

    fn directory(&self) -> &str {
        self.0.directory()
    }

    fn cgroup(&self) -> &str {
        self.0.cgroup()
    }
}

impl Session {
    /// Names the numbers in an answer to `who`.
    pub(super) fn name_numbers(&self, who: usize, answer: &str) -> String {
        let nested = self.actors[who].seen.len() > 1;
        translate(answer, nested, &|number| {
            let of = |actor: &&Actor| actor.number == number && actor.life != Life::Unborn;
            let mut known = self.actors.iter().filter(of);
            let alive = known.clone().find(|actor| actor.lives());
            alive.or_else(|| known.next_back()).map(|actor| actor.name.clone())
        })
    }

    /// The processes that a signal which ends agents will end: an init is not reached by those
    /// whom it can see, and from elsewhere only by SIGKILL.
    pub(super) fn doomed_by(&self, who: usize, number: i32, signal: i32) -> Vec<i32> {
        let caller = &self.actors[who];
        let space = caller.space();
        let hit = |actor: &&Actor| {
            let theirs =
                if actor.seen.is_empty() { Some(actor.number) } else { actor.number_in(space) };
            let meant = match number {
                -1 => theirs.is_some_and(|n| n != 1) && actor.process != caller.process,
                _ => theirs == Some(number) || (actor.seen.len() < 2 && actor.process == number),
            };
            let inside = caller.number_in(actor.space()).is_some();
            let shielded = actor.init && (inside || signal != 9);
            actor.lives() && meant && !shielded && !handles(actor.process, signal)
        };
        self.actors.iter().filter(hit).map(|actor| actor.process).collect()
    }

    /// The init of an actor's pid namespace, if that is an actor and lives.
    pub(super) fn inits_of(&self, who: usize) -> Vec<i32> {
        let space = self.actors[who].space();
        let init = |actor: &&Actor| actor.init && actor.lives() && actor.space() == space;
        self.actors.iter().filter(init).map(|actor| actor.process).collect()
    }

    /// Those who die with a process because it was the init of their pid namespace.
    pub(super) fn doomed_with(&self, process: i32) -> Vec<i32> {
        let init = self.actors.iter().find(|actor| actor.process == process && actor.init);
        let Some(space) = init.map(Actor::space) else { return Vec::new() };
        let inside = |actor: &&Actor| {
            actor.lives() && actor.process != process && actor.number_in(space).is_some()
        };
        self.actors.iter().filter(inside).map(|actor| actor.process).collect()
    }

    /// Whether an init that has ended cannot be waited for yet, because of somebody outside: a
    /// member is still to be reaped by a parent there, or a group or session of people there is
    /// called by a member's number.
    pub(super) fn lingers(&self, process: i32) -> bool {
        if let Some(lingers) = self.should_linger(process) {
            return lingers;
        }
        let Some(init) = self.actors.iter().find(|a| a.process == process && a.init) else {
            return false;
        };
        // It has given up its namespaces, and sleeps: before that it may not have closed its pid
        // namespace yet.
        let gone = std::fs::read_link(format!("/proc/{process}/ns/uts"))
            .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        let space = init.space();
        let inside = |actor: &&Actor| actor.number_in(space).is_some();
        let numbers: Vec<i32> = self.actors.iter().filter(inside).map(|a| a.process).collect();
        let kin: Vec<(i32, Kin)> =
            self.actors.iter().filter_map(|a| Some((a.process, kin(a.process)?))).collect();
        // Whoever is still there: all of them wait for somebody outside.
        let mut left =
            kin.iter().filter(|(who, _)| *who != process && numbers.contains(who)).peekable();
        let held = kin.iter().filter(|(who, _)| !numbers.contains(who)).any(|(_, kin)| {
            [kin.group, kin.session].iter().any(|n| *n != process && numbers.contains(n))
        });
        gone && sleeps(process)
            && (held || left.peek().is_some())
            && left.all(|(who, kin)| !numbers.contains(&kin.parent) || self.lingers(*who))
    }
}

/// The numbers by which a process is tied to others, in the driver's pid namespace.
struct Kin {
    parent: i32,
    group: i32,
    session: i32,
}

/// What follows the name in the `stat` of a process or thread: the state first.
pub(super) fn stat(directory: &Path) -> Option<String> {
    let text = std::fs::read_to_string(directory.join("stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.to_owned())
}

/// Whether the last thread of a process that ends sleeps: its first one may be gone before.
fn sleeps(process: i32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return false };
    let left: Vec<String> = threads
        .flatten()
        .filter_map(|thread| stat(&thread.path()))
        .filter(|stat| !stat.starts_with(['Z', 'X']))
        .collect();
    !left.is_empty() && left.iter().all(|stat| stat.starts_with('S'))
}

fn kin(process: i32) -> Option<Kin> {
    let text = stat(Path::new(&format!("/proc/{process}")))?;
    let mut words = text.split(' ').skip(1).map(str::parse);
    let mut next = || words.next()?.ok();
    Some(Kin { parent: next()?, group: next()?, session: next()? })
}

/// Whether a process handles or ignores a signal, as its status says.
fn handles(process: i32, signal: i32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let has = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask >> (signal - 1) & 1 != 0)
    };
    (1..=64).contains(&signal) && (has("SigCgt:") || has("SigIgn:"))
}
