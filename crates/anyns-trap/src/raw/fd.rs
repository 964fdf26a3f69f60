//! Descriptors by number.
//!
//! A scenario says "descriptor 200 of that process", which may be open, closed, or somebody's
//! mistake; an owning type cannot say so. The numbers from 100 up are the test program's own to
//! manage: nothing in the standard library opens descriptors there unless a hundred are open.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::{Errno, checked};

/// Moves an open descriptor to a number, closing what was there. It is kept over exec.
pub fn place(fd: OwnedFd, number: i32) -> Result<(), Errno> {
    duplicate(fd.as_raw_fd(), number)
}

/// Makes `number` refer to what `fd` refers to (dup2; dup3 of equal numbers is an error).
pub fn duplicate(fd: i32, number: i32) -> Result<(), Errno> {
    // SAFETY: both are numbers. What gets closed at `number` is the test program's (see above).
    checked(unsafe { libc::syscall(libc::SYS_dup2, fd, number) }).map(drop)
}

/// Closes a number.
pub fn close(number: i32) -> Result<(), Errno> {
    // SAFETY: a number of the test program's own range, which no owning object refers to.
    checked(unsafe { libc::syscall(libc::SYS_close, number) }).map(drop)
}

/// Opens a path below the directory that a number stands for (openat).
pub fn open_at(directory: i32, path: &str, flags: i32) -> Result<i32, Errno> {
    let path = std::ffi::CString::new(path).map_err(|_| Errno::INVAL)?;
    // SAFETY: the path ends with a zero and lives until the call has returned; the rest are
    // numbers. The new descriptor belongs to nobody yet.
    let fd =
        checked(unsafe { libc::syscall(libc::SYS_openat, directory, path.as_ptr(), flags, 0) })?;
    Ok(fd as i32)
}

/// Whether nobody has a file open, or mapped, but through this descriptor: whether a write lease can be
/// had (fcntl(2)). Who has it open with O_PATH does not count.
pub fn is_nobody_elses(fd: BorrowedFd<'_>) -> bool {
    let lease = |kind: i32| {
        // SAFETY: both arguments of this command are numbers.
        checked(unsafe { libc::syscall(libc::SYS_fcntl, fd.as_raw_fd(), libc::F_SETLEASE, kind) })
    };
    lease(libc::F_WRLCK).is_ok() && lease(libc::F_UNLCK).is_ok()
}

/// Reads at the current position.
pub fn read(fd: i32, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel stores at most the slice's length at its start.
    let count =
        checked(unsafe { libc::syscall(libc::SYS_read, fd, buffer.as_mut_ptr(), buffer.len()) })?;
    Ok(count as usize)
}

/// Writes at the current position.
pub fn write(fd: i32, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads at most the slice's length from its start.
    let count =
        checked(unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) })?;
    Ok(count as usize)
}

/// Writes at an offset.
pub fn pwrite(fd: i32, bytes: &[u8], offset: i64) -> Result<usize, Errno> {
    // SAFETY: the kernel reads at most the slice's length from its start.
    let count = checked(unsafe {
        libc::syscall(libc::SYS_pwrite64, fd, bytes.as_ptr(), bytes.len(), offset)
    })?;
    Ok(count as usize)
}

/// Writes several segments in one call (writev).
pub fn write_segments(fd: i32, segments: &[&[u8]]) -> Result<usize, Errno> {
    let vector: Vec<libc::iovec> = segments
        .iter()
        .map(|bytes| libc::iovec { iov_base: bytes.as_ptr() as *mut _, iov_len: bytes.len() })
        .collect();
    // SAFETY: the vector has the number of entries told, each a live slice with its length;
    // writev only reads them.
    let count =
        checked(unsafe { libc::syscall(libc::SYS_writev, fd, vector.as_ptr(), vector.len()) })?;
    Ok(count as usize)
}

/// Room for one control message with a descriptor or credentials.
#[repr(C, align(8))]
struct Control([u8; 32]);

/// Sends a copy of a descriptor, with one byte, over a Unix socket.
pub fn send_descriptor(socket: i32, fd: i32) -> Result<(), Errno> {
    let mut control = Control([0; 32]);
    control.0[..8].copy_from_slice(&20u64.to_ne_bytes()); // cmsg_len: header and one int
    control.0[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
    control.0[12..16].copy_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
    control.0[16..20].copy_from_slice(&fd.to_ne_bytes());
    let mut byte = 0u8;
    let mut part = libc::iovec { iov_base: std::ptr::from_mut(&mut byte).cast(), iov_len: 1 };
    let message = Message::new(&mut part, control.0.as_mut_ptr(), 24);
    let at = std::ptr::from_ref(&message.0);
    // SAFETY: the header names one live byte and a live, aligned control buffer, with their
    // lengths; sendmsg only reads.
    checked(unsafe { libc::syscall(libc::SYS_sendmsg, socket, at, 0) }).map(drop)
}

/// Receives a descriptor sent by [`send_descriptor`]; its number, or -1 if a bare byte came.
pub fn receive_descriptor(socket: i32) -> Result<i32, Errno> {
    let mut control = Control([0; 32]);
    let mut byte = 0u8;
    let mut part = libc::iovec { iov_base: std::ptr::from_mut(&mut byte).cast(), iov_len: 1 };
    let mut message = Message::new(&mut part, control.0.as_mut_ptr(), 24);
    let at = std::ptr::from_mut(&mut message.0);
    // SAFETY: the header names one live byte and a live, aligned control buffer, with their
    // lengths, all of which the kernel may write to.
    let count = checked(unsafe { libc::syscall(libc::SYS_recvmsg, socket, at, 0) })?;
    let has_descriptor = count == 1 && message.0.msg_controllen >= 20;
    let number = i32::from_ne_bytes([control.0[16], control.0[17], control.0[18], control.0[19]]);
    Ok(if has_descriptor { number } else { -1 })
}

/// Sends a byte with this process number, user and group as the caller's own (`SCM_CREDENTIALS`).
pub fn send_credentials(socket: i32, credentials: [i32; 3]) -> Result<(), Errno> {
    let mut control = Control([0; 32]);
    control.0[..8].copy_from_slice(&28u64.to_ne_bytes()); // cmsg_len: header and three ints
    control.0[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
    control.0[12..16].copy_from_slice(&libc::SCM_CREDENTIALS.to_ne_bytes());
    for (place, number) in credentials.iter().enumerate() {
        control.0[16 + 4 * place..][..4].copy_from_slice(&number.to_ne_bytes());
    }
    let mut byte = 0u8;
    let mut part = libc::iovec { iov_base: std::ptr::from_mut(&mut byte).cast(), iov_len: 1 };
    let message = Message::new(&mut part, control.0.as_mut_ptr(), 32);
    let at = std::ptr::from_ref(&message.0);
    // SAFETY: the header names one live byte and a live, aligned control buffer, with their
    // lengths; sendmsg only reads.
    checked(unsafe { libc::syscall(libc::SYS_sendmsg, socket, at, 0) }).map(drop)
}

/// Receives what [`send_credentials`] sent, without waiting: the sender's process number, 0 where
/// it has none here. The socket must have `SO_PASSCRED`.
pub fn receive_credentials(socket: i32) -> Result<i32, Errno> {
    let mut control = Control([0; 32]);
    let mut byte = 0u8;
    let mut part = libc::iovec { iov_base: std::ptr::from_mut(&mut byte).cast(), iov_len: 1 };
    let mut message = Message::new(&mut part, control.0.as_mut_ptr(), 32);
    let at = std::ptr::from_mut(&mut message.0);
    // SAFETY: the header names one live byte and a live, aligned control buffer, with their
    // lengths, all of which the kernel may write to.
    checked(unsafe { libc::syscall(libc::SYS_recvmsg, socket, at, libc::MSG_DONTWAIT) })?;
    if message.0.msg_controllen < 28 {
        return Err(Errno::NOMSG);
    }
    Ok(i32::from_ne_bytes([control.0[16], control.0[17], control.0[18], control.0[19]]))
}

/// A message header without an address; its parts are to live for as long as it is used.
pub(super) struct Message(pub(super) libc::msghdr);

impl Message {
    pub(super) fn new(part: *mut libc::iovec, control: *mut u8, len: usize) -> Message {
        // SAFETY: all-zero bytes are a valid msghdr: null pointers and zero lengths.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = part;
        header.msg_iovlen = 1;
        header.msg_control = control.cast();
        header.msg_controllen = len;
        Message(header)
    }
}

/// Bytes of a `struct fsxattr`, the longest argument of [`change_file`].
pub const FSXATTR: usize = 28;

/// `FS_IOC_FSSETXATTR`, which reads a `struct fsxattr`.
pub const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;

/// The requests of ioctl(2) that change a file: `FS_IOC_SETFLAGS` and `FS_IOC_SETVERSION`, which read an
/// `int` whatever their numbers say, and [`FS_IOC_FSSETXATTR`].
pub const FILE_CHANGES: [u32; 3] = [0x4008_6602, 0x4008_7602, FS_IOC_FSSETXATTR];

/// Makes one of these [requests](FILE_CHANGES).
///
/// # Errors
/// EINVAL for any other request; those of ioctl(2).
pub fn change_file(
    fd: BorrowedFd<'_>,
    request: u32,
    argument: &mut [u8; FSXATTR],
) -> Result<(), Errno> {
    if !FILE_CHANGES.contains(&request) {
        return Err(Errno::INVAL);
    }
    let (fd, argument) = (fd.as_raw_fd(), argument.as_mut_ptr());
    // SAFETY: these requests read at most the 28 bytes of a `struct fsxattr`, of which there are as many;
    // a driver that takes them for others of the same size and direction reads no more.
    checked(unsafe { libc::syscall(libc::SYS_ioctl, fd, u64::from(request), argument) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_descriptor_travels() {
        let (one, two) = UnixDatagram::pair().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        send_descriptor(one.as_raw_fd(), file.as_raw_fd()).unwrap();
        let got = receive_descriptor(two.as_raw_fd()).unwrap();
        assert!(got > 2);
        assert_eq!(read(got, &mut [0; 4]), Ok(0));
        close(got).unwrap();
        assert_eq!(close(got), Err(Errno::BADF));
    }
}
