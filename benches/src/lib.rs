//! What anyns costs: the same loops under the kernel, empty supervisors, both back ends and PRoot.
//!
//! `workload` runs the loops and prints a line for each, `floor` and `steered` are the empty
//! supervisors, and `compare` runs everything interleaved and prints the tables of
//! `docs/performance.md`. `library` measures `nsproxy` alone beside the system calls.

pub mod budget;
pub mod figures;
pub mod group;
pub mod latency;
pub mod library;
pub mod place;
pub mod tasks;
