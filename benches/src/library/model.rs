//! The same calls on the model.

use std::sync::Arc;
use std::time::Instant;

use nsproxy::{
    AnyNamespace, CloneFlags, Config, Cred, Dentry, JoinTarget, Link, MountFlags, Super, System,
    Task,
};

use super::{MOUNTS, median};

/// How many calls are timed together: one is too short for the clock.
const BATCH: usize = 20;
const BATCHES: usize = 200;

/// A system with so many mounts, whose limits nobody meets.
pub fn system() -> System {
    let config =
        Config { max_namespaces: i32::MAX as u32, pid_max: 4_194_304, ..Config::default() };
    let system = System::new(config);
    let mut at = None;
    for id in 1..MOUNTS as u64 {
        let sb = Arc::new(Super::new(id, "tmpfs", (0, id as u32), &system.init_user()));
        let root = Dentry { super_id: id, id: 0 };
        at = system.mount_at_boot(at.as_ref(), &sb, root, b"tmpfs", MountFlags::empty());
        if id == 1 {
            // The others over one another on a directory of its, as in the kernel's namespace.
            at = at.map(|root| root.at(Dentry { super_id: id, id: 1 }));
        }
    }
    system
}

/// A task of root's.
pub fn root(system: &System) -> Arc<Task> {
    system.adopt(None, Cred::root(&system.init_user()))
}

/// The median of unshare(2) of a type in microseconds.
pub fn unshare(flag: u64) -> f64 {
    let system = system();
    let flags = CloneFlags::from_bits_retain(flag);
    let alone = [CloneFlags::NEWUSER, CloneFlags::NEWPID].contains(&flags);
    let task = root(&system);
    each(|| {
        // Those can be asked for once only.
        let fresh: Vec<_> = (0..BATCH).filter(|_| alone).map(|_| root(&system)).collect();
        let start = Instant::now();
        for number in 0..BATCH {
            let task = fresh.get(number).unwrap_or(&task);
            assert!(nsproxy::unshare(task, flags).is_ok());
        }
        start.elapsed()
    })
}

/// The median of setns(2) to a type in microseconds.
pub fn setns(name: &str, flag: u64) -> f64 {
    let system = system();
    let flags = CloneFlags::from_bits_retain(flag);
    let (task, holder) = (root(&system), root(&system));
    let link = Link::by_name(name).expect("it is a type");
    let own = task.namespace(link).expect("it has one");
    assert!(nsproxy::unshare(&holder, flags).is_ok());
    let args = nsproxy::CloneArgs::fork();
    let inside = nsproxy::prepare_clone(&holder, &args).expect("a child").commit();
    let other = inside.namespace(link).expect("it has one");
    let join = |task: &Arc<Task>, to: &AnyNamespace| {
        assert!(nsproxy::setns(task, JoinTarget::Namespace(to), 0).is_ok());
    };
    each(|| match name {
        // There is no way back.
        "user" => {
            let fresh: Vec<_> = (0..BATCH).map(|_| root(&system)).collect();
            let start = Instant::now();
            fresh.iter().for_each(|task| join(task, &other));
            start.elapsed()
        }
        _ => {
            let start = Instant::now();
            for _ in 0..BATCH / 2 {
                join(&task, &other);
                join(&task, &own);
            }
            start.elapsed()
        }
    })
}

fn each(mut batch: impl FnMut() -> std::time::Duration) -> f64 {
    median((0..BATCHES).map(|_| batch()).collect()) / BATCH as f64
}
