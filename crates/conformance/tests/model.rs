//! Every scenario on the model, and every rule of the model by a scenario.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use conformance::lang::Scenario;
use conformance::model::{run, run_on, run_with};
use conformance::native::HOSTED;
use conformance::suite::{judge, run_all};
use nsproxy::{Config, KernelVersion, KindSet, Rule};

#[test]
fn the_model_does_what_the_scenarios_say() {
    let scenarios = common::scenarios();
    run_all(&scenarios, "model", &|scenario| run(scenario).transcript)
        .unwrap_or_else(|report| panic!("{report}"));
}

/// A type that hosted guests are not served is one that their kernel was built without. So what a
/// scenario needs is what it takes to get through it.
#[test]
fn scenarios_name_the_types_they_need() {
    let mut wrong = Vec::new();
    for scenario in common::scenarios() {
        let gets_through = |built| {
            let transcript = run_with(&scenario, built).transcript;
            judge(&scenario, "model", &transcript).is_none()
        };
        if !gets_through(HOSTED.union(scenario.needs)) {
            wrong.push(format!("{}: `needs` lacks a type", scenario.place));
        }
        for kind in scenario.needs.iter() {
            if gets_through(KindSet::ROOMS.difference(KindSet::of(&[kind]))) {
                wrong.push(format!("{}: {kind} is not needed", scenario.place));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn scenarios_prove_the_rules_they_name() {
    let mut wrong = Vec::new();
    for scenario in common::scenarios() {
        let fired = run(&scenario).fired;
        for rule in &scenario.proves {
            if !Rule::ALL.iter().any(|known| known.name() == rule) {
                wrong.push(format!("{}: there is no rule {rule}", scenario.place));
            } else if !fired.contains(rule.as_str()) {
                wrong.push(format!("{}: {rule} refuses nothing here", scenario.place));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Says whether a kernel has the rule: not those of the call that no kernel has, nor what no manual
/// states because the one who embeds the model meets it alone. `nsproxy` has an example of each.
fn is_a_kernels(rule: Rule) -> bool {
    rule.calls() != ["switch"] && !rule.manual().is_empty()
}

/// What the kernel that the scenarios ran on cannot refuse, because it is new and has every type, is
/// refused by the model of one that is old, or has some.
fn refused_by_other_kernels(scenarios: &[Scenario]) -> BTreeSet<&'static str> {
    let old = Config { version: KernelVersion::new(6, 1), ..Config::default() };
    let small = Config { built: HOSTED, ..Config::default() };
    let run =
        |scenario| [&old, &small].map(|config: &Config| run_on(scenario, config.clone()).fired);
    scenarios.iter().flat_map(run).flatten().collect()
}

#[test]
fn every_rule_is_proved_by_a_scenario() {
    if std::env::var_os("CONFORMANCE_ONLY").is_some() {
        return; // a part of the scenarios proves a part of the rules
    }
    let scenarios = common::scenarios();
    let named: BTreeSet<&str> =
        scenarios.iter().flat_map(|scenario| scenario.proves.iter().map(String::as_str)).collect();
    let elsewhere = refused_by_other_kernels(&scenarios);
    let mut fired: BTreeMap<&str, &str> = BTreeMap::new();
    for scenario in &scenarios {
        for rule in run(scenario).fired {
            fired.entry(rule).or_insert(&scenario.place);
        }
    }
    // What refuses something here could have been proved here.
    let only_elsewhere = |name| elsewhere.contains(name) && !fired.contains_key(name);
    let missing: Vec<String> = Rule::ALL
        .iter()
        .filter(|rule| is_a_kernels(**rule) && !named.contains(rule.name()))
        .filter(|rule| !only_elsewhere(rule.name()))
        .map(|rule| match fired.get(rule.name()) {
            Some(place) => format!("{} (refuses something at {place})", rule.name()),
            None => rule.name().to_owned(),
        })
        .collect();
    assert!(missing.is_empty(), "no scenario proves: {}", missing.join(", "));
}
