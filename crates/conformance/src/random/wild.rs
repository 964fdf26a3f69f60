//! Programs that need not make sense: known ones with steps taken out, put in from others, and with
//! words in the place of others.

use super::choice::Choice;
use crate::lang::{Scenario, Step, parse_call};

/// Words that are put in the place of others, beside numbers: what is at the edge of something.
const WORDS: [&str; 40] = [
    "0",
    "1",
    "-1",
    "2",
    "31",
    "33",
    "65",
    "4095",
    "4096",
    "4097",
    "32767",
    "65535",
    "65536",
    "2147483647",
    "-2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "NEWUSER",
    "NEWNS",
    "NEWPID",
    "NEWUSER|NEWNS|NEWPID|NEWNET|NEWIPC|NEWUTS|NEWCGROUP",
    "THREAD|SIGHAND|VM",
    "VM|VFORK",
    "FS",
    "SIGCHLD",
    "\"\"",
    "\"0 0 4294967295\"",
    "\"4294967295 4294967295 4294967295\"",
    "\"x\"*5000",
    "/",
    "DIR",
    "DIR/..",
    "a",
    "b",
    "c",
    "-",
    "0xffffffff",
    "0xffffffffffffffff",
];

/// A program made of those in `corpus`.
pub fn wild(seed: u64, corpus: &[Scenario]) -> Scenario {
    let mut choice = Choice::new(seed);
    let mut program = corpus[choice.below(corpus.len())].clone();
    for _ in 0..=choice.below(8) {
        if program.steps.is_empty() {
            break;
        }
        let at = choice.below(program.steps.len());
        match choice.below(8) {
            0 => drop(program.steps.remove(at)),
            1 => {
                let again = program.steps[choice.below(program.steps.len())].clone();
                program.steps.insert(at, again);
            }
            2 | 3 => {
                let other = &corpus[choice.below(corpus.len())].steps;
                let from = choice.below(other.len());
                let to = (from + 1 + choice.below(12)).min(other.len());
                program.steps.splice(at..at, other[from..to].iter().cloned());
            }
            4 => {
                let other = program.steps[choice.below(program.steps.len())].actor.clone();
                program.steps[at].actor = other;
            }
            _ => change_word(&mut choice, &mut program.steps[at]),
        }
    }
    program.steps.truncate(200);
    for (line, step) in program.steps.iter_mut().enumerate() {
        step.line = line + 1;
    }
    program.name = format!("wild {seed}");
    program.place = format!("seed:{seed}");
    program.proves.clear();
    program
}

/// Puts another word into a call, if it is one then.
fn change_word(choice: &mut Choice, step: &mut Step) {
    let text = step.call.to_string();
    let mut words: Vec<&str> = text.split(' ').collect();
    if words.len() < 2 {
        return;
    }
    let at = 1 + choice.below(words.len() - 1);
    let new = choice.of(&WORDS);
    let named;
    words[at] = match words[at].split_once('=') {
        Some((name, _)) => {
            named = format!("{name}={new}");
            &named
        }
        None => new,
    };
    if let Ok(call) = parse_call(&words.join(" ")) {
        step.call = call;
    }
}
