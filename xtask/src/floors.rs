//! Dependencies point down only. Each crate stands on a floor and may use crates of lower floors, never its own;
//! pure crates never reach an async runtime, a socket, a clock or entropy, and say so on the *resolved* graph, for
//! a feature that somebody else switches on is how such a thing arrives.
//!
//! Declared arrows come from `cargo metadata`; what a crate reaches comes from `cargo tree`, because the resolve
//! table of `cargo metadata` also lists optional packages that no feature switches on. Both for the host platform.
//! Every finding shows the path that offends.

mod source;
mod table;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::repo::{self, Finding};
use table::{BANNED, CRATES, HOMES, PACKAGES_MAX, Rule};

/// Who may be used by a test of any crate on its own floor.
const TEST_HELPER: &str = "tieline-testkit";

/// Checks all of it; whether nothing was found.
pub(crate) fn run() -> Result<bool> {
    let root = repo::root()?;
    let metadata = repo::output(
        Command::new("cargo")
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(&root),
    )?;
    let members: Metadata = serde_json::from_str(&metadata).context("`cargo metadata` is not as expected")?;
    let mut findings = arrows(&members.packages);
    for rule in CRATES {
        findings.extend(reaches(&root, rule)?);
        findings.extend(source::check(&root, rule)?);
    }
    findings.extend(banned(&root)?);
    findings.extend(size(&root)?);
    Ok(repo::report("floors", findings))
}

/// The part of `cargo metadata` that is read here.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    dependencies: Vec<Arrow>,
    name: String,
}

/// A declared dependency; `kind` is absent for a normal one.
#[derive(Debug, Deserialize)]
struct Arrow {
    kind: Option<String>,
    name: String,
}

/// Arrows between our crates that do not point down, and outside packages that are used away from their home.
fn arrows(members: &[Member]) -> Vec<Finding> {
    let ours: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let floors: BTreeMap<&str, u8> = CRATES.iter().map(|rule| (rule.name, rule.floor)).collect();
    let mut findings = Vec::new();
    for member in members {
        let from = member.name.as_str();
        let Some(&floor) = floors.get(from) else {
            findings.push(Finding::new(
                from,
                0,
                "the crate has no floor: add it to xtask/src/floors/table.rs",
            ));
            continue;
        };
        for arrow in &member.dependencies {
            let to = arrow.name.as_str();
            let kind = arrow.kind.as_deref().unwrap_or("normal");
            if ours.contains(to) && !points_down(floor, floors.get(to).copied(), to, kind) {
                findings.push(Finding::new(
                    from,
                    0,
                    format!("{kind} dependency {from} -> {to} does not point down"),
                ));
            }
            for (package, homes) in HOMES {
                if to == *package && kind == "normal" && !homes.contains(&from) {
                    let says = format!("{from} -> {to}: only {} may use it", homes.join(", "));
                    findings.push(Finding::new(from, 0, says));
                }
            }
        }
    }
    findings
}

/// A floor that is missing is no arrow down; that the crate has none is a finding of its own.
fn points_down(from: u8, to: Option<u8>, name: &str, kind: &str) -> bool {
    to.is_some_and(|to| from > to || (from == to && kind == "dev" && name == TEST_HELPER))
}

/// What a crate reaches by normal dependencies and must not, and whether it reaches too many.
fn reaches(root: &Path, rule: &Rule) -> Result<Vec<Finding>> {
    if rule.never.is_empty() && rule.packages_max.is_none() {
        return Ok(Vec::new());
    }
    let tree = tree::read(root, &["--package", rule.name, "--edges", "normal"])?;
    let mut findings: Vec<Finding> = rule
        .never
        .iter()
        .filter_map(|package| tree.path(package))
        .map(|path| Finding::new(rule.name, 0, format!("must not reach {}", path.join(" -> "))))
        .collect();
    let count = tree.packages().len();
    if let Some(most) = rule.packages_max.filter(|most| count > *most) {
        findings.push(Finding::new(
            rule.name,
            0,
            format!("reaches {count} packages, the limit is {most}"),
        ));
    }
    Ok(findings)
}

/// Packages that nothing here may reach, not even in tests.
fn banned(root: &Path) -> Result<Vec<Finding>> {
    let tree = tree::read(root, &["--workspace", "--edges", "normal,build,dev"])?;
    let found = BANNED
        .iter()
        .filter_map(|(package, reason)| Some((tree.path(package)?, reason)));
    Ok(found
        .map(|(path, reason)| Finding::new("Cargo.lock", 0, format!("{}: {reason}", path.join(" -> "))))
        .collect())
}

/// The size of the default build of the binary, with its duplicates, which are told but are no finding.
fn size(root: &Path) -> Result<Vec<Finding>> {
    let tree = tree::read(root, &["--package", "tieline", "--edges", "normal,build"])?;
    let packages = tree.packages();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, version) in &packages {
        versions.entry(name).or_default().push(version);
    }
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        repo::say(&format!(
            "note: {name} is built {} times: {}",
            versions.len(),
            versions.join(", ")
        ));
    }
    let count = packages.len();
    repo::say(&format!(
        "note: the default build of tieline has {count} packages, at most {PACKAGES_MAX}"
    ));
    if count <= PACKAGES_MAX {
        return Ok(Vec::new());
    }
    let says = format!("the default build has {count} packages, the limit is {PACKAGES_MAX}");
    Ok(vec![Finding::new("tieline", 0, says)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(from: &str, to: &str, kind: Option<&str>, expected: usize) {
        let member = |name: &str, dependencies| Member {
            dependencies,
            name: name.to_owned(),
        };
        let arrow = Arrow {
            kind: kind.map(str::to_owned),
            name: to.to_owned(),
        };
        let members = [member(from, vec![arrow]), member(to, Vec::new())];
        let known = CRATES.iter().any(|rule| rule.name == to) || to == "cedar-policy";
        let members = if known && to != "cedar-policy" {
            &members[..]
        } else {
            &members[..1]
        };
        assert_eq!(arrows(members).len(), expected, "{from} -> {to} ({kind:?})");
    }

    #[test]
    fn arrows_point_down() {
        check("tieline-wire", "tieline-core", None, 0);
        check("tieline", "tieline-testkit", None, 0);
        check("tieline-core", "tieline-wire", None, 1);
        check("tieline-core", "tieline-wire", Some("dev"), 1);
        check("tieline-wire", "tieline-policy", None, 1);
        check("tieline-core", "tieline-note", None, 1);
        check("tieline-gateway", "tieline-drill", None, 1);
    }

    #[test]
    fn the_test_helper_is_for_tests_of_its_own_floor() {
        check("tieline-gateway", "tieline-testkit", Some("dev"), 0);
        check("tieline-gateway", "tieline-testkit", None, 1);
        check("tieline-gateway", "tieline-testkit", Some("build"), 1);
        check("tieline-wire", "tieline-testkit", Some("dev"), 1);
    }

    #[test]
    fn a_package_with_a_home_stays_there() {
        check("tieline-policy", "cedar-policy", None, 0);
        check("tieline-gateway", "cedar-policy", None, 1);
    }

    #[test]
    fn a_crate_without_a_floor_is_a_finding() {
        check("tieline-new", "tieline-core", None, 1);
    }
}
