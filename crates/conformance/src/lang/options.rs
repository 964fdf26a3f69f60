//! Arguments written `key=value`: the argument block of clone3, the oddities of a name.

use anyns_trap::raw::{Arg, Clone3, Ptr, Sys, TidSet};

use super::value::{Fd, Flags, Meaning, Value, Words, pointer, pointer_text};
use super::words::number;

fn key_value(word: &str) -> Result<(&str, &str), String> {
    word.split_once('=').ok_or_else(|| format!("{word} is not of the form key=value"))
}

/// The argument block of clone3. What is not given is as fork would have it (`exit_signal` is
/// SIGCHLD); `size`, `tail`, `at`, `set_tid_size` and `set_tid_at` make it malformed. Beside it the
/// descriptor of a cgroup, as long as it is a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block(pub Clone3, Option<Fd>);

impl Value for Block {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let mut block = Clone3 { exit_signal: 17, ..Clone3::default() };
        let (mut tid_size, mut tid_at, mut cgroup) = (None, None, None);
        while !words.is_empty() {
            let (key, value) = key_value(words.next("an argument")?)?;
            match key {
                "flags" => block.flags = Flags::parse(value)?.0,
                "exit_signal" => block.exit_signal = Flags::parse(value)?.0,
                "stack" => block.stack = Some(pointer(value)?),
                "stack_size" => block.stack_size = number(value)? as u64,
                "cgroup" if value.starts_with('@') => cgroup = Some(Fd::Name(value[1..].into())),
                "cgroup" => block.cgroup = number(value)? as u64,
                "size" => block.size = number(value)? as usize,
                "tail" => block.tail = number(value)? as u8,
                "at" => block.at = Some(pointer(value)?),
                "set_tid" => {
                    let list: Result<_, _> =
                        value.split(',').map(|n| number(n).map(|n| n as i32)).collect();
                    block.set_tid = TidSet::List(list?);
                }
                "set_tid_size" => tid_size = Some(number(value)? as u64),
                "set_tid_at" => tid_at = Some(pointer(value)?),
                _ => return Err(format!("clone3 has no {key}")),
            }
        }
        if tid_size.is_some() || tid_at.is_some() {
            block.set_tid = TidSet::Bad(tid_at.unwrap_or(Ptr::Null), tid_size.unwrap_or(0));
        }
        Ok(Block(block, cgroup))
    }

    fn write(&self) -> String {
        let block = &self.0;
        let mut parts = Vec::new();
        let mut part = |key: &str, value: String| parts.push(format!("{key}={value}"));
        if block.flags != 0 {
            part("flags", Flags(block.flags).write());
        }
        if block.exit_signal != 17 {
            part("exit_signal", format!("{:#x}", block.exit_signal));
        }
        if let Some(stack) = block.stack {
            part("stack", pointer_text(stack));
        }
        if block.stack_size != 0 {
            part("stack_size", block.stack_size.to_string());
        }
        match &block.set_tid {
            TidSet::None => {}
            TidSet::List(list) => {
                part("set_tid", list.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
            }
            TidSet::Bad(at, size) => {
                part("set_tid_at", pointer_text(*at));
                part("set_tid_size", size.to_string());
            }
        }
        if let Some(cgroup) = &self.1 {
            part("cgroup", cgroup.write());
        } else if block.cgroup != 0 {
            part("cgroup", format!("{:#x}", block.cgroup));
        }
        if block.size != 0 {
            part("size", block.size.to_string());
        }
        if block.tail != 0 {
            part("tail", block.tail.to_string());
        }
        if let Some(at) = block.at {
            part("at", pointer_text(at));
        }
        parts.join(" ")
    }

    fn resolve(&mut self, meaning: &dyn Meaning) {
        if let Some(mut cgroup) = self.1.take() {
            cgroup.resolve(meaning);
            self.0.cgroup = cgroup.number() as u64;
        }
    }
}

/// What may be odd about the name given to sethostname: `len=` another length, `at=` another place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oddities {
    /// The length told to the kernel, if not the name's own.
    pub len: Option<i64>,
    /// Where the name lies, if not where it should.
    pub at: Option<Ptr>,
}

impl Value for Oddities {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let mut odd = Oddities::default();
        while !words.is_empty() {
            let (key, value) = key_value(words.next("an argument")?)?;
            match key {
                "len" => odd.len = Some(number(value)?),
                "at" => odd.at = Some(pointer(value)?),
                _ => return Err(format!("a name has no {key}")),
            }
        }
        Ok(odd)
    }

    fn write(&self) -> String {
        let len = self.len.map(|len| format!("len={len}"));
        let at = self.at.map(|at| format!("at={}", pointer_text(at)));
        [len, at].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// The sets that capset is given: `e=`, `p=`, `i=`; what is not given is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    /// Effective.
    pub effective: u64,
    /// Permitted.
    pub permitted: u64,
    /// Inheritable.
    pub inheritable: u64,
}

impl Value for Sets {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let mut sets = Sets::default();
        while !words.is_empty() {
            let (key, value) = key_value(words.next("a set")?)?;
            let set = super::names::caps(value)?;
            match key {
                "e" => sets.effective = set,
                "p" => sets.permitted = set,
                "i" => sets.inheritable = set,
                _ => return Err(format!("there is no set {key}")),
            }
        }
        Ok(sets)
    }

    fn write(&self) -> String {
        let text = super::names::caps_text;
        format!(
            "e={} p={} i={}",
            text(self.effective),
            text(self.permitted),
            text(self.inheritable)
        )
    }
}

/// A system call by name, for [`anyns_trap::raw::call`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawCall(pub Sys);

impl Value for RawCall {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let word = words.next("a system call")?;
        let known = Sys::ALL.iter().find(|(_, name)| *name == word);
        known.map(|(sys, _)| RawCall(*sys)).ok_or_else(|| format!("{word} is no system call here"))
    }

    fn write(&self) -> String {
        let known = Sys::ALL.iter().find(|(sys, _)| *sys == self.0);
        known.map_or_else(String::new, |(_, name)| (*name).to_owned())
    }
}

/// An argument of such a call: a kind of pointer, a number, or a descriptor's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawArg {
    /// A number or a pointer.
    Arg(Arg),
    /// A descriptor that has a name.
    Fd(Fd),
}

impl RawArg {
    /// What it amounts to.
    pub fn arg(&self) -> Arg {
        match self {
            RawArg::Arg(arg) => *arg,
            RawArg::Fd(fd) => Arg::Number(fd.number() as u64),
        }
    }
}

impl Value for RawArg {
    fn read(words: &mut Words<'_>) -> Result<Self, String> {
        let word = words.next("an argument")?;
        if let Some(name) = word.strip_prefix('@') {
            return Ok(RawArg::Fd(Fd::Name(name.into())));
        }
        Ok(RawArg::Arg(match number(word) {
            Ok(value) => Arg::Number(value as u64),
            Err(_) => Arg::Pointer(pointer(word)?),
        }))
    }

    fn write(&self) -> String {
        match self {
            RawArg::Arg(Arg::Number(value)) => (*value as i64).to_string(),
            RawArg::Arg(Arg::Pointer(kind)) => pointer_text(*kind),
            RawArg::Fd(fd) => fd.write(),
        }
    }

    fn resolve(&mut self, meaning: &dyn Meaning) {
        if let RawArg::Fd(fd) = self {
            fd.resolve(meaning);
        }
    }
}
