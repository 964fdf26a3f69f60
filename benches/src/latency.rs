//! Single calls that Docker's filter denies, each timed, alone and beside other guests.
//!
//! They are made by the root of a namespace where there is one; the empty supervisors answer 0.

use std::time::{Duration, Instant};

use anyns_trap::raw::{self, Birth};

/// A call, with the name it has in the tables.
pub const CALLS: &[(&str, fn())] =
    &[("setns(-1)", setns_of_nothing), ("sethostname", name), ("unshare(NEWIPC)", new_ipc)];

/// What runs beside the caller, in the same tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Nothing.
    Alone,
    /// Two processes that only compute.
    Busy,
    /// One that only forks.
    Forks,
}

impl Load {
    /// All of them, with their names.
    pub const ALL: [(Load, &str); 3] =
        [(Load::Alone, "alone"), (Load::Busy, "two busy"), (Load::Forks, "fork loop")];
}

/// How many calls are timed, if there is time.
const MOST: usize = 5_000;
const PATIENCE: Duration = Duration::from_millis(800);

/// Median and 99th percentile of a call beside a load, in microseconds.
pub fn measure(call: fn(), load: Load) -> (f64, f64) {
    let beside = match load {
        Load::Alone => vec![],
        Load::Busy => vec![child(spin), child(spin)],
        Load::Forks => vec![child(fork_on)],
    };
    // Until the scheduler has settled.
    (0..200).for_each(|_| call());
    let mut times = Vec::with_capacity(MOST);
    let began = Instant::now();
    while times.len() < MOST && (times.len() < 100 || began.elapsed() < PATIENCE) {
        let start = Instant::now();
        call();
        times.push(start.elapsed());
    }
    for pid in beside {
        raw::kill(pid, libc::SIGKILL).expect("it is ours");
        assert_eq!(raw::wait(pid), Ok(raw::Ended::Killed(libc::SIGKILL)));
    }
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
    (at(0.5), at(0.99))
}

fn setns_of_nothing() {
    let _ = raw::setns(-1, 0);
}

fn name() {
    let _ = raw::sethostname(b"host", 4, None);
}

fn new_ipc() {
    let _ = raw::unshare(libc::CLONE_NEWIPC as u64);
}

fn child(body: fn() -> !) -> i32 {
    match raw::fork().expect("fork") {
        Birth::Child => {
            let _ = raw::set_death_signal(libc::SIGKILL);
            body()
        }
        Birth::Parent { child, .. } => child,
    }
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

fn fork_on() -> ! {
    loop {
        match raw::fork() {
            Ok(Birth::Child) => raw::exit_now(0),
            Ok(Birth::Parent { child, .. }) => drop(raw::wait(child)),
            Err(_) => {}
        }
    }
}
