//! The arguments of clone(2), fork(2), vfork(2) and the argument block of clone3(2).

use crate::{
    CloneFlags,
    rule::{Refusal, Refuse, Rule},
};

/// The low byte of clone(2)'s flags: the exit signal.
const CSIGNAL: u64 = 0xff;
const SIGCHLD: u64 = 17;
/// The number of the last signal.
const SIGNAL_MAX: u64 = 64;
const PAGE: usize = 4096;
/// The sizes of clone3(2)'s argument block over time.
const BLOCK_V0: usize = 64;
const BLOCK_V2: usize = 88;
/// The most numbers that `set_tid` can hold.
const SET_TID_MAX: u64 = 32;

/// What a new task is asked to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CloneArgs {
    /// The flags, without an exit signal.
    pub flags: CloneFlags,
    /// The signal for the parent when the child exits; 0 for none.
    pub exit_signal: u64,
    /// Where to store the pidfd.
    pub pidfd: u64,
    /// Where the child stores, or clears, its number.
    pub child_tid: u64,
    /// Where the parent stores the child's number.
    pub parent_tid: u64,
    /// The lowest address of the stack (clone3), or its top (clone).
    pub stack: u64,
    /// The size of the stack (clone3).
    pub stack_size: u64,
    /// Thread-local storage.
    pub tls: u64,
    /// Where the chosen process numbers are (clone3).
    pub set_tid: u64,
    /// How many there are (clone3).
    pub set_tid_size: u64,
    /// The cgroup's descriptor (clone3).
    pub cgroup: u64,
    /// It came in clone3's block, and clone3's rules hold.
    pub clone3: bool,
}

impl CloneArgs {
    const NONE: CloneArgs = CloneArgs {
        flags: CloneFlags::empty(),
        exit_signal: 0,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
        clone3: false,
    };

    /// fork(2).
    pub const fn fork() -> CloneArgs {
        CloneArgs { exit_signal: SIGCHLD, ..CloneArgs::NONE }
    }

    /// vfork(2).
    pub const fn vfork() -> CloneArgs {
        let flags = CloneFlags::VFORK.union(CloneFlags::VM);
        CloneArgs { flags, exit_signal: SIGCHLD, ..CloneArgs::NONE }
    }

    /// clone(2) with this first argument: the flags, whose low byte is the exit signal. Only the
    /// low 32 bits count. NEWTIME lies in the low byte, so clone(2) cannot ask for it.
    pub const fn legacy(raw: u64) -> CloneArgs {
        let flags = CloneFlags::from_bits_retain(raw & 0xffff_ff00);
        CloneArgs { flags, exit_signal: raw & CSIGNAL, ..CloneArgs::NONE }
    }

    /// clone3(2), when there is no argument block to read: only flags and exit signal.
    pub const fn clone3(flags: CloneFlags, exit_signal: u64) -> CloneArgs {
        CloneArgs { flags, exit_signal, clone3: true, ..CloneArgs::NONE }
    }

    /// Checks the size given to clone3(2), before its block is read; returns how many bytes to
    /// read.
    pub fn block_len(size: u64) -> Result<usize, Refusal> {
        match usize::try_from(size) {
            Ok(len) if len < BLOCK_V0 => Err(Rule::CloneBlockTooSmall.refuse().with("size", len)),
            Ok(len) if len <= PAGE => Ok(len),
            _ => Err(Rule::CloneBlockTooLarge.refuse().with("size", size)),
        }
    }

    /// Reads clone3(2)'s block, `block` being as long as [`block_len`](CloneArgs::block_len)
    /// allowed. The flags are judged later, by [`prepare_clone`](crate::prepare_clone).
    pub fn from_block(block: &[u8]) -> Result<CloneArgs, Refusal> {
        let len = CloneArgs::block_len(block.len() as u64)?;
        let known = len.min(BLOCK_V2);
        if block[known..].iter().any(|byte| *byte != 0) {
            return Err(Rule::CloneBlockTailUsed.refuse().with("size", len));
        }
        // A shorter block, even one that ends within a field, is one with zeros after it.
        let mut fields = [0; BLOCK_V2];
        fields[..known].copy_from_slice(&block[..known]);
        let field = |n: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&fields[n * 8..n * 8 + 8]);
            u64::from_ne_bytes(bytes)
        };
        let args = CloneArgs {
            flags: CloneFlags::from_bits_retain(field(0)),
            pidfd: field(1),
            child_tid: field(2),
            parent_tid: field(3),
            exit_signal: field(4),
            stack: field(5),
            stack_size: field(6),
            tls: field(7),
            set_tid: field(8),
            set_tid_size: field(9),
            cgroup: field(10),
            clone3: true,
        };
        args.check_block(len)?;
        Ok(args)
    }

    fn check_block(&self, len: usize) -> Result<(), Refusal> {
        let CloneArgs { set_tid, set_tid_size, exit_signal, cgroup, flags, .. } = *self;
        if set_tid_size > SET_TID_MAX {
            return Err(Rule::CloneSetTidTooMany.refuse().with("set_tid_size", set_tid_size));
        }
        if (set_tid == 0) != (set_tid_size == 0) {
            return Err(Rule::CloneSetTidHalfGiven.refuse().with("set_tid_size", set_tid_size));
        }
        if exit_signal > SIGNAL_MAX {
            return Err(Rule::CloneExitSignalInvalid.refuse().with("exit_signal", exit_signal));
        }
        let has_cgroup = len >= BLOCK_V2 && cgroup <= i32::MAX as u64;
        if flags.contains(CloneFlags::INTO_CGROUP) && !has_cgroup {
            return Err(Rule::CloneCgroupInvalid.refuse().with("cgroup", cgroup));
        }
        Ok(())
    }

    /// The rules that hold for clone3(2) alone.
    pub(super) fn check_clone3(&self) -> Result<(), Refusal> {
        if !self.clone3 {
            return Ok(());
        }
        let flags = self.flags;
        let signal_bits = CloneFlags::from_bits_retain(CSIGNAL) - CloneFlags::NEWTIME;
        let unknown = CloneFlags::from_bits_retain(flags.bits() & !CloneFlags::all().bits())
            | (flags & (CloneFlags::DETACHED | signal_bits));
        if !unknown.is_empty() {
            return Err(Rule::CloneFlagUnknown.refuse().with("flags", unknown));
        }
        if flags.contains(CloneFlags::SIGHAND | CloneFlags::CLEAR_SIGHAND) {
            return Err(Rule::CloneHandlersBothWays.refuse().with("flags", flags));
        }
        let child_of_other = CloneFlags::THREAD | CloneFlags::PARENT;
        if flags.intersects(child_of_other) && self.exit_signal != 0 {
            return Err(Rule::CloneExitSignalUnwanted
                .refuse()
                .with("flags", flags & child_of_other)
                .with("exit_signal", self.exit_signal));
        }
        if (self.stack == 0) != (self.stack_size == 0) {
            return Err(Rule::CloneStackHalfGiven.refuse().with("stack_size", self.stack_size));
        }
        Ok(())
    }
}
