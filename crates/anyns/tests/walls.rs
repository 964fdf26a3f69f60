//! The walls of the workspace: dependencies go downwards only, and unsafe code has one home.

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Each crate of the workspace, and those it may depend on.
const WALLS: [(&str, &[&str]); 6] = [
    ("nsproxy", &[]),
    ("anyns-trap", &[]),
    ("anyns-supervisor", &["nsproxy", "anyns-trap"]),
    ("anyns", &["nsproxy", "anyns-trap", "anyns-supervisor"]),
    ("conformance", &["nsproxy", "anyns-trap"]),
    ("anyns-bench", &["nsproxy", "anyns-trap"]),
];

/// The one crate with unsafe code.
const UNSAFE: &str = "anyns-trap";

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(env!("CARGO_MANIFEST_PATH")).no_deps().exec().unwrap()
}

fn manifest(package: &Package) -> String {
    std::fs::read_to_string(&package.manifest_path).unwrap()
}

#[test]
fn dependencies_go_downwards() {
    let metadata = metadata();
    let members: BTreeSet<&str> =
        metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let known: BTreeSet<&str> = WALLS.iter().map(|(name, _)| *name).collect();
    assert_eq!(members, known, "a crate without walls");
    for (name, allowed) in WALLS {
        let package = metadata.packages.iter().find(|package| package.name.as_str() == name);
        let inner: Vec<_> = package
            .unwrap()
            .dependencies
            .iter()
            .filter(|one| one.kind != DependencyKind::Development)
            .map(|one| one.name.as_str())
            .filter(|one| members.contains(one))
            .collect();
        for one in inner {
            assert!(allowed.contains(&one), "{name} must not depend on {one}");
        }
    }
}

#[test]
fn unsafe_code_has_one_home() {
    for package in metadata().packages {
        let inherits = manifest(&package).contains("[lints]\nworkspace = true");
        assert_eq!(inherits, package.name.as_str() != UNSAFE, "lints of {}", package.name);
    }
    let root = metadata().workspace_root.join("Cargo.toml");
    assert!(std::fs::read_to_string(root).unwrap().contains("unsafe_code = \"forbid\""));
}
