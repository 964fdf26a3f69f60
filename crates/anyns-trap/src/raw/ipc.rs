//! System V IPC and POSIX message queues.
//!
//! What `*ctl` commands read and write lies in the arena's first page, behind which nothing can be
//! touched: a command that would store more than a page gets EFAULT. Segments are attached where
//! the kernel likes, and known by their ids.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::pointer::{Arena, PAGE};
use super::{Errno, checked};

/// Calls semget.
pub fn semget(key: i32, count: i32, flags: i32) -> Result<i32, Errno> {
    // SAFETY: the arguments are numbers.
    checked(unsafe { libc::syscall(libc::SYS_semget, key, count, flags) }).map(|id| id as i32)
}

/// Calls shmget.
pub fn shmget(key: i32, size: u64, flags: i32) -> Result<i32, Errno> {
    // SAFETY: the arguments are numbers.
    checked(unsafe { libc::syscall(libc::SYS_shmget, key, size, flags) }).map(|id| id as i32)
}

/// Calls msgget.
pub fn msgget(key: i32, flags: i32) -> Result<i32, Errno> {
    // SAFETY: the arguments are numbers.
    checked(unsafe { libc::syscall(libc::SYS_msgget, key, flags) }).map(|id| id as i32)
}

/// Calls semop with these operations: number, what to add, flags.
pub fn semop(id: i32, operations: &[(u16, i16, u16)]) -> Result<(), Errno> {
    let all: Vec<libc::sembuf> = operations
        .iter()
        .map(|(number, add, flags)| libc::sembuf {
            sem_num: *number,
            sem_op: *add,
            sem_flg: *flags as i16,
        })
        .collect();
    // SAFETY: the kernel reads as many operations as it is told, which the vector has.
    checked(unsafe { libc::syscall(libc::SYS_semop, id, all.as_ptr(), all.len()) }).map(drop)
}

/// Which of the `*ctl` calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ctl {
    /// msgctl
    Msg,
    /// semctl, with the number of a semaphore.
    Sem(i32),
    /// shmctl
    Shm,
}

/// `SETVAL`, the one command whose last argument is a number.
const SETVAL: i32 = 16;

/// Calls semctl, shmctl or msgctl with any command. `given` is what the command may read; what it
/// stored, if it did, is beside the result.
pub fn ipc_ctl(call: Ctl, id: i32, command: i32, given: &[u8]) -> Result<(i64, Vec<u8>), Errno> {
    let page = Arena::get();
    page.put(given);
    let address = page.start();
    let done = match call {
        // SAFETY: all are numbers but the last: the arena's first page. Whatever the command, the
        // kernel reads and stores from its start upwards, and behind it faults.
        Ctl::Msg => unsafe { libc::syscall(libc::SYS_msgctl, id, command, address) },
        // SAFETY: as for msgctl.
        Ctl::Shm => unsafe { libc::syscall(libc::SYS_shmctl, id, command, address) },
        // SAFETY: as for msgctl.
        Ctl::Sem(number) if command != SETVAL => unsafe {
            libc::syscall(libc::SYS_semctl, id, number, command, address)
        },
        Ctl::Sem(_) => return Err(Errno::INVAL),
    };
    checked(done).map(|result| (result, page.take()))
}

/// Calls semctl with `SETVAL`.
pub fn sem_set_value(id: i32, number: i32, value: i64) -> Result<(), Errno> {
    // SAFETY: all arguments are numbers: SETVAL takes its last one as an int.
    checked(unsafe { libc::syscall(libc::SYS_semctl, id, number, SETVAL, value) }).map(drop)
}

/// Calls msgsnd.
pub fn msgsnd(id: i32, kind: i64, text: &[u8], flags: i32) -> Result<(), Errno> {
    let mut message = kind.to_ne_bytes().to_vec();
    message.extend_from_slice(text);
    // SAFETY: the kernel reads the type and as many bytes after it as it is told, which `message`
    // has.
    checked(unsafe { libc::syscall(libc::SYS_msgsnd, id, message.as_ptr(), text.len(), flags) })
        .map(drop)
}

/// Calls msgrcv with room for up to a page; a negative size is passed on. Gives the type and the
/// text.
pub fn msgrcv(id: i32, size: i64, kind: i64, flags: i32) -> Result<(i64, Vec<u8>), Errno> {
    let size = size.min(PAGE as i64);
    let mut message = vec![0u8; 8 + size.max(0) as usize];
    // SAFETY: the kernel stores a type and at most `size` bytes after it, for which `message` has
    // room; a negative size it refuses before it stores anything.
    let count = checked(unsafe {
        libc::syscall(libc::SYS_msgrcv, id, message.as_mut_ptr(), size, kind, flags)
    })?;
    let text = message.split_off(8);
    let kind = message.try_into().map_or(0, i64::from_ne_bytes);
    Ok((kind, text[..count as usize].to_vec()))
}

/// What this process has attached, the latest last. A forked child inherits list and attachments.
static ATTACHED: Mutex<Vec<(i32, usize)>> = Mutex::new(Vec::new());

fn attached() -> MutexGuard<'static, Vec<(i32, usize)>> {
    ATTACHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Attaches a segment (shmat), anywhere.
pub fn shmat(id: i32, flags: i32) -> Result<(), Errno> {
    /// What would replace another mapping.
    const REMAP: i32 = 0o40000;
    // SAFETY: without an address and without SHM_REMAP the kernel maps where nothing is.
    let address = checked(unsafe { libc::syscall(libc::SYS_shmat, id, 0usize, flags & !REMAP) })?;
    attached().push((id, address as usize));
    Ok(())
}

/// Detaches what was attached last under this id (shmdt). EINVAL if nothing is.
pub fn shmdt(id: i32) -> Result<(), Errno> {
    let mut all = attached();
    let place = all.iter().rposition(|(known, _)| *known == id).ok_or(Errno::INVAL)?;
    let (_, address) = all[place];
    // SAFETY: the address is of an attachment of this process that nothing refers to but the list.
    checked(unsafe { libc::syscall(libc::SYS_shmdt, address) })?;
    all.remove(place);
    Ok(())
}

/// Reads the first byte of what was attached last under this id. EINVAL if nothing is.
pub fn shm_peek(id: i32) -> Result<u8, Errno> {
    let all = attached();
    let (_, address) = all.iter().rfind(|(known, _)| *known == id).ok_or(Errno::INVAL)?;
    // SAFETY: the list holds attachments only, each of at least a page that can be read; none
    // leaves the process while the list is locked.
    Ok(unsafe { std::ptr::read_volatile(*address as *const u8) })
}

/// Calls mq_open with the name as it is: the library's would take a slash off first. The mode is
/// that of the new queue, whatever the umask. Gives a descriptor number.
pub fn mq_open(
    name: &[u8],
    flags: i32,
    mode: u32,
    attributes: Option<(i64, i64)>,
) -> Result<i32, Errno> {
    let mut name = name.to_vec();
    name.push(0);
    let sizes = attributes.map(|(messages, size)| [0, messages, size, 0, 0, 0, 0, 0]);
    let at = sizes.as_ref().map_or(std::ptr::null(), |sizes| sizes.as_ptr());
    let before = rustix::process::umask(rustix::fs::Mode::empty());
    // SAFETY: the name ends in a NUL; struct mq_attr is eight longs, which `sizes` has, or none.
    let done = checked(unsafe { libc::syscall(libc::SYS_mq_open, name.as_ptr(), flags, mode, at) });
    rustix::process::umask(before);
    done.map(|fd| fd as i32)
}

/// Calls mq_unlink with the name as it is.
pub fn mq_unlink(name: &[u8]) -> Result<(), Errno> {
    let mut name = name.to_vec();
    name.push(0);
    // SAFETY: the name ends in a NUL.
    checked(unsafe { libc::syscall(libc::SYS_mq_unlink, name.as_ptr()) }).map(drop)
}

/// How many messages a queue may hold, and how long each may be (mq_getsetattr).
pub fn mq_attributes(fd: i32) -> Result<(i64, i64), Errno> {
    let mut sizes = [0i64; 8];
    // SAFETY: struct mq_attr is eight longs, which `sizes` has; null is allowed for the new one.
    checked(unsafe { libc::syscall(libc::SYS_mq_getsetattr, fd, 0usize, sizes.as_mut_ptr()) })?;
    Ok((sizes[1], sizes[2]))
}
