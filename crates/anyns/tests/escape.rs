//! What a mount hides stays hidden: every way around it ends as it ends on the kernel, and threads
//! that exchange links, directories and paths while they are looked up gain nothing.
//!
//! `ANYNS_ESCAPE` says for how many seconds each race goes on (0.4 by default).

mod harness;

use std::time::Duration;

use harness::{Line, Place, Scratch, run};

#[test]
fn what_is_hidden_stays_hidden() {
    let scratch = Scratch::new("escape");
    let program = scratch.file("escape.py", include_str!("guests/escape.py"));
    let seconds = std::env::var("ANYNS_ESCAPE").unwrap_or_else(|_| "0.4".to_owned());
    let limit = Duration::from_secs(60 + 10 * seconds.parse::<f64>().expect("seconds") as u64);
    let words = ["unshare", "-Urm", "python3", "-B", program.to_str().unwrap(), &seconds];
    let line = Line::new(words).limit(limit);
    let native = run(&scratch, Place::Granted, &line);
    assert!(!native.stdout.contains("LEAK"), "{}", native.text());
    for place in [Place::Refused, Place::Confined] {
        let hosted = run(&scratch, place, &line);
        assert_eq!(native.text(), hosted.text(), "{place:?}");
    }
}

/// Root's supervisor opens files for guests that are no longer root.
#[test]
fn who_is_less_than_root_reaches_no_more() {
    if !harness::is_root() {
        return;
    }
    let scratch = Scratch::new("escape-root");
    let script = "mount -t tmpfs t $1; chmod 1777 $1; echo root >$1/r; chmod 600 $1/r; \
        setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'cat /etc/shadow; cat $0/r; \
        echo me >$0/m; stat -c %u:%g $0/m $0/r; rm $0/r; mkdir /etc/x; ls -d /root/.ssh' $1; \
        cat $1/r; setpriv --bounding-set=-all --inh-caps=-all \
        sh -c 'cat $0/m; echo x >$0/m; chown 5 $0/r; chmod 777 $0/m' $1";
    let at = scratch.path().join("at");
    std::fs::create_dir(&at).unwrap();
    let run = |prefix: Vec<String>| {
        let words = ["unshare", "-m", "sh", "-c", script, "sh", at.to_str().unwrap()];
        let all: Vec<String> = prefix.into_iter().chain(words.map(str::to_owned)).collect();
        let mut command = std::process::Command::new(&all[0]);
        command.args(&all[1..]);
        let outcome = harness::run_command(&scratch, &mut command, "", Duration::from_secs(180));
        outcome.expect("it ends").text()
    };
    assert_eq!(run(Vec::new()), run(harness::place::anyns(&scratch)));
}
