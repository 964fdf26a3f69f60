//! `/proc/sysvipc`: the System V objects of the reader's ipc namespace, as its processes see them.

use nsproxy::ipc::{self, By, Perm, Sort};
use rustix::fs::OFlags;

use super::control::cannot_open;
use super::copies::copy_of;
use crate::cx::{Cx, Served, Verdict};
use crate::ipc::{Inside, QueuePart, SetPart, count_segment, count_transient, facts, host_memory};

/// Which file is called this.
pub(super) fn by_name(name: &str) -> Option<Sort> {
    Some(match name {
        "msg" => Sort::Msg,
        "sem" => Sort::Sem,
        "shm" => Sort::Shm,
        _ => return None,
    })
}

/// Opens one of the files.
pub(crate) fn open_sysvipc(cx: &mut Cx<'_>, sort: Sort, flags: OFlags) -> Served {
    let Some(inside) = cx.in_ipc()? else { return Ok(Verdict::Continue) };
    if cannot_open(flags) || flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
        return Ok(Verdict::Continue);
    }
    let text = match sort {
        Sort::Msg => messages(cx, &inside),
        Sort::Sem => semaphores(cx, &inside),
        Sort::Shm => segments(cx, &inside),
    };
    copy_of(cx, text.as_bytes(), flags)
}

/// Key and id, which begin each line.
fn head(perm: &Perm, id: i32, mode: u32) -> String {
    format!("{:>10} {id:>10}  {mode:>4o}", perm.key)
}

/// The four ids of owner and maker.
fn owners(inside: &Inside, perm: &Perm) -> String {
    let user = &inside.cred.user;
    let [uid, cuid] = [perm.uid, perm.cuid].map(|id| user.uid_in(id));
    let [gid, cgid] = [perm.gid, perm.cgid].map(|id| user.gid_in(id));
    format!("{uid:>5} {gid:>5} {cuid:>5} {cgid:>5}")
}

fn messages(cx: &Cx<'_>, inside: &Inside) -> String {
    let mut text = String::from(
        "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n",
    );
    for id in inside.ns.ids(Sort::Msg) {
        let Ok(stat) = ipc::msg_stat(&inside.task, By::IndexAny(id)) else { continue };
        let state = facts::<QueuePart>(&inside.ns, Sort::Msg, id).map(|queue| queue.state());
        let state = state.unwrap_or_default();
        text += &format!(
            "{}  {:>10} {:>10} {:>5} {:>5} {} {:>10} {:>10} {:>10}\n",
            head(&stat.perm, id, stat.perm.mode),
            stat.bytes,
            stat.messages,
            cx.knows(&state.sent.1),
            cx.knows(&state.received.1),
            owners(inside, &stat.perm),
            state.sent.0,
            state.received.0,
            state.changed_at,
        );
    }
    text
}

fn semaphores(_cx: &Cx<'_>, inside: &Inside) -> String {
    let mut text = String::from(
        "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n",
    );
    for id in inside.ns.ids(Sort::Sem) {
        let Ok(stat) = ipc::sem_stat(&inside.task, By::IndexAny(id)) else { continue };
        let state = facts::<SetPart>(&inside.ns, Sort::Sem, id).map(|set| set.state());
        let state = state.unwrap_or_default();
        text += &format!(
            "{} {:>10} {} {:>10} {:>10}\n",
            head(&stat.perm, id, stat.perm.mode),
            stat.count,
            owners(inside, &stat.perm),
            state.operated_at,
            state.changed_at,
        );
    }
    text
}

fn segments(cx: &Cx<'_>, inside: &Inside) -> String {
    let mut text = String::from(
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n",
    );
    count_transient(&inside.ns);
    let memory = host_memory();
    for id in inside.ns.ids(Sort::Shm) {
        let Ok(stat) = ipc::shm_stat(&inside.task, By::IndexAny(id)) else { continue };
        let Some((part, usage)) = count_segment(&inside.ns, id) else { continue };
        let (resident, swapped) = memory.get(&part.memory().id()).copied().unwrap_or((0, 0));
        let mode = stat.perm.mode | u32::from(stat.doomed) << 9 | u32::from(stat.locked) << 10;
        text += &format!(
            "{} {:>21} {:>5} {:>5}  {:>5} {} {:>10} {:>10} {:>10} {resident:>21} {swapped:>21}\n",
            head(&stat.perm, id, mode),
            stat.size,
            cx.knows(&part.maker),
            cx.knows_number(usage.last),
            usage.attached,
            owners(inside, &stat.perm),
            usage.attached_at,
            usage.detached_at,
            part.changed_at(),
        );
    }
    text
}

/// The names that lead to a file of an ipc namespace.
pub(super) fn is_name(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 19] = [
        b"msg",
        b"sem",
        b"shm",
        b"msgmax",
        b"msgmnb",
        b"msgmni",
        b"auto_msgmni",
        b"msg_next_id",
        b"sem_next_id",
        b"shmmax",
        b"shmall",
        b"shmmni",
        b"shm_rmid_forced",
        b"shm_next_id",
        b"queues_max",
        b"msg_max",
        b"msgsize_max",
        b"msg_default",
        b"msgsize_default",
    ];
    NAMES.contains(&name)
}
