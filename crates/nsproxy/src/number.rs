//! Numbers in the files of `/proc/sys`, as the kernel's sysctl code reads them.

use crate::namespace::user::is_blank;

/// A number as it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Number {
    pub(crate) negative: bool,
    pub(crate) magnitude: u64,
}

impl Number {
    /// Its value, if 64 bits and a sign hold it.
    pub(crate) fn signed(self) -> Option<i64> {
        let value = i64::try_from(self.magnitude).ok()?;
        Some(if self.negative { -value } else { value })
    }

    /// Its value, if it was written without a sign.
    pub(crate) fn unsigned(self) -> Option<u64> {
        (!self.negative).then_some(self.magnitude)
    }
}

/// The most bytes of one number that are looked at, sign and prefix included.
const LEN_MAX: usize = 21;

/// Reads up to `most` numbers and hands each to `take`, which says whether its value will do.
///
/// Returns how many bytes were taken, and whether the text was one that can be taken: at least one
/// number, each good and followed by a blank or the end. Blanks after the last number are taken
/// with it; what follows `most` numbers is left.
pub(crate) fn numbers(
    text: &[u8],
    most: usize,
    mut take: impl FnMut(usize, Number) -> bool,
) -> (usize, bool) {
    let skip = |text: &[u8]| text.iter().take_while(|byte| is_blank(**byte)).count();
    let mut at = 0;
    for place in 0..most {
        at += skip(&text[at..]);
        if at == text.len() {
            return (at, place > 0);
        }
        let Some((number, len)) = number(&text[at..]) else { return (at, false) };
        at += len;
        if !take(place, number) {
            return (at, false);
        }
    }
    (at + skip(&text[at..]), true)
}

/// Reads one number at the very start of `text`: decimal, hexadecimal (`0x`) or octal (`0`), with
/// a minus perhaps, and right after it a space, a tab, a newline or the end.
fn number(text: &[u8]) -> Option<(Number, usize)> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative);
    let (radix, prefix) = match text.get(start..)? {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (16, 2),
        [b'0', ..] => (8, 0),
        _ => (10, 0),
    };
    let digits = text.get(start + prefix..)?;
    let count = digits.iter().take_while(|byte| char::from(**byte).is_digit(radix)).count();
    let (digits, rest) = digits.split_at(count);
    let len = start + prefix + count;
    if len >= LEN_MAX || !matches!(rest.first(), None | Some(b' ' | b'\t' | b'\n')) {
        return None;
    }
    let magnitude = u64::from_str_radix(core::str::from_utf8(digits).ok()?, radix).ok()?;
    Some((Number { negative, magnitude }, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn read(text: &[u8], most: usize) -> (Vec<i64>, usize, bool) {
        let mut all = Vec::new();
        let (taken, whole) =
            numbers(text, most, |_, number| number.signed().map(|value| all.push(value)).is_some());
        (all, taken, whole)
    }

    /// Each was observed on Linux 6.18, with `kernel/sem`.
    #[test]
    fn several_numbers() {
        assert_eq!(read(b"-7 -8 -9", 4), (Vec::from([-7, -8, -9]), 8, true));
        assert_eq!(read(b"250 \n\n 3", 4), (Vec::from([250, 3]), 8, true));
        assert_eq!(read(b"1\t2\n3 4x", 4), (Vec::from([1, 2, 3]), 6, false));
        assert_eq!(read(b"1 2 3 4 x", 4), (Vec::from([1, 2, 3, 4]), 8, true));
        assert_eq!(read(b"1 2 x", 4), (Vec::from([1, 2]), 4, false));
        assert_eq!(read(b"\n", 4), (Vec::new(), 1, false));
        assert_eq!(read(b"-", 1), (Vec::new(), 0, false));
        assert_eq!(read(b"- 1", 1), (Vec::new(), 0, false));
        assert_eq!(read(b"-0", 1), (Vec::from([0]), 2, true));
        assert_eq!(read(b"0x10", 1), (Vec::from([16]), 4, true));
    }
}
