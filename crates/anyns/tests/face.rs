//! The face of a command: what its starter and the command itself see of each other is the same
//! with and without anyns between them.

mod harness;

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use harness::{Line, Outcome, Place, Scratch, command, run};

/// Runs a shell script natively, with `$@` standing for nothing, and with `$@` standing for
/// `anyns run --`; the script puts `"$@"` before the command in question.
#[track_caller]
fn same(name: &str, script: &str) -> Outcome {
    let scratch = Scratch::new(name);
    let anyns = harness::place::anyns(&scratch);
    let both = [Vec::new(), anyns].map(|words| {
        let line = ["bash", "-c", script, "bash"].map(str::to_owned).into_iter().chain(words);
        run(&scratch, Place::Native, &Line::new(line))
    });
    let [native, hosted] = both;
    assert_eq!(native.text(), hosted.text(), "native on the left");
    hosted
}

#[test]
fn exit_statuses_are_the_commands() {
    let script = r#"for n in 0 1 2 77 124 125 126 127 128 200 255; do
        "$@" sh -c "exit $n"; echo "$n: $?"; done"#;
    assert_eq!(same("status", script).stdout.lines().count(), 11);
}

#[test]
fn a_signal_that_kills_is_told_as_128_and_its_number() {
    // bash itself announces a child that a signal killed; under anyns it sees a plain status.
    let script = r#"exec 2>/dev/null; for s in HUP INT QUIT ABRT KILL USR1 SEGV PIPE ALRM TERM RTMIN RTMAX; do
        n=$(kill -l $s); "$@" sh -c "ulimit -c 0; kill -$s \$\$"; echo "$s $n: $?"
        done"#;
    let outcome = same("signals", script);
    assert!(outcome.stdout.contains("TERM 15: 143"), "{}", outcome.stdout);
}

#[test]
fn a_command_has_the_descriptors_its_starter_gave_and_no_others() {
    let list = r#"for fd in 0 1 2 3 4 5 6 7 8 9; do
        [ -e /proc/self/fd/$fd ] && echo "$fd $(stat -L -c "%t %F" /proc/self/fd/$fd 2>&1)"; done;
        grep flags /proc/self/fdinfo/0 /proc/self/fdinfo/5 2>/dev/null"#;
    let script = format!(
        r#"list='{list}'
        echo given; "$@" sh -c "$list" 5>&1 7</dev/null | cat
        echo none; "$@" sh -c "exec 1>&2; $list" <&- >&- 2>errors; cat errors
        echo output; "$@" sh -c "$list" <&- 2>&- | cat
        echo input; echo typed | "$@" sh -c 'cat; exec >&-; :' "#
    );
    same("descriptors", &script);
}

/// Who calls with signals blocked may be seen to catch SIGSYS where calls are stopped.
#[test]
fn a_command_inherits_everything_else() {
    let script = r#"
        umask 027; ulimit -n 99; ulimit -c 7; cd /; trap '' HUP USR1; export FACE="a b	c" EMPTY=
        nice -n 3 "$@" sh -c '
            umask; ulimit -n; ulimit -c; ulimit -S -s; pwd; nice; cat /proc/self/oom_score_adj
            env | sort; printf "[%s]" "$@"; echo; id; taskset -p $$ | sed "s/.*: //"
            grep -E "^(Sig(Ign|Cgt|Pnd)|ShdPnd|NoNewPrivs|Cpus_allowed):" /proc/$$/status
            tr "\0" " " </proc/$$/cmdline
        ' "an argument" "" "*" "$(printf "\303\244\377")" |
            sed -E "s/^_=.*//; s/^(SigCgt:.{9})4/\10/"
        "$@" grep -E "^Sig(Blk|Ign|Cgt)" /proc/self/status
        "$@" awk '{print ($5 == $6), $7}' /proc/self/stat"#;
    let outcome = same("inherit", script);
    assert!(outcome.stdout.contains("FACE=a b\tc"), "{}", outcome.stdout);
}

#[test]
fn what_was_ignored_stays_ignored_and_nothing_else_is() {
    let script = r#"for s in PIPE CHLD INT TERM; do
        (trap '' $s; "$@" grep SigIgn /proc/self/status); done
        "$@" grep SigIgn /proc/self/status
        yes | "$@" cat | head -n 1"#;
    same("ignored", script);
}

#[test]
fn the_process_group_is_the_starters() {
    let script = r#"set -m
        sh -c '"$@" sh -c "ps -o pgid= -p \$\$" | tr -d " "; ps -o pgid= -p $$ | tr -d " "' sh "$@" |
        uniq -c | tr -s " " | cut -d" " -f2"#;
    assert_eq!(same("group", script).stdout, "2\n");
}

#[test]
fn the_end_of_a_stream_is_seen_when_the_command_closes_it() {
    let scratch = Scratch::new("streams");
    let home = scratch.fresh_home();
    let line = Line::sh("echo shown; exec >/dev/null 2>&1; exec sleep 20");
    let mut hosted = command(&scratch, Place::Hosted, &line, &home);
    let started = Instant::now();
    let mut child =
        hosted.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(started.elapsed() < Duration::from_secs(19), "the pipes stayed open");
    assert_eq!((out.as_str(), err.as_str()), ("shown\n", ""));
    assert!(child.wait().unwrap().success());
}

/// The command makes no told call while the signals come: one that a signal finds unreceived may
/// fail with EINTR (`docs/where-it-differs.md`), and bash gives up when its fork does.
#[test]
fn signals_from_outside_reach_the_command_once() {
    let script = r#"
        cat >counter <<'END'
        for s in HUP INT QUIT USR1 USR2 TERM ALRM WINCH; do trap "echo $s" $s; done
        trap 'echo END; exit 5' PIPE
        (trap '' HUP USR1 USR2 TERM ALRM; exec sleep 100) & sleeper=$!
        trap 'kill -KILL $sleeper' EXIT
        sleep 0.2; : >ready; while :; do wait; done
END
        for way in single group; do
            rm -f ready; set -m; "$@" bash counter >heard & set +m
            pid=$!; while [ ! -e ready ]; do sleep 0.02; done; sleep 0.1
            to=$pid; [ $way = group ] && to=-$pid
            for s in HUP USR1 USR2 TERM ALRM WINCH; do
                kill -$s -- $to; for i in $(seq 200); do grep -q $s heard && break; sleep 0.02; done
            done
            kill -PIPE $pid; wait $pid; echo "$way $?"; cat heard
        done"#;
    let outcome = same("once", script);
    assert_eq!(outcome.stdout.matches("USR1\n").count(), 2, "{}", outcome.stdout);
}

#[test]
fn a_stopped_command_stops_its_job_and_goes_on_with_it() {
    let script = r#"exec 2>/dev/null
        state() { for i in $(seq 200); do s=$(ps -o stat= -p $1 | cut -c1); [ "$s" = $2 ] && break
            sleep 0.02; done; echo $s; }
        set -m; "$@" sh -c 'kill -STOP $$; echo on; exec sleep 100' >out & pid=$!; set +m
        state $pid T; kill -CONT $pid; state $pid S
        for i in $(seq 200); do grep -q on out && break; sleep 0.02; done; cat out
        kill -STOP -- -$pid; state $pid T; kill -CONT -- -$pid; state $pid S
        kill -TSTP $pid; state $pid T; kill -CONT -- -$pid; state $pid S
        kill -KILL -- -$pid; wait $pid 2>/dev/null; echo $?"#;
    assert_eq!(same("stopped", script).stdout, "T\nS\non\nT\nS\nT\nS\n137\n");
}

#[test]
fn a_child_of_the_starter_that_came_before_is_left_alone() {
    let script = r#"sh -c 'sleep 100 & echo $! >earlier; exec "$@" sleep 100' sh "$@" & pid=$!
        sleep 0.25; kill -KILL $pid; wait $pid 2>/dev/null; echo $?
        sleep 0.25; kill $(cat earlier) && echo lives"#;
    assert_eq!(same("earlier", script).stdout, "137\nlives\n");
}
