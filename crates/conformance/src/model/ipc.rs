//! System V objects and POSIX message queues.

use std::sync::Arc;

use nsproxy::ipc::{self, Attach, Attachment, By, Command, Message, MqOpen, SemOp, SetPerm};
use nsproxy::{Cred, Refusal, Task};

use super::open::What;
use super::world::{World, done, refused};
use crate::agent::{mq_attributes, owner_text, stat_text};
use crate::lang::{Bits, Call, IpcCommand, Setting, Sort, quote};

const NOWAIT: u32 = 0o4000;
const UNDO: u32 = 0o10000;
/// `MSG_NOERROR`, and `SHM_RDONLY`.
const NOERROR: i32 = 0o10000;
const COPY: i32 = 0o40000;
const EXCEPT: i32 = 0o20000;
const EXECUTE: i32 = 0o100_000;
/// What every process may use of POSIX queues.
pub(super) const MSGQUEUE: u64 = 819_200;

fn text<T: ToString>(result: Result<T, Refusal>) -> String {
    result.map_or_else(|refusal| refused(&refusal), |value| value.to_string())
}

/// An object's owner and mode as the caller sees them.
fn owner(caller: &Cred, perm: &ipc::Perm, more: u32) -> String {
    let user = &caller.user;
    let [uid, cuid] = [perm.uid, perm.cuid].map(|id| user.uid_in(id));
    let [gid, cgid] = [perm.gid, perm.cgid].map(|id| user.gid_in(id));
    owner_text([perm.key as u32, uid, gid, cuid, cgid, perm.mode | more])
}

/// Which object a `*_STAT` command names; with the result that the call gives.
fn by(command: Command, id: i32) -> By {
    match command {
        Command::IndexStat => By::Index(id),
        Command::IndexStatAny => By::IndexAny(id),
        _ => By::Id(id),
    }
}

fn result(by: By, id: i32) -> i64 {
    if matches!(by, By::Id(_)) { 0 } else { i64::from(id) }
}

fn to_set(settings: &[Setting]) -> SetPerm {
    let of = |key| Setting::of(settings, key).unwrap_or(0) as u32;
    SetPerm { uid: of("uid"), gid: of("gid"), mode: of("mode") }
}

fn waits() -> String {
    "would sleep".into()
}

impl World {
    pub(super) fn ipc_call(
        &mut self,
        who: usize,
        call: &Call,
        slot: i32,
    ) -> Result<Option<String>, String> {
        let task = self.task(who)?;
        let process = self.actors[who].process;
        Ok(Some(match call {
            Call::Semget { key, count, flags } => {
                text(ipc::semget(&task, *key as i32, *count as i32, flags.value))
            }
            Call::Shmget { key, size, flags } => {
                text(ipc::shmget(&task, *key as i32, *size as u64, flags.value))
            }
            Call::Msgget { key, flags } => text(ipc::msgget(&task, *key as i32, flags.value)),
            Call::Semop { id, operations } => {
                let all: Vec<SemOp> = operations
                    .iter()
                    .map(|operation| {
                        let (number, add, flags) = operation.value;
                        let has = |flag| u32::from(flags) & flag != 0;
                        SemOp { number, add, undo: has(UNDO), nowait: has(NOWAIT) }
                    })
                    .collect();
                match ipc::semop(&task, *id as i32, &all) {
                    Ok(ipc::Semop::Waits(_)) => waits(),
                    other => done(other),
                }
            }
            Call::Semctl { id, number, command, settings } => {
                self.semctl(&task, *id as i32, *number as i32, command, settings)?
            }
            Call::Shmctl { id, command, settings } => {
                let memlock = self.processes[process].memlock;
                self.shmctl(&task, *id as i32, command, settings, memlock)?
            }
            Call::Msgctl { id, command, settings } => {
                self.msgctl(&task, *id as i32, command, settings)?
            }
            Call::Shmat { id, flags } => {
                let has = |flag| flags.value & flag != 0;
                let how = Attach { read_only: has(NOERROR), execute: has(EXECUTE) };
                match ipc::shmat(&task, *id as i32, how) {
                    Ok(attachment) => {
                        self.processes[process].attached.push(attachment);
                        "0".into()
                    }
                    Err(refusal) => refused(&refusal),
                }
            }
            Call::Shmdt { id } => {
                let all = &mut self.processes[process].attached;
                match all.iter().rposition(|attachment| attachment.id() == *id as i32) {
                    Some(place) => {
                        drop(all.remove(place));
                        "0".into()
                    }
                    None => "EINVAL".into(),
                }
            }
            Call::Shmpeek { id } => {
                let all: &[Attachment] = &self.processes[process].attached;
                let there = all.iter().any(|attachment| attachment.id() == *id as i32);
                if there { "0".into() } else { "EINVAL".into() }
            }
            Call::Msgsnd { id, kind, text, flags } => {
                let message = Message { kind: *kind, text: text.bytes.clone() };
                let nowait = flags.value as u32 & NOWAIT != 0;
                match ipc::msgsnd(&task, *id as i32, message, nowait) {
                    Ok(ipc::Sent::Waits) => waits(),
                    other => done(other),
                }
            }
            Call::Msgrcv { id, size, kind, flags } => {
                let has = |flag| flags.value & flag != 0;
                let want = ipc::Receive {
                    size: *size,
                    kind: *kind,
                    except: has(EXCEPT),
                    cut: has(NOERROR),
                    nowait: has(NOWAIT as i32),
                    copy: has(COPY),
                };
                match ipc::msgrcv(&task, *id as i32, want) {
                    Ok(ipc::Received::Done(message)) => {
                        format!("{} {}", message.kind, quote(&message.text))
                    }
                    Ok(ipc::Received::Waits) => waits(),
                    Err(refusal) => refused(&refusal),
                }
            }
            Call::MqOpen { name, flags, settings } => {
                self.mq_open(who, &task, &name.bytes, flags, settings, slot)
            }
            Call::MqUnlink { name } => done(ipc::mq_unlink(&task, &name.bytes)),
            Call::MqGetattr { fd } => {
                let file = self.actors[who].table.get(fd.number());
                match file.as_ref().map(|file| &file.what) {
                    Some(What::Mq(open)) => {
                        let (messages, size) = open.queue.attributes();
                        format!("{messages} {size}")
                    }
                    _ => "EBADF".into(),
                }
            }
            _ => return Ok(None),
        }))
    }

    fn mq_open(
        &self,
        who: usize,
        task: &Arc<Task>,
        name: &[u8],
        flags: &Bits,
        settings: &[Setting],
        slot: i32,
    ) -> String {
        let how = MqOpen {
            access: flags.value as u8 & 3,
            create: flags.value & 0o100 != 0,
            exclusive: flags.value & 0o200 != 0,
            mode: Setting::of(settings, "mode").unwrap_or(0) as u32,
            attributes: mq_attributes(settings),
            limit: Some(MSGQUEUE),
        };
        match ipc::mq_open(task, name, &how) {
            Ok(open) => self.keep_queue(who, open, task.cred(), slot),
            Err(refusal) => refused(&refusal),
        }
    }

    fn command(
        &self,
        sort: Sort,
        id: i32,
        command: &IpcCommand,
    ) -> Result<Result<Command, String>, String> {
        let number = command.number(sort).ok_or_else(|| format!("no command {command:?}"))?;
        let of = match sort {
            Sort::Msg => ipc::Sort::Msg,
            Sort::Sem => ipc::Sort::Sem,
            Sort::Shm => ipc::Sort::Shm,
        };
        Ok(Command::of(of, id, number).map_err(|refusal| {
            self.fired.add(refusal.rule.name());
            refused(&refusal)
        }))
    }

    fn semctl(
        &self,
        task: &Arc<Task>,
        id: i32,
        number: i32,
        command: &IpcCommand,
        settings: &[Setting],
    ) -> Result<String, String> {
        let command = match self.command(Sort::Sem, id, command)? {
            Ok(command) => command,
            Err(errno) => return Ok(errno),
        };
        let values = Setting::numbers(settings);
        Ok(match command {
            Command::Rmid => done(ipc::sem_remove(task, id)),
            Command::Set => done(ipc::sem_set(task, id, &to_set(settings))),
            Command::GetVal => text(ipc::sem_value(task, id, number)),
            Command::GetAll => match ipc::sem_get_all(task, id) {
                Ok(all) => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
                Err(refusal) => refused(&refusal),
            },
            Command::SetVal => {
                let value = values.first().copied().unwrap_or(0) as i32;
                done(ipc::sem_set_value(task, id, number, value))
            }
            Command::SetAll => {
                let values: Vec<u16> = values.iter().map(|value| *value as u16).collect();
                done(ipc::sem_set_all(task, id, &values))
            }
            Command::Stat | Command::IndexStat | Command::IndexStatAny => {
                let by = by(command, id);
                text(ipc::sem_stat(task, by).map(|stat| {
                    let owner = owner(&task.cred(), &stat.perm, 0);
                    stat_text(result(by, stat.id), format!("{owner} nsems {}", stat.count))
                }))
            }
            Command::Info | Command::Usage => {
                let ns = Arc::clone(&task.nsproxy().ok_or("no namespaces")?.ipc);
                let ([per_set, all, operations, sets], usage) = (ns.limits().sem, ns.usage());
                let limits = format!("mni {sets} mns {all} msl {per_set} opm {operations}");
                let used = match command {
                    Command::Usage => {
                        format!(" sets {} semaphores {}", usage.sets.0, usage.semaphores)
                    }
                    _ => String::new(),
                };
                format!("highest {} {limits} vmx 32767{used}", usage.sets.1)
            }
            other => return Err(format!("the model has no {other:?}")),
        })
    }

    fn shmctl(
        &self,
        task: &Arc<Task>,
        id: i32,
        command: &IpcCommand,
        settings: &[Setting],
        memlock: u64,
    ) -> Result<String, String> {
        let command = match self.command(Sort::Shm, id, command)? {
            Ok(command) => command,
            Err(errno) => return Ok(errno),
        };
        let ns = Arc::clone(&task.nsproxy().ok_or("no namespaces")?.ipc);
        let (limits, usage) = (ns.limits(), ns.usage());
        Ok(match command {
            Command::Rmid => done(ipc::shm_remove(task, id)),
            Command::Set => done(ipc::shm_set(task, id, &to_set(settings))),
            Command::Lock => done(ipc::shm_lock(task, id, true, memlock)),
            Command::Unlock => done(ipc::shm_lock(task, id, false, memlock)),
            Command::Stat | Command::IndexStat | Command::IndexStatAny => {
                let by = by(command, id);
                text(ipc::shm_stat(task, by).map(|stat| {
                    let more = u32::from(stat.doomed) << 9 | u32::from(stat.locked) << 10;
                    let owner = owner(&task.cred(), &stat.perm, more);
                    let own = format!("{owner} size {} nattch {}", stat.size, stat.attached);
                    stat_text(result(by, stat.id), own)
                }))
            }
            Command::Info => {
                let (max, mni, all) = (limits.shmmax, limits.shmmni, limits.shmall);
                let highest = usage.segments.1;
                format!("highest {highest} max {max} min 1 mni {mni} seg {mni} all {all}")
            }
            Command::Usage => {
                let (count, highest) = usage.segments;
                format!("highest {highest} segments {count} pages {}", usage.pages)
            }
            other => return Err(format!("the model has no {other:?}")),
        })
    }

    fn msgctl(
        &self,
        task: &Arc<Task>,
        id: i32,
        command: &IpcCommand,
        settings: &[Setting],
    ) -> Result<String, String> {
        let command = match self.command(Sort::Msg, id, command)? {
            Ok(command) => command,
            Err(errno) => return Ok(errno),
        };
        let ns = Arc::clone(&task.nsproxy().ok_or("no namespaces")?.ipc);
        let (limits, usage) = (ns.limits(), ns.usage());
        Ok(match command {
            Command::Rmid => done(ipc::msg_remove(task, id)),
            Command::Set => {
                let room = Setting::of(settings, "qbytes").unwrap_or(0) as u64;
                done(ipc::msg_set(task, id, &to_set(settings), room))
            }
            Command::Stat | Command::IndexStat | Command::IndexStatAny => {
                let by = by(command, id);
                text(ipc::msg_stat(task, by).map(|stat| {
                    let owner = owner(&task.cred(), &stat.perm, 0);
                    let (messages, bytes, room) = (stat.messages, stat.bytes, stat.room);
                    let own = format!("{owner} messages {messages} bytes {bytes} qbytes {room}");
                    stat_text(result(by, stat.id), own)
                }))
            }
            Command::Info | Command::Usage => {
                let (count, highest) = usage.queues;
                let (max, mnb, mni) = (limits.msgmax, limits.msgmnb, limits.msgmni);
                let (messages, bytes) = usage.messages;
                let used = match command {
                    Command::Usage => format!(" queues {count} messages {messages} bytes {bytes}"),
                    _ => String::new(),
                };
                format!("highest {highest} max {max} mnb {mnb} mni {mni}{used}")
            }
            other => return Err(format!("the model has no {other:?}")),
        })
    }
}
