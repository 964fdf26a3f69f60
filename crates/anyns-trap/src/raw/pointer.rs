//! Pointers of every kind a hostile program could pass, and calls that take them.
//!
//! The *arena* is four pages, made once and kept for ever: a writable and a read-only page, each
//! before a page that nothing may touch. `Ptr::End(n)` points n bytes before the end of the first, so
//! that an object longer than n runs into the forbidden page.

use std::sync::OnceLock;

use super::{Errno, checked};

pub(super) const PAGE: usize = 4096;

/// What the arena's writable page is filled with before each call.
const FILLER: u8 = b'x';

/// Where a pointer argument points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ptr {
    /// Nowhere: 0.
    Null,
    /// An address in the first page, where no program can have memory.
    Low,
    /// A page of the program that may be neither read nor written.
    Unmapped,
    /// An address of the kernel's half.
    Kernel,
    /// An address that no canonical pointer has.
    NonCanonical,
    /// Zero bytes, half a page of them, that may only be read.
    ReadOnly,
    /// Something well formed, in a page that may only be read.
    Kept(Kept),
    /// A page of `x` that may be written.
    Buffer,
    /// The last n bytes of that page; the next byte must not be touched.
    End(u16),
}

/// What lies well formed in the arena's read-only page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The path `/`.
    Root,
    /// The path `/proc/self/ns/uts`.
    Link,
    /// The path `/proc/self/uid_map`.
    Map,
    /// The path `/proc/sys/kernel/hostname`.
    Name,
    /// A header for capget and capset: version 3, the caller.
    CapHeader,
    /// A vector for writev with one segment of 5 bytes at address 0.
    Segment,
}

impl Kept {
    /// Everything that is kept.
    pub const ALL: [Kept; 6] =
        [Kept::Root, Kept::Link, Kept::Map, Kept::Name, Kept::CapHeader, Kept::Segment];

    fn bytes(self) -> Vec<u8> {
        match self {
            Kept::Root => b"/\0".to_vec(),
            Kept::Link => b"/proc/self/ns/uts\0".to_vec(),
            Kept::Map => b"/proc/self/uid_map\0".to_vec(),
            Kept::Name => b"/proc/sys/kernel/hostname\0".to_vec(),
            Kept::CapHeader => [0x2008_0522u32, 0].map(u32::to_ne_bytes).concat(),
            Kept::Segment => [0u64, 5].map(u64::to_ne_bytes).concat(),
        }
    }

    /// Where in the read-only page.
    fn offset(self) -> usize {
        PAGE / 2 + 64 * self as usize
    }
}

/// One argument of [`call`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// A number, passed as it is.
    Number(u64),
    /// A pointer of some kind. Only where the call expects a pointer, see [`call`].
    Pointer(Ptr),
}

/// The calls that [`call`] can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the calls of their names")]
pub enum Sys {
    Uname,
    Sethostname,
    Setdomainname,
    Getresuid,
    Getresgid,
    Getgroups,
    Setgroups,
    Capget,
    Capset,
    Setns,
    Unshare,
    Clone3,
    Open,
    Openat,
    Stat,
    Lstat,
    Newfstatat,
    Fstat,
    Statx,
    Readlink,
    Readlinkat,
    Chown,
    Lchown,
    Fchown,
    Fchownat,
    Access,
    Execve,
    Execveat,
    PidfdOpen,
    PidfdSendSignal,
    Kill,
    Tgkill,
    Read,
    Write,
    Writev,
    Prctl,
    Ioctl,
    Setuid,
    Setgid,
    Setresuid,
    Waitid,
    Setreuid,
    Setregid,
    Setresgid,
    Setfsuid,
    Setfsgid,
    Openat2,
    Tkill,
    Semget,
    Semop,
    Semtimedop,
    Semctl,
    Shmget,
    Shmat,
    Shmctl,
    Msgget,
    Msgsnd,
    Msgrcv,
    Msgctl,
    MqOpen,
    MqUnlink,
}

impl Sys {
    /// Every call, in the order of the declaration.
    pub const ALL: [(Sys, &'static str); 61] = [
        (Sys::Uname, "uname"),
        (Sys::Sethostname, "sethostname"),
        (Sys::Setdomainname, "setdomainname"),
        (Sys::Getresuid, "getresuid"),
        (Sys::Getresgid, "getresgid"),
        (Sys::Getgroups, "getgroups"),
        (Sys::Setgroups, "setgroups"),
        (Sys::Capget, "capget"),
        (Sys::Capset, "capset"),
        (Sys::Setns, "setns"),
        (Sys::Unshare, "unshare"),
        (Sys::Clone3, "clone3"),
        (Sys::Open, "open"),
        (Sys::Openat, "openat"),
        (Sys::Stat, "stat"),
        (Sys::Lstat, "lstat"),
        (Sys::Newfstatat, "newfstatat"),
        (Sys::Fstat, "fstat"),
        (Sys::Statx, "statx"),
        (Sys::Readlink, "readlink"),
        (Sys::Readlinkat, "readlinkat"),
        (Sys::Chown, "chown"),
        (Sys::Lchown, "lchown"),
        (Sys::Fchown, "fchown"),
        (Sys::Fchownat, "fchownat"),
        (Sys::Access, "access"),
        (Sys::Execve, "execve"),
        (Sys::Execveat, "execveat"),
        (Sys::PidfdOpen, "pidfd_open"),
        (Sys::PidfdSendSignal, "pidfd_send_signal"),
        (Sys::Kill, "kill"),
        (Sys::Tgkill, "tgkill"),
        (Sys::Read, "read"),
        (Sys::Write, "write"),
        (Sys::Writev, "writev"),
        (Sys::Prctl, "prctl"),
        (Sys::Ioctl, "ioctl"),
        (Sys::Setuid, "setuid"),
        (Sys::Setgid, "setgid"),
        (Sys::Setresuid, "setresuid"),
        (Sys::Waitid, "waitid"),
        (Sys::Setreuid, "setreuid"),
        (Sys::Setregid, "setregid"),
        (Sys::Setresgid, "setresgid"),
        (Sys::Setfsuid, "setfsuid"),
        (Sys::Setfsgid, "setfsgid"),
        (Sys::Openat2, "openat2"),
        (Sys::Tkill, "tkill"),
        (Sys::Semget, "semget"),
        (Sys::Semop, "semop"),
        (Sys::Semtimedop, "semtimedop"),
        (Sys::Semctl, "semctl"),
        (Sys::Shmget, "shmget"),
        (Sys::Shmat, "shmat"),
        (Sys::Shmctl, "shmctl"),
        (Sys::Msgget, "msgget"),
        (Sys::Msgsnd, "msgsnd"),
        (Sys::Msgrcv, "msgrcv"),
        (Sys::Msgctl, "msgctl"),
        (Sys::MqOpen, "mq_open"),
        (Sys::MqUnlink, "mq_unlink"),
    ];

    /// The number, and which arguments are addresses (bit n: argument n).
    fn shape(self) -> (i64, u8) {
        match self {
            Sys::Uname => (libc::SYS_uname, 0b1),
            Sys::Sethostname => (libc::SYS_sethostname, 0b1),
            Sys::Setdomainname => (libc::SYS_setdomainname, 0b1),
            Sys::Getresuid => (libc::SYS_getresuid, 0b111),
            Sys::Getresgid => (libc::SYS_getresgid, 0b111),
            Sys::Getgroups => (libc::SYS_getgroups, 0b10),
            Sys::Setgroups => (libc::SYS_setgroups, 0b10),
            Sys::Capget => (libc::SYS_capget, 0b11),
            Sys::Capset => (libc::SYS_capset, 0b11),
            Sys::Setns => (libc::SYS_setns, 0),
            Sys::Unshare => (libc::SYS_unshare, 0),
            Sys::Clone3 => (libc::SYS_clone3, 0b1),
            Sys::Open => (libc::SYS_open, 0b1),
            Sys::Openat => (libc::SYS_openat, 0b10),
            Sys::Stat => (libc::SYS_stat, 0b11),
            Sys::Lstat => (libc::SYS_lstat, 0b11),
            Sys::Newfstatat => (libc::SYS_newfstatat, 0b110),
            Sys::Fstat => (libc::SYS_fstat, 0b10),
            Sys::Statx => (libc::SYS_statx, 0b1_0010),
            Sys::Readlink => (libc::SYS_readlink, 0b11),
            Sys::Readlinkat => (libc::SYS_readlinkat, 0b110),
            Sys::Chown => (libc::SYS_chown, 0b1),
            Sys::Lchown => (libc::SYS_lchown, 0b1),
            Sys::Fchown => (libc::SYS_fchown, 0),
            Sys::Fchownat => (libc::SYS_fchownat, 0b10),
            Sys::Access => (libc::SYS_access, 0b1),
            Sys::Execve => (libc::SYS_execve, 0b111),
            Sys::Execveat => (libc::SYS_execveat, 0b1110),
            Sys::PidfdOpen => (libc::SYS_pidfd_open, 0),
            Sys::PidfdSendSignal => (libc::SYS_pidfd_send_signal, 0b100),
            Sys::Kill => (libc::SYS_kill, 0),
            Sys::Tgkill => (libc::SYS_tgkill, 0),
            Sys::Read => (libc::SYS_read, 0b10),
            Sys::Write => (libc::SYS_write, 0b10),
            Sys::Writev => (libc::SYS_writev, 0b10),
            Sys::Prctl => (libc::SYS_prctl, 0),
            Sys::Ioctl => (libc::SYS_ioctl, 0b100),
            Sys::Setuid => (libc::SYS_setuid, 0),
            Sys::Setgid => (libc::SYS_setgid, 0),
            Sys::Setresuid => (libc::SYS_setresuid, 0),
            Sys::Waitid => (libc::SYS_waitid, 0b1_0100),
            Sys::Setreuid => (libc::SYS_setreuid, 0),
            Sys::Setregid => (libc::SYS_setregid, 0),
            Sys::Setresgid => (libc::SYS_setresgid, 0),
            Sys::Setfsuid => (libc::SYS_setfsuid, 0),
            Sys::Setfsgid => (libc::SYS_setfsgid, 0),
            Sys::Openat2 => (libc::SYS_openat2, 0b110),
            Sys::Tkill => (libc::SYS_tkill, 0),
            Sys::Semget => (libc::SYS_semget, 0),
            Sys::Semop => (libc::SYS_semop, 0b10),
            Sys::Semtimedop => (libc::SYS_semtimedop, 0b1010),
            Sys::Semctl => (libc::SYS_semctl, 0b1000),
            Sys::Shmget => (libc::SYS_shmget, 0),
            Sys::Shmat => (libc::SYS_shmat, 0b10),
            Sys::Shmctl => (libc::SYS_shmctl, 0b100),
            Sys::Msgget => (libc::SYS_msgget, 0),
            Sys::Msgsnd => (libc::SYS_msgsnd, 0b10),
            Sys::Msgrcv => (libc::SYS_msgrcv, 0b10),
            Sys::Msgctl => (libc::SYS_msgctl, 0b100),
            Sys::MqOpen => (libc::SYS_mq_open, 0b1001),
            Sys::MqUnlink => (libc::SYS_mq_unlink, 0b1),
        }
    }
}

/// Makes one call with arguments that may be nonsense, and returns what the kernel says.
///
/// # Panics
/// If a number stands where the call takes an address or the other way round, and for the few
/// calls that would do harm although every address is ours: `prctl` with an option that is not a
/// credential's, `ioctl` with a command that is not a namespace's, `clone3` with a readable
/// argument block (see [`super::Clone3`]), `unshare` of the descriptor table, `shmat` in the place of
/// other memory.
pub fn call(sys: Sys, args: &[Arg]) -> Result<i64, Errno> {
    let (number, addresses) = sys.shape();
    let arena = Arena::fresh();
    let mut raw = [0u64; 6];
    for (place, arg) in args.iter().enumerate() {
        raw[place] = match (*arg, addresses & (1 << place) != 0) {
            (Arg::Number(value), false) => value,
            (Arg::Pointer(kind), true) => arena.address(kind),
            _ => panic!("{sys:?}: argument {place} is of the wrong sort"),
        };
    }
    match sys {
        Sys::Prctl => assert!(super::CredOption::knows(raw[0]), "not a credential's option"),
        Sys::Shmat => assert!(raw[2] & 0o40000 == 0, "what would replace memory"),
        Sys::Ioctl => assert!((raw[1] >> 8) & 0xff == 0xb7, "not a namespace's command"),
        Sys::Clone3 => assert!(
            !matches!(args[0], Arg::Pointer(Ptr::Buffer | Ptr::ReadOnly | Ptr::End(64..)))
                || raw[1] < 64
                || raw[1] > PAGE as u64,
            "a block the kernel can read might make a child here"
        ),
        _ => {}
    }
    // SAFETY: every address among the arguments is one of the arena's, or none the process can
    // have memory at: what the kernel reads or writes there is no Rust object, and a longer read or
    // write ends at a page that faults. The calls that could otherwise change this process's
    // memory or control flow were refused above; execve's argument vectors lie in the arena too
    // and an exec that succeeds ends the program anyhow.
    checked(unsafe { libc::syscall(number, raw[0], raw[1], raw[2], raw[3], raw[4], raw[5]) })
}

/// The memory that test pointers point to.
#[derive(Clone, Copy)]
pub(super) struct Arena {
    base: usize,
}

impl Arena {
    /// The arena of this process, made at first use. A forked child has its own copy.
    pub(super) fn get() -> Arena {
        static BASE: OnceLock<usize> = OnceLock::new();
        Arena { base: *BASE.get_or_init(make_arena) }
    }

    /// The arena with its writable page filled anew.
    pub(super) fn fresh() -> Arena {
        let arena = Arena::get();
        arena.fill();
        arena
    }

    /// The address of a kind of pointer.
    pub(super) fn address(self, kind: Ptr) -> u64 {
        let offset = match kind {
            Ptr::Null => return 0,
            Ptr::Low => return 0x100,
            Ptr::Kernel => return 0xffff_8000_0000_1000,
            Ptr::NonCanonical => return 0x8000_0000_0000_0000,
            Ptr::Buffer => 0,
            Ptr::End(bytes) => PAGE - usize::from(bytes).min(PAGE),
            Ptr::Unmapped => PAGE,
            Ptr::ReadOnly => 2 * PAGE,
            Ptr::Kept(kept) => 2 * PAGE + kept.offset(),
        };
        (self.base + offset) as u64
    }

    /// The address of the writable page.
    pub(super) fn start(self) -> u64 {
        self.base as u64
    }

    /// Fills the writable page with zeros, and puts the beginning of `bytes` at its start.
    pub(super) fn put(self, bytes: &[u8]) {
        let start = self.base as *mut u8;
        let len = bytes.len().min(PAGE);
        // SAFETY: as in `fill`.
        unsafe { start.write_bytes(0, PAGE) };
        // SAFETY: `bytes` has `len` bytes and the page has room for PAGE; a slice that somebody
        // holds is no part of the arena.
        unsafe { start.copy_from_nonoverlapping(bytes.as_ptr(), len) };
    }

    /// What the writable page holds.
    pub(super) fn take(self) -> Vec<u8> {
        let mut bytes = vec![0; PAGE];
        let start = self.base as *const u8;
        // SAFETY: the page is mapped for ever and PAGE bytes long, as is the new vector.
        unsafe { start.copy_to_nonoverlapping(bytes.as_mut_ptr(), PAGE) };
        bytes
    }

    /// Fills the writable page with [`FILLER`].
    fn fill(self) {
        let start = self.base as *mut u8;
        // SAFETY: the first page of the arena is mapped writable for ever (make_arena), is PAGE
        // bytes long, and no reference to it exists anywhere: it is only used by address.
        unsafe { start.write_bytes(FILLER, PAGE) };
    }
}

fn make_arena() -> usize {
    let writable = libc::PROT_READ | libc::PROT_WRITE;
    // What a vector reaches that is longer than what is kept must not be whatever comes to lie there.
    let protection = [writable, libc::PROT_NONE, libc::PROT_READ, libc::PROT_NONE];
    // SAFETY: a new anonymous private mapping at an address of the kernel's choice overlaps
    // nothing; null is a valid hint.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            protection.len() * PAGE,
            writable,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert!(base != libc::MAP_FAILED, "no memory for four pages");
    for kept in Kept::ALL {
        let bytes = kept.bytes();
        let place = base.wrapping_byte_add(2 * PAGE + kept.offset()).cast::<u8>();
        // SAFETY: the bytes lie within the third page of the mapping made above, which is still
        // writable and known to nobody else.
        unsafe { place.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
    for (page, bits) in protection.into_iter().enumerate() {
        let start = base.wrapping_byte_add(page * PAGE);
        // SAFETY: the range is one page of the mapping made above, which nobody else knows yet.
        let done = unsafe { libc::mprotect(start, PAGE, bits) };
        assert!(done == 0, "cannot protect a page of our own");
    }
    base as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_of_each_kind_give_what_the_kernel_says() {
        for kind in
            [Ptr::Null, Ptr::Low, Ptr::Unmapped, Ptr::Kernel, Ptr::NonCanonical, Ptr::ReadOnly]
        {
            let answer = call(Sys::Uname, &[Arg::Pointer(kind)]);
            assert_eq!(answer, Err(Errno::FAULT), "{kind:?}");
        }
        assert_eq!(call(Sys::Uname, &[Arg::Pointer(Ptr::Buffer)]), Ok(0));
        assert_eq!(call(Sys::Uname, &[Arg::Pointer(Ptr::End(389))]), Err(Errno::FAULT));
        assert_eq!(call(Sys::Uname, &[Arg::Pointer(Ptr::End(390))]), Ok(0));
    }

    #[test]
    fn a_path_without_an_end_faults() {
        let path = Arg::Pointer(Ptr::End(10));
        assert_eq!(call(Sys::Open, &[path, Arg::Number(0)]), Err(Errno::FAULT));
        assert_eq!(
            call(Sys::Open, &[Arg::Pointer(Ptr::ReadOnly), Arg::Number(0)]),
            Err(Errno::NOENT)
        );
    }

    #[test]
    fn the_list_of_calls_is_complete_and_in_order() {
        for (place, (sys, _)) in Sys::ALL.iter().enumerate() {
            assert_eq!(*sys as usize, place);
        }
        assert_eq!(Sys::MqUnlink as usize + 1, Sys::ALL.len());
    }
}
