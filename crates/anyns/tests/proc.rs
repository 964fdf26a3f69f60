//! `/proc` of a pid namespace, as programs see it that read it: what they print on a host that
//! refuses namespaces is what they print where the kernel grants them.
//!
//! Each case is a shell script, run by the same ordinary user in each place. The numbers of
//! processes are the host's inside (docs/where-it-differs.md), so no script prints one but 0 and 1.

mod harness;

use std::process::Command;
use std::time::Duration;

use harness::normal::Normal;
use harness::same::Same;
use harness::session::Session;
use harness::{Line, Place, Scratch, command, is_root, run, run_command};

use Normal::{Blanks, Inodes};

/// Defines `pns`, which goes on in namespaces with a `/proc` of their own.
const START: &str = "pns() { unshare -Urpf --mount-proc \"$@\"; }; ";

#[track_caller]
fn same(name: &str, normal: &[Normal], scripts: &[&str]) {
    same_with(name, normal, scripts, |_| {});
}

#[track_caller]
fn same_with(name: &str, normal: &[Normal], scripts: &[&str], prepare: impl Fn(&Scratch)) {
    Same { name, start: START, normal }.check(scripts, prepare);
}

#[test]
fn only_the_inside_is_listed() {
    same(
        "listed",
        &[],
        &[
            "pns ps -e -o ppid,comm",
            "pns ps -ef | awk '{print $1,$3,$8}'",
            "pns sh -c 'ls /proc | grep -c ^1$; ls -d /proc/$OUT; ls /proc/1/task; true'",
            "pns sh -c 'sleep 5 & ps -e -o ppid=,comm= | sort; kill $!'",
            "pns sh -c '(sleep 0.1 &); sleep 1; ps -e -o ppid=,stat=,comm=; true' | sort",
            "pns sh -c 'ps axj | awk \"{print \\$1,\\$3,\\$4}\"; ps -C ps -o s=; true'",
            "pns top -bn1 | awk 'seen {print $2,$3,$4,$8,$12} /PID/ {seen=1} /^Tasks/'",
            "pns sh -c 'pgrep -c .; pgrep -x sh; pgrep -P 1 -l sleep; pgrep -P 0; true'",
            "pns sh -c 'sleep 50 & sleep 60 & pkill sleep; wait; pgrep -l sleep; echo $?'",
            "pns sh -c 'sleep 50 & pkill -P 1 sleep; killall -q sleep; wait; killall sleep; echo $?'",
            "pns pstree; pns sh -c 'sleep 9 & sleep 1; pstree; kill $!'",
            "pns sh -c 'pidof sh; kill -0 1; kill -0 $OUT; echo $?'",
            "pns sh -c 'fuser /proc/1/cwd 2>&1 | grep -c 1c; w -h; true'",
            "pns sh -c 'setsid -w ps -o pgid=,sid= 1; ps -o tpgid=,tty= 1'",
            "pns sh -c 'ps -o pid,ppid,pgid,sid,tty,stat,uid,nlwp,ni,comm 1; ps -o comm $OUT'",
            "pns sh -c 'unshare -Urpf --mount-proc ps -e -o ppid,comm; ps -e -o ppid,comm'",
            "pns sh -c 'unshare -Urpf ps -e -o comm= --sort=comm'",
            "unshare -Urpf --mount-proc sh -c 'test -e /proc/2; sh -c \"test \\$\\$ -gt 1 && test -e /proc/\\$\\$ && echo there\"; true'",
            "unshare -Urpf sh -c 'ps -e -o comm= | grep -q sleep && echo outside; readlink /proc/self | grep -c ^1$'",
        ],
    );
}

/// The init is listed first, even where the host's numbers have begun again since it was born.
#[test]
fn the_init_is_listed_first() {
    if !is_root() {
        println!("not run, because only root can choose numbers");
        return;
    }
    let scratch = Scratch::new("order");
    let script = "unshare -Urpf --mount-proc sh -c 'N=9999; \
        while [ $N -gt 1000 ]; do sleep 99 & N=$!; done; \
        ls -f /proc | grep ^[0-9] | head -n1; \
        python3 -c \"import os; print({e.name: e.inode() for e in os.scandir(\\\"/proc\\\")}[\\\"1\\\"] == os.stat(\\\"/proc/1\\\").st_ino)\"; \
        ls -f /proc | grep ^[0-9] | grep -c ^1$; ps -e -o comm= | head -n1; \
        ls -f /proc | grep ^[0-9] | sort -nc && echo in order'";
    for place in [Place::Granted, Place::Refused, Place::Confined] {
        let inner = command(&scratch, place, &Line::sh(script), &scratch.fresh_home());
        // A namespace of the kernel's around it, in which the highest number is near.
        let near = "echo $(($(cat /proc/sys/kernel/pid_max) - 100)) >/proc/sys/kernel/ns_last_pid; \
            exec \"$@\"";
        let mut outer = Command::new("unshare");
        outer.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", near, "sh"]);
        outer.arg(inner.get_program()).args(inner.get_args());
        let said = run_command(&scratch, &mut outer, "", Duration::from_secs(180)).unwrap();
        assert_eq!(
            said.text(),
            "1\nTrue\n1\nsh\nin order\n--- stderr\n--- status 0\n",
            "{place:?}"
        );
    }
}

#[test]
fn files_of_a_process() {
    same(
        "files",
        &[Inodes],
        &[
            "pns readlink /proc/self /proc/thread-self",
            "pns sh -c 'readlink /proc/self | grep -c .; cat /proc/self/comm /proc/1/comm; true'",
            "pns grep -E '^(Name|State|T?g?id|P?Pid|NS|Uid|Gid|Groups|Cap|Threads|Tracer)' /proc/1/status | grep -v Tracer",
            "pns sh -c 'cut -d\" \" -f1,2,4-8 /proc/1/stat; true'",
            // A name is bytes, and need not be UTF-8.
            "pns python3 -c 'import ctypes; ctypes.CDLL(None).prctl(15, b\"a\\xe9 \\xff)\\n\\xc3\\xa9\")
for f in (\"status\", \"stat\", \"comm\"): print(open(\"/proc/self/\" + f, \"rb\").read()[:24].split()[-2:])'",
            "unshare -Urm python3 -c 'import os; os.mkdir(b\"d\\xe9\"); os.system(b\"mount -t tmpfs x\\xff d\\xe9\")
for f in (\"mountinfo\", \"mounts\", \"mountstats\"): print([w for w in open(\"/proc/self/\" + f, \"rb\").read().splitlines()[-1].split() if max(w) > 127][-1][-3:])'",
            // Files that are open at the same time are two, whatever is opened after one was closed.
            "pns python3 -c 'a = open(\"/proc/self/status\"); b = open(\"/proc/self/stat\")
print(a.read(5), b.read().count(\"\\n\")); a.close()
c = open(\"/proc/1/stat\"); d = open(\"/proc/1/status\"); print(c.read(2), d.read(5)); b.seek(0)
print([f.read().count(\"\\n\") for f in (b, c)], d.read().count(\"Pid:\"))'",
            "pns sh -c 'for f in statm cmdline environ limits oom_score_adj cgroup uid_map gid_map setgroups projid_map timens_offsets io maps; do cat /proc/1/$f >x || echo $f; test -s x && echo $f; done; tr \"\\0\" \" \" </proc/1/cmdline'",
            "pns sh -c 'cat /proc/1/uid_map /proc/1/gid_map /proc/1/setgroups /proc/1/oom_score_adj; readlink /proc/1/exe /proc/1/cwd /proc/1/root | sed s,/home$,,; true' | sed 's,anyns-[^/]*,,'",
            "pns sh -c 'sleep 5 & test \"$(cat /proc/1/task/1/children)\" = \"$! \" && echo children; kill $!'",
            "pns sh -c 'ls /proc/1/fd | tr \"\\n\" \" \" | cut -c1-5; readlink /proc/1/fd/0; cat /proc/1/fdinfo/0 | cut -f1; true'",
            "pns sh -c 'ls /proc/1/ns; readlink /proc/self/ns/pid /proc/1/ns/pid /proc/1/ns/pid_for_children; true'",
            "pns sh -c 'sh -c \"exec /proc/1/exe -c \\\"echo init\\\"\"; /proc/self/exe -c \"echo self\"; true'",
            "pns sh -c 'cd /proc/1 && pwd && pwd -P && cat comm && ls -d . && cd .. && pwd -P; true'",
            "pns sh -c 'cat /proc/sys/kernel/pid_max; echo 300 >/proc/sys/kernel/pid_max; echo 5000 >/proc/sys/kernel/pid_max; cat /proc/sys/kernel/pid_max; echo x >/proc/sys/kernel/ns_last_pid'",
            "unshare -Ur sh -c 'echo 5000 >/proc/sys/kernel/pid_max; echo 5 >/proc/sys/kernel/ns_last_pid'",
            "pns sh -c 'ls -ld /proc/1 /proc/self/ | cut -c1-24; stat -c \"%F %a %U\" /proc/1/status /proc/1/ns/pid /proc/1/fd; stat -L -c \"%F %a %U\" /proc/1/ns/pid; true'",
            "pns sh -c 'mount | grep -c \"proc on /proc type proc (rw,nosuid,nodev,noexec,relatime)\"; tail -n1 /proc/1/mounts; tail -n1 /proc/self/mountinfo | cut -d\" \" -f4-; true'",
            "pns sh -c 'head -n1 /proc/1/sched | cut -d, -f1; cut -d\" \" -f1,2 /proc/uptime | wc -w; wc -w </proc/loadavg; readlink /proc/net /proc/mounts; ls /proc/net/ | grep -c unix; true'",
            "pns python3 -c 'import os; f=os.pidfd_open(1); print(open(f\"/proc/self/fdinfo/{f}\").read().split(\"Pid:\")[1].split())'",
            "pns sh -c 'for f in 1 self thread-self 2147483647 01 0 -1 +1 1x; do ls -d /proc/$f; done; true'",
            "unshare -Urpf sh -c 'for f in NSpid NStgid NSpgid NSsid; do grep $f: /proc/self/status | wc -w; done; true'; pns sh -c 'unshare -Urpf sh -c \"grep NSpid /proc/self/status | wc -w\"; true'",
        ],
    );
}

#[test]
fn a_proc_is_mounted_and_unmounted() {
    same(
        "mounted",
        &[Inodes, Blanks],
        &[
            "unshare -Urpfm sh -c 'ls -d /proc/$OUT | wc -l; mount -t proc proc /proc && ls -d /proc/$OUT; umount /proc && ls -d /proc/$OUT | wc -l; umount /proc'",
            "unshare -Urpfm sh -c 'mount -t proc one /proc; mount -t proc two /proc; grep -c proc.*/proc.proc /proc/mounts; tail -n1 /proc/mounts; umount /proc; tail -n1 /proc/mounts; umount /proc; readlink /proc/self | grep -c ^1$'",
            "unshare -Urm sh -c 'mount -t proc proc /proc 2>&1 | head -n1; python3 -c \"import ctypes; l=ctypes.CDLL(None,use_errno=True); print(l.mount(1,2,3,4,0),l.mount(b\\\"x\\\",b\\\"/tmp\\\",b\\\"nosuchfs\\\",0,0),ctypes.get_errno())\"; umount / 2>&1'",
            "unshare -Ur mount -t proc proc /proc 2>&1 | head -n1; mount -t proc proc /proc 2>&1 | head -n1",
            "unshare -Urm sh -c 'for p in private rprivate slave shared rshared unbindable; do mount --make-$p / && findmnt -n -o PROPAGATION / ; done; mount --make-private /usr/bin 2>&1 | head -n1'",
            "unshare -Urm --propagation private findmnt -n -o PROPAGATION /; unshare -Urm --propagation shared findmnt -n -o PROPAGATION /",
            "unshare -Urpfm sh -c 'mount --make-rshared /; unshare -m --propagation unchanged sh -c \"mount -t proc proc /proc\"; ls -d /proc/$OUT'",
            "unshare -Urpfm sh -c 'mount --make-rprivate /; unshare -m sh -c \"mount -t proc proc /proc; ls -d /proc/$OUT\"; ls -d /proc/$OUT | wc -l'",
            "pns findmnt -n -o TARGET,SOURCE,FSTYPE,OPTIONS /proc",
            "pns sh -c 'readlink /proc/self/ns/mnt; unshare -m readlink /proc/self/ns/mnt; readlink /proc/self/ns/mnt'",
        ],
    );
}

#[test]
fn entering() {
    // lsns leaves out what follows when a process ends while it looks: it is asked until it says
    // the same twice.
    const START: &str = "mkfifo f; unshare -Urpf sh -c 'echo >f; exec sleep 1001' 2>/dev/null & U=$!; read -r _ <f; \
        until P=$(pgrep -P $U -f '^sleep 1001'); do :; done; \
        l() { new=; old=x; while [ -z \"$new\" ] || [ \"$new\" != \"$old\" ]; do old=$new; new=$(lsns \"$@\"); done; echo \"$new\"; }; ";
    let scripts = [
        "nsenter --preserve-credentials -t $P -U -p -m ps -e -o ppid=,comm= | sort",
        "nsenter --preserve-credentials -t $P -U -p -m sh -c 'pwd; id -u; readlink /proc/self/ns/pid /proc/1/ns/pid; cat /proc/1/comm'",
        "nsenter --preserve-credentials -t $P -U -p sh -c 'test -e /proc/$OUT && echo outside; getpcaps 0 2>&1 | wc -l'",
        "nsenter --preserve-credentials -t $P -U -m sh -c 'ls /proc/self; ls -d /proc/1; ps -e -o comm='",
        "nsenter -t $P -a true; nsenter -t $P -p true; nsenter -t $P -m true",
        "nsenter --preserve-credentials -t $P -U -p -m -w pwd; cd /tmp; nsenter --preserve-credentials -t $P -U -m pwd",
        "l -n -o TYPE,NPROCS,COMMAND -p $P | awk '$1~/^(user|pid|mnt)$/' | sed s/$N/1001/ | sort; l -n -o PNS,ONS -t pid -p $P",
        "grep NSpid /proc/$P/status | cut -f3; cut -d' ' -f1 /proc/$P/stat | grep -c ^$P$; tail -n1 /proc/$P/mounts",
        "ls -l /proc/$P/ns/ | wc -l; test /proc/$P/ns/pid -ef /proc/self/ns/pid; echo $?",
        "python3 $GUESTS/descriptors.py $P",
    ];
    let scripts: Vec<String> = scripts
        .iter()
        .map(|script| format!("{START} {script}; {{ kill -9 $P; wait; }} 2>/dev/null"))
        .map(|script| script.replace("; wait;", "; rm f;"))
        .collect();
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    same_with("entering", &[Inodes, Blanks], &scripts, |scratch| {
        scratch.file("descriptors.py", include_str!("guests/descriptors.py"));
    });
}

#[test]
fn lsns_inside() {
    same(
        "lsns-inside",
        &[Inodes, Blanks],
        &[
            "pns lsns -n -o TYPE,NPROCS,PID,PPID,UID,USER,COMMAND | grep -E '^(user|pid|mnt)' | sort",
            "pns lsns -n -r -o TYPE,NS,PATH,PNS,ONS,NETNSID,NSFS | grep -E '^(user|pid|mnt)' | sort",
            "pns lsns -J -o TYPE,NPROCS,PID -t pid",
            "pns sh -c 'unshare -Up sleep 9 & sleep 1; lsns -n -o TYPE,NPROCS,PID -t pid; kill $!'",
        ],
    );
}

#[test]
fn outsiders_are_not_there_by_any_path() {
    same_with(
        "outsiders",
        &[],
        &[
            "pns python3 $GUESTS/outsiders.py $OUT",
            "for f in environ maps mem fd/0 cwd root exe auxv fdinfo fdinfo/0 ns/user status stat cmdline task/$OUT/environ smaps; do \
             unshare -Ur sh -c \"head -c1 /proc/$OUT/$f >/dev/null; readlink /proc/$OUT/$f >/dev/null; test -e /proc/$OUT/$f; echo $f \\$?\" 2>&1; done",
        ],
        |scratch| {
            scratch.file("outsiders.py", include_str!("guests/outsiders.py"));
        },
    );
}

/// A descriptor of the host's `/proc`, inherited or sent, shows what `/proc` shows here: stricter than
/// the kernel, which shows everybody through it (docs/where-it-differs.md).
#[test]
fn a_descriptor_of_the_hosts_proc_shows_the_inside() {
    if !is_root() {
        println!("not run, because only root can make a host that refuses");
        return;
    }
    let scratch = Scratch::new("inherited");
    let script = "exec 7</proc 8</proc/$OUT; pns sh -c 'ls /proc/self/fd/7/$OUT; \
         ls /proc/self/fd/7/ | grep -c ^1$; cat /proc/self/fd/8/comm; cat /proc/self/fd/7/1/comm'";
    let line = Same { name: "inherited", start: START, normal: &[] }.line(&scratch, script);
    for place in [Place::Refused, Place::Confined] {
        let outcome = run(&scratch, place, &line);
        assert_eq!(
            outcome.stdout,
            "ls: cannot access '/proc/self/fd/7/OUT': No such file or directory\n1\n\
             cat: /proc/self/fd/8/comm: No such file or directory\nsh\n",
            "{place:?}"
        );
    }
}

#[test]
fn what_is_not_served_is_rebpfd() {
    if !is_root() {
        println!("not run, because only root can make a host that rebpfs");
        return;
    }
    let scratch = Scratch::new("rebpfd");
    let script = "unshare -Urm sh -c 'mount -t bpf x /mnt; \
        mount -t ext4 x /mnt; mount -t sysfs x /mnt; mount -t proc -o hidepid=2 x /mnt; \
        python3 -c \"import ctypes; l=ctypes.CDLL(None,use_errno=True); \
        print([(l.syscall(n,-1,0,0,0,0), ctypes.get_errno())[1] for n in (467,470)])\"' 2>&1 | grep -v dmesg | cut -c1-50";
    let expected = "mount: /mnt: unknown filesystem type 'bpf'.\n\
        mount: /mnt: permission denied.\n\
        mount: /mnt: permission denied.\n\
        mount: /mnt: permission denied.\n\
        [38, 38]\n";
    for place in [Place::Refused, Place::Confined] {
        let outcome = run(&scratch, place, &Line::sh(script));
        assert_eq!(outcome.stdout, expected, "{place:?}");
    }
}

#[test]
fn htop_shows_the_inside_at_a_terminal() {
    if !is_root() {
        println!("not run, because only root can make a host that rebpfs");
        return;
    }
    let scratch = Scratch::new("htop");
    for place in [Place::Granted, Place::Refused, Place::Confined] {
        let words = ["unshare", "-Urpf", "--mount-proc", "htop", "-C", "-d", "5"];
        let mut htop = Session::start(&scratch, place, &Line::new(words));
        // htop is the only process, and number 1.
        htop.expect("Tasks:");
        htop.expect("htop");
        htop.send("q");
        let all = htop.end();
        assert!(!all.contains("refusing-host"), "{place:?}: {all}");
        assert!(all.ends_with("--- exit status: 0\n"), "{place:?}: {all}");
    }
}
