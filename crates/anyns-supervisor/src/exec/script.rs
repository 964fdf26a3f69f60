//! The first line of a script: `#!interpreter argument`.
//!
//! The kernel looks at so many bytes of a file and no more, with zeroes behind its end; what that does
//! to odd lines is as observed (`tests` below, each line of which has been run on Linux 6.18).

use rustix::io::Errno;

/// How much of a file decides what kind of program it is (`BINPRM_BUF_SIZE`, 5.1 and later).
pub(super) const HEAD: usize = 256;

/// How many scripts can be one another's interpreters.
pub(super) const DEEPEST: usize = 5;

/// What a script asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Script {
    /// The interpreter, as written. Where it is empty, the working directory is meant, which cannot be
    /// executed.
    pub(super) interpreter: Vec<u8>,
    /// Everything behind it, as one argument.
    pub(super) argument: Option<Vec<u8>>,
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn ends_name(byte: u8) -> bool {
    is_blank(byte) || byte == 0
}

impl Script {
    /// Reads the head of a file; `None` if it is not a script's.
    ///
    /// # Errors
    /// ENOEXEC if no interpreter is named, or its name is cut off.
    pub(super) fn read(head: &[u8; HEAD]) -> Result<Option<Script>, Errno> {
        let Some(line) = head.strip_prefix(b"#!") else { return Ok(None) };
        let whole = line.iter().position(|byte| *byte == b'\n');
        // Without a line's end the last byte that is looked at is not believed.
        let line = &line[..whole.unwrap_or(line.len() - 1)];
        let start = line.iter().position(|byte| !is_blank(*byte)).ok_or(Errno::NOEXEC)?;
        let line = &line[start..];
        let line = match whole {
            Some(_) => {
                &line[..line.iter().rposition(|byte| !is_blank(*byte)).map_or(0, |at| at + 1)]
            }
            None => line,
        };
        let end = line.iter().position(|byte| ends_name(*byte));
        let end = match (end, whole) {
            (Some(end), _) => end,
            (None, Some(_)) => line.len(),
            (None, None) => return Err(Errno::NOEXEC),
        };
        let (interpreter, rest) = line.split_at(end);
        let argument = match rest.first() {
            None | Some(0) => None,
            Some(_) => rest.iter().position(|byte| !is_blank(*byte)).map(|at| &rest[at..]),
        };
        let argument = argument.map(|text| text.split(|byte| *byte == 0).next().unwrap_or(text));
        let argument = argument.filter(|text| !text.is_empty()).map(<[u8]>::to_vec);
        Ok(Some(Script { interpreter: interpreter.to_vec(), argument }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Option<(String, Option<String>)>, Errno> {
        let mut head = [0; HEAD];
        let len = text.len().min(HEAD);
        head[..len].copy_from_slice(&text[..len]);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let script = Script::read(&head)?;
        Ok(script.map(|script| (text(script.interpreter), script.argument.map(text))))
    }

    #[test]
    fn lines_are_read_as_the_kernel_reads_them() {
        let named = |name: &str, argument: Option<&str>| {
            Ok(Some((name.to_owned(), argument.map(str::to_owned))))
        };
        assert_eq!(read(b"#!/bin/sh\necho\n"), named("/bin/sh", None));
        assert_eq!(read(b"#! \t /bin/echo  a b  c \t\n"), named("/bin/echo", Some("a b  c")));
        assert_eq!(read(b"#!/bin/echo a"), named("/bin/echo", Some("a")));
        assert_eq!(read(b"#!/bin/echo a  "), named("/bin/echo", Some("a  ")));
        assert_eq!(read(b"#!/bin/echo\r\n"), named("/bin/echo\r", None));
        assert_eq!(read(b"#!/bin/echo\0 a b\n"), named("/bin/echo", None));
        assert_eq!(read(b"#!/bin/echo a\0b\n"), named("/bin/echo", Some("a")));
        assert_eq!(read(b"#!   "), named("", None));
        for none in [&b""[..], b"#", b"\x7fELF", b"echo\n"] {
            assert_eq!(read(none), Ok(None), "{none:?}");
        }
        for cut in [&b"#!\n"[..], b"#!  \t\nx", &[b"#!/", &[b'a'; 300][..]].concat()] {
            assert_eq!(read(cut), Err(Errno::NOEXEC), "{cut:?}");
        }
        assert_eq!(read(&[b"#!", &[b' '; 300][..], b"/bin/sh\n"].concat()), Err(Errno::NOEXEC));
    }

    #[test]
    fn a_long_line_is_cut() {
        let long = [b"#!/bin/echo ", &[b'a'; 400][..], b"\n"].concat();
        let seen = read(&long).unwrap().unwrap();
        assert_eq!(seen.0, "/bin/echo");
        assert_eq!(seen.1.unwrap().len(), HEAD - 1 - "#!/bin/echo ".len());
    }
}
