//! Texts of the kernel's to be edited. Names in them (of programs, directories) are bytes and need not be
//! UTF-8, so each byte is a character here, and is itself again afterwards.

use std::borrow::Cow;

/// The text, a character for each byte.
pub(super) fn read(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        _ => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// The bytes again, and those of what was added, which is ASCII or was read in the same way.
pub(super) fn written(text: String) -> Vec<u8> {
    match text.is_ascii() {
        true => text.into_bytes(),
        false => text.chars().map(|byte| byte as u8).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_itself_again() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(written(read(&all).into_owned()), all);
        let latin = b"Name:\t\xe9t\xe9\n".as_slice();
        assert_eq!(written(read(latin).replace("Name", "N")), b"N:\t\xe9t\xe9\n");
        assert_eq!(written(read("Name:\té\n".as_bytes()).into_owned()), "Name:\té\n".as_bytes());
    }
}
