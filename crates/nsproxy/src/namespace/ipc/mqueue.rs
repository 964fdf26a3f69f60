//! POSIX message queues: mq_open(2), mq_unlink(2). Messages are the embedder's.
//!
//! A queue is a file: it has an owner and a mode, and lives as long as its name or a descriptor.
//! The directory of the names belongs to the namespace's maker; everybody may add to it, and
//! remove what is their own.
//!
//! The bytes of a queue are counted at every level of user namespaces, but compared with the limit
//! at the maker's own: the ceilings that a user namespace takes over from its maker's resource
//! limits are not here, because those limits are the embedder's.

use super::{Caller, Objects, sysctl::MQ_HARD};
use crate::{
    Kind,
    capability::{Cap, capable},
    cred::Cred,
    id::{Kgid, Kuid},
    namespace::{Namespace, user::UserNs},
    rule::{Refusal, Refuse, Rule, Value},
    sync::{Arc, Mutex},
    system::Kernel,
    task::Task,
};
use alloc::{
    collections::BTreeMap,
    sync::{Arc as StdArc, Weak},
    vec::Vec,
};
use core::sync::atomic::{AtomicU32, Ordering};

/// The longest name.
const NAME_MAX: usize = 255;
/// What the kernel needs for each message that a queue may hold: the message's head, and, up to
/// as many as there are priorities, a place in the tree.
const MESSAGE_HEAD: u64 = 48;
const TREE_NODE: u64 = 48;
const PRIORITIES: u64 = 32768;

/// The queues that have a name.
pub(super) type Names = BTreeMap<Vec<u8>, StdArc<MqQueue>>;

/// Bytes of POSIX queues, by user namespace and user: what RLIMIT_MSGQUEUE is compared with.
#[derive(Default)]
pub(crate) struct MqBytes(Mutex<BTreeMap<(u64, Kuid), u64>>);

/// What one queue costs its maker, and the makers of the user namespaces above.
struct Bytes {
    kernel: Arc<Kernel>,
    user: Arc<UserNs>,
    uid: Kuid,
    bytes: u64,
}

impl Bytes {
    fn take(task: &Task, cred: &Cred, bytes: u64, limit: Option<u64>) -> Result<Bytes, Refusal> {
        let mut all = task.kernel.mq_bytes.0.lock();
        let used = all.get(&(cred.user.number().id(), cred.uid)).copied().unwrap_or(0);
        let after = used.saturating_add(bytes);
        if limit.is_some_and(|limit| after > limit) {
            return Err(Rule::MqBytesReached
                .refuse()
                .with("in use", used)
                .with("bytes", bytes)
                .with("limit", limit.unwrap_or(0)));
        }
        let (user, uid) = (Arc::clone(&cred.user), cred.uid);
        let taken = Bytes { kernel: Arc::clone(&task.kernel), user, uid, bytes };
        taken.each(|key| *all.entry(key).or_default() += bytes);
        Ok(taken)
    }

    /// Goes through the levels, from the maker's upwards.
    fn each(&self, mut act: impl FnMut((u64, Kuid))) {
        let (mut at, mut whom) = (&self.user, self.uid);
        loop {
            act((at.number().id(), whom));
            match at.parent_ref() {
                Some(parent) => (whom, at) = (at.owner().0, parent),
                None => return,
            }
        }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        let mut all = self.kernel.mq_bytes.0.lock();
        self.each(|key| {
            let left = all.get(&key).map_or(0, |used| used.saturating_sub(self.bytes));
            match left {
                0 => drop(all.remove(&key)),
                left => drop(all.insert(key, left)),
            }
        });
    }
}

/// A POSIX message queue: how much it may hold, and whose it is. Holding one is having it open.
pub struct MqQueue {
    uid: Kuid,
    gid: Kgid,
    mode: AtomicU32,
    messages: u32,
    size: u32,
    objects: Weak<Objects>,
    _bytes: Bytes,
}

impl MqQueue {
    /// How many messages it may hold (`mq_maxmsg`), and how long each may be (`mq_msgsize`).
    pub fn attributes(&self) -> (u32, u32) {
        (self.messages, self.size)
    }

    /// Owner, group and mode.
    pub fn owner(&self) -> (Kuid, Kgid, u32) {
        (self.uid, self.gid, self.mode())
    }

    fn mode(&self) -> u32 {
        self.mode.load(Ordering::Relaxed)
    }

    /// As chmod(2) of its file.
    pub(super) fn set_mode(&self, mode: u32) {
        self.mode.store(mode & 0o7777, Ordering::Relaxed);
    }

    fn permits(&self, cred: &Cred, read: bool, write: bool) -> Result<(), Refusal> {
        let wanted = u32::from(read) << 2 | u32::from(write) << 1;
        let mode = self.mode();
        let granted = match () {
            _ if cred.fsuid == self.uid => mode >> 6,
            _ if cred.in_group(self.gid) => mode >> 3,
            _ => mode,
        };
        let overrides = self.is_mapped(cred)
            && (cred.has_own(Cap::DAC_OVERRIDE) || !write && cred.has_own(Cap::DAC_READ_SEARCH));
        if wanted & !granted == 0 || overrides {
            return Ok(());
        }
        Err(Rule::MqModeForbids.refuse().with("owner", self.uid).with("mode", mode))
    }

    /// A capability over files counts only where both ids of the file are mapped.
    fn is_mapped(&self, cred: &Cred) -> bool {
        cred.user.find_uid(self.uid).is_some() && cred.user.find_gid(self.gid).is_some()
    }
}

impl Drop for MqQueue {
    fn drop(&mut self) {
        if let Some(objects) = self.objects.upgrade() {
            objects.queues.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl core::fmt::Debug for MqQueue {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("MqQueue")
            .field("owner", &self.owner())
            .field("attributes", &self.attributes())
            .finish()
    }
}

/// How mq_open(2) is called.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct MqOpen {
    /// The access mode: 0 reads, 1 writes, 2 both; 3 is a mistake.
    pub access: u8,
    /// `O_CREAT`
    pub create: bool,
    /// `O_EXCL`
    pub exclusive: bool,
    /// The mode of a new queue, without what the caller's umask takes away.
    pub mode: u32,
    /// `mq_maxmsg` and `mq_msgsize`, if the caller says.
    pub attributes: Option<(i64, i64)>,
    /// The caller's RLIMIT_MSGQUEUE in bytes; `None` for no limit.
    pub limit: Option<u64>,
}

/// What mq_open(2) gives: a queue and what may be done with it.
#[derive(Clone, Debug)]
pub struct OpenMq {
    /// The queue.
    pub queue: StdArc<MqQueue>,
    /// Messages may be received.
    pub reads: bool,
    /// Messages may be sent.
    pub writes: bool,
    /// The call has made it.
    pub made: bool,
}

/// mq_open(2). `name` is as the system call has it: the library has taken off the slash.
pub fn mq_open(task: &StdArc<Task>, name: &[u8], how: &MqOpen) -> Result<OpenMq, Refusal> {
    task.reported("mq_open", open(task, name, how))
}

fn open(task: &Task, name: &[u8], how: &MqOpen) -> Result<OpenMq, Refusal> {
    check_name(name)?;
    open_in(&Caller::of(task)?, task, name, how)
}

/// Opens or makes a queue in the caller's namespace, whoever's that is.
pub(super) fn open_in(
    caller: &Caller,
    task: &Task,
    name: &[u8],
    how: &MqOpen,
) -> Result<OpenMq, Refusal> {
    let (reads, writes) = (matches!(how.access, 0 | 2), matches!(how.access, 1 | 2));
    let state = caller.objects().state.lock();
    let mut names = state.mq.lock();
    if let Some(queue) = names.get(name) {
        return open_known(queue, &caller.cred, how);
    }
    if !how.create {
        return Err(name_unknown());
    }
    let (user, cred) = (caller.owner(), &caller.cred);
    if user.find_uid(cred.fsuid).is_none() || user.find_gid(cred.fsgid).is_none() {
        return Err(Rule::MqIdsUnmapped
            .refuse()
            .with("fsuid", cred.fsuid)
            .with("fsgid", cred.fsgid)
            .with("owner", Value::Namespace(Kind::User, user.inode())));
    }
    let (exempt, limits) = (capable(&caller.cred, Cap::SYS_RESOURCE), state.limits);
    let in_use = caller.ns.posix_queues();
    if in_use >= limits.mq_queues && !exempt {
        return Err(Rule::MqTooMany
            .refuse()
            .with("in use", in_use)
            .with("limit", limits.mq_queues));
    }
    let (messages, size) = match how.attributes {
        None => (
            limits.mq_messages.min(limits.mq_messages_default),
            limits.mq_size.min(limits.mq_size_default),
        ),
        Some(wanted) => {
            let (messages, size) =
                if exempt { MQ_HARD } else { (limits.mq_messages, limits.mq_size) };
            (attribute(wanted.0, messages)?, attribute(wanted.1, size)?)
        }
    };
    let count = u64::from(messages);
    let bytes = count * (MESSAGE_HEAD + u64::from(size)) + count.min(PRIORITIES) * TREE_NODE;
    let bytes = Bytes::take(task, &caller.cred, bytes, how.limit)?;
    caller.objects().queues.fetch_add(1, Ordering::Relaxed);
    let queue = StdArc::new(MqQueue {
        uid: caller.cred.fsuid,
        gid: caller.cred.fsgid,
        mode: AtomicU32::new(how.mode & 0o7777),
        messages,
        size,
        objects: StdArc::downgrade(caller.objects()),
        _bytes: bytes,
    });
    names.insert(Vec::from(name), StdArc::clone(&queue));
    Ok(OpenMq { queue, reads, writes, made: true })
}

/// Opens a queue that is there.
pub(super) fn open_known(
    queue: &StdArc<MqQueue>,
    cred: &Cred,
    how: &MqOpen,
) -> Result<OpenMq, Refusal> {
    let (reads, writes) = (matches!(how.access, 0 | 2), matches!(how.access, 1 | 2));
    if how.create && how.exclusive {
        return Err(Rule::MqNameTaken.refuse());
    }
    if how.access > 2 {
        return Err(Rule::MqAccessInvalid.refuse());
    }
    queue.permits(cred, reads, writes)?;
    Ok(OpenMq { queue: StdArc::clone(queue), reads, writes, made: false })
}

fn attribute(wanted: i64, limit: u32) -> Result<u32, Refusal> {
    match u32::try_from(wanted) {
        Ok(value) if (1..=limit).contains(&value) => Ok(value),
        _ => Err(Rule::MqAttributeRange.refuse().with("wanted", wanted).with("limit", limit)),
    }
}

fn name_unknown() -> Refusal {
    Rule::MqNameUnknown.refuse()
}

fn check_name(name: &[u8]) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Rule::MqNameEmpty.refuse());
    }
    if matches!(name, b"." | b"..") || name.contains(&b'/') {
        return Err(Rule::MqNameInvalid.refuse());
    }
    if name.len() > NAME_MAX {
        return Err(Rule::MqNameTooLong.refuse().with("length", name.len()));
    }
    Ok(())
}

/// mq_unlink(2). The queue lives on in open descriptors.
pub fn mq_unlink(task: &StdArc<Task>, name: &[u8]) -> Result<(), Refusal> {
    let unlink = || {
        check_name(name)?;
        let caller = Caller::of(task)?;
        let names = StdArc::clone(&caller.objects().state.lock().mq);
        unlink_in(&names, caller.objects().maker, &caller.cred, name)
    };
    task.reported("mq_unlink", unlink())
}

/// Takes a queue's name away, in a namespace of this maker's.
pub(super) fn unlink_in(
    names: &Mutex<Names>,
    maker: Kuid,
    cred: &Cred,
    name: &[u8],
) -> Result<(), Refusal> {
    let mut names = names.lock();
    let Some(queue) = names.get(name) else { return Err(name_unknown()) };
    let theirs = [queue.uid, maker].contains(&cred.fsuid);
    if !(theirs || queue.is_mapped(cred) && cred.has_own(Cap::FOWNER)) {
        return Err(Rule::MqNotTheirs.refuse().with("owner", queue.uid));
    }
    let queue = names.remove(name);
    drop(names);
    drop(queue);
    Ok(())
}
