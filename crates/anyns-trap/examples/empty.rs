//! An empty supervisor: births and programs are told and every call is let through.
//!
//! `cargo run --example empty -- COMMAND [ARGUMENT...]` runs a command under it. It shows how the
//! parts fit together, and what the machinery costs by itself.

use std::ffi::CString;
use std::io::Error;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::sync::Arc;

use anyns_trap::chain::{self, Ended, Options, Supervise};
use anyns_trap::filter::{Action, Filter, Row, Test};
use anyns_trap::{Answered, Call, Engine, Plan, Serve};

const TOLD: [i64; 6] = [
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_execve,
    libc::SYS_execveat,
];

struct Empty;

impl Serve for Empty {
    fn serve(&self, call: Call) -> Answered {
        call.resume()
    }
}

/// The engine lives as long as the supervisor's process.
struct Running(#[allow(dead_code, reason = "held, not used")] Engine);

impl Supervise for Running {}

fn main() -> ExitCode {
    let argv = std::env::args_os().skip(1).map(|a| CString::new(a.into_vec()));
    let argv = argv.collect::<Result<_, _>>().expect("arguments of a process have no NUL");
    let ended = chain::run(
        Options { argv, ..Options::default() },
        |pids| {
            let told = TOLD.map(|nr| Row { nr, test: Test::Always, action: Action::Notify });
            Filter::compile(&[chain::guard(pids), told.to_vec()].concat())
        },
        |_| {
            Ok(|tree: chain::Tree| {
                let engine = Engine::start(&Plan::notify(), tree, Arc::new(Empty), 0)?;
                Ok(Box::new(Running(engine)) as Box<dyn Supervise>)
            })
        },
    );
    match ended {
        Ok(Ended::Exited(status)) => ExitCode::from(status),
        Ok(Ended::Signalled(signal)) => ExitCode::from(128 + signal as u8),
        Ok(Ended::NotRun { errno }) => {
            eprintln!("error: cannot run the command: {}", Error::from_raw_os_error(errno));
            ExitCode::from(if errno == libc::ENOENT { 127 } else { 126 })
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(125)
        }
    }
}
