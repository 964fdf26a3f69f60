//! `anyns run`: a command, with everything about it as if anyns were not there.

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyns_supervisor::Command;
use anyns_supervisor::trace::Format;
use anyns_trap::chain::Ended;
use anyns_trap::probe::{self, Wish};
use rustix::fs::{Access, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::args::{BackEnd, Run, TraceForm};
use crate::error::{Error, Exec};
use crate::obstacle::understood;

/// Runs the command and returns the status to exit with.
pub(crate) fn run(run: Run) -> Result<u8, Error> {
    let wish = match run.backend {
        BackEnd::Auto => Wish::Auto,
        BackEnd::Notify => Wish::Notify,
        BackEnd::Stop => Wish::Stop,
    };
    let plan = probe::choose(&anyns_supervisor::rows(), wish)
        .map_err(|found| Error::Obstacles(understood(found)))?;
    let trace = trace(&run)?;
    let name = run.command[0].clone();
    // No argument of a process holds a NUL, so none is dropped.
    let argv = run.command.into_iter().filter_map(|word| CString::new(word.into_vec()).ok());
    let served = anyns_supervisor::SERVED;
    let command = Command { argv: argv.collect(), trace, plan, served };
    match anyns_supervisor::run(command).map_err(Error::Chain)? {
        Ended::Exited(status) => Ok(status),
        Ended::Signalled(signal) => Ok(128u8.wrapping_add(signal as u8)),
        Ended::NotRun { errno } => {
            let why = explain(&name, Errno::from_raw_os_error(errno));
            Err(Error::NotRun { command: PathBuf::from(name), why })
        }
    }
}

/// Opens what the trace is written to.
fn trace(run: &Run) -> Result<Option<(Format, OwnedFd)>, Error> {
    let format = match (run.trace, &run.trace_file) {
        (None, None) => return Ok(None),
        (Some(TraceForm::Json), _) => Format::Json,
        (Some(TraceForm::Text) | None, _) => Format::Text,
    };
    let to = match &run.trace_file {
        Some(path) => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::from_raw_mode(0o666))
                .map_err(|errno| Error::TraceFile { path: path.clone(), errno })?
        }
        None => rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)
            .map_err(|_| Error::TraceToNowhere)?,
    };
    Ok(Some((format, to)))
}

/// Finds out why a command could not be executed; `execve` has few words for many reasons.
fn explain(name: &OsStr, errno: Errno) -> Exec {
    let searched = !name.as_bytes().contains(&b'/');
    let place = Path::new(name);
    let is_directory = |path: &Path| {
        rustix::fs::stat(path)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    };
    match errno {
        Errno::NOENT if searched => match in_path(name) {
            Some(_) => Exec::NoInterpreter,
            None => Exec::NotInPath,
        },
        Errno::NOENT if rustix::fs::access(place, Access::EXISTS).is_ok() => Exec::NoInterpreter,
        Errno::NOENT => Exec::NoFile,
        Errno::ACCESS if !searched && is_directory(place) => Exec::Directory,
        Errno::ACCESS => Exec::NotExecutable,
        other => Exec::Other(other),
    }
}

/// The first executable file of this name in PATH.
fn in_path(name: &OsStr) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|directory| directory.join(name));
    places.find(|place| rustix::fs::access(place, Access::EXEC_OK).is_ok())
}
