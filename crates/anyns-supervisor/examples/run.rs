//! The smallest way to run a command with namespaces: `run CMD...`.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;

fn main() {
    let argv = std::env::args_os().skip(1).filter_map(|word| CString::new(word.into_vec()).ok());
    let command = anyns_supervisor::Command {
        plan: anyns_trap::Plan::notify(),
        argv: argv.collect(),
        served: anyns_supervisor::SERVED,
        trace: std::env::var_os("TRACE").map(|_| {
            let to = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3).expect("stderr");
            (anyns_supervisor::trace::Format::Text, to)
        }),
    };
    match anyns_supervisor::run(command) {
        Ok(ended) => println!("{ended:?}"),
        Err(failure) => eprintln!("error: {failure}"),
    }
}
