//! Objects of the host that guests share memory and messages through, none of which outlives us.
//!
//! A [`Segment`] of System V shared memory is marked for removal as soon as it is made, while this
//! process has it attached: Linux lets whoever knows its id attach it all the same, and removes it
//! with the last attachment. A [`Queue`] of POSIX messages loses its name as soon as it has one, and
//! lives by its descriptors. So the kernel cleans up whatever ends us, SIGKILL included; what a kill
//! between two system calls leaves is recognised by [`sweep`].
//!
//! Not here: who may use them, and under which ids and names; that is the supervisor's to know.

use std::ffi::CString;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::io::Errno;

/// The mode of our segments: to their owner alone they are of use, since nobody can attach what he
/// may not read. No program asks for such a one.
const MARK: u32 = 0o731;
/// What of shmget's flags concerns the memory itself: huge pages and their size, SHM_NORESERVE.
const MEMORY_FLAGS: i32 = 0o4000 | 0o10000 | (0x3f << 26);

/// A segment of shared memory.
#[derive(Debug)]
pub struct Segment {
    id: i32,
    /// Where this process has it attached.
    at: usize,
}

/// What the kernel knows of a segment that guests use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How often guests have it attached.
    pub attached: u64,
    /// When it was last attached, in seconds since 1970; 0 for never.
    pub attached_at: i64,
    /// When it was last detached.
    pub detached_at: i64,
    /// The process that last did either.
    pub last: i32,
}

impl Segment {
    /// Makes a segment of `size` bytes; of shmget's `flags` those about the memory count.
    ///
    /// # Errors
    /// Those of shmget(2) and shmat(2).
    pub fn create(size: u64, flags: i32) -> Result<Segment, Errno> {
        let flags = flags & MEMORY_FLAGS | MARK as i32;
        // SAFETY: the arguments are numbers.
        let id = unsafe { libc::syscall(libc::SYS_shmget, libc::IPC_PRIVATE, size, flags) };
        let id = checked(id)? as i32;
        // SAFETY: without an address and without SHM_REMAP the kernel maps where nothing is.
        let at = unsafe { libc::syscall(libc::SYS_shmat, id, 0usize, libc::SHM_RDONLY) };
        let at = checked(at);
        // SAFETY: the arguments are numbers; IPC_RMID looks at no address.
        let removed = unsafe { libc::syscall(libc::SYS_shmctl, id, libc::IPC_RMID, 0usize) };
        let segment = Segment { id, at: at? as usize };
        checked(removed)?;
        Ok(segment)
    }

    /// Its id on the host.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// What is made of it.
    ///
    /// # Errors
    /// Those of shmctl(2).
    pub fn usage(&self) -> Result<Usage, Errno> {
        let mut stat = MaybeUninit::<libc::shmid_ds>::zeroed();
        let to = stat.as_mut_ptr();
        // SAFETY: the kernel stores one `shmid_ds` through the pointer, which is exclusively ours.
        checked(unsafe { libc::syscall(libc::SYS_shmctl, self.id, libc::IPC_STAT, to) })?;
        // SAFETY: the call succeeded, and all bytes were zero before, which every field may be.
        let stat = unsafe { stat.assume_init() };
        Ok(Usage {
            attached: stat.shm_nattch.saturating_sub(1),
            // Ours was the first attachment.
            attached_at: if stat.shm_lpid == std::process::id() as i32 {
                0
            } else {
                stat.shm_atime
            },
            detached_at: stat.shm_dtime,
            last: if stat.shm_lpid == std::process::id() as i32 { 0 } else { stat.shm_lpid },
        })
    }

    /// Gives it to another user of this host, for whom it has been made all the same.
    ///
    /// # Errors
    /// Those of shmctl(2).
    pub fn give_to(&self, uid: u32) -> Result<(), Errno> {
        let mut stat = MaybeUninit::<libc::shmid_ds>::zeroed();
        let to = stat.as_mut_ptr();
        // SAFETY: the kernel stores one `shmid_ds` through the pointer, which is exclusively ours.
        checked(unsafe { libc::syscall(libc::SYS_shmctl, self.id, libc::IPC_STAT, to) })?;
        // SAFETY: the call succeeded, and all bytes were zero before, which every field may be.
        let mut stat = unsafe { stat.assume_init() };
        if stat.shm_perm.uid == uid {
            return Ok(());
        }
        stat.shm_perm.uid = uid;
        let from = &raw const stat;
        // SAFETY: the kernel reads one `shmid_ds` through the pointer, which lives until it returns.
        checked(unsafe { libc::syscall(libc::SYS_shmctl, self.id, libc::IPC_SET, from) }).map(drop)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: the address is of our own attachment, which nothing refers to but this value.
        let _ = unsafe { libc::syscall(libc::SYS_shmdt, self.at) };
    }
}

/// A queue of POSIX messages, which lives as long as somebody has it open.
#[derive(Debug)]
pub struct Queue(OwnedFd);

impl Queue {
    /// Makes a queue for so many messages of such a size.
    ///
    /// # Errors
    /// Those of mq_open(3): EINVAL and ENOSPC where the host's limits are lower, EMFILE.
    pub fn create(messages: u32, size: u32) -> Result<Queue, Errno> {
        let attributes: [i64; 8] = [0, messages.into(), size.into(), 0, 0, 0, 0, 0];
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR | libc::O_CLOEXEC;
        let mut name = passing_name();
        for attempt in 0.. {
            let at = attributes.as_ptr();
            // SAFETY: the name ends in a NUL; struct mq_attr is eight longs, which `attributes` has.
            let fd = unsafe { libc::syscall(libc::SYS_mq_open, name.as_ptr(), flags, 0o600, at) };
            match checked(fd) {
                Ok(fd) => {
                    // SAFETY: the kernel has just given this descriptor to us alone.
                    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
                    let _ = unlink(&name);
                    return Ok(Queue(fd));
                }
                // Of somebody who is between the two calls as well, or was killed there. He needs
                // the name no more.
                Err(Errno::EXIST) if attempt < 64 => {
                    if unlink(&name).is_err_and(|errno| errno != Errno::NOENT) {
                        let more = format!("anyns.{}.{attempt}", std::process::id());
                        name = CString::new(more).expect("digits and letters");
                    }
                }
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EXIST)
    }

    /// A descriptor of its own, opened with these flags.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(&self, flags: i32) -> Result<OwnedFd, Errno> {
        let link = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        let wanted = flags & (libc::O_ACCMODE | libc::O_NONBLOCK) | libc::O_CLOEXEC;
        let wanted = rustix::fs::OFlags::from_bits_retain(wanted as u32);
        rustix::fs::open(link, wanted, rustix::fs::Mode::empty())
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The name that a queue of this user's has for a moment.
fn passing_name() -> CString {
    let name = format!("anyns.{}", rustix::process::geteuid().as_raw());
    CString::new(name).expect("digits and letters")
}

fn unlink(name: &CString) -> Result<(), Errno> {
    // SAFETY: the name ends in a NUL.
    checked(unsafe { libc::syscall(libc::SYS_mq_unlink, name.as_ptr()) }).map(drop)
}

/// Removes what a supervisor of this user left that was killed between making an object and marking
/// it for removal. Returns how many there were.
pub fn sweep() -> usize {
    let mut swept = usize::from(unlink(&passing_name()).is_ok());
    let Ok(table) = fs::read_to_string("/proc/sysvipc/shm") else { return swept };
    let me = rustix::process::geteuid().as_raw();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|text| text.parse::<i64>().ok());
        let mode = fields.get(2).and_then(|text| u32::from_str_radix(text, 8).ok());
        let (Some(key), Some(id), Some(maker), Some(attached), Some(owner)) =
            (number(0), number(1), number(4), number(6), number(9))
        else {
            continue;
        };
        let ours = key == 0 && mode == Some(MARK) && owner == i64::from(me);
        // 0: a process that cannot be seen from here.
        if ours
            && attached == 0
            && maker > 0
            && !fs::exists(format!("/proc/{maker}")).unwrap_or(true)
        {
            let command = libc::IPC_RMID;
            // SAFETY: the arguments are numbers and a null pointer, which IPC_RMID does not look at.
            let gone = unsafe {
                libc::syscall(libc::SYS_shmctl, id as i32, command, ptr::null::<libc::shmid_ds>())
            };
            swept += usize::from(gone == 0);
        }
    }
    swept
}

fn checked(returned: libc::c_long) -> Result<i64, Errno> {
    match returned {
        -1 => {
            let error = std::io::Error::last_os_error();
            Err(Errno::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EIO)))
        }
        returned => Ok(returned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_attached_by_its_id_and_goes_with_us() {
        let segment = Segment::create(5000, 0).unwrap();
        let id = segment.id();
        assert_eq!(segment.usage().unwrap(), Usage::default());
        crate::raw::shmat(id, 0).unwrap();
        assert_eq!(segment.usage().unwrap().attached, 1);
        crate::raw::shmdt(id).unwrap();
        assert_eq!(segment.usage().unwrap().attached, 0);
        drop(segment);
        assert_eq!(crate::raw::shmat(id, 0), Err(Errno::INVAL));
    }

    #[test]
    fn a_queue_has_no_name_and_many_descriptors() {
        let queue = Queue::create(3, 64).unwrap();
        let reader = queue.open(libc::O_RDONLY | libc::O_NONBLOCK).unwrap();
        assert_eq!(crate::raw::mq_attributes(reader.as_raw_fd()), Ok((3, 64)));
        assert_eq!(unlink(&passing_name()), Err(Errno::NOENT));
        assert_eq!(Queue::create(0, 64).err(), Some(Errno::INVAL));
    }

    #[test]
    fn what_a_dead_one_left_is_swept() {
        // A child of ours dies between the two calls, as it were.
        let me = std::env::current_exe().unwrap();
        if std::env::var_os("ANYNS_LEAVES_A_SEGMENT").is_some() {
            let flags = MARK as i32;
            // SAFETY: the arguments are numbers.
            let id = unsafe { libc::syscall(libc::SYS_shmget, libc::IPC_PRIVATE, 4096, flags) };
            assert!(id >= 0);
            return;
        }
        let name = "objects::tests::what_a_dead_one_left_is_swept";
        let status = std::process::Command::new(me)
            .args(["--exact", name])
            .env("ANYNS_LEAVES_A_SEGMENT", "1")
            .stdout(std::process::Stdio::null())
            .status();
        assert!(status.unwrap().success());
        assert!(sweep() >= 1);
        assert_eq!(sweep(), 0);
    }
}
