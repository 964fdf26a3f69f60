//! What anyns costs: the same loops under the kernel, empty supervisors, both back ends and PRoot.
//!
//! `workload` runs the loops and prints a line for each, `floor` and `steered` are the empty
//! supervisors, and `compare` runs everything interleaved and prints the tables of
//! `docs/performance.md`.

pub mod budget;
pub mod figures;
pub mod latency;
pub mod place;
pub mod tasks;
