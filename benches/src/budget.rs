//! What each back end may cost, held against what was measured.

use crate::figures::{Figures, START};
use crate::latency::{CALLS, Load};
use crate::place::Column::{self, *};

/// What may cost how much.
struct Budget {
    what: &'static str,
    tasks: &'static [&'static str],
    notify: f64,
    stop: f64,
    /// The column that the limit is a multiple of.
    of: Column,
}

const BUDGETS: [Budget; 8] = [
    Budget {
        what: "not trapped: `getppid`, `read` of 1 byte",
        tasks: &["untrapped/getppid", "untrapped/read-1"],
        notify: 1.25,
        stop: 1.25,
        of: Native,
    },
    Budget {
        what: "emulated: `getuid`, `uname`, to the floor",
        tasks: &["emulated/getuid", "emulated/uname"],
        notify: 1.3,
        stop: 1.3,
        of: Floor,
    },
    Budget { what: "fork+wait", tasks: &["process/fork-wait"], notify: 1.5, stop: 2.0, of: Native },
    Budget {
        what: "fork+exec+wait",
        tasks: &["process/fork-exec-wait"],
        notify: 1.6,
        stop: 2.0,
        of: Native,
    },
    Budget {
        what: "posix_spawn",
        tasks: &["process/spawn-wait"],
        notify: 1.6,
        stop: 2.0,
        of: Native,
    },
    Budget {
        what: "thread create+join",
        tasks: &["process/thread-join"],
        notify: 2.0,
        stop: 2.0,
        of: Native,
    },
    Budget {
        what: "a signal to self",
        tasks: &["process/signal-to-self"],
        notify: 1.1,
        stop: 15.0,
        of: Native,
    },
    Budget {
        what: "pipe ping-pong",
        tasks: &["process/pipe-ping-pong"],
        notify: 1.1,
        stop: 1.1,
        of: Native,
    },
];

/// Medians and 99th percentiles of a stopped call, in microseconds, and the most to the empty tracer.
const STOPPED: (f64, f64, f64) = (25.0, 100.0, 1.3);

/// All budgets: the limit, and the figures of a program that asked for nothing and of one inside.
pub fn table(figures: &Figures) -> String {
    let mut out = String::from(
        "| what | back end | budget | measured | inside | |\n|---|---|--:|--:|--:|---|\n",
    );
    let mut line = |what: &str, end: &str, limit: String, shown: [Option<f64>; 2], most: f64| {
        let [outside, inside] = shown.map(|figure| match figure {
            Some(figure) => format!("{figure:.2}"),
            None => "-".to_owned(),
        });
        let met = shown.iter().flatten().all(|&figure| figure <= most);
        let met = if met { "met" } else { "**missed**" };
        out += &format!("| {what} | {end} | {limit} | {outside} | {inside} | {met} |\n");
    };
    let ends = [("notify", Notify, NotifyInside), ("stop", Stop, StopInside)];
    for budget in &BUDGETS {
        for (end, outside, inside) in ends {
            let limit = if end == "notify" { budget.notify } else { budget.stop };
            let shown = [outside, inside].map(|column| {
                worst(budget.tasks.iter().map(|task| figures.ratio(task, column, budget.of)))
            });
            line(budget.what, end, format!("{limit}"), shown, limit);
        }
    }
    for (end, column, _) in ends {
        let most = if end == "notify" { 4.0 } else { f64::INFINITY };
        let proot = figures.ratio(START, PRoot, Native);
        let limit = match (end, proot) {
            ("notify", Some(proot)) => format!("4, and PRoot's {proot:.2}"),
            (_, Some(proot)) => format!("PRoot's {proot:.2}"),
            (_, None) => format!("{most}"),
        };
        let most = most.min(proot.unwrap_or(f64::INFINITY));
        line(
            "start to exit of `true`",
            end,
            limit,
            [figures.ratio(START, column, Native), None],
            most,
        );
    }
    let (median, p99, steered) = STOPPED;
    for (_, beside) in Load::ALL {
        let rows = || CALLS.iter().map(|(call, _)| format!("{call}, {beside}"));
        let of = |column, part: &str| {
            worst(rows().map(|row| figures.get(&format!("{row}/{part}"), column)))
        };
        let ratio = |column| {
            worst(rows().map(|row| figures.ratio(&format!("{row}/median"), column, Steered)))
        };
        let both = |part| [of(Stop, part), of(StopInside, part)];
        let what = |text: &str| format!("a stopped call, {beside}: {text}");
        line(&what("median, us"), "stop", format!("{median}"), both("median"), median);
        line(&what("p99, us"), "stop", format!("{p99}"), both("p99"), p99);
        line(
            &what("to the empty tracer"),
            "stop",
            format!("{steered}"),
            [Stop, StopInside].map(ratio),
            steered,
        );
    }
    out
}

fn worst(figures: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    figures.flatten().reduce(f64::max)
}
