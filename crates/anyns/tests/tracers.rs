//! Tracers inside: at home where calls are told, refused at once where guests are traced for life.

mod harness;

use std::time::{Duration, Instant};

use harness::{Line, Outcome, Place, Scratch, run};

/// Whoever waits longer than this hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// What strace says where it may not trace what it starts.
const REFUSED: &str = "strace: test_ptrace_get_syscall_info: PTRACE_TRACEME: Operation not permitted\n\
                       strace: ptrace(PTRACE_TRACEME, ...): Operation not permitted\n";

/// Says what each request to become a tracer or a tracee gives.
const REQUESTS: &str = r#"
import ctypes, errno, os, signal, sys
if sys.argv[1:]:
    signal.signal(signal.SIGUSR1, lambda *_: None)
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
def says(name, request, pid):
    ctypes.set_errno(0)
    result = libc.ptrace(request, pid, None, None)
    print(name, result if result == 0 else errno.errorcode[ctypes.get_errno()], flush=True)
child = os.fork()
if child == 0:
    signal.pause()
says("seize", 0x4206, child)
says("attach", 16, child)
says("no such process", 0x4206, 4194305)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
if os.fork() == 0:
    says("traceme", 0, 0)
    os._exit(0)
os.wait()
"#;

/// Whether this run of the tests has guests that are traced all their lives.
fn stopped() -> bool {
    harness::again::words().is_some()
}

/// Runs a command under anyns; it must not take long.
#[track_caller]
fn at_once(line: &Line) -> Outcome {
    let scratch = Scratch::new("tracers");
    let start = Instant::now();
    let outcome = run(&scratch, Place::Hosted, &line.clone().limit(LIMIT));
    assert!(start.elapsed() < LIMIT);
    outcome
}

#[test]
fn strace_works_or_is_refused() {
    for script in [
        "strace -f -e trace=uname,execve -o /dev/null uname -s",
        "strace -f -o /dev/null dash -c 'uname -s | cat | cat'",
        "strace -f -c -o /dev/null unshare -Uru sh -c 'hostname box; uname -s'",
        "unshare -Uru strace -f -o /dev/null sh -c 'uname -s; (uname -s >/dev/null); exit 0'",
        // The tracer does away with calls and gives results of its own, also of those that are told.
        "strace -o /dev/null -e inject=getppid:retval=7 perl -e 'print qx(uname) if getppid() == 7'",
        "strace -o /dev/null -e inject=mkdir:error=EXDEV perl -e 'mkdir q(d) or $! == 18 and print qx(uname)'",
    ] {
        let outcome = at_once(&Line::sh(script));
        if stopped() {
            assert_eq!((outcome.stdout.as_str(), outcome.status), ("", 1), "{script}");
            assert_eq!(outcome.stderr, REFUSED, "{script}");
        } else {
            let text = outcome.text();
            assert_eq!(text, "Linux\n--- stderr\n--- status 0\n", "{script}");
        }
    }
}

#[test]
fn strace_of_a_running_process_works_or_is_refused() {
    let script = "sleep 100 & pid=$!; sleep 0.2; timeout -s INT 1 strace -o trace -p $pid; echo $?; \
                  { kill $pid; wait $pid; } 2>/dev/null; echo $?; grep -c detached trace";
    let outcome = at_once(&Line::sh(script));
    if stopped() {
        assert_eq!(outcome.stdout, "1\n143\n0\n");
        let said = ": Operation not permitted\n";
        assert!(outcome.stderr.ends_with(said), "{}", outcome.stderr);
    } else {
        assert!(outcome.stdout.ends_with("\n143\n1\n"), "{}", outcome.text());
    }
}

#[test]
fn gdb_works_or_is_refused() {
    let outcome = at_once(&Line::sh("gdb -nx -batch -ex run /bin/true"));
    if stopped() {
        assert!(outcome.stderr.contains("ptrace: Operation not permitted"), "{}", outcome.text());
        assert_eq!(outcome.status, 1);
    } else {
        assert!(outcome.stdout.contains("exited normally"), "{}", outcome.text());
        assert_eq!(outcome.status, 0);
    }
}

#[test]
fn rr_does_as_on_the_host_or_is_refused() {
    let line = Line::sh("HOME=$PWD rr record -n /bin/true");
    let outcome = at_once(&line);
    let native = run(&Scratch::new("tracers-native"), Place::Native, &line.limit(LIMIT));
    if native.stderr.contains("compute_cpu_microarch") {
        println!("rr does not know this processor, and says so before it traces");
        assert_eq!(outcome.text(), native.text());
    } else if stopped() {
        let said = "errno: EPERM] PTRACE_SEIZE failed";
        assert!(outcome.stderr.contains(said), "{}", outcome.text());
        // It aborts.
        assert_eq!(outcome.status, 128 + 6);
    } else {
        // Not every machine has the performance counters that it needs.
        assert_eq!(outcome.status, native.status, "{}{}", outcome.text(), native.text());
    }
}

#[test]
fn requests_to_trace_are_answered_at_once() {
    let scratch = Scratch::new("requests");
    let script = scratch.file("requests.py", REQUESTS);
    let expected = if stopped() {
        "seize EPERM\nattach EPERM\nno such process ESRCH\ntraceme EPERM\n"
    } else {
        "seize 0\nattach EPERM\nno such process ESRCH\ntraceme 0\n"
    };
    // With a handler that may interrupt calls they are traced by anyns until somebody else asks.
    for handler in [None, Some("with a handler")] {
        let words = ["/usr/bin/python3", script.to_str().unwrap()].into_iter().chain(handler);
        let outcome = at_once(&Line::new(words));
        assert_eq!(outcome.stdout, expected, "{}", outcome.text());
        assert_eq!((outcome.stderr.as_str(), outcome.status), ("", 0));
    }
}
