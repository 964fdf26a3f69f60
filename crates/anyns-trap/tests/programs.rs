//! Questions about programs, in a process of their own: while the kernel answers one, no thread can be
//! started but by [`anyns_trap::spawn`].

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyns_trap::{is_written, may_execute, spawn};
use rustix::io::Errno;

/// One test: the harness starts a thread for each.
#[test]
fn programs() {
    a_program_that_is_written_is_busy();
    threads_start_while_programs_are_looked_at();
}

fn a_program_that_is_written_is_busy() {
    let path = std::env::temp_dir().join(format!("anyns-busy-{}", std::process::id()));
    let writer = OpenOptions::new().create_new(true).write(true).mode(0o700).open(&path).unwrap();
    let reader = File::open(&path).unwrap();
    let check = may_execute(reader.as_fd());
    assert!(matches!(check, Err(Errno::TXTBSY | Errno::INVAL)), "{check:?}");
    assert!(is_written(reader.as_fd()));
    drop(writer);
    assert!(!is_written(reader.as_fd()));
    assert!(matches!(may_execute(reader.as_fd()), Ok(()) | Err(Errno::INVAL)));
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert!(matches!(may_execute(reader.as_fd()), Err(Errno::ACCESS | Errno::INVAL)));
    std::fs::remove_file(path).unwrap();
}

fn threads_start_while_programs_are_looked_at() {
    let program = File::open("/proc/self/exe").unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&over);
    let asking = spawn("asks", move || {
        while !until.load(Ordering::Relaxed) {
            let _ = may_execute(program.as_fd());
        }
    });
    for _ in 0..2000 {
        spawn("starts", || ()).unwrap().join().unwrap();
    }
    over.store(true, Ordering::Relaxed);
    asking.unwrap().join().unwrap();
}
