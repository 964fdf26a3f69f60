//! `docs/kernel-map.md` names files and functions of this crate. They exist.
#![cfg(not(loom))]

use std::{fs, path::Path};

/// The words between backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Says whether `text` defines `name`: a function, a type, a trait or a field.
fn defines(text: &str, name: &str) -> bool {
    let starts = |line: &str, word: &str| {
        let rest = line.split_once(word).map(|(_, rest)| rest);
        let rest = rest.and_then(|rest| rest.strip_prefix(name));
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")).any(|line| {
        ["fn ", "struct ", "enum ", "trait ", "type "].iter().any(|word| starts(line, word))
            || (["pub ", "pub(crate) ", "pub(super) "].iter().any(|word| starts(line, word))
                && line.contains(&format!("{name}: ")))
    })
}

#[test]
fn what_the_map_names_is_there() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = fs::read_to_string(here.join("../../docs/kernel-map.md")).unwrap();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for row in map.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| kernel ")) {
        let cells: Vec<&str> = row.split('|').collect();
        assert_eq!(cells.len(), 5, "{row}");
        let mut text = None;
        for word in quoted(cells[2]) {
            match &text {
                _ if word.ends_with(".rs") => {
                    let path = here.join("src").join(word);
                    text = fs::read_to_string(&path).ok();
                    if text.is_none() {
                        wrong.push(format!("no file {word}"));
                    }
                }
                Some(text) if defines(text, word) => seen += 1,
                _ => wrong.push(format!("{}: no {word}", cells[2].trim())),
            }
        }
        if quoted(cells[2]).count() < 2 {
            wrong.push(format!("names nothing: {row}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 150, "only {seen} names were found");
}
