//! process_vm_readv(2) and process_vm_writev(2).

use std::io;

use super::check;

/// Copies from address `addr` of thread `tid`; says how many bytes came before the first
/// unreadable page.
pub(crate) fn vm_read(tid: i32, addr: u64, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: addr as *mut libc::c_void, iov_len: into.len() };
    // SAFETY: the kernel writes at most `into.len()` bytes to `into`, which is exclusively ours;
    // the remote address belongs to another process and is checked by the kernel; both vectors
    // hold one element and live until the call returns.
    let r = unsafe { libc::process_vm_readv(tid, &raw const local, 1, &raw const remote, 1, 0) };
    Ok(check(r as _)? as usize)
}

/// Copies to address `addr` of thread `tid`; says how many bytes went before the first
/// unwritable page.
pub(crate) fn vm_write(tid: i32, addr: u64, from: &[u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
    let remote = libc::iovec { iov_base: addr as *mut libc::c_void, iov_len: from.len() };
    // SAFETY: the kernel only reads the `from.len()` bytes of `from`; the remote address belongs
    // to another process and is checked by the kernel; both vectors hold one element and live
    // until the call returns.
    let r = unsafe { libc::process_vm_writev(tid, &raw const local, 1, &raw const remote, 1, 0) };
    Ok(check(r as _)? as usize)
}
