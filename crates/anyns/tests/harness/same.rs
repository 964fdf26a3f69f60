//! Shell scripts that have to print the same natively and hosted.

use std::path::Path;

use super::normal::{Normal, apply};
use super::{Line, Place, Scratch, is_root, report, run};

/// How often a script that printed something else is run natively once more.
const NATIVE_RUNS: usize = 4;

/// Scripts that begin alike, and what is taken out of their output before it is compared.
pub struct Scripts<'a> {
    /// Names the directory and the report.
    pub name: &'a str,
    /// What comes before each.
    pub start: &'a str,
    /// What is taken out.
    pub normal: &'a [Normal],
    /// The places to compare with the native run.
    pub hosted: &'a [Place],
    /// The scripts.
    pub scripts: &'a [&'a str],
}

/// Runs the scripts natively and hosted, where `$GUESTS` names a directory that `prepare` has filled.
/// All are run before the first difference fails the test.
///
/// `ANYNS_ONLY=TEXT` runs only those that have this text in them.
#[track_caller]
pub fn same(all: &Scripts<'_>, prepare: impl Fn(&Scratch)) {
    let name = all.name;
    if !is_root() {
        println!("{name}: not compared, because only root can make a host that refuses");
        return;
    }
    let scratch = Scratch::new(name);
    prepare(&scratch);
    all.scripts.iter().chain([&all.start]).for_each(|script| provide(&scratch, script));
    let only = std::env::var("ANYNS_ONLY").unwrap_or_default();
    let mut failed = Vec::new();
    let mut equal = 0;
    for script in all.scripts.iter().filter(|script| script.contains(&only)) {
        let line = line(&scratch, all.start, script);
        let seen = |place| apply(all.normal, &run(&scratch, place, &line).text());
        let mut native = seen(Place::Granted);
        if std::env::var_os("ANYNS_SHOW").is_some() {
            println!("{script}\n{native}");
        }
        let before = failed.len();
        for place in all.hosted {
            let hosted = seen(*place);
            // What the kernel does at times, too, is no difference.
            for _ in 0..NATIVE_RUNS {
                if native == hosted {
                    break;
                }
                native = seen(Place::Granted);
            }
            if native != hosted {
                let difference = report::difference(&native, &hosted);
                failed.push(format!("{place:?}: {script}\n{difference}"));
            }
        }
        equal += usize::from(failed.len() == before);
    }
    println!("{name}: {equal} scripts equal, {} differences", failed.len());
    assert!(failed.is_empty(), "{name}: native and hosted differ\n\n{}", failed.join("\n"));
}

/// Puts the guests that a script names where it finds them. One that is not there would be missed alike
/// in all places.
fn provide(scratch: &Scratch, script: &str) {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
    let named = ["$GUESTS/", "$G/"].into_iter().flat_map(|at| script.split(at).skip(1));
    for rest in named {
        let end = rest.find(|c: char| !c.is_alphanumeric() && !"._-".contains(c));
        let name = &rest[..end.unwrap_or(rest.len())];
        if !name.contains('.') || scratch.path().join(name).exists() {
            continue;
        }
        let text = std::fs::read_to_string(guests.join(name));
        let text = text.unwrap_or_else(|error| panic!("{script}: {name}: {error}"));
        scratch.file(name, &text);
    }
}

/// Scripts with somebody outside, `$OUT`, who was started before, and whose number they do not print.
pub struct Same<'a> {
    /// The test's name, for its directory and its reports.
    pub name: &'a str,
    /// Defines what the scripts use.
    pub start: &'a str,
    /// What is taken out of what they print, beside the number of `$OUT`.
    pub normal: &'a [Normal],
}

impl Same<'_> {
    /// Runs the scripts in all places, as [`same`] does.
    #[track_caller]
    pub fn check(&self, scripts: &[&str], prepare: impl Fn(&Scratch)) {
        let start = format!("sleep 1000 & export OUT=$!; {}", self.start);
        let scripts: Vec<String> = scripts.iter().map(|script| beside_somebody(script)).collect();
        let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
        let Same { name, normal, .. } = *self;
        let hosted = &[Place::Refused, Place::Confined];
        same(&Scripts { name, start: &start, normal, hosted, scripts: &scripts }, prepare);
    }

    /// A script as it is run.
    pub fn line(&self, scratch: &Scratch, script: &str) -> Line {
        let start = format!("sleep 1000 & export OUT=$!; {}", self.start);
        line(scratch, &start, &beside_somebody(script))
    }
}

fn beside_somebody(script: &str) -> String {
    format!("{{ {script}; kill $OUT; }} 2>&1 | sed \"s/\\\\b$OUT\\\\b/OUT/g\"")
}

fn line(scratch: &Scratch, start: &str, script: &str) -> Line {
    Line::sh(&format!("{start} {{ {script}\n}} 2>&1"))
        // Where anyns keeps what guests write is none of the directories that scripts list.
        .env("TMPDIR", "/var/tmp")
        .env("GUESTS", scratch.path().to_str().unwrap())
}
