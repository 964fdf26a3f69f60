//! What the library costs, beside the system calls it stands for and at scale.

pub mod kernel;
pub mod model;
pub mod scale;

use std::time::Duration;

/// The types, with their flags (namespaces(7)).
pub const TYPES: [(&str, u64); 8] = [
    ("uts", 0x0400_0000),
    ("ipc", 0x0800_0000),
    ("mnt", 0x0002_0000),
    ("pid", 0x2000_0000),
    ("net", 0x4000_0000),
    ("user", 0x1000_0000),
    ("cgroup", 0x0200_0000),
    ("time", 0x80),
];

/// How many mounts a mount namespace has that is copied.
pub const MOUNTS: usize = 30;

/// The median, in microseconds.
pub fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

/// How many calls of a type are timed: some are dear.
pub fn rounds(name: &str) -> usize {
    match name {
        "net" => 60,
        "mnt" | "user" => 200,
        _ => 2000,
    }
}
