//! Takes out of a text what differs between any two runs: namespace numbers and process numbers.
//!
//! Equal numbers stay equal: the first one seen becomes `#1`, the next different one `#2`.

/// What is to be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normal {
    /// Namespace numbers: `user:[4026531837]` and bare numbers of that size.
    Inodes,
    /// The number after the word, wherever the word stands.
    After(&'static str),
    /// The width of blanks: a column is as wide as its widest number.
    Blanks,
}

/// Applies the rules in order.
pub fn apply(rules: &[Normal], text: &str) -> String {
    rules.iter().fold(text.to_owned(), |text, rule| match rule {
        Normal::Inodes => inodes(&text),
        Normal::After(word) => after(word, &text),
        Normal::Blanks => blanks(&text),
    })
}

/// Replaces each number of ten digits by its place in the order of first appearance.
fn inodes(text: &str) -> String {
    let mut seen: Vec<String> = Vec::new();
    pieces(text)
        .map(|piece| {
            if piece.len() != 10 || !piece.starts_with(|c: char| c.is_ascii_digit()) {
                return piece.to_owned();
            }
            if !seen.iter().any(|known| known == piece) {
                seen.push(piece.to_owned());
            }
            let place = seen.iter().position(|known| known == piece).unwrap_or(0) + 1;
            format!("#{place}")
        })
        .collect()
}

/// Splits a text into runs of digits and runs of anything else.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let digit = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(rest.len());
        let (piece, tail) = rest.split_at(end);
        rest = tail;
        Some(piece)
    })
}

fn after(word: &str, text: &str) -> String {
    let mut parts = text.split(word);
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        out.push_str(word);
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        out.push_str(if digits > 0 { "N" } else { "" });
        out.push_str(&part[digits..]);
    }
    out
}

fn blanks(text: &str) -> String {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn equal_numbers_stay_equal() {
    let text = "user:[4026531837] 4026532999 user:[4026531837]\npid 77,  x";
    let rules = [Normal::Inodes, Normal::After("pid "), Normal::Blanks];
    assert_eq!(apply(&rules, text), "user:[#1] #2 user:[#1]\npid N, x\n");
}
