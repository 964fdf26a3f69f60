//! Installing a seccomp filter that was computed elsewhere.

use super::{Errno, checked};

/// One instruction of a classic BPF program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// How far to jump when true.
    pub jt: u8,
    /// How far to jump when false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// Puts a filter on the calling thread. It needs `no_new_privs` or CAP_SYS_ADMIN.
pub fn install_filter(program: &[Instruction]) -> Result<(), Errno> {
    let filters: Vec<libc::sock_filter> = program
        .iter()
        .map(|i| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k })
        .collect();
    let Ok(len) = u16::try_from(filters.len()) else { return Err(Errno::INVAL) };
    let whole = libc::sock_fprog { len, filter: filters.as_ptr().cast_mut() };
    let at = std::ptr::from_ref(&whole);
    // SAFETY: `whole` names a live vector with its length; the kernel copies and verifies it.
    checked(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, at) })
        .map(drop)
}
