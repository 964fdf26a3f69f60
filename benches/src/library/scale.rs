//! Many tasks, readers beside a writer, two threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nsproxy::{CloneArgs, CloneFlags, JoinTarget, Kind, Task, exit, prepare_clone, setns, unshare};

use super::model::{root, system};

/// What a call costs among many tasks that each have a uts namespace of their own.
#[derive(Clone, Copy, Debug)]
pub struct Among {
    /// How many.
    pub tasks: usize,
    /// Memory for each, its namespace included, in bytes.
    pub bytes: usize,
    /// Microseconds: unshare of uts, fork with exit and reaping.
    pub unshare: f64,
    /// The same.
    pub fork_exit: f64,
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn fork(parent: &Arc<Task>, flags: CloneFlags) -> Arc<Task> {
    prepare_clone(parent, &CloneArgs::legacy(flags.bits() | 17)).expect("it may").commit()
}

/// Ends a child and reaps it.
fn end(task: Arc<Task>) {
    exit(&task);
}

/// Costs among so many tasks.
pub fn among(tasks: usize) -> Among {
    let system = system();
    let first = root(&system);
    let before = resident();
    let all: Vec<_> = (0..tasks).map(|_| fork(&first, CloneFlags::NEWUTS)).collect();
    let bytes = resident().saturating_sub(before) / tasks;
    const CALLS: usize = 20_000;
    let start = Instant::now();
    for number in 0..CALLS {
        assert!(unshare(&all[number * 7919 % tasks], CloneFlags::NEWUTS).is_ok());
    }
    let unshare = start.elapsed().as_secs_f64() * 1e6 / CALLS as f64;
    let start = Instant::now();
    for number in 0..CALLS {
        end(fork(&all[number * 7919 % tasks], CloneFlags::empty()));
    }
    let fork_exit = start.elapsed().as_secs_f64() * 1e6 / CALLS as f64;
    Among { tasks, bytes, unshare, fork_exit }
}

/// Memory in use before and after so many tasks have lived, in mebibytes, after a first tenth.
pub fn births_and_deaths(tasks: usize) -> (f64, f64) {
    let system = system();
    let first = root(&system);
    let live = |count: usize| (0..count).for_each(|_| end(fork(&first, CloneFlags::NEWUTS)));
    live(tasks / 10);
    let before = resident();
    live(tasks);
    let mebibytes = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    (mebibytes(before), mebibytes(resident()))
}

/// Who switches in a loop while a task's namespaces are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writer {
    /// Nobody.
    None,
    /// Another task of the system.
    Other,
    /// The very task.
    Same,
}

/// A read of another task's namespaces, in nanoseconds: the median, and of a hundred at a time the
/// 99.9th percentile.
pub fn read(writer: Writer) -> (f64, f64) {
    const READS: usize = 100;
    let system = system();
    let (task, other) = (root(&system), root(&system));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if writer != Writer::None {
            let switched = if writer == Writer::Same { &task } else { &other };
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    assert!(unshare(switched, CloneFlags::NEWUTS).is_ok());
                }
            });
        }
        let mut times: Vec<Duration> = Vec::with_capacity(100_000);
        for _ in 0..100_000 {
            let start = Instant::now();
            for _ in 0..READS {
                assert!(std::hint::black_box(&task).nsproxy().is_some());
            }
            times.push(start.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        times.sort();
        let at = |part: f64| {
            times[((times.len() - 1) as f64 * part) as usize].as_nanos() as f64 / READS as f64
        };
        (at(0.5), at(0.999))
    })
}

/// What threads do side by side, each on a task of its own.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// setns(2) there and back between two uts namespaces.
    Setns,
    /// unshare(2) with these flags.
    Unshare(u64),
    /// fork, exit, reaping.
    Fork,
}

/// What the two tasks have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Common {
    /// Nothing: each is of a system of its own. So much the machine can give.
    Nothing,
    /// The system, but no namespace.
    System,
    /// All namespaces that they do not change.
    Namespaces,
}

/// How often two threads do it while one does it once.
pub fn two_to_one(work: Work, common: Common) -> f64 {
    let systems = [system(), system()];
    let tasks = [0, 1].map(|number| {
        let task = root(&systems[if common == Common::Nothing { number } else { 0 }]);
        if common == Common::System {
            assert!(unshare(&task, CloneFlags::NAMESPACES).is_ok());
            // In the new pid and time namespaces, too.
            return (fork(&task, CloneFlags::empty()), task).0;
        }
        task
    });
    throughput(&tasks, work) / throughput(&tasks[..1], work)
}

/// How often threads do it in a second, one for each task.
fn throughput(tasks: &[Arc<Task>], work: Work) -> f64 {
    let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let time = Duration::from_millis(400);
    std::thread::scope(|scope| {
        for task in tasks {
            let (done, stop) = (&done, &stop);
            scope.spawn(move || {
                let mut one = one_of(work, task);
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    one();
                    count += 1;
                }
                done.fetch_add(count, Ordering::Relaxed);
            });
        }
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    done.into_inner() as f64 / time.as_secs_f64()
}

fn one_of(work: Work, task: &Arc<Task>) -> Box<dyn FnMut() + '_> {
    match work {
        Work::Setns => {
            let uts = || task.namespace(Kind::Uts).expect("it has one");
            let own = uts();
            assert!(unshare(task, CloneFlags::NEWUTS).is_ok());
            let (mut to, mut from) = (own, uts());
            Box::new(move || {
                assert!(setns(task, JoinTarget::Namespace(&to), 0).is_ok());
                std::mem::swap(&mut to, &mut from);
            })
        }
        Work::Unshare(flags) => {
            let flags = CloneFlags::from_bits_retain(flags);
            Box::new(move || assert!(unshare(task, flags).is_ok()))
        }
        Work::Fork => Box::new(|| end(fork(task, CloneFlags::empty()))),
    }
}
