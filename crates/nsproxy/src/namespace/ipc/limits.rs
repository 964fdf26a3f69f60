//! The limits of an ipc namespace, as compiled in.

/// The largest value of a semaphore, and of a pending undo (`SEMVMX`, `SEMAEM`).
pub(super) const SEMAPHORE_MAX: i32 = 32767;
/// Bytes of a page: shared memory is counted in pages.
pub(super) const PAGE: u64 = 4096;
/// `ULONG_MAX - (1 << 24)`: as much as there can be, without overflow in common additions.
const SHARED_MAX: u64 = u64::MAX - (1 << 24);

/// What `/proc/sys/kernel/{msg*,sem,shm*}` and `/proc/sys/fs/mqueue` of one namespace hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IpcLimits {
    /// The longest message, in bytes.
    pub msgmax: i32,
    /// The bytes that a new message queue holds.
    pub msgmnb: i32,
    /// How many message queues there may be.
    pub msgmni: i32,
    /// `SEMMSL`, `SEMMNS`, `SEMOPM`, `SEMMNI`: semaphores in a set, semaphores in all, operations
    /// in one semop(2), sets.
    pub sem: [i32; 4],
    /// The largest segment, in bytes.
    pub shmmax: u64,
    /// The pages of all segments.
    pub shmall: u64,
    /// How many segments there may be.
    pub shmmni: i32,
    /// Segments that nobody has attached go with their maker.
    pub shm_rmid_forced: bool,
    /// How many POSIX queues there may be, for those without privilege.
    pub mq_queues: u32,
    /// The messages that a POSIX queue may be asked to hold.
    pub mq_messages: u32,
    /// The message size, in bytes, that a POSIX queue may be asked to take.
    pub mq_size: u32,
    /// The messages that a POSIX queue holds if its maker does not say.
    pub mq_messages_default: u32,
    /// The message size, in bytes, of a POSIX queue if its maker does not say.
    pub mq_size_default: u32,
}

impl Default for IpcLimits {
    fn default() -> IpcLimits {
        IpcLimits {
            msgmax: 8192,
            msgmnb: 16384,
            msgmni: 32000,
            sem: [32000, 1_024_000_000, 500, 32000],
            shmmax: SHARED_MAX,
            shmall: SHARED_MAX,
            shmmni: 4096,
            shm_rmid_forced: false,
            mq_queues: 256,
            mq_messages: 10,
            mq_size: 8192,
            mq_messages_default: 10,
            mq_size_default: 8192,
        }
    }
}

impl IpcLimits {
    pub(super) fn per_set(&self) -> i32 {
        self.sem[0]
    }

    pub(super) fn semaphores(&self) -> i32 {
        self.sem[1]
    }

    pub(super) fn operations(&self) -> i32 {
        self.sem[2]
    }

    pub(super) fn sets(&self) -> i32 {
        self.sem[3]
    }
}
