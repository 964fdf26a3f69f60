//! Every scenario that an ordinary user can play, under `anyns run`, by each back end, on a host
//! proved to refuse. Needs root and a kernel that grants namespaces, to make that host.

mod common;

use conformance::lang::{Scenario, Start};
use conformance::suite::{judge_by_model, run_all, run_all_by};

#[test]
fn anyns_does_what_the_scenarios_say() {
    let mut reports = String::new();
    for (name, hosted) in common::hosted(&common::programs()) {
        let scenarios = common::scenarios_for(&hosted);
        if std::env::var_os("CONFORMANCE_ONLY").is_none() {
            let count = scenarios.len();
            assert!(count >= 60, "only {count} scenarios are for ordinary users");
        }
        if let Err(report) = run_all(&scenarios, name, &|scenario| hosted.run(scenario)) {
            reports += &report;
        }
    }
    assert!(reports.is_empty(), "{reports}");
}

/// Scenarios about mounts that come out otherwise under anyns, and why ([where it differs]).
///
/// [where it differs]: ../../../docs/where-it-differs.md
const DIFFERENT: [&str; 14] = [
    // A descriptor from another mount namespace stands in the reader's own mount of what it is of.
    "only what is in one's own namespace is bound, mounted on, unmounted, moved",
    "a detached mount propagates no more",
    "attributes that came locked",
    "whose mounts come into a group",
    "file systems and what they are mounted on",
    "what pivot_root asks of the new root",
    // No path leads on from the descriptor of a tree that is in no namespace.
    "a tree is copied, changed while nobody sees it, and mounted",
    "a tree that was never mounted goes with its descriptor",
    "a detached tree can be copied from and added to",
    "what is in a detached tree changes by its top only",
    // Looking at a mount is no use of it that stops its expiry.
    "a mount expires when it was not used since the last time",
    // What is mounted on it elsewhere stays there.
    "a directory is removed under the mounts of other namespaces",
    // What the file of a namespace was bound on cannot be bound again while it is another's.
    "files of mount namespaces are mounted only in older namespaces",
    // All files are the user's own on the host.
    "who has no number makes no file",
];

/// Those that ask for what the root of a user namespace has not on any kernel, so that model and kernel
/// go different ways from there on.
const NOT_FOR_NSROOT: [&str; 4] = [
    "whoever joins a mount namespace and others at once may share its directories",
    "a way that leads over somebody else's",
    "which maps a mount can have",
    "whose maps and whose files",
];

#[test]
fn mounts_of_the_root_of_a_user_namespace_are_those_of_the_model() {
    let differs = |name: &str| DIFFERENT.contains(&name) || NOT_FOR_NSROOT.contains(&name);
    let files = [
        "beneath",
        "cgroup",
        "mnt",
        "mnt_views",
        "mount",
        "pivot",
        "propagation",
        "set_group",
        "setattr",
        "tree",
        "umount",
    ];
    let mut twins = common::scenarios();
    twins.retain(|scenario| {
        let file = scenario.place.split(':').next().unwrap_or_default();
        scenario.start == Start::Root && files.contains(&file) && !differs(&scenario.name)
    });
    let twins: Vec<Scenario> = twins.iter().map(Scenario::of_nsroot).collect();
    let mut reports = String::new();
    for (name, hosted) in common::hosted(&common::programs()) {
        let twins: Vec<Scenario> =
            twins.iter().filter(|twin| hosted.can_run(twin)).cloned().collect();
        if std::env::var_os("CONFORMANCE_ONLY").is_none() {
            assert!(twins.len() >= 60, "only {} scenarios can be played", twins.len());
        }
        let run = |twin: &Scenario| hosted.run(twin);
        if let Err(report) = run_all_by(&twins, name, &run, &judge_by_model) {
            reports += &report;
        }
    }
    assert!(reports.is_empty(), "{reports}");
}
