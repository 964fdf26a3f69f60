//! Arguments of the calls about System V objects and POSIX queues.

use super::value::{Value, Words};
use super::words::number;

/// Names of flags. `O_` and `SHM_` stay, where the same bit has another name elsewhere.
const NAMES: [(&str, i64); 13] = [
    ("CREAT", 0o1000),
    ("EXCL", 0o2000),
    ("NOWAIT", 0o4000),
    ("UNDO", 0o10000),
    ("NOERROR", 0o10000),
    ("EXCEPT", 0o20000),
    ("SHM_RDONLY", 0o10000),
    ("SHM_EXEC", 0o100_000),
    ("O_RDONLY", 0),
    ("O_WRONLY", 1),
    ("O_RDWR", 2),
    ("O_CREAT", 0o100),
    ("O_EXCL", 0o200),
];

fn bits(word: &str) -> Result<i64, String> {
    let part = |part: &str| match NAMES.iter().find(|(name, _)| *name == part) {
        Some((_, bits)) => Ok(*bits),
        None => mode(part),
    };
    word.split('|').try_fold(0, |all, one| part(one).map(|bits| all | bits))
}

/// A number; octal if it begins with a 0, as modes are written.
fn mode(word: &str) -> Result<i64, String> {
    match word.strip_prefix('0') {
        Some(digits) if !digits.is_empty() && !digits.starts_with('x') => {
            i64::from_str_radix(digits, 8).map_err(|_| format!("{word} is no mode"))
        }
        _ => number(word),
    }
}

/// Flags joined by `|`; a mode is one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bits {
    source: String,
    /// What they amount to.
    pub value: i32,
}

impl Value for Bits {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let source = words.next("flags")?.to_owned();
        Ok(Bits { value: bits(&source)? as i32, source })
    }

    fn write(&self) -> String {
        self.source.clone()
    }
}

/// An operation of semop: `NUMBER:ADD`, `NUMBER:ADD:FLAGS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SemOperation {
    source: String,
    /// Semaphore, what to add, flags.
    pub value: (u16, i16, u16),
}

impl Value for SemOperation {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let source = words.next("an operation")?.to_owned();
        let mut parts = source.split(':');
        let mut next = |what: &str| parts.next().ok_or(format!("{source} has no {what}"));
        let semaphore = number(next("semaphore")?)? as u16;
        let add = number(next("number to add")?)? as i16;
        let flags = next("flags").map_or(Ok(0), bits)? as u16;
        Ok(SemOperation { value: (semaphore, add, flags), source })
    }

    fn write(&self) -> String {
        self.source.clone()
    }
}

/// An argument of a `*ctl` command or of mq_open: `key=value`, or numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting(String);

impl Setting {
    /// The value of a key; a mode may be octal.
    pub fn of(all: &[Setting], key: &str) -> Option<i64> {
        let found = all.iter().find_map(|one| one.0.strip_prefix(key)?.strip_prefix('='))?;
        mode(found).ok()
    }

    /// The numbers of an argument without a key.
    pub fn numbers(all: &[Setting]) -> Vec<i64> {
        let plain = all.iter().filter(|one| !one.0.contains('='));
        plain.flat_map(|one| one.0.split(',')).filter_map(|part| number(part).ok()).collect()
    }
}

impl Value for Setting {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let word = words.next("an argument")?;
        let values = word.split_once('=').map_or(word, |(_, value)| value);
        values.split(',').try_for_each(|part| mode(part).map(drop))?;
        Ok(Setting(word.to_owned()))
    }

    fn write(&self) -> String {
        self.0.clone()
    }
}

/// A command of semctl, shmctl or msgctl: a name, or a number that may be nonsense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(String);

/// Which of the three calls a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "msgctl, semctl, shmctl")]
pub enum Sort {
    Msg,
    Sem,
    Shm,
}

impl Command {
    /// The number, for one of the three.
    pub fn number(&self, sort: Sort) -> Option<i32> {
        let number = match (sort, self.0.as_str()) {
            (_, "RMID") => 0,
            (_, "SET") => 1,
            (_, "STAT") => 2,
            (_, "INFO") => 3,
            (Sort::Msg, "INDEX_STAT") => 11,
            (Sort::Msg, "USAGE") => 12,
            (Sort::Msg, "INDEX_STAT_ANY") => 13,
            (Sort::Shm, "LOCK") => 11,
            (Sort::Shm, "UNLOCK") => 12,
            (Sort::Shm, "INDEX_STAT") => 13,
            (Sort::Shm, "USAGE") => 14,
            (Sort::Shm, "INDEX_STAT_ANY") => 15,
            (Sort::Sem, "GETVAL") => 12,
            (Sort::Sem, "GETALL") => 13,
            (Sort::Sem, "SETVAL") => 16,
            (Sort::Sem, "SETALL") => 17,
            (Sort::Sem, "INDEX_STAT") => 18,
            (Sort::Sem, "USAGE") => 19,
            (Sort::Sem, "INDEX_STAT_ANY") => 20,
            (_, other) => return number(other).ok().map(|number| number as i32),
        };
        Some(number)
    }
}

impl Value for Command {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        words.next("a command").map(|word| Command(word.into()))
    }

    fn write(&self) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_modes_and_operations() {
        let read = |word: &str| Bits::read(&mut Words::new(&[word.to_owned()])).map(|b| b.value);
        assert_eq!(read("CREAT|EXCL|0640"), Ok(0o3640));
        assert_eq!(read("O_CREAT|O_RDWR"), Ok(0o102));
        assert!(read("CRAET").is_err());
        let read = |word: &str| {
            SemOperation::read(&mut Words::new(&[word.to_owned()])).map(|operation| operation.value)
        };
        assert_eq!(read("1:-2:UNDO|NOWAIT"), Ok((1, -2, 0o14000)));
        assert_eq!(read("0:0"), Ok((0, 0, 0)));
        assert!(read("1").is_err());
    }
}
