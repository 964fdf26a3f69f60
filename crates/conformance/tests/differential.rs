//! The list of what is asked of every implementation names scenarios that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[test]
fn the_scenarios_of_the_list_are_there() {
    let scenarios = conformance::suite::all().unwrap();
    let known: BTreeSet<String> = scenarios
        .iter()
        .map(|one| format!("{}: {}", one.place.split(':').next().unwrap(), one.name))
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/differential.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let mut wrong = Vec::new();
    let mut numbers = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (asked, _why_not_all) = line.split_once(" ! ").unwrap_or((line, ""));
        let mut parts = asked.split(" | ").map(str::trim);
        let head = parts.next().unwrap_or_default();
        let number: u32 = head.split(' ').next().unwrap().parse().expect(line);
        let named: Vec<&str> = parts.collect();
        if named.is_empty() && !line.contains(" ! ") {
            wrong.push(format!("{number} names no scenario and no reason"));
        }
        wrong.extend(
            named
                .iter()
                .filter(|name| !known.contains(**name))
                .map(|name| format!("{number}: there is no `{name}`")),
        );
        if numbers.insert(number, named.len()).is_some() {
            wrong.push(format!("{number} twice"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let missing: Vec<u32> = (1..=120).filter(|number| !numbers.contains_key(number)).collect();
    assert!(missing.is_empty(), "{missing:?} have no line");
    assert!(numbers.values().sum::<usize>() > 100);
}
