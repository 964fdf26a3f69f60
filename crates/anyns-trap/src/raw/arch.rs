//! The instructions that only one architecture has; one module per architecture.

#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::{birth_then_exit, fork_number};

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    //! x86-64: `syscall`, arguments in rdi, rsi, rdx, r10, r8; result in rax.

    /// The number of fork.
    pub(in crate::raw) fn fork_number() -> i64 {
        libc::SYS_fork
    }

    /// Makes the call `nr`; where it returns 0 (the child) it goes straight on to `exit(0)`.
    ///
    /// The child runs four instructions that touch no memory, so it may share everything with its
    /// parent, the stack included. The result is the kernel's: a number or minus an error number.
    ///
    /// # Safety
    /// `nr` must be a call that creates a task (clone, clone3) whose pointer arguments are null or
    /// name memory that the kernel may write to and read from.
    pub(in crate::raw) unsafe fn birth_then_exit(nr: i64, args: [u64; 5]) -> i64 {
        let result: i64;
        // SAFETY: the parent's path is one system call, whose clobbers (rcx, r11) are declared and
        // whose effect on memory is the caller's to answer for; the child's path never leaves the
        // asm block and touches no memory, so that it may run on the parent's own stack. `exit`
        // ends only the calling thread, so a child of the same thread group does not end the
        // parent either.
        unsafe {
            core::arch::asm!(
                "syscall",
                "test rax, rax",
                "jnz 2f",
                "xor edi, edi",
                "mov eax, {exit}",
                "syscall",
                "ud2",
                "2:",
                exit = const libc::SYS_exit,
                inlateout("rax") nr => result,
                in("rdi") args[0],
                in("rsi") args[1],
                in("rdx") args[2],
                in("r10") args[3],
                in("r8") args[4],
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack)
            );
        }
        result
    }
}
