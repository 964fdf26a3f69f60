//! Programs in ipc namespaces: what they print on a host that refuses is what they print where the
//! kernel grants them, and nothing of theirs is left on the host.

mod harness;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::report::assert_equal;
use harness::{Line, Place, Scratch, UID, command, is_root, run};

/// Runs a script in both places, after `$GUESTS` has been set.
#[track_caller]
fn same(name: &str, script: &str) {
    if !is_root() {
        println!("{name}: not compared, because only root can make a host that refuses");
        return;
    }
    let scratch = Scratch::new(name);
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
    for guest in ["ipc.pl", "ipc.py", "ipc_storm.pl"] {
        scratch.file(guest, &fs::read_to_string(guests.join(guest)).unwrap());
    }
    let line = Line::sh(script).env("GUESTS", scratch.path().to_str().unwrap());
    let [native, hosted] =
        [Place::Granted, Place::Refused].map(|place| run(&scratch, place, &line).text());
    assert!(native.ends_with("--- status 0\n"), "{native}");
    assert_equal(name, &native, &hosted);
    assert_eq!(ours_on_the_host(), Vec::<String>::new());
}

/// The host's segments that are a dead supervisor's: lines of `/proc/sysvipc/shm`.
fn ours_on_the_host() -> Vec<String> {
    let table = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let left = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let mode = u32::from_str_radix(fields[2], 8).unwrap() & 0o777;
        mode == 0o731 && !Path::new("/proc").join(fields[4]).exists()
    };
    table.lines().skip(1).filter(left).map(str::to_owned).collect()
}

#[test]
fn waiting() {
    same("waiting", "unshare -Uri /usr/bin/perl $GUESTS/ipc.pl");
}

#[test]
fn descriptors_attachments_and_threads() {
    same("descriptors", "unshare -Uri /usr/bin/python3 $GUESTS/ipc.py");
}

#[test]
fn done_exactly_if_heard_of() {
    same("done", "unshare -Uri perl $GUESTS/ipc_storm.pl 2");
}

/// Neither of two who wake each other is ever forgotten, however close a sleep and its end are.
#[test]
fn a_semaphore_is_handed_over() {
    if !is_root() {
        println!("handing: not compared, because only root can make a host that refuses");
        return;
    }
    let scratch = Scratch::new("handing");
    let source = scratch.file("handing.c", include_str!("guests/handing.c"));
    let program = scratch.path().join("handing");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-Wall", "-Werror", "-o"]).arg(&program).arg(&source);
    assert!(gcc.status().expect("gcc is needed: see .ci/packages").success());
    for (times, microseconds) in [("20000", "0"), ("4000", "5"), ("4000", "20")] {
        let argv = ["unshare", "-Uri", program.to_str().unwrap(), times, microseconds];
        let line = Line::new(argv).limit(Duration::from_secs(120));
        for place in [Place::Granted, Place::Refused, Place::Confined] {
            let said = run(&scratch, place, &line).text();
            assert_eq!(said, format!("{times} times, 0\n--- stderr\n--- status 0\n"), "{place:?}");
        }
    }
}

#[test]
fn the_kernels_undos_at_the_switch() {
    // The set is in the namespace that the command begins in, and so the kernel's.
    same(
        "switch",
        r#"perl -e 'use IPC::SysV qw(IPC_PRIVATE IPC_RMID SETVAL GETVAL SEM_UNDO);
            my $set = semget(IPC_PRIVATE, 1, 0600) // die; semctl($set, 0, SETVAL, 5);
            for my $flags (0x18000000, 0x10040000, 0x14000000) {
                pipe(my $read, my $write); pipe(my $wait, my $go);
                if (!fork) { close $go; semop($set, pack("s!3", 0, -2, SEM_UNDO)) or die;
                    print $write semctl($set, 0, GETVAL, 0), " ", syscall(272, $flags), " ",
                        semget(IPC_PRIVATE, 1, 0600), "
";
                    close $write; <$wait>; exit 0 }
                close $write; my $said = <$read>; chomp $said;
                print "$said, then ", semctl($set, 0, GETVAL, 0);
                close $go; wait; print " and ", semctl($set, 0, GETVAL, 0), "
" }
            semctl($set, 0, IPC_RMID, 0)' | sed -E 's/ [0-9]+,/,/'"#,
    );
}

#[test]
fn operators_in_other_pid_namespaces() {
    same(
        "operators",
        r#"unshare -Uri perl -e 'use IPC::SysV qw(IPC_PRIVATE SETVAL GETPID IPC_STAT);
            my $s = semget(IPC_PRIVATE, 2, 0600); my $q = msgget(IPC_PRIVATE, 0600);
            my $op = sub { semop($s, pack("s!3", $_[0], 1, 0)) or die }; $| = 1;
            my $last = sub { my $n = semctl($s, $_[0], GETPID, 0) + 0;
                $n == $$ ? "self" : $n > 1 ? "another" : $n };
            my $sender = sub { my $d = ""; msgctl($q, IPC_STAT, $d); my $n = (unpack "x96 i2", $d)[0];
                $n == $$ ? "self" : $n > 1 ? "another" : $n };
            $op->(0); print "outer: ", $last->(0), "
";
            if (!fork) { syscall(272, 0x20000000) == 0 or die "unshare: $!";
                if (!fork) { print "inner: ", $last->(0), "
"; $op->(1);
                    msgsnd($q, pack("l! a*", 1, "x"), 0); print "init: ", $last->(1), " $$
";
                    if (!fork) { print "child sees ", $last->(1), " ", $sender->(), "
"; $op->(0);
                        print "own ", $last->(0), "
"; exit 0 }
                    wait; print "init sees ", $last->(0), " of the dead
"; exit 0 }
                wait; exit 0 }
            wait; print "outer sees ", $last->(0), " ", $last->(1), " ", $sender->(), "
"'"#,
    );
}

#[test]
fn guessing() {
    // Whoever stays in the first namespace reaches nothing of the others, whatever id he names.
    same(
        "guessing",
        r#"perl -e 'use IPC::SysV qw(IPC_PRIVATE IPC_RMID IPC_STAT);
            pipe(my $read, my $write); pipe(my $wait, my $go);
            if (!fork) { close $go; syscall(272, 0x18000000) == 0 or die;
                my $s = shmget(IPC_PRIVATE, 5000, 0666); shmwrite($s, "secret", 0, 6);
                semget(IPC_PRIVATE, 1, 0666); my $name = "hidden";
                my $q = syscall(240, $name, 0102, 0666, 0); print $write "$s ", $q > 0, "
";
                close $write; <$wait>; shmread($s, my $kept, 0, 6); print "kept: $kept
"; exit 0 }
            close $write; print "made: ", scalar <$read>;
            open my $table, "<", "/proc/sysvipc/shm"; <$table>;
            my @ids = ((map { (split)[1] } <$table>), 0 .. 200, map { 32768 * $_ } 1 .. 200);
            my $stat = " " x 200;
            my @found = grep { shmread($_, my $text, 0, 6) || shmctl($_, IPC_STAT, $stat)
                || shmctl($_, IPC_RMID, 0) || semctl($_, 0, IPC_STAT, $stat) } @ids;
            my $name = "hidden"; print "found: @found, ", syscall(240, $name, 2, 0, 0), " $!
";
            close $go; wait'"#,
    );
}

#[test]
fn util_linux() {
    // Keys are made up, and the time of day is the time of day.
    same(
        "util-linux",
        "unshare -Uri sh -c '{ ipcmk -M 10000 -p 0640; ipcmk -S 3; ipcmk -Q; ipcmk -M 5000; ipcs; \
         ipcs -c; ipcs -p; ipcs -l; ipcs -u; ipcs -m -i 0; ipcs -s -i 0; ipcs -q -i 0; ipcs -q -i 9; \
         cat /proc/sysvipc/shm /proc/sysvipc/sem /proc/sysvipc/msg; \
         ipcrm -m 1 -s 0; ipcrm -m 1; ipcs; ipcrm -a; ipcs; \
         ls -ln /proc/sys/kernel/shmmax; cat /proc/sysvipc/*; \
         sysctl kernel.sem kernel.shmmax kernel.msgmni fs.mqueue.msg_max; \
         sysctl -w kernel.msgmax=100 kernel.shm_rmid_forced=1; ipcs -l; \
         unshare -i sysctl kernel.msgmax; } 2>&1' \
         | sed -E 's/0x[0-9a-f]{8}/KEY/g; s/(^ *)-?[0-9]+( +[01]  )/KEY\\2/; \
         s/(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[^=]*/TIME/; s/[0-9]{10}/TIME/g; \
         s/cpid=[0-9]+/cpid=PID/; \
         s/^([01] +root +)[0-9]+/\\1PID/; s/(10000|5000) +[0-9]+/\\1 PID/; s/  +/ /g; \
         s/[^ ]+ +[0-9]+ [A-Z][a-z]+ +[0-9]+ +[0-9:]+ (.proc)/\\1/'",
    );
}

#[test]
fn joined_and_left() {
    same(
        "joined",
        "unshare -Uri sh -c 'ipcmk -Q >/dev/null; \
         unshare -i sh -c \"ipcmk -Q; ipcmk -Q; ipcs -q | grep -c root; nsenter -i/proc/$$/ns/ipc ipcs -q\" \
         | sed -E s/0x[0-9a-f]+/KEY/; ipcs -q | grep -c root; \
         readlink /proc/self/ns/ipc | cut -c1-5; \
         nsenter -t $PPID -i true 2>/dev/null; echo $?'; ipcs -q | grep -c 00000 || true",
    );
}

/// A command under anyns with a segment attached, a queue open and somebody who waits.
fn start(scratch: &Scratch) -> Child {
    const SCRIPT: &str = "unshare -Uri perl -e 'use IPC::SysV qw(IPC_PRIVATE); \
        for (1..20) { shmget(IPC_PRIVATE, 100000, 0600) // die } \
        my $s = shmget(IPC_PRIVATE, 100000, 0600); shmwrite($s, \"x\" x 100000, 0, 100000); \
        my $a = syscall(30, $s, 0, 0); my $q = semget(IPC_PRIVATE, 1, 0600); \
        fork; print \"ready\\n\"; $| = 1; print \"\"; semop($q, pack(\"s!3\", 0, -1, 0)); sleep 100'";
    let home = scratch.fresh_home();
    let line = Line::sh(SCRIPT);
    let mut hosted = command(scratch, Place::Hosted, &line, &home);
    hosted.stdin(Stdio::null()).stdout(fs::File::create(scratch.path().join("out")).unwrap());
    let child = hosted.spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while fs::read_to_string(scratch.path().join("out")).unwrap().lines().count() < 2 {
        assert!(Instant::now() < end, "the guest does not come to its wait");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// How many of the host's segments process `maker`, or its supervisor, has made.
fn segments_of(makers: &[u32]) -> usize {
    let table = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let made = |line: &&str| {
        let maker = line.split_whitespace().nth(4).and_then(|text| text.parse().ok());
        maker.is_some_and(|maker: u32| makers.contains(&maker))
    };
    table.lines().skip(1).filter(made).count()
}

fn descendants(of: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    let children = list.split_whitespace().filter_map(|text| text.parse().ok());
    children.flat_map(|child: u32| [vec![child], descendants(child)].concat()).collect()
}

#[test]
fn nothing_is_left_after_a_kill() {
    let scratch = Scratch::new("ipc-kill");
    for round in 0..3 {
        let mut cli = start(&scratch);
        let family = [vec![cli.id()], descendants(cli.id())].concat();
        assert!(segments_of(&family) >= 21, "{family:?}");
        // The command line; all that is anyns, at once; and the guests as well.
        let victims = match round {
            0 => vec![cli.id()],
            1 => family.iter().copied().take(3).collect(),
            _ => family.clone(),
        };
        for pid in &victims {
            let pid = rustix::process::Pid::from_raw(*pid as i32).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let _ = cli.wait();
        // Guests that are left alone are frozen, and have their segments until they are killed.
        let lives = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z"))
        };
        let end = Instant::now() + Duration::from_secs(60);
        while family.iter().any(lives) && Instant::now() < end {
            for pid in family.iter().filter(|_| round == 1) {
                let pid = rustix::process::Pid::from_raw(*pid as i32).unwrap();
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // The host removes a segment with its last attachment, which a processor that is busy
        // elsewhere lets wait.
        while segments_of(&family) > 0 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(segments_of(&family), 0, "round {round}");
    }
}

#[test]
fn a_later_start_sweeps() {
    // What a supervisor leaves that is killed between making a segment and marking it.
    let scratch = Scratch::new("ipc-sweep");
    let script = "perl -e 'print syscall(29, 0, 4096, 0731), \"\\n\"'";
    let anyns = scratch.program(Path::new(env!("CARGO_BIN_EXE_anyns")));
    let doctor = Line::new([anyns.to_str().unwrap(), "doctor"]);
    for (place, line) in [(Place::Hosted, Line::sh("true")), (Place::Native, doctor)] {
        let made = run(&scratch, Place::Native, &Line::sh(script));
        let id = made.stdout.trim().to_owned();
        let there = || {
            let table = fs::read_to_string("/proc/sysvipc/shm").unwrap();
            table.lines().skip(1).any(|line| line.split_whitespace().nth(1) == Some(&*id))
        };
        assert!(there(), "{}", made.text());
        let ran = run(&scratch, place, &line);
        assert_eq!(ran.status, 0, "{}", ran.text());
        assert!(!there());
    }
}

/// Where Debian has the programs of its newest PostgreSQL.
fn postgresql() -> String {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let mut all: Vec<String> = versions
        .filter_map(|entry| entry.ok()?.path().join("bin").to_str().map(str::to_owned))
        .filter(|bin| Path::new(bin).join("initdb").exists())
        .collect();
    all.sort();
    all.pop().expect("Debian's package has its programs there")
}

#[test]
fn two_clusters_of_postgresql() {
    let bin = postgresql();
    let known = Command::new("getent").args(["passwd", &UID.to_string()]).output().unwrap();
    assert!(known.status.success(), "PostgreSQL asks for the name of user {UID}");
    // Both are children of one shell, each in an ipc namespace of its own, where it finds its key
    // free; a third is in the first one's.
    let script = format!(
        r#"set -e; PATH={bin}:$PATH
        cluster() {{ initdb -D $1 -A trust -U me >/dev/null; \
            echo "listen_addresses = ''
unix_socket_directories = '$PWD/$1'
shared_memory_type = sysv
fsync = off" >>$1/postgresql.conf; }}
        cluster one; cluster two
        serve() {{ unshare -Uci sh -c "pg_ctl -D $1 -l $1/log -w start >/dev/null && \
            psql -h $PWD/$1 -U me -Atc \"create table t as select generate_series(1, 1000) n; \
            select sum(n), count(*) from t\" postgres && ipcs -m | grep -c ' 600 ' && \
            pgbench -h $PWD/$1 -U me -i -q postgres >/dev/null 2>&1 && \
            pgbench -h $PWD/$1 -U me -c 4 -t 50 -n postgres | grep 'actually processed' && \
            pg_ctl -D $1 -m fast -w stop >/dev/null; ipcs -m | grep -c ' 600 '" >$1.out 2>&1 || true; }}
        serve one & serve two & wait
        cat one.out two.out"#
    );
    let scratch = Scratch::new("postgresql");
    for place in [Place::Granted, Place::Refused].into_iter().filter(|_| is_root()) {
        let outcome = run(&scratch, place, &Line::sh(&script).limit(Duration::from_secs(300)));
        let each =
            "SELECT 1000\n500500|1000\n1\nnumber of transactions actually processed: 200/200\n0\n";
        assert_equal(
            "postgresql",
            &format!("{each}{each}--- stderr\n--- status 0\n"),
            &outcome.text(),
        );
    }
}
