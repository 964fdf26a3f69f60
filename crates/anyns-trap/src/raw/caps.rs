//! Capability sets and the credential options of prctl.

use super::{Errno, checked};

/// The three sets that capget reads and capset writes; bit n is capability n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapSets {
    /// What checks look at.
    pub effective: u64,
    /// What may be made effective.
    pub permitted: u64,
    /// What is kept over an exec of a file with inheritable capabilities.
    pub inheritable: u64,
}

/// Version 3: two 32-bit halves of each set.
const VERSION: u32 = 0x2008_0522;

/// Reads the capability sets of a task; 0 is the calling thread.
pub fn capget(pid: i32) -> Result<CapSets, Errno> {
    let header = [VERSION, pid as u32];
    let mut data = [0u32; 6];
    // SAFETY: the header has the two words the kernel reads (and may write the version to: the
    // version is one it knows), the data the six that version 3 stores.
    let done = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) };
    checked(done)?;
    let set = |word: usize| u64::from(data[word]) | u64::from(data[word + 3]) << 32;
    Ok(CapSets { effective: set(0), permitted: set(1), inheritable: set(2) })
}

/// Writes the capability sets of the calling thread.
pub fn capset(sets: CapSets) -> Result<(), Errno> {
    let header = [VERSION, 0];
    let all = [sets.effective, sets.permitted, sets.inheritable];
    let mut data = [0u32; 6];
    for (word, set) in all.into_iter().enumerate() {
        data[word] = set as u32;
        data[word + 3] = (set >> 32) as u32;
    }
    // SAFETY: header and data have the two and the six words that version 3 reads.
    checked(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) }).map(drop)
}

/// The options of prctl that read or change credentials. All take numbers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are prctl's PR_ names")]
pub enum CredOption {
    CapbsetRead,
    CapbsetDrop,
    GetSecurebits,
    SetSecurebits,
    GetKeepcaps,
    SetKeepcaps,
    CapAmbient,
    GetNoNewPrivs,
    SetNoNewPrivs,
    GetDumpable,
    SetDumpable,
}

impl CredOption {
    /// Every option with the name prctl(2) gives it, less `PR_`.
    pub const ALL: [(CredOption, &'static str); 11] = [
        (CredOption::CapbsetRead, "CAPBSET_READ"),
        (CredOption::CapbsetDrop, "CAPBSET_DROP"),
        (CredOption::GetSecurebits, "GET_SECUREBITS"),
        (CredOption::SetSecurebits, "SET_SECUREBITS"),
        (CredOption::GetKeepcaps, "GET_KEEPCAPS"),
        (CredOption::SetKeepcaps, "SET_KEEPCAPS"),
        (CredOption::CapAmbient, "CAP_AMBIENT"),
        (CredOption::GetNoNewPrivs, "GET_NO_NEW_PRIVS"),
        (CredOption::SetNoNewPrivs, "SET_NO_NEW_PRIVS"),
        (CredOption::GetDumpable, "GET_DUMPABLE"),
        (CredOption::SetDumpable, "SET_DUMPABLE"),
    ];

    fn number(self) -> i32 {
        match self {
            CredOption::CapbsetRead => libc::PR_CAPBSET_READ,
            CredOption::CapbsetDrop => libc::PR_CAPBSET_DROP,
            CredOption::GetSecurebits => libc::PR_GET_SECUREBITS,
            CredOption::SetSecurebits => libc::PR_SET_SECUREBITS,
            CredOption::GetKeepcaps => libc::PR_GET_KEEPCAPS,
            CredOption::SetKeepcaps => libc::PR_SET_KEEPCAPS,
            CredOption::CapAmbient => libc::PR_CAP_AMBIENT,
            CredOption::GetNoNewPrivs => libc::PR_GET_NO_NEW_PRIVS,
            CredOption::SetNoNewPrivs => libc::PR_SET_NO_NEW_PRIVS,
            CredOption::GetDumpable => libc::PR_GET_DUMPABLE,
            CredOption::SetDumpable => libc::PR_SET_DUMPABLE,
        }
    }

    /// Says whether a number is one of these options.
    pub(super) fn knows(number: u64) -> bool {
        Self::ALL.iter().any(|(option, _)| option.number() as u64 == number)
    }
}

/// Calls prctl with one of the credential options and up to four numbers.
pub fn cred_option(option: CredOption, args: [u64; 4]) -> Result<i64, Errno> {
    // SAFETY: the options of the enum take numbers only; none reads or writes memory.
    checked(unsafe {
        libc::syscall(libc::SYS_prctl, option.number(), args[0], args[1], args[2], args[3])
    })
}
