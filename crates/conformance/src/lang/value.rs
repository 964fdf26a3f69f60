//! The kinds of argument that calls have: how each is read, written and made concrete.

use anyns_trap::raw::{CredOption, Kept, Ptr};

use super::names;
use super::words::{number, quote, unquote};

/// The words of a step that have not been read yet.
pub(crate) struct Words<'a> {
    rest: &'a [String],
}

impl<'a> Words<'a> {
    pub(crate) fn new(rest: &'a [String]) -> Words<'a> {
        Words { rest }
    }

    /// Takes the next word, for an argument called `what`.
    pub(crate) fn next(&mut self, what: &str) -> Result<&'a str, String> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| format!("{what} is missing"))?;
        self.rest = rest;
        Ok(first)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Says that nothing is left.
    pub(crate) fn finish(self) -> Result<(), String> {
        match self.rest.first() {
            None => Ok(()),
            Some(word) => Err(format!("{word} is one word too many")),
        }
    }
}

/// What names stand for while a scenario runs.
pub trait Meaning {
    /// The process or thread number of an actor, as `/proc` shows it.
    fn number_of(&self, actor: &str) -> Option<i32>;
    /// The process or thread number of an actor in the pid namespace of whoever makes the call.
    fn number_seen(&self, actor: &str) -> Option<i32>;
    /// What a number that the scenario writes is in the pid namespace of whoever makes the call.
    fn number_meant(&self, number: i32) -> i32 {
        number
    }
    /// The descriptor number of a descriptor's name.
    fn descriptor(&self, name: &str) -> Option<i32>;
    /// The directory that `DIR` stands for.
    fn directory(&self) -> &str;
    /// The cgroup that `CGROUP` stands for.
    fn cgroup(&self) -> &str;
}

/// A kind of argument.
pub(crate) trait Value: Sized {
    /// Reads it from the words of a step.
    fn read(words: &mut Words<'_>) -> Result<Self, String>;
    /// Writes it as it is read.
    fn write(&self) -> String;
    /// Replaces names by what they mean now.
    fn resolve(&mut self, _meaning: &dyn Meaning) {}
    /// The name of a process or thread that the argument brings to life.
    fn born(&self) -> Option<&str> {
        None
    }
}

/// An argument that may be left out at the end.
impl<T: Value> Value for Option<T> {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        if words.is_empty() { Ok(None) } else { T::read(words).map(Some) }
    }

    fn write(&self) -> String {
        self.as_ref().map(Value::write).unwrap_or_default()
    }

    fn resolve(&mut self, meaning: &dyn Meaning) {
        if let Some(value) = self {
            value.resolve(meaning);
        }
    }
}

/// All remaining arguments.
impl<T: Value> Value for Vec<T> {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let mut all = Vec::new();
        while !words.is_empty() {
            all.push(T::read(words)?);
        }
        Ok(all)
    }

    fn write(&self) -> String {
        self.iter().map(Value::write).collect::<Vec<_>>().join(" ")
    }

    fn resolve(&mut self, meaning: &dyn Meaning) {
        self.iter_mut().for_each(|value| value.resolve(meaning));
    }
}

impl Value for i64 {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        number(words.next("a number")?)
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

/// Numbers separated by commas; `-` for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(pub Vec<u32>);

impl Value for List {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let word = words.next("a list of numbers")?;
        if word == "-" {
            return Ok(List::default());
        }
        word.split(',')
            .map(|part| number(part).map(|n| n as u32))
            .collect::<Result<_, _>>()
            .map(List)
    }

    fn write(&self) -> String {
        if self.0.is_empty() {
            return "-".into();
        }
        self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

/// Bits of clone, unshare or setns; the low byte may hold a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u64);

impl Flags {
    pub(crate) fn parse(word: &str) -> Result<Flags, String> {
        let bit = |part| names::flag(part).or_else(|| number(part).ok().map(|n| n as u64));
        word.split('|')
            .try_fold(0, |all, part| Some(all | bit(part)?))
            .map(Flags)
            .ok_or_else(|| format!("{word} are no flags"))
    }
}

impl Value for Flags {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        Flags::parse(words.next("flags")?)
    }

    fn write(&self) -> String {
        names::flags_text(self.0)
    }
}

/// A descriptor: `@name`, or a number that may be nonsense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the two ways to write it")]
pub enum Fd {
    Name(String),
    Number(i32),
}

impl Fd {
    /// The number, -1 for a name that was never resolved.
    pub fn number(&self) -> i32 {
        match self {
            Fd::Number(number) => *number,
            Fd::Name(_) => -1,
        }
    }
}

impl Value for Fd {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let word = words.next("a descriptor")?;
        match word.strip_prefix('@') {
            Some(name) => Ok(Fd::Name(name.into())),
            None => number(word).map(|n| Fd::Number(n as i32)),
        }
    }

    fn write(&self) -> String {
        match self {
            Fd::Name(name) => format!("@{name}"),
            Fd::Number(number) => number.to_string(),
        }
    }

    fn resolve(&mut self, meaning: &dyn Meaning) {
        if let Fd::Name(name) = self {
            *self = Fd::Number(meaning.descriptor(name).unwrap_or(-1));
        }
    }
}

/// A process or thread: an actor's name, or a number that may be nonsense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the two ways to write it")]
pub enum Who {
    Name(String),
    Number(i32),
}

/// A number that no process has: above the kernel's limit.
pub(crate) const NOBODY: i32 = 4_194_305;

impl Who {
    /// The number; `NOBODY` for a name that was never resolved.
    pub fn number(&self) -> i32 {
        match self {
            Who::Number(number) => *number,
            Who::Name(_) => NOBODY,
        }
    }
}

impl Value for Who {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let word = words.next("a process")?;
        Ok(match number(word) {
            Ok(n) => Who::Number(n as i32),
            Err(_) => Who::Name(word.into()),
        })
    }

    fn write(&self) -> String {
        match self {
            Who::Name(name) => name.clone(),
            Who::Number(number) => number.to_string(),
        }
    }

    fn resolve(&mut self, meaning: &dyn Meaning) {
        *self = Who::Number(match self {
            Who::Name(name) => meaning.number_seen(name).unwrap_or(NOBODY),
            Who::Number(number) => meaning.number_meant(*number),
        });
    }
}

/// A process or thread as `/proc` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(pub Who);

impl Shown {
    /// The number; `NOBODY` for a name that was never resolved.
    pub fn number(&self) -> i32 {
        self.0.number()
    }
}

impl Value for Shown {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        Who::read(words).map(Shown)
    }

    fn write(&self) -> String {
        self.0.write()
    }

    fn resolve(&mut self, meaning: &dyn Meaning) {
        if let Who::Name(name) = &self.0 {
            self.0 = Who::Number(meaning.number_of(name).unwrap_or(NOBODY));
        }
    }
}

/// The name of a process or thread to be born; `-` for one that exits at once and obeys nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child(pub Option<String>);

impl Value for Child {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let word = words.next("the child's name")?;
        Ok(Child((word != "-").then(|| word.into())))
    }

    fn write(&self) -> String {
        self.0.clone().unwrap_or_else(|| "-".into())
    }

    fn born(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// A path. `/proc/NAME/..` speaks of an actor, `DIR/..` of the scenario's own directory, `CGROUP` and
/// `CGROUP/..` of its cgroup, `/proc/self/fd/@x` of a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(pub String);

impl Value for Path {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        words.next("a path").map(|word| Path(word.into()))
    }

    fn write(&self) -> String {
        self.0.clone()
    }

    fn resolve(&mut self, meaning: &dyn Meaning) {
        if self.0 == "DIR" {
            self.0 = meaning.directory().into();
        } else if let Some(rest) = self.0.strip_prefix("DIR/") {
            self.0 = format!("{}/{rest}", meaning.directory());
        }
        if let Some(rest) = self.0.strip_prefix("CGROUP") {
            self.0 = format!("{}{rest}", meaning.cgroup());
        }
        let parts = self.0.split('/').map(|part| match meaning.number_of(part) {
            Some(number) if self.0.starts_with("/proc/") => number.to_string(),
            _ => match part.strip_prefix('@').and_then(|name| meaning.descriptor(name)) {
                Some(number) => number.to_string(),
                None => part.to_owned(),
            },
        });
        self.0 = parts.collect::<Vec<_>>().join("/");
    }
}

/// A plain word: an access mode, a field, a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(pub String);

impl Value for Word {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        words.next("a word").map(|word| Word(word.into()))
    }

    fn write(&self) -> String {
        self.0.clone()
    }
}

/// Bytes: `"text"`, `"text"*20` for twenty of them, `rows(20)` for the lines `0 0 1`, `1 1 1` ...
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    source: String,
    /// What it amounts to.
    pub bytes: Vec<u8>,
}

impl Text {
    /// A text that stands for itself.
    pub fn plain(bytes: &[u8]) -> Text {
        Text { source: quote(bytes), bytes: bytes.to_vec() }
    }

    pub(crate) fn parse(word: &str) -> Result<Text, String> {
        let bad = || format!("{word} is no text");
        let bytes = if let Some(rows) = word.strip_prefix("rows(") {
            let count = number(rows.strip_suffix(')').ok_or_else(bad)?)?;
            (0..count).flat_map(|n| format!("{n} {n} 1\n").into_bytes()).collect()
        } else {
            match unquote(word)? {
                (bytes, "") => bytes,
                (bytes, times) => {
                    let times = number(times.strip_prefix('*').ok_or_else(bad)?)?;
                    bytes.repeat(usize::try_from(times).map_err(|_| bad())?)
                }
            }
        };
        Ok(Text { source: word.into(), bytes })
    }
}

impl Value for Text {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        Text::parse(words.next("a text")?)
    }

    fn write(&self) -> String {
        self.source.clone()
    }
}

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub i32);

impl Value for Signal {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let word = words.next("a signal")?;
        match names::SIGNALS.iter().find(|(name, _)| *name == word) {
            Some((_, known)) => Ok(Signal(*known as i32)),
            None => number(word).map(|n| Signal(n as i32)),
        }
    }

    fn write(&self) -> String {
        match names::SIGNALS.iter().find(|(_, known)| *known == i64::from(self.0)) {
            Some((name, _)) => (*name).to_owned(),
            None => self.0.to_string(),
        }
    }
}

/// An option of prctl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prctl(pub CredOption);

impl Value for Prctl {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let word = words.next("an option")?;
        let known = CredOption::ALL.iter().find(|(_, name)| *name == word);
        known.map(|(option, _)| Prctl(*option)).ok_or_else(|| format!("{word} is no option"))
    }

    fn write(&self) -> String {
        let known = CredOption::ALL.iter().find(|(option, _)| *option == self.0);
        known.map_or_else(String::new, |(_, name)| (*name).to_owned())
    }
}

/// A number argument of prctl: a capability, one of prctl's words, or a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrctlNumber {
    source: String,
    /// The number.
    pub value: u64,
}

impl Value for PrctlNumber {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let source = words.next("a number")?.to_owned();
        let part = |part: &str| {
            let words = names::PRCTL_WORDS.iter().find(|(name, _)| *name == part);
            let word = words.map(|(_, value)| *value);
            word.or_else(|| names::cap(part)).map_or_else(|| number(part).map(|n| n as u64), Ok)
        };
        let value = source.split('|').try_fold(0, |all, one| part(one).map(|bits| all | bits))?;
        Ok(PrctlNumber { source, value })
    }

    fn write(&self) -> String {
        self.source.clone()
    }
}

/// Reads a kind of pointer.
pub(crate) fn pointer(word: &str) -> Result<Ptr, String> {
    Ok(match word {
        "NULL" => Ptr::Null,
        "LOW" => Ptr::Low,
        "UNMAPPED" => Ptr::Unmapped,
        "KERNEL" => Ptr::Kernel,
        "NONCANONICAL" => Ptr::NonCanonical,
        "READONLY" => Ptr::ReadOnly,
        "BUFFER" => Ptr::Buffer,
        "ROOT" => Ptr::Kept(Kept::Root),
        "LINK" => Ptr::Kept(Kept::Link),
        "MAP" => Ptr::Kept(Kept::Map),
        "NAME" => Ptr::Kept(Kept::Name),
        "HEADER" => Ptr::Kept(Kept::CapHeader),
        "SEGMENT" => Ptr::Kept(Kept::Segment),
        _ => match word.strip_prefix("END").map(str::parse) {
            Some(Ok(bytes)) => Ptr::End(bytes),
            _ => return Err(format!("{word} is no kind of pointer")),
        },
    })
}

/// Writes a kind of pointer.
pub(crate) fn pointer_text(kind: Ptr) -> String {
    match kind {
        Ptr::Null => "NULL".into(),
        Ptr::Low => "LOW".into(),
        Ptr::Unmapped => "UNMAPPED".into(),
        Ptr::Kernel => "KERNEL".into(),
        Ptr::NonCanonical => "NONCANONICAL".into(),
        Ptr::ReadOnly => "READONLY".into(),
        Ptr::Buffer => "BUFFER".into(),
        Ptr::Kept(Kept::Root) => "ROOT".into(),
        Ptr::Kept(Kept::Link) => "LINK".into(),
        Ptr::Kept(Kept::Map) => "MAP".into(),
        Ptr::Kept(Kept::Name) => "NAME".into(),
        Ptr::Kept(Kept::CapHeader) => "HEADER".into(),
        Ptr::Kept(Kept::Segment) => "SEGMENT".into(),
        Ptr::End(bytes) => format!("END{bytes}"),
    }
}
