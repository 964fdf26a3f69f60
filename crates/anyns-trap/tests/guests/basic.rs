//! Answers without ptrace: results, errors, memory, descriptors, panics.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use anyns_trap::MemError;

use crate::cases;
use crate::harness::{Case, assert_no_leak, own_counts, run, tell, tell_all};

pub(crate) const CASES: &[Case] = cases![
    answers_and_continues => guest_answers,
    memory_is_read_and_written_as_the_kernel_would => guest_memory,
    descriptors_are_installed => guest_descriptors,
    a_panic_answers_enosys_and_serving_goes_on => guest_panics,
    a_blocked_worker_does_not_stall_others => guest_blocks,
    the_engine_leaves_nothing_behind => guest_answers,
];

/// A raw call with up to six arguments: the result or a negative error number.
pub(crate) fn call(nr: i64, args: [u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = args;
    // SAFETY: guests pass numbers of calls that do to this process only what the case is about;
    // pointers among the arguments are the case's own buffers, or bad on purpose for a call that
    // the supervisor answers or the kernel refuses.
    let r = unsafe { libc::syscall(nr, a, b, c, d, e, f) };
    if r == -1 { -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap()) } else { r }
}

fn answers_and_continues() {
    let out =
        run(&tell_all(&[libc::SYS_getppid, libc::SYS_getuid, libc::SYS_getpgid]), |c| {
            match c.nr() {
                libc::SYS_getppid => c.ret(4711),
                libc::SYS_getuid => c.resume(),
                _ => c.errno(libc::EXDEV),
            }
        });
    let uid = rustix::process::getuid().as_raw();
    assert_eq!(out.ok(), format!("4711 {uid} -18\n"));
}

fn guest_answers() {
    let none = [0; 6];
    println!(
        "{} {} {}",
        call(libc::SYS_getppid, none),
        call(libc::SYS_getuid, none),
        call(libc::SYS_getpgid, none)
    );
}

fn memory_is_read_and_written_as_the_kernel_would() {
    let out = run(&tell_all(&[libc::SYS_sethostname, libc::SYS_setdomainname]), |c| {
        let addr = c.arg(0);
        if c.nr() == libc::SYS_setdomainname {
            let wrote = c.mem().write(addr, &vec![7; c.arg(1) as usize]);
            return match wrote {
                Ok(()) => c.ret(0),
                Err(MemError::Fault) => c.errno(libc::EFAULT),
                Err(_) => c.errno(libc::EIO),
            };
        }
        match c.mem().read_cstr(addr, c.arg(1) as usize) {
            Ok(text) => c.ret(text.as_bytes().len() as i64),
            Err(MemError::Fault) => c.errno(libc::EFAULT),
            Err(MemError::TooLong) => c.errno(libc::ENAMETOOLONG),
            Err(_) => c.errno(libc::EIO),
        }
    });
    assert_eq!(out.ok(), "ok\n");
}

fn guest_memory() {
    let page = 4096u64;
    // Three pages: writable, read-only, unmapped.
    // SAFETY: an anonymous mapping at an address of the kernel's choice overlaps nothing.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            3 * page as usize,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    let at = base as u64;
    // SAFETY: the range is the mapping's own and nothing refers to it.
    unsafe { std::ptr::write_bytes(base.cast::<u8>(), b'x', 2 * page as usize) };
    let protect = [at + page, page, libc::PROT_READ as u64, 0, 0, 0];
    assert_eq!(call(libc::SYS_mprotect, protect), 0);
    assert_eq!(call(libc::SYS_munmap, [at + 2 * page, page, 0, 0, 0, 0]), 0);

    let read = |addr, max| call(libc::SYS_sethostname, [addr, max, 0, 0, 0, 0]);
    let write = |addr, len| call(libc::SYS_setdomainname, [addr, len, 0, 0, 0, 0]);
    let text = CString::new("abc").unwrap();
    assert_eq!(read(text.as_ptr() as u64, 100), 3);
    assert_eq!(read(0, 100), -i64::from(libc::EFAULT));
    assert_eq!(read(u64::MAX - 2, 100), -i64::from(libc::EFAULT));
    assert_eq!(read(at, 100), -i64::from(libc::ENAMETOOLONG));
    assert_eq!(read(at, 3 * page), -i64::from(libc::EFAULT), "runs into the unmapped page");
    assert_eq!(write(at + page - 10, 5), 0);
    assert_eq!(write(at + page - 4, 8), -i64::from(libc::EFAULT), "half of it read-only");
    assert_eq!(write(at + page, 1), -i64::from(libc::EFAULT));
    assert_eq!(write(0, 8), -i64::from(libc::EFAULT));
    assert_eq!(write(0, 0), 0);

    // A string that ends with the last readable byte, crossing a page before.
    let end = at + 2 * page;
    assert_eq!(call(libc::SYS_mprotect, [at + page, page, 3, 0, 0, 0]), 0);
    // SAFETY: the byte is the last of the two mapped, writable pages.
    unsafe { ((end - 1) as *mut u8).write(0) };
    assert_eq!(read(end - 300, page), 299);
    assert_eq!(read(end - page - 5, 3 * page), page as i64 + 4);
    assert_eq!(read(end - 1, page), 0);

    if !rustix::process::geteuid().is_root() {
        // What follows is denied to an ordinary supervisor.
        return println!("ok");
    }
    // Without dumpability the fallback must say the same.
    assert_eq!(call(libc::SYS_prctl, [libc::PR_SET_DUMPABLE as u64, 0, 0, 0, 0, 0]), 0);
    assert_eq!(call(libc::SYS_mprotect, protect), 0);
    assert_eq!(read(end - 300, page), 299);
    assert_eq!(write(at + page, 1), -i64::from(libc::EFAULT));
    assert_eq!(write(at + page - 4, 2), 0);
    println!("ok");
}

fn descriptors_are_installed() {
    let out = run(&tell_all(&[libc::SYS_getppid, libc::SYS_getuid]), |mut c| {
        let file = std::fs::File::open("/dev/zero").unwrap();
        if c.nr() == libc::SYS_getuid {
            let at = c.add_fd(file.as_fd(), Some(77), true).unwrap();
            return c.ret(at.into());
        }
        match c.install_fd(file.as_fd(), false) {
            (Ok(_), answered) => answered,
            (Err(errno), answered) => {
                assert_eq!(errno, libc::EMFILE);
                answered
            }
        }
    });
    assert_eq!(out.ok(), "ok\n");
}

fn guest_descriptors() {
    let none = [0; 6];
    let fd = call(libc::SYS_getppid, none);
    let mut byte = 1u8;
    assert_eq!(call(libc::SYS_read, [fd as u64, (&raw mut byte) as u64, 1, 0, 0, 0]), 1);
    assert_eq!(byte, 0);
    let flags = |fd: i64| call(libc::SYS_fcntl, [fd as u64, libc::F_GETFD as u64, 0, 0, 0, 0]);
    assert_eq!(flags(fd), 0);
    assert_eq!(call(libc::SYS_getuid, none), 77);
    assert_eq!(flags(77), i64::from(libc::FD_CLOEXEC));
    let limit = libc::rlimit { rlim_cur: 3, rlim_max: 3 };
    // SAFETY: the structure lives until the call returns.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    assert_eq!(call(libc::SYS_getppid, none), -i64::from(libc::EMFILE));
    println!("ok");
}

fn a_panic_answers_enosys_and_serving_goes_on() {
    let out = run(&[tell(libc::SYS_getppid)], |c| {
        if c.arg(0) == 1 {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        c.ret(5)
    });
    assert_eq!(out.ok(), "[-38, 5, -38, 5]\n");
}

fn guest_panics() {
    let ask = |a| call(libc::SYS_getppid, [a, 0, 0, 0, 0, 0]);
    println!("{:?}", [ask(1), ask(2), ask(1), ask(2)]);
}

fn a_blocked_worker_does_not_stall_others() {
    // Twenty callers are answered only when all have arrived: needs twenty workers at once.
    let gate = Arc::new(Barrier::new(20));
    let count = Arc::new(AtomicUsize::new(0));
    let before = own_counts();
    let out = run(&[tell(libc::SYS_getppid)], move |c| {
        count.fetch_add(1, Ordering::Relaxed);
        gate.wait();
        c.ret(1)
    });
    assert_eq!(out.ok(), "ok\n");
    assert_no_leak(before);
}

fn guest_blocks() {
    let threads: Vec<_> = (0..20)
        .map(|_| std::thread::spawn(|| assert_eq!(call(libc::SYS_getppid, [0; 6]), 1)))
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    println!("ok");
}

fn the_engine_leaves_nothing_behind() {
    let before = own_counts();
    for _ in 0..5 {
        let out = run(&tell_all(&[libc::SYS_getppid, libc::SYS_getuid]), |c| c.ret(1));
        assert_eq!(out.status, 0);
    }
    assert_no_leak(before);
}
