//! Files and descriptors.

use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use anyns_trap::raw;
use rustix::process::{Resource, Rlimit};

use super::perform::{keep, written};
use super::{FIRST_DESCRIPTOR, MAIL, done, refused};
use crate::lang::{Call, errno_text, quote};

fn failed(error: &io::Error) -> String {
    errno_text(error.raw_os_error().unwrap_or(5))
}

/// Opens a file; the flags are O_CLOEXEC and the mode's.
fn open(mode: &str, path: &str) -> io::Result<i32> {
    const O_PATH: i32 = 0o10_000_000;
    let mut how = std::fs::OpenOptions::new();
    match mode {
        "read" => how.read(true),
        "write" => how.write(true),
        "rdwr" => how.read(true).write(true),
        "path" => how.read(true).custom_flags(O_PATH),
        _ => return Err(io::Error::from_raw_os_error(22)),
    };
    how.open(path).map(IntoRawFd::into_raw_fd)
}

fn opened(result: &io::Result<i32>) -> Result<i32, String> {
    result.as_ref().map(|fd| *fd).map_err(|error| format!("open {}", failed(error)))
}

fn contents(fd: i32) -> String {
    let mut all = Vec::new();
    let mut buffer = vec![0; 1 << 15];
    loop {
        match raw::read(fd, &mut buffer) {
            Ok(0) => return quote(&all),
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(errno) => return refused(errno),
        }
    }
}

/// Opens, does one thing, closes.
fn with(mode: &str, path: &str, act: impl FnOnce(i32) -> String) -> String {
    match opened(&open(mode, path)) {
        Ok(fd) => {
            let text = act(fd);
            let _ = raw::close(fd);
            text
        }
        Err(text) => text,
    }
}

pub(super) fn answer(call: &Call, slot: i32) -> String {
    match call {
        Call::Open { mode, path } => match open(&mode.0, &path.0) {
            Ok(fd) => keep(Ok(fd), slot),
            Err(error) => failed(&error),
        },
        Call::Close { fd } => done(raw::close(fd.number())),
        Call::Read { fd } => contents(fd.number()),
        Call::Write { fd, text } => written(raw::write(fd.number(), &text.bytes)),
        Call::Pwrite { fd, offset, text } => {
            written(raw::pwrite(fd.number(), &text.bytes, *offset))
        }
        Call::Writev { fd, texts } => {
            let segments: Vec<&[u8]> = texts.iter().map(|text| text.bytes.as_slice()).collect();
            written(raw::write_segments(fd.number(), &segments))
        }
        Call::Get { path } => with("read", &path.0, contents),
        Call::Put { path, text } => {
            with("write", &path.0, |fd| written(raw::write(fd, &text.bytes)))
        }
        Call::Owner { path } => match std::fs::metadata(&path.0) {
            Ok(meta) => format!("{} {}", meta.uid(), meta.gid()),
            Err(error) => failed(&error),
        },
        Call::Lstat { path } => {
            std::fs::symlink_metadata(&path.0).map_or_else(|error| failed(&error), |_| "0".into())
        }
        Call::Chown { path, uid, gid } => {
            std::os::unix::fs::chown(&path.0, Some(*uid as u32), Some(*gid as u32))
                .map_or_else(|error| failed(&error), |()| "0".into())
        }
        Call::Same { one, other } => same(&one.0, &other.0),
        Call::Readlink { path } => match std::fs::read_link(&path.0) {
            Ok(link) => link.to_string_lossy().into_owned(),
            Err(error) => failed(&error),
        },
        // The driver tells the receiver to take it, by the same number.
        Call::Send { fd, .. } => done(raw::send_descriptor(MAIL[0], fd.number())),
        Call::Receive { slot } => receive(*slot as i32),
        Call::Chroot { path } => {
            std::os::unix::fs::chroot(&path.0).map_or_else(|error| failed(&error), |()| "0".into())
        }
        Call::Rlimit { resource, limit } => rlimit(&resource.0, *limit as u64),
        other => format!("!nobody can {other}"),
    }
}

fn same(one: &str, other: &str) -> String {
    match (std::fs::metadata(one), std::fs::metadata(other)) {
        (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()) => "yes".into(),
        (Ok(_), Ok(_)) => "no".into(),
        (Err(error), _) | (_, Err(error)) => failed(&error),
    }
}

fn receive(slot: i32) -> String {
    match raw::receive_descriptor(MAIL[1]) {
        Ok(fd) if fd >= 0 && slot >= FIRST_DESCRIPTOR => keep(Ok(fd), slot),
        Ok(_) => "!no descriptor came".into(),
        Err(errno) => refused(errno),
    }
}

fn rlimit(resource: &str, limit: u64) -> String {
    let resource = match resource {
        "NPROC" => Resource::Nproc,
        "MEMLOCK" => Resource::Memlock,
        "NOFILE" => Resource::Nofile,
        other => return format!("!there is no limit {other}"),
    };
    done(rustix::process::setrlimit(
        resource,
        Rlimit { current: Some(limit), maximum: Some(limit) },
    ))
}
