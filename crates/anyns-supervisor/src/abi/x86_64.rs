//! x86-64: the layout of `struct stat` and the calls that only this architecture has.

use rustix::fs::Stat;

use super::Fields;

/// Bytes in a `struct stat`.
const STAT_SIZE: usize = 144;

/// Encodes `stat` as the kernel writes it for this architecture.
pub(crate) fn encode_stat(stat: &Stat) -> Vec<u8> {
    let mut out = Vec::with_capacity(STAT_SIZE);
    Fields::new(&mut out)
        .u64(stat.st_dev)
        .u64(stat.st_ino)
        .u64(stat.st_nlink)
        .u32(stat.st_mode)
        .u32(stat.st_uid)
        .u32(stat.st_gid)
        .u32(0)
        .u64(stat.st_rdev)
        .i64(stat.st_size)
        .i64(stat.st_blksize)
        .i64(stat.st_blocks)
        .i64(stat.st_atime)
        .u64(stat.st_atime_nsec)
        .i64(stat.st_mtime)
        .u64(stat.st_mtime_nsec)
        .i64(stat.st_ctime)
        .u64(stat.st_ctime_nsec)
        .pad_to(STAT_SIZE);
    out
}

/// The numbers of calls that newer architectures dropped in favour of the `*at` forms.
pub(crate) struct LegacyPathCalls;

impl LegacyPathCalls {
    pub(crate) const OPEN: i64 = libc::SYS_open;
    pub(crate) const CREAT: i64 = libc::SYS_creat;
    pub(crate) const STAT: i64 = libc::SYS_stat;
    pub(crate) const LSTAT: i64 = libc::SYS_lstat;
    pub(crate) const READLINK: i64 = libc::SYS_readlink;
    pub(crate) const CHOWN: i64 = libc::SYS_chown;
    pub(crate) const LCHOWN: i64 = libc::SYS_lchown;
    pub(crate) const ACCESS: i64 = libc::SYS_access;
    pub(crate) const GETDENTS: i64 = libc::SYS_getdents;
    pub(crate) const FORK: i64 = libc::SYS_fork;
    pub(crate) const VFORK: i64 = libc::SYS_vfork;
    pub(crate) const MKDIR: i64 = libc::SYS_mkdir;
    pub(crate) const RMDIR: i64 = libc::SYS_rmdir;
    pub(crate) const UNLINK: i64 = libc::SYS_unlink;
    pub(crate) const RENAME: i64 = libc::SYS_rename;
    pub(crate) const LINK: i64 = libc::SYS_link;
    pub(crate) const SYMLINK: i64 = libc::SYS_symlink;
    pub(crate) const MKNOD: i64 = libc::SYS_mknod;
    pub(crate) const CHMOD: i64 = libc::SYS_chmod;
    pub(crate) const UTIME: i64 = libc::SYS_utime;
    pub(crate) const UTIMES: i64 = libc::SYS_utimes;
    pub(crate) const FUTIMESAT: i64 = libc::SYS_futimesat;
    pub(crate) const GETPGRP: i64 = libc::SYS_getpgrp;
}
