//! Measures `nsproxy` beside the system calls and at scale, and prints the tables of
//! `docs/performance.md`. Root's, because the system calls are. `library threads` prints only the table of
//! two threads, `library read` that of reads.
//!
//! What runs meanwhile gets little of the processors, if the host lets us (`group`).

use anyns_bench::group::Group;
use anyns_bench::library::{
    TYPES, kernel, model, scale, scale::Common, scale::Work, scale::Writer,
};

/// Rounds, of which the median counts; model and kernel take turns.
const ROUNDS: usize = 5;

fn main() {
    let _group = Group::join();
    match std::env::args().nth(1).as_deref() {
        Some("threads") => threads(),
        Some("read") => reads(),
        _ => {
            alone();
            reads();
            threads();
        }
    }
}

fn alone() {
    println!("| call | kernel, us | model, us | model/kernel |\n|---|--:|--:|--:|");
    for (name, flag) in TYPES {
        row(&format!("unshare {name}"), || kernel::unshare(name, flag), || model::unshare(flag));
    }
    for (name, flag) in TYPES {
        row(&format!("setns {name}"), || kernel::setns(name, flag), || model::setns(name, flag));
    }

    println!(
        "\n| tasks alive, each with a uts namespace | bytes each | unshare, us | fork and exit, us |"
    );
    println!("|--:|--:|--:|--:|");
    for tasks in [1_000, 10_000, 100_000, 1_000_000] {
        let among = scale::among(tasks);
        println!("| {tasks} | {} | {:.2} | {:.2} |", among.bytes, among.unshare, among.fork_exit);
    }
    let (before, after) = scale::births_and_deaths(1_000_000);
    println!("\nA million births and deaths: {before:.1} MiB before, {after:.1} MiB after.");
}

fn reads() {
    println!("\n| a read of a task's namespaces | ns | 99.9th percentile |\n|---|--:|--:|");
    for (beside, writer) in [
        ("alone", Writer::None),
        ("beside one that switches another task", Writer::Other),
        ("beside one that switches this task", Writer::Same),
    ] {
        let (median, tail) = middle(|| scale::read(writer));
        println!("| {beside} | {median:.1} | {tail:.1} |");
    }
}

fn threads() {
    println!("\n| two threads to one | of two systems | of one | in the same namespaces |");
    println!("|---|--:|--:|--:|");
    let of = |work, common| middle(|| (scale::two_to_one(work, common), 0.0)).0;
    for (name, work) in [
        ("setns uts", Work::Setns),
        ("unshare uts", Work::Unshare(TYPES[0].1)),
        ("fork and exit", Work::Fork),
    ] {
        let [nothing, system, namespaces] =
            [Common::Nothing, Common::System, Common::Namespaces].map(|common| of(work, common));
        println!("| {name} | {nothing:.2} | {system:.2} | {namespaces:.2} |");
    }
    // The others cannot be asked for over and over by one task.
    for (name, flag) in TYPES.into_iter().filter(|(name, _)| !["uts", "user", "pid"].contains(name))
    {
        let system = of(Work::Unshare(flag), Common::System);
        println!("| unshare {name} | | {system:.2} | |");
    }
}

fn row(name: &str, kernel: impl Fn() -> f64, model: impl Fn() -> f64) {
    let (kernel, model) = middle(|| (kernel(), model()));
    println!("| {name} | {kernel:.2} | {model:.2} | {:.2} |", model / kernel);
}

/// The medians of pairs.
fn middle(measure: impl Fn() -> (f64, f64)) -> (f64, f64) {
    let all: Vec<_> = (0..ROUNDS).map(|_| measure()).collect();
    let of = |pick: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = all.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values[ROUNDS / 2]
    };
    (of(|pair| pair.0), of(|pair| pair.1))
}
