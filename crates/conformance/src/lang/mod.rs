//! The scenario language: text to [`Scenario`], and what every executor writes: a [`Transcript`].
//!
//! Not here: what a call does. Each executor knows that for itself, which is the point.

mod call;
mod ipc;
pub(crate) mod mounting;
pub(crate) mod names;
mod net;
mod options;
mod scenario;
mod transcript;
mod value;
mod words;

pub use call::Call;
pub use ipc::{Bits, Command as IpcCommand, SemOperation, Setting, Sort};
pub use mounting::{AtBits, AttrBits, MsBits, UmountBits};
pub use names::errno_text;
pub use net::{NetRef, SocketAddress};
pub use options::{Block, Oddities, RawArg, RawCall, Sets};
pub use scenario::{Scenario, Start, Step, parse_file, parse_scenarios};
pub use transcript::{Entry, Identities, Transcript};
pub use value::{
    Child, Fd, Flags, List, Meaning, Path, Prctl, PrctlNumber, Shown, Signal, Text, Who, Word,
};

/// Reads one call as the agent receives it.
pub(crate) fn parse_call(text: &str) -> Result<Call, String> {
    let words = words::split(text)?;
    let (first, rest) = words.split_first().ok_or("an empty call")?;
    let mut rest = value::Words::new(rest);
    let call = Call::read(first, &mut rest)?;
    rest.finish()?;
    Ok(call)
}

pub(crate) use transcript::translate;
pub(crate) use value::NOBODY;
pub(crate) use words::{number, quote};
