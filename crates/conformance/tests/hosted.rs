//! Every scenario that an ordinary user can play, under `anyns run`, by each back end, on a host
//! proved to refuse. Needs root and a kernel that grants namespaces, to make that host.

mod common;

use conformance::suite::run_all;

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
