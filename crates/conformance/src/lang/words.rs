//! Lines into words, words into values.
//!
//! A word is what stands between blanks; a quoted text is one word, blanks and all.

/// Splits a line into words and drops a comment (`#` at the start of a word).
///
/// Quotes stay in the words: `"a b"*3` is one word.
pub(crate) fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = line.chars();
    let mut quoted = false;
    while let Some(char) = chars.next() {
        match char {
            '"' => {
                quoted = !quoted;
                word.push(char);
            }
            '\\' if quoted => {
                word.push(char);
                word.extend(chars.next());
            }
            _ if quoted => word.push(char),
            '#' if word.is_empty() => break,
            _ if char.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(char),
        }
    }
    if quoted {
        return Err("a quoted text has no end".into());
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

/// Writes bytes as a quoted text.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        match byte {
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push('"');
    text
}

/// Reads a quoted text; what follows the closing quote is returned beside it.
pub(crate) fn unquote(word: &str) -> Result<(Vec<u8>, &str), String> {
    let bad = || format!("{word} is not a quoted text");
    let inner = word.strip_prefix('"').ok_or_else(bad)?;
    let mut bytes = Vec::new();
    let mut chars = inner.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((bytes, &inner[at + 1..])),
            '\\' => match chars.next().ok_or_else(bad)?.1 {
                'n' => bytes.push(b'\n'),
                't' => bytes.push(b'\t'),
                '0' => bytes.push(0),
                'x' => {
                    let digits: String = chars.by_ref().take(2).map(|(_, digit)| digit).collect();
                    bytes.push(u8::from_str_radix(&digits, 16).map_err(|_| bad())?);
                }
                other => bytes.extend(other.to_string().bytes()),
            },
            other => bytes.extend(other.to_string().bytes()),
        }
    }
    Err(bad())
}

/// Reads a number, decimal or 0x.
pub(crate) fn number(word: &str) -> Result<i64, String> {
    let bad = || format!("{word} is not a number");
    match word.strip_prefix("0x") {
        Some(digits) => {
            u64::from_str_radix(digits, 16).map(|value| value as i64).map_err(|_| bad())
        }
        None => word.parse().map_err(|_| bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_inside_quotes_do_not_split_and_comments_end_the_line() {
        let words = split(r#" a put /x "0 1 \" # 1"*3  = 4 # why"#).unwrap();
        assert_eq!(words, ["a", "put", "/x", r#""0 1 \" # 1"*3"#, "=", "4"]);
        assert!(split("a put \"x").is_err());
    }

    #[test]
    fn quoting_and_unquoting_are_inverse() {
        let bytes: Vec<u8> = (0..=255).collect();
        let (back, rest) = unquote(&quote(&bytes[..128])).map(|(b, r)| (b, r.to_owned())).unwrap();
        assert_eq!(back, &bytes[..128]);
        assert_eq!(rest, "");
        assert_eq!(unquote(r#""ab\n\0\x41"*3"#), Ok((b"ab\n\0A".to_vec(), "*3")));
    }

    #[test]
    fn numbers_in_two_bases() {
        assert_eq!(number("-1"), Ok(-1));
        assert_eq!(number("0xffffffffffffffff"), Ok(-1));
        assert!(number("1x").is_err());
    }
}
