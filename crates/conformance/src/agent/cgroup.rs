//! Cgroups of version 2: making, removing and entering them, and where everybody is.

use std::fs;
use std::io;

use crate::lang::errno_text;

fn done(result: io::Result<()>) -> String {
    match result {
        Ok(()) => "0".into(),
        Err(error) => errno_text(error.raw_os_error().unwrap_or(5)),
    }
}

/// `make`, `remove` or `enter` a cgroup.
pub(super) fn act(what: &str, path: &str) -> String {
    match what {
        "make" => done(fs::create_dir(path)),
        "remove" => done(fs::remove_dir(path)),
        "enter" => done(
            fs::OpenOptions::new()
                .write(true)
                .open(format!("{path}/cgroup.procs"))
                .and_then(|mut file| io::Write::write_all(&mut file, b"0")),
        ),
        other => format!("!nobody can {other} a cgroup"),
    }
}

/// The path of a process in the hierarchy of version 2.
pub(super) fn of(process: i32) -> String {
    match fs::read_to_string(format!("/proc/{process}/cgroup")) {
        Ok(text) => text
            .lines()
            .find_map(|line| line.strip_prefix("0::"))
            .map_or_else(|| "!no cgroup of version 2".into(), str::to_owned),
        Err(error) => errno_text(error.raw_os_error().unwrap_or(5)),
    }
}

/// The root that the first mount of version 2 has in `/proc/self/mountinfo`.
pub(super) fn mounted() -> String {
    let text = match fs::read_to_string("/proc/self/mountinfo") {
        Ok(text) => text,
        Err(error) => return errno_text(error.raw_os_error().unwrap_or(5)),
    };
    text.lines()
        .find(|line| line.contains(" - cgroup2 "))
        .and_then(|line| line.split(' ').nth(3))
        .map_or_else(|| "!no mount of version 2".into(), str::to_owned)
}
