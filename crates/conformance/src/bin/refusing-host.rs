//! Starts a program on a host that refuses namespaces (or grants them):
//!
//! ```text
//! refusing-host plain|max0|docker|open root|1000 [--one-processor] [--reap] COMMAND [ARGUMENT..]
//! ```
//!
//! The command takes this process's place. With `--reap` it runs in a child, and this process stays
//! until everything that the command started has ended, reaping what its parent leaves behind.
//!
//! With `--one-processor` all of it stays on one processor.
//!
//! With `CONFORMANCE_CGROUP` in the environment it enters that cgroup first.
//!
//! Exit status: the command's; 125 if the host cannot be made or does not refuse as promised, 126
//! and 127 if the command cannot be executed or is not found.

use std::os::unix::process::CommandExt;
use std::process::{Command, exit};

use conformance::host::{Mode, Who, enter};
use conformance::native::cgroup::ENVIRONMENT;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [mode, who, rest @ ..] = args.as_slice() else { usage() };
    let (one_processor, rest) = flag("--one-processor", rest);
    let (reap, rest) = flag("--reap", rest);
    let [command, arguments @ ..] = rest else { usage() };
    let mode = Mode::named(mode).unwrap_or_else(|| usage());
    let who = match who.as_str() {
        "root" => Who::Root,
        "1000" => Who::User,
        _ => usage(),
    };
    if let Some(cgroup) = std::env::var_os(ENVIRONMENT) {
        let file = std::path::Path::new(&cgroup).join("cgroup.procs");
        if let Err(error) = std::fs::write(&file, "0") {
            eprintln!("refusing-host: {}: {error}", file.display());
            exit(125);
        }
    }
    if one_processor && let Err(sentence) = conformance::host::stay_on_one_processor() {
        eprintln!("refusing-host: {sentence}");
        exit(125);
    }
    if let Err(sentence) = enter(mode, who) {
        eprintln!("refusing-host: {sentence}");
        exit(125);
    }
    if reap && let Err(sentence) = conformance::host::stay_behind() {
        eprintln!("refusing-host: {sentence}");
        exit(125);
    }
    let error = Command::new(command).args(arguments).exec();
    eprintln!("refusing-host: {command}: {error}");
    exit(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 });
}

/// Whether the next argument is this one, and what follows.
fn flag<'a>(name: &str, arguments: &'a [String]) -> (bool, &'a [String]) {
    match arguments {
        [first, rest @ ..] if first == name => (true, rest),
        _ => (false, arguments),
    }
}

fn usage() -> ! {
    eprintln!(
        "refusing-host: usage: refusing-host plain|max0|docker|open root|1000 [--one-processor] [--reap] \
         COMMAND.."
    );
    exit(125);
}
