//! One run of one scenario: who is alive, who owes an answer, what each step gave.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::life::has_ended;
use super::numbers::{self, Seen, View};
use super::roles::Roles;
use super::stage::Stage;
use crate::agent::{FIRST_DESCRIPTOR, MESSAGE, MORE};
use crate::lang::{Call, Entry, Identities, Meaning, Scenario, Step, Transcript};

/// What a step of somebody who is not there gives.
pub(crate) const NOBODY_THERE: &str = "-";

/// Runs a scenario on a stage that has been set.
pub(super) fn run(stage: Stage, scenario: &Scenario, hosted: bool) -> Transcript {
    let mut session = Session::new(stage, scenario);
    session.roles = hosted.then(|| Roles::of(scenario));
    let mut transcript = Transcript::default();
    if let Err(reason) = session.greet(0) {
        transcript.broken = Some(session.why_not_started(reason));
        return transcript;
    }
    session.learn_roles();
    for step in &scenario.steps {
        match session.step(step) {
            Ok(result) => transcript.entries.push(Entry { step: step.to_string(), result }),
            Err(reason) => {
                transcript.broken = Some(format!("line {}: {step}: {reason}", step.line));
                break;
            }
        }
    }
    if let Err(reason) = session.finish(transcript.broken.is_some()) {
        transcript.broken.get_or_insert(reason);
    }
    transcript
}

/// Where an actor is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Unborn,
    Obeying,
    /// Suspended until this actor has exited or executed a program.
    Suspended {
        by: usize,
    },
    Gone,
}

pub(super) struct Actor {
    pub(super) name: String,
    pub(super) socket: OwnedFd,
    pub(super) life: Life,
    pub(super) process: i32,
    pub(super) number: i32,
    /// Its numbers, from the driver's pid namespace inwards.
    pub(super) seen: Vec<Seen>,
    /// Those that it has for the kernel, in a hosted run.
    pub(super) roles: Vec<Seen>,
    /// Its process is the init of a pid namespace.
    pub(super) init: bool,
    pub(super) pidfd: Option<OwnedFd>,
    /// What was heard of an answer that has more parts to come.
    said: Vec<u8>,
}

pub(super) struct Session {
    pub(super) stage: Stage,
    pub(super) roles: Option<Roles>,
    pub(super) actors: Vec<Actor>,
    descriptors: Vec<String>,
    identities: Identities,
    buffer: Vec<u8>,
}

impl Meaning for Session {
    fn number_of(&self, name: &str) -> Option<i32> {
        let actor = self.actors.iter().find(|actor| actor.name == name)?;
        (actor.life != Life::Unborn).then_some(actor.number)
    }

    fn number_seen(&self, name: &str) -> Option<i32> {
        self.number_of(name)
    }

    fn descriptor(&self, name: &str) -> Option<i32> {
        let place = self.descriptors.iter().position(|known| known == name)?;
        Some(FIRST_DESCRIPTOR + place as i32)
    }

    fn directory(&self) -> &str {
        self.stage.directory()
    }

    fn cgroup(&self) -> &str {
        self.stage.cgroup()
    }
}

impl Session {
    fn new(mut stage: Stage, scenario: &Scenario) -> Session {
        let sockets = std::mem::take(&mut stage.sockets);
        let actors = scenario.actors().into_iter().zip(sockets).map(|(name, socket)| Actor {
            name: name.to_owned(),
            socket,
            life: Life::Unborn,
            process: 0,
            number: 0,
            seen: Vec::new(),
            roles: Vec::new(),
            init: false,
            pidfd: None,
            said: Vec::new(),
        });
        Session {
            actors: actors.collect(),
            descriptors: scenario.descriptors().into_iter().map(str::to_owned).collect(),
            identities: Identities::default(),
            buffer: vec![0; MESSAGE],
            stage,
            roles: None,
        }
    }

    pub(super) fn place(&self, name: &str) -> Result<usize, String> {
        let place = self.actors.iter().position(|actor| actor.name == name);
        place.ok_or_else(|| format!("nobody is called {name}"))
    }

    fn step(&mut self, step: &Step) -> Result<String, String> {
        let who = self.place(&step.actor)?;
        self.notice_deaths()?;
        if self.actors[who].life != Life::Obeying {
            return Ok(NOBODY_THERE.into());
        }
        let mut call = step.call.clone();
        self.give_host_numbers(who, &mut call);
        call.resolve(&View(self, who));
        let slot = step.binds.as_deref().and_then(|name| self.descriptor(name)).unwrap_or(-1);
        self.play_along(step)?;
        self.tell(who, &format!("{slot} {call}"))?;
        let result = match &step.call {
            Call::Exec { .. } => self.after_exec(who)?,
            Call::Exit { .. } => self.after_exit(who)?,
            Call::Wait { .. } | Call::Setpgid { .. } | Call::Setsid {} => self.settle(who)?,
            Call::Kill { .. } => self.after_kill(who, &call)?,
            Call::Reboot { .. } => self.after_reboot(who)?,
            Call::Send { who: to, .. } => self.after_send(who, &to.0, &call)?,
            other => match other.born() {
                Some(child) => self.after_birth(who, child, other.suspends())?,
                None => self.hear(who)?,
            },
        };
        let result = if self.roles.is_some() {
            self.learn_roles();
            self.by_role(who, &result)
        } else {
            result.strip_prefix('~').map_or(result.clone(), str::to_owned)
        };
        match (result.as_str(), &step.binds) {
            ("descriptor", Some(name)) => Ok(format!("@{name}")),
            _ => {
                let result = self.stage.without_names(self.name_numbers(who, &result));
                Ok(self.identities.rename(&result))
            }
        }
    }

    // ---- messages ---------------------------------------------------------------------------

    pub(super) fn tell(&mut self, who: usize, message: &str) -> Result<(), String> {
        rustix::io::write(&self.actors[who].socket, message.as_bytes())
            .map(drop)
            .map_err(|error| format!("{} cannot be told anything: {error}", self.actors[who].name))
    }

    /// Waits until one of these actors says something, or ends. `None`: it ended.
    pub(super) fn listen(&mut self, among: &[usize]) -> Result<(usize, Option<String>), String> {
        let deadline = Instant::now() + self.stage.timeout;
        loop {
            for &who in among {
                // Looked at before the socket: what was said before the end is not lost.
                let actor = &self.actors[who];
                let ended = actor.pidfd.as_ref().is_some_and(|fd| ready(fd, Duration::ZERO))
                    && has_ended(actor.process);
                let flags = rustix::net::RecvFlags::DONTWAIT;
                match rustix::net::recv(&actor.socket, self.buffer.as_mut_slice(), flags) {
                    Ok((count, _)) if count > 0 => {
                        let said = &mut self.actors[who].said;
                        said.extend_from_slice(&self.buffer[..count]);
                        if said.pop_if(|last| *last == MORE).is_some() {
                            continue;
                        }
                        let said = std::mem::take(said);
                        let text = String::from_utf8_lossy(&said).into_owned();
                        return match text.strip_prefix('!') {
                            Some(trouble) => Err(format!("the agent says: {trouble}")),
                            None => Ok((who, Some(text))),
                        };
                    }
                    Ok(_) => return Ok((who, None)),
                    Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) if ended => {
                        return Ok((who, None));
                    }
                    Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(format!("cannot hear: {error}")),
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("no answer in {} seconds", self.stage.timeout.as_secs()));
            }
            if self.stage.child.try_wait().is_ok_and(|status| status.is_some())
                && self.actors[0].life == Life::Unborn
            {
                return Ok((among[0], None));
            }
            let mut watched: Vec<PollFd<'_>> = Vec::new();
            for &who in among {
                let actor = &self.actors[who];
                watched.push(PollFd::new(&actor.socket, PollFlags::IN));
                watched.extend(actor.pidfd.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
            }
            // A short nap only, for those whose end nothing announces.
            let _ = poll(&mut watched, Some(&timespec(left.min(Duration::from_millis(100)))));
        }
    }

    /// The answer of one actor; an end is an answer too.
    pub(super) fn hear(&mut self, who: usize) -> Result<String, String> {
        match self.listen(&[who])? {
            (_, Some(text)) => Ok(text),
            (_, None) => {
                self.bury(self.actors[who].process)?;
                Ok("gone".into())
            }
        }
    }

    /// Waits for the first words of an actor that has come to life.
    pub(super) fn greet(&mut self, who: usize) -> Result<(), String> {
        let (_, text) = self.listen(&[who])?;
        let text = text.ok_or("it ended before it said anything")?;
        self.met(who, &text)
    }

    pub(super) fn met(&mut self, who: usize, text: &str) -> Result<(), String> {
        let mut words = text.strip_prefix("hello ").unwrap_or("").split(' ').map(str::parse);
        let (Some(Ok(process)), Some(Ok(number))) = (words.next(), words.next()) else {
            return Err(format!("{} said {text}", self.actors[who].name));
        };
        let actor = &mut self.actors[who];
        (actor.process, actor.number, actor.life) = (process, number, Life::Obeying);
        if self.roles.is_none() {
            let actor = &mut self.actors[who];
            (actor.seen, actor.init) = numbers::of(process, number);
        }
        let actor = &mut self.actors[who];
        actor.pidfd =
            Pid::from_raw(process).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Ok(())
    }
}

/// Whether there is something to read, or will be within this time.
pub(super) fn ready(fd: &impl AsFd, patience: Duration) -> bool {
    let mut watched = [PollFd::new(fd, PollFlags::IN)];
    poll(&mut watched, Some(&timespec(patience))).is_ok_and(|count| count > 0)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: duration.subsec_nanos().into() }
}
