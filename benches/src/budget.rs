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
    /// For a program in a pid namespace, by either back end.
    numbered: f64,
    /// The column that the limit is a multiple of.
    of: Column,
}

const BUDGETS: [Budget; 10] = [
    Budget {
        what: "not trapped: `umask`, `read` of 1 byte",
        tasks: &["untrapped/umask", "untrapped/read-1"],
        notify: 1.25,
        stop: 1.25,
        numbered: f64::INFINITY,
        of: Native,
    },
    Budget {
        what: "emulated: `getuid`, `uname`, to the floor",
        tasks: &["emulated/getuid", "emulated/uname"],
        notify: 1.3,
        stop: 1.3,
        numbered: f64::INFINITY,
        of: Floor,
    },
    Budget {
        what: "fork+wait",
        tasks: &["process/fork-wait"],
        notify: 1.5,
        stop: 2.0,
        numbered: f64::INFINITY,
        of: Native,
    },
    Budget {
        what: "fork+exec+wait",
        tasks: &["process/fork-exec-wait"],
        notify: 1.6,
        stop: 2.0,
        numbered: 1.8,
        of: Native,
    },
    Budget {
        what: "posix_spawn",
        tasks: &["process/spawn-wait"],
        notify: 1.6,
        stop: 2.0,
        numbered: f64::INFINITY,
        of: Native,
    },
    Budget {
        what: "thread create+join",
        tasks: &["process/thread-join"],
        notify: 2.0,
        stop: 2.0,
        numbered: 2.0,
        of: Native,
    },
    Budget {
        what: "open+read+close of `/proc/self/status`",
        tasks: &["proc/own-status"],
        notify: 4.0,
        stop: 4.0,
        numbered: 4.0,
        of: Native,
    },
    Budget {
        what: "`ps -e` beside 200 processes",
        tasks: &["proc/ps-200"],
        notify: 4.0,
        stop: 4.0,
        numbered: 4.0,
        of: Native,
    },
    Budget {
        what: "a signal to self",
        tasks: &["process/signal-to-self"],
        notify: 1.1,
        stop: 15.0,
        numbered: f64::INFINITY,
        of: Native,
    },
    Budget {
        what: "pipe ping-pong",
        tasks: &["process/pipe-ping-pong"],
        notify: 1.1,
        stop: 1.1,
        numbered: f64::INFINITY,
        of: Native,
    },
];

/// Medians and 99th percentiles of a stopped call, in microseconds, and the most to the empty tracer.
const STOPPED: (f64, f64, f64) = (25.0, 100.0, 1.3);

/// All budgets: the limit, and the figures of a program that asked for nothing, of one inside, and of
/// one in a pid namespace.
pub fn table(figures: &Figures) -> String {
    let mut out = String::from(
        "| what | back end | budget | measured | inside | in a pid namespace | |\n|---|---|--:|--:|--:|--:|---|\n",
    );
    let mut line =
        |what: &str, end: &str, limit: String, shown: [Option<f64>; 3], most: [f64; 2]| {
            let [outside, inside, numbered] = shown.map(|figure| match figure {
                Some(figure) => format!("{figure:.2}"),
                None => "-".to_owned(),
            });
            let met = shown
                .into_iter()
                .zip([most[0], most[0], most[1]])
                .all(|(figure, most)| figure.is_none_or(|figure| figure <= most));
            let met = if met { "met" } else { "**missed**" };
            out += &format!(
                "| {what} | {end} | {limit} | {outside} | {inside} | {numbered} | {met} |\n"
            );
        };
    let ends = [
        ("notify", [Notify, NotifyInside, NotifyNumbered]),
        ("stop", [Stop, StopInside, StopNumbered]),
    ];
    for budget in &BUDGETS {
        for (end, columns) in ends {
            let most = if end == "notify" { budget.notify } else { budget.stop };
            let shown = columns.map(|column| {
                worst(budget.tasks.iter().map(|task| figures.ratio(task, column, budget.of)))
            });
            let limit = match budget.numbered.is_finite() && budget.numbered != most {
                true => format!("{most}, {} in a pid namespace", budget.numbered),
                false => format!("{most}"),
            };
            line(budget.what, end, limit, shown, [most, budget.numbered]);
        }
    }
    for (end, [column, ..]) in ends {
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
            [figures.ratio(START, column, Native), None, None],
            [most; 2],
        );
    }
    let (median, p99, steered) = STOPPED;
    for (_, beside) in Load::ALL {
        // One that makes something is no measure of the stop.
        let bare = || CALLS.iter().filter(|(call, _)| !call.starts_with("unshare"));
        let rows = || bare().map(|(call, _)| format!("{call}, {beside}"));
        let of = |column, part: &str| {
            worst(rows().map(|row| figures.get(&format!("{row}/{part}"), column)))
        };
        let ratio = |column| {
            worst(rows().map(|row| figures.ratio(&format!("{row}/median"), column, Steered)))
        };
        let both = |part| [of(Stop, part), of(StopInside, part), None];
        let what = |text: &str| format!("a stopped call, {beside}: {text}");
        line(&what("median, us"), "stop", format!("{median}"), both("median"), [median; 2]);
        line(&what("p99, us"), "stop", format!("{p99}"), both("p99"), [p99; 2]);
        line(
            &what("to the empty tracer"),
            "stop",
            format!("{steered}"),
            [ratio(Stop), ratio(StopInside), None],
            [steered; 2],
        );
    }
    out
}

fn worst(figures: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    figures.flatten().reduce(f64::max)
}
