//! Everything that can go wrong here, and the words for it.
//!
//! The first line says what failed. The next may give values. `try` is one step that works.

use std::fmt::{self, Display};
use std::path::PathBuf;

use anyns_trap::chain::{Failure, InstallFailure, Part};
use anyns_trap::probe::Obstacle;
use rustix::io::Errno;

use crate::obstacle::{Hindrance, sentence, words};

/// The status of every failure of ours.
const OURS: u8 = 125;

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Error {
    NoVerb,
    UnknownVerb {
        given: String,
        near: Option<String>,
    },
    NoCommand,
    UnknownOption {
        given: String,
        near: Option<String>,
    },
    WrongValue {
        what: String,
        given: String,
        possible: Vec<String>,
    },
    GivenTwice {
        given: String,
    },
    TooMuch {
        given: String,
    },
    Missing {
        what: String,
        possible: Vec<String>,
    },
    Usage {
        words: String,
    },
    UnknownRule {
        given: String,
        near: Option<&'static str>,
    },
    TraceFile {
        path: PathBuf,
        errno: Errno,
    },
    TraceToNowhere,
    NotRun {
        command: PathBuf,
        why: Exec,
    },
    /// Everything that stands in the way; at least one.
    Obstacles(Vec<Obstacle>),
    Chain(Failure),
}

/// Why a command was not executed.
#[derive(Debug)]
pub(crate) enum Exec {
    /// No directory of PATH has it.
    NotInPath,
    /// The path leads nowhere.
    NoFile,
    /// The file is there, so it must be what the file asks for.
    NoInterpreter,
    Directory,
    NotExecutable,
    /// What the kernel said, for which we know no better words.
    Other(Errno),
}

impl Error {
    /// The exit status.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Error::NotRun { why: Exec::NotInPath | Exec::NoFile | Exec::NoInterpreter, .. } => 127,
            Error::NotRun { .. } => 126,
            _ => OURS,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoVerb => {
                f.write_str("nothing was asked for")?;
                attempt(f, "anyns run -- sh, or anyns --help")
            }
            Error::UnknownVerb { given, near } => {
                write!(f, "there is no 'anyns {given}'")?;
                match near {
                    Some(near) => attempt(f, &format!("anyns {near}")),
                    None => attempt(f, &format!("anyns run -- {given}, or anyns --help")),
                }
            }
            Error::NoCommand => {
                f.write_str("no command was given")?;
                attempt(f, "anyns run -- sh")
            }
            Error::UnknownOption { given, near } => {
                write!(f, "unknown option '{given}'")?;
                match near {
                    Some(near) => attempt(f, near),
                    None => attempt(f, "-- before a command that begins with a dash, or --help"),
                }
            }
            Error::WrongValue { what, given, possible } => {
                write!(f, "{what} cannot be '{given}'")?;
                attempt(f, &format!("one of {}", possible.join(", ")))
            }
            Error::GivenTwice { given } => {
                write!(f, "{given} was given twice")?;
                attempt(f, "giving it once")
            }
            Error::TooMuch { given } => {
                write!(f, "'{given}' is one argument too many")?;
                attempt(f, "anyns --help")
            }
            Error::Missing { what, possible } => {
                write!(f, "{what} is missing")?;
                match possible.is_empty() {
                    true => attempt(f, "anyns --help"),
                    false => attempt(f, &format!("one of {}", possible.join(", "))),
                }
            }
            Error::Usage { words } => {
                f.write_str(words)?;
                attempt(f, "anyns --help")
            }
            Error::UnknownRule { given, near } => {
                write!(f, "there is no rule '{given}'")?;
                match near {
                    Some(near) => attempt(f, &format!("anyns rules {near}")),
                    None => attempt(f, "anyns rules, for all of them"),
                }
            }
            Error::TraceFile { path, errno } => {
                write!(f, "cannot write the trace to '{}': {}", path.display(), words(*errno))?;
                attempt(f, "a file in a directory that you may write to")
            }
            Error::TraceToNowhere => {
                f.write_str("the trace has nowhere to go: standard error is closed")?;
                attempt(f, "--trace-file FILE")
            }
            Error::NotRun { command, why } => not_run(f, &command.to_string_lossy(), why),
            Error::Obstacles(all) => obstacles(f, all),
            Error::Chain(failure) => chain(f, failure),
        }
    }
}

/// The last line of a message.
fn attempt(f: &mut fmt::Formatter<'_>, step: &str) -> fmt::Result {
    write!(f, "\n  try     {step}")
}

fn not_run(f: &mut fmt::Formatter<'_>, command: &str, why: &Exec) -> fmt::Result {
    match why {
        Exec::NotInPath => {
            write!(f, "cannot run '{command}': no directory of PATH has it")?;
            attempt(f, "the path of the program, or another spelling")
        }
        Exec::NoFile => {
            write!(f, "cannot run '{command}': there is no such file")?;
            attempt(f, "another path")
        }
        Exec::NoInterpreter => {
            write!(f, "cannot run '{command}': the interpreter it asks for does not exist")?;
            attempt(f, "file on it, which names the interpreter")
        }
        Exec::Directory => {
            write!(f, "cannot run '{command}': it is a directory")?;
            attempt(f, "a program in it")
        }
        Exec::NotExecutable => {
            write!(f, "cannot run '{command}': you have no permission to execute it")?;
            attempt(f, &format!("chmod +x {command}, or its interpreter with its name"))
        }
        Exec::Other(errno) => {
            write!(f, "cannot run '{command}': {}", words(*errno))?;
            attempt(f, "the command without anyns, to see whether it differs")
        }
    }
}

/// One sentence for all that stands in the way, and the steps that take it away.
fn obstacles(f: &mut fmt::Formatter<'_>, all: &[Obstacle]) -> fmt::Result {
    f.write_str(&sentence(all))?;
    let mut steps: Vec<&str> = all.iter().map(|one| Hindrance(one).help()).collect();
    steps.dedup();
    steps.into_iter().try_for_each(|step| attempt(f, step))
}

fn chain(f: &mut fmt::Formatter<'_>, failure: &Failure) -> fmt::Result {
    let obstacle = match failure {
        Failure::Install(InstallFailure::ListenerExists) => Obstacle::ListenerExists,
        Failure::Install(InstallFailure::TooOld) => {
            Obstacle::OldKernel(rustix::system::uname().release().to_string_lossy().into_owned())
        }
        Failure::Install(InstallFailure::NoSeccomp) => Obstacle::NoSeccomp,
        Failure::Install(InstallFailure::Other(errno)) => {
            Obstacle::NotifyRefused(Errno::from_raw_os_error(*errno))
        }
        Failure::NoProcess(errno) => Obstacle::NoProcess(Errno::from_raw_os_error(*errno)),
        Failure::Host("fork", error) if error.raw_os_error().is_some() => {
            let errno = error.raw_os_error().unwrap_or_default();
            Obstacle::NoProcess(Errno::from_raw_os_error(errno))
        }
        Failure::NoCommand => return Error::NoCommand.fmt(f),
        Failure::Killed(part) => {
            let who = match part {
                Part::Supervisor => "supervisor",
                Part::Watchdog => "watchdog",
            };
            write!(f, "somebody killed the {who} of anyns, so the command was killed too")?;
            return attempt(f, "dmesg, which tells if memory ran out");
        }
        Failure::NotServing(why) => {
            write!(f, "the supervisor could not start: {why}")?;
            return attempt(f, "anyns doctor");
        }
        Failure::Host(what, error) => {
            let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
            write!(f, "cannot {what}: {}", words(errno))?;
            return attempt(f, "ulimit -a: processes or descriptors may have run out");
        }
        Failure::Threads(_) => {
            write!(f, "{failure}")?;
            return attempt(f, "anyns without libraries preloaded into it");
        }
    };
    obstacles(f, &[obstacle])
}
