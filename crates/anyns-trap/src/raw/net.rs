//! Sockets by number, with addresses as the bytes that the kernel takes.

use super::fd::Message;
use super::{Errno, checked};

/// Makes a socket; the result is its number.
pub fn socket(family: i32, kind: i32, protocol: i32) -> Result<i32, Errno> {
    // SAFETY: the arguments are numbers.
    checked(unsafe { libc::syscall(libc::SYS_socket, family, kind, protocol) }).map(|fd| fd as i32)
}

/// Sets an option that is an int.
pub fn set_option(fd: i32, level: i32, name: i32, value: i32) -> Result<(), Errno> {
    let at = std::ptr::from_ref(&value);
    let len = size_of::<i32>();
    // SAFETY: the kernel reads `len` bytes at `at`, an int that is alive.
    checked(unsafe { libc::syscall(libc::SYS_setsockopt, fd, level, name, at, len) }).map(drop)
}

/// Calls bind with an address as bytes.
pub fn bind(fd: i32, address: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads as many bytes as it is told, which the slice has.
    checked(unsafe { libc::syscall(libc::SYS_bind, fd, address.as_ptr(), address.len()) }).map(drop)
}

/// Calls connect with an address as bytes.
pub fn connect(fd: i32, address: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads as many bytes as it is told, which the slice has.
    checked(unsafe { libc::syscall(libc::SYS_connect, fd, address.as_ptr(), address.len()) })
        .map(drop)
}

/// Calls sendmsg with an address (none, if that is empty) and control messages as bytes; says how many
/// bytes of the message went.
pub fn send_message(
    fd: i32,
    address: &[u8],
    bytes: &[u8],
    control: &[u8],
    flags: i32,
) -> Result<usize, Errno> {
    let mut part = libc::iovec { iov_base: bytes.as_ptr() as *mut _, iov_len: bytes.len() };
    let mut message = Message::new(&mut part, control.as_ptr().cast_mut(), control.len());
    if !address.is_empty() {
        message.0.msg_name = address.as_ptr().cast_mut().cast();
        message.0.msg_namelen = address.len() as u32;
    }
    let at = std::ptr::from_ref(&message.0);
    // SAFETY: the header names live slices with their lengths, which sendmsg only reads.
    checked(unsafe { libc::syscall(libc::SYS_sendmsg, fd, at, flags) }).map(|sent| sent as usize)
}

/// Calls listen.
pub fn listen(fd: i32, backlog: i32) -> Result<(), Errno> {
    // SAFETY: the arguments are numbers.
    checked(unsafe { libc::syscall(libc::SYS_listen, fd, backlog) }).map(drop)
}

/// Asks a socket for its network namespace (`SIOCGSKNS`); the result is a descriptor's number.
pub fn socket_namespace(fd: i32) -> Result<i32, Errno> {
    const SIOCGSKNS: u64 = 0x894c;
    let mut room = [0u8; 64];
    // SAFETY: SIOCGSKNS takes no argument; whatever another driver makes of the number, ioctls of
    // this range store at most a struct ifreq of 40 bytes, for which `room` has place.
    checked(unsafe { libc::syscall(libc::SYS_ioctl, fd, SIOCGSKNS, room.as_mut_ptr()) })
        .map(|fd| fd as i32)
}
