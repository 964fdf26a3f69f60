//! The file system of type mqueue: a namespace's POSIX queues as files (mq_overview(7)).
//!
//! A mount of it does not keep the namespace: when that is gone the queues can still be listed, opened
//! and removed, but none can be made.

use super::{
    Caller, IpcNs,
    mqueue::{MqOpen, Names, OpenMq, open_in, open_known, unlink_in},
};
use crate::{
    Kuid,
    rule::{Refusal, Refuse, Rule},
    sync::{Arc, Mutex, Weak},
    task::Task,
};
use alloc::{sync::Arc as StdArc, vec::Vec};

/// What is behind a mount of type mqueue.
pub struct MqMount {
    names: StdArc<Mutex<Names>>,
    ns: Weak<IpcNs>,
    maker: Kuid,
}

impl MqMount {
    /// The queues of `ns`.
    pub fn of(ns: &Arc<IpcNs>) -> MqMount {
        MqMount {
            names: StdArc::clone(&ns.objects.state.lock().mq),
            ns: Weak::of(ns),
            maker: ns.objects.maker,
        }
    }

    /// The names of the queues, sorted, each with its mode.
    pub fn files(&self) -> Vec<(Vec<u8>, u32)> {
        let names = self.names.lock();
        names.iter().map(|(name, queue)| (name.clone(), queue.owner().2)).collect()
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

    /// Removes the file of a queue, as unlink(2) does: the queue lives on in open descriptors.
    ///
    /// # Errors
    /// ENOENT if there is none; EPERM for who owns neither it nor the directory.
    pub fn unlink(&self, task: &StdArc<Task>, name: &[u8]) -> Result<(), Refusal> {
        task.reported("unlink", unlink_in(&self.names, self.maker, &task.cred(), name))
    }

    /// Changes the mode of a queue's file; who may is the embedder's to judge, as of other files.
    pub fn set_mode(&self, name: &[u8], mode: u32) {
        if let Some(queue) = self.names.lock().get(name) {
            queue.set_mode(mode);
        }
    }
}
