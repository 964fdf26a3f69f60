//! The host whose limits are 0: a user namespace that maps every id to itself.

use std::fs;
use std::io::{self, Read, Write};

use anyns_trap::raw::{self, Birth};

use super::{NEWIPC, NEWNS, NEWUSER, NEWUTS};

const LIMITS: [&str; 8] = ["user", "uts", "ipc", "mnt", "pid", "net", "cgroup", "time"];

/// Enters the namespace and sets its limits.
pub(super) fn enter() -> Result<(), String> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| format!("cannot make the max0 host: {what}: {error}")
    };
    let me = std::process::id();
    let (mut ready, mut begin) = io::pipe().map_err(failed("a pipe"))?;
    // The map can only be written by somebody who stays outside.
    let helper = match raw::fork().map_err(|errno| failed("fork")(errno.into()))? {
        Birth::Parent { child, .. } => child,
        Birth::Child => {
            drop(begin);
            let told = ready.read(&mut [0]).is_ok_and(|count| count == 1);
            let written = told && write_maps(me).is_ok();
            raw::exit_now(i32::from(!written))
        }
    };
    drop(ready);
    raw::unshare(NEWUSER | NEWUTS | NEWIPC | NEWNS)
        .map_err(|errno| failed("a kernel that grants user namespaces is needed")(errno.into()))?;
    begin.write_all(b"x").map_err(failed("the helper"))?;
    if raw::wait(helper) != Ok(raw::Ended::Exited(0)) {
        return Err("cannot make the max0 host: mapping all ids needs root with CAP_SETUID".into());
    }
    for kind in LIMITS {
        let path = format!("/proc/sys/user/max_{kind}_namespaces");
        match fs::write(&path, "0") {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn write_maps(process: u32) -> io::Result<()> {
    for map in ["uid_map", "gid_map", "projid_map"] {
        fs::write(format!("/proc/{process}/{map}"), "0 0 4294967295")?;
    }
    Ok(())
}
