//! Carries the system calls of real processes to a supervisor and the answers back.
//!
//! A [`filter::Filter`] decides in the kernel which calls are worth telling. The first guest
//! installs it and sends the *listener* out; an [`Engine`] receives each told call as a [`Call`],
//! hands it to the embedder's [`Serve`] and carries the answer back. What cannot be answered from
//! outside (fork, exec, a call that must run with other arguments) gets a *momentary* ptrace:
//! seized, run to the event, let go.
//!
//! This crate knows nothing of namespaces; it could serve any kernel in user space. All the
//! `unsafe` of the project is here, one operation to a block.
//!
//! Not here: which calls are told and what is answered (the supervisor's), and every rule
//! (the model's).

pub mod arch;
mod brief;
mod call;
pub mod chain;
mod engine;
pub mod filter;
mod held;
mod install;
mod lone;
mod memory;
mod notify;
pub mod objects;
pub mod placeholder;
mod plan;
pub mod probe;
mod program;
pub mod raw;
pub mod reap;
pub mod record;
mod seats;
mod stop;
pub mod store;
mod sys;
mod threads;
mod trace;
mod wake;

pub use call::{Answered, Call};
pub use engine::{Engine, Serve};
pub use install::InstallError;
pub use memory::{MemError, Memory, Plain};
pub use plan::{BackEnd, Denied, Plan};
pub use program::{is_written, may_execute};
pub use stop::is_tracer;
pub use threads::{Waiting, spawn, wait};
pub use trace::{
    Birth, Dozer, Execed, Failed, Forked, Frozen, Held, Ran, Roused, Seems, Sender, Woken,
};

use std::fmt;

/// A thread's number on this host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(pub i32);

impl fmt::Debug for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tid {}", self.0)
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
