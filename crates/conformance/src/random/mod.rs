//! Random programs: made up against the model, compared with an executor, shrunk when they differ.
//!
//! A program is a [`Scenario`] like any other, so a difference is printed as one that can be put
//! into a scenario file as it stands.

mod choice;
mod family;
mod ipc;
mod mounts;
mod program;
mod shrink;
mod wild;
mod words;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nsproxy::KindSet;

use crate::lang::{Scenario, Transcript};

pub use family::{family, ordinary_family};
pub use mounts::mount_program;
pub use program::program;
pub use shrink::shrink;
pub use wild::wild;

/// An executor, as a property test sees it.
pub type Run<'a> = &'a (dyn Fn(&Scenario) -> Transcript + Sync);

/// How many programs are compared.
#[derive(Clone, Copy, Debug)]
pub enum Amount {
    /// So many.
    Programs(u64),
    /// As many as begin within this time.
    Within(Duration),
}

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Programs.
    pub programs: u64,
    /// Steps of those programs whose answers were equal. A step that nobody could take (its actor
    /// is dead, or suspended) is not counted.
    pub calls: u64,
}

/// Compares random programs about these types, the first of which has the seed `first`.
///
/// The error is a report of the first difference found, with the smallest program that still shows
/// it.
pub fn compare(
    first: u64,
    amount: Amount,
    about: KindSet,
    name: &str,
    run: Run<'_>,
) -> Result<Tally, String> {
    compare_programs(first, amount, &|seed| program(seed, about), name, run)
}

/// The same with programs that suit an executor, so that not every seed has one of its own.
pub fn compare_suitable(
    first: u64,
    amount: Amount,
    about: KindSet,
    name: &str,
    (suits, run): (&(dyn Fn(&Scenario) -> bool + Sync), Run<'_>),
) -> Result<Tally, String> {
    let make = |seed: u64| {
        let mut programs = (0..).map(|more| program(seed.wrapping_add(more << 56), about));
        // A small part of all programs asks only for what every executor has.
        programs.by_ref().take(256).find(|program| suits(program)).unwrap_or_else(|| {
            let mut nothing = program(seed, about);
            nothing.steps.clear(); // so that it is not counted as compared
            nothing
        })
    };
    // A program that is left with less in it suits whom it suited.
    let run = |program: &Scenario| match suits(program) {
        true => run(program),
        false => crate::model::run(program).transcript,
    };
    compare_programs(first, amount, &make, name, &run)
}

/// Compares random programs about mounts, which are root's; as [`compare`].
pub fn compare_mounts(
    first: u64,
    amount: Amount,
    name: &str,
    run: Run<'_>,
) -> Result<Tally, String> {
    compare_programs(first, amount, &mount_program, name, run)
}

/// Compares random programs about pid namespaces, which are root's; as [`compare`].
pub fn compare_families(
    first: u64,
    amount: Amount,
    name: &str,
    run: Run<'_>,
) -> Result<Tally, String> {
    compare_programs(first, amount, &family, name, run)
}

/// The same of ordinary users who are root of a user namespace.
pub fn compare_ordinary_families(
    first: u64,
    amount: Amount,
    name: &str,
    (suits, run): (&(dyn Fn(&Scenario) -> bool + Sync), Run<'_>),
) -> Result<Tally, String> {
    let make = |seed: u64| {
        let mut programs = (0..64).map(|more: u64| ordinary_family(seed.wrapping_add(more << 56)));
        programs.find(|program| suits(program)).unwrap_or_else(|| {
            let mut nothing = ordinary_family(seed);
            nothing.steps.clear(); // so that it is not counted as compared
            nothing
        })
    };
    let run = |program: &Scenario| match suits(program) {
        true => run(program),
        false => crate::model::run(program).transcript,
    };
    compare_programs(first, amount, &make, name, &run)
}

fn compare_programs(
    first: u64,
    amount: Amount,
    make: &(dyn Fn(u64) -> Scenario + Sync),
    name: &str,
    run: Run<'_>,
) -> Result<Tally, String> {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let programs = AtomicU64::new(0);
    let calls = AtomicU64::new(0);
    let found: Mutex<Option<(u64, Scenario, String)>> = Mutex::new(None);
    let found_lock = || found.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        while found_lock().is_none() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let enough = match amount {
                Amount::Programs(count) => number >= count,
                Amount::Within(time) => began.elapsed() >= time,
            };
            if enough {
                return;
            }
            let seed = first.wrapping_add(number);
            let program = make(seed);
            match compared(&program, name, run) {
                Ok(taken) => {
                    programs.fetch_add(u64::from(taken > 0), Ordering::Relaxed);
                    calls.fetch_add(taken, Ordering::Relaxed);
                }
                Err(report) => {
                    found_lock().get_or_insert((seed, program, report));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(work);
        }
    });
    let Some((seed, program, first_report)) =
        found.into_inner().unwrap_or_else(PoisonError::into_inner)
    else {
        return Ok(Tally { programs: programs.into_inner(), calls: calls.into_inner() });
    };
    let keep = mounts::kept(&program);
    let small = shrink(&program, keep, &|candidate| difference(candidate, name, run).is_some());
    // What is not seen again depends on more than the program: on time, or on another program.
    let report = difference(&small, name, run)
        .unwrap_or_else(|| format!("    (not seen again)\n{first_report}"));
    Err(format!(
        "the model and {name} differ; seed {seed} (CONFORMANCE_SEED={seed}), {} of {} steps:\n{report}\n{small}",
        small.steps.len(),
        program.steps.len(),
    ))
}

/// How a program's transcript differs from the model's.
fn difference(program: &Scenario, name: &str, run: Run<'_>) -> Option<String> {
    compared(program, name, run).err()
}

/// How many steps were taken with equal answers, or how the transcripts differ.
fn compared(program: &Scenario, name: &str, run: Run<'_>) -> Result<u64, String> {
    let model = crate::model::run(program).transcript;
    // A step about somebody who was never born, which only shrinking makes.
    let unknown = |result: &String| result.contains("the model has no ");
    if model.broken.is_some() || model.entries.iter().any(|entry| unknown(&entry.result)) {
        return Ok(0); // not a program
    }
    match model.difference("model", &run(program), name) {
        Some(report) => Err(report),
        None => Ok(model.entries.iter().filter(|entry| entry.result != "-").count() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::parse_scenarios;

    /// A slice of what `fuzz` does, the same every time.
    #[test]
    fn wild_programs_leave_the_books_balanced() {
        let text = include_str!("../../scenarios/mixed_all.scn");
        let mut corpus = parse_scenarios("mixed_all", text).expect("it is a file of scenarios");
        corpus.extend((0..40).map(|seed| program(seed, KindSet::ROOMS)));
        corpus.extend((0..40).map(family));
        let calls: u64 = (0..600)
            .map(|seed| {
                let program = wild(seed, &corpus);
                crate::model::audited(&program).unwrap_or_else(|why| panic!("{why}\n{program}"))
            })
            .sum();
        assert!(calls > 5_000, "{calls} calls");
    }
}
