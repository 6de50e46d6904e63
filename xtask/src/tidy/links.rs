//! Links between Markdown files: the file exists, and so does the heading. Links to the web are not followed.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::repo::Finding;

pub(super) fn check(root: &Path, files: &[String]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for path in files.iter().filter(|path| is_markdown(path)) {
        let text = std::fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        for (line, target) in links(&text) {
            if let Some(says) = dead(root, path, &text, target) {
                findings.push(Finding::new(path, line, format!("link to `{target}`: {says}")));
            }
        }
    }
    Ok(findings)
}

fn is_markdown(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "md")
}

/// Why a link leads nowhere, if it does.
fn dead(root: &Path, from: &str, text: &str, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    if file.is_empty() {
        return (!headings(text).contains(heading)).then_some("there is no such heading");
    }
    let folder = Path::new(from).parent().unwrap_or(Path::new(""));
    let Some(inside) = normal(&folder.join(file)) else {
        return Some("it leaves the repository");
    };
    let full = root.join(inside);
    if !full.exists() {
        return Some("there is no such file");
    }
    if heading.is_empty() || !is_markdown(file) {
        return None;
    }
    let text = std::fs::read_to_string(full).unwrap_or_default();
    (!headings(&text).contains(heading)).then_some("the file has no such heading")
}

/// A path without `.` and `..`; none if it leaves the folder that it starts in.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !out.pop() {
                    return None;
                }
            }
            Component::Prefix(_) | Component::RootDir => return None,
        }
    }
    Some(out)
}

/// Numbered targets of `[text](target)` outside of code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        // Every second part between backticks is code.
        for part in line.split('`').step_by(2) {
            let mut rest = part;
            while let Some((_, after)) = rest.split_once("](") {
                let Some((target, left)) = after.split_once(')') else {
                    break;
                };
                found.push((number, target.split_whitespace().next().unwrap_or_default()));
                rest = left;
            }
        }
        // A link whose text is code: [`name`](target).
        for (_, after) in line
            .match_indices("`](")
            .filter_map(|(at, found)| line.split_at_checked(at + found.len()))
        {
            let target = after.split(')').next().unwrap_or_default();
            found.push((number, target.split_whitespace().next().unwrap_or_default()));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Numbered lines outside of fenced code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((index + 1, line))
    })
}

/// The anchors of a file's headings, as GitHub makes them: lower case, no punctuation, hyphens for spaces.
fn headings(text: &str) -> BTreeSet<String> {
    prose(text)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_outside_of_code() {
        let text = "A [b](c.md#d) and [`e`](f.rs).\n```\n[g](h)\n```\n`[i](j)` [k](https://l)\n";
        assert_eq!(links(text), [(1, "c.md#d"), (1, "f.rs"), (5, "https://l")]);
    }

    #[test]
    fn headings_become_anchors() {
        assert!(headings("## Life of a call, file by file\n").contains("life-of-a-call-file-by-file"));
    }

    #[test]
    fn a_link_must_lead_somewhere_inside() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let check = |target: &str| dead(root, "src/main.rs", "# Here\n", target);
        assert_eq!(check("repo.rs"), None);
        assert_eq!(check("../Cargo.toml"), None);
        assert_eq!(check("#here"), None);
        assert_eq!(check("https://example.org/none"), None);
        assert!(check("none.rs").is_some());
        assert!(check("#there").is_some());
        assert!(check("../../../etc/passwd").is_some());
    }
}
