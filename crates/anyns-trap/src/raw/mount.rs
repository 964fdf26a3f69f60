//! The calls that change what is mounted.

use std::ffi::CString;

use super::{Errno, checked};

fn text(text: &str) -> Result<CString, Errno> {
    CString::new(text).map_err(|_| Errno::INVAL)
}

/// Calls mount with any flags and without data; `None` is NULL.
pub fn mount(
    source: Option<&str>,
    target: &str,
    kind: Option<&str>,
    flags: u64,
) -> Result<(), Errno> {
    let source = source.map(text).transpose()?;
    let kind = kind.map(text).transpose()?;
    let target = text(target)?;
    let pointer =
        |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    let (from, what) = (pointer(&source), pointer(&kind));
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: each pointer is NULL, which mount allows for source, type and data, or to a text that
    // ends with a zero and lives until the call has returned; the kernel only reads them.
    let done =
        unsafe { libc::syscall(libc::SYS_mount, from, target.as_ptr(), what, flags, nothing) };
    checked(done).map(drop)
}

/// Calls umount2 with any flags.
pub fn umount(target: &str, flags: u64) -> Result<(), Errno> {
    let target = text(target)?;
    // SAFETY: the pointer is to a text that ends with a zero and lives until the call has returned;
    // the kernel only reads it. The flags are a number.
    checked(unsafe { libc::syscall(libc::SYS_umount2, target.as_ptr(), flags) }).map(drop)
}

/// Calls pivot_root.
pub fn pivot_root(new: &str, old: &str) -> Result<(), Errno> {
    let (new, old) = (text(new)?, text(old)?);
    // SAFETY: both pointers are to texts that end with a zero and live until the call has returned;
    // the kernel only reads them.
    checked(unsafe { libc::syscall(libc::SYS_pivot_root, new.as_ptr(), old.as_ptr()) }).map(drop)
}

/// Calls mount_setattr with any flags, attributes (`attr_set`, `attr_clr`, `propagation`,
/// `userns_fd`, and eight bytes more) and size; what follows is zero.
pub fn mount_setattr(path: &str, at: u64, attr: [u64; 5], size: u64) -> Result<(), Errno> {
    let path = text(path)?;
    // As long as any size that the kernel reads.
    let mut block = vec![0u64; 512];
    block[..5].copy_from_slice(&attr);
    // SAFETY: the path ends with a zero; the block is a page long, and the kernel refuses sizes
    // beyond that before it reads. Both live until the call has returned and are only read. The
    // rest are numbers.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            at,
            block.as_ptr(),
            size,
        )
    };
    checked(done).map(drop)
}

/// Calls open_tree with any flags.
pub fn open_tree(path: &str, flags: u64) -> Result<i32, Errno> {
    let path = text(path)?;
    // SAFETY: the path ends with a zero and lives until the call has returned; the kernel only reads
    // it. The rest are numbers. The new descriptor belongs to nobody yet.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    checked(fd).map(|fd| fd as i32)
}

/// Calls move_mount with any flags.
pub fn move_mount(from: &str, to: &str, flags: u64) -> Result<(), Errno> {
    let (from, to) = (text(from)?, text(to)?);
    let here = libc::AT_FDCWD;
    // SAFETY: both paths end with a zero and live until the call has returned; the kernel only reads
    // them. The rest are numbers.
    let done = unsafe {
        libc::syscall(libc::SYS_move_mount, here, from.as_ptr(), here, to.as_ptr(), flags)
    };
    checked(done).map(drop)
}
