//! In containers as people start them: default, restricted, read-only, limited, unconfined.
//!
//! Everything that a script prints is expected whole, and is the same in every container. In a
//! container with the default profile the kernel is proved to refuse first.

mod harness;

use harness::container::{Engine, Kind};
use harness::{Outcome, Scratch};

const USER: Kind =
    Kind { name: "default, uid 1000", uid: 1000, options: &[], confined: true, bare: false };

const KINDS: [Kind; 8] = [
    USER,
    Kind { name: "default, root", uid: 0, ..USER },
    Kind { name: "restricted, uid 1000", bare: true, ..USER },
    Kind { name: "restricted, root", uid: 0, bare: true, ..USER },
    Kind { name: "read-only", options: &["--read-only"], ..USER },
    Kind { name: "limited", options: &["--pids-limit=64", "--memory=128m"], ..USER },
    Kind { name: "unconfined, uid 1000", confined: false, ..USER },
    Kind { name: "unconfined, root", uid: 0, confined: false, ..USER },
];

/// A script and what it prints everywhere.
const SCRIPTS: [(&str, &str); 9] = [
    ("anyns run -- unshare -Ur --uts sh -c 'hostname box; hostname; id -u'", "box\n0\n"),
    (
        "anyns run -- unshare -Uru sh -c 'hostname one; unshare -Uu sh -c \"hostname two\"; \
         unshare -u sh -c \"hostname three; uname -n; cat /proc/sys/kernel/hostname\"; hostname'",
        "hostname: you must be root to change the host name\nthree\nthree\none\n",
    ),
    (
        "anyns run -- sh -c 'unshare -Uru sh -c \"hostname inner; exec sleep 99\" & for i in $(seq 99); do \
         nsenter -t $! -U -u --preserve-credentials hostname 2>&1 | grep inner && break; sleep 0.1; \
         done; kill $!'",
        "inner\n",
    ),
    (
        "anyns run -- unshare -Ur sh -c 'id -u; cat /proc/self/setgroups; setpriv --reuid 5 true; \
         chown 5 /tmp'",
        "0\ndeny\nsetpriv: setresuid failed: Invalid argument\n\
         chown: changing ownership of '/tmp': Invalid argument\n",
    ),
    ("anyns run -- unshare -UrC sh -c 'grep -vc \":/$\" /proc/self/cgroup'", "0\n"),
    ("anyns run -- sh -c 'for i in $(seq 300); do /bin/true; done; echo ended'", "ended\n"),
    ("anyns run -- bash -c 'yes | head -n 1000 | wc -l; (exit 7); echo $?'", "1000\n7\n"),
    (
        "anyns run -- sh -c 'kill -TERM $$'; echo $?; anyns run -- bash -c 'trap \"echo caught\" \
         USR1; for i in 1 2 3; do kill -USR1 $$; done'",
        "143\ncaught\ncaught\ncaught\n",
    ),
    (
        "anyns run -- no-such-command 2>/dev/null; echo $?; anyns run -- /etc/passwd 2>&1 | wc -l",
        "127\n2\n",
    ),
];

/// What root without capabilities can do.
const ROOT_WITHOUT: (&str, &str) = (
    "anyns run -- unshare -U --keep-caps --uts sh -c 'hostname box; hostname; id -u'; \
     anyns run -- unshare -Ur true",
    "box\n65534\nunshare: write failed /proc/self/uid_map: Operation not permitted\n",
);

/// A sandbox as coding agents and Flatpak's tools make it, and what is to be seen inside.
const BUBBLEWRAP: (&str, &str) = (
    "anyns run -- bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --unshare-user \
     --unshare-pid --unshare-uts --unshare-ipc --hostname box bash -c 'hostname; \
     echo hello > /tmp/x; ls /tmp; cat /tmp/x; stat -f -c %T /tmp; echo no > /etc/new; \
     echo $(ls /dev); readlink /proc/self/exe; \
     echo $(ps -e -o pid=,comm= | head -n 1)'",
    "box\nx\nhello\ntmpfs\nbash: line 1: /etc/new: Read-only file system\n\
     core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero\n\
     /usr/bin/readlink\n1 bwrap\n",
);

/// An overlay, also in a container whose own files are one: there a whiteout cannot be a device.
const OVERLAY: (&str, &str) = (
    "test -w /tmp && cd /tmp || cd /dev/shm; export O=o.$$; mkdir $O; \
     anyns run -- unshare -Urm sh -c 'cd $O; mkdir l u w m l/d; echo low > l/f; echo x > l/g; \
     mount -t overlay o -o lowerdir=l,upperdir=u,workdir=w m; echo more >> m/f; rm m/g; touch m/d/new; \
     cat m/f l/f; ls m m/d u; umount m; mount -t overlay o -o lowerdir=l,upperdir=u,workdir=w m; \
     cat m/g; mv m/f m/g; ls m'; rm -r $O",
    "low\nmore\nlow\nm:\nd\nf\n\nm/d:\nnew\n\nu:\nd\nf\ng\n\
     cat: m/g: No such file or directory\nd\ng\n",
);

/// Both the engine and the stand-in, or whichever there is.
fn engines(name: &str) -> Vec<Engine> {
    let found = Engine::find(name);
    let also = match &found {
        Some(engine) if engine.is_real() => Engine::stand_in(Scratch::new(name)),
        _ => None,
    };
    found.into_iter().chain(also).collect()
}

#[track_caller]
fn prints(engine: &Engine, kind: &Kind, script: &str, expected: &str) -> Option<String> {
    let outcome = engine.sh(kind, &format!("{{ {script}; }} 2>&1"));
    (outcome.stdout != expected)
        .then(|| format!("{}: {script}\nexpected:\n{expected}got:\n{}", kind.name, outcome.text()))
}

#[test]
fn every_script_prints_the_same_in_every_container() {
    for engine in engines("docker") {
        let mut failed = Vec::new();
        for kind in KINDS {
            let proof = engine.sh(&kind, "unshare -U true");
            assert_eq!(proof.status != 0, kind.confined, "{}: {}", kind.name, proof.text());
            for (script, expected) in SCRIPTS {
                // Root without CAP_SETFCAP may not map itself, which is the kernel's own rule.
                if kind.bare && kind.uid == 0 && script.contains("-Ur") {
                    continue;
                }
                failed.extend(prints(&engine, &kind, script, expected));
            }
        }
        failed.extend(prints(&engine, &KINDS[3], ROOT_WITHOUT.0, ROOT_WITHOUT.1));
        println!("{} not as expected", failed.len());
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }
}

#[test]
fn sandboxes_and_overlays_in_every_container() {
    for engine in engines("bwrap") {
        let mut failed = Vec::new();
        // Root without CAP_SETFCAP may not map itself.
        for kind in KINDS.iter().filter(|kind| !(kind.bare && kind.uid == 0)) {
            failed.extend(prints(&engine, kind, BUBBLEWRAP.0, BUBBLEWRAP.1));
            failed.extend(prints(&engine, kind, OVERLAY.0, OVERLAY.1));
        }
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }
}

/// `docker run` as somebody types it, with nothing of the tests' own.
#[test]
fn the_first_thing_that_people_try() {
    let Some(engine) = Engine::find("first") else { return };
    let Some(image) = engine.image() else {
        println!("not tried: no docker engine answers, and the stand-in is started otherwise");
        return;
    };
    let script = "hostname box; hostname; id -u";
    let words = ["anyns", "run", "--", "unshare", "-Ur", "--uts", "sh", "-c", script];
    let mut docker = std::process::Command::new("docker");
    docker.args(["run", "--rm", "-u", "1000", image]).args(words);
    let output = docker.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("box\n0\n".into(), String::new()));
    assert!(output.status.success());
    let mut native = std::process::Command::new("docker");
    native.args(["run", "--rm", "-u", "1000", image]).args(&words[3..]);
    let refused = native.output().unwrap();
    assert_eq!(text(&refused.stderr), "unshare: unshare failed: Operation not permitted\n");
}

/// The last line of a report.
fn verdict(outcome: &Outcome) -> &str {
    outcome.stdout.lines().last().unwrap_or_default()
}

#[test]
fn the_doctor_names_the_back_end_and_why() {
    for engine in engines("doctor") {
        for kind in KINDS {
            let report = engine.sh(&kind, "anyns doctor");
            assert_eq!(report.status, 0, "{}: {}", kind.name, report.text());
            if kind.confined {
                let start = "ok  commands are served by the stop back end: a seccomp filter from \
                             outside answers unshare, setns, ";
                assert!(verdict(&report).starts_with(start), "{}", report.text());
                assert!(verdict(&report).ends_with(" with EPERM"), "{}", report.text());
            } else {
                let whole =
                    "ok  commands are served by the notify back end: it hears of every call";
                assert_eq!(verdict(&report), whole);
            }
        }
    }
}

#[test]
fn a_back_end_that_was_asked_for_serves_or_says_why_not() {
    for engine in engines("forced") {
        let unconfined = KINDS[6];
        for backend in ["notify", "stop", "auto"] {
            let script = format!(
                "anyns run --backend {backend} -- unshare -Uru sh -c 'hostname box; hostname'"
            );
            assert_eq!(prints(&engine, &unconfined, &script, "box\n"), None);
        }
        let script = "anyns run --backend stop -- unshare -Uru sh -c 'hostname box; hostname'";
        assert_eq!(prints(&engine, &USER, script, "box\n"), None);
        let refused = engine.sh(&USER, "anyns run --backend notify -- true");
        assert_eq!((refused.stdout.as_str(), refused.status), ("", 125));
        let (first, second) = refused.stderr.split_once('\n').unwrap();
        let start = "error: a seccomp filter from outside answers unshare, setns, ";
        assert!(first.starts_with(start) && first.ends_with(" with EPERM before anyns"), "{first}");
        assert_eq!(second, "  try     --backend stop, which serves here\n");
    }
}

#[test]
fn nothing_is_left_when_the_supervisor_is_killed() {
    for engine in engines("killed") {
        let script = r#"
            anyns run -- sh -c 'setsid sleep 1000 2>/dev/null & sleep 1000 2>/dev/null &
                echo ready; wait' >out 2>err & cli=$!
            while ! grep -q ready out 2>/dev/null; do sleep 0.02; done
            kill -KILL $(cat /proc/$cli/task/$cli/children); wait $cli; echo $?
            cat err; for i in $(seq 99); do ps -C sleep -o args= | grep -q 1000 || break; sleep 0.1; done
            ps -C sleep -o pid= -o args= | grep 1000"#;
        let script = format!("cd /tmp && {{ {script}; }}");
        let expected = "125\nerror: somebody killed the supervisor of anyns, so the command was \
                        killed too\n  try     dmesg, which tells if memory ran out\n";
        for kind in [KINDS[0], KINDS[6]] {
            if !engine.is_real() {
                // No /tmp of its own.
                continue;
            }
            assert_eq!(prints(&engine, &kind, &script, expected), None);
        }
    }
}

#[test]
fn where_few_processes_are_allowed_anyns_runs_or_says_so() {
    let Some(engine) = Engine::find("few").filter(Engine::is_real) else {
        println!("not tried: only a container has a limit of its own");
        return;
    };
    for confined in [true, false] {
        let mut served = Vec::new();
        for limit in ["1", "2", "3", "4", "5", "6", "8", "12", "16", "24", "32"] {
            let option = format!("--pids-limit={limit}");
            let options: &'static [&'static str] = Box::leak(Box::new([&*option.leak()]));
            let kind = Kind { name: "few", options, confined, ..USER };
            let outcome = engine
                .sh(&kind, "exec anyns run -- unshare -Ur --uts sh -c 'hostname x; hostname'");
            match outcome.status {
                0 => {
                    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("x\n", ""));
                    served.push(limit);
                }
                // anyns runs, and the command has nothing left for itself.
                1 | 2 => {
                    let said = &outcome.stderr;
                    let words = ["Cannot fork", "Resource temporarily unavailable"];
                    assert!(words.iter().any(|words| said.contains(words)), "{limit}: {said}");
                }
                _ => {
                    let (said, step) = outcome.stderr.split_once('\n').unwrap_or_default();
                    let words =
                        "error: no process can be started: resource temporarily unavailable";
                    assert_eq!((said, outcome.status), (words, 125), "{limit}");
                    assert!(step.starts_with("  try     a higher limit"), "{step}");
                }
            }
        }
        println!("confined {confined}: served with {served:?} processes");
        assert!(served.contains(&"32"), "{served:?}");
    }
}
