//! Scenarios that run on the real kernel, on the model and under anyns, with equal transcripts.
//!
//! A [`lang::Scenario`] is a list of steps: a process, a call, what the call must give. Three
//! executors run it and write down what each call gave:
//!
//! * *native* ([`native`]): processes on the real kernel,
//! * *model* ([`model`]): `nsproxy` alone, in process,
//! * *hosted*: the native executor under `anyns run`, as an ordinary user, on a host made to
//!   refuse namespaces ([`host`]).
//!
//! The transcripts must equal each other and the text of the scenario. There is no list of
//! exceptions. The language is described in the crate's README.

pub mod agent;
pub mod host;
pub mod lang;
pub mod model;
pub mod native;
pub mod random;
pub mod suite;
