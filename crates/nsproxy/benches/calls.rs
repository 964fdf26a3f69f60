//! The model's calls against the kernel's, and against the simplest thing that could work.
//!
//! Run: `cargo bench -p nsproxy`. Names are `area/task/implementation`: `model` is this crate,
//! `kernel` the system call (absent where the caller may not), `floor` a bare hand-written
//! equivalent. Each loop checks its result.
#![allow(missing_docs)] // divan generates items without

use divan::{Bencher, black_box};
use nsproxy::{
    Arc, CloneArgs, CloneFlags, Config, Cred, Dumpable, JoinTarget, Kind, Name, System, Task, exit,
    prepare_clone, prepare_set_name, setns, unshare,
};
use std::sync::Mutex;

fn main() {
    divan::main();
}

fn system() -> System {
    System::new(Config { max_namespaces: i32::MAX as u32, ..Config::default() })
}

fn root(system: &System) -> std::sync::Arc<Task> {
    system.adopt(None, Cred::root(&system.init_user()))
}

// ---- reading another task's namespaces ------------------------------------------------------

#[divan::bench(name = "read/nsproxy/model", threads = [1, 2])]
fn read_model(bencher: Bencher<'_, '_>) {
    let system = system();
    let task = root(&system);
    let inode = system.init_uts().inode();
    bencher.bench(|| {
        let proxy = black_box(&task).nsproxy();
        assert!(proxy.is_some_and(|proxy| proxy.uts.inode() == inode));
    });
}

#[divan::bench(name = "read/nsproxy/floor", threads = [1, 2])]
fn read_floor(bencher: Bencher<'_, '_>) {
    let system = system();
    let slot = Mutex::new(Some(system.init_nsproxy()));
    let inode = system.init_uts().inode();
    bencher.bench(|| {
        let proxy = black_box(&slot).lock().ok().and_then(|proxy| proxy.clone());
        assert!(proxy.is_some_and(|proxy| proxy.uts.inode() == inode));
    });
}

#[divan::bench(name = "read/nsproxy/kernel")]
fn read_kernel(bencher: Bencher<'_, '_>) {
    bencher.bench(|| {
        let link = std::fs::read_link("/proc/self/ns/uts").unwrap();
        assert!(link.to_str().is_some_and(|link| link.starts_with("uts:[")));
    });
}

#[divan::bench(name = "read/uname/model")]
fn uname_model(bencher: Bencher<'_, '_>) {
    let system = system();
    let task = root(&system);
    bencher.bench(|| {
        let names = black_box(&task).nsproxy().map(|proxy| proxy.uts.names());
        assert!(names.is_some_and(|names| names.host.field()[0] == b'('));
    });
}

#[divan::bench(name = "read/uname/kernel")]
fn uname_kernel(bencher: Bencher<'_, '_>) {
    bencher.bench(|| assert!(!rustix::system::uname().sysname().is_empty()));
}

// ---- switching ------------------------------------------------------------------------------

#[divan::bench(name = "unshare/uts/model")]
fn unshare_uts_model(bencher: Bencher<'_, '_>) {
    let system = system();
    let task = root(&system);
    bencher.bench_local(|| assert!(unshare(&task, CloneFlags::NEWUTS).is_ok()));
}

/// The same among a million namespaces: the cost must not grow.
#[divan::bench(name = "unshare/uts-of-a-million/model", sample_count = 20, sample_size = 1000)]
fn unshare_uts_of_a_million(bencher: Bencher<'_, '_>) {
    let system = system();
    let tasks: Vec<_> = (0..1_000_000).map(|_| root(&system)).collect();
    assert!(tasks.iter().all(|task| unshare(task, CloneFlags::NEWUTS).is_ok()));
    let mut n = 0;
    bencher.bench_local(|| {
        n = (n + 7919) % tasks.len();
        assert!(unshare(&tasks[n], CloneFlags::NEWUTS).is_ok());
    });
}

#[divan::bench(name = "unshare/uts/kernel")]
fn unshare_uts_kernel(bencher: Bencher<'_, '_>) {
    #[allow(deprecated)] // only some of its flags are unsafe; NEWUTS is not
    let unshare = || rustix::thread::unshare(rustix::thread::UnshareFlags::NEWUTS);
    if unshare().is_err() {
        return;
    }
    bencher.bench_local(|| assert!(unshare().is_ok()));
}

#[divan::bench(name = "unshare/user+uts/model")]
fn unshare_user_model(bencher: Bencher<'_, '_>) {
    let system = system();
    let both = CloneFlags::NEWUSER | CloneFlags::NEWUTS;
    bencher
        .with_inputs(|| root(&system))
        .bench_local_values(|task| assert!(unshare(&task, both).is_ok()));
}

#[divan::bench(name = "setns/uts/model")]
fn setns_uts_model(bencher: Bencher<'_, '_>) {
    let system = system();
    let (a, b, task) = (root(&system), root(&system), root(&system));
    let targets = [a, b].map(|task| {
        assert!(unshare(&task, CloneFlags::NEWUTS).is_ok());
        task.nsproxy().and_then(|proxy| proxy.get(Kind::Uts))
    });
    let targets = targets.map(|target| target.expect("it has one"));
    let mut n = 0;
    bencher.bench_local(|| {
        n = 1 - n;
        assert!(setns(&task, JoinTarget::Namespace(&targets[n]), 0).is_ok());
    });
}

#[divan::bench(name = "setns/uts-by-pidfd/model")]
fn setns_pidfd_model(bencher: Bencher<'_, '_>) {
    let system = system();
    let (target, task) = (root(&system), root(&system));
    assert!(unshare(&target, CloneFlags::NEWUTS).is_ok());
    let pidfd = JoinTarget::Pidfd(&target, Dumpable(true));
    bencher.bench_local(|| assert!(setns(&task, pidfd, CloneFlags::NEWUTS.bits()).is_ok()));
}

#[divan::bench(name = "setns/uts/kernel")]
fn setns_uts_kernel(bencher: Bencher<'_, '_>) {
    let own = std::fs::File::open("/proc/thread-self/ns/uts").unwrap();
    let uts = Some(rustix::thread::LinkNameSpaceType::HostNameAndNISDomainName);
    let join = || rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&own), uts);
    if join().is_err() {
        return;
    }
    bencher.bench_local(|| assert!(join().is_ok()));
}

// ---- birth, names, ids ----------------------------------------------------------------------

#[divan::bench(name = "clone/plain-and-exit/model")]
fn clone_model(bencher: Bencher<'_, '_>) {
    let system = system();
    let parent = root(&system);
    bencher.bench_local(|| {
        let child = prepare_clone(&parent, &CloneArgs::fork()).map(nsproxy::Newborn::commit);
        assert!(child.is_ok_and(|child| {
            exit(&child);
            child.has_exited()
        }));
    });
}

#[divan::bench(name = "clone/uts-fails/model")]
fn clone_fails_model(bencher: Bencher<'_, '_>) {
    let system = system();
    let parent = root(&system);
    let args = CloneArgs::legacy(CloneFlags::NEWUTS.bits());
    bencher.bench_local(|| assert!(prepare_clone(&parent, &args).is_ok()));
}

#[divan::bench(name = "set/hostname/model")]
fn sethostname_model(bencher: Bencher<'_, '_>) {
    let system = system();
    let task = root(&system);
    bencher.bench_local(|| {
        let set = prepare_set_name(&task, Name::Host, 3);
        assert!(set.map(|name| name.commit(b"box")).is_ok());
    });
}

#[divan::bench(name = "read/uid-through-340-lines/model")]
fn uid_in(bencher: Bencher<'_, '_>) {
    let system = system();
    let task = root(&system);
    assert!(unshare(&task, CloneFlags::NEWUSER).is_ok());
    let text: String = (0..340).map(|n| format!("{} {} 1\n", n * 2, n * 3)).collect();
    let (ns, by) = (task.user_ns(), Cred::root(&system.init_user()));
    let map = nsproxy::MapKind::Uid;
    assert!(nsproxy::write_map(map, &ns, &by, &by, 0, text.as_bytes()).is_ok());
    let ns: &Arc<_> = &ns;
    bencher.bench(|| assert_eq!(black_box(ns).uid_in(nsproxy::Kuid(333)), 222));
}
