//! Words that the source of a pure crate must not have: the ways to ask the machine for time, entropy, configuration,
//! files or the network. Tests are free. A crate that compiles without a clock in its dependencies still finds one in
//! `std`, and no lint of one crate's own folder survives being copied.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::table::Rule;
use crate::repo::{self, Finding};

pub(super) fn check(root: &Path, rule: &Rule) -> Result<Vec<Finding>> {
    if rule.unsaid.is_empty() {
        return Ok(Vec::new());
    }
    let mut findings = Vec::new();
    for path in repo::files(root)? {
        let inside = path
            .strip_prefix(rule.folder)
            .and_then(|rest| rest.strip_prefix("/src/"));
        if inside.is_some_and(|name| is_rust(name) && !is_test(name)) {
            let text =
                std::fs::read_to_string(root.join(&path)).with_context(|| format!("cannot read {path}"))?;
            findings.extend(unsaid(&path, &text, rule.unsaid));
        }
    }
    Ok(findings)
}

fn is_rust(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "rs")
}

fn is_test(name: &str) -> bool {
    name.split('/')
        .any(|part| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs"))
}

/// Words of `words` in code, up to the module of tests, which stands last.
fn unsaid(path: &str, text: &str, words: &[&str]) -> Vec<Finding> {
    let code = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
    let mut findings = Vec::new();
    for (index, line) in code.enumerate() {
        let line = line.split("//").next().unwrap_or_default();
        for word in words.iter().filter(|word| line.contains(**word)) {
            let says = format!("`{word}` in a pure crate: take it as an argument");
            findings.push(Finding::new(path, index + 1, says));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[usize]) {
        let found = unsaid("a.rs", text, &["Instant::now", "std::env"]);
        let lines: Vec<usize> = found.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, expected, "{text}");
    }

    #[test]
    fn a_clock_in_code_is_found_and_one_in_a_comment_or_test_is_not() {
        check("let a = 1;\nlet now = Instant::now();\n", &[2]);
        check("// Instant::now would differ on replay\n", &[]);
        check(
            "fn a() {}\n#[cfg(test)]\nmod tests { fn now() { Instant::now(); } }\n",
            &[],
        );
        check("use std::env;\n", &[1]);
    }

    #[test]
    fn files_of_tests_are_known_by_their_names() {
        assert!(is_test("call/tests.rs") && is_test("call/tests/laws.rs") && is_test("up/venv_tests.rs"));
        assert!(!is_test("call/machine.rs") && !is_test("contests.rs"));
    }
}
