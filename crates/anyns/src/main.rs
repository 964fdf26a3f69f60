//! The command line: runs programs with Linux namespaces where the kernel refuses them.
//!
//! Not here: what a namespace is (`nsproxy`), how a call is answered (`anyns-supervisor`), how it
//! reaches us (`anyns-trap`).

mod args;
mod doctor;
mod error;
mod obstacle;
mod rules;
mod run;

use std::io::Write;
use std::process::ExitCode;

use args::Task;
use error::Error;

fn main() -> ExitCode {
    match args::read(std::env::args_os()).and_then(carry_out) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            // Nobody is left to be told when this fails.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(error.status())
        }
    }
}

fn carry_out(task: Task) -> Result<u8, Error> {
    match task {
        Task::Run(run) => run::run(run),
        Task::Doctor => doctor::doctor(),
        Task::Rules { name } => rules::rules(name.as_deref()).map(|text| print(&text)),
        Task::Text(text) => Ok(print(&text)),
    }
}

/// Prints, and returns the status of success. A reader that has gone away has read enough.
fn print(text: &str) -> u8 {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    0
}
