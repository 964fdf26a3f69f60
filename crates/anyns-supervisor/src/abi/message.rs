//! Messages, as sendmsg(2) and sendmmsg(2) take them, and the control messages that go with one:
//! `struct cmsghdr` (cmsg(3)), one after the other.

use std::ops::Range;

use rustix::io::Errno;

/// `struct msghdr`: seven words. The fifth is where the control messages are, the sixth how long.
pub(crate) const HEADER: usize = 56;
/// `struct mmsghdr`: a header, and how much of its message was sent.
pub(crate) const ENTRY: usize = 64;
/// Most messages of one sendmmsg(2), and most segments of one message (`UIO_MAXIOV`).
pub(crate) const MOST: usize = 1024;

/// `struct cmsghdr`: a length, a level and a type.
pub(crate) const TITLE: usize = 16;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Level and type.
    pub(crate) kind: [i32; 2],
    /// Where its content is among all bytes.
    pub(crate) content: Range<usize>,
}

/// The messages in `control`, up to one that makes no sense (EINVAL). What is behind the last and too
/// short for another is not looked at, as the kernel does not.
pub(crate) fn parts(control: &[u8]) -> impl Iterator<Item = Result<Part, Errno>> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let rest = control.get(next..).filter(|rest| rest.len() >= TITLE)?;
        let Some(len) =
            usize::try_from(word(rest)).ok().filter(|len| (TITLE..=rest.len()).contains(len))
        else {
            next = control.len();
            return Some(Err(Errno::INVAL));
        };
        let content = next + TITLE..next + len;
        next += len.next_multiple_of(8);
        Some(Ok(Part { kind: [half(&rest[8..]), half(&rest[12..])], content }))
    })
}

/// The number in the first eight bytes.
pub(crate) fn word(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes[..8].try_into().expect("eight bytes"))
}

/// The number in the first four bytes.
pub(crate) fn half(bytes: &[u8]) -> i32 {
    i32::from_ne_bytes(bytes[..4].try_into().expect("four bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(len: u64, kind: [i32; 2], content: &[u8]) -> Vec<u8> {
        let mut bytes = len.to_ne_bytes().to_vec();
        bytes.extend(kind.map(i32::to_ne_bytes).concat());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn one_behind_the_other() {
        let mut control = message(20, [1, 1], &[7, 0, 0, 0]);
        control.extend(message(28, [1, 2], &[0; 12]));
        control.extend([0; 9]);
        let parts: Vec<_> = parts(&control).map(Result::unwrap).collect();
        assert_eq!(parts[0], Part { kind: [1, 1], content: 16..20 });
        assert_eq!(parts[1], Part { kind: [1, 2], content: 40..52 });
        assert_eq!(parts.len(), 2);
    }

    #[test]
    fn a_length_that_makes_no_sense_is_the_end() {
        for len in [0, 15, 25, u64::MAX] {
            let mut control = message(16, [1, 1], &[]);
            control.extend(message(len, [1, 1], &[0; 8]));
            let parts: Vec<_> = parts(&control).collect();
            assert_eq!(parts.len(), 2, "{len}");
            assert_eq!(parts[1], Err(Errno::INVAL), "{len}");
        }
    }
}
