//! Everything anyns says when it refuses: whole messages, and the status that goes with them.

mod harness;

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyns_trap::raw::{self, Instruction};
use harness::{Line, Place, Scratch, run};

/// The arguments of a case as the shell splits them.
fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// Runs anyns as an ordinary user; returns its standard error and status, and checks that
/// nothing is printed elsewhere.
#[track_caller]
fn refused(line: &str) -> (String, i32) {
    let scratch = Scratch::new("words");
    let program = scratch.program(std::path::Path::new(env!("CARGO_BIN_EXE_anyns")));
    let argv = [program.to_str().unwrap().to_owned()].into_iter().chain(words(line));
    let outcome = run(&scratch, Place::Native, &Line::new(argv));
    assert_eq!(outcome.stdout, "", "on standard output");
    (outcome.stderr, outcome.status)
}

#[track_caller]
fn says(line: &str, status: i32, message: &str) {
    assert_eq!(refused(line), (message.to_owned(), status), "anyns {line}");
}

#[test]
fn nothing_to_do() {
    says("", 125, "error: nothing was asked for\n  try     anyns run -- sh, or anyns --help\n");
    says("run", 125, "error: no command was given\n  try     anyns run -- sh\n");
    says("run --trace --", 125, "error: no command was given\n  try     anyns run -- sh\n");
}

#[test]
fn misspelt_things() {
    says("runn", 125, "error: there is no 'anyns runn'\n  try     anyns run\n");
    says(
        "unshare -U",
        125,
        "error: there is no 'anyns unshare'\n  try     anyns run -- unshare, or anyns --help\n",
    );
    says("run --tracee x", 125, "error: unknown option '--tracee'\n  try     --trace\n");
    says(
        "run -x true",
        125,
        "error: unknown option '-x'\n  try     -- before a command that begins with a dash, or \
         --help\n",
    );
    says(
        "run --backend=fast true",
        125,
        "error: --backend cannot be 'fast'\n  try     one of auto, notify, stop\n",
    );
    says(
        "run --trace=xml true",
        125,
        "error: --trace cannot be 'xml'\n  try     one of text, json\n",
    );
    says(
        "rules limit-reachd",
        125,
        "error: there is no rule 'limit-reachd'\n  try     anyns rules limit-reached\n",
    );
    says("rules x", 125, "error: there is no rule 'x'\n  try     anyns rules, for all of them\n");
}

#[test]
fn too_much_and_too_little() {
    says("doctor now", 125, "error: 'now' is one argument too many\n  try     anyns --help\n");
    says(
        "run --trace --trace true",
        125,
        "error: --trace was given twice\n  try     giving it once\n",
    );
    says(
        "run --trace-file",
        125,
        "error: the value of --trace-file is missing\n  try     anyns --help\n",
    );
    says("completions", 125, "error: the shell is missing\n  try     anyns --help\n");
    says(
        "completions tcsh",
        125,
        "error: the shell cannot be 'tcsh'\n  try     one of bash, elvish, fish, powershell, zsh\n",
    );
}

#[test]
fn commands_that_cannot_be_run() {
    says(
        "run no-such-command",
        127,
        "error: cannot run 'no-such-command': no directory of PATH has it\n  try     the path of \
         the program, or another spelling\n",
    );
    says(
        "run -- /no/such/file",
        127,
        "error: cannot run '/no/such/file': there is no such file\n  try     another path\n",
    );
    says(
        "run /etc",
        126,
        "error: cannot run '/etc': it is a directory\n  try     a program in it\n",
    );
    says(
        "run /etc/passwd",
        126,
        "error: cannot run '/etc/passwd': you have no permission to execute it\n  try     chmod +x \
         /etc/passwd, or its interpreter with its name\n",
    );
    says(
        "run /etc/passwd/x",
        126,
        "error: cannot run '/etc/passwd/x': not a directory\n  try     the command without anyns, \
         to see whether it differs\n",
    );
    let scratch = Scratch::new("interpreter");
    let script = scratch.file("script", "#!/no/such/interpreter\n");
    let script = script.to_str().unwrap();
    says(
        &format!("run {script}"),
        127,
        &format!(
            "error: cannot run '{script}': the interpreter it asks for does not exist\n  try     \
             file on it, which names the interpreter\n"
        ),
    );
}

#[test]
fn a_trace_that_cannot_be_written() {
    says(
        "run --trace-file /no/such/trace true",
        125,
        "error: cannot write the trace to '/no/such/trace': no such file or directory\n  try     a \
         file in a directory that you may write to\n",
    );
}

#[test]
fn a_supervisor_inside_another() {
    let scratch = Scratch::new("nested");
    let anyns = harness::place::anyns(&scratch);
    let script = "unshare -Uru sh -c 'hostname inner; hostname'";
    let inner = [&anyns[..], &["sh", "-c", script].map(str::to_owned)].concat();
    let outcome = run(&scratch, Place::Hosted, &Line::new(inner));
    assert_eq!(outcome.text(), "inner\n--- stderr\n--- status 0\n");
    let doctor = Line::new([anyns[0].clone(), "doctor".to_owned()]);
    let outcome = run(&scratch, Place::Hosted, &doctor);
    let last = "ok  commands are served by the stop back end: another supervisor has the only \
                listener\n";
    assert!(outcome.stdout.ends_with(last), "{}", outcome.text());
    assert_eq!(outcome.status, 0);
    let message = "error: a seccomp supervisor is in charge of this process already, and the \
                   kernel allows one (EBUSY)\n  try     --backend stop, which serves here\n";
    let forced = [&anyns[..2], &words("--backend=notify true")].concat();
    let outcome = run(&scratch, Place::Hosted, &Line::new(forced));
    assert_eq!((outcome.stderr.as_str(), outcome.status), (message, 125));
}

#[test]
fn a_supervisor_inside_another_that_traces() {
    let scratch = Scratch::new("traced");
    let anyns = harness::place::anyns(&scratch);
    let [program, run_verb, ..] = &anyns[..] else { panic!("{anyns:?}") };
    let words = words("--backend=stop --");
    let line = [program, run_verb].into_iter().chain(&words).chain(&anyns).cloned();
    let line = Line::new(line.chain(["true".to_owned()]));
    let outcome = run(&scratch, Place::Native, &line);
    let message = "error: every process that is started here is traced already, and the kernel \
                   allows one tracer\n  try     without the other tracer: strace, gdb, or anyns \
                   with its stop back end\n";
    assert_eq!((outcome.stderr.as_str(), outcome.status), (message, 125));
}

#[test]
fn an_old_kernel() {
    // The kernel itself tells programs of this personality that it is 2.6.
    let scratch = Scratch::new("old");
    let anyns = harness::place::anyns(&scratch);
    let line = [&words("setarch --uname-2.6")[..], &anyns, &words("true")].concat();
    let outcome = run(&scratch, Place::Native, &Line::new(line));
    assert_eq!(outcome.status, 125);
    let (first, second) = outcome.stderr.split_once('\n').unwrap();
    assert!(first.starts_with("error: the kernel is too old: 2.6."), "{first}");
    assert!(first.ends_with(", and 5.19 is needed"), "{first}");
    assert_eq!(second, "  try     a newer kernel\n");
}

/// Runs anyns where `/proc` shows something else, by mounts in a namespace that the kernel makes;
/// nothing is tried where it does not.
fn with_mounts(mounts: &str, message: &str) {
    let scratch = Scratch::new("mounts");
    let anyns = harness::place::anyns(&scratch).join(" ");
    let inside = |script: &str| {
        let words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script];
        run(&scratch, Place::Native, &Line::new(words))
    };
    if inside("mount -t tmpfs none /proc").status != 0 {
        eprintln!("not tried: this kernel refuses namespaces");
        return;
    }
    let outcome = inside(&format!("{mounts} {anyns} true"));
    assert_eq!((outcome.stderr.as_str(), outcome.status), (message, 125));
}

#[test]
fn tracing_forbidden_by_yama() {
    let scope = |n: u8| {
        format!(
            "mount -t tmpfs none /proc/sys/kernel; mkdir /proc/sys/kernel/yama; echo {n} \
             >/proc/sys/kernel/yama/ptrace_scope;"
        )
    };
    with_mounts(
        &format!("{} exec setpriv --bounding-set=-sys_ptrace", scope(2)),
        "error: tracing is forbidden on this host (kernel.yama.ptrace_scope is 2)\n  try     \
         sysctl kernel.yama.ptrace_scope=1 as root, or CAP_SYS_PTRACE\n",
    );
    with_mounts(
        &scope(3),
        "error: tracing is forbidden on this host (kernel.yama.ptrace_scope is 3)\n  try     a \
         reboot with kernel.yama.ptrace_scope=1: 3 cannot be lowered\n",
    );
}

#[test]
fn no_proc() {
    with_mounts(
        "mount -t tmpfs none /proc;",
        "error: cannot run anything without /proc\n  try     mount -t proc proc /proc\n",
    );
}

/// The variable that turns the test [`behind_a_filter`] into a program: the denied calls' numbers.
const DENIED: &str = "ANYNS_TEST_DENIED";
const TARGET: &str = "ANYNS_TEST_TARGET";

/// Not a test by itself: puts a filter on this thread and becomes anyns.
#[test]
fn behind_a_filter() {
    let Ok(denied) = std::env::var(DENIED) else { return };
    rustix::thread::set_no_new_privs(true).unwrap();
    let op = |code, jt, jf, k| Instruction { code, jt, jf, k };
    let mut filter = vec![op(0x20, 0, 0, 0)]; // load the number
    for number in denied.split(' ') {
        filter.push(op(0x15, 0, 1, number.parse().unwrap())); // if it is this one
        filter.push(op(0x06, 0, 0, 0x0005_0000 | 1)); // errno EPERM
    }
    filter.push(op(0x06, 0, 0, 0x7fff_0000)); // else allowed
    raw::install_filter(&filter).unwrap();
    let target = std::env::var(TARGET).unwrap();
    let mut words = target.split('\n');
    panic!("{}", Command::new(words.next().unwrap()).args(words).exec());
}

/// Runs anyns where a filter answers one call with EPERM.
fn denied(number: i64, arguments: &str) -> (String, String, i32) {
    all_denied(&[number], arguments)
}

/// Runs anyns where a filter answers these calls with EPERM.
fn all_denied(numbers: &[i64], arguments: &str) -> (String, String, i32) {
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    let target = format!("{}\n{}", env!("CARGO_BIN_EXE_anyns"), words(arguments).join("\n"));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["behind_a_filter", "--exact", "--nocapture", "--quiet"])
        .env(DENIED, numbers.join(" "))
        .env(TARGET, target)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

const UNCONFINED: &str =
    "docker run --security-opt seccomp=unconfined, or the same for your container";

#[test]
fn a_filter_that_forbids_what_anyns_needs() {
    for (number, sentence) in [
        (libc::SYS_ptrace, "a seccomp filter from outside answers ptrace with EPERM"),
        (libc::SYS_seccomp, "a seccomp filter from outside answers seccomp with EPERM"),
    ] {
        let (_, stderr, status) = denied(number, "run -- true");
        assert_eq!(stderr, format!("error: {sentence}\n  try     {UNCONFINED}\n"));
        assert_eq!(status, 125);
        let (stdout, stderr, status) = denied(number, "doctor");
        let expected = format!("no  {sentence}\n      try {UNCONFINED}\n");
        assert!(stdout.contains(&expected), "{stdout}");
        assert!(stdout.ends_with("no  commands cannot be run here by either back end\n"));
        assert_eq!((stderr.as_str(), status), ("", 1));
    }
}

#[test]
fn a_filter_that_forbids_all_that_anyns_needs() {
    let both = [libc::SYS_seccomp, libc::SYS_ptrace];
    for line in ["run -- true", "run --backend notify -- true", "run --backend stop -- true"] {
        let (_, stderr, status) = all_denied(&both, line);
        let sentence = "a seccomp filter from outside answers seccomp and ptrace with EPERM";
        assert_eq!(stderr, format!("error: {sentence}\n  try     {UNCONFINED}\n"), "{line}");
        assert_eq!(status, 125);
    }
    let (stdout, stderr, status) = all_denied(&both, "doctor");
    for call in ["seccomp", "ptrace"] {
        let sentence = format!("a seccomp filter from outside answers {call} with EPERM");
        assert!(stdout.contains(&format!("no  {sentence}\n      try {UNCONFINED}\n")), "{stdout}");
    }
    assert!(stdout.ends_with("no  commands cannot be run here by either back end\n"));
    assert_eq!((stderr.as_str(), status), ("", 1));
}

#[test]
fn a_filter_that_hides_calls_is_gone_round() {
    for (number, calls) in [
        (libc::SYS_setns, "setns with EPERM"),
        (libc::SYS_unshare, "unshare with EPERM"),
        (libc::SYS_capget, "1 call with EPERM"),
    ] {
        let script = "run -- unshare -Uru hostname x";
        let (_, stderr, status) = denied(number, script);
        assert_eq!((stderr.as_str(), status), ("", 0), "{calls}");
        let (stdout, _, status) = denied(number, "doctor");
        let last = format!(
            "ok  commands are served by the stop back end: a seccomp filter from outside answers \
             {calls}\n"
        );
        assert!(stdout.ends_with(&last), "{stdout}");
        assert_eq!(status, 0);
        let (_, stderr, status) = denied(number, "run --backend notify -- true");
        let message = format!(
            "error: a seccomp filter from outside answers {calls} before anyns\n  try     \
             --backend stop, which serves here\n"
        );
        assert_eq!((stderr, status), (message, 125));
    }
}

#[test]
fn a_filter_that_forbids_to_read_other_memory_is_gone_round() {
    let script = "run -- unshare -Uru hostname x";
    for number in [libc::SYS_process_vm_readv, libc::SYS_process_vm_writev] {
        let (_, stderr, status) = denied(number, script);
        assert_eq!((stderr.as_str(), status), ("", 0));
    }
}

#[test]
fn a_filter_that_hides_nothing_of_ours_is_no_obstacle() {
    // One that is not served, and one that only the kernel can serve.
    for number in [libc::SYS_syslog, libc::SYS_kcmp] {
        let (_, stderr, status) = denied(number, "run -- true");
        assert_eq!((stderr.as_str(), status), ("", 0));
        let (stdout, _, status) = denied(number, "doctor");
        assert!(stdout.contains("from outside, which hide no call that is served\n"), "{stdout}");
        assert_eq!(status, 0);
    }
}

#[test]
fn the_doctor_agrees_with_run() {
    let scratch = Scratch::new("doctor");
    let program = scratch.program(std::path::Path::new(env!("CARGO_BIN_EXE_anyns")));
    let program = program.to_str().unwrap();
    let doctor = run(&scratch, Place::Native, &Line::new([program, "doctor"]));
    let runs = run(&scratch, Place::Native, &Line::new([program, "run", "--", "true"]));
    assert_eq!(doctor.status == 0, runs.status == 0, "{}", doctor.text());
    assert_eq!(doctor.stderr, "");
    for line in doctor.stdout.lines() {
        let known =
            ["ok  ", "no  ", "--  ", "      try "].iter().any(|mark| line.starts_with(mark));
        assert!(known, "{line}");
    }
}

#[test]
fn help_says_the_statuses_and_goes_to_standard_output() {
    let scratch = Scratch::new("help");
    let program = scratch.program(std::path::Path::new(env!("CARGO_BIN_EXE_anyns")));
    let program = program.to_str().unwrap();
    for line in ["--help", "run --help"] {
        let argv = [program.to_owned()].into_iter().chain(words(line));
        let help = run(&scratch, Place::Native, &Line::new(argv));
        assert_eq!((help.stderr.as_str(), help.status), ("", 0));
        for status in ["128+N", "125", "126", "127"] {
            assert!(help.stdout.contains(status), "{line}: {}", help.stdout);
        }
    }
    let version = run(&scratch, Place::Native, &Line::new([program, "--version"]));
    assert_eq!(version.stdout, format!("anyns {}\n", env!("CARGO_PKG_VERSION")));
    let rules = run(&scratch, Place::Native, &Line::new([program, "rules", "limit-reached"]));
    assert!(rules.stdout.starts_with("limit-reached (ENOSPC)\n  rule"), "{}", rules.stdout);
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&scratch, Place::Native, &Line::new([program, "completions", shell]));
        assert!(script.stdout.contains("trace-file"), "{shell}");
    }
}

#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    let anyns = env!("CARGO_BIN_EXE_anyns");
    let line = format!("{anyns} rules 2>&1 | head -n 1 | wc -l; {anyns} rules >&-; echo $?");
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n0\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
