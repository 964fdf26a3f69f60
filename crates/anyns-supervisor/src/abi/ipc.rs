//! The structures of System V objects, as 64-bit kernels lay them out.

use nsproxy::Cred;
use nsproxy::ipc::{IpcLimits, IpcUsage, Perm, SetPerm};

use super::Fields;

/// What `IPC_SET` reads: enough of any of the three structures.
pub(crate) const SET_SIZE: [usize; 3] = [SEMID, SHMID, MSQID];

const SEMID: usize = 104;
const SHMID: usize = 112;
const MSQID: usize = 120;
/// Where `msg_qbytes` is.
const QBYTES: usize = 88;

/// Bits of a segment's mode: removed but attached, locked.
const SHM_DEST: u32 = 0o1000;
const SHM_LOCKED: u32 = 0o2000;

/// The owner and mode, as the reader sees them.
fn perm(fields: &mut Fields<'_>, reader: &Cred, perm: &Perm, id: i32, more: u32) {
    let user = &reader.user;
    fields
        .u32(perm.key as u32)
        .u32(user.uid_in(perm.uid))
        .u32(user.gid_in(perm.gid))
        .u32(user.uid_in(perm.cuid))
        .u32(user.gid_in(perm.cgid))
        .u32(perm.mode | more)
        .u16((id >> 15) as u16)
        .u16(0)
        .u32(0)
        .u64(0)
        .u64(0);
}

/// `struct semid64_ds`.
pub(crate) struct SemDs<'a> {
    pub(crate) reader: &'a Cred,
    pub(crate) perm: &'a Perm,
    pub(crate) id: i32,
    pub(crate) operated_at: i64,
    pub(crate) changed_at: i64,
    pub(crate) count: usize,
}

impl SemDs<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEMID);
        let mut fields = Fields::new(&mut out);
        perm(&mut fields, self.reader, self.perm, self.id, 0);
        fields
            .i64(self.operated_at)
            .u64(0)
            .i64(self.changed_at)
            .u64(0)
            .u64(self.count as u64)
            .pad_to(SEMID);
        out
    }
}

/// `struct shmid64_ds`.
pub(crate) struct ShmDs<'a> {
    pub(crate) reader: &'a Cred,
    pub(crate) perm: &'a Perm,
    pub(crate) id: i32,
    pub(crate) doomed: bool,
    pub(crate) locked: bool,
    pub(crate) size: u64,
    /// Attached, detached, changed.
    pub(crate) times: [i64; 3],
    /// The maker, and who attached or detached it last.
    pub(crate) pids: [i32; 2],
    pub(crate) attached: u64,
}

impl ShmDs<'_> {
    pub(crate) fn mode_bits(&self) -> u32 {
        let bit = |is: bool, bit| if is { bit } else { 0 };
        bit(self.doomed, SHM_DEST) | bit(self.locked, SHM_LOCKED)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SHMID);
        let mut fields = Fields::new(&mut out);
        perm(&mut fields, self.reader, self.perm, self.id, self.mode_bits());
        let [attached_at, detached_at, changed_at] = self.times;
        fields
            .u64(self.size)
            .i64(attached_at)
            .i64(detached_at)
            .i64(changed_at)
            .u32(self.pids[0] as u32)
            .u32(self.pids[1] as u32)
            .u64(self.attached)
            .pad_to(SHMID);
        out
    }
}

/// `struct msqid64_ds`.
pub(crate) struct MsgDs<'a> {
    pub(crate) reader: &'a Cred,
    pub(crate) perm: &'a Perm,
    pub(crate) id: i32,
    /// Sent, received, changed.
    pub(crate) times: [i64; 3],
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
    pub(crate) room: u64,
    /// The last sender and the last receiver.
    pub(crate) pids: [i32; 2],
}

impl MsgDs<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MSQID);
        let mut fields = Fields::new(&mut out);
        perm(&mut fields, self.reader, self.perm, self.id, 0);
        let [sent_at, received_at, changed_at] = self.times;
        fields
            .i64(sent_at)
            .i64(received_at)
            .i64(changed_at)
            .u64(self.bytes)
            .u64(self.messages)
            .u64(self.room)
            .u32(self.pids[0] as u32)
            .u32(self.pids[1] as u32)
            .pad_to(MSQID);
        out
    }
}

/// What `IPC_SET` gives: owner and mode.
pub(crate) fn set_perm(block: &[u8]) -> SetPerm {
    SetPerm { uid: u32_at(block, 4), gid: u32_at(block, 8), mode: u32_at(block, 20) }
}

/// And for a queue: how many bytes it is to hold.
pub(crate) fn set_room(block: &[u8]) -> u64 {
    block[QBYTES..QBYTES + 8].try_into().map_or(0, u64::from_ne_bytes)
}

fn u32_at(block: &[u8], at: usize) -> u32 {
    block[at..at + 4].try_into().map_or(0, u32::from_ne_bytes)
}

/// `struct seminfo`. With `usage` it says how much there is; the rest are numbers of old that the
/// kernel keeps as they were.
pub(crate) fn seminfo(limits: &IpcLimits, usage: Option<&IpcUsage>) -> Vec<u8> {
    let [per_set, all, operations, sets] = limits.sem;
    let (used, semaphores) =
        usage.map_or((20, 32767), |usage| (usage.sets.0 as i32, usage.semaphores));
    words(&[
        SEM_ALL,
        sets,
        all,
        SEM_ALL,
        per_set,
        operations,
        SEM_OPERATIONS,
        used,
        32767,
        semaphores,
    ])
}

/// Semaphores in all sets, and operations in one call, as compiled in.
const SEM_ALL: i32 = 1_024_000_000;
const SEM_OPERATIONS: i32 = 500;

/// `struct msginfo`.
pub(crate) fn msginfo(limits: &IpcLimits, usage: Option<&IpcUsage>) -> Vec<u8> {
    let (pool, map, headers) = match usage {
        Some(usage) => (usage.queues.0 as i32, usage.messages.0 as i32, usage.messages.1 as i32),
        None => (512_000, 16384, 16384),
    };
    let mut out = words(&[pool, map, limits.msgmax, limits.msgmnb, limits.msgmni, 16, headers]);
    Fields::new(&mut out).u16(0xffff).u16(0);
    out
}

/// `struct shminfo64`.
pub(crate) fn shminfo(limits: &IpcLimits) -> Vec<u8> {
    let mut out = Vec::with_capacity(72);
    let count = limits.shmmni as u64;
    Fields::new(&mut out)
        .u64(limits.shmmax)
        .u64(1)
        .u64(count)
        .u64(count)
        .u64(limits.shmall)
        .pad_to(72);
    out
}

/// `struct shm_info`: segments, pages, and of these how many are in memory and swapped out.
pub(crate) fn shm_info(usage: &IpcUsage, resident: u64, swapped: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(48);
    Fields::new(&mut out)
        .u32(usage.segments.0 as u32)
        .u32(0)
        .u64(usage.pages)
        .u64(resident)
        .u64(swapped)
        .pad_to(48);
    out
}

fn words(words: &[i32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
