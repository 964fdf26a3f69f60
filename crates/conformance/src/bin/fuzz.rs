//! Makes up programs of calls for the model, without any kernel, and looks whether it panics and
//! whether its books balance:
//!
//! ```text
//! fuzz CALLS [SEED [PROGRAM]]
//! ```
//!
//! They are the scenarios, and programs that suit the kernel, with steps mixed and words changed. It
//! stops at the first failure and prints the smallest program that still fails. PROGRAM is the seed of
//! one that was mentioned: only that is run, and printed.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::exit;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use conformance::lang::{Scenario, parse_file};
use conformance::model::audited;
use conformance::random::{family, mount_program, program, shrink, wild};
use nsproxy::KindSet;

/// A program that takes longer is mentioned.
const SLOW: Duration = Duration::from_secs(5);

fn main() {
    let mut args = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let calls = match args.next() {
        Some(Ok(calls)) => calls,
        _ => {
            eprintln!("usage: fuzz CALLS [SEED [PROGRAM]]");
            exit(2);
        }
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    let first = args.next().and_then(Result::ok).unwrap_or(now as u64);
    println!("seed {first}");
    let corpus = corpus(first);
    if let Some(Ok(one)) = args.next() {
        let program = wild(one, &corpus);
        println!("{program}\n{:?}", attempt(&program));
        return;
    }
    let (next, made) = (AtomicU64::new(first), AtomicU64::new(0));
    let (stop, failure) = (AtomicBool::new(false), Mutex::new(None));
    let words = Mutex::new(BTreeSet::new());
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while made.load(Ordering::Relaxed) < calls && !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let program = wild(seed, &corpus);
                    if seed % 64 == 0 {
                        let kinds = program.steps.iter().map(|step| step.call.word());
                        words.lock().expect("nobody panics").extend(kinds);
                    }
                    let start = Instant::now();
                    let result = attempt(&program);
                    if start.elapsed() > SLOW {
                        println!("seed {seed} takes {} ms", start.elapsed().as_millis());
                    }
                    match result {
                        Ok(taken) => drop(made.fetch_add(taken, Ordering::Relaxed)),
                        Err(reason) => {
                            stop.store(true, Ordering::Relaxed);
                            failure.lock().expect("nobody panics").get_or_insert((program, reason));
                        }
                    }
                }
            });
        }
    });
    if let Some((program, reason)) = failure.into_inner().expect("nobody panics") {
        let small = shrink(&program, 0, &|candidate| attempt(candidate).is_err());
        let reason = attempt(&small).err().unwrap_or(reason);
        println!("{reason}\n\n{small}");
        exit(1);
    }
    let (made, words) = (made.into_inner(), words.into_inner().expect("nobody panics"));
    println!("{made} calls, in {} s; {} kinds of calls", began.elapsed().as_secs(), words.len());
}

/// Runs a program; a panic is a failure.
fn attempt(program: &Scenario) -> Result<u64, String> {
    catch_unwind(AssertUnwindSafe(|| audited(program))).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        Err(format!("it panics: {}", text.unwrap_or("without a message")))
    })
}

/// What is mixed: the scenarios, and some programs of each generator.
fn corpus(seed: u64) -> Vec<Scenario> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut all = Vec::new();
    let files = std::fs::read_dir(&directory).expect("the scenarios are beside the sources");
    for file in files.flatten() {
        all.extend(parse_file(&file.path()).unwrap_or_default());
    }
    for number in 0..300 {
        let seed = seed.wrapping_add(number);
        all.push(program(seed, KindSet::ROOMS));
        all.push(family(seed));
        all.push(mount_program(seed));
    }
    all
}
