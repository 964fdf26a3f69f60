//! Shared memory: shmget(2), shmat(2), shmctl(2). The memory itself is the embedder's.

use super::{
    By, Caller, IpcNs, Objects, Part, State,
    ids::unknown,
    limits::PAGE,
    perm::{EXECUTE, Perm, READ, SetPerm, WRITE},
};
use crate::{
    capability::Cap,
    rule::{Refusal, Refuse, Rule},
    task::{Task, TaskId},
};
use alloc::{
    sync::{Arc as StdArc, Weak},
    vec::Vec,
};

/// A segment.
pub(super) struct Segment {
    size: u64,
    attached: u64,
    /// The task that made it, as long as that lives and has not left by unshare(2).
    maker: Option<TaskId>,
    /// Removed, but still attached (`SHM_DEST`).
    doomed: bool,
    /// `SHM_LOCKED`
    locked: bool,
}

impl Segment {
    fn pages(&self) -> u64 {
        self.size.div_ceil(PAGE)
    }
}

/// What `IPC_STAT` and its relatives say about a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShmStat {
    /// Its id: the result of `SHM_STAT`.
    pub id: i32,
    /// Whose it is.
    pub perm: Perm,
    /// Its size in bytes.
    pub size: u64,
    /// How often it is attached.
    pub attached: u64,
    /// It is removed and goes with its last attachment (`SHM_DEST`).
    pub doomed: bool,
    /// It stays in memory (`SHM_LOCKED`).
    pub locked: bool,
}

/// shmget(2): the id of the segment of `key`, made if there is none and `flags` say so.
pub fn shmget(task: &StdArc<Task>, key: i32, size: u64, flags: i32) -> Result<i32, Refusal> {
    match task.reported("shmget", get(task, key, size, flags, || Ok::<_, Never>(None)))? {
        Ok(id) => Ok(id),
        Err(never) => match never {},
    }
}

enum Never {}

/// The same for an embedder that has to make the memory of a new segment: `make` is called when
/// nothing else stands in the way, and what it refuses is not made.
pub fn shmget_with<E>(
    task: &StdArc<Task>,
    key: i32,
    size: u64,
    flags: i32,
    make: impl FnOnce() -> Result<StdArc<dyn Part>, E>,
) -> Result<Result<i32, E>, Refusal> {
    task.reported("shmget", get(task, key, size, flags, || make().map(Some)))
}

fn get<E>(
    task: &Task,
    key: i32,
    size: u64,
    flags: i32,
    make: impl FnOnce() -> Result<Option<StdArc<dyn Part>>, E>,
) -> Result<Result<i32, E>, Refusal> {
    let caller = Caller::of(task)?;
    let mut state = caller.objects().state.lock();
    let fits = |segment: &Segment| match size > segment.size {
        true => Err(Rule::ShmSegmentSmaller.refuse().with("size", size).with("has", segment.size)),
        false => Ok(()),
    };
    if let Some(id) = state.shm.get(key, flags, &caller.cred, caller.owner(), fits)? {
        return Ok(Ok(id));
    }
    let limits = state.limits;
    if size == 0 || size > limits.shmmax {
        return Err(Rule::ShmSizeInvalid.refuse().with("size", size).with("limit", limits.shmmax));
    }
    let segment =
        Segment { size, attached: 0, maker: Some(task.id()), doomed: false, locked: false };
    let all = state.pages.checked_add(segment.pages()).filter(|all| *all <= limits.shmall);
    // The kernel rounds up to pages in 64 bits: within a page of their end nothing is left.
    let (Some(all), Some(_)) = (all, size.checked_next_multiple_of(PAGE)) else {
        return Err(Rule::ShmTooMuchInAll
            .refuse()
            .with("pages in use", state.pages)
            .with("size", size)
            .with("limit", limits.shmall));
    };
    state.shm.has_room(limits.shmmni)?;
    let part = match make() {
        Ok(part) => part,
        Err(error) => return Ok(Err(error)),
    };
    let id = state.shm.add(limits.shmmni, Perm::new(key, flags, &caller.cred), segment, part)?;
    state.pages = all;
    drop(state);
    task.with_ipc(|ipc| ipc.made_segment_in(caller.objects()));
    Ok(Ok(id))
}

/// How shmat(2) wants a segment.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Attach {
    /// `SHM_RDONLY`
    pub read_only: bool,
    /// `SHM_EXEC`
    pub execute: bool,
}

impl Attach {
    fn wanted(self) -> u32 {
        let wanted = if self.read_only { READ } else { READ | WRITE };
        if self.execute { wanted | EXECUTE } else { wanted }
    }
}

/// One attachment of a segment to a memory image. A forked child gets a clone of each of its
/// parent's; it is dropped at shmdt(2), at exec and with the image. The memory stays usable as
/// long as it lives, wherever its holder goes.
#[derive(Debug)]
pub struct Attachment {
    objects: Weak<Objects>,
    id: i32,
}

impl Attachment {
    /// The id of the segment.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Says whether the segment can still be found: its namespace lives, and so does it.
    pub fn is_known(&self) -> bool {
        self.objects.upgrade().is_some_and(|all| all.state.lock().shm.find(self.id).is_ok())
    }

    fn count(&self, change: impl FnOnce(&mut u64)) {
        let Some(objects) = self.objects.upgrade() else { return };
        let mut state = objects.state.lock();
        if let Some(segment) = state.shm.find_mut(self.id) {
            change(&mut segment.object.attached);
            state.sweep(self.id);
        }
    }
}

impl Clone for Attachment {
    fn clone(&self) -> Attachment {
        self.count(|attached| *attached += 1);
        Attachment { objects: Weak::clone(&self.objects), id: self.id }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.count(|attached| *attached = attached.saturating_sub(1));
    }
}

/// Checks whether shmat(2) may have a segment, for an embedder whose attachments somebody else
/// counts ([`IpcNs::set_attached`]); gives what the embedder keeps of it.
pub fn may_shmat(
    task: &StdArc<Task>,
    id: i32,
    how: Attach,
) -> Result<Option<StdArc<dyn Part>>, Refusal> {
    let check = || {
        let caller = Caller::of(task)?;
        let state = caller.objects().state.lock();
        let segment = state.shm.find(id)?;
        segment.perm.permits(&caller.cred, caller.owner(), how.wanted())?;
        Ok(segment.part.clone())
    };
    task.reported("shmat", check())
}

/// shmat(2), as far as the segment is concerned; addresses are the embedder's.
pub fn shmat(task: &StdArc<Task>, id: i32, how: Attach) -> Result<Attachment, Refusal> {
    let attach = || {
        let caller = Caller::of(task)?;
        let mut state = caller.objects().state.lock();
        state.shm.find(id)?.perm.permits(&caller.cred, caller.owner(), how.wanted())?;
        let segment = state.shm.find_mut(id).ok_or_else(|| unknown(id))?;
        segment.object.attached += 1;
        Ok(Attachment { objects: StdArc::downgrade(caller.objects()), id })
    };
    task.reported("shmat", attach())
}

/// `IPC_STAT`, `SHM_STAT`, `SHM_STAT_ANY`.
pub fn shm_stat(task: &StdArc<Task>, by: By) -> Result<ShmStat, Refusal> {
    let stat = || {
        let caller = Caller::of(task)?;
        let state = caller.objects().state.lock();
        let segment = state.shm.look_up(by)?;
        if !matches!(by, By::IndexAny(_)) {
            segment.perm.permits(&caller.cred, caller.owner(), READ)?;
        }
        let Segment { size, attached, doomed, locked, .. } = segment.object;
        Ok(ShmStat { id: segment.id, perm: segment.perm, size, attached, doomed, locked })
    };
    task.reported("shmctl", stat())
}

/// `IPC_SET`.
pub fn shm_set(task: &StdArc<Task>, id: i32, to: &SetPerm) -> Result<(), Refusal> {
    let set = || {
        let caller = Caller::of(task)?;
        let mut state = caller.objects().state.lock();
        state.shm.find(id)?.perm.is_theirs(&caller.cred, caller.owner())?;
        let segment = state.shm.find_mut(id).ok_or_else(|| unknown(id))?;
        segment.perm.set(to, &caller.cred)
    };
    task.reported("shmctl", set())
}

/// `SHM_LOCK` and `SHM_UNLOCK`. `limit` is the caller's RLIMIT_MEMLOCK.
pub fn shm_lock(task: &StdArc<Task>, id: i32, lock: bool, limit: u64) -> Result<(), Refusal> {
    let change = || {
        let caller = Caller::of(task)?;
        let mut state = caller.objects().state.lock();
        let perm = state.shm.find(id)?.perm;
        if !caller.cred.has(caller.owner(), Cap::IPC_LOCK) {
            if ![perm.uid, perm.cuid].contains(&caller.cred.euid) {
                return Err(Rule::ShmLockNotTheirs.refuse().with("owner", perm.uid));
            }
            if lock && limit == 0 {
                return Err(Rule::ShmLockForbidden.refuse());
            }
        }
        let segment = state.shm.find_mut(id).ok_or_else(|| unknown(id))?;
        segment.object.locked = lock;
        Ok(())
    };
    task.reported("shmctl", change())
}

/// `IPC_RMID`: at once, or with the last attachment; no key leads to it from now on.
pub fn shm_remove(task: &StdArc<Task>, id: i32) -> Result<(), Refusal> {
    let remove = || {
        let caller = Caller::of(task)?;
        let mut state = caller.objects().state.lock();
        state.shm.find(id)?.perm.is_theirs(&caller.cred, caller.owner())?;
        if let Some(segment) = state.shm.find_mut(id) {
            segment.object.doomed = true;
        }
        state.shm.forget_key(id);
        state.sweep(id);
        Ok(())
    };
    task.reported("shmctl", remove())
}

impl IpcNs {
    /// Tells the model how often a segment is attached now, where somebody else counts, and whether
    /// it has been detached since that was last told. It is removed if that removes it.
    pub fn set_attached(&self, id: i32, attached: u64, detached: bool) {
        let mut state = self.objects.state.lock();
        let Some(segment) = state.shm.find_mut(id) else { return };
        let was = core::mem::replace(&mut segment.object.attached, attached);
        if segment.object.doomed || detached || was > 0 {
            state.sweep(id);
        }
    }

    /// The segments that go when nobody has them attached any more.
    pub fn transient_segments(&self) -> Vec<i32> {
        let state = self.objects.state.lock();
        let forced = state.limits.shm_rmid_forced;
        let goes = |segment: &Segment| segment.doomed || forced;
        state.shm.iter().filter(|one| goes(&one.object)).map(|one| one.id).collect()
    }
}

impl State {
    /// Removes a segment that nobody has attached, if it is doomed or such segments are not kept.
    fn sweep(&mut self, id: i32) {
        let forced = self.limits.shm_rmid_forced;
        let goes = |segment: &Segment| segment.attached == 0 && (segment.doomed || forced);
        if self.shm.find(id).is_ok_and(|entry| goes(&entry.object))
            && let Some(entry) = self.shm.remove(id)
        {
            self.pages -= entry.object.pages();
        }
    }

    fn sweep_where(&mut self, which: impl Fn(&Segment) -> bool) {
        let found = self.shm.iter().filter(|entry| which(&entry.object));
        let ids: Vec<i32> = found.map(|entry| entry.id).collect();
        for id in ids {
            if let Some(entry) = self.shm.find_mut(id) {
                entry.object.maker = None;
            }
            self.sweep(id);
        }
    }

    /// `task` exits, or leaves by unshare(2): its segments have no maker any more.
    pub(super) fn disown(&mut self, task: TaskId) {
        self.sweep_where(|segment| segment.maker == Some(task));
    }

    /// `shm_rmid_forced` was set: segments whose maker has gone already go now.
    pub(super) fn sweep_orphans(&mut self) {
        self.sweep_where(|segment| segment.maker.is_none());
    }
}
