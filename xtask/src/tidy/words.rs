//! Words. The house has one word for each thing (ARCHITECTURE.md lists them), and a synonym makes a reader look for a
//! second thing. Marks of plans and paths of one machine do not outlive the week in which they were written.
//!
//! A word counts as such: letters, digits and underscores around it make it another.

use crate::repo::Finding;

/// Words that are not ours, and what we say.
const SYNONYMS: [(&str, &str); 6] = [
    ("downstream", "say caller or application"),
    ("model provider", "say lab or channel"),
    ("provider account", "say channel"),
    ("tenant", "say party"),
    ("tenants", "say parties"),
    ("upstream", "say channel"),
];

/// Marks of a plan, a tracker, or work not done.
const PLANS: [&str; 10] = [
    "fixme",
    "for now",
    "hack",
    "in a later issue",
    "milestone",
    "not yet implemented",
    "sprint",
    "this issue",
    "this pr",
    "todo",
];

/// Paths that exist on one machine only, and settings of a mirror.
const MACHINE: [&str; 6] = ["/home/", "/root/", "/Users/", "/work/", "index-url", "pip.conf"];

/// Where such a word is right: the file, the word, the reason.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("xtask/src/tidy/words.rs", "", "the list itself"),
    ("CONTRIBUTING.md", "tenant", "tells which words are not ours"),
    ("CONTRIBUTING.md", "upstream", "tells which words are not ours"),
    (
        "crates/tieline-core/src/lib.rs",
        "todo",
        "names the macro that is banned",
    ),
    ("Cargo.toml", "todo", "the lint of that name"),
];

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let lower = line.to_lowercase();
        let mut add = |word: &str, says: String| {
            if !is_allowed(path, word) {
                findings.push(Finding::new(path, index + 1, says));
            }
        };
        for (word, instead) in SYNONYMS.iter().filter(|(word, _)| has_word(&lower, word)) {
            add(word, format!("`{word}`: {instead}"));
        }
        for word in PLANS.iter().filter(|word| has_word(&lower, word)) {
            add(word, format!("`{word}` is about a plan; say what holds, and why"));
        }
        for word in MACHINE.iter().filter(|word| line.contains(**word)) {
            add(word, format!("`{word}` belongs to one machine"));
        }
        if has_issue_number(&lower) {
            add("issue", "a number of a tracker: say what it is about".to_owned());
        }
    }
    findings
}

fn is_allowed(path: &str, word: &str) -> bool {
    ALLOWED
        .iter()
        .any(|(file, allowed, _)| *file == path && (allowed.is_empty() || *allowed == word))
}

/// Whether `word` stands in `line` with no letter, digit or underscore on either side.
fn has_word(line: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, rest) = line.split_at_checked(at).unwrap_or_default();
        let after = rest.strip_prefix(word).unwrap_or_default();
        !before.ends_with(joins) && !after.starts_with(joins)
    })
}

/// `issue 7`, `issue #7`, `pr 7`, `gh-7`; a number sign alone is also a colour, an anchor or a raw string.
fn has_issue_number(line: &str) -> bool {
    ["issue ", "issue #", "issues #", "pr #", "gh-"]
        .iter()
        .any(|start| {
            line.match_indices(start).any(|(at, _)| {
                let (before, rest) = line.split_at_checked(at).unwrap_or_default();
                let number = rest.strip_prefix(start).unwrap_or_default();
                !before.ends_with(char::is_alphanumeric) && number.starts_with(|c: char| c.is_ascii_digit())
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_line(line: &str, expected: usize) {
        assert_eq!(check("crates/a/src/b.rs", line).len(), expected, "{line}");
    }

    #[test]
    fn synonyms_are_found_as_words() {
        check_line("// The upstream answered.", 1);
        check_line("// Each Tenant pays.", 1);
        check_line("let upstream_url = 1;", 0);
        check_line("// lieutenant", 0);
    }

    #[test]
    fn plans_and_trackers_are_found() {
        check_line("// TODO: later", 1);
        check_line("// see issue #12", 1);
        check_line("// see issue 12", 1);
        check_line("// reissue 12 tickets", 0);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        check_line("let path = \"/home/me/model.gguf\";", 1);
        check_line("let path = \"/homes\";", 0);
    }
}
