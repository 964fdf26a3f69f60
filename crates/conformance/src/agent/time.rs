//! Clocks: how far one is ahead of the host's, in whole seconds.
//!
//! CLOCK_REALTIME is the same in every time namespace, so the distance of another clock from it
//! tells where that clock stands. The driver, which is in the initial namespace, says in the
//! environment how far the two are from each other on the host.

use rustix::time::{ClockId, clock_gettime};

use crate::lang::errno_text;

/// The distances from the real-time clock on the host, in nanoseconds: of the monotonic and the
/// boot-time clock, separated by a comma.
pub(crate) const ENVIRONMENT: &str = "CONFORMANCE_CLOCKS";

const SECOND: i128 = 1_000_000_000;
/// How many seconds before and after the middle one are taken for it: the coarse clocks and the
/// files of `/proc` are rounded, and reading two clocks takes time.
const TOLERANCE: i128 = 2 * SECOND;

fn now(clock: ClockId) -> i128 {
    let time = clock_gettime(clock);
    i128::from(time.tv_sec) * SECOND + i128::from(time.tv_nsec)
}

/// What [`ENVIRONMENT`] is on the host.
pub(crate) fn distances() -> String {
    let of = |clock| now(clock) - now(ClockId::Realtime);
    format!("{},{}", of(ClockId::Monotonic), of(ClockId::Boottime))
}

/// How many tens of seconds a clock is ahead of the host's, as seconds.
pub(super) fn ahead(clock: &str) -> String {
    let known = std::env::var(ENVIRONMENT).unwrap_or_default();
    let (monotonic, boottime) = known.split_once(',').unwrap_or_default();
    let (shown, distance) = match clock {
        "MONOTONIC" => (now(ClockId::Monotonic), monotonic),
        "MONOTONIC_RAW" => (now(ClockId::MonotonicRaw), monotonic),
        "MONOTONIC_COARSE" => (now(ClockId::MonotonicCoarse), monotonic),
        "BOOTTIME" => (now(ClockId::Boottime), boottime),
        "uptime" => match uptime() {
            Ok(time) => (time, boottime),
            Err(error) => return errno_text(error.raw_os_error().unwrap_or(5)),
        },
        "sysinfo" => (i128::from(rustix::system::sysinfo().uptime) * SECOND, boottime),
        other => return format!("!there is no clock {other}"),
    };
    let Ok(distance) = distance.parse::<i128>() else {
        return format!("!{ENVIRONMENT} is not set");
    };
    let ahead = shown - now(ClockId::Realtime) - distance;
    let tens = (ahead + TOLERANCE).div_euclid(10 * SECOND);
    match (ahead + TOLERANCE).rem_euclid(10 * SECOND) <= 2 * TOLERANCE {
        true => (tens * 10).to_string(),
        false => format!("!{clock} is {ahead} nanoseconds ahead"),
    }
}

/// The first number of `/proc/uptime`.
fn uptime() -> std::io::Result<i128> {
    let text = std::fs::read_to_string("/proc/uptime")?;
    let number = text.split(' ').next().and_then(|word| word.replace('.', "").parse::<i128>().ok());
    number
        .map(|hundredths| hundredths * (SECOND / 100))
        .ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}
