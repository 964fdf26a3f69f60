//! The calls that concern mounts.

use std::io;
use std::os::fd::AsRawFd;

use anyns_trap::raw;

use super::perform::keep;
use super::{PROC, done, refused};
use crate::lang::mounting::{comparable_mountinfo, comparable_mounts};
use crate::lang::{Call, errno_text};

fn io_done<T>(result: io::Result<T>) -> String {
    match result {
        Ok(_) => "0".into(),
        Err(error) => errno_text(error.raw_os_error().unwrap_or(5)),
    }
}

/// A text that is NULL when written `-`, and empty when written `""`.
fn text(word: &str) -> Option<&str> {
    match word {
        "-" => None,
        "\"\"" => Some(""),
        word => Some(word),
    }
}

/// Opens `/proc` under a number of its own: the path may lead elsewhere later.
pub(super) fn keep_proc() -> Result<(), String> {
    let proc = std::fs::File::open("/proc").map_err(|error| format!("no /proc: {error}"))?;
    raw::duplicate(proc.as_raw_fd(), PROC).map_err(|error| error.to_string())
}

pub(super) fn read_proc(name: &str) -> Result<String, raw::Errno> {
    const O_CLOEXEC: i32 = 0o2_000_000;
    let fd = raw::open_at(PROC, &format!("thread-self/{name}"), O_CLOEXEC)?;
    let mut all = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match raw::read(fd, &mut buffer) {
            Ok(0) => break,
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(errno) => {
                let _ = raw::close(fd);
                return Err(errno);
            }
        }
    }
    let _ = raw::close(fd);
    Ok(String::from_utf8_lossy(&all).into_owned())
}

fn list(path: &str) -> String {
    let names = std::fs::read_dir(path).and_then(|entries| {
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    });
    names.map_or_else(|error| errno_text(error.raw_os_error().unwrap_or(5)), names_text)
}

/// Names in a directory, sorted.
pub(crate) fn names_text(mut names: Vec<String>) -> String {
    names.sort();
    if names.is_empty() { "none".into() } else { names.join(" ") }
}

/// Makes the call if it is one of these.
pub(super) fn answer(call: &Call, slot: i32) -> Option<String> {
    Some(match call {
        Call::Mkdir { path } => io_done(std::fs::create_dir(&path.0)),
        Call::Rmdir { path } => io_done(std::fs::remove_dir(&path.0)),
        Call::List { path } => list(&path.0),
        Call::Touch { path } => io_done(std::fs::File::create_new(&path.0)),
        Call::Chdir { path } => done(rustix::process::chdir(path.0.as_str())),
        Call::Mount { source, target, kind, flags } => {
            done(raw::mount(text(&source.0), &target.0, text(&kind.0), flags.bits))
        }
        Call::Umount { path, flags } => done(raw::umount(&path.0, flags.bits)),
        Call::PivotRoot { new, old } => done(raw::pivot_root(&new.0, &old.0)),
        Call::MountSetattr { path, at, set, clear, propagation, size, tail } => {
            let tail = tail.unwrap_or(0) as u64;
            let attr = [set.bits, clear.bits, propagation.bits, 0, tail];
            done(raw::mount_setattr(&path.0, at.bits, attr, size.unwrap_or(32) as u64))
        }
        Call::Idmap { path, at, set, clear, user } => {
            // The field is wider than descriptors are: -1 is the highest number there is.
            let attr = [set.bits, clear.bits, 0, i64::from(user.number()) as u64, 0];
            done(raw::mount_setattr(&path.0, at.bits, attr, 32))
        }
        Call::OpenTree { path, flags } => keep(raw::open_tree(&path.0, flags.bits), slot),
        Call::MoveMount { from, to, flags } => done(raw::move_mount(&from.0, &to.0, flags.bits)),
        Call::Mountinfo { path } => {
            read_proc("mountinfo").map_or_else(refused, |text| comparable_mountinfo(&text, &path.0))
        }
        Call::Mounts { path } => {
            read_proc("mounts").map_or_else(refused, |text| comparable_mounts(&text, &path.0))
        }
        _ => return None,
    })
}
