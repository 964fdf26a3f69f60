//! What an executor writes down, and the comparison of two such records.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::scenario::Scenario;

/// One step and what it gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Process and call, as in the scenario.
    pub step: String,
    /// What the call gave.
    pub result: String,
}

/// The record of one run of one scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// One entry a step, fewer if the run broke off.
    pub entries: Vec<Entry>,
    /// Why the run broke off.
    pub broken: Option<String>,
}

impl Transcript {
    /// The record that the scenario's own text promises.
    pub fn expected(scenario: &Scenario) -> Transcript {
        let entries = scenario
            .steps
            .iter()
            .map(|step| Entry { step: step.to_string(), result: step.expected.clone() })
            .collect();
        Transcript { entries, broken: None }
    }

    /// Both records side by side where they differ; `None` if they are equal.
    pub fn difference(&self, name: &str, other: &Transcript, other_name: &str) -> Option<String> {
        if self == other {
            return None;
        }
        let mut text = String::new();
        for index in 0..self.entries.len().max(other.entries.len()) {
            let (one, two) = (self.entries.get(index), other.entries.get(index));
            let step = one.or(two).map_or("", |entry| &entry.step);
            if one == two {
                let _ = writeln!(text, "    {step} = {}", one.map_or("", |entry| &entry.result));
            } else {
                let result = |entry: Option<&super::Entry>| {
                    entry.map_or("(not reached)".to_owned(), |entry| entry.result.clone())
                };
                let _ = writeln!(text, "  > {step}");
                let _ = writeln!(text, "      {name}: {}", result(one));
                let _ = writeln!(text, "      {other_name}: {}", result(two));
            }
        }
        for (name, broken) in [(name, &self.broken), (other_name, &other.broken)] {
            if let Some(reason) = broken {
                let _ = writeln!(text, "    {name} broke off: {reason}");
            }
        }
        Some(text)
    }
}

/// Names the numbers of processes in a result: `%N` is one of the caller's own pid namespace, `^N`
/// at the beginning one that `/proc` shows. Those of the initial namespace come by chance: they
/// are replaced by the actor's name, or `outside`.
pub(crate) fn translate(
    result: &str,
    nested: bool,
    name: &dyn Fn(i32) -> Option<String>,
) -> String {
    let Some(rest) = result.strip_prefix(['%', '^']) else { return result.into() };
    let (word, rest) = rest.split_once(' ').map_or((rest, None), |(word, rest)| (word, Some(rest)));
    let plain = nested && result.starts_with('%');
    let word = match word.parse() {
        Ok(number) if number != 0 && !plain => name(number).unwrap_or_else(|| "outside".into()),
        _ => word.to_owned(),
    };
    rest.map_or(word.clone(), |rest| format!("{word} {rest}"))
}

/// Gives namespaces names in the order they are met, so that no inode number is ever compared.
#[derive(Debug, Default)]
pub struct Identities {
    known: HashMap<String, String>,
    count: HashMap<String, usize>,
}

impl Identities {
    /// Replaces every `kind:[number]` in a result by `kind:A`, `kind:B` ...
    pub fn rename(&mut self, result: &str) -> String {
        let mut text = String::new();
        let mut rest = result;
        while let Some(open) = rest.find(":[") {
            let Some(close) = rest[open..].find(']').map(|at| open + at) else { break };
            let kind_start = rest[..open]
                .rfind(|char: char| !char.is_ascii_lowercase() && char != '_')
                .map_or(0, |at| at + 1);
            let kind = &rest[kind_start..open];
            text.push_str(&rest[..kind_start]);
            let name = self.known.entry(rest[kind_start..=close].to_owned()).or_insert_with(|| {
                let count = self.count.entry(kind.to_owned()).or_default();
                let letter = char::from(b'A' + (*count % 26) as u8);
                *count += 1;
                format!("{kind}:{letter}")
            });
            text.push_str(name);
            rest = &rest[close + 1..];
        }
        text + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_named_as_they_are_met() {
        let mut names = Identities::default();
        assert_eq!(names.rename("uts:[4026531838]"), "uts:A");
        assert_eq!(names.rename("user:[4026531837]"), "user:A");
        assert_eq!(names.rename("\"uts:[7] uts:[4026531838]\""), "\"uts:B uts:A\"");
        assert_eq!(names.rename("no names: [1]"), "no names: [1]");
    }

    #[test]
    fn a_difference_shows_both_results() {
        let entry = |result: &str| Entry { step: "a  ids".into(), result: result.into() };
        let one = Transcript { entries: vec![entry("1"), entry("2")], broken: None };
        let two = Transcript { entries: vec![entry("1"), entry("3")], broken: Some("hang".into()) };
        assert_eq!(one.difference("native", &one, "model"), None);
        assert_eq!(
            one.difference("native", &two, "model").unwrap(),
            "    a  ids = 1\n  > a  ids\n      native: 2\n      model: 3\n    model broke off: hang\n"
        );
    }
}
