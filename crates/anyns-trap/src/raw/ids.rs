//! User and group ids of the calling thread, as the kernel keeps them.

use super::{Errno, checked};

/// The four ids of one sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Real.
    pub real: u32,
    /// Effective.
    pub effective: u32,
    /// Saved.
    pub saved: u32,
}

/// Reads the user ids, then the group ids (getresuid, getresgid).
pub fn get_ids() -> Result<(Ids, Ids), Errno> {
    Ok((three(libc::SYS_getresuid)?, three(libc::SYS_getresgid)?))
}

fn three(number: i64) -> Result<Ids, Errno> {
    let mut ids = [0u32; 3];
    let at = ids.each_mut().map(std::ptr::from_mut);
    // SAFETY: the kernel stores one u32 at each of the three addresses, which are distinct live
    // elements of `ids`.
    checked(unsafe { libc::syscall(number, at[0], at[1], at[2]) })?;
    Ok(Ids { real: ids[0], effective: ids[1], saved: ids[2] })
}

/// Reads the file-system ids, uid then gid: setfsuid(-1) changes nothing and returns the old one.
pub fn fs_ids() -> (u32, u32) {
    (setfsuid(u32::MAX), setfsgid(u32::MAX))
}

macro_rules! id_calls {
    ($($(#[$doc:meta])* $name:ident($($arg:ident),+) = $number:ident;)+) => {$(
        $(#[$doc])*
        pub fn $name($($arg: u32),+) -> Result<(), Errno> {
            // SAFETY: all arguments are numbers; the call reads and writes no memory.
            checked(unsafe { libc::syscall(libc::$number, $($arg),+) }).map(drop)
        }
    )+};
}

id_calls! {
    /// Sets the effective uid, with CAP_SETUID all four.
    setuid(uid) = SYS_setuid;
    /// Sets the effective gid, with CAP_SETGID all four.
    setgid(gid) = SYS_setgid;
    /// Sets real and effective uid; `u32::MAX` leaves one.
    setreuid(real, effective) = SYS_setreuid;
    /// Sets real and effective gid; `u32::MAX` leaves one.
    setregid(real, effective) = SYS_setregid;
    /// Sets real, effective and saved uid; `u32::MAX` leaves one.
    setresuid(real, effective, saved) = SYS_setresuid;
    /// Sets real, effective and saved gid; `u32::MAX` leaves one.
    setresgid(real, effective, saved) = SYS_setresgid;
}

/// Sets the file-system uid and returns the old one, whether it changed or not.
pub fn setfsuid(uid: u32) -> u32 {
    // SAFETY: the argument is a number; the call reads and writes no memory.
    unsafe { libc::syscall(libc::SYS_setfsuid, uid) as u32 }
}

/// Sets the file-system gid and returns the old one, whether it changed or not.
pub fn setfsgid(gid: u32) -> u32 {
    // SAFETY: as for setfsuid.
    unsafe { libc::syscall(libc::SYS_setfsgid, gid) as u32 }
}

/// Reads the supplementary groups.
pub fn getgroups() -> Result<Vec<u32>, Errno> {
    let mut list = vec![0u32; 65536];
    // SAFETY: the kernel stores at most the given number of u32 at the vector's start, which has
    // room for as many.
    let count =
        checked(unsafe { libc::syscall(libc::SYS_getgroups, list.len(), list.as_mut_ptr()) })?;
    list.truncate(count as usize);
    Ok(list)
}

/// Sets the supplementary groups.
pub fn setgroups(list: &[u32]) -> Result<(), Errno> {
    // SAFETY: the kernel reads as many u32 as the slice has, from its start.
    checked(unsafe { libc::syscall(libc::SYS_setgroups, list.len(), list.as_ptr()) }).map(drop)
}
