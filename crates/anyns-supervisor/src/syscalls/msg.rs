//! msgget(2), msgsnd(2), msgrcv(2), msgctl(2).
//!
//! The model has the messages; a caller that must wait sleeps (`ipc::wait`).
//! Not decided here: everything; that is `nsproxy::ipc`'s.

use std::sync::Arc;

use nsproxy::ipc::{self, Command, Message, Receive, Sort};
use rustix::io::Errno;

use crate::abi::ipc::{MsgDs, SET_SIZE, msginfo, set_perm, set_room};
use crate::cx::{Cx, Served, Verdict};
use crate::ipc::{Inside, Object, QueuePart, Request, Waiters, What, by, facts, stat_result};
use crate::trouble::Trouble;

/// Flags of msgsnd(2) and msgrcv(2).
const NOWAIT: i32 = 0o4000;
const NOERROR: i32 = 0o10000;
const EXCEPT: i32 = 0o20000;
const COPY: i32 = 0o40000;

/// Serves `msgget(key, msgflg)`.
pub(crate) fn msgget(cx: &mut Cx<'_>) -> Served {
    let Some(inside) = cx.in_ipc()? else { return Ok(Verdict::Continue) };
    let part = || -> Arc<dyn ipc::Part> { Arc::new(QueuePart::new()) };
    let id = ipc::msgget_with(&inside.task, cx.int(0), cx.int(1), part)?;
    Ok(Verdict::Return(id.into()))
}

/// Serves `msgsnd(msqid, msgp, msgsz, msgflg)`.
pub(crate) fn msgsnd(cx: &mut Cx<'_>) -> Served {
    let Some(inside) = cx.in_ipc()? else { return Ok(Verdict::Continue) };
    let (id, at, size, flags) = (cx.int(0), cx.arg(1), cx.arg(2), cx.int(3));
    let kind: i64 = cx.mem().read_value(at)?;
    ipc::check_msgsnd(&inside.task, size, kind)?;
    known(&inside, id)?;
    let mut text = vec![0; size as usize];
    cx.mem().read(at.wrapping_add(8), &mut text)?;
    let message = Message { kind, text };
    let what = What::Send { message, nowait: flags & NOWAIT != 0 };
    Waiters::serve(cx, Request::new(&inside, id, what), None)
}

/// Judges an id that is none before anything else is looked at.
fn known(inside: &Inside, id: i32) -> Result<(), Trouble> {
    if id < 0 {
        ipc::msg_stat(&inside.task, ipc::By::Id(id))?;
    }
    Ok(())
}

/// Serves `msgrcv(msqid, msgp, msgsz, msgtyp, msgflg)`.
pub(crate) fn msgrcv(cx: &mut Cx<'_>) -> Served {
    let Some(inside) = cx.in_ipc()? else { return Ok(Verdict::Continue) };
    let (id, to, flags) = (cx.int(0), cx.arg(1), cx.int(4));
    let has = |flag| flags & flag != 0;
    let (size, kind) = (cx.arg(2) as i64, cx.arg(3) as i64);
    if has(COPY) {
        if id < 0 || size < 0 || has(EXCEPT) || !has(NOWAIT) {
            return Err(Errno::INVAL.into());
        }
        // The kernel makes room for the copy out of the caller's own.
        let room = size.min(inside.ns.limits().msgmax.into());
        cx.mem().read(to, &mut vec![0; room as usize])?;
    }
    let (except, cut, nowait) = (has(EXCEPT), has(NOERROR), has(NOWAIT));
    let want = Receive { size, kind, except, cut, nowait, copy: has(COPY) };
    Waiters::serve(cx, Request::new(&inside, id, What::Receive { want, to }), None)
}

/// Serves `msgctl(msqid, cmd, buf)`.
pub(crate) fn msgctl(cx: &mut Cx<'_>) -> Served {
    let Some(inside) = cx.in_ipc()? else { return Ok(Verdict::Continue) };
    let (id, command, arg) = (cx.int(0), cx.int(1), cx.arg(2));
    let command = Command::of(Sort::Msg, id, command)?;
    let (task, ns) = (&inside.task, &inside.ns);
    let object = Object::new(&inside, Sort::Msg, id);
    match command {
        Command::Info | Command::Usage => {
            let usage = ns.usage();
            let used = (command == Command::Usage).then_some(&usage);
            cx.mem().write(arg, &msginfo(&ns.limits(), used))?;
            Ok(Verdict::Return(usage.queues.1.into()))
        }
        Command::Stat | Command::IndexStat | Command::IndexStatAny => {
            stat(cx, &inside, command, id)
        }
        Command::Set => {
            let mut block = [0; SET_SIZE[2]];
            cx.mem().read(arg, &mut block)?;
            ipc::msg_set(task, id, &set_perm(&block), set_room(&block))?;
            if let Some(queue) = facts::<QueuePart>(ns, Sort::Msg, id) {
                queue.changed();
            }
            cx.sup.ipc.waiters.changed(object);
            Ok(Verdict::Return(0))
        }
        Command::Rmid => {
            ipc::msg_remove(task, id)?;
            cx.sup.ipc.waiters.changed(object);
            Ok(Verdict::Return(0))
        }
        _ => unreachable!("not among the commands of a queue"),
    }
}

fn stat(cx: &Cx<'_>, inside: &Inside, command: Command, id: i32) -> Served {
    let stat = ipc::msg_stat(&inside.task, by(command, id))?;
    let state = facts::<QueuePart>(&inside.ns, Sort::Msg, stat.id).map(|queue| queue.state());
    let state = state.unwrap_or_default();
    let block = MsgDs {
        reader: &inside.cred,
        perm: &stat.perm,
        id: stat.id,
        times: [state.sent.0, state.received.0, state.changed_at],
        bytes: stat.bytes,
        messages: stat.messages,
        room: stat.room,
        pids: [cx.knows(&state.sent.1), cx.knows(&state.received.1)],
    };
    cx.mem().write(cx.arg(2), &block.encode())?;
    Ok(Verdict::Return(stat_result(command, stat.id)))
}
