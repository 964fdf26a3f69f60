//! `anyns rules`: every reason for a refusal.

use std::fmt::Write;

use anyns_supervisor::nsproxy::Rule;

use crate::error::Error;

/// The table, or one rule with all there is to say about it.
pub(crate) fn rules(name: Option<&str>) -> Result<String, Error> {
    let Some(name) = name else { return Ok(table()) };
    match Rule::by_name(name) {
        Some(rule) => Ok(whole(rule)),
        None => Err(Error::UnknownRule { given: name.to_owned(), near: nearest(name) }),
    }
}

fn table() -> String {
    let widest = Rule::ALL.iter().map(|rule| rule.name().len()).max().unwrap_or(0);
    let mut text = String::new();
    for rule in Rule::ALL {
        let errno = rule.errno().to_string();
        let (name, sentence) = (rule.name(), rule.sentence());
        let _ = write!(text, "{name:widest$}  {errno:9}  {sentence}");
        if !rule.manual().is_empty() {
            let _ = write!(text, "  [{}]", rule.manual().join(", "));
        }
        text.push('\n');
    }
    text
}

fn whole(rule: Rule) -> String {
    let mut text = format!("{} ({})\n", rule.name(), rule.errno());
    let mut line = |title: &str, words: &str| {
        if !words.is_empty() {
            let _ = writeln!(text, "  {title:7} {words}");
        }
    };
    line("rule", rule.sentence());
    line("why", rule.why());
    line("calls", &rule.calls().join(", "));
    line("manual", &rule.manual().join(", "));
    line("kernel", rule.kernel().unwrap_or_default());
    text
}

/// The rule whose name is spelled most like this, if any is.
fn nearest(given: &str) -> Option<&'static str> {
    let near = Rule::ALL.iter().map(|rule| (distance(given, rule.name()), rule.name()));
    near.min().filter(|(far, name)| *far <= name.len() / 3).map(|(_, name)| name)
}

/// How many letters must be put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = corner + usize::from(from != *to);
            corner = row[j + 1];
            row[j + 1] = changed.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_line() {
        let table = table();
        assert_eq!(table.lines().count(), Rule::ALL.len());
        for (line, rule) in table.lines().zip(Rule::ALL) {
            assert!(line.starts_with(rule.name()) && line.contains(&rule.errno().to_string()));
        }
    }

    #[test]
    fn a_near_miss_is_suggested_and_a_far_one_is_not() {
        let name = Rule::ALL[0].name();
        assert_eq!(nearest(&name.replacen('e', "", 1)), Some(name));
        assert_eq!(nearest("x"), None);
    }
}
