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
