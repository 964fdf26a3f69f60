//! IPC: System V message queues, semaphores and shared memory, POSIX message queues.
//!
//! State: a table of objects for each of the three sorts, the names of POSIX queues, the limits.
//! A new namespace is empty and has the limits that are compiled in, whatever its maker's are.
//! Calls: semget, semop, semctl; shmget, shmat, shmdt, shmctl; msgget, msgsnd, msgrcv, msgctl;
//! mq_open, mq_unlink; the files of `/proc/sys/kernel` and `/proc/sys/fs/mqueue` about them.
//! Rules: `Ipc*`, `Sem*`, `Shm*`, `Msg*`, `Mq*`.
//!
//! Two things belong to a task and not to the namespace: its list of pending semaphore undos,
//! which threads share, and the segments it made.
//!
//! Not here: the bytes of shared memory and of POSIX messages; sleeping (a call that has to wait
//! says so, and the embedder makes it again); who operated last, and when; a mount of the mqueue
//! file system.
//!
//! Locks: a task's part, then a list of undos, then one namespace's state. Objects of a task or of
//! another namespace are dropped under none of them.

mod ids;
mod limits;
mod mqmount;
mod mqueue;
mod msg;
mod part;
mod perm;
mod sem;
mod semop;
mod shm;
mod sysctl;
mod undo;

pub use ids::By;
pub use limits::IpcLimits;
pub use mqmount::MqMount;
pub(crate) use mqueue::MqBytes;
pub use mqueue::{MqOpen, MqQueue, OpenMq, mq_open, mq_unlink};
pub use msg::{Message, MsgStat, Receive, Received, Sent, msg_remove, msg_set, msg_stat, msgget};
pub use msg::{check_msgsnd, msgget_with, msgrcv, msgrcv_again, msgsnd, msgsnd_waits};
pub use part::{Attempt, Part};
pub use perm::{Perm, SetPerm};
pub use sem::{SemStat, sem_get_all, sem_remove, sem_set, sem_set_all, sem_set_value, sem_stat};
pub use sem::{may_sem_set_all, sem_value, semget, semget_with};
pub use semop::{SemOp, Semop, check_semop, semop, semop_again};
pub use shm::{
    Attach, Attachment, ShmStat, may_shmat, shm_lock, shm_remove, shm_set, shm_stat, shmat, shmget,
    shmget_with,
};
pub use sysctl::{IpcFile, may_open_ipc_file, read_ipc_file, write_ipc_file};
pub(crate) use undo::{TaskIpc, disown};

use super::{Draft, Identity, Kind, Maker, Namespace, Number};
use crate::{
    cred::Cred,
    id::Kuid,
    namespace::user::UserNs,
    rule::{Refusal, Refuse, Rule},
    sync::{Arc, Mutex},
    task::Task,
};
use alloc::sync::Arc as StdArc;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use ids::Table;

/// An IPC namespace (`struct ipc_namespace`).
pub struct IpcNs {
    objects: StdArc<Objects>,
    identity: Identity,
}

/// What is in a namespace. Attached segments and pending undos refer to it weakly: it goes with
/// its last reference, whoever still holds a piece of it.
pub(crate) struct Objects {
    state: Mutex<State>,
    /// POSIX queues that exist, under a name or in an open descriptor.
    queues: AtomicU32,
    /// Who may remove any POSIX queue: the maker, as a file's owner.
    maker: Kuid,
}

/// The tables and limits of one namespace.
#[derive(Default)]
struct State {
    limits: IpcLimits,
    sem: Table<sem::Set>,
    /// Semaphores in all sets.
    semaphores: i32,
    msg: Table<msg::Queue>,
    shm: Table<shm::Segment>,
    /// Pages of all segments.
    pages: u64,
    /// Also held by mounts that show them, which may outlive the namespace.
    mq: StdArc<Mutex<mqueue::Names>>,
}

/// How much of everything there is, and the highest index of each table: what `IPC_INFO` and its
/// relatives say beside the limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IpcUsage {
    /// Message queues, and the highest index of one.
    pub queues: (usize, i32),
    /// Messages, and their bytes.
    pub messages: (u64, u64),
    /// Semaphore sets, and the highest index of one.
    pub sets: (usize, i32),
    /// Semaphores of all sets.
    pub semaphores: i32,
    /// Segments, and the highest index of one.
    pub segments: (usize, i32),
    /// Pages of all segments.
    pub pages: u64,
}

impl IpcNs {
    pub(crate) fn initial(user: &Arc<UserNs>) -> Arc<IpcNs> {
        IpcNs::build(Kuid::ROOT, Identity::initial(user, Kind::Ipc))
    }

    fn build(maker: Kuid, identity: Identity) -> Arc<IpcNs> {
        let state = Mutex::new(State::default());
        Arc::new(IpcNs {
            objects: StdArc::new(Objects { state, queues: AtomicU32::new(0), maker }),
            identity,
        })
    }

    /// Its inode number.
    pub fn inode(&self) -> u32 {
        self.identity.inode()
    }

    /// The user namespace that owns it.
    pub fn owner(&self) -> Arc<UserNs> {
        Arc::clone(self.identity.owner())
    }

    /// Says whether it is the one that was there first.
    pub fn is_initial(&self) -> bool {
        self.identity.is_initial()
    }

    /// Its limits now.
    pub fn limits(&self) -> IpcLimits {
        self.objects.state.lock().limits
    }

    /// How much of everything there is now.
    pub fn usage(&self) -> IpcUsage {
        let state = self.objects.state.lock();
        let each = || state.msg.iter().map(|entry| entry.object.usage());
        IpcUsage {
            queues: (state.msg.len(), state.msg.highest()),
            messages: (each().map(|(count, _)| count).sum(), each().map(|(_, bytes)| bytes).sum()),
            sets: (state.sem.len(), state.sem.highest()),
            semaphores: state.semaphores,
            segments: (state.shm.len(), state.shm.highest()),
            pages: state.pages,
        }
    }

    /// How many POSIX queues exist, those that only a descriptor holds included.
    pub fn posix_queues(&self) -> u32 {
        self.objects.queues.load(Ordering::Relaxed)
    }
}

impl Namespace for IpcNs {
    const KIND: Kind = Kind::Ipc;

    fn number(&self) -> &Number {
        self.identity.number()
    }

    fn belongs_to(&self) -> Option<&Arc<UserNs>> {
        Some(self.identity.owner())
    }

    fn copy(old: &Arc<IpcNs>, maker: &Maker<'_>) -> Result<Arc<IpcNs>, Refusal> {
        let identity = Identity::new(maker, &**old)?;
        Ok(IpcNs::build(maker.cred.fsuid, identity))
    }

    fn install(this: &Arc<IpcNs>, draft: &mut Draft<'_>) -> Result<(), Refusal> {
        draft.joiner_is_admin(this.identity.owner())?;
        draft.proxy.ipc = Arc::clone(this);
        Ok(())
    }
}

impl fmt::Debug for IpcNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IpcNs")
            .field("inode", &self.inode())
            .field("owner", &self.identity.owner().inode())
            .field("usage", &self.usage())
            .finish()
    }
}

/// Who makes a call, and the namespace it is made in.
struct Caller {
    ns: Arc<IpcNs>,
    cred: Arc<Cred>,
}

impl Caller {
    fn of(task: &Task) -> Result<Caller, Refusal> {
        Ok(Caller { ns: Arc::clone(&task.alive()?.ipc), cred: task.cred() })
    }

    fn owner(&self) -> &UserNs {
        self.ns.identity.owner()
    }

    fn objects(&self) -> &StdArc<Objects> {
        &self.ns.objects
    }
}

/// Which sort of System V object a `*ctl` call is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Sort {
    /// Message queues.
    Msg,
    /// Semaphore sets.
    Sem,
    /// Shared memory.
    Shm,
}

/// What a `*ctl` call is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "the names of the commands, less their prefixes")]
pub enum Command {
    Rmid,
    Set,
    Stat,
    Info,
    IndexStat,
    IndexStatAny,
    Usage,
    GetPid,
    GetVal,
    GetAll,
    GetNcnt,
    GetZcnt,
    SetVal,
    SetAll,
    Lock,
    Unlock,
}

impl Command {
    /// Reads the command of a `*ctl` call. That `id` is none at all is judged before it, whether the
    /// command needs one or not; everything else about it after.
    pub fn of(sort: Sort, id: i32, number: i32) -> Result<Command, Refusal> {
        if id < 0 {
            return Err(ids::unknown(id));
        }
        Ok(match (sort, number) {
            (_, 0) => Command::Rmid,
            (_, 1) => Command::Set,
            (_, 2) => Command::Stat,
            (_, 3) => Command::Info,
            (Sort::Msg, 11) | (Sort::Shm, 13) | (Sort::Sem, 18) => Command::IndexStat,
            (Sort::Msg, 12) | (Sort::Shm, 14) | (Sort::Sem, 19) => Command::Usage,
            (Sort::Msg, 13) | (Sort::Shm, 15) | (Sort::Sem, 20) => Command::IndexStatAny,
            (Sort::Sem, 11) => Command::GetPid,
            (Sort::Sem, 12) => Command::GetVal,
            (Sort::Sem, 13) => Command::GetAll,
            (Sort::Sem, 14) => Command::GetNcnt,
            (Sort::Sem, 15) => Command::GetZcnt,
            (Sort::Sem, 16) => Command::SetVal,
            (Sort::Sem, 17) => Command::SetAll,
            (Sort::Shm, 11) => Command::Lock,
            (Sort::Shm, 12) => Command::Unlock,
            _ => return Err(Rule::IpcCommandUnknown.refuse().with("command", number)),
        })
    }
}
