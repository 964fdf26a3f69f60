//! The text of a map: lines of three decimal numbers.
//!
//! What is accepted is what the kernel's own number and blank routines accept, quirks included:
//! numbers are cut to 32 bits, text after a NUL does not exist, the byte 0xA0 is a blank.

use super::map::{LINES_MAX, Range};
use crate::rule::{Refusal, Refuse, Rule};
use alloc::vec::Vec;

/// The kernel's `isspace`.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | 0xa0)
}

/// Reads all lines, in order. Each is checked by itself and against those before it.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Range>, Refusal> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let mut ranges = Vec::new();
    for (n, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let range = parse_line(line, n + 1)?;
        if let Some(earlier) = ranges.iter().position(|earlier| range.overlaps(earlier)) {
            return Err(Rule::MapOverlap.refuse().with("line", n + 1).with("with", earlier + 1));
        }
        if n == LINES_MAX {
            return Err(Rule::MapTooManyLines.refuse());
        }
        ranges.push(range);
    }
    Ok(ranges)
}

fn parse_line(line: &[u8], n: usize) -> Result<Range, Refusal> {
    let missing =
        |field: &'static str| Rule::MapFieldMissing.refuse().with("line", n).with("field", field);
    // Each field but the last must be followed by a blank.
    let (inside, rest) = number(line);
    let Some(rest) = after_blank(rest) else { return Err(missing("inside")) };
    let (outside, rest) = number(rest);
    let Some(rest) = after_blank(rest) else { return Err(missing("outside")) };
    let (count, rest) = number(rest);
    if !rest.iter().all(|byte| is_blank(*byte)) {
        return Err(Rule::MapTrailingText.refuse().with("line", n));
    }
    if inside == u32::MAX || outside == u32::MAX {
        return Err(Rule::MapStartInvalid.refuse().with("line", n));
    }
    if inside.wrapping_add(count) <= inside || outside.wrapping_add(count) <= outside {
        return Err(Rule::MapRangeEmpty.refuse().with("line", n).with("count", count));
    }
    Ok(Range { inside, outside, count })
}

/// The number at the start, after blanks, cut to 32 bits; 0 if there is none. And what follows.
fn number(text: &[u8]) -> (u32, &[u8]) {
    let start = text.iter().position(|byte| !is_blank(*byte)).unwrap_or(text.len());
    let text = &text[start..];
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let value = text[..end]
        .iter()
        .fold(0u32, |value, digit| value.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')));
    (value, &text[end..])
}

/// What follows a blank, if there is one.
fn after_blank(text: &[u8]) -> Option<&[u8]> {
    text.split_first().filter(|(first, _)| is_blank(**first)).map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::String};

    fn rule(text: &[u8]) -> Option<Rule> {
        parse(text).err().map(|refusal| refusal.rule)
    }

    #[test]
    fn reads_what_the_kernel_reads() {
        let one = Range { inside: 0, outside: 1000, count: 1 };
        for text in [
            &b"0 1000 1"[..],
            b"0 1000 1\n",
            b"  0\t1000 \x0b 1  \n",
            b"0 1000 1\0anything at all",
            b"0 1000 1\n\0anything",
            b"4294967296 1000 1",
            b"18446744073709551616 1000 4294967297",
            b"0\xa01000\xa01\xa0",
        ] {
            assert_eq!(parse(text).unwrap(), [one], "{}", text.escape_ascii());
        }
    }

    #[test]
    fn names_what_is_wrong_with_a_line() {
        for (text, expected) in [
            (&b""[..], Rule::MapFieldMissing),
            (b"\n", Rule::MapFieldMissing),
            (b"0", Rule::MapFieldMissing),
            (b"0 0", Rule::MapFieldMissing),
            (b"0 0 ", Rule::MapRangeEmpty),
            (b"-1 0 1", Rule::MapFieldMissing),
            (b"0x1 0 1", Rule::MapFieldMissing),
            (b"0 0 1 2", Rule::MapTrailingText),
            (b"0 0 1x", Rule::MapTrailingText),
            (b"0 0 1\n\n", Rule::MapFieldMissing),
            (b"0 0 1\n\n1 1 1", Rule::MapFieldMissing),
            (b"0 0 0", Rule::MapRangeEmpty),
            (b"4294967295 0 1", Rule::MapStartInvalid),
            (b"0 4294967295 1", Rule::MapStartInvalid),
            (b"1 0 4294967295", Rule::MapRangeEmpty),
            (b"0 1 4294967295", Rule::MapRangeEmpty),
            (b"0 0 2\n1 5 1", Rule::MapOverlap),
            (b"0 0 2\n5 1 1", Rule::MapOverlap),
        ] {
            assert_eq!(rule(text), Some(expected), "{}", text.escape_ascii());
        }
        assert_eq!(rule(b"0 0 4294967295"), None);
    }

    #[test]
    fn holds_340_lines_and_not_341() {
        let lines = |n: u32| (0..n).map(|i| format!("{i} {i} 1\n")).collect::<String>();
        assert_eq!(parse(lines(340).as_bytes()).unwrap().len(), 340);
        assert_eq!(rule(lines(341).as_bytes()), Some(Rule::MapTooManyLines));
    }
}
