//! The flags of clone(2), clone3(2), unshare(2) and setns(2).

use core::fmt;

bitflags::bitflags! {
    /// `CLONE_*`. Unknown bits are kept: refusing them is a rule, not a conversion error, so make
    /// values with [`CloneFlags::from_bits_retain`].
    #[derive(Clone, Copy, PartialEq, Eq, Hash)]
    pub struct CloneFlags: u64 {
        /// A new time namespace. Shares its bit with the exit signal of clone(2), so clone(2)
        /// cannot ask for it.
        const NEWTIME = 0x80;
        /// Share memory.
        const VM = 0x100;
        /// Share root, working directory and umask.
        const FS = 0x200;
        /// Share the descriptor table.
        const FILES = 0x400;
        /// Share the signal handlers.
        const SIGHAND = 0x800;
        /// Return a pidfd for the child.
        const PIDFD = 0x1000;
        /// Let the tracer have the child as well.
        const PTRACE = 0x2000;
        /// Wait until the child has let go of the memory.
        const VFORK = 0x4000;
        /// The child's parent is the caller's parent.
        const PARENT = 0x8000;
        /// A thread of the caller's group.
        const THREAD = 0x1_0000;
        /// A new mount namespace.
        const NEWNS = 0x2_0000;
        /// Share System V semaphore adjustments.
        const SYSVSEM = 0x4_0000;
        /// Set the thread-local storage descriptor.
        const SETTLS = 0x8_0000;
        /// Store the child's number in the parent's memory.
        const PARENT_SETTID = 0x10_0000;
        /// Clear the child's number in its memory when it exits.
        const CHILD_CLEARTID = 0x20_0000;
        /// Ignored since Linux 2.6; refused by clone3(2).
        const DETACHED = 0x40_0000;
        /// No tracer can force `PTRACE` on the child.
        const UNTRACED = 0x80_0000;
        /// Store the child's number in its own memory.
        const CHILD_SETTID = 0x100_0000;
        /// A new cgroup namespace.
        const NEWCGROUP = 0x200_0000;
        /// A new UTS namespace.
        const NEWUTS = 0x400_0000;
        /// A new IPC namespace.
        const NEWIPC = 0x800_0000;
        /// A new user namespace.
        const NEWUSER = 0x1000_0000;
        /// A new pid namespace for the caller's children.
        const NEWPID = 0x2000_0000;
        /// A new network namespace.
        const NEWNET = 0x4000_0000;
        /// Share the I/O context.
        const IO = 0x8000_0000;
        /// Reset all signal handlers (clone3 only).
        const CLEAR_SIGHAND = 0x1_0000_0000;
        /// Start the child in another cgroup (clone3 only).
        const INTO_CGROUP = 0x2_0000_0000;
    }
}

impl CloneFlags {
    /// The eight flags that ask for a namespace.
    pub const NAMESPACES: CloneFlags = CloneFlags::NEWTIME
        .union(CloneFlags::NEWNS)
        .union(CloneFlags::NEWCGROUP)
        .union(CloneFlags::NEWUTS)
        .union(CloneFlags::NEWIPC)
        .union(CloneFlags::NEWUSER)
        .union(CloneFlags::NEWPID)
        .union(CloneFlags::NEWNET);

    /// The seven of them whose namespaces a task's `nsproxy` names: all but the user namespace,
    /// which belongs to the credentials.
    pub const PROXIED: CloneFlags = CloneFlags::NAMESPACES.difference(CloneFlags::NEWUSER);
}

impl fmt::Debug for CloneFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `NEWUSER|NEWUTS`, unknown bits in hexadecimal, `0` for none.
impl fmt::Display for CloneFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits() == 0 {
            return f.write_str("0");
        }
        let mut first = true;
        for (name, _) in self.iter_names() {
            if !first {
                f.write_str("|")?;
            }
            f.write_str(name)?;
            first = false;
        }
        let unknown = self.bits() & !CloneFlags::all().bits();
        if unknown != 0 {
            write!(f, "{}{unknown:#x}", if first { "" } else { "|" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::CloneFlags;
    use alloc::string::ToString;

    #[test]
    fn prints_names_joined_and_unknown_bits_in_hexadecimal() {
        let both = CloneFlags::NEWUSER | CloneFlags::NEWUTS;
        assert_eq!(both.to_string(), "NEWUTS|NEWUSER");
        assert_eq!(CloneFlags::from_bits_retain((1 << 40) | 0x200).to_string(), "FS|0x10000000000");
        assert_eq!(CloneFlags::empty().to_string(), "0");
    }
}
