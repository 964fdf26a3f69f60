//! Calls that may have to wait, and one attempt at them.

use std::sync::Arc;

use anyns_trap::{MemError, Memory};
use nsproxy::ipc::{self, Attempt, Message, Receive, Received, SemOp, Semop, Sent, Sort};
use nsproxy::{AnyNamespace, Refusal, Rule, Task};

use super::{Inside, QueuePart, SetPart, Who, facts};
use crate::trouble::Trouble;

/// One object of one namespace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Object {
    ns: u64,
    sort: Sort,
    id: i32,
}

/// What a caller wants to do.
pub(crate) enum What {
    /// semop(2).
    Operate(Vec<SemOp>),
    /// msgsnd(2).
    Send {
        /// What to send.
        message: Message,
        /// `IPC_NOWAIT`
        nowait: bool,
    },
    /// msgrcv(2).
    Receive {
        /// Which message.
        want: Receive,
        /// Where to put it.
        to: u64,
    },
}

/// A call that may have to wait.
pub(crate) struct Request {
    task: Arc<Task>,
    who: Who,
    /// What it is about.
    pub(super) object: Object,
    what: What,
}

/// What an attempt came to.
pub(super) enum Outcome {
    /// The call is over with this result, or error.
    Over(Result<i64, Trouble>),
    /// It waits; for semop(2), for this semaphore, to become 0 or to grow.
    Waits(Option<(u16, bool)>),
}

impl Request {
    /// A caller's request to do something to object `id`.
    pub(crate) fn new(inside: &Inside, id: i32, what: What) -> Request {
        let sort = if matches!(what, What::Operate(_)) { Sort::Sem } else { Sort::Msg };
        let object = Object::new(inside, sort, id);
        Request { task: inside.task.clone(), who: inside.who.clone(), object, what }
    }

    /// Tries it; what is received goes to the caller's memory.
    pub(super) fn attempt(&self, mem: &Memory<'_>, attempt: Attempt) -> Outcome {
        let (task, id) = (&self.task, self.object.id);
        let Some(ns) = task.nsproxy().map(|proxy| proxy.ipc.clone()) else {
            return Outcome::Over(Err(Trouble::Gone));
        };
        match &self.what {
            What::Operate(operations) => {
                let done = match attempt {
                    Attempt::First => ipc::semop(task, id, operations),
                    _ => ipc::semop_again(task, id, operations, attempt),
                };
                match done {
                    Ok(Semop::Waits(number)) => Outcome::Waits(waits_for(operations, number)),
                    Ok(Semop::Done) => {
                        if attempt != Attempt::Look
                            && let Some(set) = facts::<SetPart>(&ns, Sort::Sem, id)
                        {
                            set.operated(&self.who, operations);
                        }
                        Outcome::Over(Ok(0))
                    }
                    Err(refusal) => refused(refusal, attempt),
                }
            }
            What::Send { message, nowait } => {
                if attempt == Attempt::Look {
                    return match ipc::msgsnd_waits(task, id, message.text.len() as u64) {
                        true => Outcome::Waits(None),
                        false => Outcome::Over(Ok(0)),
                    };
                }
                match ipc::msgsnd(task, id, message.clone(), *nowait) {
                    Ok(Sent::Waits) => Outcome::Waits(None),
                    Ok(Sent::Done) => {
                        if let Some(queue) = facts::<QueuePart>(&ns, Sort::Msg, id) {
                            queue.sent(&self.who);
                        }
                        Outcome::Over(Ok(0))
                    }
                    Err(refusal) => refused(refusal, attempt),
                }
            }
            What::Receive { want, to } => {
                let received = match attempt {
                    Attempt::First => ipc::msgrcv(task, id, *want),
                    _ => ipc::msgrcv_again(task, id, *want, attempt),
                };
                match received {
                    Ok(Received::Waits) => Outcome::Waits(None),
                    Ok(Received::Done(_)) if attempt == Attempt::Look => Outcome::Over(Ok(0)),
                    Ok(Received::Done(message)) => {
                        if let Some(queue) = facts::<QueuePart>(&ns, Sort::Msg, id) {
                            queue.received(&self.who);
                        }
                        Outcome::Over(hand_over(mem, *to, &message).map_err(Trouble::from))
                    }
                    Err(refusal) => refused(refusal, attempt),
                }
            }
        }
    }
}

/// What a message is to its receiver: type, then text. One that cannot be stored is lost, as the
/// kernel's is.
fn hand_over(mem: &Memory<'_>, to: u64, message: &Message) -> Result<i64, MemError> {
    mem.write(to, &message.kind.to_ne_bytes())?;
    mem.write(to.wrapping_add(8), &message.text)?;
    Ok(message.text.len() as i64)
}

fn waits_for(operations: &[SemOp], number: u16) -> Option<(u16, bool)> {
    // The first of its operations that does not go is the one that blocks.
    let zero = operations.iter().find(|one| one.number == number).is_some_and(|one| one.add == 0);
    Some((number, zero))
}

fn refused(refusal: Refusal, attempt: Attempt) -> Outcome {
    // What was there when the caller came has been removed since.
    let removed = attempt != Attempt::First && refusal.rule == Rule::IpcIdUnknown;
    Outcome::Over(Err(match removed {
        true => Trouble::Errno(rustix::io::Errno::IDRM),
        false => refusal.into(),
    }))
}

impl Object {
    /// Object `id` of a caller's namespace.
    pub(crate) fn new(inside: &Inside, sort: Sort, id: i32) -> Object {
        Object { ns: AnyNamespace::Ipc(inside.ns.clone()).id(), sort, id }
    }
}
