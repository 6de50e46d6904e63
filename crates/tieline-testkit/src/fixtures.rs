//! Where fixtures and real data lie.
//!
//! Fixtures are in the repository; real data is not, and a test that reads it says that it is skipped, except in CI,
//! where its absence is a failure.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The root of the workspace that this crate was built in.
pub fn workspace_dir() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// `<workspace>/fixtures`.
pub fn fixtures_dir() -> PathBuf {
    workspace_dir().join("fixtures")
}

/// The folder of real data: `TIELINE_DATA`, else `<workspace>/../shared/data`. Where there is none, `None`, with a line
/// on standard error that says so; panics if `CI` is set, as a skipped test must not look like a passed one there.
#[must_use]
pub fn data_dir() -> Option<PathBuf> {
    let named = env::var_os("TIELINE_DATA").filter(|value| !value.is_empty());
    let dir = named.map_or_else(|| workspace_dir().join("../shared/data"), PathBuf::from);
    let is_ci = env::var_os("CI").is_some_and(|value| !value.is_empty());
    match look(&dir, is_ci) {
        Look::Found => Some(dir),
        Look::Skip(words) => {
            // Standard error may be closed, which is no reason to fail.
            let _ = writeln!(std::io::stderr(), "{words}");
            None
        }
        Look::Fail(words) => fail(&words),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Look {
    Found,
    Skip(String),
    Fail(String),
}

fn look(dir: &Path, is_ci: bool) -> Look {
    let shown = dir.display();
    match (dir.is_dir(), is_ci) {
        (true, _) => Look::Found,
        (false, false) => Look::Skip(format!(
            "skipped: no real data at {shown} (TIELINE_DATA names another folder)"
        )),
        (false, true) => Look::Fail(format!(
            "no real data at {shown}, and CI must not skip the tests that read it"
        )),
    }
}

#[expect(
    clippy::panic,
    reason = "only tests call this, and in CI a test without its data has failed"
)]
fn fail(words: &str) -> ! {
    panic!("{words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_holds_this_crate() {
        assert!(
            workspace_dir()
                .join("crates/tieline-testkit/Cargo.toml")
                .is_file()
        );
    }

    #[test]
    fn absent_data_skips_here_and_fails_in_ci() {
        let there = workspace_dir();
        let nowhere = there.join("no-such-folder");
        assert_eq!(look(&there, true), Look::Found);
        assert!(matches!(look(&nowhere, false), Look::Skip(words) if words.starts_with("skipped: ")));
        assert!(matches!(look(&nowhere, true), Look::Fail(_)));
    }
}
