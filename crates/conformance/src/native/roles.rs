//! Whom a number means in a hosted run, where numbers are the host's.
//!
//! A scenario says "2" and means the second to be born in a pid namespace; hosted, that one is
//! called by its number on the host (and the first one 1). So a model plays the scenario along: it
//! says who is called what by the kernel, and numbers are compared by whose they are. Only the
//! digits are the model's; who is seen, reached and named is what anyns says.

use anyns_trap::raw::TidSet;

use super::session::{Actor, Life, Session};
use crate::lang::{Call, NOBODY, Scenario, Step, Who};
use crate::model::Live;

const NEWPID: u64 = 0x2000_0000;

/// The model that plays along.
pub(super) struct Roles(Live);

impl Roles {
    pub(super) fn of(scenario: &Scenario) -> Roles {
        Roles(Live::new(scenario.start, &scenario.actors(), &scenario.descriptors()))
    }
}

impl Actor {
    /// The number that it has for the kernel in a pid namespace.
    fn role_in(&self, space: u64) -> Option<i32> {
        self.roles.iter().find(|(known, _)| *known == space).map(|(_, number)| *number)
    }
}

impl Session {
    /// Lets the model make the step too.
    pub(super) fn play_along(&mut self, step: &Step) -> Result<(), String> {
        match &mut self.roles {
            // The model has none of these, and none of them is about who is who.
            Some(_) if matches!(step.call, Call::Raw { .. }) => Ok(()),
            Some(Roles(live)) => live.step(step).map(drop),
            None => Ok(()),
        }
    }

    /// After a step: by which numbers the actors are called now, for the kernel and for anyns.
    pub(super) fn learn_roles(&mut self) {
        let Some(Roles(live)) = &self.roles else { return };
        for actor in &mut self.actors {
            if actor.life == Life::Unborn {
                continue;
            }
            actor.roles = live.numbers(&actor.name);
            actor.seen = actor
                .roles
                .iter()
                .enumerate()
                .map(|(level, (space, role))| {
                    (*space, if level > 0 && *role == 1 { 1 } else { actor.number })
                })
                .collect();
            if live.lives(&actor.name) {
                actor.init = live.is_init(&actor.name);
            }
        }
    }

    /// Whether the model says that an init which has ended waits for somebody.
    pub(super) fn should_linger(&self, process: i32) -> Option<bool> {
        let Roles(live) = self.roles.as_ref()?;
        let init = self.actors.iter().find(|a| a.process == process && a.init)?;
        Some(live.lingers(&init.name))
    }

    /// The number that a scenario's `number`, given by `who`, is for anyns.
    pub(super) fn host_number(&self, who: usize, number: i32) -> i32 {
        let viewer = &self.actors[who];
        let space = match viewer.roles.last() {
            Some((space, _)) if viewer.roles.len() > 1 && number > 1 => *space,
            // Whoever has it on the host is none of the scenario's, unless it is an actor's already.
            Some(_) if number > 1 && self.actors.iter().all(|actor| actor.number != number) => {
                return NOBODY;
            }
            _ => return number,
        };
        let mut called = self.actors.iter().filter(|actor| actor.role_in(space) == Some(number));
        let alive = called.clone().find(|actor| actor.lives());
        alive.or_else(|| called.next_back()).map_or(number, |actor| actor.number)
    }

    /// The numbers of a call that are not those of the caller's pid namespace: what a descriptor is
    /// asked about, and what is chosen for a child.
    pub(super) fn give_host_numbers(&self, who: usize, call: &mut Call) {
        if self.roles.is_none() {
            return;
        }
        match call {
            Call::Translate { request, who: Who::Number(number), .. }
                if request.0.ends_with("FROM") && *number > 1 =>
            {
                let last = |actor: &&Actor| actor.roles.last().is_some_and(|r| r.1 == *number);
                if let Some(actor) = self.actors.iter().find(last) {
                    *number = actor.number;
                }
            }
            Call::Clone3 { block, .. } => {
                let viewer = &self.actors[who];
                let below = usize::from(block.0.flags & NEWPID != 0);
                let TidSet::List(list) = &mut block.0.set_tid else { return };
                for (place, chosen) in list.iter_mut().enumerate() {
                    let level = (viewer.roles.len() + below).checked_sub(place + 1);
                    let space = level.and_then(|level| viewer.roles.get(level)).map(|r| r.0);
                    let called = |actor: &&Actor| {
                        *chosen > 1 && space.is_some_and(|at| actor.role_in(at) == Some(*chosen))
                    };
                    if let Some(actor) = self.actors.iter().rfind(called) {
                        *chosen = actor.number;
                    }
                }
            }
            _ => {}
        }
    }

    /// An answer's numbers as the kernel would have given them: `%N` for `who`, `^N N ..` from the
    /// outermost pid namespace inwards, `~N` in another one.
    pub(super) fn by_role(&self, who: usize, answer: &str) -> String {
        let Some(sign @ ('%' | '^' | '~')) = answer.chars().next() else { return answer.into() };
        let viewer = &self.actors[who];
        let words = answer[1..].split(' ').enumerate().map(|(place, word)| {
            let Ok(number) = word.parse::<i32>() else { return word.to_owned() };
            let role = match (sign, place) {
                // The driver names those of the initial namespace.
                ('%', 0) if viewer.roles.len() > 1 => {
                    let space = viewer.roles.last().map_or(0, |(space, _)| *space);
                    self.role_of(number, |actor| actor.role_in(space))
                }
                ('^', 1..) => self.role_of(number, |actor| actor.roles.get(place).map(|r| r.1)),
                ('~', 0) => self.role_of(number, |actor| actor.roles.last().map(|r| r.1)),
                _ => None,
            };
            role.unwrap_or(number).to_string()
        });
        let words: Vec<String> = words.collect();
        match sign {
            '~' => words.join(" "),
            _ => format!("{sign}{}", words.join(" ")),
        }
    }

    fn role_of(&self, number: i32, role: impl Fn(&Actor) -> Option<i32>) -> Option<i32> {
        if number <= 1 {
            return None;
        }
        let called = |actor: &&Actor| actor.number == number && role(actor).is_some();
        let mut known = self.actors.iter().filter(called);
        let alive = known.clone().find(|actor| actor.lives());
        alive.or_else(|| known.next_back()).and_then(role)
    }
}
