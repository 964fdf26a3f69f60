//! x86-64: call registers, the filter's architecture word, x32.

use std::io;
use std::mem::MaybeUninit;
use std::ptr::null_mut;

use crate::Tid;

/// The value of `seccomp_data.arch` for native calls (`AUDIT_ARCH_X86_64`).
pub const AUDIT_ARCH: u32 = 0xc000_003e;

/// Call numbers from here on belong to another calling convention (x32).
pub const FOREIGN_NR_FROM: u32 = 0x4000_0000;
/// The number of a call that a tracer has done away with, to put its own result in the place of the
/// kernel's (`strace --inject`). Nothing is called; a program that calls it itself gets ENOSYS.
pub const NO_CALL: u32 = u32::MAX;

/// `fork`, which newer architectures do not have.
pub(crate) const FORK: i64 = libc::SYS_fork;
/// `pause`, which newer architectures do not have.
pub(crate) const PAUSE: i64 = libc::SYS_pause;
/// The instruction that makes a system call.
pub(crate) const CALL: [u8; 2] = [0x0f, 0x05];
/// Its length.
pub(crate) const CALL_LEN: u64 = CALL.len() as u64;
/// `vfork`, which newer architectures do not have.
pub(crate) const VFORK: i64 = libc::SYS_vfork;

/// The registers of a stopped thread, named by what a system call uses them for.
#[derive(Clone, Copy, Debug)]
pub struct Regs(pub(crate) libc::user_regs_struct);

impl Regs {
    /// Reads the registers of a thread that the calling thread traces and that stands.
    pub(crate) fn read(tid: Tid) -> io::Result<Regs> {
        let mut regs = MaybeUninit::<libc::user_regs_struct>::uninit();
        let request = libc::PTRACE_GETREGS as libc::c_uint;
        // SAFETY: the kernel writes one `user_regs_struct` through the pointer, which is
        // exclusively ours until the call returns.
        let r = unsafe { libc::ptrace(request, tid.0, null_mut::<()>(), regs.as_mut_ptr()) };
        if r == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so the kernel has written the whole structure.
        Ok(Regs(unsafe { regs.assume_init() }))
    }

    /// Writes them.
    pub(crate) fn write(&self, tid: Tid) -> io::Result<()> {
        let request = libc::PTRACE_SETREGS as libc::c_uint;
        // SAFETY: the kernel reads one `user_regs_struct` through the pointer, which lives until
        // the call returns.
        let r = unsafe { libc::ptrace(request, tid.0, null_mut::<()>(), &raw const self.0) };
        if r == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Sets the result register alone: cheaper than all of them.
    pub(crate) fn write_result(tid: Tid, result: i64) -> io::Result<()> {
        let request = libc::PTRACE_POKEUSER as libc::c_uint;
        let rax = std::mem::offset_of!(libc::user_regs_struct, rax);
        // SAFETY: the registers come first in the area that the address counts from, so it names one
        // of them; it and the data are scalars, and no memory of ours is touched.
        let r = unsafe { libc::ptrace(request, tid.0, rax as *mut (), result as *mut ()) };
        if r == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The call's number; negative when the thread is in no call.
    pub fn nr(&self) -> i64 {
        self.0.orig_rax as i64
    }

    /// Makes the kernel take `nr` as the call that is in progress (or `-1`: none, so that nothing
    /// is restarted).
    pub fn set_nr(&mut self, nr: i64) {
        self.0.orig_rax = nr as u64;
    }

    /// The call's result.
    pub fn result(&self) -> i64 {
        self.0.rax as i64
    }

    /// Sets the call's result.
    pub fn set_result(&mut self, result: i64) {
        self.0.rax = result as u64;
    }

    /// The six argument registers.
    pub fn args(&self) -> [u64; 6] {
        let r = &self.0;
        [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9]
    }

    /// Sets the six argument registers.
    pub fn set_args(&mut self, args: [u64; 6]) {
        let r = &mut self.0;
        [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9] = args;
    }

    /// The stack pointer.
    pub fn stack(&self) -> u64 {
        self.0.rsp
    }

    /// The address of the next instruction.
    pub fn ip(&self) -> u64 {
        self.0.rip
    }

    /// Sets it.
    pub fn set_ip(&mut self, ip: u64) {
        self.0.rip = ip;
    }

    /// Puts the thread back onto the call instruction it has just left, to make call `nr` anew.
    pub fn repeat(&mut self, nr: i64) {
        self.0.rip -= CALL_LEN;
        self.0.rax = nr as u64;
        self.0.orig_rax = u64::MAX;
    }
}

/// Bytes below the stack pointer that belong to the running function.
pub const RED_ZONE: u64 = 128;
