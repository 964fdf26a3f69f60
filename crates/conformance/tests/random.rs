//! Random programs of an ordinary user: the model against the kernel, and a slice against anyns.
//!
//! `CONFORMANCE_SECONDS` is how long the kernel is compared with, all three generators together.
//! Otherwise `CONFORMANCE_PROGRAMS` is how many programs (a tenth of them hosted, whatever the time). `CONFORMANCE_SEED` is the first seed; without it every run tries
//! others. Seeds and numbers are printed, past the harness, which keeps what a passing test prints.

mod common;

use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use conformance::native::{Executor, HOSTED};
use conformance::random::{
    Amount, Tally, compare, compare_families, compare_mounts, compare_ordinary_families,
    compare_suitable,
};
use nsproxy::{Kind, KindSet};

/// What programs for the kernel are about, beside user and uts namespaces.
const ABOUT: KindSet =
    KindSet::of(&[Kind::Cgroup, Kind::Ipc, Kind::Mnt, Kind::Net, Kind::Pid, Kind::Time]);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    number("CONFORMANCE_SEED").unwrap_or(now as u64)
}

fn count() -> u64 {
    number("CONFORMANCE_PROGRAMS").unwrap_or(2000)
}

/// The kernel's share of the programs: a part of the time if there is one, else of the count.
fn native_amount(seconds_part: (u64, u64), programs: u64) -> Amount {
    match number("CONFORMANCE_SECONDS") {
        Some(seconds) => {
            let (part, of) = seconds_part;
            Amount::Within(Duration::from_millis(seconds * 1000 * part / of))
        }
        None => Amount::Programs(programs),
    }
}

/// Prints the seed before the programs and what was compared after them.
fn told(what: &str, run: impl FnOnce(u64) -> Result<Tally, String>) {
    let seed = seed();
    let say = |text: String| {
        let _ = writeln!(std::io::stderr(), "random programs, {what}: {text}");
    };
    say(format!("CONFORMANCE_SEED={seed}"));
    let began = Instant::now();
    match run(seed) {
        Ok(Tally { programs, calls }) => say(format!(
            "{calls} calls of {programs} programs equal, in {} s",
            began.elapsed().as_secs()
        )),
        Err(report) => panic!("{report}"),
    }
}

#[test]
fn the_kernel_agrees_with_the_model() {
    let native = Executor::native(&common::programs());
    told("all types", |seed| {
        let amount = native_amount((1, 2), count());
        compare(seed, amount, ABOUT, "native", &|program| native.run(program))
    });
}

#[test]
fn the_kernel_agrees_with_the_model_about_families() {
    let native = Executor::native(&common::programs());
    told("families", |seed| {
        let amount = native_amount((1, 4), count().div_ceil(4));
        compare_families(seed, amount, "native", &|program| native.run(program))
    });
}

#[test]
fn the_kernel_agrees_with_the_model_about_mounts() {
    let native = Executor::native(&common::programs());
    told("mounts", |seed| {
        let amount = native_amount((1, 4), count().div_ceil(10));
        compare_mounts(seed, amount, "native", &|program| native.run(program))
    });
}

#[test]
fn anyns_agrees_with_the_model() {
    let programs = common::programs();
    let hosted = common::hosted(&programs);
    let each = count().div_ceil(10 * hosted.len() as u64);
    for (name, hosted) in hosted {
        let run = |program: &_| hosted.run(program);
        // What Docker's filter keeps from the kernel itself is no program for it.
        let suits = |program: &_| hosted.can_run(program);
        let amount = Amount::Programs(each);
        told(name, |seed| compare_suitable(seed, amount, HOSTED, name, (&suits, &run)));
    }
}

#[test]
fn the_kernel_agrees_with_the_model_about_families_of_ordinary_users() {
    let native = Executor::native(&common::programs());
    told("families of ordinary users", |seed| {
        let amount = native_amount((1, 8), count().div_ceil(8));
        let run = |program: &_| native.run(program);
        compare_ordinary_families(seed, amount, "native", (&|_| true, &run))
    });
}

#[test]
fn anyns_agrees_with_the_model_about_families() {
    let programs = common::programs();
    let hosted = common::hosted(&programs);
    let each = count().div_ceil(10 * hosted.len() as u64);
    for (name, hosted) in hosted {
        let run = |program: &_| hosted.run(program);
        let suits = |program: &_| hosted.can_run(program);
        let amount = Amount::Programs(each);
        told(name, |seed| compare_ordinary_families(seed, amount, name, (&suits, &run)));
    }
}
