//! The file system of type mqueue: a namespace's POSIX queues as files (mq_overview(7)).
//!
//! A mount of it does not keep the namespace: when that is gone the queues can still be listed, opened
//! and removed, but none can be made.

use super::{
    Caller, IpcNs,
    mqueue::{MqOpen, Names, OpenMq, open_in, open_known},
};
use crate::{
    rule::{Refusal, Refuse, Rule},
    sync::{Arc, Mutex, Weak},
    task::Task,
};
use alloc::{sync::Arc as StdArc, vec::Vec};

/// What is behind a mount of type mqueue.
pub struct MqMount {
    names: StdArc<Mutex<Names>>,
    ns: Weak<IpcNs>,
}

impl MqMount {
    /// The queues of `ns`.
    pub fn of(ns: &Arc<IpcNs>) -> MqMount {
        MqMount { names: StdArc::clone(&ns.objects.state.lock().mq), ns: Weak::of(ns) }
    }

    /// The names of the queues, sorted.
    pub fn names(&self) -> Vec<Vec<u8>> {
        self.names.lock().keys().cloned().collect()
    }

    /// Opens the file of a queue, or makes it, as open(2) does with `O_CREAT`: in the namespace
    /// that is mounted, be the caller in another. `name` is one that a path can have.
    pub fn open(&self, task: &StdArc<Task>, name: &[u8], how: &MqOpen) -> Result<OpenMq, Refusal> {
        let opened = match self.ns.upgrade() {
            Some(ns) => open_in(&Caller { ns, cred: task.cred() }, task, name, how),
            None => match self.names.lock().get(name) {
                Some(queue) => open_known(queue, &task.cred(), how),
                None => Err(Rule::MqNamespaceGone.refuse()),
            },
        };
        task.reported("open", opened)
    }
}
