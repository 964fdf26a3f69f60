//! Callers that sleep in place of their call.
//!
//! `getpgid` sleeps, `getppid` rouses whoever sleeps and tells what came of it: 1 answered, 2 gone.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyns_trap::raw::{self, Birth};
use anyns_trap::{Answered, Call, Dozer, Failed, Seems, Woken};

use crate::basic::call;
use crate::cases;
use crate::harness::{Case, guests_are_seized, run, tell_all};

pub(crate) const CASES: &[Case] = cases![
    a_sleeper_is_roused_with_a_result => guest_is_roused,
    a_handler_ends_the_sleep => guest_is_interrupted,
    what_is_ignored_does_not => guest_ignores,
    a_stopped_sleeper_sleeps_on => guest_is_stopped,
    a_dead_sleeper_is_gone => guest_dies,
    many_sleep_and_nobody_holds_them => guest_many,
];

const RESULT: i64 = 4711;

fn serve() -> impl Fn(Call) -> Answered + Send + Sync + 'static {
    let sleepers: Arc<Mutex<Vec<Dozer>>> = Arc::default();
    move |call: Call| match call.nr() {
        libc::SYS_getpgid => match call.stop() {
            Ok(held) => {
                let mut sleepers = sleepers.lock().unwrap();
                let (dozer, answered) = held.doze();
                sleepers.push(dozer);
                answered
            }
            Err(Failed::Untraceable(call)) => call.errno(libc::EPERM),
            Err(failed) => failed.settle(),
        },
        _ => {
            let sleeper = sleepers.lock().unwrap().pop();
            let came = sleeper.map_or(0, |dozer| {
                let end = Instant::now() + Duration::from_secs(10);
                loop {
                    match dozer.glance() {
                        Seems::Gone => return 2,
                        Seems::Asleep => match dozer.rouse() {
                            Woken::Stands(roused) => {
                                roused.answer(RESULT);
                                return 1;
                            }
                            Woken::Gone => return 2,
                            Woken::Untraceable => {}
                        },
                        Seems::Awake => {}
                    }
                    if Instant::now() > end {
                        return 3;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            call.ret(came)
        }
    }
}

fn told() -> String {
    run(&tell_all(&[libc::SYS_getpgid, libc::SYS_getppid]), serve()).ok()
}

/// Sleeps in the place of the parent: arguments come back with the registers that hold them.
fn sleep() -> i64 {
    call(libc::SYS_getpgid, [1, 2, 3, 4, 5, 6])
}

fn rouse() -> i64 {
    call(libc::SYS_getppid, [0; 6])
}

/// A child that sleeps, and exits with 0 if that ends with this result.
fn sleeper(wanted: i64, prepare: fn()) -> i32 {
    match raw::fork().unwrap() {
        Birth::Child => {
            prepare();
            raw::exit_now(i32::from(sleep() != wanted));
        }
        Birth::Parent { child, .. } => {
            let end = Instant::now() + Duration::from_secs(20);
            while state(child) != (format!("{} ", libc::SYS_pause), traced()) {
                assert!(Instant::now() < end, "{:?}", state(child));
                std::thread::sleep(Duration::from_millis(1));
            }
            child
        }
    }
}

/// The call it is in, and whether it is traced.
fn state(pid: i32) -> (String, bool) {
    let read = |name| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let call = read("syscall");
    let call = call.split_inclusive(' ').next().unwrap_or_default().to_owned();
    (call, !read("status").contains("TracerPid:\t0\n"))
}

/// Nobody traces a sleeper, but for who traces it for life.
fn traced() -> bool {
    guests_are_seized()
}

fn ended(pid: i32) -> bool {
    raw::wait(pid) == Ok(raw::Ended::Exited(0))
}

fn nothing() {}

fn a_sleeper_is_roused_with_a_result() {
    assert_eq!(told(), "1 true\n0\n");
}

fn guest_is_roused() {
    let child = sleeper(RESULT, nothing);
    println!("{} {}", rouse(), ended(child));
    println!("{}", rouse());
}

fn a_handler_ends_the_sleep() {
    assert_eq!(told(), "true 2\n");
}

fn handled() {
    extern "C" fn handler(_: libc::c_int) {}
    let handler = handler as extern "C" fn(libc::c_int);
    // SAFETY: the handler does nothing, which is safe at any moment.
    unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
}

fn guest_is_interrupted() {
    // signal(3) asks for calls to be made anew, which this one is not.
    let child = sleeper(-i64::from(libc::EINTR), handled);
    raw::kill(child, libc::SIGUSR1).unwrap();
    let ended = ended(child);
    println!("{ended} {}", rouse());
}

fn what_is_ignored_does_not() {
    assert_eq!(told(), "1 true\n");
}

fn guest_ignores() {
    let child = sleeper(RESULT, nothing);
    for signal in [libc::SIGCHLD, libc::SIGURG, libc::SIGWINCH, libc::SIGCONT] {
        raw::kill(child, signal).unwrap();
    }
    println!("{} {}", rouse(), ended(child));
}

fn a_stopped_sleeper_sleeps_on() {
    assert_eq!(told(), "1 true\n");
}

fn guest_is_stopped() {
    let child = sleeper(RESULT, nothing);
    raw::kill(child, libc::SIGSTOP).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    raw::kill(child, libc::SIGCONT).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    println!("{} {}", rouse(), ended(child));
}

fn a_dead_sleeper_is_gone() {
    assert_eq!(told(), "Ok(Killed(9)) 2\n");
}

fn guest_dies() {
    let child = sleeper(RESULT, nothing);
    raw::kill(child, libc::SIGKILL).unwrap();
    let ended = raw::wait(child);
    println!("{ended:?} {}", rouse());
}

fn many_sleep_and_nobody_holds_them() {
    assert_eq!(told(), "300 300\n");
}

/// More than there are workers.
fn guest_many() {
    let all: Vec<i32> = (0..300).map(|_| sleeper(RESULT, nothing)).collect();
    let roused = all.iter().filter(|_| rouse() == 1).count();
    println!("{roused} {}", all.into_iter().filter(|pid| ended(*pid)).count());
}
