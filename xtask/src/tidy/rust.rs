//! Rust source: files that fit in a head, modules that say what they are for, exceptions that give a reason.

use crate::repo::Finding;

/// Lines of a file. A longer one says why in its first ten lines, after the words [`LONG_FILE`].
const LINES_MAX: usize = 800;
const LONG_FILE: &str = "Long file:";

/// Files that are held to fewer lines than any, and why. Each must be there: one that moves takes its limit along.
const SHORT_FILES: [(&str, usize, &str); 1] = [(
    "crates/tieline-drill/src/engine.rs",
    300,
    "the drill's engine is the live core; what drives it decides nothing, and is short enough to see that",
)];

/// Functions over 70 lines that are excused by `#[expect(clippy::too_many_lines, reason = …)]`. Clippy refuses those
/// that are not excused. The number may only fall.
const LONG_FUNCTIONS_MAX: usize = 3;

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > LINES_MAX && !text.lines().take(10).any(|line| line.contains(LONG_FILE)) {
        let says =
            format!("has {lines} lines, the limit is {LINES_MAX}: split it, or say why after `{LONG_FILE}`");
        findings.push(Finding::new(path, 0, says));
    }
    let short = SHORT_FILES.iter().find(|(file, _, _)| *file == path);
    if let Some((_, most, why)) = short.filter(|(_, most, _)| lines > *most) {
        let says = format!("has {lines} lines, its limit is {most}: {why}");
        findings.push(Finding::new(path, 0, says));
    }
    if needs_doc(path) && !starts_with_doc(text) {
        findings.push(Finding::new(
            path,
            1,
            "a module starts with `//!`: what it is for, what it refuses, its bounds",
        ));
    }
    findings.extend(exceptions(path, text));
    findings
}

/// Files with a limit of their own that are not there.
pub(super) fn short_files_missing(files: &[String]) -> Vec<Finding> {
    let missing = SHORT_FILES
        .iter()
        .filter(|(path, _, _)| !files.iter().any(|file| file == path));
    let says = "is not there, and `SHORT_FILES` in xtask/src/tidy/rust.rs holds it to a length";
    missing.map(|(path, _, _)| Finding::new(path, 0, says)).collect()
}

/// How many functions over 70 lines a file excuses.
pub(super) fn long_functions(text: &str) -> usize {
    code(text)
        .filter(|(_, line)| line.contains("clippy::too_many_lines"))
        .count()
}

pub(super) fn too_many_long(count: usize) -> Option<Finding> {
    (count > LONG_FUNCTIONS_MAX).then(|| {
        let says = format!("{count} functions are excused from 70 lines, the limit is {LONG_FUNCTIONS_MAX}");
        Finding::new("xtask/src/tidy/rust.rs", 0, says)
    })
}

/// Source of crates; a file of tests is known by its name and needs no introduction.
fn needs_doc(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    let test = file == "tests.rs" || file.ends_with("_tests.rs") || path.contains("/tests/");
    path.contains("src/") && !test
}

fn starts_with_doc(text: &str) -> bool {
    text.starts_with("//!")
}

/// `allow` where `expect` would do, and either of them without a reason.
fn exceptions(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines: Vec<(usize, &str)> = code(text).collect();
    for (position, (number, line)) in lines.iter().enumerate() {
        let start = line.trim_start();
        if start.starts_with("#[allow(") || start.starts_with("#![allow(") {
            findings.push(Finding::new(
                path,
                *number,
                "`allow` hides what it no longer needs to: use `expect`",
            ));
        }
        if start.starts_with("#[expect(") || start.starts_with("#![expect(") {
            let attribute = lines.iter().skip(position).map(|(_, line)| *line);
            if !has_reason(attribute) {
                findings.push(Finding::new(
                    path,
                    *number,
                    "an exception without `reason = \"…\"`",
                ));
            }
        }
    }
    findings
}

/// Whether an attribute that starts on the first line has a reason before it ends.
fn has_reason<'a>(lines: impl Iterator<Item = &'a str>) -> bool {
    for line in lines {
        if line.contains("reason = ") {
            return true;
        }
        if line.trim_end().ends_with(")]") {
            return false;
        }
    }
    false
}

/// Numbered lines that are not comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_at(path: &str, text: &str, expected: &[usize]) {
        let lines: Vec<usize> = check(path, text).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, expected, "{path}: {text:.200}");
    }

    #[test]
    fn an_exception_gives_its_reason() {
        check_at("tests/it/a.rs", "#[expect(clippy::panic)]\n", &[1]);
        check_at(
            "tests/it/a.rs",
            "#[expect(\n    clippy::panic,\n    reason = \"the test is about it\"\n)]\n",
            &[],
        );
        check_at(
            "tests/it/a.rs",
            "#[expect(\n    clippy::panic\n)]\nlet reason = 1;\n",
            &[1],
        );
        check_at("tests/it/a.rs", "fn a() {}\n#[allow(dead_code)]\n", &[2]);
        check_at("tests/it/a.rs", "// #[allow(dead_code)] would hide it\n", &[]);
    }

    #[test]
    fn a_module_says_what_it_is_for() {
        check_at("crates/a/src/b.rs", "use std::fmt;\n", &[1]);
        check_at("crates/a/src/b.rs", "//! Values.\n", &[]);
        check_at("crates/a/src/b/tests.rs", "use super::*;\n", &[]);
    }

    #[test]
    fn a_long_file_says_why() {
        let long = "//! Values.\n".repeat(LINES_MAX + 1);
        check_at("crates/a/src/b.rs", &long, &[0]);
        check_at(
            "crates/a/src/b.rs",
            &format!("//! Long file: one table.\n{long}"),
            &[],
        );
    }

    #[test]
    fn the_driver_of_the_drill_stays_short() {
        let [(path, most, _)] = SHORT_FILES;
        check_at(path, &"//! Drives.\n".repeat(most), &[]);
        check_at(path, &"//! Drives.\n".repeat(most + 1), &[0]);
        check_at("crates/a/src/b.rs", &"//! Values.\n".repeat(most + 1), &[]);
        assert!(short_files_missing(&[path.to_owned()]).is_empty());
        assert_eq!(short_files_missing(&[]).len(), 1);
    }

    #[test]
    fn excused_functions_are_counted() {
        let text = "#[expect(clippy::too_many_lines, reason = \"one table\")]\n// clippy::too_many_lines\n";
        assert_eq!(long_functions(text), 1);
        assert_eq!(too_many_long(LONG_FUNCTIONS_MAX), None);
        assert!(too_many_long(LONG_FUNCTIONS_MAX + 1).is_some());
    }
}
