//! What `cargo tree --prefix depth` prints, as paths. Each line is a depth, a name, a version; a line `(*)` stands for a
//! subtree that was printed before, so every package has at least one full path.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::repo;

/// A tree of packages, flattened: depth, name, version.
#[derive(Debug)]
pub(super) struct Tree(Vec<(usize, String, String)>);

/// The tree of the host platform that `arguments` select.
pub(super) fn read(root: &Path, arguments: &[&str]) -> Result<Tree> {
    let fixed = ["tree", "--prefix", "depth", "--format", " {p}"];
    let text = repo::output(
        Command::new("cargo")
            .args(fixed)
            .args(arguments)
            .current_dir(root),
    )?;
    Tree::parse(&text)
}

impl Tree {
    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines.map(package).collect::<Result<_>>().map(Self)
    }

    /// The first path that leads to a package, from the root of its tree.
    pub(super) fn path(&self, package: &str) -> Option<Vec<&str>> {
        let mut path: Vec<&str> = Vec::new();
        for (depth, name, _) in &self.0 {
            path.truncate(*depth);
            path.push(name);
            if name == package && *depth > 0 {
                return Some(path);
            }
        }
        None
    }

    /// Names and versions of all packages, each once.
    pub(super) fn packages(&self) -> BTreeSet<(&str, &str)> {
        self.0
            .iter()
            .map(|(_, name, version)| (name.as_str(), version.as_str()))
            .collect()
    }
}

fn package(line: &str) -> Result<(usize, String, String)> {
    let mut words = line.split_whitespace();
    let mut next = || {
        words
            .next()
            .with_context(|| format!("`cargo tree` printed `{line}`"))
    };
    let depth = next()?
        .parse()
        .with_context(|| format!("`cargo tree` printed `{line}`"))?;
    Ok((depth, next()?.to_owned(), next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0 a v0.1.0 (/somewhere)\n1 b v1.0.0\n2 c v1.0.0 (proc-macro)\n1 d v2.0.0\n2 c v2.0.0\n2 b v1.0.0 (*)\n\n0 e v0.1.0\n1 d v2.0.0 (*)\n";

    #[test]
    fn a_path_leads_from_the_root() {
        let tree = Tree::parse(TEXT).unwrap();
        assert_eq!(tree.path("c").unwrap(), ["a", "b", "c"]);
        assert_eq!(tree.path("d").unwrap(), ["a", "d"]);
        assert_eq!(tree.path("x"), None);
        assert_eq!(tree.path("a"), None, "a root is not reached");
    }

    #[test]
    fn a_package_counts_once_for_each_version() {
        let tree = Tree::parse(TEXT).unwrap();
        assert_eq!(tree.packages().len(), 6);
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        assert!(Tree::parse("[build-dependencies]").is_err());
    }
}
