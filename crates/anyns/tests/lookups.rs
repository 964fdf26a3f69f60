//! Paths lead, among mounts and links of every kind, to where the kernel's own lookup leads, or fail
//! for the same reason.
//!
//! `ANYNS_LOOKUPS` says how many there are (2,000 by default), `ANYNS_SEED` where they begin.

mod harness;

use std::time::Duration;

use harness::{Line, Place, Scratch, run};

/// Lookups between two changes of what is mounted.
const A_ROUND: u64 = 40;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn lookups_equal_the_kernels() {
    let scratch = Scratch::new("lookups");
    let program = scratch.file("lookups.py", include_str!("guests/lookups.py"));
    let first = number("ANYNS_SEED", 1);
    let mut left = number("ANYNS_LOOKUPS", 2000);
    for seed in first.. {
        let rounds = (left / A_ROUND).clamp(1, 25);
        let words = ["unshare", "-Urm", "python3", "-B", program.to_str().unwrap()];
        let mut argv: Vec<String> = words.map(str::to_owned).into();
        argv.extend([seed, rounds, A_ROUND].map(|number| number.to_string()));
        let line = Line::new(argv).limit(Duration::from_secs(300));
        let native = run(&scratch, Place::Granted, &line).text();
        let hosted = run(&scratch, Place::Refused, &line).text();
        if let Some((place, (one, other))) =
            native.lines().zip(hosted.lines()).enumerate().find(|(_, (one, other))| one != other)
        {
            let before: Vec<&str> = native.lines().take(place).collect();
            panic!("seed {seed}: {}\nnative {one}\nhosted {other}", before.join("\n"));
        }
        assert_eq!(native, hosted, "seed {seed}");
        left = left.saturating_sub(rounds * A_ROUND);
        if left == 0 {
            break;
        }
    }
}
