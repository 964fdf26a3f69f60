//! Being run soon after a wake-up.

use std::io;

use super::check;

/// How long we want to run at once, in nanoseconds: the least that the kernel takes.
const SLICE: u64 = 100_000;

/// Asks the scheduler for short turns, which come sooner, for the calling thread and those that it
/// starts. It gets no larger share of the processors by that, but is woken in front of who computes.
///
/// # Errors
/// Those of sched_setattr(2). Kernels before 6.12 take the wish and do nothing.
pub(crate) fn take_short_turns() -> io::Result<()> {
    // SAFETY: the structure is plain numbers, and all of them may be 0.
    let mut attr: libc::sched_attr = unsafe { std::mem::zeroed() };
    let size = size_of_val(&attr) as libc::c_uint;
    // SAFETY: the kernel writes at most `size` bytes to the structure, which is ours alone.
    check(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attr, size, 0) })?;
    if attr.sched_policy != libc::SCHED_OTHER as u32 {
        // Somebody has chosen for us.
        return Ok(());
    }
    attr.sched_runtime = SLICE;
    // SAFETY: the kernel reads the structure, which lives until the call returns.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_the_wish() {
        std::thread::spawn(|| take_short_turns().expect("it is for everybody")).join().unwrap();
    }
}
