//! Control files whose writes are judged, and identities.

use std::collections::HashMap;
use std::ffi::CString;
use std::io::{IoSlice, Write as _};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyns_trap::placeholder::{Judge, Placeholders, SelfTest, Write, WriteKind, self_test};
use anyns_trap::{Answered, Call};

use crate::basic::call;
use crate::cases;
use crate::forks::alarms;
use crate::harness::{Case, Outcome, assert_no_leak, guests_are_seized, own_counts, run, tell_all};

pub(crate) const CASES: &[Case] = cases![
    this_kernel_tells_of_writers => guest_nothing,
    each_write_gets_its_errno => guest_errnos,
    writev_is_judged_segment_by_segment => guest_segments,
    copies_are_judged_like_the_original => guest_copies,
    a_receiver_by_socket_is_judged => guest_receiver,
    sixteen_threads_write_at_once => guest_threads,
    writes_survive_a_signal_storm => guest_storm,
    killed_and_stopped_writers_do_not_hang => guest_killed,
    shells_write => guest_shells,
    other_ways_to_write_are_refused => guest_others,
    a_writer_under_a_guest_debugger_is_judged => guest_debugged,
    identities_tell_their_last_close => guest_identities,
];

const CONTROL: &str = "/control";
const IDENTITY: &str = "/identity";

type Judged = (WriteKind, u64, String);

/// Judges by text: `ok...` is taken, `half...` by half, `rangeX` says ERANGE, else EINVAL.
#[derive(Default)]
struct ByText {
    /// By token: the call, the position and the text of each segment.
    written: Mutex<HashMap<u64, Vec<Judged>>>,
    closed: AtomicUsize,
}

fn verdict(text: Option<&[u8]>) -> Result<usize, i32> {
    match text {
        None => Err(libc::EFAULT),
        Some(text) if text.starts_with(b"ok") => Ok(text.len()),
        Some(text) if text.starts_with(b"half") => Ok(text.len() / 2),
        Some(text) if text.starts_with(b"range") => Err(libc::ERANGE),
        Some(_) => Err(libc::EINVAL),
    }
}

impl Judge for ByText {
    fn write(&self, token: u64, write: &Write) -> Result<usize, i32> {
        write.each(|offset, segment| {
            let text = segment.text.as_deref();
            let log = String::from_utf8_lossy(text.unwrap_or(b"?")).into_owned();
            let mut written = self.written.lock().unwrap();
            written.entry(token).or_default().push((write.kind, offset, log));
            verdict(text)
        })
    }

    fn closed(&self, _: u64) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }
}

struct Files {
    judge: Arc<ByText>,
    opened: Arc<AtomicU64>,
}

/// Runs this case's guest with a supervisor that makes control files and identities at open.
fn serve() -> (Outcome, Files) {
    let before = own_counts();
    let judge = Arc::new(ByText::default());
    let opened = Arc::new(AtomicU64::new(0));
    let placeholders = Arc::new(Placeholders::start(Arc::clone(&judge) as Arc<dyn Judge>).unwrap());
    let (files, count) = (Arc::clone(&placeholders), Arc::clone(&opened));
    let out = run(&tell_all(&[libc::SYS_openat]), move |c| open(c, &files, &count));
    // Every guest is gone, so every last close has happened; the news may take a moment.
    let until = Instant::now() + Duration::from_secs(60);
    while judge.closed.load(Ordering::Relaxed) as u64 != opened.load(Ordering::Relaxed) {
        assert!(Instant::now() < until, "some last close was not told");
        std::thread::sleep(Duration::from_millis(2));
    }
    let Ok(_) = Arc::try_unwrap(placeholders).map(drop) else { panic!("still in use") };
    assert_no_leak(before);
    (out, Files { judge, opened })
}

fn open(c: Call, files: &Placeholders, count: &AtomicU64) -> Answered {
    if c.arg(2) & libc::O_DIRECTORY as u64 != 0 {
        return c.resume();
    }
    let made = match c.mem().read_cstr(c.arg(1), 64) {
        Ok(path) if path.to_bytes() == CONTROL.as_bytes() => {
            files.create(count.fetch_add(1, Ordering::Relaxed), c.tid())
        }
        Ok(path) if path.to_bytes() == IDENTITY.as_bytes() => {
            files.create_token(count.fetch_add(1, Ordering::Relaxed))
        }
        _ => return c.resume(),
    };
    let (fd, _) = made.unwrap();
    let cloexec = c.arg(2) & libc::O_CLOEXEC as u64 != 0;
    let (_, answered) = c.install_fd(fd.as_fd(), cloexec);
    answered
}

fn open_path(path: &str, flags: i32) -> i32 {
    let path = CString::new(path).unwrap();
    let at = libc::AT_FDCWD as u64;
    let fd = call(libc::SYS_openat, [at, path.as_ptr() as u64, flags as u64, 0, 0, 0]);
    assert!(fd >= 0, "open says {fd}");
    fd as i32
}

fn control() -> i32 {
    open_path(CONTROL, libc::O_WRONLY)
}

fn write(fd: i32, text: &str) -> i64 {
    call(libc::SYS_write, [fd as u64, text.as_ptr() as u64, text.len() as u64, 0, 0, 0])
}

fn close(fd: i32) {
    assert_eq!(call(libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]), 0);
}

fn guest_nothing() {}

fn this_kernel_tells_of_writers() {
    let before = own_counts();
    assert_eq!(self_test().unwrap(), SelfTest::Signalled);
    assert_no_leak(before);
}

const INVAL: i64 = -(libc::EINVAL as i64);
const RANGE: i64 = -(libc::ERANGE as i64);

fn each_write_gets_its_errno() {
    let (out, files) = serve();
    assert_eq!(out.ok(), "ok\n");
    let written = files.judge.written.lock().unwrap();
    let texts: Vec<&str> = written[&0].iter().map(|(_, _, text)| text.as_str()).collect();
    assert_eq!(texts, ["ok 1", "nonsense", "range", "halfhalf", "?", "ok last"]);
    let offsets: Vec<u64> = written[&0].iter().map(|(_, offset, _)| *offset).collect();
    assert_eq!(offsets, [0, 4, 4, 4, 8, 8], "accepted bytes move the position");
    assert_eq!(files.opened.load(Ordering::Relaxed), 41);
}

fn guest_errnos() {
    let fd = control();
    assert_eq!(write(fd, "ok 1"), 4);
    assert_eq!(write(fd, "nonsense"), INVAL);
    assert_eq!(write(fd, "range"), RANGE);
    assert_eq!(write(fd, "halfhalf"), 4);
    let bad = call(libc::SYS_write, [fd as u64, 16, 5, 0, 0, 0]);
    assert_eq!(bad, -i64::from(libc::EFAULT));
    assert_eq!(write(fd, ""), 0);
    assert_eq!(write(fd, "ok last"), 7);
    close(fd);
    for _ in 0..40 {
        let fd = control();
        assert_eq!(write(fd, "ok"), 2);
        close(fd);
    }
    println!("ok");
}

fn writev_is_judged_segment_by_segment() {
    let (out, files) = serve();
    assert_eq!(out.ok(), "ok\n");
    let written = files.judge.written.lock().unwrap();
    let v = WriteKind::Vector;
    let log = |offset, text: &str| (v, offset, text.to_owned());
    assert_eq!(
        written[&0],
        [log(0, "ok"), log(2, "ok2"), log(5, "no"), log(5, "ok"), log(7, "no"), log(7, "halfhalf"),]
    );
}

fn guest_segments() {
    let fd = control();
    let writev = |parts: &[&str]| {
        let parts: Vec<IoSlice<'_>> = parts.iter().map(|p| IoSlice::new(p.as_bytes())).collect();
        call(libc::SYS_writev, [fd as u64, parts.as_ptr() as u64, parts.len() as u64, 0, 0, 0])
    };
    assert_eq!(writev(&["ok", "", "ok2"]), 5);
    assert_eq!(writev(&["no", "ok"]), INVAL);
    assert_eq!(writev(&["ok", "no", "ok"]), 2);
    assert_eq!(writev(&["halfhalf", "ok"]), 4);
    println!("ok");
}

fn copies_are_judged_like_the_original() {
    assert_eq!(serve().0.ok(), "ok\n");
}

fn guest_copies() {
    let fd = control();
    assert_eq!(call(libc::SYS_dup2, [fd as u64, 9, 0, 0, 0, 0]), 9);
    close(fd);
    assert_eq!(write(9, "ok"), 2);
    assert_eq!(write(9, "no"), INVAL);
    // A forked child, then its own child after an exec.
    for inherited in [false, true] {
        let pid = call(libc::SYS_fork, [0; 6]);
        if pid == 0 {
            if inherited {
                let script = "printf ok >&9 && ! printf no 2>/dev/null >&9";
                let error = std::process::Command::new("/bin/sh").args(["-c", script]).exec();
                panic!("{error}");
            }
            assert_eq!((write(9, "ok"), write(9, "range")), (2, RANGE));
            std::process::exit(0);
        }
        assert_eq!(wait_for(pid), 0);
    }
    println!("ok");
}

fn wait_for(pid: i64) -> i32 {
    let mut status = 0;
    // SAFETY: the status is ours until the call returns.
    assert_eq!(i64::from(unsafe { libc::waitpid(pid as i32, &raw mut status, 0) }), pid);
    status
}

fn a_receiver_by_socket_is_judged() {
    assert_eq!(serve().0.ok(), "ok\n");
}

fn guest_receiver() {
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    let pid = call(libc::SYS_fork, [0; 6]);
    if pid == 0 {
        drop(near);
        let fd = crate::harness::receive_fd(&far);
        let mut file = std::fs::File::from(fd);
        let wrong = file.write(b"range").unwrap_err();
        assert_eq!(wrong.raw_os_error(), Some(libc::ERANGE));
        assert_eq!(file.write(b"ok").unwrap(), 2);
        std::process::exit(0);
    }
    // SAFETY: the descriptor has just been opened and is nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(control()) };
    crate::harness::send_fd(&near, &fd).unwrap();
    drop(fd);
    assert_eq!(wait_for(pid), 0);
    println!("ok");
}

fn sixteen_threads_write_at_once() {
    let (out, files) = serve();
    assert_eq!(out.ok(), "ok\n");
    let written = files.judge.written.lock().unwrap();
    let mut texts: Vec<&str> = written[&0].iter().map(|(_, _, text)| text.as_str()).collect();
    texts.sort_unstable();
    let mut wanted: Vec<String> = (0..16 * 20).map(text_of).collect();
    wanted.sort_unstable();
    assert_eq!(texts, wanted, "each write was judged once");
}

fn text_of(n: usize) -> String {
    match n % 3 {
        0 => format!("ok {n}"),
        1 => format!("range {n}"),
        _ => format!("wrong {n}"),
    }
}

fn guest_threads() {
    let fd = control();
    std::thread::scope(|s| {
        for thread in 0..16 {
            s.spawn(move || {
                for round in 0..20 {
                    let text = text_of(thread * 20 + round);
                    let result = write(fd, &text);
                    let wanted = match &text[..2] {
                        "ok" => text.len() as i64,
                        "ra" => RANGE,
                        _ => INVAL,
                    };
                    assert_eq!(result, wanted, "{text}");
                }
            });
        }
    });
    println!("ok");
}

fn writes_survive_a_signal_storm() {
    let (out, files) = serve();
    let text = out.ok();
    assert!(text.starts_with("ok"), "{text}");
    println!("  {}", text.trim());
    let written = files.judge.written.lock().unwrap();
    assert_eq!(written[&0].len(), 300, "each write was judged once");
}

fn guest_storm() {
    let fd = control();
    alarms(300, libc::SA_RESTART);
    for n in 0..300 {
        let text = text_of(n);
        let result = write(fd, &text);
        let wanted = match &text[..2] {
            "ok" => text.len() as i64,
            "ra" => RANGE,
            _ => INVAL,
        };
        assert_eq!(result, wanted, "{text}");
    }
    println!("ok");
}

fn killed_and_stopped_writers_do_not_hang() {
    assert_eq!(serve().0.ok(), "ok\n");
}

fn guest_killed() {
    for round in 0..50u64 {
        let fd = control();
        let pid = call(libc::SYS_fork, [0; 6]);
        if pid == 0 {
            loop {
                assert_eq!(write(fd, "ok"), 2);
            }
        }
        std::thread::sleep(Duration::from_micros(round * 53 % 900));
        // SAFETY: signals a child of ours that has not been reaped.
        let kill = |signal| assert_eq!(unsafe { libc::kill(pid as i32, signal) }, 0);
        if round % 2 == 0 {
            kill(libc::SIGSTOP);
            let mut status = 0;
            // SAFETY: the status is ours until the call returns.
            unsafe { libc::waitpid(pid as i32, &raw mut status, libc::WUNTRACED) };
            assert!(libc::WIFSTOPPED(status), "{status:#x}");
            kill(libc::SIGCONT);
            std::thread::sleep(Duration::from_micros(200));
        }
        kill(libc::SIGKILL);
        assert_eq!(wait_for(pid), libc::SIGKILL);
        close(fd);
    }
    println!("ok");
}

fn shells_write() {
    let (out, files) = serve();
    assert_eq!(out.ok(), "01010110101\n");
    let written = files.judge.written.lock().unwrap();
    assert!(written.values().flatten().all(|(_, _, text)| text.ends_with('\n')), "{written:?}");
}

fn guest_shells() {
    let scripts = [
        "echo ok > /control",
        "echo no > /control",
        "printf 'ok\\n' | cat > /control",
        "printf 'no\\n' | cat > /control",
        "exec 9> /control; echo ok >&9",
        "exec 9> /control; echo no >&9",
        "exec 9> /control 8>&9 9>&-; echo no >&8",
        "printf 'ok\\n' > .ok; cp .ok /control",
        "echo no | tee /control > .no",
        "echo ok | dd of=/control conv=notrunc",
        "exec 9> /control; (echo no >&9)",
    ];
    let dir = std::env::temp_dir().join(format!("anyns-files-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    for script in scripts {
        for shell in ["/bin/bash", "/bin/dash"] {
            let status = std::process::Command::new(shell)
                .args(["-c", script])
                .current_dir(&dir)
                .stderr(std::process::Stdio::null())
                .status()
                .unwrap();
            if shell == "/bin/bash" {
                print!("{}", i32::from(!status.success()));
            }
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
    println!();
}

fn other_ways_to_write_are_refused() {
    let (out, files) = serve();
    assert_eq!(out.ok(), "ok\n");
    assert!(files.judge.written.lock().unwrap().is_empty());
}

fn guest_others() {
    let fd = control() as u64;
    let text = "ok";
    let pwrite = call(libc::SYS_pwrite64, [fd, text.as_ptr() as u64, 2, 0, 0, 0]);
    assert_eq!(pwrite, -i64::from(libc::ESPIPE));
    let source = open_path("/proc/self/exe", libc::O_RDONLY) as u64;
    assert_eq!(call(libc::SYS_sendfile, [fd, source, 0, 10, 0, 0]), INVAL);
    assert_eq!(call(libc::SYS_splice, [source, 0, fd, 0, 10, 0]), INVAL);
    println!("ok");
}

fn a_writer_under_a_guest_debugger_is_judged() {
    let (out, files) = serve();
    assert_eq!(out.ok(), "ok\n");
    let written = files.judge.written.lock().unwrap();
    let texts: Vec<&str> = written[&0].iter().map(|(_, _, text)| text.as_str()).collect();
    assert_eq!(texts, ["ok one", "ok two", "no"]);
}

fn guest_debugged() {
    let pid = call(libc::SYS_fork, [0; 6]);
    if pid == 0 {
        let traced = call(libc::SYS_ptrace, [libc::PTRACE_TRACEME as u64, 0, 0, 0, 0, 0]);
        let seized = guests_are_seized();
        // Who has a tracer already cannot have another.
        assert_eq!(traced, if seized { -i64::from(libc::EPERM) } else { 0 });
        // Rust programs ignore SIGPIPE, so the refusal shows as an error.
        let fd = control();
        assert_eq!((write(fd, "ok one"), write(fd, "ok two")), (6, 6));
        // Where the writer cannot be stopped, a refusal fails closed.
        assert_eq!(write(fd, "no"), if seized { INVAL } else { -i64::from(libc::EPIPE) });
        std::process::exit(11);
    }
    loop {
        let status = wait_for(pid);
        if libc::WIFEXITED(status) {
            assert_eq!(status >> 8, 11);
            break;
        }
        let request = [libc::PTRACE_CONT as u64, pid as u64, 0, 0, 0, 0];
        assert_eq!(call(libc::SYS_ptrace, request), 0);
    }
    println!("ok");
}

fn identities_tell_their_last_close() {
    let (out, files) = serve();
    assert_eq!(out.ok(), "ok\n");
    assert_eq!(files.judge.closed.load(Ordering::Relaxed), 20);
}

fn guest_identities() {
    let mut inodes = Vec::new();
    for _ in 0..20 {
        let fd = open_path(IDENTITY, libc::O_RDONLY);
        assert_eq!(write(fd, "x"), -i64::from(libc::EBADF));
        let mut byte = 0u8;
        let read = call(libc::SYS_read, [fd as u64, (&raw mut byte) as u64, 1, 0, 0, 0]);
        assert_eq!(read, -i64::from(libc::EAGAIN));
        inodes.push(std::fs::metadata(format!("/proc/self/fd/{fd}")).unwrap().ino());
    }
    inodes.sort_unstable();
    inodes.dedup();
    assert_eq!(inodes.len(), 20);
    println!("ok");
}
