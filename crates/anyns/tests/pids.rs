//! Pid namespaces, as programs meet them that live in one: what they print on a host that refuses
//! namespaces is what they print where the kernel grants them.
//!
//! Each case is a shell script, run by the same ordinary user in each place. The numbers of
//! processes are the host's inside (docs/where-it-differs.md), so no script prints one but 0 and 1;
//! the last test prints what happens to those that are chosen.

mod harness;

use std::path::Path;
use std::process::Command;

use harness::normal::Normal;
use harness::same::Same;
use harness::{Line, Place, Scratch, is_root, run};

/// Defines `pns`, which goes on as the init of a pid namespace.
const START: &str = "pns() { unshare -Urpf \"$@\"; }; ";

#[track_caller]
fn same(name: &str, scripts: &[&str]) {
    same_with(name, scripts, |_| {});
}

#[track_caller]
fn same_with(name: &str, scripts: &[&str], prepare: impl Fn(&Scratch)) {
    Same { name, start: START, normal: &[Normal::Blanks] }.check(scripts, prepare);
}

#[test]
fn an_init_is_one_and_its_parent_nobody() {
    same(
        "init",
        &[
            "pns sh -c 'echo $$ $PPID; sh -c \"echo \\$PPID\"'",
            "pns python3 -c 'import os,threading
print(os.getpid(), os.getppid(), os.getpgrp(), os.getpgid(0), os.getsid(0), os.getpgid(1))
print(threading.get_native_id() == os.getpid())
os.setsid()
print(os.getpgrp(), os.getsid(0), os.getsid(1))
try: os.setsid()
except OSError as e: print(e)
child = os.fork()
if not child: print(os.getppid(), os.getpgrp(), os.getsid(os.getpid())); os._exit(3)
print(os.waitpid(child, 0)[1])
try: os.getpgid(int(os.environ[\"OUT\"]))
except OSError as e: print(e)'",
            "pns sh -c 'exec sh -c \"exec sh -c \\\"echo \\\\\\$\\\\\\$\\\"\"'",
            "pns unshare -pf unshare -pf sh -c 'echo $$ $PPID; kill -0 2 2>/dev/null; echo $?'",
            "pns sh -c 'unshare -pf sh -c \"echo \\$\\$ \\$PPID; kill -9 \\$\\$; echo on\"; echo $$'",
        ],
    );
}

/// Who is in a call of its own may be the target of a signal that is on its way: each of the two has to be
/// done with the same thread.
#[test]
fn threads_that_are_sent_signals_all_the_time() {
    same(
        "stirred",
        &[
            "pns python3 $GUESTS/stirred.py 60",
            "unshare -Urpfm sh -c 'mount -t tmpfs x /mnt; python3 $GUESTS/stirred.py 60'",
            "unshare -Urm sh -c 'mount -t tmpfs x /mnt; cd /mnt; python3 $GUESTS/stirred.py 40 meet'",
        ],
    );
}

#[test]
fn namespaces_are_nested_to_the_limit() {
    let nest = |scratch: &Scratch| {
        scratch.file(
            "nest",
            "if [ $1 = 0 ]; then echo bottom $$; else unshare -pf sh $0 $(($1 - 1)); fi",
        );
    };
    same_with("nested", &["pns sh $GUESTS/nest 31", "pns sh $GUESTS/nest 32; echo $?"], nest);
}

#[test]
fn everybody_dies_with_the_init() {
    same(
        "ends",
        &[
            // `wc` ends when the last one that has the pipe open is dead.
            "mkfifo f; wc -c <f >n & W=$!; pns sh -c 'exec >f; sleep 1000 & (sleep 1000 & setsid sleep 1000 &); \
             unshare -pf sleep 1000 & while [ $(pgrep -cx sleep) -lt 4 ]; do sleep 0.02; done; exit 7'; echo $?; wait $W; cat n; echo gone",
            "mkfifo f g; wc -c <f >n & W=$!; unshare -Urpf sh -c 'exec 3>g; exec >f; echo >&3; sleep 1000 & wait' & U=$!; \
             read -r _ <g; pkill -9 -P $U; { wait $U; } 2>/dev/null; echo $?; wait $W; cat n; echo gone",
            "mkfifo f g; wc -c <f >n & W=$!; unshare -Urpf --kill-child sh -c 'exec 3>g; exec >f; echo >&3; sleep 1000 & wait' & \
             U=$!; read -r _ <g; kill -9 $U; { wait $U; } 2>/dev/null; echo $?; wait $W; cat n; echo gone",
            "pns sh -c 'trap \"\" TERM; (trap \"\" TERM HUP INT; sleep 1000) & exit 5'; echo $?",
            "pns sh -c 'sleep 1000 & exec 3</proc/self/ns/pid; exit 0'; unshare -Ur true; echo $?",
            "pns sh -c 'unshare -p sh -c \"true & wait; true & wait; echo no\"'; echo $?",
        ],
    );
}

#[test]
fn orphans_are_the_inits() {
    same(
        "orphans",
        &[
            "pns python3 -c 'import os,time
r, w = os.pipe()
if not os.fork():
    if not os.fork():
        os.close(r)
        while os.getppid() != 1: time.sleep(0.01)
        os.write(w, b\"orphan of %d\" % os.getppid()); os._exit(4)
    os._exit(0)
os.close(w)
print(os.read(r, 99), sorted(os.wait()[1] for _ in range(2)))
try: os.wait()
except OSError as e: print(e)'",
            "pns python3 -c 'import ctypes,os,time
prctl = ctypes.CDLL(None).prctl
def adopts():
    word = ctypes.c_int(9); prctl(37, ctypes.byref(word)); return word.value
print(adopts(), prctl(36, 0), adopts())
if not os.fork():
    print(adopts()); prctl(36, 1); print(adopts())
    me = os.getpid()
    if not os.fork():
        if not os.fork():
            while os.getppid() != me: time.sleep(0.01)
            print(\"adopted\"); os._exit(0)
        os._exit(0)
    os.wait(); os.wait(); os._exit(0)
os.wait()
print(adopts())'",
        ],
    );
}

#[test]
fn signals() {
    same(
        "signals",
        &[
            "pns sh -c 'sleep 1000 & sleep 1000 & kill -9 -1; wait; echo alone; kill -9 -1; echo $?'",
            "pns sh -c 'kill -9 $$; kill -TERM 1; kill -STOP $$; sh -c \"kill -9 1; kill -TERM 1\"; echo on'",
            "pns sh -c 'trap \"echo TERM\" TERM; kill $$; sh -c \"kill 1\"; (kill 1); echo on'",
            "pns sh -c 'for s in 0 TERM KILL STOP CONT USR1; do kill -$s $OUT; done; kill -0 -$OUT; kill -9 -- -1 2>/dev/null; echo $?'",
            "mkfifo f g; unshare -Urpf sh -c 'trap \"echo HUP; exit 3\" HUP; exec 3<>g; echo >f; while read -r l <&3; do echo $l; done' & \
             read -r _ <f; C=$(pgrep -P $!); kill -TERM $C; kill -INT $C; echo still >g; sleep 1; kill -HUP $C; wait $!; echo $?",
            "mkfifo f; unshare -Urpf sh -c 'echo >f; sleep 1000; true' & P=$!; read -r _ <f; C=$(pgrep -P $P); kill -9 $C; \
             { wait $P; } 2>/dev/null; echo $?",
            "pns sh -c '(exec sleep 1000) & kill -STOP $!; sleep 0.2; kill -CONT $!; sleep 0.2; kill $!; { wait $!; } 2>/dev/null; echo $?'",
            "pns sh -c 'kill -ABRT $$; echo on; exec sh -c \"kill -SEGV 1; kill -PIPE 1; echo on\"'",
            "pns python3 -c 'import os; os.abort()'; echo $?",
        ],
    );
}

/// An init that is killed reaps the others first, whatever it is doing at that moment.
#[test]
fn an_init_that_computes_is_killed() {
    same(
        "computes",
        &["mkfifo f; for i in 1 2 3 4 5 6 7 8 9; do \
           unshare -Urpf sh -c 'true & sleep 1000 & echo >f; while :; do :; done' & P=$!; read -r _ <f; \
           sleep 0.0$i; kill -9 $(pgrep -P $P); { wait $P; } 2>/dev/null; echo $?; done"],
    );
}

/// Who has exited counts until it has been waited for; and it may have threads that live on.
#[test]
fn who_has_exited_is_there_until_it_is_reaped() {
    same(
        "left",
        &["pns --mount-proc python3 -c 'import ctypes,os,threading,time
def tried(number, signal=0):
    try: os.kill(number, signal); return \"is there\"
    except OSError as e: return e.strerror
for number in (0, -1):
    for _ in range(50):
        child = os.fork()
        if not child: os.setpgid(0, 0); os._exit(3)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        meant = [-1, child, -child]
        before = [tried(it, 9) for it in meant]; os.waitpid(child, 0)
        print(before, [tried(it, number + 1) for it in meant])
for number in (1, -1):
    child = os.fork()
    if not child:
        threading.Thread(target=time.sleep, args=(1000,)).start()
        ctypes.CDLL(None).syscall(60, 0)
    while open(\"/proc/%d/stat\" % child).read().split()[2] != \"Z\": time.sleep(0.01)
    print(tried(number * child if number > 0 else -1, 9), os.waitpid(child, 0)[1])'"],
    );
}

/// And not a moment longer.
#[test]
fn who_has_been_waited_for_is_there_no_longer() {
    let scripts =
        ["unshare -Ur python3 $GUESTS/reaped.py", "pns --mount-proc python3 $GUESTS/reaped.py"];
    same_with("reaped", &scripts, |scratch| {
        scratch.file("reaped.py", include_str!("guests/reaped.py"));
    });
}

#[test]
fn a_signal_says_who_sent_it() {
    let sender = |scratch: &Scratch| {
        scratch.file("sender.py", include_str!("guests/sender.py"));
    };
    same_with("sender", &["pns python3 $GUESTS/sender.py"], sender);
}

#[test]
fn threads_of_an_init() {
    let build = |scratch: &Scratch| {
        let source = scratch.file("threads.c", include_str!("guests/threads.c"));
        let to = scratch.path().join("threads");
        let mut gcc = Command::new("gcc");
        gcc.args(["-pthread", "-O1", "-o"]).arg(&to).arg(&source);
        assert!(gcc.status().expect("gcc runs").success());
        scratch.file("threads.go", include_str!("guests/threads.go"));
    };
    same_with(
        "threads",
        &[
            "pns $GUESTS/threads",
            "pns sh -c '$GUESTS/threads; echo $?'",
            "cd $HOME; cp $GUESTS/threads.go x.go; GOFLAGS=-p=1 GOCACHE=$HOME/c go build -o x x.go && pns ./x && pns sh -c './x; true'",
        ],
        build,
    );
}

/// Escapes by name: every call that takes a number, with that of somebody outside, and with 1.
#[test]
fn nobody_outside_is_reached_by_number() {
    let guests = |scratch: &Scratch| {
        scratch.file("numbers.py", include_str!("guests/numbers.py"));
    };
    same_with(
        "numbers",
        &[
            // What Docker's filter refuses and only the kernel can do is refused inside, too.
            "pns sh -c 'python3 $GUESTS/numbers.py $OUT 1 | grep -vE \"kcmp|_pages\"'",
            "pns unshare -pf sh -c 'python3 $GUESTS/numbers.py $OUT 1 | grep -vE \"kcmp|_pages\"'",
            "pns sh -c 'python3 $GUESTS/numbers.py 1 | grep -c .'; ps -o ni= $OUT | tr -d \" \"",
        ],
        guests,
    );
    traced("outside", guests, "pns sh -c 'python3 $GUESTS/numbers.py $OUT 1 --trace; true'");
}

/// Without capabilities of its own a sender is judged by its own number and ids only.
#[test]
fn who_sends_credentials_says_who_it_is() {
    let guest = |scratch: &Scratch| {
        scratch.file("creds.py", include_str!("guests/credentials.py"));
    };
    const BARE: &str = "setpriv --inh-caps=-all --bounding-set=-all python3 $GUESTS/creds.py";
    let scripts = [
        "pns python3 $GUESTS/creds.py numbers 1 nobody 0 -1 group outside",
        "pns sh -c 'python3 $GUESTS/creds.py numbers nobody 0 -1 outside; true'",
        "pns sh -c 'BARE numbers 1 parent nobody 0 -1 outside; BARE thread; BARE many; BARE ids'",
        "pns unshare -pf sh -c 'BARE numbers 1 nobody 0 outside; exec python3 $GUESTS/creds.py numbers 1 nobody 0'",
        "pns unshare -U python3 $GUESTS/creds.py numbers 1 nobody",
        "pns unshare -U --map-user=7 --map-group=8 python3 $GUESTS/creds.py ids",
        "unshare -Ur python3 $GUESTS/creds.py numbers 1 parent nobody 0 -1 outside",
        "unshare -U python3 $GUESTS/creds.py numbers 1 nobody; unshare -U python3 $GUESTS/creds.py ids",
        "unshare -U --map-user=7 --map-group=8 python3 $GUESTS/creds.py ids; python3 $GUESTS/creds.py ids",
        "python3 $GUESTS/creds.py numbers 1 parent nobody outside",
        "for of in ids sorts many waits thread; do unshare -Ur python3 $GUESTS/creds.py $of; done",
        "for of in ids sorts many waits; do pns python3 $GUESTS/creds.py $of; done",
        "unshare -Urm sh -c 'mount -t tmpfs x /mnt; for of in ids sorts; do python3 $GUESTS/creds.py $of; done'",
    ]
    .map(|script| script.replace("BARE", BARE));
    same_with("credentials", &scripts.each_ref().map(String::as_str), guest);
}

/// What a capability over a pid namespace of ours would let a sender say, the host does not.
#[test]
fn another_process_cannot_be_claimed_to_be_the_sender() {
    let scratch = Scratch::new("claimed");
    let guest = scratch.file("creds.py", include_str!("guests/credentials.py"));
    let script = format!("OUT=1 unshare -Urpf sh -c 'python3 {} numbers 1; true'", guest.display());
    let said = run(&scratch, Place::Hosted, &Line::sh(&script)).stdout;
    assert_eq!(said, "own 3 2 12 b'abc'\n1 Operation not permitted\n");
}

/// The same where tracing is possible at all: not where guests are traced by anyns.
fn traced(name: &str, prepare: impl Fn(&Scratch), script: &str) {
    if !is_root() || harness::again::words().is_some() {
        return;
    }
    let scratch = Scratch::new(name);
    prepare(&scratch);
    let line = Same { name, start: START, normal: &[] }.line(&scratch, script);
    let [native, hosted] =
        [Place::Granted, Place::Refused].map(|place| run(&scratch, place, &line).text());
    harness::report::assert_equal(name, &native, &hosted);
}

#[test]
fn joining() {
    const INSIDE: &str = "mkfifo f; unshare -Urpf sh -c 'echo >f; sleep 1000 & wait' & U=$!; read -r _ <f; P=$(pgrep -P $U); ";
    let scripts: Vec<String> = [
        "nsenter -U -p -t $P sh -c 'echo $PPID; kill -0 1; kill -0 $OUT 2>/dev/null; echo $?; kill -TERM 1; kill -9 1; kill -0 1; echo $?'",
        "nsenter -U -p -t $P --no-fork sh -c 'sh -c \"echo \\$PPID\" & wait'",
        "nsenter -U -p -t $P sh -c 'kill -9 -1; echo $?'",
        "nsenter -U -p -t $P unshare -p true; echo $?",
        "exec 3</proc/$P/ns/pid 4</proc/$P/ns/user; kill -9 $P; { wait $U; } 2>/dev/null; \
         nsenter --user=/proc/self/fd/4 --pid=/proc/self/fd/3 true; echo $?",
        "python3 -c 'import os,sys
fd = os.pidfd_open(int(sys.argv[1])); os.setns(fd, 0x30000000)
child = os.fork()
if not child: print(os.getppid(), os.getpid() > 1); os._exit(2)
print(os.waitpid(child, 0)[1])' $P",
    ]
    .iter()
    .map(|script| format!("{INSIDE} {script}; kill -9 $P"))
    .collect();
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    same("joining", &scripts);
}

#[test]
fn inits_and_pools() {
    same(
        "pools",
        &[
            "pns tini -- sh -c 'kill -TERM 1; sleep 9'; echo $?",
            "pns tini -g -- sh -c 'sleep 1000 & kill -TERM 1; wait'; echo $?",
            "pns tini -- sh -c '(sleep 0.1 &) ; exit 4'; echo $?",
            "pns dumb-init sh -c 'kill -TERM 1; sleep 9'; echo $?",
            "pns dumb-init -c sh -c 'trap \"echo T; exit 6\" TERM; kill -TERM 1; sleep 9'; echo $?",
            "pns python3 -c 'import multiprocessing, os
def f(x): return x * x, os.getppid()
if __name__ == \"__main__\":
    with multiprocessing.Pool(4) as pool: print(pool.map(f, range(20)))
    for method in (\"spawn\", \"forkserver\"):
        c = multiprocessing.get_context(method); p = c.Process(target=f, args=(2,)); p.start(); p.join(); print(p.exitcode)'",
            "pns timeout -s TERM 0.2 sleep 9; echo $?; pns timeout -k 0.2 0.1 sh -c 'trap \"\" TERM; while :; do sleep 0.05; done'; echo $?",
            "pns setsid sh -c 'echo $$'; pns sh -c 'setsid -w sh -c \"echo \\$PPID\"'",
            "pns nice -n 5 sh -c 'renice -n 7 -p 1 >/dev/null; nice; sh -c \"renice -n 9 -p 1 >/dev/null; nice\"; nice'",
            "pns sh -c 'prlimit --pid 1 --nofile=99:99; ulimit -n; sh -c \"prlimit --pid 1 --nofile=88:88\"; ulimit -n; taskset -p 1 | grep -c mask'",
        ],
    );
}

/// What takes the place of effects that host numbers cannot have: the answers are the kernel's, and
/// who asks is called what the host calls it.
#[test]
fn what_is_chosen_is_not_what_is_given() {
    let scratch = Scratch::new("chosen");
    let set_tid = scratch.file("chosen.py", include_str!("guests/chosen.py"));
    for place in [Place::Hosted, Place::Confined] {
        if place == Place::Confined && !is_root() {
            continue;
        }
        let told = |script: &str| run(&scratch, place, &Line::sh(script)).stdout;
        let children = "unshare -Urpf --mount-proc python3";
        let said = told(&format!("{children} {}", set_tid.display()));
        let expected = match place {
            // Docker's filter says that there is no clone3.
            Place::Confined => include_str!("guests/chosen-confined.txt"),
            _ => include_str!("guests/chosen.txt"),
        };
        assert_eq!(said, expected, "{place:?}");
    }
    assert!(Path::new(&set_tid).exists());
}
