//! Shows two texts that should be equal, line beside line.

use std::fmt::Write;

/// Panics with both texts unless they are equal.
#[track_caller]
pub fn assert_equal(name: &str, native: &str, hosted: &str) {
    assert!(native == hosted, "{name}: native and hosted differ\n{}", difference(native, hosted));
}

/// All lines; those that differ marked `-` (native) and `+` (hosted).
pub fn difference(native: &str, hosted: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (native.lines().collect(), hosted.lines().collect());
    let mut out = String::new();
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            let _ = writeln!(out, "  {}", old[i]);
            (i, j) = (i + 1, j + 1);
            continue;
        }
        // The nearest line that both have, counting what is skipped on both sides.
        let reach = (old.len() - i).max(new.len() - j);
        let meeting = (1..=2 * reach).find_map(|skip| {
            (0..=skip)
                .map(|a| (i + a, j + skip - a))
                .find(|&(a, b)| a < old.len() && b < new.len() && old[a] == new[b])
        });
        let (to_i, to_j) = meeting.unwrap_or((old.len(), new.len()));
        for line in &old[i..to_i] {
            let _ = writeln!(out, "- {line}");
        }
        for line in &new[j..to_j] {
            let _ = writeln!(out, "+ {line}");
        }
        (i, j) = (to_i, to_j);
    }
    out
}

#[test]
fn a_difference_shows_both_sides() {
    assert_eq!(difference("a\nb\nc\n", "a\nx\nc\nd\n"), "  a\n- b\n+ x\n  c\n+ d\n");
}
