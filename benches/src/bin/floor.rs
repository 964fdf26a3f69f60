//! The empty supervisor: the calls that anyns stops are stopped, and answered with nothing behind.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use anyns_trap::chain::{self, Ended, Options, Supervise};
use anyns_trap::filter::{Action, Filter, Row, Test};
use anyns_trap::{Answered, Call, Engine, Plan, Serve};

/// The calls of the loops that anyns stops.
const STOPPED: &[i64] = &[
    libc::SYS_getuid,
    libc::SYS_uname,
    libc::SYS_getpid,
    libc::SYS_kill,
    libc::SYS_setns,
    libc::SYS_sethostname,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_openat,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getdents64,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_execve,
    libc::SYS_semop,
    libc::SYS_shmat,
    libc::SYS_unshare,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
];

struct Floor;

impl Serve for Floor {
    fn serve(&self, call: Call) -> Answered {
        match call.nr() {
            libc::SYS_getuid
            | libc::SYS_uname
            | libc::SYS_setns
            | libc::SYS_sethostname
            | libc::SYS_unshare => call.ret(0),
            _ => call.resume(),
        }
    }

    fn is_brief(&self, _nr: i64) -> bool {
        true
    }
}

struct Serving {
    _engine: Engine,
}

impl Supervise for Serving {}

fn main() -> std::process::ExitCode {
    let argv = std::env::args_os().skip(1).filter_map(|word| CString::new(word.into_vec()).ok());
    let rows = || {
        let notify = |&nr| Row { nr, test: Test::Always, action: Action::Notify };
        Filter::compile(&STOPPED.iter().map(notify).collect::<Vec<_>>())
    };
    let ended = chain::run(
        Options { argv: argv.collect(), keep: Vec::new() },
        |_| rows(),
        |_| {
            Ok(|tree: chain::Tree| -> io::Result<Box<dyn Supervise>> {
                let engine = Engine::start(&Plan::notify(), tree, Arc::new(Floor), 0)?;
                Ok(Box::new(Serving { _engine: engine }))
            })
        },
    );
    match ended {
        Ok(Ended::Exited(status)) => status.into(),
        other => {
            eprintln!("error: {other:?}");
            125.into()
        }
    }
}
