//! What was measured, and the tables of it.

use std::collections::BTreeMap;

use crate::latency::{CALLS, Load};
use crate::place::{Column, Place};

/// The name of the row that no loop gives.
pub const START: &str = "process/start-to-exit-true";

/// Figures of several rounds; their median counts.
#[derive(Default)]
pub struct Figures {
    seen: BTreeMap<(String, Column), Vec<f64>>,
}

impl Figures {
    /// Adds one figure of a round.
    pub fn add(&mut self, task: &str, column: Column, microseconds: f64) {
        self.seen.entry((task.to_owned(), column)).or_default().push(microseconds);
    }

    /// The median over the rounds, in microseconds.
    pub fn get(&self, task: &str, column: Column) -> Option<f64> {
        let mut figures = self.seen.get(&(task.to_owned(), column))?.clone();
        figures.sort_by(f64::total_cmp);
        Some(figures[figures.len() / 2])
    }

    /// How many times longer than in another column.
    pub fn ratio(&self, task: &str, column: Column, to: Column) -> Option<f64> {
        Some(self.get(task, column)? / self.get(task, to)?)
    }

    /// The loops: microseconds natively, ratios to that everywhere else.
    pub fn ratios(&self, places: &[Place]) -> String {
        let mut out = head("area/task", places.iter().map(|place| place.name));
        let mut tasks: Vec<&str> = self.seen.keys().map(|(task, _)| task.as_str()).collect();
        tasks.dedup();
        for task in
            tasks.into_iter().filter(|task| !task.ends_with("/median") && !task.ends_with("/p99"))
        {
            out += &format!("| {task} |");
            for place in places {
                let figure = match place.column {
                    Column::Native => self.get(task, Column::Native),
                    column => self.ratio(task, column, Column::Native),
                };
                out += &cell(figure);
            }
            out.push('\n');
        }
        out
    }

    /// The calls that Docker's filter denies: median and 99th percentile in microseconds.
    pub fn latencies(&self) -> String {
        let columns = [
            (Column::Floor, "floor"),
            (Column::NotifyInside, "notify, inside"),
            (Column::Steered, "steered"),
            (Column::Stop, "stop"),
            (Column::StopInside, "stop, inside"),
        ];
        let names = columns.iter().map(|(_, name)| *name).chain(["stop, inside / steered"]);
        let mut out = head("call, beside", names);
        for (call, _) in CALLS {
            for (_, beside) in Load::ALL {
                let row = format!("{call}, {beside}");
                let (median, p99) = (format!("{row}/median"), format!("{row}/p99"));
                out += &format!("| {row} |");
                for (column, _) in columns {
                    out += &match (self.get(&median, column), self.get(&p99, column)) {
                        (Some(median), Some(p99)) => format!(" {median:.1} / {p99:.1} |"),
                        _ => " - |".to_owned(),
                    };
                }
                out += &cell(self.ratio(&median, Column::StopInside, Column::Steered));
                out.push('\n');
            }
        }
        out
    }
}

fn head<'a>(first: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    format!("| {first} | {} |\n|---|{}\n", names.join(" | "), "--:|".repeat(names.len()))
}

fn cell(figure: Option<f64>) -> String {
    figure.map_or_else(|| " - |".to_owned(), |figure| format!(" {figure:.2} |"))
}
