//! The work tree as checks see it: its root, its files as git knows them, findings and how they are printed.
//!
//! Refuses to guess: without git there is no list of files, and that is an error.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Something that a check found.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Relative to the root, with slashes.
    pub(crate) path: String,
    /// From 1; 0 is the file as a whole.
    pub(crate) line: usize,
    pub(crate) says: String,
}

impl Finding {
    pub(crate) fn new(path: &str, line: usize, says: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            says: says.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.says),
            line => write!(f, "{}:{line}: {}", self.path, self.says),
        }
    }
}

/// The root of the workspace that this run belongs to. Cargo says where it is, so that a binary which another clone
/// built into the same target folder looks at the right one.
pub(crate) fn root() -> Result<PathBuf> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
    let root = Path::new(&manifest)
        .parent()
        .context("xtask has no folder above it")?;
    Ok(root.to_path_buf())
}

/// Files that are committed or would be, relative to the root, in the order of their names.
pub(crate) fn files(root: &Path) -> Result<Vec<String>> {
    let listed = output(
        Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root),
    )?;
    let mut files: Vec<String> = listed
        .split('\0')
        .filter(|name| !name.is_empty() && root.join(name).is_file())
        .map(str::to_owned)
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// What a command prints, if it succeeds; its complaint otherwise.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let done = command.output().with_context(|| format!("cannot run {shown}"))?;
    ensure!(
        done.status.success(),
        "{shown} failed: {}",
        String::from_utf8_lossy(&done.stderr).trim()
    );
    String::from_utf8(done.stdout).with_context(|| format!("{shown} printed bytes that are not UTF-8"))
}

/// Prints a line. A reader that went away is no reason to fail.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Prints findings in order and a last line that counts them; whether there are none.
pub(crate) fn report(check: &str, mut findings: Vec<Finding>) -> bool {
    findings.sort();
    for finding in &findings {
        say(&finding.to_string());
    }
    match findings.len() {
        0 => say(&format!("{check}: nothing found")),
        count => say(&format!("{check}: {count} found")),
    }
    findings.is_empty()
}
