//! exit(2): a task gives up its namespaces, its children get another parent, its parent is told.

use crate::{events::Way, namespace::pid::Status, nsproxy::exit_task_namespaces, task::Task};
use alloc::{sync::Arc as StdArc, vec::Vec};

/// Ends `task` with status 0, and whoever is killed by it: [`exit_with`] for users who have no
/// processes of their own to kill. Exiting twice is exiting once.
///
/// Waits for a [`Change`](crate::Change) of the task that is being prepared.
///
/// ```
/// use nsproxy::{CloneFlags, Config, Cred, System, exit, unshare};
///
/// let system = System::new(Config::default());
/// let task = system.adopt(None, Cred::root(&system.init_user()));
/// unshare(&task, CloneFlags::NEWUTS)?;
/// assert_eq!(system.namespaces_alive(), 1);
/// exit(&task);
/// assert_eq!(system.namespaces_alive(), 0);
/// assert!(task.nsproxy().is_none());
/// # Ok::<(), nsproxy::Refusal>(())
/// ```
pub fn exit(task: &StdArc<Task>) {
    let mut killed = exit_with(task, Status::default());
    while let Some(process) = killed.pop() {
        for thread in process.threads() {
            killed.extend(exit_with(&thread, Status::Killed(9)));
        }
        killed.extend(exit_with(&process, Status::Killed(9)));
    }
}

/// Ends `task`: its root directory, its part in semaphores and shared memory, then its namespaces
/// are given up, so that a namespace only it
/// was in is gone before its parent can learn of the death. Its credentials stay to be read, as a
/// zombie's do, until the last `Arc` of the task goes. Exiting twice is exiting once.
///
/// With its last thread a process ends: its children get another parent, and it is a zombie until
/// [`wait`](crate::wait) or until its first thread's last `Arc` goes. `status` is the process's if
/// the task is its first thread.
///
/// When the process was the init of a pid namespace, everybody inside dies of SIGKILL: the first
/// threads of those processes are returned, and the embedder ends them, thread by thread. Until
/// the last of them has been reaped the init cannot be waited for.
///
/// Waits for a [`Change`](crate::Change) of the task that is being prepared.
pub fn exit_with(task: &StdArc<Task>, status: Status) -> Vec<StdArc<Task>> {
    let _turn = task.turn();
    end(task, status)
}

/// The same, unless a [`Change`](crate::Change) of the task is being prepared: then nothing has
/// happened. For whoever must not wait.
pub fn try_exit_with(task: &StdArc<Task>, status: Status) -> Option<Vec<StdArc<Task>>> {
    let _turn = task.free_turn()?;
    Some(end(task, status))
}

fn end(task: &StdArc<Task>, status: Status) -> Vec<StdArc<Task>> {
    task.give_up_shares();
    task.leave_undo();
    task.leave_segments();
    exit_task_namespaces(task, Way::Exit);
    task.group().leave(task, task.is_leader());
    task.leave_family(status)
}
