//! Message queues: msgget(2), msgsnd(2), msgrcv(2), msgctl(2).

use super::{
    Attempt, By, Caller, Part,
    ids::unknown,
    perm::{Perm, READ, SetPerm, WRITE},
};
use crate::{
    capability::{Cap, capable},
    rule::{Refusal, Refuse, Rule},
    task::Task,
};
use alloc::{collections::VecDeque, sync::Arc as StdArc, vec::Vec};

/// A message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its type: at least 1.
    pub kind: i64,
    /// What it says.
    pub text: Vec<u8>,
}

/// A queue.
pub(super) struct Queue {
    messages: VecDeque<Message>,
    bytes: u64,
    /// How many bytes it holds, and how many messages at most.
    room: u64,
}

impl Queue {
    /// Whether there is no room for a message of `size` bytes.
    fn is_full(&self, size: u64) -> bool {
        self.bytes + size > self.room || self.messages.len() as u64 + 1 > self.room
    }

    /// Messages, and their bytes.
    pub(super) fn usage(&self) -> (u64, u64) {
        (self.messages.len() as u64, self.bytes)
    }
}

/// What `IPC_STAT` and its relatives say about a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MsgStat {
    /// Its id: the result of `MSG_STAT`.
    pub id: i32,
    /// Whose it is.
    pub perm: Perm,
    /// How many messages are in it.
    pub messages: u64,
    /// How many bytes are in it.
    pub bytes: u64,
    /// How many bytes it holds (`msg_qbytes`).
    pub room: u64,
}

/// msgget(2): the id of the queue of `key`, made if there is none and `flags` say so.
pub fn msgget(task: &StdArc<Task>, key: i32, flags: i32) -> Result<i32, Refusal> {
    get(task, key, flags, || None)
}

/// The same for an embedder that keeps something of each queue, made by `part`.
pub fn msgget_with(
    task: &StdArc<Task>,
    key: i32,
    flags: i32,
    part: impl FnOnce() -> StdArc<dyn Part>,
) -> Result<i32, Refusal> {
    get(task, key, flags, || Some(part()))
}

fn get(
    task: &StdArc<Task>,
    key: i32,
    flags: i32,
    part: impl FnOnce() -> Option<StdArc<dyn Part>>,
) -> Result<i32, Refusal> {
    let get = || {
        let caller = Caller::of(task)?;
        let mut state = caller.objects().state.lock();
        if let Some(id) = state.msg.get(key, flags, &caller.cred, caller.owner(), |_| Ok(()))? {
            return Ok(id);
        }
        let limits = state.limits;
        let queue = Queue { messages: VecDeque::new(), bytes: 0, room: limits.msgmnb as u64 };
        state.msg.has_room(limits.msgmni)?;
        state.msg.add(limits.msgmni, Perm::new(key, flags, &caller.cred), queue, part())
    };
    task.reported("msgget", get())
}

/// What became of msgsnd(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// It is in the queue.
    Done,
    /// The queue is full and the caller has to wait. Make the call again; if the queue is gone by
    /// that time, the waiting caller gets EIDRM.
    Waits,
}

/// Checks the length and the type of a message, before it is read from the caller's memory.
pub fn check_msgsnd(task: &StdArc<Task>, size: u64, kind: i64) -> Result<(), Refusal> {
    let check = || {
        let limit = Caller::of(task)?.ns.limits().msgmax;
        check_message(size, kind, limit)
    };
    task.reported("msgsnd", check())
}

fn check_message(size: u64, kind: i64, limit: i32) -> Result<(), Refusal> {
    if size > limit as u64 {
        return Err(Rule::MsgTooLong.refuse().with("size", size).with("limit", limit));
    }
    if kind < 1 {
        return Err(Rule::MsgTypeInvalid.refuse().with("type", kind));
    }
    Ok(())
}

/// msgsnd(2), without sleeping.
pub fn msgsnd(
    task: &StdArc<Task>,
    id: i32,
    message: Message,
    nowait: bool,
) -> Result<Sent, Refusal> {
    task.reported("msgsnd", send(task, id, message, nowait))
}

/// Tells whether a message of `size` bytes would have to wait now, for one that has waited; a
/// refusal is one that it meets when it comes.
pub fn msgsnd_waits(task: &StdArc<Task>, id: i32, size: u64) -> bool {
    let look = || {
        let caller = Caller::of(task)?;
        let state = caller.objects().state.lock();
        let queue = state.msg.find(id)?;
        queue.perm.permits(&caller.cred, caller.owner(), WRITE)?;
        Ok::<_, Refusal>(queue.object.is_full(size))
    };
    look().unwrap_or(false)
}

fn send(task: &Task, id: i32, message: Message, nowait: bool) -> Result<Sent, Refusal> {
    let caller = Caller::of(task)?;
    let mut state = caller.objects().state.lock();
    let size = message.text.len() as u64;
    check_message(size, message.kind, state.limits.msgmax)?;
    state.msg.find(id)?.perm.permits(&caller.cred, caller.owner(), WRITE)?;
    let queue = state.msg.find_mut(id).ok_or_else(|| unknown(id))?;
    let queue = &mut queue.object;
    if queue.is_full(size) {
        if nowait {
            return Err(Rule::MsgQueueFull
                .refuse()
                .with("bytes", queue.bytes)
                .with("size", size)
                .with("room", queue.room));
        }
        return Ok(Sent::Waits);
    }
    queue.bytes += size;
    queue.messages.push_back(message);
    Ok(Sent::Done)
}

/// What msgrcv(2) asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receive {
    /// How many bytes the caller has room for.
    pub size: i64,
    /// 0: the first message; above: the first of this type; below: the first of the lowest type
    /// up to its absolute value.
    pub kind: i64,
    /// `MSG_EXCEPT`: the first message of another type than `kind`, if that is above 0.
    pub except: bool,
    /// `MSG_NOERROR`: a longer message is cut.
    pub cut: bool,
    /// `IPC_NOWAIT`
    pub nowait: bool,
    /// `MSG_COPY`: the message at place `kind` is copied, and stays in the queue.
    pub copy: bool,
}

impl Receive {
    /// The place of the message it wants.
    fn find(&self, messages: &VecDeque<Message>) -> Option<usize> {
        let kind = self.kind;
        if self.copy {
            return usize::try_from(kind).ok().filter(|place| *place < messages.len());
        }
        match kind {
            0 => (!messages.is_empty()).then_some(0),
            1.. => messages.iter().position(|message| (message.kind == kind) != self.except),
            _ => {
                let most = kind.checked_neg().unwrap_or(i64::MAX);
                let fits = messages.iter().enumerate().filter(|(_, one)| one.kind <= most);
                fits.min_by_key(|(_, message)| message.kind).map(|(place, _)| place)
            }
        }
    }
}

/// What became of msgrcv(2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// This message; it is out of the queue.
    Done(Message),
    /// There is none and the caller has to wait. Make the call again; if the queue is gone by
    /// that time, the waiting caller gets EIDRM.
    Waits,
}

/// msgrcv(2), without sleeping.
pub fn msgrcv(task: &StdArc<Task>, id: i32, want: Receive) -> Result<Received, Refusal> {
    task.reported("msgrcv", receive(task, id, want, Attempt::First))
}

/// The same for a caller that has been told to wait: whether it may was judged when it came.
/// A mere look takes nothing, and gives a message without text.
pub fn msgrcv_again(
    task: &StdArc<Task>,
    id: i32,
    want: Receive,
    attempt: Attempt,
) -> Result<Received, Refusal> {
    receive(task, id, want, attempt)
}

fn receive(task: &Task, id: i32, want: Receive, attempt: Attempt) -> Result<Received, Refusal> {
    let Ok(size) = u64::try_from(want.size) else {
        return Err(Rule::MsgSizeInvalid.refuse().with("size", want.size));
    };
    let caller = Caller::of(task)?;
    let mut state = caller.objects().state.lock();
    let perm = state.msg.find(id)?.perm;
    if attempt == Attempt::First {
        perm.permits(&caller.cred, caller.owner(), READ)?;
    }
    let queue = state.msg.find_mut(id).ok_or_else(|| unknown(id))?;
    let queue = &mut queue.object;
    let Some(place) = want.find(&queue.messages) else {
        if want.nowait {
            return Err(Rule::MsgNoneWanted.refuse().with("type", want.kind));
        }
        return Ok(Received::Waits);
    };
    let len = queue.messages.get(place).map_or(0, |message| message.text.len() as u64);
    if len > size && !want.cut {
        return Err(Rule::MsgNoRoom.refuse().with("message", len).with("size", size));
    }
    if attempt == Attempt::Look {
        return Ok(Received::Done(Message { kind: 0, text: Vec::new() }));
    }
    if want.copy {
        let Some(mut message) = queue.messages.get(place).cloned() else {
            return Ok(Received::Waits);
        };
        message.text.truncate(size as usize);
        return Ok(Received::Done(message));
    }
    let Some(mut message) = queue.messages.remove(place) else { return Ok(Received::Waits) };
    queue.bytes -= len;
    message.text.truncate(size as usize);
    Ok(Received::Done(message))
}

/// `IPC_STAT`, `MSG_STAT`, `MSG_STAT_ANY`.
pub fn msg_stat(task: &StdArc<Task>, by: By) -> Result<MsgStat, Refusal> {
    let stat = || {
        let caller = Caller::of(task)?;
        let state = caller.objects().state.lock();
        let queue = state.msg.look_up(by)?;
        if !matches!(by, By::IndexAny(_)) {
            queue.perm.permits(&caller.cred, caller.owner(), READ)?;
        }
        let (messages, bytes) = queue.object.usage();
        Ok(MsgStat { id: queue.id, perm: queue.perm, messages, bytes, room: queue.object.room })
    };
    task.reported("msgctl", stat())
}

/// `IPC_SET`; `room` is the new `msg_qbytes`.
pub fn msg_set(task: &StdArc<Task>, id: i32, to: &SetPerm, room: u64) -> Result<(), Refusal> {
    let set = || {
        let caller = Caller::of(task)?;
        let mut state = caller.objects().state.lock();
        state.msg.find(id)?.perm.is_theirs(&caller.cred, caller.owner())?;
        let limit = state.limits.msgmnb;
        if room > limit as u64 && !capable(&caller.cred, Cap::SYS_RESOURCE) {
            return Err(Rule::MsgRoomNeedsResource
                .refuse()
                .with("bytes", room)
                .with("limit", limit));
        }
        let queue = state.msg.find_mut(id).ok_or_else(|| unknown(id))?;
        queue.perm.set(to, &caller.cred)?;
        queue.object.room = room;
        Ok(())
    };
    task.reported("msgctl", set())
}

/// `IPC_RMID`.
pub fn msg_remove(task: &StdArc<Task>, id: i32) -> Result<(), Refusal> {
    let remove = || {
        let caller = Caller::of(task)?;
        let mut state = caller.objects().state.lock();
        state.msg.find(id)?.perm.is_theirs(&caller.cred, caller.owner())?;
        drop(state.msg.remove(id));
        Ok(())
    };
    task.reported("msgctl", remove())
}
