//! Rules: every way in which a call is refused, by name.
//!
//! A [`Rule`] is a row of one of the files in `table`: the condition that must hold, as a
//! sentence; why Linux has it; the errno; the calls it can stop; the manual page it comes from.
//! Each is raised in exactly one place, with the values that broke it, as a [`Refusal`].

mod refusal;
mod table;

pub use refusal::{Refusal, Value};
pub use table::Rule;

pub(crate) use refusal::Refuse;

/// Length of [`kebab`]'s result.
const fn kebab_len(camel: &str) -> usize {
    let bytes = camel.as_bytes();
    let (mut len, mut i) = (0, 0);
    while i < bytes.len() {
        len += if i > 0 && bytes[i].is_ascii_uppercase() { 2 } else { 1 };
        i += 1;
    }
    len
}

/// `MapTooLong` as `map-too-long`. `N` is [`kebab_len`] of the same name.
const fn kebab<const N: usize>(camel: &str) -> [u8; N] {
    let bytes = camel.as_bytes();
    let mut out = [0; N];
    let (mut at, mut i) = (0, 0);
    while i < bytes.len() {
        if i > 0 && bytes[i].is_ascii_uppercase() {
            out[at] = b'-';
            at += 1;
        }
        out[at] = bytes[i].to_ascii_lowercase();
        at += 1;
        i += 1;
    }
    out
}

/// Makes the enum and its lookups from the rows.
///
/// A row: `Name => ERRNO, "sentence", "why", calls: [..], manual: [..]`, and `kernel: "..."`
/// where the observed kernel and the manual differ or the version matters.
macro_rules! rules {
    ($(
        $(#[$group:meta])*
        $name:ident => $errno:ident,
            $sentence:literal,
            $why:literal,
            calls: [$($call:literal),* $(,)?],
            manual: [$($manual:literal),* $(,)?]
            $(, kernel: $kernel:literal)?;
    )*) => {
        /// One way in which Linux says no.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[non_exhaustive]
        pub enum Rule {
            $(
                #[doc = $sentence]
                #[doc = ""]
                #[doc = $why]
                $(#[doc = ""] #[doc = $kernel])?
                $name,
            )*
        }

        impl Rule {
            /// Every rule, in the order of the tables.
            pub const ALL: &'static [Rule] = &[$(Rule::$name),*];

            /// The permanent name: `map-already-set`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Rule::$name => {
                        const CAMEL: &str = stringify!($name);
                        const KEBAB: &[u8] = &$crate::rule::kebab::<{ $crate::rule::kebab_len(CAMEL) }>(CAMEL);
                        const TEXT: &str = match core::str::from_utf8(KEBAB) {
                            Ok(text) => text,
                            Err(_) => "",
                        };
                        TEXT
                    })*
                }
            }

            /// The condition that must hold, as one sentence without a full stop.
            pub const fn sentence(self) -> &'static str {
                match self { $(Rule::$name => $sentence,)* }
            }

            /// Why Linux has it.
            pub const fn why(self) -> &'static str {
                match self { $(Rule::$name => $why,)* }
            }

            /// The errno it ends in.
            pub const fn errno(self) -> $crate::Errno {
                match self { $(Rule::$name => $crate::Errno::$errno,)* }
            }

            /// The calls and files it can stop.
            pub const fn calls(self) -> &'static [&'static str] {
                match self { $(Rule::$name => &[$($call),*],)* }
            }

            /// The manual pages that state it, or the nearest ones.
            pub const fn manual(self) -> &'static [&'static str] {
                match self { $(Rule::$name => &[$($manual),*],)* }
            }

            /// Where the observed kernel and the manual differ, or since which kernel it holds.
            pub const fn kernel(self) -> Option<&'static str> {
                match self { $(Rule::$name => $crate::rule::rules!(@note $($kernel)?),)* }
            }
        }
    };
    (@note) => { None };
    (@note $note:literal) => { Some($note) };
}
pub(crate) use rules;

impl Rule {
    /// Finds a rule by its permanent name.
    pub fn by_name(name: &str) -> Option<Rule> {
        Rule::ALL.iter().copied().find(|rule| rule.name() == name)
    }
}

impl core::fmt::Display for Rule {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}
