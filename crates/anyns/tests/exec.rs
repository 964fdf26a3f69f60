//! Programs started in a root of another libc, in every way and with every refusal, and what they are
//! told of themselves: as natively.

mod harness;

use std::process::Command;

use harness::normal::Normal;
use harness::same::{Scripts, same};
use harness::{Line, Place, Scratch, is_root, roots, run};

/// `inside ROOT COMMAND` runs in a root with its own loader, `/proc` bound from outside.
const START: &str = "exec 2>&1; inside() { r=$GUESTS/$1; shift; \
    unshare -Urm sh -c 'mount --rbind /proc $0/proc && exec chroot $0 \"$@\"' $r \"$@\"; }; \
    each() { for h in $1; do echo \"- $h\"; inside $2 /bin/facts launch $h $3 a b; done; }; ";

#[track_caller]
fn equal(name: &str, hosted: &[Place], scripts: &[&str]) {
    let normal: &[Normal] = &[];
    same(&Scripts { name, start: START, normal, hosted, scripts }, roots::make);
}

#[test]
fn what_a_program_is_told() {
    equal(
        "exec-told",
        &[Place::Refused, Place::Confined],
        &[
            "inside glibc /bin/facts a b",
            "inside glibc /bin/link a",
            "inside glibc /bin/facts-static a",
            "inside glibc /bin/facts-fixed a",
            "inside glibc /bin/facts-short a",
            "inside musl /bin/facts a",
            "inside busybox /bin/facts a",
            "inside glibc /bin/factscript a b",
            "inside glibc /bin/deepscript a b",
            "inside musl /bin/factscript a b",
            "inside busybox /bin/deepscript a b",
            "inside glibc /bin/sh -c 'cd /bin; ./facts a; ../bin/link; ./factscript x; PATH=. facts'",
            "inside glibc /bin/bash -c 'exec -a other /bin/facts a'",
            "inside glibc /bin/././././../bin/././././././././././././././././././././././././././././././././facts",
            "inside glibc /bin/sh -c 'cd /; /bin/relscript x; cd /bin; ./relscript x'",
            "inside glibc /proc/self/exe --version | head -n1",
            "inside glibc /bin/sh -c '/proc/self/exe -c \"echo again\"; /proc/self/exe /bin/script x'",
        ],
    );
}

#[test]
fn every_way_to_start_one() {
    const HOWS: &str =
        "exec fexec path at nofollow check flags memfd none bad bad-argv big many vfork spawn";
    let scripts: Vec<String> = ["glibc", "musl", "busybox"]
        .iter()
        .flat_map(|root| {
            [
                format!("each '{HOWS}' {root} /bin/facts"),
                format!("each '{HOWS} fexec-cloexec' {root} /bin/factscript"),
                format!("each 'exec nofollow check vfork spawn' {root} /bin/link"),
            ]
        })
        .collect();
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    equal("exec-ways", &[Place::Refused], &scripts);
}

#[test]
fn refusals() {
    const HOWS: &str = "exec check vfork";
    let files = [
        "/bin/nothing",
        "/bin/notexec",
        "/bin/text",
        "/bin/empty",
        "/bin/badscript",
        "/bin/loop",
        "/bin",
        "/bin/facts/",
        "/bin/facts/x",
        "/proc/self/status",
        "/dev/null",
    ];
    let mut scripts: Vec<String> =
        files.iter().map(|file| format!("each '{HOWS}' glibc {file}")).collect();
    scripts.extend([
        "inside glibc /bin/sh -c 'cp /bin/facts /tmp/f; /bin/facts launch busy /tmp/f; rm /tmp/f'".to_owned(),
        "inside glibc /bin/sh -c 'cp /bin/factscript /tmp/f; /bin/facts launch busy /tmp/f; rm /tmp/f'".to_owned(),
        "inside glibc /bin/sh -c 'mount -t tmpfs -o noexec t /mnt; cp /bin/facts /bin/script /mnt; /mnt/facts; /mnt/script; /bin/facts launch fexec /mnt/facts; sh /mnt/script; mount -o remount,exec /mnt; /mnt/script x; /mnt/facts y'".to_owned(),
        "inside glibc /bin/sh -c 'mount --bind /bin /mnt; mount -o remount,bind,noexec /mnt; /mnt/ls; /bin/ls /etc'".to_owned(),
        "inside glibc /bin/sh -c 'mv /lib64 /lib65; /bin/ls' || true; mv $GUESTS/glibc/lib65 $GUESTS/glibc/lib64 2>/dev/null".to_owned(),
        "inside glibc /bin/sh -c 'mount -t tmpfs t /lib64; /bin/ls; /bin/facts-static x; umount /lib64'".to_owned(),
        "inside glibc /bin/sh -c 'mount -t tmpfs t /lib64; mkdir /lib64/ld-linux-x86-64.so.2; /bin/ls; cp /bin/text /lib64/x; umount /lib64'".to_owned(),
    ]);
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    equal("exec-refusals", &[Place::Refused], &scripts);
}

/// A thread that exchanges the path while the kernel is about to read it gets nothing from outside.
#[test]
fn an_exchanged_path_runs_nothing() {
    if !is_root() || std::env::var_os("ANYNS_SELF_CHECK").is_some() {
        return;
    }
    let scratch = Scratch::new("exec-race");
    roots::make(&scratch);
    scratch.file("race.c", include_str!("guests/race.c"));
    scratch.file(
        "outside.c",
        "int puts(const char *); int main(void) { puts(\"OUTSIDE\"); return 5; }\n",
    );
    for (source, to) in [("race.c", "busybox/bin/race"), ("outside.c", "outside")] {
        let mut gcc = Command::new("gcc");
        gcc.args(["-O1", "-static", "-pthread", "-o", to, source]).current_dir(scratch.path());
        assert!(gcc.status().unwrap().success());
    }
    let line = Line::sh("unshare -Ur chroot $GUESTS/busybox /bin/race 100 $GUESTS/outside")
        .env("GUESTS", scratch.path().to_str().unwrap());
    let seen = run(&scratch, Place::Refused, &line);
    println!("{}", seen.stderr);
    assert_eq!((seen.stdout.as_str(), seen.status), ("", 0), "{}", seen.stderr);
    let count = |word: &str| -> u32 {
        let mut words = seen.stderr.split_whitespace().skip_while(|one| *one != word);
        words.nth(1).and_then(|number| number.parse().ok()).unwrap_or(u32::MAX)
    };
    assert_eq!(count("right") + count("killed") + count("other"), 100, "{}", seen.stderr);
}
