//! Which calls need what of the objects that their paths lead to: whether the kernel is likely to refuse
//! one for want of a permission that its caller need not have.
//!
//! Where the caller sees what the host shows, calls are the kernel's, which knows nothing of the user
//! namespace: one that is kept out is served as for who sees other mounts.

use std::ffi::{CStr, CString};

use rustix::fs::{AtFlags, CWD, OFlags, Stat};
use rustix::io::Errno;

use super::Need;
use crate::abi::LegacyPathCalls as Legacy;
use crate::cx::Cx;
use crate::syscalls::socket::path_in;

/// What a call needs of where a path leads.
#[derive(Clone, Copy)]
enum Wants {
    /// The object itself: to find it, and then this.
    Object(Need),
    /// To change the name at its end.
    Name,
}

const NOTHING: Need = Need(0);

/// A path of a call's: the descriptor that it begins at, and what is needed of it.
type Asked = (i32, CString, Wants);

/// The paths of a call, and what it needs of them; none of one whose paths cannot be read.
fn paths(cx: &Cx<'_>) -> Option<Vec<Asked>> {
    use Wants::{Name, Object};
    let path = |arg: usize| cx.try_path(cx.arg(arg)).ok()?.ok();
    let from_cwd = |arg: usize, wants| Some((libc::AT_FDCWD, path(arg)?, wants));
    let at = |arg: usize, wants| Some((cx.int(arg), path(arg + 1)?, wants));
    let mode = |arg: usize| Object(Need(cx.arg(arg) as u32 & 0o7));
    let all = match cx.nr() {
        Legacy::OPEN => opened(cx.int(1)).map(|wants| from_cwd(0, wants?)).to_vec(),
        Legacy::CREAT => vec![from_cwd(0, Name), from_cwd(0, Object(Need::WRITE))],
        libc::SYS_openat => opened(cx.int(2)).map(|wants| at(0, wants?)).to_vec(),
        libc::SYS_openat2 => vec![at(0, Name), at(0, Object(Need::BOTH))],
        Legacy::ACCESS => vec![from_cwd(0, mode(1))],
        libc::SYS_faccessat | libc::SYS_faccessat2 => vec![at(0, mode(2))],
        libc::SYS_chdir | libc::SYS_chroot => vec![from_cwd(0, Object(Need::SEARCH))],
        libc::SYS_execve => vec![from_cwd(0, Object(Need::RUN))],
        libc::SYS_execveat => vec![at(0, Object(Need::RUN))],
        libc::SYS_truncate => vec![from_cwd(0, Object(Need::WRITE))],
        libc::SYS_statfs | Legacy::CHMOD | Legacy::UTIME | Legacy::UTIMES => {
            vec![from_cwd(0, Object(NOTHING))]
        }
        libc::SYS_listxattr | libc::SYS_llistxattr => vec![from_cwd(0, Object(NOTHING))],
        libc::SYS_fchmodat | Legacy::FUTIMESAT | libc::SYS_utimensat => {
            vec![at(0, Object(NOTHING))]
        }
        libc::SYS_getxattr | libc::SYS_lgetxattr => vec![from_cwd(0, Object(Need::READ))],
        libc::SYS_setxattr
        | libc::SYS_lsetxattr
        | libc::SYS_removexattr
        | libc::SYS_lremovexattr => vec![from_cwd(0, Object(Need::WRITE))],
        libc::SYS_inotify_add_watch => vec![from_cwd(1, Object(Need::READ))],
        libc::SYS_bind => vec![Some((libc::AT_FDCWD, address(cx)?, Name))],
        libc::SYS_connect => vec![Some((libc::AT_FDCWD, address(cx)?, Object(Need::WRITE)))],
        Legacy::MKDIR | Legacy::MKNOD | Legacy::UNLINK | Legacy::RMDIR => {
            vec![from_cwd(0, Name)]
        }
        libc::SYS_mkdirat | libc::SYS_mknodat | libc::SYS_unlinkat => vec![at(0, Name)],
        Legacy::SYMLINK => vec![from_cwd(1, Name)],
        libc::SYS_symlinkat => vec![at(1, Name)],
        Legacy::LINK => vec![from_cwd(0, Object(NOTHING)), from_cwd(1, Name)],
        libc::SYS_linkat => vec![at(0, Object(NOTHING)), at(2, Name)],
        // A directory that is moved is changed itself.
        Legacy::RENAME => {
            vec![from_cwd(0, Name), from_cwd(1, Name), from_cwd(0, Object(Need::WRITE))]
        }
        libc::SYS_renameat | libc::SYS_renameat2 => {
            vec![at(0, Name), at(2, Name), at(0, Object(Need::WRITE))]
        }
        _ => return None,
    };
    Some(all.into_iter().flatten().collect())
}

/// What is needed to open a file.
fn opened(flags: i32) -> [Option<Wants>; 2] {
    let flags = OFlags::from_bits_retain(flags as u32);
    let need = match flags & OFlags::RWMODE {
        _ if flags.contains(OFlags::PATH) => NOTHING,
        _ if flags.contains(OFlags::TMPFILE) => Need::CHANGE,
        OFlags::RDONLY => Need::READ,
        OFlags::WRONLY => Need::WRITE,
        _ => Need::BOTH,
    };
    [Some(Wants::Object(need)), flags.contains(OFlags::CREATE).then_some(Wants::Name)]
}

/// The path in a socket's address, if it has one.
fn address(cx: &Cx<'_>) -> Option<CString> {
    let mut bytes = vec![0; (cx.arg(2) as usize).min(size_of::<libc::sockaddr_un>())];
    cx.mem().read(cx.arg(1), &mut bytes).ok()?;
    path_in(&bytes)
}

impl Cx<'_> {
    /// Whether the caller sees what the host shows, which knows nothing of its capabilities.
    pub(crate) fn may_be_kept_out(&self) -> bool {
        self.overrides() && self.tree().is_none()
    }

    /// Whether the kernel is likely to refuse the call, whose caller sees what the host shows, what the
    /// caller's capabilities allow.
    pub(crate) fn is_kept_out(&self) -> bool {
        if !self.may_be_kept_out() {
            return false;
        }
        paths(self).into_iter().flatten().any(|asked| self.lacks(asked).unwrap_or(false))
            // What was opened to find something is closed again before the kernel looks.
            || !self.lifts.is_empty()
    }

    fn lacks(&self, (dirfd, path, wants): Asked) -> Option<bool> {
        let (of, Need(need)) = match wants {
            Wants::Object(need) => (path, need),
            Wants::Name => (directory(&path)?, Need::CHANGE),
        };
        let own = rustix::process::geteuid().as_raw();
        let short = |uid: u32, mode: u32| uid == own && mode >> 6 & need != need;
        let steady = self.sup.lifted.steady();
        // No more than a guess of where the path leads: it is not for this call to be exact.
        let glance = self.glance(dirfd, &of);
        if steady.is_some() && steady == self.sup.lifted.steady() {
            return Some(match glance {
                Ok(stat) => {
                    stat.st_dev != self.sup.proc.device() && short(stat.st_uid, stat.st_mode)
                }
                Err(errno) => errno == Errno::ACCESS,
            });
        }
        Some(match self.look_up(dirfd, &of, true) {
            Ok(place) => {
                let mode = self.sup.lifted.mode(&place.fd).ok()?;
                place.node.is_none() && short(place.stat.st_uid, mode)
            }
            Err(lost) => lost.errno == Errno::ACCESS,
        })
    }

    /// What the host finds at a path of the caller's.
    fn glance(&self, dirfd: i32, path: &CStr) -> Result<Stat, Errno> {
        let path = path.to_bytes();
        let tid = self.tid();
        let from = match dirfd {
            _ if path.starts_with(b"/") => String::new(),
            libc::AT_FDCWD => format!("/proc/{tid}/cwd/"),
            fd => format!("/proc/{tid}/fd/{fd}/"),
        };
        rustix::fs::statat(CWD, [from.as_bytes(), path].concat(), AtFlags::empty())
    }
}

/// The directory that a path's last name is in.
fn directory(path: &CStr) -> Option<CString> {
    let bytes = path.to_bytes();
    let end = bytes.iter().rposition(|byte| *byte != b'/')?;
    let slash = bytes[..=end].iter().rposition(|byte| *byte == b'/');
    CString::new(slash.map_or(&b"."[..], |slash| &bytes[..=slash])).ok()
}
