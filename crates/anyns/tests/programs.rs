//! Unmodified programs that ask for namespaces print on a host that refuses them what they print
//! where the kernel grants them.
//!
//! Each case is a shell script, run by the same ordinary user in both places; what is taken out
//! before the comparison is named with it.

mod harness;

use std::process::Command;

use harness::normal::{Normal, apply};
use harness::report::assert_equal;
use harness::{Line, Place, Scratch, is_root, run};

use Normal::{Blanks, Inodes};

/// What a process can find out about who it is.
const WHO: &str = "id; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; \
    grep -E '^(Uid|Gid|Groups|Cap|NoNew)' /proc/self/status; hostname; uname -n";

/// A script, with WHO set, and what is taken out of its output.
struct Case {
    script: String,
    normal: &'static [Normal],
}

fn case(script: &str) -> Case {
    Case { script: script.to_owned(), normal: &[] }
}

fn numbered(script: &str) -> Case {
    Case { script: script.to_owned(), normal: &[Inodes, Blanks] }
}

/// Cases that begin and end alike.
fn cases(start: &str, scripts: &[&str], end: &str, normal: &'static [Normal]) -> Vec<Case> {
    let script = |script: &&str| format!("{start} {{ {script}{end}; }} 2>&1");
    scripts.iter().map(script).map(|script| Case { script, normal }).collect()
}

/// Runs the cases in both places. All are run before the first difference fails the test.
#[track_caller]
fn same(name: &str, cases: &[Case]) {
    if !is_root() {
        println!("{name}: not compared, because only root can make a host that refuses");
        return;
    }
    let scratch = Scratch::new(name);
    let mut failed = Vec::new();
    for case in cases {
        let line = Line::sh(&case.script).env("WHO", WHO);
        let [native, hosted] = [Place::Granted, Place::Refused]
            .map(|place| apply(case.normal, &run(&scratch, place, &line).text()));
        if native != hosted {
            let difference = harness::report::difference(&native, &hosted);
            failed.push(format!("{}\n{difference}", case.script));
        }
    }
    println!("{name}: {} of {} equal", cases.len() - failed.len(), cases.len());
    assert!(failed.is_empty(), "{name}: native and hosted differ\n\n{}", failed.join("\n"));
}

#[test]
fn unshare() {
    same(
        "unshare",
        &[
            case("sh -c \"$WHO\""),
            case("unshare -U sh -c \"$WHO\""),
            case("unshare -Ur sh -c \"$WHO\""),
            case("unshare -Uru sh -c \"hostname box; $WHO\"; hostname"),
            case("unshare -Uc sh -c \"$WHO\""),
            case("unshare -Uc --keep-caps sh -c \"$WHO; setpriv --dump\""),
            case("unshare -U --map-user=5 --map-group=6 sh -c \"$WHO\""),
            case("unshare -Ur --setgroups=deny sh -c \"$WHO\""),
            case("unshare -Ur --setgroups=allow true"),
            case("unshare -U --fork sh -c \"$WHO\""),
            case("unshare -Ur --fork --kill-child sh -c 'id -u; kill -9 $$'"),
            case("unshare -Ur unshare -U unshare -r sh -c \"$WHO\""),
            case("unshare -Ur unshare -Ur unshare -Ur sh -c \"$WHO\""),
            case("unshare -Uc unshare -Ur unshare -Uc sh -c \"$WHO\""),
            case("unshare -u true; echo $?; unshare -Uu true; echo $?"),
            case("unshare -Uu hostname box; unshare -Uru hostname box; unshare -Ur hostname box"),
            case(
                "unshare -Uru sh -c 'domainname; hostname; cat /proc/sys/kernel/hostname; \
                 echo written >/proc/sys/kernel/hostname; hostname; \
                 sysctl -n kernel.hostname kernel.domainname 2>&1'",
            ),
            case(
                "unshare -Uru sh -c 'hostname one; unshare -u sh -c \"hostname two; hostname\"; hostname'",
            ),
            case("unshare -Ur -S 0 -G 0 id; unshare -Ur -S 1 id; unshare -Ur -G 1 id"),
            case("unshare -U true nonexistent; unshare -Ur nonexistent; echo $?"),
            numbered(
                "for n in user uts; do readlink /proc/self/ns/$n; unshare -Uru readlink /proc/self/ns/$n; \
                 readlink /proc/self/ns/$n; stat -Lc '%i %F %a %U' /proc/self/ns/$n; done; ls /proc/self/ns",
            ),
            numbered(
                "unshare -Uru sh -c 'stat -Lc %i /proc/self/ns/uts /proc/$$/ns/uts; \
                 stat -Lc %i /proc/$PPID/ns/uts 2>/dev/null; echo $?'",
            ),
            case(
                "unshare -Uru sh -c 'cat /proc/sys/user/max_uts_namespaces >/dev/null && \
                 echo 1 >/proc/sys/user/max_user_namespaces; cat /proc/sys/user/max_user_namespaces; \
                 unshare -U id -u; unshare -Ur unshare -U id -u; unshare -U unshare -U id -u'",
            ),
        ],
    );
}

#[test]
fn nsenter() {
    // `$P` lives in namespaces of its own; `in_p` says how its names differ from ours.
    const START: &str = "mkfifo f; unshare -Uru sh -c 'hostname inner; echo >f; exec sleep 1000' & \
        P=$!; read -r _ <f; ";
    let scripts = [
        "nsenter -U -u -t $P sh -c \"$WHO\"; kill $P",
        "nsenter -U -u -t $P --preserve-credentials sh -c \"$WHO\"; kill $P",
        "nsenter -U -t $P sh -c 'hostname; id -u'; kill $P",
        "nsenter -u -t $P hostname; echo $?; kill $P",
        "nsenter -U -u -t $P -S 0 -G 0 id; nsenter -U -t $P -S 7 id; kill $P",
        "nsenter --user=/proc/$P/ns/user --uts=/proc/$P/ns/uts hostname; kill $P",
        "nsenter -U -u -t $P sh -c 'hostname changed'; nsenter -U -u -t $P hostname; hostname; kill $P",
        "nsenter -U -u -t $P unshare -u sh -c 'hostname deeper; hostname'; nsenter -Uu -t $P hostname; kill $P",
        "nsenter -U -t $$ id -u; nsenter -u -t $$ id -u; nsenter -U -t 1 true; kill $P",
        "nsenter -U -u -t $P nsenter -U -u -t $$ id; kill $P",
        "exec 3</proc/$P/ns/uts 4</proc/$P/ns/user; { kill -9 $P; wait $P; } 2>/dev/null; \
         nsenter --user=/proc/self/fd/4 --uts=/proc/self/fd/3 sh -c 'hostname; id -u'",
        "nsenter -U -t 999999 true; nsenter -U/dev/null true; kill $P",
    ];
    same("nsenter", &cases(START, &scripts, "", &[Normal::After("/proc/")]));
}

#[test]
fn lsns() {
    // lsns 2.38 leaves out what follows when a process ends while it looks: it is asked until it
    // says the same twice.
    const START: &str = "mkfifo f; unshare -Uru sh -c 'echo >f; exec sleep 1001' & P=$!; read -r _ <f; until grep -q sleep /proc/$P/comm; do :; done; \
        echo 'l() { new=; old=x; while [ -z \"$new\" ] || [ \"$new\" != \"$old\" ]; do old=$new; new=$(lsns \"$@\"); done; echo \"$new\"; }' >l; . ./l; ";
    let scripts = [
        "l -l -n -o TYPE,NS,NPROCS,UID,USER,COMMAND -p $P | grep -E '^(user|uts)' | sort; kill $P",
        "l -l -n -o NS,TYPE,PATH,ONS,PNS -t user -p $P; l -l -n -o NS,TYPE,ONS -t uts -p $P; kill $P",
        // The same test may be running beside this one: lines of other processes are left out.
        "m() { while read -r p line; do [ $p = $P ] && echo $line; done; }; l -l -n -o PID,TYPE,NPROCS,COMMAND -t user | m; l -l -n -o PID,TYPE,NPROCS,COMMAND -t uts | m; kill $P",
        "l -l -n -r -o TYPE,NS -p $$ | grep -E '^(user|uts)' | sort; l -l -n -r -o TYPE,NS -p $P | grep -E '^(user|uts)' | sort; kill $P",
        "l -J -o NS,TYPE,NPROCS,COMMAND -t uts -p $P; kill $P",
        "l -l -n -o NS,TYPE,UID,COMMAND $(stat -Lc %i /proc/$P/ns/uts); kill $P",
        "unshare -Urui sh -c '. ./l; l -l -n -o TYPE,NPROCS,COMMAND,ONS -t ipc -p $$; nsenter -i/proc/$$/ns/ipc sh -c \". ./l; l -l -n -o TYPE,NPROCS -t ipc -p $$\"'; kill $P",
        "nsenter -U -u -t $P sh -c \". ./l; l -l -n -o TYPE,NPROCS,UID,COMMAND -p $P\" | grep -E '^(user|uts)' | sort; kill $P",
    ];
    let normal = &[Inodes, Normal::After("/proc/"), Blanks];
    same("lsns", &cases(START, &scripts, "", normal));
}

#[test]
fn credentials() {
    same(
        "credentials",
        &[
            case("setpriv --dump"),
            case("capsh --print"),
            case("unshare -Ur setpriv --dump"),
            case("unshare -Ur capsh --print"),
            case("unshare -U capsh --print"),
            case("unshare -Uc capsh --print"),
            case(
                "unshare -Ur capsh --current; unshare -Ur capsh --has-p=cap_sys_admin && echo yes",
            ),
            case("unshare -Ur setpriv --bounding-set -sys_admin,-net_admin capsh --print"),
            case("unshare -Ur setpriv --inh-caps +chown,+kill --ambient-caps +chown capsh --print"),
            case("unshare -Ur setpriv --inh-caps -all --bounding-set -all sh -c \"$WHO\""),
            case("unshare -Ur setpriv --reuid 0 --regid 0 --clear-groups id"),
            case("unshare -Ur setpriv --reuid 1 id; unshare -Ur setpriv --regid 1 id"),
            case("unshare -Ur setpriv --securebits +noroot,+noroot_locked setpriv --dump"),
            case("unshare -Ur setpriv --securebits +keep_caps,+no_setuid_fixup setpriv --dump"),
            case("unshare -Ur setpriv --nnp --no-new-privs setpriv --dump"),
            case(
                "unshare -Ur capsh --drop=cap_sys_admin -- -c 'unshare -u true; echo $?; hostname x'",
            ),
            case("unshare -Ur capsh --drop=all --print"),
            case("unshare -Ur capsh --secbits=0x2f --print"),
            case("unshare -Ur capsh --inh=cap_chown --addamb=cap_chown -- -c 'capsh --print'"),
            case("unshare -Ur capsh --caps='cap_chown,cap_kill=ep' --print"),
            case("unshare -Ur getpcaps 0; unshare -Ur sh -c 'getpcaps $$ | sed s/[0-9]*://'"),
            case("unshare -Ur capsh --uid=0 --gid=0 --print; unshare -Ur capsh --uid=5 --print"),
            case(
                "setpriv --bounding-set -chown id; setpriv --inh-caps +chown id; capsh --drop=cap_chown --print",
            ),
            case(
                "unshare -Ur sh -c 'setpriv --ruid 0 --euid 0 --keep-groups setpriv -d; setpriv --init-groups --reuid 0 --regid 0 id'",
            ),
            case(
                "unshare -Ur sh -c 'touch a; chown 0:0 a; stat -c \"%u %g %U %a\" a; chown 1 a; chown 1000 a; \
                 chmod 4755 a; stat -c %a a; chgrp 5 a; ls -ln a; stat -c \"%u %g\" /etc/passwd /tmp; find . -user 0; find . -nouser'",
            ),
            case(
                "unshare -U sh -c 'touch a; stat -c \"%u %g\" a; chown 65534 a; chown 0 a; mkdir d; ls -lnd d'; stat -c '%u %g' a d",
            ),
            case(
                "unshare -Ur sh -c 'ls -ln /proc/self/uid_map; id nobody; test -w /etc/shadow || echo no; cat /etc/shadow'",
            ),
            case(
                "unshare -Ur sh -c 'kill -0 1; kill -0 $PPID && echo parent'; unshare -Ur sh -c 'sleep 9 & kill $!; { wait $!; } 2>/dev/null; echo $?'",
            ),
            case("sleep 1000 & P=$!; unshare -Ur kill $P; { wait $P; } 2>/dev/null; echo $?"),
            case(
                "unshare -Ur sh -c 'echo \"1 1\" | sed s/1/2/; nice -n -5 true; renice -n -1 $$ 2>/dev/null; echo $?; ulimit -n 100000000'",
            ),
            case(
                "unshare -Ur su nobody -s /bin/sh -c id; unshare -Ur sh -c 'mknod x c 1 3; echo $?'",
            ),
        ],
    );
}

#[test]
fn maps_by_hand() {
    // A process in a new user namespace waits while the script writes its maps.
    const START: &str = "mkfifo f g; U=$(id -u) G=$(id -g); \
        unshare -U sh -c 'echo >f; read -r _ <g; id; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; exit 4' & \
        P=$!; read -r _ <f; m() { printf \"$2\" >/proc/$P/$1; echo \"$1 '$2' $?\"; }; ";
    const END: &str =
        "; cat /proc/$P/uid_map /proc/$P/gid_map /proc/$P/setgroups; echo >g; wait $P; echo $?";
    let scripts = [
        "m uid_map \"0 $U 1\"; m setgroups deny; m gid_map \"0 $G 1\"",
        "m uid_map \"0 $U 1\\n\"; m uid_map \"0 $U 1\"; m gid_map \"0 $G 1\"; m setgroups deny; m gid_map \"5 $G 1\"",
        "m uid_map \"7 $U 1\"; m setgroups allow; m setgroups deny; m setgroups allow; m gid_map \"8 $G 1\"",
        "m uid_map ''; m uid_map x; m uid_map '0 0'; m uid_map \"0 $U 0\"; m uid_map \"0 $U 1 1\"; m uid_map \"-1 $U 1\"",
        "m uid_map \"0 0 1\"; m uid_map \"0 $U 2\"; m uid_map \"0 $U 4294967295\"; m uid_map \"4294967295 $U 1\"",
        "m uid_map \"0 $U 1\\n1 5 1\"; m uid_map \"0 $U 1\\n0 $U 1\"; m uid_map \" 0\\t$U 1 \\n\"; m uid_map \"\\n\"",
        "m setgroups xyz; m setgroups 'deny\\n'; m setgroups 'deny '; m setgroups denyx; m setgroups ''; m setgroups d",
        "m projid_map '0 0 1'; m uid_map \"0 $U 1\"; m uid_map ''; cat </proc/$P/projid_map",
        "python3 -c 'import os,sys; f=os.open(f\"/proc/{sys.argv[1]}/uid_map\",os.O_RDWR); u=sys.argv[2].encode()\n\
         for how in [lambda: os.pwrite(f,b\"0 \"+u+b\" 1\",1), lambda: os.write(f,b\"0 \"+u+b\" 1\"+b\" \"*4096), \
         lambda: os.writev(f,[b\"0 \",u,b\" 1\"]), lambda: os.write(f,b\"0 \"+u+b\" 1\"), lambda: os.write(f,b\"0 \"+u+b\" 1\"), \
         lambda: oct(os.fstat(f).st_mode)]:\n\
         \x20 try: print(how())\n  except OSError as e: print(e.strerror)' $P $U",
        "exec 3>/proc/$P/uid_map 4>/proc/$P/setgroups; sh -c \"echo 0 $U 1 >&3\"; echo $?; echo deny >&4; echo $?; m gid_map \"0 $G 1\"",
        "unshare -Ur sh -c \"echo 0 0 1 >/proc/$P/uid_map\"; echo $?; m uid_map \"0 $U 1\"",
        "sh -c \"cat /proc/$P/uid_map; ls -l /proc/$P/uid_map | cut -c1-10; stat -c '%s %a %F' /proc/$P/setgroups; test -w /proc/$P/uid_map && echo writable\"",
        "echo x >>/proc/$P/uid_map; echo $?; : >/proc/$P/gid_map; echo $?; dd if=/dev/null of=/proc/$P/uid_map 2>&1 | head -1",
    ];
    same("maps", &cases(START, &scripts, END, &[Normal::After("/proc/")]));
}

/// Runs one program in both places, and says what it printed natively.
#[track_caller]
fn same_program(name: &str, scratch: &Scratch, argv: &[&str], least: usize) {
    if !is_root() {
        println!("{name}: not compared, because only root can make a host that refuses");
        return;
    }
    let line = Line::new(argv.iter().copied());
    let [native, hosted] = [Place::Granted, Place::Refused].map(|place| run(scratch, place, &line));
    assert!(native.stdout.lines().count() >= least, "{name} natively:\n{}", native.text());
    assert_equal(name, &native.text(), &hosted.text());
}

#[test]
fn python_with_threads() {
    let scratch = Scratch::new("py");
    let program = scratch.file("program.py", include_str!("guests/namespaces.py"));
    same_program("python", &scratch, &["/usr/bin/python3", program.to_str().unwrap()], 30);
}

#[test]
fn go_with_threads() {
    let scratch = Scratch::new("go");
    scratch.file("program.go", include_str!("guests/namespaces.go"));
    let mut go = Command::new("go");
    go.args(["build", "-o", "program", "program.go"]).current_dir(scratch.path());
    go.env("GO111MODULE", "off").env("CGO_ENABLED", "0").env("GOFLAGS", "");
    go.env("GOCACHE", scratch.path().join("cache")).env("GOPATH", scratch.path().join("path"));
    assert!(go.status().expect("go is needed: see .ci/packages").success());
    let program = scratch.path().join("program");
    same_program("go", &scratch, &[program.to_str().unwrap()], 20);
}
