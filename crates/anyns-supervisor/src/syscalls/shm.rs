//! shmget(2), shmat(2), shmctl(2). (shmdt(2) takes an address and is the kernel's.)
//!
//! The memory is the host's: the caller attaches it by its own call, with the host's id in the place
//! of its own.
//! Not decided here: ids, keys, limits, who may; that is `nsproxy::ipc`'s.

use std::sync::Arc;

use anyns_trap::Failed;
use nsproxy::ipc::{self, Attach, Command, Sort};
use rustix::io::Errno;

use crate::abi::ipc::{SET_SIZE, ShmDs, set_perm, shm_info, shminfo};
use crate::cx::{Cx, Served, Verdict, native};
use crate::ipc::{
    Inside, SegmentPart, by, count_segment, count_transient, facts, memory_in_use, stat_result,
};
use crate::procfs::read_limit;
use crate::trouble::Trouble;

/// Flags of shmat(2).
const RDONLY: i32 = 0o10000;
const RND: i32 = 0o20000;
const REMAP: i32 = 0o40000;
const EXEC: i32 = 0o100_000;
/// Attachments begin at a multiple of this.
const PAGE: u64 = 4096;

/// Serves `shmget(key, size, shmflg)`.
pub(crate) fn shmget(cx: &mut Cx<'_>) -> Served {
    let Some(inside) = cx.in_ipc()? else { return Ok(Verdict::Continue) };
    let (key, size, flags) = (cx.int(0), cx.arg(1), cx.int(2));
    // Those that have gone leave room.
    count_transient(&inside.ns);
    let all = &cx.sup.ipc.segments;
    let make = || -> Result<Arc<dyn ipc::Part>, Errno> {
        Ok(Arc::new(SegmentPart::create(size, flags, inside.who.clone(), all)?))
    };
    let id = ipc::shmget_with(&inside.task, key, size, flags, make)??;
    Ok(Verdict::Return(id.into()))
}

/// Serves `shmat(shmid, shmaddr, shmflg)`.
pub(crate) fn shmat(cx: &mut Cx<'_>) -> Served {
    let Some(inside) = cx.in_ipc()? else { return guessed(cx) };
    let (id, address, flags) = (cx.int(0), cx.arg(1), cx.int(2));
    let has = |flag| flags & flag != 0;
    let misplaced = address % PAGE != 0 && !has(RND);
    if id < 0 || misplaced || address == 0 && has(REMAP) {
        return Err(Errno::INVAL.into());
    }
    count_transient(&inside.ns);
    let how = Attach { read_only: has(RDONLY), execute: has(EXEC) };
    ipc::may_shmat(&inside.task, id, how)?;
    let Some(part) = facts::<SegmentPart>(&inside.ns, Sort::Shm, id) else {
        return Err(Errno::INVAL.into());
    };
    let ns = inside.ns.clone();
    on_the_host(cx, &part, |result| {
        // Before the caller runs on: it may exit, or leave.
        count_segment(&ns, id);
        result
    })
}

/// Has the caller make its own call with the host's id; `settle` makes the result of the kernel's.
fn on_the_host(cx: &mut Cx<'_>, part: &SegmentPart, settle: impl FnOnce(i64) -> i64) -> Served {
    let mut args = cx.args();
    args[0] = part.memory().id() as u64;
    let lent = part.lent.lock();
    // Only root's guests can be other users of the host.
    if rustix::process::geteuid().is_root() {
        let caller = native(cx.tid())?.euid();
        part.memory().give_to(caller).map_err(Trouble::host("giving a segment to its user"))?;
    }
    let done = cx.take().let_run(args);
    let served = match done {
        Ok(ran) => {
            let result = settle(ran.result());
            Ok(Verdict::Answered(ran.release_with(result)))
        }
        Err(Failed::Untraceable(call)) => {
            // Another guest traces the caller, so its call cannot be changed.
            cx.put_back(call);
            Err(Trouble::Errno(Errno::PERM))
        }
        Err(failed) => Ok(Verdict::Answered(failed.settle())),
    };
    drop(lent);
    served
}

/// A caller in the initial namespace does not reach our segments by guessing their numbers.
fn guessed(cx: &Cx<'_>) -> Served {
    match cx.sup.ipc.segments.contains(cx.int(0)) {
        true => Err(Errno::INVAL.into()),
        false => Ok(Verdict::Continue),
    }
}

/// Serves `shmctl(shmid, cmd, buf)`.
pub(crate) fn shmctl(cx: &mut Cx<'_>) -> Served {
    let (id, command, arg) = (cx.int(0), cx.int(1), cx.arg(2));
    let Some(inside) = cx.in_ipc()? else {
        // By index, others than ours can be named.
        let by_id = matches!(Command::of(Sort::Shm, 0, command), Ok(command) if names(command));
        return if by_id { guessed(cx) } else { Ok(Verdict::Continue) };
    };
    let command = Command::of(Sort::Shm, id, command)?;
    let (task, ns) = (&inside.task, &inside.ns);
    count_transient(ns);
    match command {
        Command::Info => {
            cx.mem().write(arg, &shminfo(&ns.limits()))?;
            Ok(Verdict::Return(ns.usage().segments.1.into()))
        }
        Command::Usage => {
            let (usage, (resident, swapped)) = (ns.usage(), memory_in_use(ns));
            cx.mem().write(arg, &shm_info(&usage, resident, swapped))?;
            Ok(Verdict::Return(usage.segments.1.into()))
        }
        Command::Stat | Command::IndexStat | Command::IndexStatAny => {
            stat(cx, &inside, command, id)
        }
        Command::Set => {
            let mut block = [0; SET_SIZE[1]];
            cx.mem().read(arg, &mut block)?;
            ipc::shm_set(task, id, &set_perm(&block))?;
            if let Some(part) = facts::<SegmentPart>(ns, Sort::Shm, id) {
                part.changed();
            }
            Ok(Verdict::Return(0))
        }
        Command::Lock | Command::Unlock => lock(cx, &inside, id, command == Command::Lock),
        Command::Rmid => {
            count_segment(ns, id);
            ipc::shm_remove(task, id)?;
            Ok(Verdict::Return(0))
        }
        _ => unreachable!("not among the commands of a segment"),
    }
}

/// Whether a command names a segment by its id.
fn names(command: Command) -> bool {
    matches!(
        command,
        Command::Rmid | Command::Set | Command::Stat | Command::Lock | Command::Unlock
    )
}

/// The model says who may; the kernel counts what a user has locked.
fn lock(cx: &mut Cx<'_>, inside: &Inside, id: i32, on: bool) -> Served {
    let (task, ns) = (&inside.task, &inside.ns);
    let before = ipc::shm_stat(task, ipc::By::Id(id)).map(|stat| stat.locked);
    let limit = read_limit(cx.tid(), "Max locked memory").unwrap_or(u64::MAX);
    ipc::shm_lock(task, id, on, limit)?;
    let Some(part) = facts::<SegmentPart>(ns, Sort::Shm, id) else {
        return Err(Errno::INVAL.into());
    };
    let task = task.clone();
    on_the_host(cx, &part, |result| {
        if result < 0 {
            // As it was. It was allowed a moment ago.
            let _ = ipc::shm_lock(&task, id, before.unwrap_or(!on), u64::MAX);
        }
        result
    })
}

fn stat(cx: &Cx<'_>, inside: &Inside, command: Command, id: i32) -> Served {
    let found = ipc::shm_stat(&inside.task, by(command, id))?;
    let counted = count_segment(&inside.ns, found.id);
    let (part, usage) = match &counted {
        Some((part, usage)) => (Some(part), *usage),
        None => (None, Default::default()),
    };
    let block = ShmDs {
        reader: &inside.cred,
        perm: &found.perm,
        id: found.id,
        doomed: found.doomed,
        locked: found.locked,
        size: found.size,
        times: [usage.attached_at, usage.detached_at, part.map_or(0, |part| part.changed_at())],
        pids: [part.map_or(0, |part| cx.knows(&part.maker)), cx.knows_number(usage.last)],
        attached: usage.attached,
    };
    cx.mem().write(cx.arg(2), &block.encode())?;
    Ok(Verdict::Return(stat_result(command, found.id)))
}
