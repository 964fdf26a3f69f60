//! Making processes: clone, clone3 and vfork with any flags.
//!
//! Two sorts of child. A *process* has its own copy of the memory and goes on in the caller's code,
//! as after fork. An *idle* child exits before it touches any memory; it is the only sort possible
//! when the flags ask for shared memory, for a thread, or for numbers to be stored at addresses.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::arch::{birth_then_exit, fork_number};
use super::pointer::{Arena, Ptr};
use super::{Errno, kernel_result};

/// The flags with which a child may not go on in its parent's code.
const NOT_FOR_A_PROCESS: u64 = (libc::CLONE_VM
    | libc::CLONE_THREAD
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_SETTID
    | libc::CLONE_CHILD_CLEARTID) as u64;

/// Whose code goes on after a birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// The parent's; the child's number, and its pidfd if `CLONE_PIDFD` was given.
    Parent {
        /// The child's thread number as the caller sees it.
        child: i32,
        /// The descriptor stored by `CLONE_PIDFD`, else -1.
        pidfd: i32,
    },
    /// The child's.
    Child,
}

/// Says whether a child made with these flags can go on in its parent's code.
fn is_process(flags: u64) -> bool {
    flags & NOT_FOR_A_PROCESS == 0
}

/// Calls `clone(flags, 0, ..)`; the child goes on here, in a copy of the memory.
///
/// Like fork it copies only the calling thread: locks that other threads hold stay held in the
/// child.
///
/// # Panics
/// If the flags share memory, make a thread or store numbers: see [`clone_idle`].
pub fn clone_process(flags: u64) -> Result<Birth, Errno> {
    assert!(is_process(flags), "{flags:#x} needs an idle child");
    let mut pidfd: i32 = -1;
    let slot = std::ptr::from_mut(&mut pidfd);
    // SAFETY: no stack is given and memory is not shared (asserted), so the child has a copy of
    // this frame and returns from the call as the parent does; the only address the kernel may
    // write to is `pidfd`, which is a live local, in the parent's memory, when CLONE_PIDFD is set.
    let returned = unsafe { libc::syscall(libc::SYS_clone, flags, 0u64, slot, 0u64, 0u64) };
    birth(super::checked(returned)?, pidfd)
}

/// Calls fork; the child goes on here, in a copy of the memory. See [`clone_process`] on threads.
pub fn fork() -> Result<Birth, Errno> {
    // SAFETY: the child has its own copy of everything and returns from the call as the parent
    // does; the call has no arguments.
    let returned = unsafe { libc::syscall(fork_number()) };
    birth(super::checked(returned)?, -1)
}

/// Calls `clone(flags, 0, 0, 0, 0)`; the child exits at once with status 0.
///
/// Returns the child's number. With `CLONE_PIDFD` the kernel finds no room for the descriptor.
pub fn clone_idle(flags: u64) -> Result<i32, Errno> {
    // SAFETY: clone creates a task, and all its pointer arguments are null: there the kernel skips
    // a store or answers EFAULT. With CLONE_SETTLS the child's thread pointer is null, which it
    // does not live long enough to use; the parent's is its own.
    let returned = unsafe { birth_then_exit(libc::SYS_clone, [flags, 0, 0, 0, 0]) };
    kernel_result(returned).map(|child| child as i32)
}

/// The list of wanted numbers in a clone3 argument block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TidSet {
    /// Pointer and size are 0.
    #[default]
    None,
    /// These numbers, innermost namespace first.
    List(Vec<i32>),
    /// A size with a pointer of some kind.
    Bad(Ptr, u64),
}

/// The argument block of clone3, well formed or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clone3 {
    /// All 64 bits.
    pub flags: u64,
    /// The signal for the parent, with nonsense in any bit.
    pub exit_signal: u64,
    /// The stack's address; only null and non-null matter, the child never uses it.
    pub stack: Option<Ptr>,
    /// The stack's length.
    pub stack_size: u64,
    /// Wanted numbers.
    pub set_tid: TidSet,
    /// The descriptor for `CLONE_INTO_CGROUP`.
    pub cgroup: u64,
    /// The length of the block as told to the kernel; 0 means the full 88 bytes.
    pub size: usize,
    /// What fills the block beyond its 88 known bytes.
    pub tail: u8,
    /// Where the block lies; `None`: where it should.
    pub at: Option<Ptr>,
}

/// The block as the kernel knows it in 6.x.
const KNOWN: usize = 88;

/// What the kernel is given, kept alive while it looks.
struct Block {
    bytes: Vec<u8>,
    size: usize,
    _tids: Vec<i32>,
    _pidfd: Box<i32>,
}

impl Clone3 {
    fn block(&self) -> Block {
        let arena = Arena::get();
        let mut pidfd = Box::new(-1i32);
        let mut tids = Vec::new();
        let (tid_pointer, tid_count) = match &self.set_tid {
            TidSet::None => (0, 0),
            TidSet::Bad(kind, size) => (arena.address(*kind), *size),
            TidSet::List(list) => {
                tids.clone_from(list);
                (tids.as_ptr() as u64, tids.len() as u64)
            }
        };
        let pidfd_pointer = std::ptr::from_mut(&mut *pidfd) as u64;
        let stack = self.stack.map_or(0, |kind| arena.address(kind));
        let words = [
            self.flags,
            if self.flags & libc::CLONE_PIDFD as u64 != 0 { pidfd_pointer } else { 0 },
            0, // child_tid
            0, // parent_tid
            self.exit_signal,
            stack,
            self.stack_size,
            0, // tls
            tid_pointer,
            tid_count,
            self.cgroup,
        ];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let size = if self.size == 0 { KNOWN } else { self.size };
        bytes.resize(size.max(KNOWN), self.tail);
        Block { bytes, size, _tids: tids, _pidfd: pidfd }
    }

    fn address(&self, block: &Block) -> u64 {
        match self.at {
            Some(kind) => Arena::fresh().address(kind),
            None => block.bytes.as_ptr() as u64,
        }
    }
}

/// Calls clone3; the child goes on here, in a copy of the memory.
///
/// # Panics
/// As [`clone_process`], and if a stack is given: see [`clone3_idle`].
pub fn clone3_process(args: &Clone3) -> Result<Birth, Errno> {
    assert!(is_process(args.flags) && args.stack.is_none(), "needs an idle child");
    let block = args.block();
    let address = args.address(&block);
    // SAFETY: the block and what it points to live in `block` until after the call, or in the
    // arena, or nowhere; no stack is given and memory is not shared (asserted; a block read from
    // the arena is all `x` or all 0, which are an unknown flag and fork's), so the child goes on in
    // its own copy of this frame.
    let returned = unsafe { libc::syscall(libc::SYS_clone3, address, block.size) };
    let pidfd = *block._pidfd;
    birth(super::checked(returned)?, pidfd)
}

/// Calls clone3; the child exits at once with status 0.
pub fn clone3_idle(args: &Clone3) -> Result<i32, Errno> {
    let block = args.block();
    let address = args.address(&block);
    // SAFETY: clone3 creates a task; the block and what it points to live in `block` until after
    // the call, or in the arena, or nowhere. Stores of the numbers are asked at null only. The
    // child uses no stack, whatever it was given.
    let returned =
        unsafe { birth_then_exit(libc::SYS_clone3, [address, block.size as u64, 0, 0, 0]) };
    kernel_result(returned).map(|child| child as i32)
}

fn birth(returned: i64, pidfd: i32) -> Result<Birth, Errno> {
    Ok(if returned == 0 { Birth::Child } else { Birth::Parent { child: returned as i32, pidfd } })
}

/// The stack of a vfork child.
const STACK: usize = 1 << 20;

/// Calls `clone(VM|VFORK|SIGCHLD|flags)` and runs `body` in the child, on a stack of its own.
///
/// The caller is suspended until the child has exited or executed another program. `body`'s result
/// is the child's exit status; a panic ends it with 101.
///
/// # Panics
/// If `flags` has bits that make a thread or store numbers.
pub fn vfork_with(flags: u64, body: &mut dyn FnMut() -> i32) -> Result<i32, Errno> {
    assert!(is_process(flags), "{flags:#x} is for an idle child");
    let mut stack = vec![0u128; STACK / size_of::<u128>()];
    let mut argument: &mut dyn FnMut() -> i32 = body;
    let pointer = std::ptr::from_mut(&mut argument).cast::<libc::c_void>();
    let all = flags | (libc::CLONE_VM | libc::CLONE_VFORK) as u64;
    let top = stack.as_mut_ptr_range().end.cast::<libc::c_void>();
    // SAFETY: the stack is a live, 16-byte aligned vector of which nothing else makes use; the
    // function has the type clone wants and gets the address of `argument`, which outlives the
    // child's use of this memory because CLONE_VFORK suspends this thread until the child has left
    // it by exit or exec. The child uses this thread's thread-local storage while nobody else does.
    let child = unsafe { libc::clone(run_body, top, all as i32, pointer) };
    let child = super::checked(child.into())?;
    drop(stack);
    Ok(child as i32)
}

extern "C" fn run_body(pointer: *mut libc::c_void) -> libc::c_int {
    let pointer = pointer.cast::<&mut dyn FnMut() -> i32>();
    // SAFETY: vfork_with passes the address of such a reference, which its suspended frame keeps
    // alive and does not touch while this runs.
    let body = unsafe { &mut *pointer };
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(101)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::{Ended, exit_now, wait};

    const SIGCHLD: u64 = libc::SIGCHLD as u64;

    #[test]
    fn a_process_goes_on_and_is_reaped() {
        match clone_process(SIGCHLD).unwrap() {
            Birth::Child => exit_now(7),
            Birth::Parent { child, .. } => assert_eq!(wait(child), Ok(Ended::Exited(7))),
        }
    }

    #[test]
    fn an_idle_child_may_share_everything() {
        let flags =
            (libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND) as u64;
        let child = clone_idle(flags | SIGCHLD).unwrap();
        assert_eq!(wait(child), Ok(Ended::Exited(0)));
        let thread = (libc::CLONE_THREAD as u64) | flags;
        assert!(clone_idle(thread).unwrap() > 0);
        assert_eq!(clone_idle(libc::CLONE_THREAD as u64), Err(Errno::INVAL));
    }

    #[test]
    fn a_vfork_child_shares_memory_while_the_parent_sleeps() {
        let mut seen = 0;
        let child = vfork_with(SIGCHLD, &mut || {
            seen = 41;
            3
        });
        assert_eq!(wait(child.unwrap()), Ok(Ended::Exited(3)));
        assert_eq!(seen, 41);
    }

    #[test]
    fn argument_blocks_of_all_lengths() {
        let idle = |size, tail| {
            let answer =
                clone3_idle(&Clone3 { exit_signal: SIGCHLD, size, tail, ..Clone3::default() });
            answer.map(|child| wait(child).unwrap())
        };
        assert_eq!(idle(63, 0), Err(Errno::INVAL));
        assert_eq!(idle(64, 0), Ok(Ended::Exited(0)));
        assert_eq!(idle(96, 0), Ok(Ended::Exited(0)));
        assert_eq!(idle(96, 1), Err(Errno::TOOBIG));
        assert_eq!(idle(5000, 0), Err(Errno::TOOBIG));
    }
}
