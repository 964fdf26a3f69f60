//! System V objects and POSIX message queues.

use anyns_trap::raw::{self, Ctl};

use super::perform::keep;
use super::{done, refused};
use crate::lang::{Bits, Call, IpcCommand, Setting, Sort, quote};

/// The bytes of a structure that commands read and write, by offset.
struct Block(Vec<u8>);

impl Block {
    fn u32(&self, at: usize) -> u32 {
        self.0[at..at + 4].try_into().map_or(0, u32::from_ne_bytes)
    }

    fn u64(&self, at: usize) -> u64 {
        self.0[at..at + 8].try_into().map_or(0, u64::from_ne_bytes)
    }

    fn set(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Key, owner and mode, as every `*_STAT` stores them first.
    fn owner(&self) -> [u32; 6] {
        [0, 4, 8, 12, 16, 20].map(|at| self.u32(at))
    }
}

/// The text of an object's owner and mode: key, uid, gid, cuid, cgid, mode.
pub(crate) fn owner_text([key, uid, gid, cuid, cgid, mode]: [u32; 6]) -> String {
    format!("key {} uid {uid} gid {gid} cuid {cuid} cgid {cgid} mode {mode:04o}", key as i32)
}

/// The result of `*_STAT`: by id it is 0, by index the id.
pub(crate) fn stat_text(result: i64, text: String) -> String {
    if result == 0 { text } else { format!("id {result} {text}") }
}

pub(super) fn answer(call: &Call, slot: i32) -> String {
    let id_text =
        |result: Result<i32, raw::Errno>| result.map_or_else(refused, |id| id.to_string());
    match call {
        Call::Semget { key, count, flags } => {
            id_text(raw::semget(*key as i32, *count as i32, flags.value))
        }
        Call::Shmget { key, size, flags } => {
            id_text(raw::shmget(*key as i32, *size as u64, flags.value))
        }
        Call::Msgget { key, flags } => id_text(raw::msgget(*key as i32, flags.value)),
        Call::Semop { id, operations } => {
            let all: Vec<_> = operations.iter().map(|operation| operation.value).collect();
            done(raw::semop(*id as i32, &all))
        }
        Call::Semctl { id, number, command, settings } => {
            semctl(*id as i32, *number as i32, command, settings)
        }
        Call::Shmctl { id, command, settings } => shmctl(*id as i32, command, settings),
        Call::Msgctl { id, command, settings } => msgctl(*id as i32, command, settings),
        Call::Shmat { id, flags } => done(raw::shmat(*id as i32, flags.value)),
        Call::Shmdt { id } => done(raw::shmdt(*id as i32)),
        Call::Shmpeek { id } => raw::shm_peek(*id as i32).map_or_else(refused, |b| b.to_string()),
        Call::Msgsnd { id, kind, text, flags } => {
            done(raw::msgsnd(*id as i32, *kind, &text.bytes, flags.value))
        }
        Call::Msgrcv { id, size, kind, flags } => {
            let result = raw::msgrcv(*id as i32, *size, *kind, flags.value);
            result.map_or_else(refused, |(kind, text)| format!("{kind} {}", quote(&text)))
        }
        Call::MqOpen { name, flags, settings } => mq_open(&name.bytes, flags, settings, slot),
        Call::MqUnlink { name } => done(raw::mq_unlink(&name.bytes)),
        Call::MqGetattr { fd } => {
            let result = raw::mq_attributes(fd.number());
            result.map_or_else(refused, |(messages, size)| format!("{messages} {size}"))
        }
        other => format!("!nobody can {other}"),
    }
}

/// `maxmsg=` and `msgsize=` as a pair, if either is given.
pub(crate) fn mq_attributes(settings: &[Setting]) -> Option<(i64, i64)> {
    let (messages, size) = (Setting::of(settings, "maxmsg"), Setting::of(settings, "msgsize"));
    (messages.is_some() || size.is_some()).then(|| (messages.unwrap_or(0), size.unwrap_or(0)))
}

fn mq_open(name: &[u8], flags: &Bits, settings: &[Setting], slot: i32) -> String {
    let mode = Setting::of(settings, "mode").unwrap_or(0) as u32;
    keep(raw::mq_open(name, flags.value, mode, mq_attributes(settings)), slot)
}

/// What `IPC_SET` reads: owner and mode, and at `at` a number of its own.
fn to_set(settings: &[Setting], own: Option<usize>) -> Vec<u8> {
    let mut block = Block(vec![0; 128]);
    let of = |key| Setting::of(settings, key).unwrap_or(0);
    block.set(4, &(of("uid") as u32).to_ne_bytes());
    block.set(8, &(of("gid") as u32).to_ne_bytes());
    block.set(20, &(of("mode") as u32).to_ne_bytes());
    if let Some(at) = own {
        block.set(at, &(of("qbytes") as u64).to_ne_bytes());
    }
    block.0
}

/// Makes a command and shows what it stored, if it is one that stores.
fn control(
    call: Ctl,
    id: i32,
    command: i32,
    given: &[u8],
    show: impl FnOnce(i64, Block) -> String,
) -> String {
    match raw::ipc_ctl(call, id, command, given) {
        Ok((result, stored)) => show(result, Block(stored)),
        Err(errno) => refused(errno),
    }
}

fn semctl(id: i32, number: i32, command: &IpcCommand, settings: &[Setting]) -> String {
    let Some(command) = command.number(Sort::Sem) else { return format!("!no {command:?}") };
    let call = Ctl::Sem(number);
    let values = Setting::numbers(settings);
    match command {
        16 => done(raw::sem_set_value(id, number, values.first().copied().unwrap_or(0))),
        1 => control(call, id, command, &to_set(settings, None), |result, _| result.to_string()),
        17 => {
            let bytes: Vec<u8> = values.iter().flat_map(|v| (*v as u16).to_ne_bytes()).collect();
            control(call, id, command, &bytes, |result, _| result.to_string())
        }
        2 | 18 | 20 => control(call, id, command, &[], |result, block| {
            let text = format!("{} nsems {}", owner_text(block.owner()), block.u64(80));
            stat_text(result, text)
        }),
        // How many there are to show is the set's to say.
        13 => match raw::ipc_ctl(call, id, 2, &[]) {
            Err(errno) => refused(errno),
            Ok((_, stat)) => control(call, id, command, &[], |_, block| {
                let count = Block(stat).u64(80) as usize;
                let value = |n: usize| u16::from_ne_bytes([block.0[2 * n], block.0[2 * n + 1]]);
                (0..count).map(|n| value(n).to_string()).collect::<Vec<_>>().join(",")
            }),
        },
        3 | 19 => control(call, id, command, &[], |result, block| {
            let [sets, all, per_set, operations, used, value, exit] =
                [4, 8, 16, 20, 28, 32, 36].map(|at| block.u32(at));
            let limits = format!("mni {sets} mns {all} msl {per_set} opm {operations}");
            let usage = if command == 19 {
                format!(" sets {used} semaphores {exit}")
            } else {
                String::new()
            };
            format!("highest {result} {limits} vmx {value}{usage}")
        }),
        _ => control(call, id, command, &[], |result, _| result.to_string()),
    }
}

fn shmctl(id: i32, command: &IpcCommand, settings: &[Setting]) -> String {
    let Some(command) = command.number(Sort::Shm) else { return format!("!no {command:?}") };
    match command {
        2 | 13 | 15 => control(Ctl::Shm, id, command, &[], |result, block| {
            let (size, attached) = (block.u64(48), block.u64(88));
            let text = format!("{} size {size} nattch {attached}", owner_text(block.owner()));
            stat_text(result, text)
        }),
        3 => control(Ctl::Shm, id, command, &[], |result, block| {
            let [max, min, mni, seg, all] = [0, 8, 16, 24, 32].map(|at| block.u64(at));
            format!("highest {result} max {max} min {min} mni {mni} seg {seg} all {all}")
        }),
        14 => control(Ctl::Shm, id, command, &[], |result, block| {
            format!("highest {result} segments {} pages {}", block.u32(0), block.u64(8))
        }),
        _ => {
            control(Ctl::Shm, id, command, &to_set(settings, None), |result, _| result.to_string())
        }
    }
}

fn msgctl(id: i32, command: &IpcCommand, settings: &[Setting]) -> String {
    let Some(command) = command.number(Sort::Msg) else { return format!("!no {command:?}") };
    match command {
        2 | 11 | 13 => control(Ctl::Msg, id, command, &[], |result, block| {
            let [bytes, messages, room] = [72, 80, 88].map(|at| block.u64(at));
            let owner = owner_text(block.owner());
            stat_text(result, format!("{owner} messages {messages} bytes {bytes} qbytes {room}"))
        }),
        3 | 12 => control(Ctl::Msg, id, command, &[], |result, block| {
            let [queues, messages, max, mnb, mni, bytes] =
                [0, 4, 8, 12, 16, 24].map(|at| block.u32(at));
            let usage = match command {
                12 => format!(" queues {queues} messages {messages} bytes {bytes}"),
                _ => String::new(),
            };
            format!("highest {result} max {max} mnb {mnb} mni {mni}{usage}")
        }),
        _ => control(Ctl::Msg, id, command, &to_set(settings, Some(88)), |result, _| {
            result.to_string()
        }),
    }
}
