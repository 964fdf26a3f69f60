//! Clocks of the model: there is no time, only how far clocks are ahead of it.

use nsproxy::{Clocks, Task, TimeSpec};

/// What the host's clocks show: any time will do that is not much longer or shorter than hosts run.
pub(super) const NOW: Clocks = Clocks { monotonic: UP, boottime: UP };
const UP: TimeSpec = TimeSpec { seconds: 100_000, nanoseconds: 0 };

/// How many seconds a clock is ahead of the host's for a task.
pub(super) fn ahead(task: &Task, clock: &str) -> Result<String, String> {
    let proxy = task.nsproxy().ok_or("it has exited")?;
    let Clocks { monotonic, boottime } = proxy.time.offsets();
    match clock {
        "MONOTONIC" | "MONOTONIC_RAW" | "MONOTONIC_COARSE" => Ok(monotonic.seconds.to_string()),
        "BOOTTIME" | "uptime" | "sysinfo" => Ok(boottime.seconds.to_string()),
        other => Err(format!("there is no clock {other}")),
    }
}
