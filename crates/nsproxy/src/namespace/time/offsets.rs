//! `/proc/PID/timens_offsets`: the offsets of the time namespace that a task's children will be in.
//!
//! A line is a clock, seconds and nanoseconds; one or two lines are read, whatever follows them is
//! left to another write. What is accepted is what the kernel's own routines accept, quirks
//! included: what follows the third field, or a NUL, does not count; a name ends after nine
//! letters, so `monotonic5 0` is two fields and a number; numbers wrap at 64 bits.

use super::{Clocks, TimeNs, TimeSpec};
use crate::{
    Kind,
    capability::Cap,
    cred::Cred,
    namespace::user::is_blank,
    rule::{Refusal, Refuse, Rule, Value},
    sync::Arc,
    task::Task,
};
use alloc::{format, string::String, vec::Vec};

/// The file must be written in less than a page.
const PAGE: usize = 4096;
/// The most lines that one write can use.
const LINES_MAX: usize = 2;
/// The longest name of a clock that is looked at.
const NAME_MAX: usize = 9;
const NANOSECONDS: u64 = 1_000_000_000;
/// The seconds that the kernel's 64-bit count of nanoseconds can hold.
const SECONDS_MAX: i64 = i64::MAX / NANOSECONDS as i64;

/// Which clock a line is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Clock {
    Monotonic,
    Boottime,
}

impl Clock {
    /// Clocks can be given by name and by number.
    fn named(name: &[u8]) -> Option<Clock> {
        match name {
            b"monotonic" | b"1" => Some(Clock::Monotonic),
            b"boottime" | b"7" => Some(Clock::Boottime),
            _ => None,
        }
    }

    fn of(self, clocks: &mut Clocks) -> &mut TimeSpec {
        match self {
            Clock::Monotonic => &mut clocks.monotonic,
            Clock::Boottime => &mut clocks.boottime,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Clock::Monotonic => "monotonic",
            Clock::Boottime => "boottime",
        }
    }
}

/// Writes `/proc/PID/timens_offsets` of `of`, `None` if the process has been reaped; returns how
/// many bytes were taken.
///
/// `now` is what the host's own clocks show: a clock must stay between 0 and 146 years. `opener`
/// are the credentials with which the file was opened. The offset in the file that a write starts
/// at is moved by reading alone.
///
/// ```
/// use nsproxy::{Clocks, CloneFlags, Config, Cred, System, TimeSpec, unshare, write_time_offsets};
///
/// let system = System::new(Config::default());
/// let task = system.adopt(None, Cred::root(&system.init_user()));
/// let uptime = TimeSpec { seconds: 1000, nanoseconds: 0 };
/// let now = Clocks { monotonic: uptime, boottime: uptime };
///
/// unshare(&task, CloneFlags::NEWTIME)?;
/// write_time_offsets(Some(&task), &task.cred(), &now, 0, b"monotonic -1000 0")?;
/// let children = task.nsproxy().unwrap().time_for_children.offsets();
/// assert_eq!(children.monotonic.seconds, -1000);
/// assert_eq!(task.nsproxy().unwrap().time.offsets(), Clocks::default());
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
pub fn write_time_offsets(
    of: Option<&Task>,
    opener: &Cred,
    now: &Clocks,
    offset: u64,
    text: &[u8],
) -> Result<usize, Refusal> {
    if offset != 0 {
        return Err(Rule::TimeOffsetsNotAtStart.refuse().with("offset", offset));
    }
    if text.len() >= PAGE {
        return Err(Rule::TimeOffsetsTooLong.refuse().with("bytes", text.len()));
    }
    let (lines, taken) = parse(text)?;
    let Some(ns) = of.and_then(children_of) else {
        return Err(Rule::TimeOffsetsProcessGone.refuse());
    };
    if !opener.has(ns.identity.owner(), Cap::SYS_TIME) {
        let owner = Value::Namespace(Kind::User, ns.identity.owner().inode());
        return Err(Rule::TimeOffsetsNeedTime.refuse().with("owner", owner));
    }
    let mut now = *now;
    for (clock, by) in &lines {
        if !fits(*clock.of(&mut now), *by) {
            return Err(Rule::TimeOffsetsRange
                .refuse()
                .with("clock", clock.name())
                .with("seconds", by.seconds));
        }
    }
    let done = ns.set(|offsets| {
        for (clock, by) in &lines {
            *clock.of(offsets) = *by;
        }
    });
    match done {
        true => Ok(taken),
        false => {
            let target = Value::Namespace(Kind::Time, ns.inode());
            Err(Rule::TimeOffsetsFrozen.refuse().with("target", target))
        }
    }
}

/// The text that reading `/proc/PID/timens_offsets` of `of` gives: nothing once it has exited.
pub fn read_time_offsets(of: &Task) -> String {
    let Some(ns) = children_of(of) else { return String::new() };
    let Clocks { monotonic, boottime } = ns.offsets();
    let line = |clock: Clock, by: TimeSpec| {
        format!("{:<10} {:>10} {:>9}\n", clock.name(), by.seconds, by.nanoseconds)
    };
    line(Clock::Monotonic, monotonic) + &line(Clock::Boottime, boottime)
}

fn children_of(task: &Task) -> Option<Arc<TimeNs>> {
    task.nsproxy().map(|proxy| Arc::clone(&proxy.time_for_children))
}

/// Says whether a clock that shows `now` can be moved by `by`. Half of what the kernel can count
/// is left for timers.
fn fits(now: TimeSpec, by: TimeSpec) -> bool {
    if !(-SECONDS_MAX..=SECONDS_MAX).contains(&by.seconds) {
        return false;
    }
    let carry = (u64::from(now.nanoseconds) + u64::from(by.nanoseconds)) / NANOSECONDS;
    let then = now.seconds.saturating_add(by.seconds).saturating_add(carry as i64);
    (0..=SECONDS_MAX / 2).contains(&then)
}

/// The lines, and how many bytes they are.
fn parse(text: &[u8]) -> Result<(Vec<(Clock, TimeSpec)>, usize), Refusal> {
    let mut lines = Vec::new();
    let visible = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    let mut at = 0;
    loop {
        let end = text[at..visible].iter().position(|byte| *byte == b'\n').map(|len| at + len);
        let line = parse_line(&text[at..end.unwrap_or(visible)])
            .ok_or_else(|| Rule::TimeOffsetsText.refuse().with("line", lines.len() + 1))?;
        lines.push(line);
        match end.map(|end| end + 1) {
            // What would be the next line is nothing at all, so there is none.
            Some(next) if next < text.len() && text[next] != 0 => at = next,
            _ => return Ok((lines, text.len())),
        }
        if lines.len() == LINES_MAX {
            return Ok((lines, at));
        }
    }
}

fn parse_line(line: &[u8]) -> Option<(Clock, TimeSpec)> {
    let line = after_blanks(line);
    let len = line.iter().take(NAME_MAX).take_while(|byte| !is_blank(**byte)).count();
    let (name, rest) = line.split_at(len);
    let rest = after_blanks(rest);
    let (negative, rest) = match rest.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let (seconds, rest) = number(rest)?;
    let (nanoseconds, _) = number(after_blanks(rest))?;
    if nanoseconds >= NANOSECONDS {
        return None;
    }
    let seconds = if negative { seconds.wrapping_neg() } else { seconds } as i64;
    Some((Clock::named(name)?, TimeSpec { seconds, nanoseconds: nanoseconds as u32 }))
}

fn after_blanks(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_blank(*byte)).unwrap_or(text.len());
    &text[start..]
}

/// The decimal number at the start, of at least one digit, and what follows it.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(len);
    let add = |value: u64, digit: &u8| value.wrapping_mul(10).wrapping_add((digit - b'0').into());
    (len > 0).then(|| (digits.iter().fold(0, add), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each was observed on Linux 6.18.
    #[test]
    fn reads_lines_as_the_kernel_does() {
        let one = |text: &[u8]| {
            let (lines, taken) = parse(text).ok()?;
            assert_eq!(taken, text.len(), "{}", text.escape_ascii());
            let (clock, TimeSpec { seconds, nanoseconds }) = *lines.first()?;
            (lines.len() == 1).then_some((clock, seconds, nanoseconds))
        };
        let (m, b) = (Clock::Monotonic, Clock::Boottime);
        for (text, expected) in [
            (&b"monotonic 1 0"[..], (m, 1, 0)),
            (b"monotonic 1 0\n", (m, 1, 0)),
            (b"1 2 3", (m, 2, 3)),
            (b"7 4 5", (b, 4, 5)),
            (b"monotonic 1 0 junk", (m, 1, 0)),
            (b"monotonic 1 0x", (m, 1, 0)),
            (b"monotonic -1 5", (m, -1, 5)),
            (b"monotonic 010 5", (m, 10, 5)),
            (b"monotonic1 0", (m, 1, 0)),
            (b"monotonic 1 0\0junk", (m, 1, 0)),
            (b"monotonic 1 0\0\njunk", (m, 1, 0)),
            (b"  monotonic   1\t0", (m, 1, 0)),
            (b"monotonic\x0b1 2", (m, 1, 2)),
            (b"monotonic 1\xa02", (m, 1, 2)),
            (b"monotonic\r3\r0", (m, 3, 0)),
            (b"boottime 1 999999999", (b, 1, 999_999_999)),
            (b"monotonic 18446744073709551617 0", (m, 1, 0)),
            (b"monotonic 9223372036854775808 0", (m, i64::MIN, 0)),
            (b"monotonic 1 18446744073709551616", (m, 1, 0)),
        ] {
            assert_eq!(one(text), Some(expected), "{}", text.escape_ascii());
        }
        for text in [
            &b""[..],
            b"\n",
            b"monotonic 1 0\n\n",
            b"\nmonotonic 1 0",
            b"monotonic 1",
            b"monotonic 1x 0",
            b"monotonic +1 0",
            b"monotonic 1 +0",
            b"monotonic 1 -1",
            b"monotonic 0x10 5",
            b"01 3 4",
            b"monotonicX 1 0",
            b"monotonic 1 1000000000",
            b"realtime 1 0",
            b"monotonic - 3 0",
            b"monotonic --3 0",
            b"mono\0tonic 1 1",
            b"monotonic 1,0",
            b"monotonic 1 99999999999999999999999",
            b"monotonic 5 0\njunk",
        ] {
            assert!(parse(text).is_err(), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn two_lines_are_read_and_the_rest_is_left() {
        for (text, taken) in [
            ("monotonic 5 0\nboottime 6 0\nmonotonic 7 0\n", 27),
            ("monotonic 5 0\nboottime 6 0\n", 27),
            ("monotonic 5 0\nboottime 6 0", 26),
            ("monotonic 5 0\nboottime 6 0\n\n", 27),
            ("monotonic 5 0\nboottime 6 0\nj", 27),
            ("monotonic 5 0\nmonotonic 9 0", 27),
        ] {
            let (lines, got) = parse(text.as_bytes()).unwrap();
            assert_eq!((lines.len(), got), (2, taken), "{text}");
        }
    }

    #[test]
    fn a_clock_stays_between_nothing_and_146_years() {
        let at = |seconds, nanoseconds| TimeSpec { seconds, nanoseconds };
        let up = at(1000, 500_000_000);
        assert!(fits(up, at(-1000, 0)) && fits(up, at(-1001, 500_000_000)));
        assert!(!fits(up, at(-1001, 499_999_999)));
        assert!(fits(up, at(4_611_685_017, 999_999_999)) && fits(up, at(4_611_685_018, 0)));
        assert!(!fits(up, at(4_611_685_018, 500_000_000)));
        assert!(!fits(up, at(i64::MIN, 0)) && !fits(up, at(i64::MAX, 0)));
    }
}
