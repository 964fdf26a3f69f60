//! A refusal: the rule that fired and the values that broke it.

use super::Rule;
use crate::{CloneFlags, Errno, Kind, capability::Cap};
use alloc::vec::Vec;
use core::fmt;

/// A value shown beside a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Value {
    /// Clone flags.
    Flags(CloneFlags),
    /// A namespace: its type and inode number, printed as `/proc/PID/ns` does.
    Namespace(Kind, u32),
    /// A type of namespace.
    Kind(Kind),
    /// A capability.
    Cap(Cap),
    /// An id, a count or a length.
    Number(i64),
    /// A word.
    Word(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Flags(flags) => fmt::Display::fmt(flags, f),
            Value::Namespace(kind, inode) => write!(f, "{}:[{inode}]", kind.name()),
            Value::Kind(kind) => f.write_str(kind.name()),
            Value::Cap(cap) => fmt::Display::fmt(cap, f),
            Value::Number(number) => fmt::Display::fmt(number, f),
            Value::Word(word) => f.write_str(word),
        }
    }
}

macro_rules! value_from {
    ($($from:ty => |$x:ident| $to:expr;)*) => {
        $(impl From<$from> for Value { fn from($x: $from) -> Value { $to } })*
    };
}

value_from! {
    CloneFlags => |x| Value::Flags(x);
    Kind => |x| Value::Kind(x);
    Cap => |x| Value::Cap(x);
    &'static str => |x| Value::Word(x);
    i64 => |x| Value::Number(x);
    i32 => |x| Value::Number(x.into());
    u32 => |x| Value::Number(x.into());
    u64 => |x| Value::Number(x as i64);
    usize => |x| Value::Number(x as i64);
    crate::Kuid => |x| Value::Number(x.0.into());
    crate::Kgid => |x| Value::Number(x.0.into());
}

/// Linux says no: which rule, which errno, and the values that broke it.
///
/// Printed as `rule-name (ERRNO): sentence; label value, label value`.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct Refusal {
    /// The rule that fired.
    pub rule: Rule,
    /// What the caller gets.
    pub errno: Errno,
    values: Vec<(&'static str, Value)>,
}

impl Refusal {
    /// The labelled values that broke the rule.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, Value)> + '_ {
        self.values.iter().copied()
    }

    /// Adds a labelled value.
    pub(crate) fn with(mut self, label: &'static str, value: impl Into<Value>) -> Refusal {
        self.values.push((label, value.into()));
        self
    }
}

/// Raising a rule. A trait only so that `.refuse()` is the single, searchable way to do it.
pub(crate) trait Refuse {
    fn refuse(self) -> Refusal;
}

impl Refuse for Rule {
    fn refuse(self) -> Refusal {
        Refusal { rule: self, errno: self.errno(), values: Vec::new() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.rule.name(), self.errno, self.rule.sentence())?;
        let mut separator = "; ";
        for (label, value) in self.values() {
            write!(f, "{separator}{label} {value}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn prints_rule_errno_sentence_and_values() {
        let refusal = Rule::LimitReached
            .refuse_for_test()
            .with("type", Kind::Uts)
            .with("limit", 1u32)
            .with("at", Value::Namespace(Kind::User, 7));
        assert_eq!(
            refusal.to_string(),
            "limit-reached (ENOSPC): every user namespace from the new namespace's owner up to the \
             initial one must have room below its limit; type uts, limit 1, at user:[7]"
        );
    }

    impl Rule {
        fn refuse_for_test(self) -> Refusal {
            Refuse::refuse(self)
        }
    }
}
