//! Numbers of the kernel's interface that scenarios write as names.

/// `CLONE_` flags, less the prefix. `NEWTIME` stands apart: its bit lies in the exit signal.
const FLAGS: [(&str, u64); 26] = [
    ("VM", 0x100),
    ("FS", 0x200),
    ("FILES", 0x400),
    ("SIGHAND", 0x800),
    ("PIDFD", 0x1000),
    ("PTRACE", 0x2000),
    ("VFORK", 0x4000),
    ("PARENT", 0x8000),
    ("THREAD", 0x1_0000),
    ("NEWNS", 0x2_0000),
    ("SYSVSEM", 0x4_0000),
    ("SETTLS", 0x8_0000),
    ("PARENT_SETTID", 0x10_0000),
    ("CHILD_CLEARTID", 0x20_0000),
    ("DETACHED", 0x40_0000),
    ("UNTRACED", 0x80_0000),
    ("CHILD_SETTID", 0x100_0000),
    ("NEWCGROUP", 0x200_0000),
    ("NEWUTS", 0x400_0000),
    ("NEWIPC", 0x800_0000),
    ("NEWUSER", 0x1000_0000),
    ("NEWPID", 0x2000_0000),
    ("NEWNET", 0x4000_0000),
    ("IO", 0x8000_0000),
    ("CLEAR_SIGHAND", 0x1_0000_0000),
    ("INTO_CGROUP", 0x2_0000_0000),
];

/// `CLONE_NEWTIME`.
const NEWTIME: u64 = 0x80;
/// `SIGCHLD`.
const SIGCHLD: u64 = 17;

/// The value of one flag's name.
pub(crate) fn flag(name: &str) -> Option<u64> {
    match name {
        "NEWTIME" => Some(NEWTIME),
        "SIGCHLD" => Some(SIGCHLD),
        _ => FLAGS.iter().find(|(known, _)| *known == name).map(|(_, bit)| *bit),
    }
}

/// Flags as names joined by `|`, what has no name in hexadecimal, `0` for none.
pub(crate) fn flags_text(flags: u64) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = flags;
    for (name, bit) in FLAGS {
        if rest & bit != 0 {
            parts.push(name.to_owned());
            rest &= !bit;
        }
    }
    match rest & 0xff {
        SIGCHLD => parts.push("SIGCHLD".to_owned()),
        NEWTIME => parts.push("NEWTIME".to_owned()),
        0 => {}
        other => parts.push(format!("{other:#x}")),
    }
    if rest > 0xff {
        parts.push(format!("{:#x}", rest & !0xff));
    }
    if parts.is_empty() { "0".to_owned() } else { parts.join("|") }
}

/// Capabilities in the order of their numbers.
pub(crate) const CAPS: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Every capability.
pub(crate) const ALL_CAPS: u64 = (1 << CAPS.len()) - 1;

/// The number of a capability's name.
pub(crate) fn cap(name: &str) -> Option<u64> {
    CAPS.iter().position(|known| *known == name).map(|number| number as u64)
}

/// A set of capabilities as names joined by `|`; also `full`, `none`, and `full-NAME|NAME`.
pub(crate) fn caps_text(set: u64) -> String {
    let names = |set: u64| -> String {
        let known = CAPS.iter().enumerate().filter(|(number, _)| set & (1 << number) != 0);
        let mut parts: Vec<String> = known.map(|(_, name)| (*name).to_owned()).collect();
        if set & !ALL_CAPS != 0 {
            parts.push(format!("{:#x}", set & !ALL_CAPS));
        }
        parts.join("|")
    };
    match set {
        0 => "none".to_owned(),
        ALL_CAPS => "full".to_owned(),
        _ if set.count_ones() > 20 && set & !ALL_CAPS == 0 => {
            format!("full-{}", names(!set & ALL_CAPS))
        }
        _ => names(set),
    }
}

/// Reads what [`caps_text`] writes.
pub(crate) fn caps(word: &str) -> Result<u64, String> {
    if let Some(less) = word.strip_prefix("full-") {
        return Ok(ALL_CAPS & !caps(less)?);
    }
    match word {
        "none" => Ok(0),
        "full" => Ok(ALL_CAPS),
        _ => {
            word.split('|').try_fold(0, |set, part| match (cap(part), super::words::number(part)) {
                (Some(number), _) => Ok(set | 1 << number),
                (None, Ok(bits)) => Ok(set | bits as u64),
                _ => Err(format!("{part} is no capability")),
            })
        }
    }
}

/// Names for prctl's number arguments.
pub(crate) const PRCTL_WORDS: [(&str, u64); 12] = [
    ("IS_SET", 1),
    ("RAISE", 2),
    ("LOWER", 3),
    ("CLEAR_ALL", 4),
    ("NOROOT", 1),
    ("NOROOT_LOCKED", 2),
    ("NO_SETUID_FIXUP", 4),
    ("NO_SETUID_FIXUP_LOCKED", 8),
    ("KEEP_CAPS", 16),
    ("KEEP_CAPS_LOCKED", 32),
    ("NO_CAP_AMBIENT_RAISE", 64),
    ("NO_CAP_AMBIENT_RAISE_LOCKED", 128),
];

/// Signals that scenarios send.
pub(crate) const SIGNALS: [(&str, i64); 9] = [
    ("HUP", 1),
    ("ABRT", 6),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("TERM", 15),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
];

/// Commands of reboot(2).
pub(crate) const REBOOTS: [(&str, u32); 6] = [
    ("CAD_OFF", 0),
    ("RESTART", 0x0123_4567),
    ("POWER_OFF", 0x4321_fedc),
    ("CAD_ON", 0x89ab_cdef),
    ("RESTART2", 0xa1b2_c3d4),
    ("HALT", 0xcdef_0123),
];

/// Error numbers by name.
const ERRNOS: [(i32, &str); 48] = [
    (1, "EPERM"),
    (2, "ENOENT"),
    (3, "ESRCH"),
    (4, "EINTR"),
    (5, "EIO"),
    (6, "ENXIO"),
    (7, "E2BIG"),
    (8, "ENOEXEC"),
    (9, "EBADF"),
    (10, "ECHILD"),
    (11, "EAGAIN"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (14, "EFAULT"),
    (16, "EBUSY"),
    (17, "EEXIST"),
    (18, "EXDEV"),
    (19, "ENODEV"),
    (20, "ENOTDIR"),
    (21, "EISDIR"),
    (22, "EINVAL"),
    (23, "ENFILE"),
    (24, "EMFILE"),
    (25, "ENOTTY"),
    (26, "ETXTBSY"),
    (27, "EFBIG"),
    (28, "ENOSPC"),
    (29, "ESPIPE"),
    (30, "EROFS"),
    (31, "EMLINK"),
    (32, "EPIPE"),
    (33, "EDOM"),
    (34, "ERANGE"),
    (36, "ENAMETOOLONG"),
    (38, "ENOSYS"),
    (39, "ENOTEMPTY"),
    (40, "ELOOP"),
    (42, "ENOMSG"),
    (75, "EOVERFLOW"),
    (87, "EUSERS"),
    (95, "EOPNOTSUPP"),
    (88, "ENOTSOCK"),
    (98, "EADDRINUSE"),
    (99, "EADDRNOTAVAIL"),
    (101, "ENETUNREACH"),
    (107, "ENOTCONN"),
    (111, "ECONNREFUSED"),
    (116, "ESTALE"),
];

/// The name of an error number.
pub fn errno_text(number: i32) -> String {
    match ERRNOS.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("errno-{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_print_as_they_are_read() {
        assert_eq!(flags_text(0x1000_0000 | 17), "NEWUSER|SIGCHLD");
        assert_eq!(flags_text(0x80), "NEWTIME");
        assert_eq!(flags_text(0x91), "0x91");
        assert_eq!(flags_text(1 << 40), "0x10000000000");
        assert_eq!(flags_text(0), "0");
    }

    #[test]
    fn capability_sets_print_as_they_are_read() {
        for set in [0, ALL_CAPS, 1 << 21, 1 << 21 | 1 << 5, ALL_CAPS & !(1 << 24), 1 << 60] {
            assert_eq!(caps(&caps_text(set)), Ok(set));
        }
        assert!(caps("SYS_ADMINN").is_err());
    }
}
