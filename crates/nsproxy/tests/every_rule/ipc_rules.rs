//! One example for every rule about ipc namespaces.

use crate::common::*;
use nsproxy::{ipc::*, *};
use std::sync::Arc;

const CREATE: i32 = 0o1000;

fn set(uid: u32) -> SetPerm {
    SetPerm { uid, gid: 0, mode: 0o600 }
}

fn op(number: u16, add: i16) -> SemOp {
    SemOp { number, add, undo: false, nowait: true }
}

fn make() -> MqOpen {
    MqOpen { access: 2, create: true, mode: 0o600, ..MqOpen::default() }
}

fn file(task: &Task, file: IpcFile, text: &[u8]) -> Result<usize, Refusal> {
    let ns = Arc::clone(&task.nsproxy().unwrap().ipc);
    write_ipc_file(&ns, file, &task.cred(), 0, text)
}

/// Breaks `rule` if it is one of ours.
pub(crate) fn provoke(rule: Rule) -> Option<Refusal> {
    let system = &boot();
    let (root, other) = (&root(system), &user(system, 1000));
    let init = &system.init_nsproxy().ipc;
    let sem = semget(root, 0, 2, 0o600).unwrap();
    let shm = shmget(root, 0, 10, 0o600).unwrap();
    let msg = msgget(root, 0, 0o600).unwrap();
    let send = |kind, size| msgsnd(root, msg, Message { kind, text: vec![0; size] }, true);
    let receive = |size, cut| {
        let want = Receive { size, kind: 0, except: false, cut, nowait: true, copy: false };
        msgrcv(root, msg, want)
    };
    let write = |name, text| file(root, name, text).unwrap();
    let refusal = match rule {
        Rule::IpcKeyMissing => semget(root, 5, 1, 0).unwrap_err(),
        Rule::IpcKeyExists => {
            msgget(root, 5, CREATE).unwrap();
            msgget(root, 5, CREATE | 0o2000).unwrap_err()
        }
        Rule::IpcTooMany => {
            write(IpcFile::Msgmni, b"1");
            msgget(root, 0, 0).unwrap_err()
        }
        Rule::IpcIdUnknown => shm_remove(root, 99).unwrap_err(),
        Rule::IpcCommandUnknown => Command::of(Sort::Shm, 0, 16).unwrap_err(),
        Rule::IpcModeForbids => sem_value(other, sem, 0).unwrap_err(),
        Rule::IpcNotTheirs => msg_remove(other, msg).unwrap_err(),
        Rule::IpcOwnerUnmapped => {
            let task = inner_root(system, 1000);
            unshare(&task, CloneFlags::NEWIPC).unwrap();
            let id = semget(&task, 0, 1, 0o600).unwrap();
            sem_set(&task, id, &set(77)).unwrap_err()
        }
        Rule::SemCountInvalid => semget(root, 0, 32001, 0).unwrap_err(),
        Rule::SemSetSmaller => {
            semget(root, 5, 1, CREATE).unwrap();
            semget(root, 5, 2, 0).unwrap_err()
        }
        Rule::SemSetEmpty => semget(root, 0, 0, 0).unwrap_err(),
        Rule::SemTooManyInAll => {
            write(IpcFile::Sem, b"5 3");
            semget(root, 0, 2, 0).unwrap_err()
        }
        Rule::SemNumberUnknown => sem_value(root, sem, 2).unwrap_err(),
        Rule::SemValueRange => sem_set_value(root, sem, 0, 32768).unwrap_err(),
        Rule::SemopEmpty => semop(root, sem, &[]).unwrap_err(),
        Rule::SemopTooMany => check_semop(root, sem, 501).unwrap_err(),
        Rule::SemopNumberUnknown => semop(root, sem, &[op(2, 1)]).unwrap_err(),
        Rule::SemopWouldWait => semop(root, sem, &[op(0, -1)]).unwrap_err(),
        Rule::SemopRange => semop(root, sem, &[op(0, 32767), op(0, 1)]).unwrap_err(),
        Rule::SemopUndoRange => {
            let undo = SemOp { undo: true, ..op(0, 32767) };
            semop(root, sem, &[undo, op(0, -32767), undo, op(0, -32767), undo]).unwrap_err()
        }
        Rule::ShmSizeInvalid => shmget(root, 0, 0, 0).unwrap_err(),
        Rule::ShmSegmentSmaller => {
            shmget(root, 5, 10, CREATE).unwrap();
            shmget(root, 5, 11, 0).unwrap_err()
        }
        Rule::ShmTooMuchInAll => {
            write(IpcFile::Shmall, b"1");
            shmget(root, 0, 1, 0).unwrap_err()
        }
        Rule::ShmLockNotTheirs => shm_lock(other, shm, true, 9).unwrap_err(),
        Rule::ShmLockForbidden => {
            let own = shmget(other, 0, 1, 0o600).unwrap();
            shm_lock(other, own, true, 0).unwrap_err()
        }
        Rule::MsgTooLong => send(1, 8193).unwrap_err(),
        Rule::MsgTypeInvalid => send(0, 1).unwrap_err(),
        Rule::MsgQueueFull => {
            assert_eq!((send(1, 8192), send(1, 8192)), (Ok(Sent::Done), Ok(Sent::Done)));
            send(1, 1).unwrap_err()
        }
        Rule::MsgSizeInvalid => receive(-1, false).unwrap_err(),
        Rule::MsgNoneWanted => receive(9, false).unwrap_err(),
        Rule::MsgNoRoom => {
            send(1, 10).unwrap();
            receive(9, false).unwrap_err()
        }
        Rule::MsgRoomNeedsResource => {
            let own = msgget(other, 0, 0o600).unwrap();
            msg_set(other, own, &set(1000), 16385).unwrap_err()
        }
        Rule::MqNameEmpty => mq_unlink(root, b"").unwrap_err(),
        Rule::MqNameInvalid => mq_unlink(root, b"/q").unwrap_err(),
        Rule::MqNameTooLong => mq_unlink(root, &[b'q'; 256]).unwrap_err(),
        Rule::MqNameUnknown => mq_unlink(root, b"q").unwrap_err(),
        Rule::MqNameTaken => {
            mq_open(root, b"q", &make()).unwrap();
            mq_open(root, b"q", &MqOpen { exclusive: true, ..make() }).unwrap_err()
        }
        Rule::MqNamespaceGone => {
            unshare(root, CloneFlags::NEWIPC).unwrap();
            let mount = MqMount::of(&root.nsproxy().unwrap().ipc);
            unshare(root, CloneFlags::NEWIPC).unwrap();
            mount.open(root, b"q", &make()).unwrap_err()
        }
        Rule::MqAccessInvalid => {
            mq_open(root, b"q", &make()).unwrap();
            mq_open(root, b"q", &MqOpen { access: 3, ..make() }).unwrap_err()
        }
        Rule::MqModeForbids => {
            mq_open(root, b"q", &make()).unwrap();
            mq_open(other, b"q", &make()).unwrap_err()
        }
        Rule::MqIdsUnmapped => {
            let task = unmapped(system, 1000);
            unshare(&task, CloneFlags::NEWIPC).unwrap();
            mq_open(&task, b"q", &make()).unwrap_err()
        }
        Rule::MqTooMany => {
            write(IpcFile::QueuesMax, b"0");
            mq_open(other, b"q", &make()).unwrap_err()
        }
        Rule::MqAttributeRange => {
            mq_open(other, b"q", &MqOpen { attributes: Some((11, 1)), ..make() }).unwrap_err()
        }
        Rule::MqBytesReached => {
            mq_open(other, b"q", &MqOpen { limit: Some(82_879), ..make() }).unwrap_err()
        }
        Rule::MqNotTheirs => {
            mq_open(root, b"q", &make()).unwrap();
            mq_unlink(other, b"q").unwrap_err()
        }
        Rule::IpcFileNeedsRoot => may_open_ipc_file(init, IpcFile::Sem, &other.cred()).unwrap_err(),
        Rule::IpcNextIdNeedsRestore => {
            may_open_ipc_file(init, IpcFile::SemNextId, &other.cred()).unwrap_err()
        }
        Rule::IpcFileWriterNeedsRoot => file(other, IpcFile::Sem, b"1").unwrap_err(),
        Rule::IpcFileText => file(root, IpcFile::Shmmni, b"32769").unwrap_err(),
        Rule::IpcSetsRange => file(root, IpcFile::Sem, b"1 2 3 32769").unwrap_err(),
        _ => return None,
    };
    Some(refusal)
}
