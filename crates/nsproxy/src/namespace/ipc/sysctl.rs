//! The files of `/proc/sys/kernel` and `/proc/sys/fs/mqueue` that show an ipc namespace.
//!
//! A file shows the namespace of whoever *opened* it, and its owner is the owner's root: user and
//! group 0 of the user namespace that owns the ipc namespace.

use super::{IpcLimits, IpcNs, State, ids::INDEX_MAX};
use crate::{
    Kind,
    capability::Cap,
    cred::Cred,
    id::{Kgid, Kuid},
    number::{Number, numbers},
    rule::{Refusal, Refuse, Rule, Value},
};
use alloc::{format, string::String};

/// The largest value that an `int` holds.
const INT: i64 = i32::MAX as i64;
/// The hard limits of POSIX queues: messages and message size.
pub(super) const MQ_HARD: (u32, u32) = (65_536, 16_777_216);
/// The least message size that can be the limit.
const MQ_SIZE_MIN: i64 = 128;

macro_rules! files {
    ($($name:ident $text:literal;)*) => {
        /// One of the files.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum IpcFile {
            $(#[doc = concat!("`/proc/sys/", $text, "`")] $name,)*
        }

        impl IpcFile {
            /// All of them.
            pub const ALL: &'static [IpcFile] = &[$(IpcFile::$name),*];

            /// Its path below `/proc/sys`.
            pub const fn path(self) -> &'static str {
                match self { $(IpcFile::$name => $text,)* }
            }
        }
    };
}

files! {
    Msgmax "kernel/msgmax";
    Msgmnb "kernel/msgmnb";
    Msgmni "kernel/msgmni";
    AutoMsgmni "kernel/auto_msgmni";
    MsgNextId "kernel/msg_next_id";
    Sem "kernel/sem";
    SemNextId "kernel/sem_next_id";
    Shmmax "kernel/shmmax";
    Shmall "kernel/shmall";
    Shmmni "kernel/shmmni";
    ShmRmidForced "kernel/shm_rmid_forced";
    ShmNextId "kernel/shm_next_id";
    QueuesMax "fs/mqueue/queues_max";
    MsgMax "fs/mqueue/msg_max";
    MsgsizeMax "fs/mqueue/msgsize_max";
    MsgDefault "fs/mqueue/msg_default";
    MsgsizeDefault "fs/mqueue/msgsize_default";
}

impl IpcFile {
    /// Finds a file by its path below `/proc/sys`.
    pub fn by_path(path: &str) -> Option<IpcFile> {
        IpcFile::ALL.iter().copied().find(|file| file.path() == path)
    }

    fn is_next_id(self) -> bool {
        matches!(self, IpcFile::MsgNextId | IpcFile::SemNextId | IpcFile::ShmNextId)
    }

    /// Its mode: that of files whose values are for everybody to see.
    pub fn mode(self) -> u32 {
        if self.is_next_id() { 0o444 } else { 0o644 }
    }
}

impl IpcNs {
    /// Who owns its files: its owner's root, or the initial one's if that is not mapped.
    pub fn files_owner(&self) -> (Kuid, Kgid) {
        let uid = self.identity.owner().map_uid(0).unwrap_or(Kuid::ROOT);
        (uid, self.identity.owner().map_gid(0).unwrap_or(Kgid::ROOT))
    }

    fn lets_write(&self, file: IpcFile, cred: &Cred) -> bool {
        if file.is_next_id() {
            return [Cap::CHECKPOINT_RESTORE, Cap::SYS_ADMIN]
                .into_iter()
                .any(|cap| cred.has(self.identity.owner(), cap));
        }
        // The mode is 0644: the group cannot write either.
        cred.euid == self.files_owner().0
    }
}

/// Checks that `cred` may open `file` of `ns` for writing. Everybody may read.
pub fn may_open_ipc_file(ns: &IpcNs, file: IpcFile, cred: &Cred) -> Result<(), Refusal> {
    if ns.lets_write(file, cred) {
        return Ok(());
    }
    let owner = Value::Namespace(Kind::User, ns.identity.owner().inode());
    Err(match file.is_next_id() {
        true => Rule::IpcNextIdNeedsRestore.refuse().with("owner", owner),
        false => Rule::IpcFileNeedsRoot.refuse().with("euid", cred.euid).with("owner", owner),
    })
}

/// Writes `file` of `ns`, the namespace it was opened in; returns how many bytes were taken.
pub fn write_ipc_file(
    ns: &IpcNs,
    file: IpcFile,
    writer: &Cred,
    offset: u64,
    text: &[u8],
) -> Result<usize, Refusal> {
    if !ns.lets_write(file, writer) {
        return Err(Rule::IpcFileWriterNeedsRoot.refuse().with("euid", writer.euid));
    }
    if offset != 0 || text.is_empty() {
        return Ok(text.len());
    }
    ns.objects.state.lock().write(file, text)
}

/// The text that reading `file` of `ns` gives.
pub fn read_ipc_file(ns: &IpcNs, file: IpcFile) -> String {
    let state = ns.objects.state.lock();
    let IpcLimits { sem: [per_set, all, operations, sets], .. } = state.limits;
    let limits = &state.limits;
    match file {
        IpcFile::Msgmax => format!("{}\n", limits.msgmax),
        IpcFile::Msgmnb => format!("{}\n", limits.msgmnb),
        IpcFile::Msgmni => format!("{}\n", limits.msgmni),
        IpcFile::AutoMsgmni => String::from("0\n"),
        IpcFile::MsgNextId => format!("{}\n", state.msg.next_id),
        IpcFile::Sem => format!("{per_set}\t{all}\t{operations}\t{sets}\n"),
        IpcFile::SemNextId => format!("{}\n", state.sem.next_id),
        IpcFile::Shmmax => format!("{}\n", limits.shmmax),
        IpcFile::Shmall => format!("{}\n", limits.shmall),
        IpcFile::Shmmni => format!("{}\n", limits.shmmni),
        IpcFile::ShmRmidForced => format!("{}\n", u8::from(limits.shm_rmid_forced)),
        IpcFile::ShmNextId => format!("{}\n", state.shm.next_id),
        // Kept as an unsigned number, shown as a signed one.
        IpcFile::QueuesMax => format!("{}\n", limits.mq_queues as i32),
        IpcFile::MsgMax => format!("{}\n", limits.mq_messages),
        IpcFile::MsgsizeMax => format!("{}\n", limits.mq_size),
        IpcFile::MsgDefault => format!("{}\n", limits.mq_messages_default),
        IpcFile::MsgsizeDefault => format!("{}\n", limits.mq_size_default),
    }
}

fn bad_number() -> Refusal {
    Rule::IpcFileText.refuse()
}

/// Reads one number within bounds, and says how many bytes that took.
fn one(text: &[u8], least: i64, most: i64) -> Result<(i64, usize), Refusal> {
    let mut value = None;
    let (taken, whole) = numbers(text, 1, |_, number| {
        value = number.signed().filter(|value| (least..=most).contains(value));
        value.is_some()
    });
    value.filter(|_| whole).map(|value| (value, taken)).ok_or_else(bad_number)
}

/// Reads one number of 64 bits without a sign.
fn one_long(text: &[u8]) -> Result<(u64, usize), Refusal> {
    let mut value = None;
    let (taken, whole) = numbers(text, 1, |_, number: Number| {
        value = number.unsigned();
        value.is_some()
    });
    value.filter(|_| whole).map(|value| (value, taken)).ok_or_else(bad_number)
}

impl State {
    fn write(&mut self, file: IpcFile, text: &[u8]) -> Result<usize, Refusal> {
        let limits = &mut self.limits;
        let (indices, mq) = (i64::from(INDEX_MAX), MQ_HARD);
        let int = |least: i64, most: i64, place: &mut i32| {
            one(text, least, most).map(|(value, taken)| {
                *place = value as i32;
                taken
            })
        };
        let size = |least: i64, most: i64, place: &mut u32| {
            one(text, least, most).map(|(value, taken)| {
                *place = value as u32;
                taken
            })
        };
        match file {
            IpcFile::Msgmax => int(0, INT, &mut limits.msgmax),
            IpcFile::Msgmnb => int(0, INT, &mut limits.msgmnb),
            IpcFile::Msgmni => int(0, indices, &mut limits.msgmni),
            // It did something before 4.0, and is kept for those who write it.
            IpcFile::AutoMsgmni => one(text, 0, 1).map(|(_, taken)| taken),
            IpcFile::MsgNextId => int(0, INT, &mut self.msg.next_id),
            IpcFile::SemNextId => int(0, INT, &mut self.sem.next_id),
            IpcFile::ShmNextId => int(0, INT, &mut self.shm.next_id),
            IpcFile::Shmmni => int(0, indices, &mut limits.shmmni),
            IpcFile::Shmmax | IpcFile::Shmall => {
                let (value, taken) = one_long(text)?;
                match file {
                    IpcFile::Shmmax => limits.shmmax = value,
                    _ => limits.shmall = value,
                }
                Ok(taken)
            }
            IpcFile::ShmRmidForced => {
                let (value, taken) = one(text, 0, 1)?;
                limits.shm_rmid_forced = value == 1;
                if limits.shm_rmid_forced {
                    self.sweep_orphans();
                }
                Ok(taken)
            }
            IpcFile::Sem => self.write_sem(text),
            IpcFile::QueuesMax => size(i32::MIN.into(), INT, &mut limits.mq_queues),
            IpcFile::MsgMax => size(1, mq.0.into(), &mut limits.mq_messages),
            IpcFile::MsgDefault => size(1, mq.0.into(), &mut limits.mq_messages_default),
            IpcFile::MsgsizeMax => size(MQ_SIZE_MIN, mq.1.into(), &mut limits.mq_size),
            IpcFile::MsgsizeDefault => size(MQ_SIZE_MIN, mq.1.into(), &mut limits.mq_size_default),
        }
    }

    /// Up to four numbers. Those before a bad one are kept, and those before a number of sets
    /// that is too large.
    fn write_sem(&mut self, text: &[u8]) -> Result<usize, Refusal> {
        let sem = &mut self.limits.sem;
        let old = sem[3];
        let (taken, whole) = numbers(text, 4, |place, number| {
            let value = number.signed().and_then(|value| i32::try_from(value).ok());
            value.map(|value| sem[place] = value).is_some()
        });
        if !whole {
            return Err(bad_number());
        }
        let sets = sem[3];
        if !(0..=INDEX_MAX).contains(&sets) {
            sem[3] = old;
            return Err(Rule::IpcSetsRange.refuse().with("sets", sets));
        }
        Ok(taken)
    }
}
