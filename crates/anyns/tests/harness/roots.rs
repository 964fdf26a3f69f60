//! Root directories made of this machine's own files: with a libc of their own, so that the loader is
//! another file than the host's; and one with nothing but static programs.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::Scratch;

/// Makes `glibc`, `musl` and `busybox` in the scratch directory.
///
/// `glibc` has bash, dash, coreutils and some others, their libraries in the usual places; in each is
/// `/bin/facts` (see `guests/facts.c`), dynamic, and in `glibc` the same as `facts-static`, and
/// `facts-fixed`, which cannot be moved.
pub fn make(scratch: &Scratch) {
    const SCRIPT: &str = include_str!("../guests/roots.sh");
    scratch.file("facts.c", include_str!("../guests/facts.c"));
    let made = Command::new("sh")
        .args(["-euc", SCRIPT])
        .current_dir(scratch.path())
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "the roots cannot be made: {errors}");
    std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755)).unwrap();
}
