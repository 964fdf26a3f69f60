//! Runs the loops and prints `name microseconds` for each, and for single calls
//! `call, load/median microseconds` and the same with `p99`; or, as `workload --start CMD...`, prints
//! how long the command takes from start to exit. `--only WORD` leaves out what lacks the word.

use std::process::Command;
use std::time::Instant;

use anyns_bench::latency::{self, Load};
use anyns_bench::tasks::TASKS;

/// Starts of the command; their median counts.
const STARTS: usize = 15;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let only = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--start", ..] => return println!("{:.3}", start_to_exit(&words[1..])),
        ["--only", word] => word,
        _ => "",
    };
    for task in TASKS.iter().filter(|task| task.name.contains(only)) {
        println!("{} {:.3}", task.name, task.measure());
    }
    for (name, call) in latency::CALLS {
        for (load, beside) in Load::ALL {
            if format!("latency {name}, {beside}").contains(only) {
                let (median, p99) = latency::measure(*call, load);
                println!("{name}, {beside}/median {median:.3}\n{name}, {beside}/p99 {p99:.3}");
            }
        }
    }
}

fn start_to_exit(command: &[String]) -> f64 {
    let mut times = [0.0; STARTS];
    for time in &mut times {
        let start = Instant::now();
        let status = Command::new(&command[0]).args(&command[1..]).status();
        assert!(status.expect("the command starts").success());
        *time = start.elapsed().as_secs_f64() * 1e6;
    }
    times.sort_by(f64::total_cmp);
    times[STARTS / 2]
}
