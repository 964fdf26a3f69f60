//! semget(2), semop(2), semtimedop(2), semctl(2).
//!
//! The model has the values; a caller that must wait sleeps (`ipc::wait`).
//! Not decided here: everything; that is `nsproxy::ipc`'s.

use std::sync::Arc;
use std::time::Duration;

use nsproxy::ipc::{self, Command, SemOp, Sort};
use rustix::io::Errno;

use crate::abi::ipc::{SET_SIZE, SemDs, seminfo, set_perm};
use crate::cx::{Cx, Served, Verdict};
use crate::ipc::{Inside, Object, Request, SetPart, Waiters, What, by, facts, stat_result};
use crate::trouble::Trouble;

/// Bytes of a `struct sembuf`.
const OPERATION: usize = 6;
/// `SEM_UNDO` and `IPC_NOWAIT`, in its flags.
const UNDO: u16 = 0o10000;
const NOWAIT: u16 = 0o4000;

/// Serves `semget(key, nsems, semflg)`.
pub(crate) fn semget(cx: &mut Cx<'_>) -> Served {
    let Some(inside) = cx.in_ipc()? else { return Ok(Verdict::Continue) };
    let (key, count, flags) = (cx.int(0), cx.int(1), cx.int(2));
    let bell = &cx.sup.ipc.waiters.bell;
    let part = || -> Arc<dyn ipc::Part> { Arc::new(SetPart::new(count, bell)) };
    let id = ipc::semget_with(&inside.task, key, count, flags, part)?;
    Ok(Verdict::Return(id.into()))
}

/// Serves `semop(semid, sops, nsops)`.
pub(crate) fn semop(cx: &mut Cx<'_>) -> Served {
    operate(cx, None)
}

/// Serves `semtimedop(semid, sops, nsops, timeout)`.
pub(crate) fn semtimedop(cx: &mut Cx<'_>) -> Served {
    let at = cx.arg(3);
    operate(cx, (at != 0).then_some(at))
}

fn operate(cx: &mut Cx<'_>, timeout: Option<u64>) -> Served {
    let (id, at, count) = (cx.int(0), cx.arg(1), u64::from(cx.arg(2) as u32));
    let Some(inside) = cx.in_ipc()? else {
        // Only so much is noted as unshare(2) has to know.
        if !cx.sup.ipc.kernel_undoes()
            && let Ok(operations) = read(cx, at, count.min(500) as usize)
            && operations.iter().any(|one| one.undo)
        {
            cx.sup.ipc.note_kernel_undo();
        }
        return Ok(Verdict::Continue);
    };
    let timeout = timeout.map(|at| cx.mem().read_value::<[i64; 2]>(at)).transpose()?;
    // How many there may be is judged before they are read, and which set they are for after that.
    let count = ipc::check_semop(&inside.task, id.max(0), count)?;
    let operations = read(cx, at, count)?;
    known(&inside, id)?;
    let timeout = match timeout {
        Some([seconds, nanos]) => {
            let seconds = u64::try_from(seconds).map_err(|_| Errno::INVAL)?;
            let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
            Some(Duration::new(seconds, nanos.ok_or(Errno::INVAL)?))
        }
        None => None,
    };
    let request = Request::new(&inside, id, What::Operate(operations));
    Waiters::serve(cx, request, timeout)
}

fn read(cx: &Cx<'_>, at: u64, count: usize) -> Result<Vec<SemOp>, Trouble> {
    let mut bytes = vec![0; count * OPERATION];
    cx.mem().read(at, &mut bytes)?;
    let half = |operation: &[u8], at: usize| u16::from_ne_bytes([operation[at], operation[at + 1]]);
    let decode = |operation: &[u8]| {
        let flags = half(operation, 4);
        SemOp {
            number: half(operation, 0),
            add: half(operation, 2) as i16,
            undo: flags & UNDO != 0,
            nowait: flags & NOWAIT != 0,
        }
    };
    Ok(bytes.chunks_exact(OPERATION).map(decode).collect())
}

/// Judges an id that is none before anything else is looked at.
fn known(inside: &Inside, id: i32) -> Result<(), Trouble> {
    if id < 0 {
        ipc::sem_stat(&inside.task, ipc::By::Id(id))?;
    }
    Ok(())
}

/// Serves `semctl(semid, semnum, cmd, arg)`.
pub(crate) fn semctl(cx: &mut Cx<'_>) -> Served {
    let Some(inside) = cx.in_ipc()? else { return Ok(Verdict::Continue) };
    let (id, number, command, arg) = (cx.int(0), cx.int(1), cx.int(2), cx.arg(3));
    let command = Command::of(Sort::Sem, id, command)?;
    let (task, ns) = (&inside.task, &inside.ns);
    let set = || facts::<SetPart>(ns, Sort::Sem, id);
    let object = Object::new(&inside, Sort::Sem, id);
    match command {
        Command::Info | Command::Usage => {
            let usage = ns.usage();
            let used = (command == Command::Usage).then_some(&usage);
            cx.mem().write(arg, &seminfo(&ns.limits(), used))?;
            Ok(Verdict::Return(usage.sets.1.into()))
        }
        Command::Stat | Command::IndexStat | Command::IndexStatAny => {
            stat(cx, &inside, command, id)
        }
        Command::GetVal => Ok(Verdict::Return(ipc::sem_value(task, id, number)?.into())),
        Command::GetPid => {
            ipc::sem_value(task, id, number)?;
            let who = set().and_then(|set| set.state().pids.get(number as usize).cloned());
            Ok(Verdict::Return(cx.knows(&who.unwrap_or_default()).into()))
        }
        Command::GetNcnt | Command::GetZcnt => {
            ipc::sem_value(task, id, number)?;
            let zero = command == Command::GetZcnt;
            Ok(Verdict::Return(cx.sup.ipc.waiters.count(object, number as u16, zero)))
        }
        Command::GetAll => {
            let all = ipc::sem_get_all(task, id)?;
            let bytes: Vec<u8> = all.iter().flat_map(|one| (*one as u16).to_ne_bytes()).collect();
            cx.mem().write(arg, &bytes)?;
            Ok(Verdict::Return(0))
        }
        Command::SetVal => {
            ipc::sem_set_value(task, id, number, arg as i32)?;
            if let Some(set) = set() {
                set.set(&inside.who, Some(number as usize));
            }
            cx.sup.ipc.waiters.changed(object);
            Ok(Verdict::Return(0))
        }
        Command::SetAll => {
            let count = ipc::may_sem_set_all(task, id)?;
            let values: Vec<u16> = cx.mem().read_values(arg, count)?;
            ipc::sem_set_all(task, id, &values)?;
            if let Some(set) = set() {
                set.set(&inside.who, None);
            }
            cx.sup.ipc.waiters.changed(object);
            Ok(Verdict::Return(0))
        }
        Command::Set => {
            let mut block = [0; SET_SIZE[0]];
            cx.mem().read(arg, &mut block)?;
            ipc::sem_set(task, id, &set_perm(&block))?;
            if let Some(set) = set() {
                set.changed();
            }
            Ok(Verdict::Return(0))
        }
        Command::Rmid => {
            ipc::sem_remove(task, id)?;
            cx.sup.ipc.waiters.changed(object);
            Ok(Verdict::Return(0))
        }
        Command::Lock | Command::Unlock => unreachable!("not among the commands of a set"),
    }
}

fn stat(cx: &Cx<'_>, inside: &Inside, command: Command, id: i32) -> Served {
    let stat = ipc::sem_stat(&inside.task, by(command, id))?;
    let state = facts::<SetPart>(&inside.ns, Sort::Sem, stat.id).map(|set| set.state());
    let state = state.unwrap_or_default();
    let block = SemDs {
        reader: &inside.cred,
        perm: &stat.perm,
        id: stat.id,
        operated_at: state.operated_at,
        changed_at: state.changed_at,
        count: stat.count,
    };
    cx.mem().write(cx.arg(3), &block.encode())?;
    Ok(Verdict::Return(stat_result(command, stat.id)))
}
