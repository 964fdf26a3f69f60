//! The calls that change, name or ask about namespaces.

use super::pointer::{Arena, Ptr};
use super::{Errno, checked};

/// Calls unshare with any bits.
///
/// # Panics
/// If the bits ask for a private descriptor table (`CLONE_FILES`) while the process has several
/// threads that hold descriptors by number, the numbers diverge; that is the caller's to know.
pub fn unshare(flags: u64) -> Result<(), Errno> {
    // SAFETY: the argument is a number. A private descriptor table is a copy: every descriptor that
    // this thread's objects own stays open under its number.
    checked(unsafe { libc::syscall(libc::SYS_unshare, flags) }).map(drop)
}

/// Calls setns with any descriptor number and any type.
pub fn setns(fd: i32, nstype: u64) -> Result<(), Errno> {
    // SAFETY: both arguments are numbers; the descriptor is only looked at.
    checked(unsafe { libc::syscall(libc::SYS_setns, fd, nstype) }).map(drop)
}

/// The two strings of uname that can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostNames {
    /// nodename.
    pub host: Vec<u8>,
    /// domainname.
    pub domain: Vec<u8>,
}

/// Reads the host's and the domain's name (uname).
pub fn host_names() -> Result<HostNames, Errno> {
    const FIELD: usize = 65;
    let mut all = [0u8; 6 * FIELD];
    // SAFETY: struct new_utsname is six arrays of 65 bytes, which is what `all` has.
    checked(unsafe { libc::syscall(libc::SYS_uname, all.as_mut_ptr()) })?;
    let field = |place: usize| {
        let bytes = &all[place * FIELD..(place + 1) * FIELD];
        bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
    };
    Ok(HostNames { host: field(1), domain: field(5) })
}

/// Calls sethostname. The length told is `len`; where it exceeds the name, `x` follows.
///
/// `at` overrides where the name lies.
pub fn sethostname(name: &[u8], len: i64, at: Option<Ptr>) -> Result<(), Errno> {
    set_name(libc::SYS_sethostname, name, len, at)
}

/// Calls setdomainname, as [`sethostname`].
pub fn setdomainname(name: &[u8], len: i64, at: Option<Ptr>) -> Result<(), Errno> {
    set_name(libc::SYS_setdomainname, name, len, at)
}

fn set_name(number: i64, name: &[u8], len: i64, at: Option<Ptr>) -> Result<(), Errno> {
    let mut bytes = name.to_vec();
    bytes.resize(name.len().max(len.clamp(0, 4096) as usize), b'x');
    let address = match at {
        Some(kind) => Arena::fresh().address(kind),
        None => bytes.as_ptr() as u64,
    };
    // SAFETY: the kernel refuses lengths above 64 before it reads, and `bytes` has at least as
    // many as it is told up to 4096; other addresses are the arena's or nowhere. It only reads.
    checked(unsafe { libc::syscall(number, address, len) }).map(drop)
}

/// The ioctls of a namespace descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NsRequest {
    /// `NS_GET_USERNS`: a descriptor of the owner.
    Userns,
    /// `NS_GET_PARENT`: a descriptor of the parent.
    Parent,
    /// `NS_GET_NSTYPE`: the type's clone flag.
    Nstype,
    /// `NS_GET_OWNER_UID`: the uid of the owner, in the caller's view.
    OwnerUid,
    /// Any other number of the same magic (0xb7), without argument.
    Other(u8),
}

/// Makes the request on a descriptor. The result is a descriptor number, a type, or a uid.
pub fn ns_request(fd: i32, request: NsRequest) -> Result<i64, Errno> {
    let number: u64 = match request {
        NsRequest::Userns => 1,
        NsRequest::Parent => 2,
        NsRequest::Nstype => 3,
        NsRequest::OwnerUid => 4,
        NsRequest::Other(other) => u64::from(other),
    };
    let mut uid: u32 = u32::MAX;
    let slot = std::ptr::from_mut(&mut uid);
    // SAFETY: commands of this magic without a size store at most one u32 (OwnerUid), for which
    // `uid` has room; the command's encoding says size 0 to every other driver.
    let done = checked(unsafe { libc::syscall(libc::SYS_ioctl, fd, 0xb700 | number, slot) })?;
    Ok(if request == NsRequest::OwnerUid { i64::from(uid) } else { done })
}

/// The ioctls of a namespace's descriptor that store words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NsWords {
    /// `NS_GET_ID` (since Linux 6.18): the id of a namespace of any type.
    Id,
    /// `NS_GET_MNTNS_ID` (since 6.11): the same of a mount namespace.
    MntnsId,
    /// `NS_MNT_GET_INFO` (since 6.12): sizes and mounts, and the id.
    MntInfo,
    /// `NS_MNT_GET_NEXT` (since 6.12): a descriptor of the next mount namespace, and its info.
    MntNext,
    /// `NS_MNT_GET_PREV` (since 6.12): a descriptor of the one before, and its info.
    MntPrev,
}

/// Makes the request on a descriptor. Gives the result and the words.
pub fn ns_words(fd: i32, request: NsWords) -> Result<(i64, [u64; 2]), Errno> {
    let (place, size): (u64, u64) = match request {
        NsWords::Id => (13, 8),
        NsWords::MntnsId => (5, 8),
        NsWords::MntInfo => (10, 16),
        NsWords::MntNext => (11, 16),
        NsWords::MntPrev => (12, 16),
    };
    let mut words = [0; 2];
    // Stored: _IOR(0xb7, place, size).
    let command = 2 << 30 | size << 16 | 0xb700 | place;
    let slot = std::ptr::from_mut(&mut words);
    // SAFETY: these commands store at most their own size, for which `words` has room; to other
    // drivers they are unknown, because their magic is the namespaces'.
    let done = checked(unsafe { libc::syscall(libc::SYS_ioctl, fd, command, slot) })?;
    Ok((done, words))
}

/// Asks a pidfd for the namespace of its process that has this number in the kernel's list (cgroup
/// 1, ipc, mnt, net, pid, pid_for_children, time, time_for_children, user, uts 10; since 6.11).
pub fn pidfd_namespace(fd: i32, number: u8, argument: u64) -> Result<i32, Errno> {
    let command = 0xff00 | u64::from(number);
    // SAFETY: the argument of these is a number, not an address; to other drivers the commands
    // are unknown, because nothing else has their magic.
    let done = unsafe { libc::syscall(libc::SYS_ioctl, fd, command, argument) };
    checked(done).map(|fd| fd as i32)
}

/// Gets the file handle of a namespace's descriptor, and opens the namespace by it (since 6.18).
pub fn reopen_namespace(fd: i32) -> Result<i32, Errno> {
    const ROOM: u32 = 128;
    // Stored: FD_NSFS_ROOT.
    const NSFS: i32 = -10003;
    // A length, a type, and room for a handle of that length.
    let mut handle = [0u32; 2 + ROOM as usize / 4];
    handle[0] = ROOM;
    let mut mount = 0i32;
    let (at, mount_at) = (handle.as_mut_ptr(), std::ptr::from_mut(&mut mount));
    // SAFETY: the name is empty and ends with a zero; the kernel stores a handle of at most the length
    // that stands at its beginning, for which there is room, and one number at `mount_at`. Both live
    // until the call has returned.
    let named = unsafe {
        let flags = libc::AT_EMPTY_PATH;
        libc::syscall(libc::SYS_name_to_handle_at, fd, c"".as_ptr(), at, mount_at, flags)
    };
    checked(named)?;
    // SAFETY: the handle is as the kernel has stored it, and is only read.
    checked(unsafe { libc::syscall(libc::SYS_open_by_handle_at, NSFS, at, 0) }).map(|fd| fd as i32)
}

/// The ioctls of a pid namespace's descriptor that translate numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NsNumber {
    /// `NS_GET_PID_FROM_PIDNS`: what the caller calls the thread of this number there.
    PidFrom,
    /// `NS_GET_TGID_FROM_PIDNS`: and its process.
    TgidFrom,
    /// `NS_GET_PID_IN_PIDNS`: what the thread of this number of the caller's is called there.
    PidIn,
    /// `NS_GET_TGID_IN_PIDNS`: and its process.
    TgidIn,
}

/// Makes the request on a descriptor (since Linux 6.11).
pub fn ns_number(fd: i32, request: NsNumber, number: i32) -> Result<i32, Errno> {
    let place: u64 = match request {
        NsNumber::PidFrom => 6,
        NsNumber::TgidFrom => 7,
        NsNumber::PidIn => 8,
        NsNumber::TgidIn => 9,
    };
    // Read, four bytes: _IOR(0xb7, place, int).
    let command = 2 << 30 | 4 << 16 | 0xb700 | place;
    // SAFETY: the argument of these four is a number, not an address; to other drivers the
    // command is unknown, because its magic is the namespaces'.
    let done = unsafe { libc::syscall(libc::SYS_ioctl, fd, command, i64::from(number)) };
    checked(done).map(|number| number as i32)
}
