//! Runs the loops everywhere, interleaved, and prints the tables of `docs/performance.md`.
//!
//! ```text
//! cargo build --release --workspace --bins
//! cargo run --release -p anyns-bench --bin compare [-- ROUNDS [WORD]]
//! ```
//!
//! As root: everything, the native column too, runs as uid 1000 behind a filter made of Docker's
//! default profile. Where it refuses, only the stop back end can serve, so the columns of the notify
//! back end run behind the same program with permission in the place of refusals. As anybody else it
//! runs without a filter, and every call is stopped in the columns of the stop back end.
//!
//! PRoot is measured if installed. With a WORD only loops with it in their names are run.

use std::error::Error;

use anyns_bench::budget;
use anyns_bench::figures::{Figures, START};
use anyns_bench::group::Group;
use anyns_bench::place::{Column, Programs, places};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let rounds = words.next().map_or(Ok(5), |text| text.parse())?;
    let only = words.next().unwrap_or_default();
    let group = Group::join();
    if group.is_none() {
        eprintln!("not in a scheduling group of its own: expect long tails on a busy machine");
    }
    let programs = Programs::copy()?;
    let places = places(&programs);
    let mut figures = Figures::default();
    for round in 1..=rounds {
        for place in &places {
            eprintln!("round {round} of {rounds}: {}", place.name);
            match place.loops(&programs, &only) {
                Ok(found) => {
                    found.iter().for_each(|(task, us)| figures.add(task, place.column, *us))
                }
                // The rival's troubles are no reason to measure nothing.
                Err(error) if place.column == Column::PRoot => eprintln!("left out: {error}"),
                Err(error) => return Err(error),
            }
            if START.contains(&only) {
                figures.add(START, place.column, place.start_to_exit(&programs)?);
            }
        }
    }
    println!("{}", figures.ratios(&places));
    println!("{}", figures.latencies());
    print!("{}", budget::table(&figures));
    Ok(())
}
