//! Memory of the process's own.

/// Has all threads allocate from one heap, which is there already. glibc makes one for each of the first
/// few threads otherwise, some six system calls and page faults each; what threads free often they keep
/// for themselves in either case.
pub(crate) fn share_heap() {
    // SAFETY: mallopt(3) takes two numbers. What it cannot set stays as it was.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
