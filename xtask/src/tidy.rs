//! House rules that no compiler checks, over every file that git knows: length of files and lines, exceptions with their
//! reasons, words, paths of one machine, packages from elsewhere, dead links. Findings name file and line.
//!
//! Not checked: fixtures, corpora and recorded goldens, which are data and stay as they were recorded.

mod lines;
mod links;
mod rust;
mod words;

use std::path::Path;

use anyhow::Result;

use crate::repo::{self, Finding};

/// Data: bytes count, not style.
const DATA: [&str; 4] = ["fixtures/", "fuzz/corpus/", "docs/schemas/", "bench/baseline"];

/// Files of text that rules apply to, by the end of their names.
const TEXT: [&str; 10] = [
    ".rs", ".md", ".toml", ".py", ".sh", ".cedar", ".yml", ".txt", "/test", "/run",
];

/// Checks all of it; whether nothing was found.
pub(crate) fn run() -> Result<bool> {
    let root = repo::root()?;
    let files = repo::files(&root)?;
    let mut findings = Vec::new();
    let mut long_functions = 0;
    for path in files.iter().filter(|path| is_text(path)) {
        let Ok(text) = std::fs::read_to_string(root.join(path)) else {
            findings.push(Finding::new(path, 0, "is not UTF-8, or cannot be read"));
            continue;
        };
        findings.extend(one(path, &text));
        if is_rust(path) {
            long_functions += rust::long_functions(&text);
        }
    }
    findings.extend(rust::too_many_long(long_functions));
    findings.extend(rust::short_files_missing(&files));
    findings.extend(links::check(&root, &files)?);
    findings.extend(lockfiles(&root, &files));
    Ok(repo::report("tidy", findings))
}

/// What is wrong with one file, taken alone.
fn one(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = lines::check(path, text);
    findings.extend(words::check(path, text));
    if is_rust(path) {
        findings.extend(rust::check(path, text));
    }
    findings
}

fn is_text(path: &str) -> bool {
    let slashed = format!("/{path}");
    TEXT.iter().any(|end| slashed.ends_with(end)) && !DATA.iter().any(|start| path.starts_with(start))
}

fn is_rust(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "rs")
}

/// Packages come from crates.io and from nowhere else.
fn lockfiles(root: &Path, files: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in files.iter().filter(|path| path.ends_with("Cargo.lock")) {
        let text = std::fs::read_to_string(root.join(path)).unwrap_or_default();
        for (index, line) in text.lines().enumerate() {
            if line.starts_with("source = ")
                && !line.contains("registry+https://github.com/rust-lang/crates.io-index")
            {
                findings.push(Finding::new(
                    path,
                    index + 1,
                    "a package from elsewhere than crates.io",
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_known_by_its_name() {
        assert!(is_text("crates/tieline/src/main.rs") && is_text("test") && is_text(".ci/run"));
        assert!(
            !is_text("fixtures/a.txt")
                && !is_text("crates/a/tests/it/snapshots/a.snap")
                && !is_text("latest")
        );
    }
}
